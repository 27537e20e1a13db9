/* pop3_client_login.c - the login of the POP3 client: SASL PLAIN, or USER and PASS. */
#include "proto/pop3_client_steps.h"

#include <assert.h>
#include <string.h>

/* RFC 2449 4: octets of a command with its CRLF.  Beyond it the initial response waits for a
 * challenge (RFC 5034 4). */
#define COMMAND_MAX	255

void
pop3_login_begin(struct pop3_client *client)
{
	sasl_start(&client->sasl, SASL_PLAIN, client->params->username, client->params->password);
	pop3_push(client, client->capabilities.sasl_plain ? POP3_STEP_AUTH : POP3_STEP_USER, 0, 0);
}

/* Room for all of a line at once: growing would leave copies of the secret behind. */
static void
reserve_line(const struct pop3_client *client, struct buf *out)
{
	buf_reserve(out, 64 + 2 * (strlen(client->params->username) +
	    strlen(client->params->password)));
}

/* PLAIN takes any challenge but one in bad base64, so an empty one stands for it. */
static bool
append_answer(struct pop3_client *client, struct buf *out)
{
	return sasl_answer(&client->sasl, "", 0, out);
}

void
pop3_login_write_auth(struct pop3_client *client, const struct pop3_request *request,
    struct buf *out)
{
	size_t before;

	(void)request;
	reserve_line(client, out);
	buf_append_text(out, "AUTH PLAIN");
	before = out->len;
	buf_append(out, " ", 1);
	if (append_answer(client, out) && out->len + 2 <= COMMAND_MAX)
		return;
	out->len = before;
	sasl_end(&client->sasl);
	sasl_start(&client->sasl, SASL_PLAIN, client->params->username, client->params->password);
}

void
pop3_login_on_challenge(struct pop3_client *client, const struct pop3_request *request,
    struct slice text)
{
	(void)request;
	if (client->more)
		pop3_finish(client, POP3_END_PROTOCOL, "the server said more than it was asked");
	else if (sasl_is_done(&client->sasl) || text.len > 0)
		pop3_finish(client, POP3_END_PROTOCOL, "a challenge that PLAIN does not have");
	else
		pop3_push(client, POP3_STEP_AUTH_ANSWER, 0, 0);
	client->progress++;
}

void
pop3_login_write_answer(struct pop3_client *client, const struct pop3_request *request,
    struct buf *out)
{
	bool answered;

	(void)request;
	reserve_line(client, out);
	answered = append_answer(client, out);
	assert(answered);		/* pop3_login_on_challenge() has looked */
}

static void
refused(struct pop3_client *client, const struct pop3_request *request, struct slice text)
{
	static const enum pop3_end ends[] = {
		[POP3_CODE_NONE] = POP3_END_REFUSED_LOGIN,
		[POP3_CODE_TEMPORARY] = POP3_END_TEMPORARY,
		[POP3_CODE_PERMANENT] = POP3_END_REFUSED,
	};

	pop3_part(client);
	pop3_refused(client, ends[pop3_code_parse(text)], request, text);
}

void
pop3_login_on_auth(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text)
{
	if (!ok) {
		refused(client, request, text);
		return;
	}
	client->logged_in = true;
	/* RFC 2449 5: what is offered may be more now. */
	if (client->capabilities.known)
		pop3_push(client, POP3_STEP_CAPA, 0, 0);
	else
		client->ready = true;
}

void
pop3_login_on_user(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text)
{
	if (ok)
		pop3_push(client, POP3_STEP_PASS, 0, 0);
	else
		refused(client, request, text);
}
