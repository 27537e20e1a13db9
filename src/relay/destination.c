/* destination.c - what limits count by: the hosts of a relay, or the MX of one domain. */
#include "relay/destination.h"

#include "base/clock.h"
#include "base/mem.h"
#include "conf/config.h"
#include "relay/destination_parts.h"
#include "relay/relay.h"
#include "relay/session.h"

#include <event2/event.h>
#include <stdlib.h>

/* Up to so long mail waits in memory for its turn by the rates of the relay. */
#define RATE_PATIENCE	10000000LL	/* microseconds */
#define LOOK_AGAIN	5000000LL	/* at what waits, when nothing else says when */

static size_t
count_state(const struct destination *destination, enum session_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < destination->session_count; i++)
		if (session_state(destination->sessions[i]) == state)
			count++;
	return count;
}

size_t
destination_working(const struct destination *destination)
{
	return count_state(destination, SESSION_BUSY) + count_state(destination, SESSION_IDLE);
}

static struct loop *
loop_of(const struct destination *destination)
{
	return relay_house(destination->relay)->loop;
}

static struct budget *
budget_of(const struct destination *destination)
{
	return relay_house(destination->relay)->budget;
}

void
destination_recount(struct destination *destination)
{
	struct budget *budget = budget_of(destination);
	bool waits = destination->waiting_count > 0;
	size_t unproven = tempo_flows(&destination->tempo, clock_monotonic_us()) ? 0 :
	    destination->waiting_places;

	budget_sub_waiting(budget, destination->counted ? 1 : 0, destination->counted_unproven);
	budget_add_waiting(budget, waits ? 1 : 0, unproven);
	destination->counted = waits;
	destination->counted_unproven = unproven;
}

void
destination_remove(struct destination *destination, struct job *job)
{
	TAILQ_REMOVE(&destination->waiting, job, entry);
	destination->waiting_count--;
	destination->waiting_places -= job->places;
}

void
destination_schedule_soon(struct destination *destination)
{
	loop_defer(loop_of(destination), &destination->schedule);
}

/* --- sessions for what waits --- */

/* behind: those whose last mail has no answer yet, else those that are idle. */
static void
wake(struct destination *destination, bool behind)
{
	enum session_state state = behind ? SESSION_BUSY : SESSION_IDLE;

	for (size_t i = 0; i < destination->session_count && destination->waiting_count > 0;) {
		struct session *session = destination->sessions[i];

		if (session_state(session) == state)
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

	destination->sessions = mem_grow(destination->sessions, count, sizeof(struct session *));
	destination->sessions[destination->session_count] = session_new(destination);
	destination->session_count = count;
	tempo_asked(&destination->tempo, clock_monotonic_us());
}

/* How long no mail may begin; microseconds. */
static int64_t
mail_wait(const struct destination *destination, int64_t now)
{
	int64_t tempo = tempo_mail_wait(&destination->tempo, now);
	int64_t rate = relay_rate_wait(destination->relay);

	return rate > tempo ? rate : tempo;
}

/* New ones within the window; few at once are in their set-up, for a peer that is silent
 * keeps all of these. */
static void
open_sessions(struct destination *destination, int64_t now)
{
	size_t setup = count_state(destination, SESSION_SETUP);
	size_t setup_max = 1 + destination->session_count - setup;

	if (mail_wait(destination, now) > 0 || tempo_open_wait(&destination->tempo, now) > 0 ||
	    count_state(destination, SESSION_IDLE) > 0)
		return;
	for (; setup < destination->waiting_count && setup < setup_max &&
	    destination->session_count < destination->tempo.window; setup++) {
		if (!budget_open(budget_of(destination), &destination->wish,
		    destination->session_count))
			break;
		open_session(destination);
	}
}

static void
set_timer(struct destination *destination, int64_t now)
{
	int64_t wait = mail_wait(destination, now);
	int64_t open = tempo_open_wait(&destination->tempo, now);
	struct timeval after;

	if (destination->session_count == 0 && open > wait)
		wait = open;
	if (wait <= 0 || wait > LOOK_AGAIN)
		wait = LOOK_AGAIN;
	after = (struct timeval){ .tv_sec = wait / 1000000, .tv_usec = wait % 1000000 };
	event_add(&destination->timer, &after);
}

static void
give_to_sessions(struct destination *destination, int64_t now)
{
	wake(destination, false);
	destination_trim(destination);
	open_sessions(destination, now);
	wake(destination, true);
	if (destination->waiting_count > 0)
		set_timer(destination, now);
}

static void
schedule(void *owner)
{
	struct destination *destination = owner;
	int64_t now = clock_monotonic_us();

	if (destination->retired || destination->waiting_count == 0)
		return;
	if (relay_record(destination->relay)->paused)
		destination_postpone_all(destination, DESTINATION_PAUSED);
	else if (tempo_suspended(&destination->tempo, now) > 0)
		destination_postpone_all(destination, DESTINATION_SUSPENDED);
	else if (relay_rate_wait(destination->relay) > RATE_PATIENCE)
		destination_postpone_all(destination, DESTINATION_RATE);
	else
		give_to_sessions(destination, now);
	destination_recount(destination);
}

static void
on_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	schedule(arg);
}

static void
on_place_free(void *owner)
{
	schedule(owner);
}

/* --- life --- */

struct destination *
destination_new(struct relay *relay, const char *domain)
{
	const struct relay_house *house = relay_house(relay);
	struct destination *destination = mem_zalloc(sizeof(*destination));

	destination->relay = relay;
	destination->domain = domain != NULL ? mem_strdup(domain) : NULL;
	destination->memory = route_memory_new();
	TAILQ_INIT(&destination->waiting);
	tempo_start(&destination->tempo, relay_params(relay)->relay->max_connections);
	destination->wish = (struct budget_wish){ .wake = on_place_free, .owner = destination };
	destination->schedule = (struct loop_task){ .run = schedule, .owner = destination };
	if (event_assign(&destination->timer, loop_base(house->loop), -1, 0, on_timer,
	    destination) == -1)
		abort();
	return destination;
}

void
destination_take_waiting(struct destination *destination, struct job_list *out)
{
	TAILQ_CONCAT(out, &destination->waiting, entry);
	destination->waiting_count = destination->waiting_places = 0;
	destination_recount(destination);
}

void
destination_free(struct destination *destination)
{
	struct job_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct job *job;

	if (destination == NULL)
		return;
	destination->retired = true;
	while (destination->session_count > 0)
		session_abort(destination->sessions[0]);
	destination_take_waiting(destination, &waiting);
	while ((job = TAILQ_FIRST(&waiting)) != NULL) {
		TAILQ_REMOVE(&waiting, job, entry);
		job_free(job);
	}
	event_del(&destination->timer);
	loop_cancel(loop_of(destination), &destination->schedule);
	budget_forget(budget_of(destination), &destination->wish);
	route_memory_free(destination->memory);
	free(destination->sessions);
	free(destination->domain);
	free(destination);
}

void
destination_add(struct destination *destination, struct job *job)
{
	TAILQ_INSERT_TAIL(&destination->waiting, job, entry);
	destination->waiting_count++;
	destination->waiting_places += job->places;
	destination_recount(destination);
	destination_schedule_soon(destination);
}

void
destination_schedule(struct destination *destination)
{
	destination_schedule_soon(destination);
}

void
destination_retire(struct destination *destination)
{
	destination->retired = true;
	event_del(&destination->timer);
	budget_forget(budget_of(destination), &destination->wish);
	for (size_t i = 0; i < destination->session_count;) {
		struct session *session = destination->sessions[i];

		session_retire(session);
		if (i < destination->session_count && destination->sessions[i] == session)
			i++;
	}
}

bool
destination_drain(struct destination *destination)
{
	struct job_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct job *job;

	destination_take_waiting(destination, &waiting);
	while ((job = TAILQ_FIRST(&waiting)) != NULL) {
		TAILQ_REMOVE(&waiting, job, entry);
		job_return(job);
	}
	destination_retire(destination);
	return count_state(destination, SESSION_BUSY) == 0;
}

bool
destination_has_sessions(const struct destination *destination)
{
	return destination->session_count > 0;
}

bool
destination_is_idle(const struct destination *destination, bool place_is_wanted)
{
	return destination->session_count == 0 && destination->waiting_count == 0 &&
	    (place_is_wanted || tempo_is_idle(&destination->tempo, clock_monotonic_us()));
}

const char *
destination_domain(const struct destination *destination)
{
	return destination->domain != NULL ? destination->domain : "";
}

struct relay *
destination_relay(const struct destination *destination)
{
	return destination->relay;
}

struct route_memory *
destination_memory(struct destination *destination)
{
	return destination->memory;
}

struct job_counts *
destination_counts(struct destination *destination)
{
	return &relay_record(destination->relay)->counts;
}

struct destination_state
destination_state(const struct destination *destination)
{
	int64_t wait = tempo_suspended(&destination->tempo, clock_monotonic_us());

	return (struct destination_state){
		.waiting = destination->waiting_count,
		.sessions = destination->session_count,
		.busy = count_state(destination, SESSION_BUSY),
		.idle = count_state(destination, SESSION_IDLE),
		.window = destination->tempo.window,
		.suspended = (unsigned)((wait + 999999) / 1000000),
		.throttle_us = destination->tempo.throttle_us,
	};
}

/* --- for sessions --- */

/* Other sessions that could have the job: idle, being set up, or not yet open. */
static size_t
free_sessions(const struct destination *destination)
{
	size_t spare = count_state(destination, SESSION_IDLE) +
	    count_state(destination, SESSION_SETUP);

	if (destination->session_count < destination->tempo.window && !destination->wish.waits &&
	    tempo_open_wait(&destination->tempo, clock_monotonic_us()) == 0)
		spare += destination->tempo.window - destination->session_count;
	return spare;
}

struct job *
destination_take(struct destination *destination, bool behind)
{
	struct job *job = TAILQ_FIRST(&destination->waiting);
	int64_t now = clock_monotonic_us();

	if (job == NULL || destination->retired || relay_record(destination->relay)->paused ||
	    tempo_mail_wait(&destination->tempo, now) > 0)
		return NULL;
	if (behind ? destination->waiting_count <= free_sessions(destination) :
	    count_state(destination, SESSION_BUSY) >= destination->tempo.window)
		return NULL;
	if (!relay_take_token(destination->relay))
		return NULL;
	destination_remove(destination, job);
	tempo_mail(&destination->tempo, now);
	destination_recount(destination);
	return job;
}

void
destination_put_back(struct destination *destination, struct job *job, bool unused)
{
	if (unused)
		relay_return_token(destination->relay);
	if (destination->retired) {
		job_return(job);
		return;
	}
	TAILQ_INSERT_HEAD(&destination->waiting, job, entry);
	destination->waiting_count++;
	destination->waiting_places += job->places;
	destination_recount(destination);
	destination_schedule_soon(destination);
}

void
destination_forgo_bdat(struct destination *destination)
{
	destination->forgoes_bdat = true;
}

bool
destination_takes_bdat(const struct destination *destination)
{
	return !destination->forgoes_bdat;
}

void
destination_forget(struct destination *destination, struct session *session)
{
	for (size_t i = 0; i < destination->session_count; i++) {
		if (destination->sessions[i] != session)
			continue;
		destination->sessions[i] = destination->sessions[--destination->session_count];
		budget_close(budget_of(destination));
		if (destination->waiting_count > 0)
			destination_schedule_soon(destination);
		return;
	}
}
