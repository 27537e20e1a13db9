/* smtp_session.c - SMTP clients: each joins a connection, the engine and a submission. */
#include "intake/smtp_session_parts.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "conf/config.h"
#include "intake/guesses.h"
#include "intake/password.h"
#include "intake/proxied.h"
#include "net/conn.h"
#include "queue/submission.h"

/* Octets of commands: so many replies may be held for a slow reader. */
#define COMMANDS_AT_ONCE	4096
/* More than the longest line, so that one which is too long is seen to be. */
#define LINE_AT_ONCE		(SMTP_SERVER_AUTH_MAX + 4096)

/* --- the end of a session --- */

void
smtp_session_free(struct smtp_session *session)
{
	struct smtp_sessions *sessions = session->sessions;

	LIST_REMOVE(session, entry);
	sessions->open_count--;
	if (session->is_counted)
		access_leave(sessions->access, session->terms->section->name,
		    &session->access_client);
	proxied_free(session->proxied);
	if (session->fd != -1)
		close(session->fd);
	if (session->check != NULL)
		password_cancel(sessions->passwords, session->check);
	idle_stop(&session->idle);
	submission_abort(session->submission);
	smtp_server_free(session->server);
	smtp_terms_unref(session->terms);
	free(session);
}

void
smtp_session_finish(struct smtp_session *session)
{
	conn_finish(session->conn);
	smtp_session_free(session);
}

void
smtp_session_drop(struct smtp_session *session)
{
	if (session->conn != NULL)
		conn_close(session->conn);
	smtp_session_free(session);
}

static void
close_with(struct smtp_session *session, const char *enhanced, const char *text)
{
	const char *hostname = session->terms->config->hostname;
	struct status status = status_reply(421, enhanced, "%s %s", hostname, text);

	log_write(LOG_LEVEL_DEBUG, "smtpd", "closing %s: %s", session->client_text, text);
	if (session->stage != STAGE_SMTP) {
		smtp_session_drop(session);
		return;
	}
	smtp_server_close(session->server, &status);
	smtp_session_finish(session);
}

/* --- silence --- */

/* Seconds.  Mail data that comes is let come: pace.c judges it. */
static unsigned
timeout_of(const struct smtp_session *session)
{
	const struct submission_config *section = session->terms->section;

	if (session->stage == STAGE_HANDSHAKE)
		return HANDSHAKE_SECONDS;
	if (section->timeout > STRESS_SECONDS && !smtp_server_in_data(session->server) &&
	    access_is_stressed(session->sessions->access, section, &session->access_client))
		return STRESS_SECONDS;
	return section->timeout;
}

void
smtp_session_progress(struct smtp_session *session)
{
	unsigned timeout = timeout_of(session);

	if (timeout != session->idle.timeout)
		idle_set(&session->idle, timeout);
	else
		idle_progress(&session->idle);
}

static void
on_idle(void *owner)
{
	struct smtp_session *session = owner;

	/* It is not the client that keeps us waiting. */
	if (session->stage == STAGE_SMTP && smtp_server_awaits_answer(session->server))
		idle_set(&session->idle, session->terms->section->timeout);
	else
		close_with(session, "4.4.2", session->stage == STAGE_SMTP ? "timeout exceeded" :
		    "no TLS handshake in time");
}

/* Those who are silent already do not learn by themselves that the time is shorter now. */
static void
shorten_timeouts(struct smtp_sessions *sessions, const struct smtp_session *latest)
{
	struct smtp_session *session;

	if (!access_is_stressed(sessions->access, latest->terms->section, &latest->access_client))
		return;
	LIST_FOREACH(session, &sessions->open, entry)
		if (session->stage == STAGE_SMTP && timeout_of(session) < session->idle.timeout)
			idle_set(&session->idle, timeout_of(session));
}

/* --- what the connection tells --- */

/* Input stops while the store has not answered, and while the client does not read its
 * replies: so neither can grow (RULES S: output high-watermark). */
void
smtp_session_settle_flow(struct smtp_session *session)
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
	return !session->is_over && !session->tls_due &&
	    !smtp_server_awaits_answer(session->server) &&
	    conn_unsent(session->conn) < CONN_DRAINED;
}

static size_t
take_commands(struct smtp_session *session, const char *octets, size_t len)
{
	size_t some = len < COMMANDS_AT_ONCE ? len : COMMANDS_AT_ONCE;
	size_t used = smtp_server_input(session->server, octets, some);

	if (used > 0 || some == len)
		return used;
	return smtp_server_input(session->server, octets, len < LINE_AT_ONCE ? len : LINE_AT_ONCE);
}

static size_t
take_input(struct smtp_session *session, const char *octets, size_t len)
{
	uint64_t max_size = session->terms->config->queue.max_message_size;
	size_t at = 0, used = 1;

	while (at < len && used > 0 && takes_input(session)) {
		bool in_data = smtp_server_in_data(session->server);

		used = in_data ? smtp_server_input(session->server, octets + at, len - at) :
		    take_commands(session, octets + at, len - at);
		/* What is too large anyway earns no time. */
		if (in_data && session->pace.octets < max_size)
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
	    session->terms->section->timeout);
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct smtp_session *session = owner;
	size_t at = take_input(session, octets, len);
	const char *fault;

	if (session->is_over) {
		smtp_session_finish(session);
		return len;
	}
	if (session->tls_due)
		return smtp_session_start_tls(session, session->is_early || at < len) ? at : len;
	fault = fault_of_pace(session);
	if (fault != NULL) {
		close_with(session, "4.4.2", fault);
		return len;
	}
	/* Octets that make no whole command are no progress: one at a time they would hold the
	 * session for ever. */
	if (at > 0)
		smtp_session_progress(session);
	smtp_session_settle_flow(session);
	return at;
}

static void
on_drained(void *owner)
{
	smtp_session_settle_flow(owner);
}

static void
on_closed(void *owner, enum conn_end end, const char *text)
{
	struct smtp_session *session = owner;

	log_write(end == CONN_TLS ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "smtpd",
	    "lost connection from %s: %s", session->client_text, text);
	smtp_session_free(session);
}

static const struct conn_events conn_events = {
	.on_input = on_input,
	.on_drained = on_drained,
	.on_secured = smtp_session_on_secured,
	.on_closed = on_closed,
};

/* --- the beginning --- */

void
smtp_session_talk(struct smtp_session *session)
{
	struct smtp_sessions *sessions = session->sessions;

	session->conn = conn_adopt(sessions->loop, session->fd, &conn_events, session);
	session->fd = -1;
	session->stage = STAGE_HANDSHAKE;
	/* What goes over a UNIX socket does not leave the machine. */
	if (session->terms->section->tls == CONFIG_TLS_IMPLICIT &&
	    session->peer.kind != ENDPOINT_UNIX) {
		(void)smtp_session_start_tls(session, false);
		return;
	}
	smtp_session_start_engine(session, false);
	smtp_session_progress(session);
	shorten_timeouts(sessions, session);
}

void
smtp_sessions_start(struct smtp_sessions *sessions, struct smtp_terms *terms, int fd,
    const struct endpoint *peer)
{
	struct smtp_session *session = mem_zalloc(sizeof(*session));

	session->sessions = sessions;
	session->terms = smtp_terms_ref(terms);
	session->fd = fd;
	session->peer = *peer;
	idle_init(&session->idle, sessions->loop, on_idle, session);
	LIST_INSERT_HEAD(&sessions->open, session, entry);
	sessions->open_count++;
	sessions->connections++;
	smtp_session_meet(session);
}

/* --- all of them --- */

struct smtp_sessions *
smtp_sessions_new(struct loop *loop, struct queue *queue)
{
	struct smtp_sessions *sessions = mem_zalloc(sizeof(*sessions));

	sessions->loop = loop;
	sessions->queue = queue;
	sessions->access = access_new();
	sessions->guesses = guesses_new();
	sessions->passwords = passwords_new(loop);
	LIST_INIT(&sessions->open);
	return sessions;
}

void
smtp_sessions_free(struct smtp_sessions *sessions)
{
	struct smtp_session *session;

	while ((session = LIST_FIRST(&sessions->open)) != NULL)
		smtp_session_drop(session);
	passwords_free(sessions->passwords);
	guesses_free(sessions->guesses);
	access_free(sessions->access);
	free(sessions);
}

bool
smtp_sessions_drain(struct smtp_sessions *sessions)
{
	struct smtp_session *session = LIST_FIRST(&sessions->open), *next;

	for (; session != NULL; session = next) {
		next = LIST_NEXT(session, entry);
		if (session->stage != STAGE_SMTP || !smtp_server_in_data(session->server))
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
