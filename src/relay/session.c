/* session.c - one SMTP session with a relay: the mails that go over it. */
#include "relay/session.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/conn.h"
#include "proto/smtp_client.h"
#include "proto/smtp_extensions.h"
#include "queue/content.h"
#include "relay/destination.h"
#include "relay/relay.h"
#include "relay/session_parts.h"
#include "relay/transaction.h"

#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

/* --- state and end --- */

static struct budget *
budget_of(const struct session *session)
{
	return relay_house(destination_relay(session->destination))->budget;
}

void
session_set_state(struct session *session, enum session_state state)
{
	if (session->state == state)
		return;
	session->state = state;
	if (state == SESSION_IDLE)
		budget_list_idle(budget_of(session), &session->idle);
	else
		budget_unlist_idle(budget_of(session), &session->idle);
}

void
session_set_timer(struct session *session, unsigned seconds)
{
	const struct timeval wait = { .tv_sec = (time_t)seconds };

	if (seconds == 0)
		event_del(&session->timer);
	else
		event_add(&session->timer, &wait);
}

static void
destroy(void *owner)
{
	struct session *session = owner;

	smtp_client_free(session->client);
	buf_wipe(&session->secret);
	free(session);
}

void
session_end(struct session *session)
{
	session_set_state(session, SESSION_ENDING);
	if (session->conn != NULL)
		conn_close(session->conn);
	session->conn = NULL;
	event_del(&session->timer);
	loop_cancel(session->loop, &session->more);
	route_free(session->route);
	session->route = NULL;
	for (size_t i = 0; i < session->open_count; i++)
		transaction_drop(session->open[i]);
	session->open_count = 0;
	session->upload.content = NULL;
	destination_forget(session->destination, session);
	loop_defer(session->loop, &session->end);
}

/* --- mail --- */

/* What of the set-up this mail waited for: later ones find the connection there. */
static struct transaction *
begin_mail(struct session *session, struct job *job)
{
	int64_t now = clock_monotonic_us(), setup = now - session->started_us;
	int64_t waited = now - job->waiting_since;
	const struct job_attempt attempt = {
		.name = session->config->name,
		.relay = session->relay,
		.tls = session->tls,
		.peer_does_dsn = smtp_client_extensions(session->client)->dsn,
		.conn_use = session->mails + 1,
		.setup_us = session->mails > 0 ? 0 : waited < setup ? waited : setup,
	};
	struct transaction *transaction = transaction_new(job, &attempt);

	assert(session->open_count < SESSION_MAILS_MAX);
	session->open[session->open_count++] = transaction;
	session->mails++;
	session_set_state(session, SESSION_BUSY);
	return transaction;
}

/* In BDAT, where the peer offers it.  Not what was tried before: should it be BDAT that the
 * peer cannot do, it gets through by DATA. */
static bool
may_chunk(const struct session *session, const struct job *job)
{
	return destination_takes_bdat(session->destination) &&
	    job->batch->recipients[job->first].attempts == 0 &&
	    content_in_memory(job->content) && content_size(job->content) == job->batch->size;
}

static void
send_mail(struct session *session, struct job *job)
{
	const struct smtp_extensions *offers = smtp_client_extensions(session->client);
	struct smtp_client_mail mail = { .envelope = job->batch, .first = job->first,
	    .count = job->count, .cookie = begin_mail(session, job),
	    .in_memory = may_chunk(session, job) };

	/* All of the content is read for it: only where it matters. */
	if (job->batch->body_8bit && !offers->eight_bit_mime)
		mail.eight_bit = job_is_eight_bit(job);
	if (job->batch->smtputf8)
		mail.utf8_header = job_has_utf8_header(job);
	smtp_client_mail(session->client, &mail);
}

/* False: there is none for now. */
static bool
next_mail(struct session *session)
{
	bool more = !session->retired &&
	    session->mails < session->config->max_messages_per_connection;
	bool behind = session->open_count > 0;
	struct job *job;

	session_set_state(session, behind ? SESSION_BUSY : SESSION_IDLE);
	job = more && session->open_count < SESSION_MAILS_MAX ?
	    destination_take(session->destination, behind) : NULL;
	if (job != NULL) {
		session->waits = false;
		send_mail(session, job);
		return true;
	}
	if (more || behind)
		return false;
	session->waits = false;
	session_set_state(session, SESSION_ENDING);
	smtp_client_quit(session->client);
	return false;
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
		smtp_client_lost(session->client, err.text);
		break;
	}
}

void
session_send_more(struct session *session)
{
	if (session->upload.content == NULL)
		return;
	session_set_timer(session, smtp_client_timeout(session->client));
	send_blocks(session);
	session_settle(session);
}

static void
on_more(void *owner)
{
	session_send_more(owner);
}

/* --- what the engine asks --- */

void
session_log(const struct session *session, char direction, const char *octets, size_t len)
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
		session_log(session, '>', "(secret)", strlen("(secret)"));
	else
		session_log(session, '>', octets, len);
	if (session->conn != NULL)
		conn_write(session->conn, octets, len);
}

static void
on_start_tls(void *owner)
{
	/* The engine has been told where it failed. */
	(void)session_start_tls(owner);
}

static void
on_send_data(void *owner, void *cookie, bool bdat)
{
	struct session *session = owner;
	const struct transaction *transaction = cookie;

	upload_start(&session->upload, transaction->job->content, bdat);
	send_blocks(session);
}

static void
on_ready(void *owner)
{
	struct session *session = owner;

	session->waits = true;
	if (session->was_ready)
		return;
	session->was_ready = true;
	route_memory_good(destination_memory(session->destination), &session->hop);
	destination_ready(session->destination);
}

static void
on_recipient(void *owner, void *cookie, size_t index, const struct status *status)
{
	struct session *session = owner;

	transaction_settle(cookie, session->client, index, status, session->destination);
}

static void
on_finished(void *owner, const struct status *status)
{
	struct session *session = owner;

	session->finished = true;
	session->fault = *status;
}

const struct smtp_client_events session_client_events = {
	.send = on_send, .start_tls = on_start_tls, .send_data = on_send_data, .on_ready = on_ready,
	.on_recipient = on_recipient, .on_finished = on_finished,
};

/* --- after each call of the engine --- */

/* Those whose recipients have all ended; the older one ends first. */
static void
reap(struct session *session)
{
	size_t kept = 0;

	for (size_t i = 0; i < session->open_count; i++) {
		struct transaction *transaction = session->open[i];

		if (transaction->job != NULL) {
			session->open[kept++] = transaction;
			continue;
		}
		if (transaction->delivered)
			destination_delivered(session->destination);
		transaction_free(transaction, session->destination);
	}
	session->open_count = kept;
}

static void
over(struct session *session)
{
	const struct status fault = session->fault;
	/* The account is the same at every host: no hammering. */
	bool refused = smtp_client_auth_refused(session->client) ||
	    smtp_client_session_refused(session->client);

	session_log(session, '=', fault.text, strlen(fault.text));
	if (smtp_client_bdat_refused(session->client))
		destination_forgo_bdat(session->destination);
	/* Half a message must not be followed by an end of file in good order. */
	if (session->conn != NULL && session->upload.content == NULL) {
		conn_finish(session->conn);
		session->conn = NULL;
	}
	if (refused && !session->retired)
		session_setup_failed(session);
	else if (session->was_ready || session->retired)
		session_end(session);
	else
		session_place_failed(session, &fault);
}

static unsigned
step_timeout(const struct session *session)
{
	if (session->state == SESSION_IDLE)
		return session->config->idle_timeout;
	if (!session->was_ready)
		return session_setup_timeout(session);
	return smtp_client_timeout(session->client);
}

void
session_settle(struct session *session)
{
	unsigned progress;

	reap(session);
	while (session->waits && !session->finished && next_mail(session))
		reap(session);
	if (session->finished) {
		over(session);
		return;
	}
	progress = smtp_client_progress(session->client);
	if (progress == session->progress && session->state == session->timed_state)
		return;
	session->progress = progress;
	session->timed_state = session->state;
	session_set_timer(session, step_timeout(session));
}

/* --- what the destination says --- */

/* Its descriptor is wanted by others. */
static void
on_wanted(void *owner)
{
	session_retire(owner);
}

static struct route *
make_route(const struct session *session)
{
	const struct relay *relay = destination_relay(session->destination);
	const char *domain = destination_domain(session->destination);
	const struct route_params params = {
		.config = session->config,
		.resolver = relay_house(relay)->resolver,
		.domain = session->config->mx ? domain : NULL,
		.hostname = relay_params(relay)->config->hostname,
		.memory = destination_memory(session->destination),
	};

	return route_new(session->loop, &params);
}

struct session *
session_new(struct destination *destination)
{
	const struct relay *relay = destination_relay(destination);
	struct session *session = mem_zalloc(sizeof(*session));

	session->destination = destination;
	session->config = relay_params(relay)->relay;
	session->loop = relay_house(relay)->loop;
	session->started_us = clock_monotonic_us();
	session->step = "";
	text_copy(session->relay, sizeof(session->relay), "none");
	session->more = (struct loop_task){ .run = on_more, .owner = session };
	session->end = (struct loop_task){ .run = destroy, .owner = session };
	session->idle = (struct budget_idle){ .end = on_wanted, .owner = session };
	if (event_assign(&session->timer, loop_base(session->loop), -1, 0, session_on_timer,
	    session) == -1)
		abort();
	session->route = make_route(session);
	session_next_place(session);
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
	if (session->waits)
		session_settle(session);
}

void
session_retire(struct session *session)
{
	session->retired = true;
	if (session->state == SESSION_SETUP)
		session_end(session);
	else if (session->state == SESSION_IDLE)
		session_settle(session);
}

void
session_abort(struct session *session)
{
	session_end(session);
}
