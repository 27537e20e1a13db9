/* destination.c - what limits count by: one relay, the jobs that wait for it, its sessions. */
#include "relay/destination.h"

#include "base/clock.h"
#include "base/mem.h"
#include "conf/config.h"
#include "mail/maillog.h"
#include "net/loop.h"
#include "net/tls.h"
#include "relay/session.h"

#include <assert.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

/* Seconds without a new attempt to connect after one that failed, doubled each time: long
 * enough not to storm a relay that is down, short enough that nobody waits for herald
 * once it is up again.  The messages themselves wait as the queue says. */
#define SUSPEND_MIN	1
#define SUSPEND_MAX	8
#define QUIET_US	600000000LL	/* since the last pause, then a fault is told again */

struct destination {
	struct loop *loop;
	struct resolver *resolver;
	struct destination_params params;
	struct destination_record *record;
	struct job_list waiting;
	size_t waiting_count;
	struct session **sessions;
	size_t session_count;
	unsigned window;		/* sessions that may be open now; grows with success */
	unsigned suspend;		/* seconds of the last suspension; 0: all is well */
	int64_t suspended_until;	/* clock_monotonic_us() */
	bool ready_is_no_proof;		/* the fault was of a session that was ready */
	bool retired;			/* no new session, no new mail */
	struct loop_task schedule;
	struct event timer;		/* the end of the suspension */
};

static size_t
count_sessions(const struct destination *destination, enum session_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < destination->session_count; i++)
		if (session_state(destination->sessions[i]) == state)
			count++;
	return count;
}

static void
schedule_soon(struct destination *destination)
{
	loop_defer(destination->loop, &destination->schedule);
}

static void
wake_idle(struct destination *destination)
{
	for (size_t i = 0; i < destination->session_count && destination->waiting_count > 0;) {
		struct session *session = destination->sessions[i];

		if (session_state(session) == SESSION_IDLE)
			session_wake(session);
		/* It may have ended, and another one taken its place. */
		if (i < destination->session_count && destination->sessions[i] == session)
			i++;
	}
}

static void
open_session(struct destination *destination)
{
	size_t count = destination->session_count + 1;

	destination->sessions = mem_grow(destination->sessions, count,
	    sizeof(struct session *));
	destination->sessions[destination->session_count] = session_new(destination);
	destination->session_count = count;
}

/* Gives what waits to sessions: idle ones first, then new ones within the window. */
static void
schedule(void *owner)
{
	struct destination *destination = owner;
	int64_t wait = destination->suspended_until - clock_monotonic_us();
	struct timeval pause = { .tv_sec = wait / 1000000, .tv_usec = wait % 1000000 };
	size_t opening;

	if (destination->retired)
		return;
	wake_idle(destination);
	if (destination->waiting_count == 0)
		return;
	if (wait > 0) {
		event_add(&destination->timer, &pause);
		return;
	}
	opening = count_sessions(destination, SESSION_SETUP);
	for (; opening < destination->waiting_count &&
	    destination->session_count < destination->window; opening++)
		open_session(destination);
}

static void
on_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	schedule(arg);
}

struct destination *
destination_new(struct loop *loop, struct resolver *resolver, struct destination_params *params,
    struct destination_record *record)
{
	struct destination *destination = mem_zalloc(sizeof(*destination));

	destination->loop = loop;
	destination->resolver = resolver;
	destination->params = *params;
	memset(params, 0, sizeof(*params));
	destination->record = record;
	destination->window = 1;
	TAILQ_INIT(&destination->waiting);
	destination->schedule = (struct loop_task){ .run = schedule, .owner = destination };
	if (event_assign(&destination->timer, loop_base(loop), -1, 0, on_timer, destination) == -1)
		abort();
	return destination;
}

void
destination_params_free(struct destination_params *params)
{
	config_unref(params->config);
	tls_unref(params->tls);
	buf_wipe(&params->secret);
	memset(params, 0, sizeof(*params));
}

void
destination_free(struct destination *destination)
{
	struct job *job;

	if (destination == NULL)
		return;
	destination->retired = true;
	while (destination->session_count > 0)
		session_abort(destination->sessions[0]);
	while ((job = destination_take(destination)) != NULL)
		job_free(job);
	event_del(&destination->timer);
	loop_cancel(destination->loop, &destination->schedule);
	destination_params_free(&destination->params);
	free(destination->sessions);
	free(destination);
}

void
destination_add(struct destination *destination, struct job *job)
{
	TAILQ_INSERT_TAIL(&destination->waiting, job, entry);
	destination->waiting_count++;
	schedule_soon(destination);
}

struct job *
destination_take(struct destination *destination)
{
	struct job *job = TAILQ_FIRST(&destination->waiting);

	if (job == NULL)
		return NULL;
	TAILQ_REMOVE(&destination->waiting, job, entry);
	destination->waiting_count--;
	return job;
}

void
destination_put_back(struct destination *destination, struct job *job)
{
	TAILQ_INSERT_HEAD(&destination->waiting, job, entry);
	destination->waiting_count++;
	schedule_soon(destination);
}

static void
retire_sessions(struct destination *destination)
{
	destination->retired = true;
	event_del(&destination->timer);
	for (size_t i = 0; i < destination->session_count;) {
		struct session *session = destination->sessions[i];

		session_retire(session);
		if (i < destination->session_count && destination->sessions[i] == session)
			i++;
	}
}

void
destination_retire(struct destination *destination, struct destination *heir)
{
	struct job *job;

	while ((job = destination_take(destination)) != NULL)
		destination_add(heir, job);
	retire_sessions(destination);
}

void
destination_refresh(struct destination *destination, struct destination_params *params)
{
	struct tls_context *old = destination->params.tls;

	/* All else is equal, and sessions point into what we have. */
	destination->params.tls = params->tls;
	params->tls = old;
	destination_params_free(params);
}

bool
destination_drain(struct destination *destination)
{
	struct job *job;

	while ((job = destination_take(destination)) != NULL)
		job_return(job);
	retire_sessions(destination);
	return count_sessions(destination, SESSION_BUSY) == 0;
}

bool
destination_is_empty(const struct destination *destination)
{
	return destination->session_count == 0;
}

const struct destination_params *
destination_params(const struct destination *destination)
{
	return &destination->params;
}

struct destination_state
destination_state(const struct destination *destination)
{
	int64_t wait = destination->suspended_until - clock_monotonic_us();

	return (struct destination_state){
		.waiting = destination->waiting_count,
		.sessions = destination->session_count,
		.busy = count_sessions(destination, SESSION_BUSY),
		.idle = count_sessions(destination, SESSION_IDLE),
		.suspended = wait > 0 ? (unsigned)((wait + 999999) / 1000000) : 0,
	};
}

struct loop *
destination_loop(const struct destination *destination)
{
	return destination->loop;
}

struct resolver *
destination_resolver(const struct destination *destination)
{
	return destination->resolver;
}

struct job_counts *
destination_counts(struct destination *destination)
{
	return &destination->record->counts;
}

static void
grow_window(struct destination *destination)
{
	if (destination->window < destination->params.relay->max_connections)
		destination->window++;
	if (destination->waiting_count > 0)
		schedule_soon(destination);
}

static void
recover(struct destination *destination)
{
	if (destination->suspend != 0)
		maillog_recovered(destination->record->name);
	destination->suspend = 0;
	destination->suspended_until = 0;
	destination->ready_is_no_proof = false;
}

void
destination_ready(struct destination *destination)
{
	if (destination->ready_is_no_proof)
		return;
	recover(destination);
	grow_window(destination);
}

void
destination_delivered(struct destination *destination)
{
	/* Before the pause is over it is a session older than the fault: no proof. */
	if (destination->ready_is_no_proof &&
	    clock_monotonic_us() >= destination->suspended_until)
		recover(destination);
	grow_window(destination);
}

/* The alert: once per trouble, not once per attempt. */
static void
suspend(struct destination *destination, const struct destination_fault *fault)
{
	unsigned seconds = fault->auth_refused ? SUSPEND_MAX : destination->suspend * 2;
	int64_t since = clock_monotonic_us() - destination->suspended_until;

	/* Nothing was tried since long: this is another trouble. */
	if (destination->suspend == 0 || since > QUIET_US)
		maillog_suspended(destination->record->name, fault->relay, fault->status->text);
	destination->record->last_fault = *fault->status;
	destination->record->last_fault_at = clock_now();
	destination->window = 1;
	destination->ready_is_no_proof |= fault->was_ready;
	if (seconds < SUSPEND_MIN)
		seconds = SUSPEND_MIN;
	destination->suspend = seconds > SUSPEND_MAX ? SUSPEND_MAX : seconds;
	destination->suspended_until = clock_monotonic_us() + destination->suspend * 1000000LL;
}

void
destination_failed(struct destination *destination, struct session *session,
    const struct destination_fault *fault)
{
	struct job_attempt attempt = { .name = destination->record->name, .relay = fault->relay,
	    .conn_use = 1 };
	struct job_list failed = TAILQ_HEAD_INITIALIZER(failed);
	struct job *job;
	int64_t waited;

	assert(status_class(fault->status) == STATUS_TRANSIENT);
	destination_forget(destination, session);
	suspend(destination, fault);
	/* Too many connections for the peer, perhaps: those that work go on. */
	if (destination->session_count > count_sessions(destination, SESSION_SETUP))
		return;
	TAILQ_CONCAT(&failed, &destination->waiting, entry);
	destination->waiting_count = 0;
	while ((job = TAILQ_FIRST(&failed)) != NULL) {
		TAILQ_REMOVE(&failed, job, entry);
		waited = clock_monotonic_us() - job->waiting_since;
		attempt.setup_us = waited < fault->setup_us ? waited : fault->setup_us;
		job_fail(job, fault->status, &attempt, destination_counts(destination));
	}
}

void
destination_forget(struct destination *destination, struct session *session)
{
	for (size_t i = 0; i < destination->session_count; i++) {
		if (destination->sessions[i] != session)
			continue;
		destination->sessions[i] = destination->sessions[--destination->session_count];
		if (destination->waiting_count > 0)
			schedule_soon(destination);
		return;
	}
}
