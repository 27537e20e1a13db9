/* queue_claim.c - what is due is claimed from the store, unless the relays are held back. */
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "queue/content.h"
#include "queue/queue_parts.h"

/* The wall clock may be set while the timer runs: it is looked at again at least so often. */
#define TIMER_MAX	60	/* seconds */
/* What the store cannot do now, for want of room or because it refuses, waits so long. */
#define PUT_OFF_MAX	60	/* seconds */
/* What relays and reports are waited for, whatever the schedule says. */
#define BOUND_MIN	3600	/* seconds */

/* So long a few messages alone have to find out whether a relay is well; one that hangs must
 * not hold up what others could take. */
#define PROBE_TIME	10	/* seconds */

/* --- times --- */

static int64_t
longest_wait(const struct queue *queue)
{
	int64_t retry_max = queue->schedule.retry_max;

	return (retry_max > BOUND_MIN ? retry_max : BOUND_MIN) + PUT_OFF_MAX;
}

int64_t
queue_bound(const struct queue *queue, int64_t when)
{
	int64_t last = clock_now() + longest_wait(queue);

	return when < last ? when : last;
}

/* The latest time for which anything is put off, with a margin for jitter.  What lies beyond
 * was put there by a clock that has been set back since. */
static int64_t
latest(const struct queue *queue, int64_t now)
{
	return now + 2 * longest_wait(queue);
}

static bool
is_past(const struct queue *queue, int64_t when, int64_t horizon)
{
	return when >= 0 && (when <= horizon || when > latest(queue, clock_now()));
}

/* --- held back --- */

static bool
is_held(const struct queue *queue, int64_t now)
{
	return queue->held_until == INT64_MAX ||
	    (queue->held_until > now && queue->held_until <= latest(queue, now) &&
	    clock_monotonic_us() < queue->held_end);
}

bool
queue_is_held_back(const struct queue *queue)
{
	return is_held(queue, clock_now());
}

/* What was due by then is claimed.  While mail is held back that is what has waited for so
 * long that its sender has to be told, and what is owed a report since ever. */
static int64_t
horizon(const struct queue *queue, int64_t now)
{
	if (!is_held(queue, now))
		return now;
	return queue->delay_warning > 0 ? now - (int64_t)queue->delay_warning : 0;
}

/* Its place in the order of arrival stays, but for what was claimed for a warning: that has
 * been seen, and is not claimed again at once. */
int64_t
queue_held_next(const struct queue *queue, int64_t next_attempt)
{
	int64_t now = clock_now();

	return is_past(queue, next_attempt, horizon(queue, now)) ? now : next_attempt;
}

void
queue_hold_back(struct queue *queue, int64_t until)
{
	queue->held_until = until == INT64_MAX || until == 0 ? until : queue_bound(queue, until);
	if (until != INT64_MAX && until != 0)
		queue->held_end = clock_monotonic_us() +
		    (queue->held_until - clock_now()) * 1000000;
	queue->probing = false;
	loop_defer(queue->loop, &queue->task);
}

void
queue_has_result(struct queue *queue)
{
	if (!queue->probing)
		return;
	queue->probing = false;
	loop_defer(queue->loop, &queue->task);
}

/* Whether the relays take mail again is found out with a few messages: should they not,
 * the others need not be read and put off, each time. */
static void
end_hold(struct queue *queue)
{
	if (queue->held_until == 0 || queue_is_held_back(queue))
		return;
	queue->held_until = 0;
	queue->probing = true;
	queue->probing_since = clock_now();
}

static bool
is_probing(const struct queue *queue)
{
	int64_t age = clock_now() - queue->probing_since;

	return queue->probing && age >= 0 && age < PROBE_TIME;
}

bool
queue_takes_fresh(struct queue *queue)
{
	end_hold(queue);
	return queue->started && !queue->draining && !queue->probing && queue->held_until == 0;
}

/* --- claims --- */

/* So many in hand, and so many a second: the relay layer may put them off at once, for it
 * counts time otherwise. */
static size_t
probes_left(struct queue *queue)
{
	int64_t now = clock_now();
	size_t used = queue->claimed_flights;

	if (queue->probe_second != now) {
		queue->probe_second = now;
		queue->probe_count = 0;
	}
	if (used < queue->probe_count)
		used = queue->probe_count;
	return used < QUEUE_PROBES ? QUEUE_PROBES - used : 0;
}

static bool
has_room(struct queue *queue)
{
	if (is_probing(queue))
		return probes_left(queue) > 0;
	return queue->claimed_flights <= QUEUE_CLAIMED_MAX / 2 &&
	    queue->claimed_octets <= queue->claimed_max / 2;
}

static void
log_damage(const struct store_claim *claim)
{
	size_t i;

	for (i = 0; i < claim->damaged_count; i++)
		log_write(LOG_LEVEL_ERROR, "qmgr", "%llX: %s: %s",
		    (unsigned long long)claim->damaged[i].message_id,
		    claim->damaged[i].parked ? "parked" : "put off", claim->damaged[i].text);
}

/* Without an answer nobody would say what is due next.  After trouble queue_on_health()
 * does. */
static void
on_claim_failed(struct queue *queue, const struct store_request *request)
{
	int64_t again = clock_now() + PUT_OFF_MAX;

	if (!request->refused)
		return;
	log_write(LOG_LEVEL_ERROR, "qmgr", "cannot claim what is due: %s", request->error.text);
	if (request->claim.recover)
		queue_recover(queue, again);
	else
		queue->next_due = again;	/* not sooner: it would be refused again */
	loop_defer(queue->loop, &queue->task);
}

static void
on_claimed(void *owner, struct store_request *request)
{
	struct queue *queue = owner;
	struct store_claim *claim = &request->claim;
	size_t i;

	queue->claiming = false;
	if (request->failed)
		on_claim_failed(queue, request);
	if (request->failed || queue->closing)
		return;
	if (claim->next_due >= 0)
		queue_due(queue, claim->next_due);
	log_damage(claim);
	for (i = 0; i < claim->count; i++) {
		struct envelope *envelope = claim->claimed[i].envelope;

		claim->claimed[i].envelope = NULL;
		envelope_charge(envelope, queue->memory);
		content_charge(claim->claimed[i].content, queue->memory);
		queue_launch(queue, envelope, claim->claimed[i].content, true);
	}
	loop_defer(queue->loop, &queue->task);
}

static void
send_claim(struct queue *queue, int64_t now)
{
	struct store_request *request = store_request_new(STORE_CLAIM, on_claimed, queue);

	/* What became of earlier attempts is stored before anything is given back. */
	queue_flush_outcomes(queue);
	request->claim.now = horizon(queue, now);
	request->claim.latest = latest(queue, now);
	request->claim.limit = QUEUE_CLAIM_LIMIT;
	if (is_probing(queue)) {
		request->claim.limit = probes_left(queue) > 0 ? probes_left(queue) : 1;
		queue->probe_count += request->claim.limit;
	}
	if (queue->claimed_octets < queue->claimed_max)
		request->claim.octets = queue->claimed_max - queue->claimed_octets;
	request->claim.recover = is_past(queue, queue->recover_at, now);
	if (request->claim.recover) {
		queue_list_kept(queue, &request->claim);
		queue->recover_at = -1;
	}
	/* The answer says what is due next; what else becomes due meanwhile is added. */
	queue->next_due = queue->recover_at;
	queue->claiming = true;
	store_send(queue->store, request);
}

/* Seconds until something is to be claimed that is not yet. */
static int64_t
find_wait(const struct queue *queue, int64_t now)
{
	int64_t wait = queue->next_due - horizon(queue, now);

	if (queue->recover_at >= 0 && queue->recover_at - now < wait)
		wait = queue->recover_at - now;
	if (is_held(queue, now) && queue->held_until - now < wait)
		wait = queue->held_until - now;
	return wait > 0 ? wait : 0;
}

static void
set_timer(struct queue *queue, int64_t wait)
{
	const struct timeval after = { .tv_sec = wait < TIMER_MAX ? wait : TIMER_MAX };

	evtimer_add(queue->timer, &after);
}

void
queue_pump(struct queue *queue)
{
	int64_t now = clock_now();

	if (!queue->started || queue->draining || queue->closing || queue->claiming ||
	    !store_healthy(queue->store))
		return;
	end_hold(queue);
	if (queue->next_due < 0)
		return;
	if (is_past(queue, queue->recover_at, now))
		send_claim(queue, now);
	else if (!is_past(queue, queue->next_due, horizon(queue, now)))
		set_timer(queue, find_wait(queue, now));
	else if (has_room(queue))
		send_claim(queue, now);
	else if (is_probing(queue))
		set_timer(queue, 1);
}

void
queue_due(struct queue *queue, int64_t when)
{
	if (queue->next_due >= 0 && queue->next_due <= when)
		return;
	queue->next_due = when;
	loop_defer(queue->loop, &queue->task);
}

void
queue_recover(struct queue *queue, int64_t when)
{
	if (queue->recover_at < 0 || queue->recover_at > when)
		queue->recover_at = when;
	queue_due(queue, when);
}

void
queue_on_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	queue_pump(arg);
}
