/* smtp_server_chunk.c - BDAT, RFC 3030: a message in counted pieces. */
#include "proto/smtp_verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/smtp_chunk.h"

/* Octets.  A client that sends smaller ones keeps us busier than its mail is worth. */
#define CHUNK_SMALL	1024

void
smtp_chunk_forget(struct smtp_server *server)
{
	free(server->chunk.refusal);
	memset(&server->chunk, 0, sizeof(server->chunk));
}

static enum smtp_server_state
idle_state(const struct smtp_server *server)
{
	return server->helo[0] == '\0' ? SMTP_GREETED : SMTP_READY;
}

/* --- behind its octets --- */

/* RFC 3030 2: the transaction has failed, and chunks that are on their way already are
 * dropped; they are answered, but are no errors of the client's. */
static void
fail_transaction(struct smtp_server *server, bool is_last)
{
	if (server->transaction.is_open)
		smtp_server_reset(server);
	server->state = idle_state(server);
	server->transaction.chunks_refused = server->state == SMTP_READY && !is_last;
}

static void
end_dropped(struct smtp_server *server)
{
	struct status refusal = *server->chunk.refusal;
	bool is_last = server->chunk.is_last, is_surplus = server->chunk.is_surplus;

	smtp_chunk_forget(server);
	if (is_surplus) {
		server->surplus++;
		smtp_server_send_status(server, &refusal);
	} else
		smtp_server_refuse(server, "BDAT", &refusal, NULL);
	fail_transaction(server, is_last);
}

static void
end_of_chunk(struct smtp_server *server, uint64_t size)
{
	struct status fault;
	char text[64];

	fault = smtp_server_judge_content(server);
	if (fault.reply_code != 0) {
		smtp_server_refuse(server, "END-OF-MESSAGE", &fault, NULL);
		fail_transaction(server, false);
		return;
	}
	if (size < CHUNK_SMALL)
		server->idle++;
	server->state = SMTP_HAS_CHUNKS;
	snprintf(text, sizeof(text), "250 2.0.0 %llu octets received\r\n",
	    (unsigned long long)size);
	smtp_server_send(server, text);
}

/* The end of a last line that came without one: no octets of the client's, to be counted. */
static void
add_line_end(void *arg, const char *octets, size_t len)
{
	struct smtp_server *server = arg;

	if (smtp_server_judge_content(server).reply_code == 0)
		server->events->on_content(server->owner, octets, len);
}

static void
end_of_octets(struct smtp_server *server)
{
	bool is_last = server->chunk.is_last;
	uint64_t size = server->chunk.size;

	if (server->chunk.refusal != NULL) {
		end_dropped(server);
		return;
	}
	smtp_chunk_forget(server);
	if (!is_last) {
		end_of_chunk(server, size);
		return;
	}
	smtp_chunk_end(&server->transaction.decoder, add_line_end, server);
	smtp_server_end_of_message(server);
}

size_t
smtp_chunk_input(struct smtp_server *server, const char *octets, size_t len)
{
	if (len > server->chunk.left)
		len = (size_t)server->chunk.left;
	if (server->chunk.refusal == NULL)
		smtp_chunk_decode(&server->transaction.decoder, octets, len, smtp_server_content,
		    server);
	server->chunk.left -= len;
	if (server->chunk.left == 0)
		end_of_octets(server);
	return len;
}

/* --- the command --- */

/* Whether the message would be too large with it: known before an octet of it was read. */
static bool
is_too_large(const struct smtp_server *server)
{
	uint64_t limit = server->settings.max_message_size, size = server->transaction.size;

	return limit > 0 && (size > limit || server->chunk.size > limit - size);
}

/* Why it cannot be taken; reply code 0: it can. */
static struct status
judge(struct smtp_server *server)
{
	struct status status = { .reply_code = 0 };

	if (server->state == SMTP_GREETED)
		return status_reply(503, "5.5.1", "send EHLO first");
	if (server->state == SMTP_READY) {
		server->chunk.is_surplus = server->transaction.not_now.reply_code != 0 ||
		    server->transaction.chunks_refused;
		return server->transaction.not_now.reply_code != 0 ? server->transaction.not_now :
		    status_reply(503, "5.5.1", "send MAIL first");
	}
	if (server->state == SMTP_HAS_SENDER)
		return status_reply(554, "5.5.1", "no valid recipients");
	if (is_too_large(server))
		return status_reply(552, "5.3.4", "message exceeds the limit");
	if (server->state == SMTP_HAS_RECIPIENTS) {
		status = server->events->on_data(server->owner);
		if (status.reply_code == 354)
			status.reply_code = 0;
		server->transaction.decoder.normalize = server->settings.normalize;
	}
	return status;
}

/* Nothing tells how many octets belong to it, and as commands they could be mail of somebody
 * else's making (RULES E, rule 6): the session ends. */
static enum smtp_server_state
refuse_argument(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	struct status end = status_reply(421, "4.7.0", "%s cannot tell where the chunk ends",
	    server->settings.hostname);

	smtp_command_refuse(command, 501, "5.5.4", "a size is needed, then LAST or nothing");
	smtp_chunk_forget(server);
	smtp_server_end(server, &end);
	return SMTP_OVER;
}

/* However many zeros stand before it. */
static bool
parse_size(struct slice text, uint64_t *size)
{
	while (text.len > 1 && text.at[0] == '0') {
		text.at++;
		text.len--;
	}
	return smtp_size_parse(text, size);
}

/* Whatever comes of it, its octets are no commands (RULES E24). */
enum smtp_server_state
smtp_command_bdat(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	struct slice size, last;
	struct status refusal;

	smtp_command_split(command->argument, &size, &last);
	server->chunk.is_last = slice_is(last, "LAST");
	if ((last.len > 0 && !server->chunk.is_last) ||
	    !parse_size(size, &server->chunk.size))
		return refuse_argument(command);
	server->chunk.left = server->chunk.size;
	refusal = judge(server);
	if (refusal.reply_code != 0)
		server->chunk.refusal = mem_dup(&refusal, sizeof(refusal));
	server->state = SMTP_IN_CHUNK;
	if (server->chunk.left == 0)
		end_of_octets(server);
	return server->state;
}
