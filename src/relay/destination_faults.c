/* destination_faults.c - what becomes of mail when a destination cannot be had, or not now. */
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/config.h"
#include "mail/maillog.h"
#include "relay/destination_parts.h"
#include "relay/relay.h"

#include <jansson.h>
#include <string.h>

#define SECOND		1000000LL	/* microseconds */
#define QUIET		(600 * SECOND)	/* since the last pause, then a fault is told again */
/* Between two mails that are due again, so that what waits for one relay does not come all
 * at once when others work. */
#define SLOT_GAP	2000LL		/* microseconds */
/* Behind the last of these slots the first is taken again. */
#define SLOT_SPREAD	(300 * SECOND)
#define PAUSE_CHECK	(3600 * SECOND)	/* the end of a pause makes all due at once */
#define BUSY_WAIT	(2 * SECOND)
#define LAG_MAX		(10 * SECOND)	/* that mail waits in memory for a relay which is slow */
#define LAG_ROOM	500		/* jobs: half of what the queue claims */
#define STUCK_WAIT	(30 * SECOND)
/* Seconds that mail over which a session ended waits for the others, which may prove that it
 * is not the relay; doubled where they did, and it is refused again. */
#define REFUSED_MIN	5
#define REFUSED_MAX	300
#define CLEAR_TIME	(600 * SECOND)	/* then TLS is tried again */

/* --- postponed --- */

static int64_t
delay_gap(const struct destination *destination, enum destination_delay why)
{
	int64_t gap = SLOT_GAP;

	if (why == DESTINATION_RATE)
		gap = relay_rate_gap(destination->relay);
	else if (destination->tempo.throttle_us > gap)
		gap = destination->tempo.throttle_us;
	return gap;
}

/* The longer it has been silent the longer: each round through the store costs what others
 * could have. */
static int64_t
busy_wait(const struct tempo *tempo, int64_t now)
{
	int64_t silent = tempo->asked_at != 0 ? now - tempo->asked_at : 0;

	if (tempo_is_stuck(tempo, now))
		return STUCK_WAIT;
	return tempo_flows(tempo, now) ? BUSY_WAIT : BUSY_WAIT + 4 * silent;
}

/* When it may come again at the earliest; monotonic. */
static int64_t
delay_end(const struct destination *destination, enum destination_delay why, int64_t now)
{
	switch (why) {
	case DESTINATION_SUSPENDED:
		return now + tempo_suspended(&destination->tempo, now);
	case DESTINATION_PAUSED:
		return now + PAUSE_CHECK;
	case DESTINATION_RATE:
		return now + relay_rate_wait(destination->relay);
	case DESTINATION_BUSY:
	default:
		return now + busy_wait(&destination->tempo, now);
	}
}

/* Each one behind the one before, as fast as they can go.  A pace that the peer has asked for
 * is over with the next few deliveries, rates are not.  Unix seconds. */
static int64_t
next_slot(struct destination *destination, enum destination_delay why)
{
	int64_t now = clock_monotonic_us(), end = delay_end(destination, why, now);
	bool is_far;

	destination->slot_us += delay_gap(destination, why);
	is_far = why != DESTINATION_RATE && destination->slot_us > end + SLOT_SPREAD;
	if (destination->slot_us < end || is_far)
		destination->slot_us = end;
	return clock_now() + (destination->slot_us - now + SECOND - 1) / SECOND;
}

/* What the recipient is told; false: nothing that is worth it. */
static bool
explain(const struct destination *destination, enum destination_delay why, struct status *status)
{
	const char *name = relay_record(destination->relay)->name;

	switch (why) {
	case DESTINATION_SUSPENDED:
		*status = destination->fault;
		return status->text[0] != '\0';
	case DESTINATION_PAUSED:
		*status = status_local("4.3.2", "relay %s is paused", name);
		return true;
	case DESTINATION_RATE:
		*status = status_local("4.7.0", "the rate of relay %s is used up for now", name);
		return true;
	case DESTINATION_BUSY:
	default:
		return false;
	}
}

/* What of the set-up this mail has waited for. */
static int64_t
setup_share(const struct job *job, int64_t setup_us)
{
	int64_t waited = clock_monotonic_us() - job->waiting_since;

	return waited < setup_us ? waited : setup_us;
}

static void
postpone(struct destination *destination, struct job *job, enum destination_delay why)
{
	struct job_attempt how = { .name = relay_record(destination->relay)->name, .relay = "none",
	    .conn_use = 1 };
	int64_t when = next_slot(destination, why);
	struct status status;
	bool told = explain(destination, why, &status);

	if (why == DESTINATION_SUSPENDED && told) {
		how.relay = destination->fault_place;
		how.tls = destination->fault_tls;
		how.step = destination->fault_step;
		how.setup_us = setup_share(job, destination->fault_setup_us);
	}
	if (job->refused)
		when += destination->refused_wait;
	job_postpone(job, told ? &status : NULL, &how, when, destination_counts(destination));
}

void
destination_postpone_all(struct destination *destination, enum destination_delay why)
{
	struct job_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct job *job;

	destination_take_waiting(destination, &waiting);
	while ((job = TAILQ_FIRST(&waiting)) != NULL) {
		TAILQ_REMOVE(&waiting, job, entry);
		postpone(destination, job, why);
	}
}

/* What waits is more than it takes soon.  It may be alone only because it fills all that the
 * queue claims, and so keeps mail for others in the store. */
static bool
lags(const struct destination *destination, int64_t now)
{
	const struct job *first = TAILQ_FIRST(&destination->waiting);

	return first != NULL && now - first->waiting_since > LAG_MAX;
}

/* Of a relay with rates no more is kept than can go soon: what is in hand is out of reach of
 * the administrator. */
static size_t
room_for(const struct destination *destination, int64_t now)
{
	const struct budget *budget = relay_house(destination->relay)->budget;
	const struct tempo *tempo = &destination->tempo;
	size_t room = tempo_room(tempo, now, budget_share(budget));
	size_t rate = relay_rate_room(destination->relay);

	if (budget_is_alone(budget) && !tempo_is_stuck(tempo, now) && tempo->suspend == 0 &&
	    tempo->throttle_us == 0)
		room = lags(destination, now) && room <= 2 * LAG_ROOM ? LAG_ROOM : SIZE_MAX;
	else if (!budget_has_room(budget) && !tempo_flows(tempo, now))
		room = 1;
	return rate < room ? rate + 1 : room;
}

void
destination_trim(struct destination *destination)
{
	size_t room = room_for(destination, clock_monotonic_us());
	enum destination_delay why = relay_rate_room(destination->relay) < room ?
	    DESTINATION_RATE : DESTINATION_BUSY;
	struct job_list surplus = TAILQ_HEAD_INITIALIZER(surplus);
	struct job *job;

	while (destination->waiting_count > room) {
		job = TAILQ_LAST(&destination->waiting, job_list);
		destination_remove(destination, job);
		TAILQ_INSERT_HEAD(&surplus, job, entry);
	}
	while ((job = TAILQ_FIRST(&surplus)) != NULL) {
		TAILQ_REMOVE(&surplus, job, entry);
		postpone(destination, job, why);
	}
	destination_recount(destination);
}

/* --- suspended and back --- */

static void
tell_change(const struct destination *destination)
{
	const struct relay_house *house = relay_house(destination->relay);

	house->on_change(house->owner);
}

/* The alert: once per trouble, not once per attempt.  A domain that is dead is no trouble of
 * this host. */
static void
tell_fault(struct destination *destination, int64_t now)
{
	struct relay_record *record = relay_record(destination->relay);
	/* Nothing was tried since long: this is another trouble. */
	bool quiet = destination->tempo.suspend != 0 &&
	    now - destination->tempo.suspended_until > QUIET;

	if (!relay_is_ours(destination->relay))
		return;
	record->last_fault = destination->fault;
	record->last_fault_at = destination->fault_at;
	if (record->told && !quiet)
		return;
	record->told = true;
	maillog_suspended(record->name, destination->fault_place, destination->fault.text);
}

static void
learn_refusal(struct destination *destination, int64_t now)
{
	bool again = destination->recovered_at != 0 && now - destination->recovered_at < QUIET;
	unsigned wait = again ? destination->refused_wait * 2 : REFUSED_MIN;

	if (destination->ready_is_no_proof)
		return;		/* nothing has been proved since */
	destination->ready_is_no_proof = true;
	destination->refused_wait = wait < REFUSED_MAX ? wait : REFUSED_MAX;
}

static void
recover(struct destination *destination)
{
	struct relay_record *record = relay_record(destination->relay);
	bool was = tempo_recover(&destination->tempo);

	if (destination->ready_is_no_proof)
		destination->recovered_at = clock_monotonic_us();
	destination->ready_is_no_proof = false;
	destination->secret_renewed = false;
	if (!was && !record->told)
		return;
	destination->slot_us = 0;
	if (record->told && relay_is_ours(destination->relay)) {
		record->told = false;
		maillog_recovered(record->name);
	}
	tell_change(destination);
}

void
destination_ready(struct destination *destination)
{
	tempo_answered(&destination->tempo);
	if (destination->ready_is_no_proof)
		return;
	recover(destination);
	tempo_ready(&destination->tempo);
	destination_schedule_soon(destination);
}

void
destination_delivered(struct destination *destination)
{
	int64_t now = clock_monotonic_us();

	/* Before the pause is over it is a session older than the fault: no proof. */
	if (destination->ready_is_no_proof && tempo_suspended(&destination->tempo, now) == 0)
		recover(destination);
	tempo_delivered(&destination->tempo, now);
	if (destination->waiting_count > 0)
		destination_schedule_soon(destination);
}

void
destination_answered(struct destination *destination)
{
	tempo_answered(&destination->tempo);
}

void
destination_slow_down(struct destination *destination, bool throttle)
{
	tempo_slow_down(&destination->tempo, clock_monotonic_us(), throttle);
}

/* It is their attempt: of a domain whose hosts cannot be had, as of one that does not exist. */
static void
fail_all(struct destination *destination, const struct destination_fault *fault)
{
	struct job_attempt how = { .name = relay_record(destination->relay)->name,
	    .relay = fault->relay, .tls = fault->tls, .step = fault->step, .conn_use = 1 };
	struct job_list failed = TAILQ_HEAD_INITIALIZER(failed);
	struct job *job;

	destination_take_waiting(destination, &failed);
	while ((job = TAILQ_FIRST(&failed)) != NULL) {
		TAILQ_REMOVE(&failed, job, entry);
		how.setup_us = setup_share(job, fault->setup_us);
		job_fail(job, fault->status, &how, destination_counts(destination));
	}
}

static void
keep_fault(struct destination *destination, const struct destination_fault *fault)
{
	destination->fault = *fault->status;
	destination->fault_at = clock_now();
	text_copy(destination->fault_place, sizeof(destination->fault_place), fault->relay);
	text_copy(destination->fault_tls, sizeof(destination->fault_tls), fault->tls);
	destination->fault_step = fault->step;
	destination->fault_setup_us = fault->setup_us;
}

/* A secret that was changed since the last login is worth one more, at once. */
static bool
can_log_in_anew(struct destination *destination)
{
	if (destination->secret_renewed || !relay_renew_secret(destination->relay))
		return false;
	destination->secret_renewed = true;
	log_write(LOG_LEVEL_INFO, "smtp", "relay %s: AUTH refused, the password is another one "
	    "now: trying that", relay_record(destination->relay)->name);
	destination_schedule_soon(destination);
	return true;
}

void
destination_failed(struct destination *destination, struct session *session,
    const struct destination_fault *fault)
{
	int64_t now = clock_monotonic_us();
	size_t others;

	destination_forget(destination, session);
	others = destination_working(destination);
	if (fault->auth_refused && can_log_in_anew(destination))
		return;
	/* Too many connections for the peer, perhaps: those that work go on. */
	if (others > 0) {
		tempo_hold(&destination->tempo, now, (unsigned)others);
		return;
	}
	keep_fault(destination, fault);
	if (status_class(fault->status) == STATUS_TRANSIENT) {
		tell_fault(destination, now);
		tempo_suspend(&destination->tempo, now, fault->auth_refused);
		if (fault->was_ready)
			learn_refusal(destination, now);
	}
	if (relay_is_ours(destination->relay))
		destination_postpone_all(destination, DESTINATION_SUSPENDED);
	else
		fail_all(destination, fault);
	destination->fault_setup_us = 0;	/* later mail did not wait for it */
	tell_change(destination);
}

void
destination_flush(struct destination *destination)
{
	tempo_flush(&destination->tempo);
	route_memory_clear(destination->memory);
	memset(destination->clear, 0, sizeof(destination->clear));
	destination->slot_us = 0;
	destination_schedule_soon(destination);
}

/* --- opportunistic TLS --- */

void
destination_set_clear(struct destination *destination, const struct next_hop *hop)
{
	size_t i = destination->next_clear++ % DESTINATION_CLEAR_MAX;

	next_hop_text(hop, destination->clear[i].place);
	destination->clear[i].until = clock_monotonic_us() + CLEAR_TIME;
}

bool
destination_is_clear(const struct destination *destination, const struct next_hop *hop)
{
	int64_t now = clock_monotonic_us();
	char place[ROUTE_TEXT_MAX];

	next_hop_text(hop, place);
	for (size_t i = 0; i < DESTINATION_CLEAR_MAX; i++)
		if (destination->clear[i].until > now &&
		    strcmp(destination->clear[i].place, place) == 0)
			return true;
	return false;
}

/* --- shown --- */

json_t *
destination_json(const struct destination *destination)
{
	struct destination_state state = destination_state(destination);
	json_t *object = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "domain", destination_domain(destination),
	    "sessions", (json_int_t)state.sessions, "busy", (json_int_t)state.busy,
	    "idle", (json_int_t)state.idle, "waiting", (json_int_t)state.waiting,
	    "window", (json_int_t)state.window,
	    "suspended_seconds", (json_int_t)state.suspended);
	bool faulty = destination->fault.text[0] != '\0';

	json_object_set_new(object, "throttle_seconds",
	    json_real((double)state.throttle_us / 1000000));
	json_object_set_new(object, "fault", faulty ?
	    json_string(destination->fault.text) : json_null());
	json_object_set_new(object, "fault_at", faulty ?
	    json_integer(destination->fault_at) : json_null());
	return object;
}
