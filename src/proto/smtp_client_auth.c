/* smtp_client_auth.c - AUTH as the client does it: which mechanism, and what is believed. */
#include "proto/smtp_client_steps.h"

#include <string.h>

#define AUTH_LINE_MAX		512	/* beyond it there is no initial response, RFC 4954 4 */
#define AUTH_ROUNDS_MAX		5	/* RULES A5 */

/* The best first.  SCRAM gives nothing away that a listener or a false server could use.
 * CRAM-MD5 comes last: of the servers that offer it all have kept the password readable. */
static const struct preference {
	enum sasl_mechanism mechanism;
	enum smtp_client_auth name;
	bool hides;			/* the password itself is not sent */
} preferences[] = {
	{ SASL_SCRAM_SHA_256, SMTP_CLIENT_AUTH_SCRAM_SHA_256, true },
	{ SASL_PLAIN, SMTP_CLIENT_AUTH_PLAIN, false },
	{ SASL_LOGIN, SMTP_CLIENT_AUTH_LOGIN, false },
	{ SASL_CRAM_MD5, SMTP_CLIENT_AUTH_CRAM_MD5, true },
};

bool
smtp_auth_is_wanted(const struct smtp_client *client)
{
	return client->params->username != NULL && client->params->username[0] != '\0';
}

static bool
is_offered(const struct smtp_client *client, enum sasl_mechanism mechanism)
{
	const struct smtp_extensions *offers = &client->extensions;
	const bool offered[] = {
		[SASL_NONE] = false,
		[SASL_PLAIN] = offers->auth_plain,
		[SASL_LOGIN] = offers->auth_login,
		[SASL_CRAM_MD5] = offers->auth_cram_md5,
		[SASL_SCRAM_SHA_256] = offers->auth_scram_sha_256,
	};

	return offered[mechanism];
}

/* Whether nobody listens in between. */
static bool
is_safe(const struct smtp_client *client)
{
	return client->secured || client->params->auth_in_clear;
}

static bool
is_allowed(const struct smtp_client *client, const struct preference *row)
{
	const enum smtp_client_auth wanted = client->params->auth;

	if (wanted != SMTP_CLIENT_AUTH_AUTO && wanted != row->name)
		return false;
	if (is_safe(client))
		return true;
	/* Who could take STARTTLS out of the offers could take SCRAM out of them, too. */
	if (client->params->tls == SMTP_CLIENT_TLS_OPPORTUNISTIC)
		return false;
	return wanted == row->name ? row->hides : row->mechanism == SASL_SCRAM_SHA_256;
}

static enum sasl_mechanism
choose_mechanism(const struct smtp_client *client)
{
	for (size_t i = 0; i < sizeof(preferences) / sizeof(preferences[0]); i++) {
		const struct preference *row = &preferences[i];

		if (is_offered(client, row->mechanism) && is_allowed(client, row) &&
		    (client->auth_tried & 1u << row->mechanism) == 0)
			return row->mechanism;
	}
	return SASL_NONE;
}

static enum smtp_step
start(struct smtp_client *client, enum sasl_mechanism mechanism)
{
	sasl_end(&client->sasl);
	sasl_start(&client->sasl, mechanism, client->params->username, client->params->password);
	client->auth_tried |= 1u << mechanism;
	client->auth_rounds = 0;
	return STEP_AUTH;
}

enum smtp_step
smtp_auth_begin(struct smtp_client *client)
{
	const enum sasl_mechanism mechanism = choose_mechanism(client);

	if (mechanism != SASL_NONE)
		return start(client, mechanism);
	if (!is_safe(client))
		return smtp_step_part(client, status_local("4.7.11", "AUTH: not sent without TLS"));
	return smtp_step_part(client, status_local("4.7.4",
	    "AUTH: no allowed mechanism is offered"));
}

/* Room for all of a line at once: growing would leave copies of the secret behind. */
static void
reserve_line(const struct smtp_client *client, struct buf *line)
{
	buf_reserve(line, 256 + 2 * (strlen(client->params->username) +
	    strlen(client->params->password) + client->reply.text.len));
}

static void
send_line(struct smtp_client *client, struct buf *line)
{
	buf_append(line, "\r\n", 2);
	client->due++;
	client->events->send(client->owner, buf_octets(line), line->len, true);
	buf_wipe(line);
}

static enum smtp_step
bad_challenge(struct smtp_client *client)
{
	return smtp_step_fault(client, status_local("4.7.0", "AUTH: %s (%s)",
	    sasl_fault(&client->sasl), sasl_name(client->sasl.mechanism)));
}

void
smtp_auth_enter(struct smtp_client *client)
{
	struct sasl *sasl = &client->sasl;
	struct buf line = { 0 };
	size_t verb;

	reserve_line(client, &line);
	buf_append_text(&line, "AUTH ");
	buf_append_text(&line, sasl_name(sasl->mechanism));
	verb = line.len;
	if (sasl_has_initial(sasl)) {
		buf_append(&line, " ", 1);
		if (!sasl_answer(sasl, "", 0, &line) || line.len + 2 > AUTH_LINE_MAX) {
			line.len = verb;
			start(client, sasl->mechanism);
		}
	}
	send_line(client, &line);
}

static enum smtp_step
answer(struct smtp_client *client)
{
	const struct smtp_reply *reply = &client->reply;
	struct buf line = { 0 };

	if (++client->auth_rounds > AUTH_ROUNDS_MAX)
		return smtp_step_fault(client, status_local("4.7.0",
		    "AUTH: the peer has more challenges than %s",
		    sasl_name(client->sasl.mechanism)));
	reserve_line(client, &line);
	if (!sasl_answer(&client->sasl, buf_octets(&reply->text), reply->text.len, &line)) {
		buf_wipe(&line);
		return bad_challenge(client);
	}
	client->now.ahead++;		/* the answer is this step's command */
	send_line(client, &line);
	return STEP_AUTH;
}

/* RFC 4954 4 and 6: the mechanism is not known here, or too weak for this account.  Whether
 * the credentials are right has not been said: another mechanism may be asked. */
static bool
is_about_mechanism(const struct smtp_client *client)
{
	return client->params->auth == SMTP_CLIENT_AUTH_AUTO &&
	    (client->reply.code == 504 || client->reply.code == 534);
}

enum smtp_step
smtp_auth_on_reply(struct smtp_client *client)
{
	enum sasl_mechanism mechanism;

	if (client->premature)
		return STEP_READY;	/* it is not entered */
	if (client->reply.code == 235) {
		/* Who cannot prove that it knows the password only says that it does. */
		if (client->sasl.mechanism == SASL_SCRAM_SHA_256 && !sasl_is_done(&client->sasl))
			return smtp_step_fault(client, status_local("4.7.0", "AUTH: the "
			    "server has not proved that it knows the password"));
		sasl_end(&client->sasl);
		return STEP_READY;
	}
	mechanism = is_about_mechanism(client) ? choose_mechanism(client) : SASL_NONE;
	if (mechanism != SASL_NONE)
		return start(client, mechanism);
	client->auth_refused = client->reply.code >= 500;
	if (smtp_step_is_refusal(client))
		return smtp_step_refused(client);
	if (client->reply.code != 334 || client->reply.line_count != 1)
		return smtp_step_odd(client);
	return answer(client);
}

void
smtp_auth_withhold_secret(struct smtp_client *client)
{
	struct buf *text = &client->reply.text;
	struct enhanced_code code;

	if (!sasl_is_quoted(&client->sasl, buf_octets(text), text->len))
		return;
	text->len = enhanced_code_parse(&code, buf_octets(text), text->len);
	if (text->len > 0)
		buf_append_text(text, " ");
	buf_append_text(text, "(its words repeat the secret)");
}
