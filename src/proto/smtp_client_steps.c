/* smtp_client_steps.c - the steps of the client's dialogue: what is sent, what comes of it. */
#include "proto/smtp_client_steps.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 5321 4.5.3.1.4, and what SIZE (RFC 1870) and BODY (RFC 6152) add to MAIL. */
#define COMMAND_MAX		(512 + 26 + 17)
#define AUTH_LINE_MAX		512	/* beyond it there is no initial response, RFC 4954 4 */
#define AUTH_ROUNDS_MAX		5	/* RULES A5 */

/* --- what is sent --- */

/* The one writer of commands.  Whoever built the arguments has checked them; a control
 * octet here would be a second command (RULES H). */
static void __attribute__((format(printf, 2, 3)))
command(struct smtp_client *client, const char *fmt, ...)
{
	char line[COMMAND_MAX];
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	assert(len > 0 && (size_t)len < sizeof(line) - 2);
	for (int i = 0; i < len; i++)
		assert((unsigned char)line[i] >= 0x20 && line[i] != 0x7f);
	buf_append(&client->out, line, (size_t)len);
	buf_append(&client->out, "\r\n", 2);
	client->due++;
}

static void
flush(struct smtp_client *client)
{
	client->events->send(client->owner, buf_octets(&client->out), client->out.len, false);
	buf_clear(&client->out);
}

static void
send_ehlo(struct smtp_client *client)
{
	memset(&client->extensions, 0, sizeof(client->extensions));
	command(client, "EHLO %s", client->params->helo);
	flush(client);
}

static void
send_helo(struct smtp_client *client)
{
	command(client, "HELO %s", client->params->helo);
	flush(client);
}

static void
send_starttls(struct smtp_client *client)
{
	command(client, "STARTTLS");
	flush(client);
}

static void
send_auth_line(struct smtp_client *client, struct buf *line)
{
	buf_append(line, "\r\n", 2);
	client->due++;
	client->events->send(client->owner, buf_octets(line), line->len, true);
	buf_wipe(line);
}

static void
send_auth(struct smtp_client *client)
{
	struct buf line = { 0 };
	size_t start;

	/* Room for all of it at once: growing would leave copies of the secret behind. */
	buf_reserve(&line, 64 + 2 * (strlen(client->params->username) +
	    strlen(client->params->password)));
	buf_append_text(&line, "AUTH ");
	buf_append_text(&line, sasl_name(client->sasl.mechanism));
	start = line.len;
	if (sasl_has_initial(&client->sasl)) {
		buf_append(&line, " ", 1);
		if (!sasl_answer(&client->sasl, "", 0, &line))
			abort();
		if (line.len + 2 > AUTH_LINE_MAX) {
			line.len = start;
			client->sasl.step = 0;
		}
	}
	send_auth_line(client, &line);
}

static void
write_rcpt(struct smtp_client *client, size_t i)
{
	const struct envelope *envelope = client->mail.envelope;
	char text[ADDRESS_TEXT_MAX + 1];

	command(client, "RCPT TO:<%s>",
	    address_text(&envelope->recipients[client->mail.first + i].forward_path, text));
}

static void
send_mail(struct smtp_client *client)
{
	const struct envelope *envelope = client->mail.envelope;
	char text[ADDRESS_TEXT_MAX + 1], size[32] = "";

	if (client->extensions.size)
		snprintf(size, sizeof(size), " SIZE=%" PRIu64, envelope->size);
	command(client, "MAIL FROM:<%s>%s%s", address_text(&envelope->reverse_path, text), size,
	    client->extensions.eight_bit_mime && envelope->body_8bit ? " BODY=8BITMIME" : "");
	if (client->extensions.pipelining) {
		for (size_t i = 0; i < client->mail.count; i++)
			write_rcpt(client, i);
		command(client, "DATA");
		client->ahead = (unsigned)client->mail.count + 1;
	}
	flush(client);
}

static void
send_rcpt(struct smtp_client *client)
{
	write_rcpt(client, client->answered);
	flush(client);
}

static void
send_data_command(struct smtp_client *client)
{
	command(client, "DATA");
	flush(client);
}

static void
send_lone_dot(struct smtp_client *client)
{
	command(client, ".");
	flush(client);
}

static void
send_rset(struct smtp_client *client)
{
	command(client, "RSET");
	flush(client);
}

static void
send_quit(struct smtp_client *client)
{
	command(client, "QUIT");
	flush(client);
}

static void
ask_tls(struct smtp_client *client)
{
	client->events->start_tls(client->owner);
}

static void
ask_content(struct smtp_client *client)
{
	client->events->send_data(client->owner);
}

static void
say_ready(struct smtp_client *client)
{
	client->events->on_ready(client->owner);
}

/* --- what comes of it --- */

enum smtp_step
smtp_step_fault(struct smtp_client *client, struct status status)
{
	client->fault = status;
	return STEP_FAULT;
}

static enum smtp_step
part(struct smtp_client *client, struct status status)
{
	client->parting = true;
	return smtp_step_fault(client, status);
}

/* The reply as a fault of the session: transient whatever its code. */
static struct status
session_fault(const struct smtp_client *client)
{
	const struct status said = smtp_reply_status(&client->reply);
	struct enhanced_code code = said.enhanced;
	char text[STATUS_TEXT_MAX], enhanced[STATUS_DSN_MAX];

	if (code.class == 0)
		snprintf(enhanced, sizeof(enhanced), "%s", smtp_step_rows[client->step].fault);
	else
		snprintf(enhanced, sizeof(enhanced), "4.%u.%u", code.subject % 1000u,
		    code.detail % 1000u);
	return status_local(enhanced, "%s: refused: %s", smtp_step_rows[client->step].name,
	    status_text(&said, text, sizeof(text)));
}

enum smtp_step
smtp_step_refused(struct smtp_client *client)
{
	return part(client, session_fault(client));
}

enum smtp_step
smtp_step_odd(struct smtp_client *client)
{
	const struct status said = smtp_reply_status(&client->reply);
	char text[STATUS_TEXT_MAX];

	return smtp_step_fault(client, status_local("4.5.0", "%s: unexpected reply: %s",
	    smtp_step_rows[client->step].name, status_text(&said, text, sizeof(text))));
}

/* 220 and 221 greet and part: in a transaction they accept nothing. */
static bool
is_success(const struct smtp_client *client)
{
	return client->reply.code / 100 == 2 && client->reply.code != 220 &&
	    client->reply.code != 221;
}

static bool
is_refusal(const struct smtp_client *client)
{
	return client->reply.code >= 400;
}

static enum smtp_step
on_greeting(struct smtp_client *client)
{
	if (client->reply.code == 220)
		return STEP_EHLO;
	return is_refusal(client) ? smtp_step_refused(client) : smtp_step_odd(client);
}

static enum sasl_mechanism
choose_mechanism(const struct smtp_client *client)
{
	const enum smtp_client_auth allowed = client->params->auth;

	if (client->extensions.auth_plain && allowed != SMTP_CLIENT_AUTH_LOGIN)
		return SASL_PLAIN;
	if (client->extensions.auth_login && allowed != SMTP_CLIENT_AUTH_PLAIN)
		return SASL_LOGIN;
	return SASL_NONE;
}

static bool
wants_auth(const struct smtp_client *client)
{
	return client->params->username != NULL && client->params->username[0] != '\0';
}

/* With an EHLO answer in hand: what has to come before the first mail. */
static enum smtp_step
after_ehlo(struct smtp_client *client)
{
	enum sasl_mechanism mechanism;

	if (client->params->tls == SMTP_CLIENT_TLS_STARTTLS && !client->secured) {
		if (client->extensions.starttls)
			return STEP_STARTTLS;
		return part(client, status_local("4.7.4", "STARTTLS: not offered by the peer"));
	}
	if (!wants_auth(client))
		return STEP_READY;
	if (!client->secured && !client->params->auth_in_clear)
		return part(client, status_local("4.7.11", "AUTH: not sent without TLS"));
	mechanism = choose_mechanism(client);
	if (mechanism == SASL_NONE)
		return part(client, status_local("4.7.4", "AUTH: no allowed mechanism is offered"));
	sasl_start(&client->sasl, mechanism, client->params->username, client->params->password);
	return STEP_AUTH;
}

static enum smtp_step
on_ehlo(struct smtp_client *client)
{
	if (client->reply.code == 250) {
		client->extensions = smtp_extensions_parse(&client->reply);
		return after_ehlo(client);
	}
	/* A server of RFC 821 can do neither TLS nor AUTH (RULES T7, D_1). */
	if (client->reply.code >= 500 && client->params->tls == SMTP_CLIENT_TLS_NONE &&
	    !wants_auth(client))
		return STEP_HELO;
	return is_refusal(client) ? smtp_step_refused(client) : smtp_step_odd(client);
}

static enum smtp_step
on_helo(struct smtp_client *client)
{
	if (client->reply.code == 250)
		return STEP_READY;
	return is_refusal(client) ? smtp_step_refused(client) : smtp_step_odd(client);
}

static enum smtp_step
on_starttls(struct smtp_client *client)
{
	/* RFC 3207: one line; more would be an answer to what has not been asked. */
	if (client->reply.code == 220 && client->reply.line_count == 1)
		return STEP_HANDSHAKE;
	return is_refusal(client) ? smtp_step_refused(client) : smtp_step_odd(client);
}

static enum smtp_step
on_auth(struct smtp_client *client)
{
	struct buf line = { 0 };

	if (client->reply.code == 235 || client->premature)
		return STEP_READY;
	client->auth_refused = client->reply.code >= 500;
	if (is_refusal(client))
		return smtp_step_refused(client);
	if (client->reply.code != 334 || client->reply.line_count != 1)
		return smtp_step_odd(client);
	buf_reserve(&line, 64 + 2 * (strlen(client->params->username) +
	    strlen(client->params->password)));
	if (++client->auth_rounds > AUTH_ROUNDS_MAX || !sasl_answer(&client->sasl,
	    buf_octets(&client->reply.text), client->reply.text.len, &line)) {
		buf_wipe(&line);
		return smtp_step_fault(client, status_local("4.7.0",
		    "AUTH: a challenge that %s has not", sasl_name(client->sasl.mechanism)));
	}
	client->ahead++;	/* the answer is this step's command */
	send_auth_line(client, &line);
	return STEP_AUTH;
}

/* Replies within a mail that speak of the session: a fault of our own relay is never the
 * message's fault (SPEC 4). */
static const struct {
	unsigned code;
	bool at_mail_alone;		/* later it may be about a recipient or the mail */
} session_codes[] = {
	{ 530, false },			/* TLS or AUTH is wanted first, RFC 3207 4, RFC 4954 6 */
	{ 534, false },			/* the AUTH mechanism is too weak, RFC 4954 6 */
	{ 535, false },			/* the credentials are not valid, RFC 4954 6 */
	{ 538, false },			/* that AUTH needs encryption, RFC 2554 6 */
	{ 454, true },			/* no TLS or no AUTH now, the same sections */
	{ 502, true },			/* no MAIL here, RFC 5321 4.2.4 */
	{ 503, true },			/* something else was to come before it */
};

static bool
speaks_of_session(const struct smtp_client *client)
{
	for (size_t i = 0; i < sizeof(session_codes) / sizeof(session_codes[0]); i++)
		if (client->reply.code == session_codes[i].code)
			return !session_codes[i].at_mail_alone || client->step == STEP_MAIL;
	return false;
}

static enum smtp_step
refuse_session(struct smtp_client *client)
{
	client->session_refused = true;
	return smtp_step_refused(client);
}

static enum smtp_step
on_mail(struct smtp_client *client)
{
	const struct status status = smtp_reply_status(&client->reply);

	if (is_success(client))
		return STEP_RCPT;
	if (speaks_of_session(client))
		return refuse_session(client);
	if (!is_refusal(client))
		return smtp_step_odd(client);
	client->mail_refused = true;
	smtp_client_settle_rest(client, &status);
	return client->ahead > 0 ? STEP_RCPT : STEP_READY;
}

/* RFC 5321 4.5.3.1.10: 552 was once the code for "too many recipients", and is to be
 * taken as 452 where some were accepted before. */
static struct status
rcpt_status(const struct smtp_client *client)
{
	struct status status = smtp_reply_status(&client->reply);
	bool unclear = status.enhanced.class == 0 ||
	    (status.enhanced.subject == 5 && status.enhanced.detail == 3);

	if (speaks_of_session(client))
		return session_fault(client);
	if (status.reply_code == 552 && unclear && client->accepted > 0) {
		status.reply_code = 452;
		status.enhanced = (struct enhanced_code){ 4, 5, 3 };
	}
	return status;
}

static enum smtp_step
on_rcpt(struct smtp_client *client)
{
	const struct status status = rcpt_status(client);
	size_t i = client->answered;

	if (!is_success(client) && !is_refusal(client))
		return smtp_step_odd(client);
	/* Where others of the mail were taken the session is good for those. */
	if (speaks_of_session(client) && client->accepted == 0)
		return refuse_session(client);
	client->answered++;
	if (is_refusal(client))
		smtp_client_settle(client, i, &status);
	else if (!client->mail_refused)
		client->accepted++;
	if (client->answered < client->mail.count)
		return STEP_RCPT;
	return client->accepted > 0 || client->ahead > 0 ? STEP_DATA : STEP_RSET;
}

static enum smtp_step
on_data(struct smtp_client *client)
{
	const struct status status = smtp_reply_status(&client->reply);

	/* RFC 2920 3.1: nobody is accepted, yet the server wants mail data: none it gets. */
	if (client->reply.code == 354)
		return client->accepted > 0 ? STEP_CONTENT : STEP_LONE_DOT;
	if (!is_refusal(client))
		return smtp_step_odd(client);
	if (speaks_of_session(client))
		return refuse_session(client);
	smtp_client_settle_rest(client, &status);
	return client->mail_refused ? STEP_READY : STEP_RSET;
}

static enum smtp_step
on_dot(struct smtp_client *client)
{
	const struct status status = smtp_reply_status(&client->reply);

	if (!is_success(client) && !is_refusal(client))
		return smtp_step_odd(client);
	smtp_client_settle_rest(client, &status);
	return STEP_READY;
}

static enum smtp_step
on_lone_dot(struct smtp_client *client)
{
	return client->reply.code / 100 == 3 ? smtp_step_odd(client) : STEP_READY;
}

static enum smtp_step
on_rset(struct smtp_client *client)
{
	return client->reply.code == 250 ? STEP_READY : smtp_step_refused(client);
}

static enum smtp_step
on_quit(struct smtp_client *client)
{
	(void)client;
	return STEP_END;
}

const struct smtp_step_row smtp_step_rows[] = {
	[STEP_GREETING] = { "greeting", 300, "4.3.2", NULL, on_greeting },
	[STEP_EHLO] = { "EHLO", 300, "4.5.0", send_ehlo, on_ehlo },
	[STEP_HELO] = { "HELO", 300, "4.5.0", send_helo, on_helo },
	[STEP_STARTTLS] = { "STARTTLS", 120, "4.7.0", send_starttls, on_starttls },
	/* Not in RFC 5321: no honest peer needs longer (RULES T11). */
	[STEP_HANDSHAKE] = { "TLS handshake", 30, "4.7.5", ask_tls, smtp_step_odd },
	[STEP_AUTH] = { "AUTH", 300, "4.7.8", send_auth, on_auth },
	[STEP_READY] = { "idle", 0, "4.4.2", say_ready, smtp_step_refused },
	[STEP_MAIL] = { "MAIL FROM", 300, "4.5.0", send_mail, on_mail },
	[STEP_RCPT] = { "RCPT TO", 300, "4.5.0", send_rcpt, on_rcpt },
	[STEP_DATA] = { "DATA", 120, "4.5.0", send_data_command, on_data },
	[STEP_CONTENT] = { "mail data", 180, "4.3.0", ask_content, smtp_step_refused },
	[STEP_DOT] = { "end of data", 600, "4.5.0", NULL, on_dot },
	[STEP_LONE_DOT] = { "end of data", 600, "4.5.0", send_lone_dot, on_lone_dot },
	/* The answers to these two decide nothing: no five minutes for them. */
	[STEP_RSET] = { "RSET", 20, "4.5.0", send_rset, on_rset },
	[STEP_QUIT] = { "QUIT", 10, "4.5.0", send_quit, on_quit },
	[STEP_END] = { "end", 0, "4.5.0", NULL, smtp_step_odd },
};
