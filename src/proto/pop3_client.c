/* pop3_client.c - the client's half of a POP3 dialogue (RFC 1939), without sockets. */
#include "proto/pop3_client.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/pop3_client_steps.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* So many replies may be outstanding.  Their commands fit into any socket's buffer, so that
 * neither side waits for the other to read. */
#define WINDOW			16
#define QUEUE_FIRST		16
#define HANDSHAKE_TIMEOUT	30	/* seconds, as in SMTP */
#define TEXT_MAX		512	/* octets of words for people */

/* --- the queue --- */

static struct pop3_request *
request_at(struct pop3_client *client, size_t place)
{
	assert(place < client->count);
	return &client->queue[client->first + place];
}

void
pop3_push(struct pop3_client *client, enum pop3_step step, unsigned number, unsigned lines)
{
	/* Moved down only where half is free: each request is moved once at most, on average. */
	if (client->first + client->count == client->capacity && client->first >= client->count &&
	    client->first > 0) {
		memmove(client->queue, client->queue + client->first,
		    client->count * sizeof(*client->queue));
		client->first = 0;
	}
	if (client->first + client->count == client->capacity) {
		client->capacity = client->capacity > 0 ? 2 * client->capacity : QUEUE_FIRST;
		client->queue = mem_grow(client->queue, client->capacity, sizeof(*client->queue));
	}
	client->queue[client->first + client->count++] =
	    (struct pop3_request){ .step = step, .number = number, .lines = lines };
}

static void
pop(struct pop3_client *client)
{
	client->first++;
	client->count--;
	client->sent--;
}

static bool
may_send(struct pop3_client *client)
{
	if (client->sent == 0)
		return true;
	return client->capabilities.pipelining && client->sent < WINDOW &&
	    request_at(client, client->sent)->step != POP3_STEP_QUIT;
}

static void
send_queued(struct pop3_client *client)
{
	struct buf *out = &client->out;
	bool secret = false;

	if (client->sent == 0 && client->count > 0)
		client->progress++;
	while (client->sent < client->count && may_send(client)) {
		const struct pop3_request *request = request_at(client, client->sent++);

		pop3_rows[request->step].write(client, request, out);
		buf_append(out, "\r\n", 2);
		secret = pop3_rows[request->step].secret;
	}
	if (out->len == 0)
		return;
	client->events->send(client->owner, buf_octets(out), out->len, secret);
	if (secret)
		buf_wipe(out);
	else
		buf_clear(out);
}

/* --- the end --- */

static void
finish(struct pop3_client *client, enum pop3_end end, const char *text)
{
	if (client->finished)
		return;
	client->finished = true;
	client->progress++;
	sasl_end(&client->sasl);
	client->events->on_finished(client->owner, end, text);
}

void
pop3_finish(struct pop3_client *client, enum pop3_end end, const char *text)
{
	char whole[TEXT_MAX];
	char *step = mem_printf("%s: %s", pop3_client_step(client), text);

	text_copy(whole, sizeof(whole), step);
	free(step);
	finish(client, end, whole);
}

void
pop3_refused(struct pop3_client *client, enum pop3_end end, const struct pop3_request *request,
    struct slice text)
{
	char said[TEXT_MAX - 64], whole[TEXT_MAX];
	char *words;

	text_printable_utf8(said, sizeof(said), text.at, text.len);
	if (sasl_is_quoted(&client->sasl, text.at, text.len))
		text_copy(said, sizeof(said), POP3_QUOTED_TEXT);
	words = mem_printf("%s: refused%s%s", pop3_rows[request->step].name,
	    said[0] != '\0' ? ": " : "", said);
	text_copy(whole, sizeof(whole), words);
	free(words);
	finish(client, end, whole);
}

void
pop3_not_served(struct pop3_client *client, const struct pop3_request *request,
    struct slice text)
{
	pop3_refused(client, pop3_code_parse(text) == POP3_CODE_TEMPORARY ?
	    POP3_END_TEMPORARY : POP3_END_REFUSED, request, text);
}

void
pop3_part(struct pop3_client *client)
{
	if (!client->finished && !client->more)
		client->events->send(client->owner, "QUIT\r\n", 6, false);
}

/* --- replies --- */

/* The reply to the first request is whole. */
static void
complete(struct pop3_client *client, bool ok, struct slice text)
{
	const struct pop3_request request = *request_at(client, 0);

	client->in_lines = false;
	client->progress++;
	pop3_rows[request.step].on_reply(client, &request, ok, text);
	if (client->finished)
		return;
	/* Who answers before it is asked would get its answers mixed up: nothing more is said
	 * to it (CVE-2021-39272 where the question is STLS). */
	if (client->more && client->sent == 1)
		pop3_finish(client, POP3_END_PROTOCOL, "the server said more than it was asked");
	pop(client);
}

static struct slice
kept_text(const struct pop3_client *client)
{
	return (struct slice){ buf_octets(&client->text), client->text.len };
}

static void
begin_lines(struct pop3_client *client, struct slice text)
{
	buf_clear(&client->text);
	buf_append(&client->text, text.at, text.len);
	client->decoder = (struct smtp_decoder){ .state = 0 };
	client->line_count = 0;
	client->in_lines = true;
	client->progress++;
}

static void
on_first_line(struct pop3_client *client, struct slice line)
{
	const struct pop3_request request = *request_at(client, 0);
	struct slice text;

	switch (pop3_status_parse(line, &text)) {
	case POP3_STATUS_OK:
		if (pop3_rows[request.step].shape != POP3_REPLY_ONE_LINE)
			begin_lines(client, text);
		else
			complete(client, true, text);
		return;
	case POP3_STATUS_ERR:
		complete(client, false, text);
		return;
	case POP3_STATUS_CHALLENGE:
		if (request.step == POP3_STEP_AUTH) {
			pop3_login_on_challenge(client, &request, text);
			pop(client);
			return;
		}
		break;
	case POP3_STATUS_NONE:
		break;
	}
	pop3_finish(client, POP3_END_PROTOCOL, "the reply begins neither with +OK nor with -ERR");
}

static void
on_line(struct pop3_client *client, struct slice line)
{
	if (!client->in_lines) {
		on_first_line(client, line);
		return;
	}
	/* No line of theirs begins with a dot, so there is nothing to un-stuff. */
	if (line.len == 1 && line.at[0] == '.') {
		complete(client, true, kept_text(client));
		return;
	}
	client->line_count++;
	pop3_rows[request_at(client, 0)->step].on_line(client, line);
}

/* Returns the octets used: 0 for an unfinished line. */
static size_t
read_line(struct pop3_client *client, const char *octets, size_t len)
{
	size_t used;
	const enum smtp_line found = smtp_line_find(octets, len, &used);

	if (found == SMTP_LINE_PARTIAL && len < POP3_LINE_MAX)
		return 0;
	client->more = found != SMTP_LINE_PARTIAL && used < len;
	if (found == SMTP_LINE_PARTIAL || used > POP3_LINE_MAX)
		pop3_finish(client, POP3_END_LIMIT, "a reply line that is too long");
	else if (found == SMTP_LINE_BARE)
		pop3_finish(client, POP3_END_PROTOCOL, "a reply line ends with a bare LF");
	else
		on_line(client, (struct slice){ octets, used - 2 });
	return used;
}

static void
take_content(void *owner, const char *octets, size_t len)
{
	struct pop3_client *client = owner;

	if (!client->finished)
		client->events->on_content(client->owner, request_at(client, 0)->number, octets,
		    len);
}

static size_t
read_content(struct pop3_client *client, const char *octets, size_t len)
{
	bool end;
	size_t used = smtp_decode(&client->decoder, octets, len, &end, take_content, client);

	client->more = used < len;
	if (end && !client->finished)
		complete(client, true, kept_text(client));
	return used;
}

static size_t
read_some(struct pop3_client *client, const char *octets, size_t len)
{
	if (client->sent == 0) {
		pop3_finish(client, POP3_END_PROTOCOL, "the server speaks without being asked");
		return len;
	}
	if (client->in_lines &&
	    pop3_rows[request_at(client, 0)->step].shape == POP3_REPLY_CONTENT)
		return read_content(client, octets, len);
	return read_line(client, octets, len);
}

size_t
pop3_client_input(struct pop3_client *client, const char *octets, size_t len)
{
	size_t total = 0, used = len;

	client->busy = true;
	while (total < len && used > 0 && !client->finished) {
		used = read_some(client, octets + total, len - total);
		total += used;
		if (client->ready && !client->ready_told && !client->finished) {
			client->ready_told = true;
			client->events->on_ready(client->owner);
		}
		if (!client->finished)
			send_queued(client);
	}
	client->busy = false;
	return client->finished ? len : total;
}

/* --- the owner's --- */

bool
pop3_client_check_login(const struct pop3_client_params *params, struct error *err)
{
	if (params->username == NULL || params->username[0] == '\0')
		return error_set(err, ERROR_CONFIG, "the user name is empty");
	if (params->password == NULL || params->password[0] == '\0')
		return error_set(err, ERROR_CONFIG, "the password is empty");
	if (strpbrk(params->username, "\r\n") != NULL)
		return error_set(err, ERROR_CONFIG, "the user name has a line end in it");
	if (strpbrk(params->password, "\r\n") != NULL)
		return error_set(err, ERROR_CONFIG, "the password has a line end in it");
	return true;
}

struct pop3_client *
pop3_client_new(const struct pop3_client_params *params, const struct pop3_client_events *events,
    void *owner)
{
	struct pop3_client *client = mem_zalloc(sizeof(*client));

	client->params = params;
	client->events = events;
	client->owner = owner;
	pop3_push(client, POP3_STEP_GREETING, 0, 0);
	client->sent = 1;
	return client;
}

void
pop3_client_free(struct pop3_client *client)
{
	if (client == NULL)
		return;
	buf_wipe(&client->out);
	buf_free(&client->text);
	sasl_end(&client->sasl);
	free(client->queue);
	free(client->listed);
	free(client);
}

void
pop3_client_secured(struct pop3_client *client)
{
	if (!client->in_handshake || client->finished)
		return;
	client->in_handshake = false;
	client->secured = true;
	client->capabilities = (struct pop3_capabilities){ .known = false };
	pop3_push(client, POP3_STEP_CAPA, 0, 0);
	send_queued(client);
}

void
pop3_client_lost(struct pop3_client *client, const char *text)
{
	if (!client->finished)
		pop3_finish(client, POP3_END_LOST, text);
}

static void
give(struct pop3_client *client, enum pop3_step step, unsigned number, unsigned lines)
{
	assert(client->ready_told && !client->quitting);
	if (client->finished)
		return;
	client->quitting = step == POP3_STEP_QUIT;
	pop3_push(client, step, number, lines);
}

static void
give_one(struct pop3_client *client, enum pop3_step step, unsigned number, unsigned lines)
{
	give(client, step, number, lines);
	if (!client->busy && !client->finished)
		send_queued(client);
}

void
pop3_client_list(struct pop3_client *client)
{
	give(client, POP3_STEP_STAT, 0, 0);
	give(client, POP3_STEP_LIST, 0, 0);
	give_one(client, POP3_STEP_UIDL, 0, 0);
}

void
pop3_client_retrieve(struct pop3_client *client, unsigned number)
{
	give_one(client, POP3_STEP_RETR, number, 0);
}

void
pop3_client_top(struct pop3_client *client, unsigned number, unsigned lines)
{
	give_one(client, POP3_STEP_TOP, number, lines);
}

void
pop3_client_delete(struct pop3_client *client, unsigned number)
{
	give_one(client, POP3_STEP_DELE, number, 0);
}

void
pop3_client_quit(struct pop3_client *client)
{
	give_one(client, POP3_STEP_QUIT, 0, 0);
}

unsigned
pop3_client_timeout(const struct pop3_client *client)
{
	if (client->finished || client->in_lines)
		return 0;
	if (client->in_handshake)
		return HANDSHAKE_TIMEOUT;
	return client->sent == 0 ? 0 : pop3_rows[client->queue[client->first].step].timeout;
}

unsigned
pop3_client_progress(const struct pop3_client *client)
{
	return client->progress;
}

bool
pop3_client_is_in_lines(const struct pop3_client *client)
{
	return client->in_lines && !client->finished;
}

bool
pop3_client_is_in_auth(const struct pop3_client *client)
{
	return client->sent > 0 && pop3_rows[client->queue[client->first].step].in_auth;
}

const char *
pop3_client_step(const struct pop3_client *client)
{
	if (client->in_handshake)
		return "TLS handshake";
	return client->sent == 0 ? "idle" : pop3_rows[client->queue[client->first].step].name;
}

const struct pop3_capabilities *
pop3_client_capabilities(const struct pop3_client *client)
{
	return &client->capabilities;
}
