/* pop3_client_steps.c - the steps of the POP3 client's dialogue: what is said, what is awaited. */
#include "proto/pop3_client_steps.h"

#include <string.h>

/* RFC 2449 5 names a dozen; who has more is not listing capabilities. */
#define CAPA_LINES_MAX	1000

static void
write_name(struct pop3_client *client, const struct pop3_request *request, struct buf *out)
{
	(void)client;
	buf_append_text(out, pop3_rows[request->step].name);
}

static void
write_number(struct pop3_client *client, const struct pop3_request *request, struct buf *out)
{
	(void)client;
	buf_appendf(out, "%s %u", pop3_rows[request->step].name, request->number);
}

static void
write_top(struct pop3_client *client, const struct pop3_request *request, struct buf *out)
{
	(void)client;
	buf_appendf(out, "TOP %u %u", request->number, request->lines);
}

static void
write_user(struct pop3_client *client, const struct pop3_request *request, struct buf *out)
{
	(void)request;
	buf_appendf(out, "USER %s", client->params->username);
}

static void
write_pass(struct pop3_client *client, const struct pop3_request *request, struct buf *out)
{
	size_t len = strlen(client->params->password);

	(void)request;
	/* All at once, with the CRLF: growing would leave a copy of the secret behind. */
	buf_reserve(out, len + 8);
	buf_append_text(out, "PASS ");
	buf_append(out, client->params->password, len);
}

/* --- replies --- */

static void
on_greeting(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text)
{
	if (!ok) {
		pop3_not_served(client, request, text);
		return;
	}
	client->events->on_welcome(client->owner, text.at, text.len);
	pop3_push(client, POP3_STEP_CAPA, 0, 0);
}

static void
on_capa_line(struct pop3_client *client, struct slice line)
{
	if (client->line_count == 1)
		client->capabilities = (struct pop3_capabilities){ .known = true };
	if (client->line_count > CAPA_LINES_MAX)
		pop3_finish(client, POP3_END_LIMIT, "too many capabilities");
	else
		pop3_capability_add(&client->capabilities, line);
}

static void
on_capa(struct pop3_client *client, const struct pop3_request *request, bool ok, struct slice text)
{
	(void)request;
	(void)text;
	if (!ok || client->line_count == 0)
		client->capabilities = (struct pop3_capabilities){ .known = ok };
	if (client->logged_in) {
		client->ready = true;
		return;
	}
	if (client->params->tls != POP3_TLS_STLS || client->secured) {
		pop3_login_begin(client);
	} else if (client->capabilities.known && !client->capabilities.stls) {
		pop3_part(client);
		pop3_finish(client, POP3_END_NO_TLS, "the server does not offer STLS");
	} else {
		/* Who does not know CAPA may know STLS: it was there before (RFC 2595). */
		pop3_push(client, POP3_STEP_STLS, 0, 0);
	}
}

static void
on_stls(struct pop3_client *client, const struct pop3_request *request, bool ok, struct slice text)
{
	if (!ok) {
		pop3_part(client);
		pop3_refused(client, POP3_END_NO_TLS, request, text);
		return;
	}
	/* Octets in clear behind it would be believed as if they came under TLS: the session
	 * ends, and no handshake is begun. */
	if (client->more)
		return;
	client->in_handshake = true;
	client->events->start_tls(client->owner);
}

static void
on_command(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text)
{
	const enum pop3_command command = request->step == POP3_STEP_RETR ? POP3_RETR :
	    request->step == POP3_STEP_TOP ? POP3_TOP : POP3_DELE;

	if (!ok && sasl_is_quoted(&client->sasl, text.at, text.len))
		text = (struct slice){ POP3_QUOTED_TEXT, strlen(POP3_QUOTED_TEXT) };
	client->events->on_done(client->owner, command, request->number, ok, text.at, text.len);
}

static void
on_quit(struct pop3_client *client, const struct pop3_request *request, bool ok, struct slice text)
{
	if (ok)
		pop3_finish(client, POP3_END_QUIT, "done");
	else
		pop3_not_served(client, request, text);
}

/* RFC 1939 has no times for the client.  60 s: what needs no work, as a person waits for it.
 * 300 s: the server may wait for the mailbox's lock, or has to read all of it; QUIT rewrites
 * it (RFC 5321 4.5.3.2.6 grants ten minutes to the like). */
const struct pop3_row pop3_rows[] = {
	[POP3_STEP_GREETING] = { .name = "greeting", .timeout = 60, .on_reply = on_greeting },
	[POP3_STEP_CAPA] = { .name = "CAPA", .timeout = 60, .shape = POP3_REPLY_LINES,
	    .write = write_name, .on_reply = on_capa, .on_line = on_capa_line },
	[POP3_STEP_STLS] = { .name = "STLS", .timeout = 60, .write = write_name,
	    .on_reply = on_stls },
	[POP3_STEP_AUTH] = { .name = "AUTH", .timeout = 300, .in_auth = true, .secret = true,
	    .write = pop3_login_write_auth, .on_reply = pop3_login_on_auth },
	[POP3_STEP_AUTH_ANSWER] = { .name = "AUTH", .timeout = 300, .in_auth = true,
	    .secret = true, .write = pop3_login_write_answer, .on_reply = pop3_login_on_auth },
	[POP3_STEP_USER] = { .name = "USER", .timeout = 60, .in_auth = true, .write = write_user,
	    .on_reply = pop3_login_on_user },
	[POP3_STEP_PASS] = { .name = "PASS", .timeout = 300, .in_auth = true, .secret = true,
	    .write = write_pass, .on_reply = pop3_login_on_auth },
	[POP3_STEP_STAT] = { .name = "STAT", .timeout = 300, .write = write_name,
	    .on_reply = pop3_list_on_stat },
	[POP3_STEP_LIST] = { .name = "LIST", .timeout = 300, .shape = POP3_REPLY_LINES,
	    .write = write_name, .on_reply = pop3_list_on_list,
	    .on_line = pop3_list_on_list_line },
	[POP3_STEP_UIDL] = { .name = "UIDL", .timeout = 300, .shape = POP3_REPLY_LINES,
	    .write = write_name, .on_reply = pop3_list_on_uidl,
	    .on_line = pop3_list_on_uidl_line },
	[POP3_STEP_RETR] = { .name = "RETR", .timeout = 300, .shape = POP3_REPLY_CONTENT,
	    .write = write_number, .on_reply = on_command },
	[POP3_STEP_TOP] = { .name = "TOP", .timeout = 300, .shape = POP3_REPLY_CONTENT,
	    .write = write_top, .on_reply = on_command },
	[POP3_STEP_DELE] = { .name = "DELE", .timeout = 60, .write = write_number,
	    .on_reply = on_command },
	[POP3_STEP_QUIT] = { .name = "QUIT", .timeout = 600, .write = write_name,
	    .on_reply = on_quit },
};
