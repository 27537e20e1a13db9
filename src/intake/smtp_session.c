/* smtp_session.c - SMTP clients: each joins a connection, the engine and a submission. */
#include "intake/smtp_session.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/config.h"
#include "intake/access.h"
#include "intake/pace.h"
#include "intake/refusal.h"
#include "mail/maillog.h"
#include "net/conn.h"
#include "net/endpoint.h"
#include "net/idle.h"
#include "net/linger.h"
#include "net/socket.h"
#include "proto/smtp_server.h"
#include "queue/queue.h"
#include "queue/submission.h"

#define COMMANDS_AT_ONCE	4096	/* octets: so many replies may be held for a slow reader */
#define CLIENT_SIZE		96	/* "unknown[" and an IPv6 address "]" */

LIST_HEAD(session_list, smtp_session);

struct smtp_sessions {
	struct loop *loop;
	struct queue *queue;
	struct access *access;
	struct session_list open;
	uint64_t open_count, connections, messages, refused[REFUSALS];
	int64_t logged_full;		/* Unix seconds of the latest line about too many clients */
};

struct smtp_session {
	struct smtp_sessions *sessions;
	const struct config *config;	/* a reference: `section` is part of it */
	const struct submission_config *section;
	struct conn *conn;
	struct smtp_server *server;
	struct submission *submission;	/* from MAIL to the answer; NULL: none */
	struct idle idle;
	struct pace pace;
	bool may_relay;
	bool is_over;			/* the engine has said its last word */
	bool has_sender;		/* reverse_path is that of this transaction */
	struct address reverse_path;
	const char *client_name;
	char client_address[ENDPOINT_ADDRESS_MAX];	/* "" for a UNIX socket */
	unsigned client_uid;
	char client[CLIENT_SIZE];	/* "localhost[127.0.0.1]", "local[unix]" */
	struct access_client access_client;
	LIST_ENTRY(smtp_session) entry;
};

/* --- the end of a session --- */

static void
free_session(struct smtp_session *session)
{
	LIST_REMOVE(session, entry);
	session->sessions->open_count--;
	access_leave(session->sessions->access, session->section->name, &session->access_client);
	idle_stop(&session->idle);
	submission_abort(session->submission);
	smtp_server_free(session->server);
	config_unref(session->config);
	free(session);
}

/* Our last words go out and the client's are drained. */
static void
finish_session(struct smtp_session *session)
{
	conn_finish(session->conn);
	free_session(session);
}

static void
close_with(struct smtp_session *session, const char *enhanced, const char *text)
{
	const char *hostname = session->config->hostname;
	struct status status = status_reply(421, enhanced, "%s %s", hostname, text);

	log_write(LOG_LEVEL_DEBUG, "smtpd", "closing %s: %s", session->client, text);
	smtp_server_close(session->server, &status);
	finish_session(session);
}

static void
on_idle(void *owner)
{
	struct smtp_session *session = owner;

	/* It is not the client that keeps us waiting. */
	if (smtp_server_awaits_answer(session->server))
		idle_set(&session->idle, session->section->timeout);
	else
		close_with(session, "4.4.2", "timeout exceeded");
}

/* --- what the connection tells --- */

/* Input stops while the store has not answered, and while the client does not read its
 * replies: so neither can grow (RULES S: output high-watermark). */
static void
settle_flow(struct smtp_session *session)
{
	if (smtp_server_awaits_answer(session->server) ||
	    conn_unsent(session->conn) >= CONN_DRAINED)
		conn_pause(session->conn);
	else
		conn_resume(session->conn);
}

static bool
takes_input(const struct smtp_session *session)
{
	return !session->is_over && !smtp_server_awaits_answer(session->server) &&
	    conn_unsent(session->conn) < CONN_DRAINED;
}

static size_t
take_input(struct smtp_session *session, const char *octets, size_t len)
{
	size_t at = 0, some, used = 1;

	while (at < len && used > 0 && takes_input(session)) {
		bool in_data = smtp_server_in_data(session->server);

		some = len - at;
		if (some > COMMANDS_AT_ONCE && !in_data)
			some = COMMANDS_AT_ONCE;
		used = smtp_server_input(session->server, octets + at, some);
		/* What is too large anyway earns no time. */
		if (in_data && session->pace.octets < session->config->queue.max_message_size)
			session->pace.octets += used;
		at += used;
	}
	return at;
}

/* NULL: it keeps up.  Who is silent is on_idle()'s. */
static const char *
fault_of_pace(const struct smtp_session *session)
{
	if (smtp_server_awaits_answer(session->server))
		return NULL;
	return pace_fault(&session->pace, smtp_server_in_data(session->server),
	    session->section->timeout);
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct smtp_session *session = owner;
	size_t at = take_input(session, octets, len);
	const char *fault;

	if (session->is_over) {
		finish_session(session);
		return len;
	}
	fault = fault_of_pace(session);
	if (fault != NULL) {
		close_with(session, "4.4.2", fault);
		return len;
	}
	/* Octets that make no whole command are no progress: one at a time they would hold the
	 * session for ever. */
	if (at > 0)
		idle_progress(&session->idle);
	settle_flow(session);
	return at;
}

static void
on_drained(void *owner)
{
	settle_flow(owner);
}

static void
on_closed(void *owner, enum conn_end end, const char *text)
{
	struct smtp_session *session = owner;

	(void)end;
	log_write(LOG_LEVEL_DEBUG, "smtpd", "lost connection from %s: %s", session->client, text);
	free_session(session);
}

static const struct conn_events conn_events = {
	.on_input = on_input,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* --- what the engine tells --- */

static void
on_output(void *owner, const char *octets, size_t len)
{
	struct smtp_session *session = owner;

	conn_write(session->conn, octets, len);
}

static struct status
on_mail(void *owner, const struct address *reverse_path, const struct smtp_mail_params *params)
{
	struct smtp_session *session = owner;
	struct smtp_sessions *sessions = session->sessions;
	const struct submission_mail mail = {
		.body_8bit = params->body_8bit,
		.smtputf8 = params->smtputf8,
		.ret = params->ret,
		.envid = params->envid,
		.envid_len = params->envid_len,
	};
	struct status why;

	session->reverse_path = *reverse_path;
	session->has_sender = true;
	if (!queue_has_room(sessions->queue, params->size, &why))
		return why;
	session->submission = submission_begin(sessions->queue, session->config, reverse_path,
	    &mail);
	return status_reply(250, "2.1.0", "Ok");
}

static struct status
on_rcpt(void *owner, const struct address *forward_path, const struct smtp_rcpt_params *params)
{
	struct smtp_session *session = owner;
	const struct submission_rcpt rcpt = {
		.notify = params->notify, .orcpt = params->orcpt, .orcpt_len = params->orcpt_len
	};
	char text[ADDRESS_TEXT_MAX + 1];

	if (!session->may_relay)
		return status_reply(554, "5.7.1", "<%s>: Relay access denied",
		    address_text(forward_path, text));
	submission_add(session->submission, forward_path, &rcpt);
	return status_reply(250, "2.1.5", "Ok");
}

static struct status
on_data(void *owner)
{
	struct smtp_session *session = owner;
	bool is_local = session->client_address[0] == '\0';
	const struct submission_origin origin = {
		.helo = smtp_server_helo(session->server),
		.client_name = session->client_name,
		.client_address = is_local ? NULL : session->client_address,
		.client_uid = session->client_uid,
		.protocol = smtp_server_protocol(session->server),
	};

	submission_open(session->submission, &origin);
	pace_start_data(&session->pace);
	return status_reply(354, "", "go ahead");
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct smtp_session *session = owner;

	submission_write(session->submission, octets, len);
}

/* The answer of the store: the commands behind the mail data may go on. */
static void
on_submitted(void *arg, const struct status *status)
{
	struct smtp_session *session = arg;

	session->submission = NULL;
	if (status_class(status) == STATUS_SUCCESS) {
		session->sessions->messages++;
		pace_start(&session->pace);
	}
	idle_progress(&session->idle);
	smtp_server_answer(session->server, status);
	session->has_sender = false;
	if (session->is_over)
		finish_session(session);
	else
		settle_flow(session);
}

static void
on_end(void *owner)
{
	struct smtp_session *session = owner;
	struct status refusal;

	if (submission_commit(session->submission, on_submitted, session, &refusal))
		return;
	session->submission = NULL;
	smtp_server_answer(session->server, &refusal);
	session->has_sender = false;
}

static void
on_reset(void *owner)
{
	struct smtp_session *session = owner;

	submission_abort(session->submission);
	session->submission = NULL;
	session->has_sender = false;
}

static void
on_quit(void *owner)
{
	struct smtp_session *session = owner;

	session->is_over = true;
}

/* --- refusals: counted, and those of mail logged --- */

static bool
is_about_mail(const char *verb)
{
	static const char *const verbs[] = { "MAIL", "RCPT", "DATA", "END-OF-MESSAGE" };

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verb, verbs[i]) == 0)
			return true;
	return false;
}

static void
on_refused(void *owner, const struct smtp_refusal *refusal)
{
	struct smtp_session *session = owner;
	char reverse_path[ADDRESS_TEXT_MAX + 1], forward_path[ADDRESS_TEXT_MAX + 1], reply[600];
	struct maillog_reject reject = {
		.verb = refusal->verb,
		.client = session->client,
		.status = refusal->status,
		.protocol = smtp_server_protocol(session->server),
		.helo = smtp_server_helo(session->server),
	};

	session->sessions->refused[refusal_classify(refusal->status)]++;
	if (!is_about_mail(refusal->verb)) {
		log_write(LOG_LEVEL_DEBUG, "smtpd", "%s from %s: %s", refusal->verb,
		    session->client, status_text(refusal->status, reply, sizeof(reply)));
		return;
	}
	if (session->has_sender)
		reject.reverse_path = address_text(&session->reverse_path, reverse_path);
	if (refusal->forward_path != NULL)
		reject.forward_path = address_text(refusal->forward_path, forward_path);
	maillog_reject(&reject);
	session->has_sender = session->submission != NULL;
}

static const struct smtp_server_events server_events = {
	.on_output = on_output,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_refused = on_refused,
	.on_quit = on_quit,
};

/* --- the beginning --- */

/* Names are not looked up: a slow DNS must not hold up mail that is given to us. */
static void
describe_client(struct smtp_session *session, int fd, const struct endpoint *peer)
{
	session->client_uid = socket_peer_uid(fd);
	session->access_client = access_client_of(peer, session->client_uid);
	if (peer->kind == ENDPOINT_UNIX) {
		session->client_name = "local";
		snprintf(session->client, sizeof(session->client), "local[unix]");
		return;
	}
	session->client_name = endpoint_is_loopback(peer) ? "localhost" : "unknown";
	endpoint_host(peer, session->client_address);
	snprintf(session->client, sizeof(session->client), "%s[%s]", session->client_name,
	    session->client_address);
}

/* One line a second at most: a flood of clients is not to become a flood of lines. */
static void
show_out(struct smtp_session *session, int fd, enum access_verdict verdict)
{
	struct smtp_sessions *sessions = session->sessions;
	struct status status = status_reply(421, "4.7.0", "%s too many connections%s",
	    session->config->hostname, verdict == ACCESS_CLIENT_FULL ? " from you" : "");
	struct maillog_reject reject = {
		.verb = "CONNECT", .client = session->client, .status = &status
	};
	char line[600];
	size_t len;

	sessions->refused[REFUSED_CONNECTIONS]++;
	if (clock_now() != sessions->logged_full) {
		sessions->logged_full = clock_now();
		maillog_reject(&reject);
	}
	status_text(&status, line, sizeof(line) - 2);
	len = strlen(line);
	memcpy(line + len, "\r\n", 2);
	linger_dismiss(sessions->loop, fd, line, len + 2);
	free(session);
}

static void
greet(struct smtp_session *session)
{
	const struct smtp_server_settings settings = {
		.hostname = session->config->hostname,
		.max_message_size = session->config->queue.max_message_size,
		.max_recipients = session->section->max_recipients,
		.max_errors = session->section->max_errors,
		.normalize = session->section->bare_newline == CONFIG_NEWLINE_NORMALIZE,
	};

	session->server = smtp_server_new(&settings, &server_events, session);
	idle_init(&session->idle, session->sessions->loop, on_idle, session);
	idle_set(&session->idle, session->section->timeout);
	LIST_INSERT_HEAD(&session->sessions->open, session, entry);
	session->sessions->open_count++;
	pace_start(&session->pace);
	smtp_server_greet(session->server);
}

void
smtp_sessions_start(struct smtp_sessions *sessions, const struct config *config,
    const struct submission_config *section, int fd, const struct endpoint *peer)
{
	struct smtp_session *session = mem_zalloc(sizeof(*session));
	enum access_verdict verdict;

	session->sessions = sessions;
	session->config = config;
	session->section = section;
	session->may_relay = access_may_relay(section, peer);
	describe_client(session, fd, peer);
	sessions->connections++;
	verdict = access_enter(sessions->access, section, &session->access_client);
	if (verdict != ACCESS_OK) {
		show_out(session, fd, verdict);
		return;
	}
	session->conn = conn_adopt(sessions->loop, fd, &conn_events, session);
	config_ref(config);
	log_write(LOG_LEVEL_DEBUG, "smtpd", "connect from %s", session->client);
	greet(session);
}

/* --- all of them --- */

struct smtp_sessions *
smtp_sessions_new(struct loop *loop, struct queue *queue)
{
	struct smtp_sessions *sessions = mem_zalloc(sizeof(*sessions));

	sessions->loop = loop;
	sessions->queue = queue;
	sessions->access = access_new();
	LIST_INIT(&sessions->open);
	return sessions;
}

void
smtp_sessions_free(struct smtp_sessions *sessions)
{
	struct smtp_session *session;

	while ((session = LIST_FIRST(&sessions->open)) != NULL) {
		conn_close(session->conn);
		free_session(session);
	}
	access_free(sessions->access);
	free(sessions);
}

bool
smtp_sessions_drain(struct smtp_sessions *sessions)
{
	struct smtp_session *session = LIST_FIRST(&sessions->open), *next;

	for (; session != NULL; session = next) {
		next = LIST_NEXT(session, entry);
		if (!smtp_server_in_data(session->server))
			close_with(session, "4.3.2", "is shutting down");
	}
	return LIST_EMPTY(&sessions->open);
}

struct json_t *
smtp_sessions_status(const struct smtp_sessions *sessions)
{
	json_t *refused = json_object();

	for (size_t i = 0; i < REFUSALS; i++)
		json_object_set_new(refused, refusal_name((enum refusal)i),
		    json_integer((json_int_t)sessions->refused[i]));
	return json_pack("{s:I, s:I, s:I, s:o}", "sessions", (json_int_t)sessions->open_count,
	    "connections", (json_int_t)sessions->connections, "accepted",
	    (json_int_t)sessions->messages, "refused", refused);
}
