/* smtp_session_secure.c - the TLS and the AUTH of a session. */
#include "intake/smtp_session_parts.h"

#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/config.h"
#include "conf/users.h"
#include "intake/guesses.h"
#include "intake/password.h"
#include "net/conn.h"
#include "net/tls.h"

#include <string.h>

/* Passwords of one client that wait at once: half of all places; and of one whose wrong ones
 * are counted fewer than he has guesses. */
#define CHECKS_MAX		(PASSWORDS_WAITING_MAX / 2)
#define CHECKS_OF_GUESSES_MAX	(GUESSES_FREE - 2)

/* --- TLS --- */

void
smtp_session_on_starttls(void *owner, bool more_input)
{
	struct smtp_session *session = owner;

	session->tls_due = true;
	session->is_early = more_input;
}

bool
smtp_session_start_tls(struct smtp_session *session, bool more_input)
{
	struct error err;

	session->tls_due = false;
	if (!conn_start_tls(session->conn, session->terms->tls, NULL, more_input, &err)) {
		log_write(LOG_LEVEL_WARNING, "smtpd", "dropped %s: %s", session->client_text,
		    err.text);
		smtp_session_drop(session);
		return false;
	}
	session->stage = STAGE_HANDSHAKE;
	idle_set(&session->idle, HANDSHAKE_SECONDS);
	return true;
}

void
smtp_session_on_secured(void *owner)
{
	struct smtp_session *session = owner;

	log_write(LOG_LEVEL_DEBUG, "smtpd", "TLS with %s: %s", session->client_text,
	    conn_tls_text(session->conn));
	if (session->server == NULL) {
		smtp_session_start_engine(session, true);
	} else {
		smtp_server_secured(session->server);
		session->stage = STAGE_SMTP;
	}
	smtp_session_progress(session);
}

/* --- AUTH --- */

/* Those who may relay anyway gain nothing by a guess, and on a machine of many users one
 * must not lock the others out. */
static bool
guesses_count_for(const struct smtp_session *session)
{
	return !session->may_relay || session->terms->section->require_auth;
}

static void
on_compared(void *arg, bool is_good)
{
	struct smtp_session *session = arg;
	struct smtp_sessions *sessions = session->sessions;
	struct status status;

	session->check = NULL;
	if (is_good)
		status = status_reply(235, "2.7.0", "authenticated");
	else
		status = status_reply(535, "5.7.8", "user or password is wrong");
	if (!is_good) {
		/* A name that nobody has may be a password in the wrong field: not logged. */
		log_write(LOG_LEVEL_WARNING, "smtpd", "%s: SASL authentication failed",
		    session->client_text);
		if (guesses_count_for(session))
			guesses_refused(sessions->guesses, session->access_client.key);
	}
	smtp_session_progress(session);
	smtp_server_auth_answer(session->server, &status);
	if (session->is_over)
		smtp_session_finish(session);
	else
		smtp_session_settle_flow(session);
}

/* One client must not take all places of the thread, nor guess more often at once than it may
 * one after the other. */
static bool
has_checks_enough(const struct smtp_session *session)
{
	const struct smtp_session *other;
	size_t count = 0;

	LIST_FOREACH(other, &session->sessions->open, entry)
		count += other->check != NULL && strcmp(other->access_client.key,
		    session->access_client.key) == 0;
	return count >= (guesses_count_for(session) ? CHECKS_OF_GUESSES_MAX : CHECKS_MAX);
}

void
smtp_session_on_auth(void *owner, const char *username, const char *password)
{
	struct smtp_session *session = owner;
	struct smtp_sessions *sessions = session->sessions;
	const char *hostname = session->terms->config->hostname;
	struct status status;

	if (guesses_count_for(session) &&
	    !guesses_may(sessions->guesses, session->access_client.key)) {
		status = status_reply(421, "4.7.0",
		    "%s too many wrong passwords from you, try again later", hostname);
		log_write(LOG_LEVEL_WARNING, "smtpd", "%s: too many wrong passwords",
		    session->client_text);
		smtp_server_close(session->server, &status);
		return;
	}
	if (!has_checks_enough(session))
		session->check = password_start(sessions->passwords, session->terms->users,
		    username, password, on_compared, session);
	if (session->check != NULL)
		return;
	status = status_reply(454, "4.7.0", "too many logins at once, try again later");
	smtp_server_auth_answer(session->server, &status);
}
