/* smtp_client_steps.c - the steps of the client's dialogue: their table, and the set-up. */
#include "proto/smtp_client_steps.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* --- what is sent --- */

/* Whoever built the arguments has checked them; a control octet here would be a second
 * command (RULES H). */
void
smtp_step_end_command(struct smtp_client *client, size_t start)
{
	const char *octets = buf_octets(&client->out);

	assert(client->out.len > start);
	for (size_t i = start; i < client->out.len; i++)
		assert((unsigned char)octets[i] >= 0x20 && octets[i] != 0x7f);
	buf_append(&client->out, "\r\n", 2);
	client->due++;
}

void
smtp_step_flush(struct smtp_client *client)
{
	client->events->send(client->owner, buf_octets(&client->out), client->out.len, false);
	buf_clear(&client->out);
}

void
smtp_step_say(struct smtp_client *client, const char *command)
{
	const size_t start = client->out.len;

	buf_append_text(&client->out, command);
	smtp_step_end_command(client, start);
	smtp_step_flush(client);
}

static void
send_hello(struct smtp_client *client, const char *verb)
{
	const size_t start = client->out.len;

	buf_appendf(&client->out, "%s %s", verb, client->params->helo);
	smtp_step_end_command(client, start);
	smtp_step_flush(client);
}

static void
send_ehlo(struct smtp_client *client)
{
	memset(&client->extensions, 0, sizeof(client->extensions));
	send_hello(client, "EHLO");
}

static void
send_helo(struct smtp_client *client)
{
	send_hello(client, "HELO");
}

static void
send_starttls(struct smtp_client *client)
{
	smtp_step_say(client, "STARTTLS");
}

static void
send_data_command(struct smtp_client *client)
{
	smtp_step_say(client, "DATA");
}

static void
send_lone_dot(struct smtp_client *client)
{
	smtp_step_say(client, ".");
}

static void
send_rset(struct smtp_client *client)
{
	smtp_step_say(client, "RSET");
}

static void
send_quit(struct smtp_client *client)
{
	smtp_step_say(client, "QUIT");
}

static void
ask_tls(struct smtp_client *client)
{
	client->events->start_tls(client->owner);
}

/* --- what comes of it --- */

enum smtp_step
smtp_step_fault(struct smtp_client *client, struct status status)
{
	client->fault = status;
	return STEP_FAULT;
}

enum smtp_step
smtp_step_part(struct smtp_client *client, struct status status)
{
	client->parting = true;
	return smtp_step_fault(client, status);
}

/* Transient whatever its code. */
struct status
smtp_step_session_fault(const struct smtp_client *client)
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
	return smtp_step_part(client, smtp_step_session_fault(client));
}

enum smtp_step
smtp_step_odd(struct smtp_client *client)
{
	const struct status said = smtp_reply_status(&client->reply);
	char text[STATUS_TEXT_MAX];

	return smtp_step_fault(client, status_local("4.5.0", "%s: unexpected reply: %s",
	    smtp_step_rows[client->step].name, status_text(&said, text, sizeof(text))));
}

bool
smtp_step_is_refusal(const struct smtp_client *client)
{
	return client->reply.code >= 400;
}

static enum smtp_step
refused_or_odd(struct smtp_client *client)
{
	return smtp_step_is_refusal(client) ? smtp_step_refused(client) : smtp_step_odd(client);
}

static enum smtp_step
on_greeting(struct smtp_client *client)
{
	return client->reply.code == 220 ? STEP_EHLO : refused_or_odd(client);
}

/* With an EHLO answer in hand and TLS as far as it goes: what comes before the first mail. */
static enum smtp_step
after_tls(struct smtp_client *client)
{
	return smtp_auth_is_wanted(client) ? smtp_auth_begin(client) : STEP_READY;
}

static enum smtp_step
after_ehlo(struct smtp_client *client)
{
	const enum smtp_client_tls tls = client->params->tls;

	if (client->secured || tls == SMTP_CLIENT_TLS_NONE)
		return after_tls(client);
	if (client->extensions.starttls)
		return STEP_STARTTLS;
	if (tls == SMTP_CLIENT_TLS_OPPORTUNISTIC)
		return after_tls(client);
	return smtp_step_part(client, status_local("4.7.4", "STARTTLS: not offered by the peer"));
}

static bool
needs_tls(const struct smtp_client *client)
{
	return client->params->tls == SMTP_CLIENT_TLS_STARTTLS ||
	    client->params->tls == SMTP_CLIENT_TLS_IMPLICIT;
}

static enum smtp_step
on_ehlo(struct smtp_client *client)
{
	if (client->reply.code == 250) {
		client->extensions = smtp_extensions_parse(&client->reply);
		return after_ehlo(client);
	}
	/* A server of RFC 821 can do neither TLS nor AUTH (RULES T7, D_1). */
	if (client->reply.code >= 500 && !needs_tls(client) && !smtp_auth_is_wanted(client))
		return STEP_HELO;
	return refused_or_odd(client);
}

static enum smtp_step
on_helo(struct smtp_client *client)
{
	return client->reply.code == 250 ? STEP_READY : refused_or_odd(client);
}

static enum smtp_step
on_starttls(struct smtp_client *client)
{
	/* RFC 3207: one line; more would be an answer to what has not been asked. */
	if (client->reply.code == 220 && client->reply.line_count == 1)
		return STEP_HANDSHAKE;
	if (client->reply.code != 220 && client->params->tls == SMTP_CLIENT_TLS_OPPORTUNISTIC)
		return after_tls(client);
	return refused_or_odd(client);
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
	[STEP_AUTH] = { "AUTH", 300, "4.7.8", smtp_auth_enter, smtp_auth_on_reply },
	[STEP_READY] = { "idle", 0, "4.4.2", NULL, smtp_step_refused },
	[STEP_MAIL] = { "MAIL FROM", 300, "4.5.0", smtp_mail_send, smtp_fate_on_mail },
	[STEP_RCPT] = { "RCPT TO", 300, "4.5.0", smtp_mail_send_rcpt, smtp_fate_on_rcpt },
	[STEP_DATA] = { "DATA", 120, "4.5.0", send_data_command, smtp_fate_on_data },
	[STEP_CONTENT] = { "mail data", 180, "4.3.0", smtp_mail_send_content, smtp_step_refused },
	[STEP_DOT] = { "end of data", 600, "4.5.0", NULL, smtp_fate_on_dot },
	[STEP_LONE_DOT] = { "end of data", 600, "4.5.0", send_lone_dot, smtp_fate_on_lone_dot },
	/* The answers to these two decide nothing: no five minutes for them. */
	[STEP_RSET] = { "RSET", 20, "4.5.0", send_rset, smtp_fate_on_rset },
	[STEP_QUIT] = { "QUIT", 10, "4.5.0", send_quit, on_quit },
	[STEP_END] = { "end", 0, "4.5.0", NULL, smtp_step_odd },
};
