/* session.c - one SMTP session with a relay: a connection, and what is said over it. */
#include "relay/session.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/conn.h"
#include "net/loop.h"
#include "proto/smtp_client.h"
#include "proto/smtp_extensions.h"
#include "relay/destination.h"
#include "relay/route.h"
#include "relay/transaction.h"
#include "relay/upload.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

struct session {
	struct destination *destination;
	const struct relay_config *config;
	struct loop *loop;
	enum session_state state;

	struct route *route;
	struct next_hop hop;		/* where we are connected, or tried last */
	char relay[ROUTE_TEXT_MAX];	/* the same as text; "none" before */
	struct status fault;		/* of the last place tried; text empty: none yet */
	struct conn *conn;		/* NULL between places */
	struct smtp_client *client;	/* NULL before the connection is up */
	struct smtp_client_params params;
	bool was_ready;			/* set-up is over */
	bool waits;			/* the client waits for a mail or for QUIT */
	bool finished;			/* the client has said its last word */
	bool retired;			/* takes no job any more */

	struct transaction mail;	/* the one at hand, or the last one */
	unsigned mails;			/* over this connection, with the one at hand */
	int64_t started_us;		/* clock_monotonic_us() */

	struct upload upload;		/* of the mail data, while it is not all written */
	struct loop_task more;		/* the next blocks, in the next turn */

	struct event timer;
	unsigned progress;		/* of the client, when the timer was set */
	enum session_state timed_state;
	struct loop_task end;		/* frees the session when the turn ends */
};

static void try_next_place(struct session *session);
static void settle(struct session *session);

/* --- the end --- */

static void
destroy(void *owner)
{
	struct session *session = owner;

	smtp_client_free(session->client);
	free(session);
}

/* Nothing happens to the session from here on; who called us may still look at it. */
static void
end(struct session *session)
{
	session->state = SESSION_ENDING;
	if (session->conn != NULL)
		conn_close(session->conn);
	session->conn = NULL;
	event_del(&session->timer);
	loop_cancel(session->loop, &session->more);
	route_free(session->route);
	session->route = NULL;
	transaction_drop(&session->mail);
	session->upload.content = NULL;
	destination_forget(session->destination, session);
	loop_defer(session->loop, &session->end);
}

/* --- set-up --- */

static void
set_timer(struct session *session, unsigned seconds)
{
	const struct timeval wait = { .tv_sec = (time_t)seconds };

	if (seconds == 0)
		event_del(&session->timer);
	else
		event_add(&session->timer, &wait);
}

static void
setup_failed(struct session *session)
{
	const struct destination_fault fault = {
		.status = &session->fault,
		.relay = session->relay,
		.setup_us = session->was_ready ? 0 : clock_monotonic_us() - session->started_us,
		.auth_refused = session->client != NULL &&
		    smtp_client_auth_refused(session->client),
		.was_ready = session->was_ready,
	};

	destination_failed(session->destination, session, &fault);
	end(session);
}

static void
place_failed(struct session *session, struct status status)
{
	session->fault = status;
	if (session->conn != NULL)
		conn_close(session->conn);
	session->conn = NULL;
	smtp_client_free(session->client);
	session->client = NULL;
	session->finished = false;
	log_write(LOG_LEVEL_DEBUG, "smtp", "%s: %s", session->relay, status.text);
	try_next_place(session);
}

static bool
is_loopback(const struct endpoint *endpoint)
{
	const struct sockaddr_in *v4 = (const void *)&endpoint->address.storage;
	const struct sockaddr_in6 *v6 = (const void *)&endpoint->address.storage;

	if (endpoint->address.any.sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return endpoint->address.any.sa_family == AF_INET6 &&
	    IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static const struct conn_events conn_events;
static const struct smtp_client_events client_events;

static void
on_place(void *arg, const struct next_hop *hop, const struct status *failure)
{
	struct session *session = arg;
	struct error err;

	if (hop == NULL) {
		if (session->fault.text[0] == '\0')
			session->fault = failure != NULL ? *failure :
			    status_local("4.4.4", "the relay has no address");
		setup_failed(session);
		return;
	}
	session->hop = *hop;
	next_hop_text(hop, session->relay);
	session->conn = conn_connect(session->loop, &hop->address, &conn_events, session, &err);
	if (session->conn == NULL)
		place_failed(session, status_local("4.4.1", "connect to %s: %s", session->relay,
		    err.text));
	else
		set_timer(session, session->config->connect_timeout);
}

static void
try_next_place(struct session *session)
{
	event_del(&session->timer);
	route_next(session->route, on_place, session);
}

static void
start_dialogue(struct session *session)
{
	const struct destination_params *params = destination_params(session->destination);
	const struct relay_config *config = session->config;
	enum smtp_client_tls tls[] = { [CONFIG_TLS_NONE] = SMTP_CLIENT_TLS_NONE,
	    [CONFIG_TLS_OPPORTUNISTIC] = SMTP_CLIENT_TLS_STARTTLS,
	    [CONFIG_TLS_STARTTLS] = SMTP_CLIENT_TLS_STARTTLS,
	    [CONFIG_TLS_IMPLICIT] = SMTP_CLIENT_TLS_IMPLICIT };
	enum smtp_client_auth auth[] = { [CONFIG_AUTH_AUTO] = SMTP_CLIENT_AUTH_AUTO,
	    [CONFIG_AUTH_PLAIN] = SMTP_CLIENT_AUTH_PLAIN,
	    [CONFIG_AUTH_LOGIN] = SMTP_CLIENT_AUTH_LOGIN };

	session->params = (struct smtp_client_params){
		.helo = config->helo,
		.tls = tls[config->tls],
		.username = config->username,
		.password = params->secret.len > 0 ? buf_octets(&params->secret) : "",
		.auth = auth[config->auth],
		.auth_in_clear = is_loopback(&session->hop.address),
	};
	session->client = smtp_client_new(&session->params, &client_events, session);
	session->progress = smtp_client_progress(session->client) - 1;
	settle(session);
}

/* --- mail --- */

/* What of the set-up this mail waited for: later ones find the connection there. */
static void
begin_mail(struct session *session, struct job *job)
{
	int64_t now = clock_monotonic_us(), setup = now - session->started_us;
	int64_t waited = now - job->waiting_since;
	const struct job_attempt attempt = {
		.name = session->config->name,
		.relay = session->relay,
		.tls = conn_tls_text(session->conn),
		.conn_use = session->mails + 1,
		.setup_us = session->mails > 0 ? 0 : waited < setup ? waited : setup,
	};

	session->mails++;
	session->state = SESSION_BUSY;
	transaction_begin(&session->mail, job, &attempt);
}

static void
next_mail(struct session *session)
{
	struct job *job = NULL;
	struct smtp_client_mail mail;

	if (!session->retired && session->mails < session->config->max_messages_per_connection)
		job = destination_take(session->destination);
	if (job == NULL && !session->retired &&
	    session->mails < session->config->max_messages_per_connection) {
		session->state = SESSION_IDLE;
		return;
	}
	session->waits = false;
	if (job == NULL) {
		session->state = SESSION_ENDING;
		smtp_client_quit(session->client);
		return;
	}
	begin_mail(session, job);
	mail = (struct smtp_client_mail){ .envelope = job->batch, .first = job->first,
	    .count = job->count };
	if (job->batch->body_8bit && !smtp_client_extensions(session->client)->eight_bit_mime)
		mail.eight_bit = job_is_eight_bit(job);
	smtp_client_mail(session->client, &mail);
}

static void
lose(struct session *session, const char *text)
{
	smtp_client_lost(session->client, text);
}

/* Writes mail data until the output is full or the data is all written. */
static void
send_blocks(struct session *session)
{
	struct error err;

	switch (upload_continue(&session->upload, session->conn, &err)) {
	case UPLOAD_DONE:
		smtp_client_data_sent(session->client);
		break;
	case UPLOAD_WAITS:
		break;
	case UPLOAD_GOES_ON:
		loop_defer(session->loop, &session->more);
		break;
	case UPLOAD_FAILED:
		lose(session, err.text);
		break;
	}
}

static void
on_more(void *owner)
{
	struct session *session = owner;

	if (session->upload.content == NULL)
		return;
	set_timer(session, smtp_client_timeout(session->client));
	send_blocks(session);
	settle(session);
}

/* --- what the engine asks --- */

static void
log_dialogue(const struct session *session, char direction, const char *octets, size_t len)
{
	char text[256];

	if (!log_wants(LOG_LEVEL_DEBUG))
		return;
	log_write(LOG_LEVEL_DEBUG, "smtp", "%s: %c %s", session->relay, direction,
	    text_printable(text, sizeof(text), octets, len));
}

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct session *session = owner;

	if (secret)
		log_dialogue(session, '>', "(secret)", strlen("(secret)"));
	else
		log_dialogue(session, '>', octets, len);
	if (session->conn != NULL)
		conn_write(session->conn, octets, len);
}

static void
on_start_tls(void *owner)
{
	struct session *session = owner;
	struct error err;

	if (!conn_start_tls(session->conn, destination_params(session->destination)->tls,
	    session->hop.host, false, &err))
		lose(session, err.text);
}

static void
on_send_data(void *owner)
{
	struct session *session = owner;

	upload_start(&session->upload, session->mail.job->content);
	send_blocks(session);
}

static void
on_ready(void *owner)
{
	struct session *session = owner;

	session->waits = true;
	if (!session->was_ready) {
		session->was_ready = true;
		destination_ready(session->destination);
	} else if (session->mail.delivered) {
		session->mail.delivered = false;
		destination_delivered(session->destination);
	}
}

static void
on_recipient(void *owner, size_t index, const struct status *status)
{
	struct session *session = owner;

	transaction_settle(&session->mail, session->client, index, status, !session->retired,
	    destination_counts(session->destination));
}

static void
on_finished(void *owner, const struct status *status)
{
	struct session *session = owner;

	session->finished = true;
	session->fault = *status;
}

static const struct smtp_client_events client_events = {
	.send = on_send, .start_tls = on_start_tls, .send_data = on_send_data, .on_ready = on_ready,
	.on_recipient = on_recipient, .on_finished = on_finished,
};

/* --- after each call of the engine --- */

static void
over(struct session *session)
{
	/* The account is the same at every host: no hammering. */
	bool refused = smtp_client_auth_refused(session->client) ||
	    smtp_client_session_refused(session->client);

	log_dialogue(session, '=', session->fault.text, strlen(session->fault.text));
	/* Half a message must not be followed by an end of file in good order. */
	if (session->conn != NULL && session->upload.content == NULL) {
		conn_finish(session->conn);
		session->conn = NULL;
	}
	transaction_give_back(&session->mail, session->destination, !session->retired);
	if (refused && !session->retired)
		setup_failed(session);
	else if (session->was_ready)
		end(session);
	else
		place_failed(session, session->fault);
}

static void
settle(struct session *session)
{
	unsigned progress;

	while (session->waits && !session->finished && session->mail.job == NULL) {
		transaction_give_back(&session->mail, session->destination, !session->retired);
		next_mail(session);
		if (session->state == SESSION_IDLE)
			break;
	}
	if (session->finished) {
		over(session);
		return;
	}
	progress = smtp_client_progress(session->client);
	if (progress == session->progress && session->state == session->timed_state)
		return;
	session->progress = progress;
	session->timed_state = session->state;
	set_timer(session, session->state == SESSION_IDLE ? session->config->idle_timeout :
	    smtp_client_timeout(session->client));
}

/* --- what the connection says --- */

static void
on_open(void *owner)
{
	struct session *session = owner;
	struct error err;

	if (session->config->tls != CONFIG_TLS_IMPLICIT)
		start_dialogue(session);
	else if (!conn_start_tls(session->conn, destination_params(session->destination)->tls,
	    session->hop.host, false, &err))
		place_failed(session, status_local("4.7.5", "TLS handshake: %s", err.text));
}

static void
on_secured(void *owner)
{
	struct session *session = owner;

	if (session->client == NULL) {
		start_dialogue(session);
		return;
	}
	smtp_client_secured(session->client);
	settle(session);
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;
	bool secret;
	size_t used;

	if (session->client == NULL)
		return 0;	/* the greeting before on_open() has come: kept for later */
	secret = smtp_client_is_in_auth(session->client);
	used = smtp_client_input(session->client, octets, len);
	if (secret)
		log_dialogue(session, '<', "(answer to AUTH)", strlen("(answer to AUTH)"));
	else
		log_dialogue(session, '<', octets, used);
	settle(session);
	return used;
}

static void
on_drained(void *owner)
{
	on_more(owner);
}

static void
on_closed(void *owner, enum conn_end why, const char *text)
{
	struct session *session = owner;

	session->conn = NULL;
	if (session->client != NULL) {
		lose(session, text);
		settle(session);
	} else if (why == CONN_TLS) {
		place_failed(session, status_local("4.7.5", "TLS handshake: %s", text));
	} else {
		place_failed(session, status_local("4.4.1", "connect to %s: %s", session->relay,
		    text));
	}
}

static const struct conn_events conn_events = {
	.on_open = on_open, .on_input = on_input, .on_drained = on_drained,
	.on_secured = on_secured, .on_closed = on_closed,
};

static void
on_timer(int fd, short what, void *arg)
{
	struct session *session = arg;

	(void)fd;
	(void)what;
	if (session->client == NULL) {
		place_failed(session, status_local("4.4.1", "connect to %s: timed out",
		    session->relay));
	} else if (session->state == SESSION_IDLE) {
		session->retired = true;
		settle(session);
	} else {
		lose(session, "timed out");
		settle(session);
	}
}

/* --- what the destination says --- */

struct session *
session_new(struct destination *destination)
{
	struct session *session = mem_zalloc(sizeof(*session));

	session->destination = destination;
	session->config = destination_params(destination)->relay;
	session->loop = destination_loop(destination);
	session->started_us = clock_monotonic_us();
	text_copy(session->relay, sizeof(session->relay), "none");
	session->more = (struct loop_task){ .run = on_more, .owner = session };
	session->end = (struct loop_task){ .run = destroy, .owner = session };
	if (event_assign(&session->timer, loop_base(session->loop), -1, 0, on_timer, session) == -1)
		abort();
	session->route = route_new(session->loop, session->config,
	    destination_resolver(destination));
	try_next_place(session);
	return session;
}

enum session_state
session_state(const struct session *session)
{
	return session->state;
}

void
session_wake(struct session *session)
{
	settle(session);
}

void
session_retire(struct session *session)
{
	session->retired = true;
	if (session->state == SESSION_SETUP)
		end(session);
	else if (session->state == SESSION_IDLE)
		settle(session);
}

void
session_abort(struct session *session)
{
	end(session);
}
