/* smtp_server.c - the server's half of SMTP: octets in, replies and mail transactions out. */
#include "proto/smtp_server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/smtp_verb.h"

#define BARE_LINES_MAX	3	/* RULES E26 */
#define IDLE_MAX	1000	/* commands that bring no mail, RULES P */

/* --- replies --- */

void
smtp_server_send(struct smtp_server *server, const char *text)
{
	server->events->on_output(server->owner, text, strlen(text));
}

void
smtp_server_send_status(struct smtp_server *server, const struct status *status)
{
	char line[STATUS_TEXT_MAX + 32];

	/* RFC 5321 4.5.3.1.5: 512 octets with the CRLF. */
	status_text(status, line, 511);
	smtp_server_send(server, line);
	smtp_server_send(server, "\r\n");
}

void
smtp_server_refuse(struct smtp_server *server, const char *verb, const struct status *status,
    const struct address *forward_path)
{
	const struct smtp_refusal refusal = {
		.verb = verb, .status = status, .forward_path = forward_path
	};

	if (status_class(status) == STATUS_PERMANENT)
		server->errors++;
	server->idle++;
	smtp_server_send_status(server, status);
	server->events->on_refused(server->owner, &refusal);
}

/* The state stays what it was: a refused command changes nothing. */
enum smtp_server_state
smtp_command_refuse(const struct smtp_command *command, uint16_t code, const char *enhanced,
    const char *text)
{
	struct status status = status_reply(code, enhanced, "%s", text);

	smtp_server_refuse(command->server, command->name, &status, NULL);
	return command->server->state;
}

void
smtp_server_reset(struct smtp_server *server)
{
	bool had_one = server->transaction.is_open;

	smtp_chunk_forget(server);
	memset(&server->transaction, 0, sizeof(server->transaction));
	if (had_one)
		server->events->on_reset(server->owner);
}

void
smtp_server_end(struct smtp_server *server, const struct status *status)
{
	smtp_server_send_status(server, status);
	smtp_server_reset(server);
	smtp_auth_cancel(server);
	/* A claim that nobody has confirmed. */
	if (server->state == SMTP_AWAITS_AUTH)
		smtp_auth_forget(server);
	server->state = SMTP_OVER;
	server->events->on_quit(server->owner);
}

/* --- one command --- */

/* RCPT or DATA without a MAIL.  A client that pipelines sent them before it heard that MAIL
 * is refused for now: they are, too, and that is no error of its. */
static enum smtp_server_state
refuse_without_mail(const struct smtp_command *command)
{
	const struct status *not_now = &command->server->transaction.not_now;

	if (not_now->reply_code == 0)
		return smtp_command_refuse(command, 503, "5.5.1", "send MAIL first");
	command->server->surplus++;
	smtp_server_send_status(command->server, not_now);
	return SMTP_READY;
}

static enum smtp_server_state
refuse_order(const struct smtp_command *command)
{
	switch (command->server->state) {
	case SMTP_GREETED:
		return smtp_command_refuse(command, 503, "5.5.1", "send EHLO first");
	case SMTP_READY:
		return refuse_without_mail(command);
	case SMTP_HAS_SENDER:
	case SMTP_HAS_RECIPIENTS:
		return smtp_command_refuse(command, 503, "5.5.1", "a transaction is open already");
	case SMTP_HAS_CHUNKS:
		return smtp_command_refuse(command, 503, "5.5.1", "send BDAT or RSET first");
	case SMTP_IN_DATA:
	case SMTP_IN_CHUNK:
	case SMTP_IN_AUTH:
	case SMTP_AWAITS_ANSWER:
	case SMTP_AWAITS_AUTH:
	case SMTP_AWAITS_TLS:
	case SMTP_OVER:
		break;
	}
	abort();
}

static enum smtp_server_state
run_command(struct smtp_server *server, struct slice line, bool more_input)
{
	struct smtp_command command = {
		.server = server, .name = "COMMAND", .more_input = more_input
	};
	const struct smtp_verb *verb;
	struct slice name;

	if (!smtp_line_clean(line))
		return smtp_command_refuse(&command, 500, "5.5.2", "control character in command");
	smtp_command_split(line, &name, &command.argument);
	verb = smtp_verb_find(name);
	if (verb != NULL)
		command.name = verb->name;
	if (line.len + 2 > smtp_verb_line_max(verb))
		return smtp_command_refuse(&command, 500, "5.5.2", "line too long");
	if (verb == NULL)
		return smtp_command_refuse(&command, 500, "5.5.2", "command not recognized");
	if (verb->is_offered != NULL && !verb->is_offered(server))
		return smtp_command_refuse(&command, 502, "5.5.1", "command not offered");
	if (verb->is_idle)
		server->idle++;
	if ((verb->needs & 1u << server->state) == 0)
		return refuse_order(&command);
	if (!verb->takes_argument && command.argument.len > 0)
		return smtp_command_refuse(&command, 501, "5.5.4", "no argument is taken here");
	return verb->run(&command);
}

void
smtp_server_check_patience(struct smtp_server *server)
{
	struct status status;

	if (server->state == SMTP_OVER)
		return;
	if (server->discarded > SMTP_SERVER_DISCARD_MAX || server->bare_lines >= BARE_LINES_MAX ||
	    (server->settings.max_errors > 0 && server->errors >= server->settings.max_errors))
		status = status_reply(421, "4.7.0", "%s too many errors",
		    server->settings.hostname);
	/* An honest client may have as many recipients again refused in one transaction. */
	else if (server->idle >= IDLE_MAX ||
	    server->surplus >= IDLE_MAX + server->settings.max_recipients)
		status = status_reply(421, "4.7.0", "%s too many commands without mail",
		    server->settings.hostname);
	else
		return;
	smtp_server_end(server, &status);
}

/* Ends an AUTH exchange, too: the line was to be part of it. */
static void
refuse_line(struct smtp_server *server, const char *enhanced, const char *text)
{
	struct smtp_command command = { .server = server, .name = "COMMAND" };

	if (server->state == SMTP_IN_AUTH) {
		command.name = "AUTH";
		smtp_auth_cancel(server);
		server->state = SMTP_READY;
	}
	smtp_command_refuse(&command, 500, enhanced, text);
	server->discards = true;
}

/* A line that can be no command.  A bare LF is answered at once, since its sender may
 * wait, but what stands behind it is never taken for a command of its own (RULES E26). */
static size_t
discard(struct smtp_server *server, enum smtp_line kind, size_t len, size_t limit)
{
	server->discarded += len;
	/* RFC 4954 6 has a code of its own for the answer to a challenge. */
	if (!server->discards && (kind != SMTP_LINE_BARE || len > limit)) {
		refuse_line(server, server->state == SMTP_IN_AUTH ? "5.5.6" : "5.5.2",
		    "line too long");
		smtp_server_check_patience(server);
	}
	if (kind == SMTP_LINE_BARE && server->state != SMTP_OVER) {
		server->bare_lines++;
		refuse_line(server, "5.5.2", "bare LF in a command");
	}
	if (kind == SMTP_LINE_WHOLE)
		server->discards = false;
	return len;
}

static void
take_line(struct smtp_server *server, struct slice line, bool more_input)
{
	if (memchr(line.at, '\r', line.len) != NULL)
		server->bare_lines++;
	if (server->state == SMTP_IN_AUTH)
		server->state = smtp_auth_line(server, line);
	else
		server->state = run_command(server, line, more_input);
}

static size_t
input_command(struct smtp_server *server, const char *octets, size_t len)
{
	size_t used, limit = server->state == SMTP_IN_AUTH ? SMTP_SERVER_AUTH_MAX :
	    smtp_verb_line_limit(octets, len);
	enum smtp_line kind = smtp_line_find(octets, len, &used);

	/* A TLS ClientHello has no lines: RFC 8446 5.1. */
	if (octets[0] == 0x16 && !server->discards) {
		smtp_verb_other_protocol(&(struct smtp_command){ .server = server });
		return len;
	}
	if (kind == SMTP_LINE_BARE || server->discards || used > limit)
		return discard(server, kind, used, limit);
	if (kind == SMTP_LINE_PARTIAL)
		return 0;
	take_line(server, (struct slice){ octets, used - 2 }, used < len);
	return used;
}

/* --- mail data --- */

void
smtp_server_content(void *arg, const char *octets, size_t len)
{
	struct smtp_server *server = arg;
	uint64_t limit = server->settings.max_message_size;

	server->transaction.size += len;
	/* What will be refused is read to its true end, but not handed on. */
	if ((limit > 0 && server->transaction.size > limit) || server->transaction.decoder.bare ||
	    server->transaction.decoder.nul)
		return;
	server->events->on_content(server->owner, octets, len);
}

struct status
smtp_server_judge_content(const struct smtp_server *server)
{
	uint64_t limit = server->settings.max_message_size;

	if (limit > 0 && server->transaction.size > limit)
		return status_reply(552, "5.3.4", "message exceeds the limit");
	if (server->transaction.decoder.bare)
		return status_reply(550, "5.5.2", "bare CR or LF in mail data");
	if (server->transaction.decoder.nul)
		return status_reply(550, "5.6.0", "NUL in mail data");
	return (struct status){ .reply_code = 0 };
}

void
smtp_server_end_of_message(struct smtp_server *server)
{
	struct status fault = smtp_server_judge_content(server);

	if (fault.reply_code == 0) {
		memset(&server->transaction, 0, sizeof(server->transaction));
		server->state = SMTP_AWAITS_ANSWER;
		server->events->on_end(server->owner);
		return;
	}
	smtp_server_refuse(server, "END-OF-MESSAGE", &fault, NULL);
	smtp_server_reset(server);
	server->state = SMTP_READY;
}

static size_t
input_data(struct smtp_server *server, const char *octets, size_t len)
{
	bool end;
	size_t used;

	used = smtp_decode(&server->transaction.decoder, octets, len, &end, smtp_server_content,
	    server);
	if (end)
		smtp_server_end_of_message(server);
	return used;
}

/* --- the owner's side --- */

struct smtp_server *
smtp_server_new(const struct smtp_server_settings *settings,
    const struct smtp_server_events *events, void *owner)
{
	struct smtp_server *server = mem_zalloc(sizeof(*server));

	server->settings = *settings;
	server->events = events;
	server->owner = owner;
	return server;
}

void
smtp_server_free(struct smtp_server *server)
{
	if (server == NULL)
		return;
	smtp_auth_forget(server);
	smtp_chunk_forget(server);
	free(server);
}

void
smtp_server_greet(struct smtp_server *server)
{
	smtp_server_send(server, "220 ");
	smtp_server_send(server, server->settings.hostname);
	smtp_server_send(server, " ESMTP herald\r\n");
}

static bool
takes_input(const struct smtp_server *server)
{
	return server->state != SMTP_AWAITS_ANSWER && server->state != SMTP_AWAITS_AUTH &&
	    server->state != SMTP_AWAITS_TLS && server->state != SMTP_OVER;
}

size_t
smtp_server_input(struct smtp_server *server, const char *octets, size_t len)
{
	size_t at = 0, used;

	while (at < len && takes_input(server)) {
		if (server->state == SMTP_IN_DATA)
			used = input_data(server, octets + at, len - at);
		else if (server->state == SMTP_IN_CHUNK)
			used = smtp_chunk_input(server, octets + at, len - at);
		else
			used = input_command(server, octets + at, len - at);
		if (used == 0)
			break;
		at += used;
		smtp_server_check_patience(server);
	}
	return server->state == SMTP_OVER ? len : at;
}

void
smtp_server_answer(struct smtp_server *server, const struct status *status)
{
	assert(server->state == SMTP_AWAITS_ANSWER);
	server->state = SMTP_READY;
	if (status_class(status) == STATUS_SUCCESS) {
		server->errors = 0;
		server->idle = server->surplus = 0;
		smtp_server_send_status(server, status);
	} else {
		smtp_server_refuse(server, "END-OF-MESSAGE", status, NULL);
		smtp_server_check_patience(server);
	}
}

void
smtp_server_close(struct smtp_server *server, const struct status *status)
{
	if (server->state != SMTP_OVER)
		smtp_server_end(server, status);
}

bool
smtp_server_in_data(const struct smtp_server *server)
{
	return server->state == SMTP_IN_DATA || server->state == SMTP_HAS_CHUNKS ||
	    (server->state == SMTP_IN_CHUNK && server->chunk.refusal == NULL) ||
	    server->state == SMTP_AWAITS_ANSWER;
}

bool
smtp_server_awaits_answer(const struct smtp_server *server)
{
	return server->state == SMTP_AWAITS_ANSWER || server->state == SMTP_AWAITS_AUTH;
}

const char *
smtp_server_helo(const struct smtp_server *server)
{
	return server->helo;
}

const char *
smtp_server_protocol(const struct smtp_server *server)
{
	static const char *const names[2][4] = {
		{ "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" },
		{ "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" },
	};
	unsigned with = (server->settings.is_secure ? 1u : 0u) |
	    (smtp_server_username(server)[0] != '\0' ? 2u : 0u);

	if (!server->extended && !server->transaction.smtputf8)
		return "SMTP";
	return names[server->transaction.smtputf8 ? 1 : 0][with];
}
