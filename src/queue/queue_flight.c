/* queue_flight.c - what is in hand: fresh from the store's commit, or claimed when due. */
#include <assert.h>
#include <event2/event.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue_parts.h"

/* The wall clock may be set while the timer runs: it is looked at again at least so often. */
#define TIMER_MAX	60	/* seconds */
/* What the store cannot do now, for want of room or because it refuses, waits so long. */
#define PUT_OFF_MAX	60	/* seconds */

/* --- flights --- */

uint64_t
queue_cost(const struct envelope *envelope, const struct content *content)
{
	return content_cost(content) + sizeof(struct flight) + sizeof(*envelope) +
	    envelope->recipient_count * sizeof(*envelope->recipients);
}

static struct flight_bucket *
bucket_of(struct queue *queue, const struct envelope *envelope)
{
	/* Ids are times in microseconds: their low bits are spread well enough. */
	return &queue->buckets[(uint64_t)envelope->id & (QUEUE_BUCKETS - 1)];
}

struct flight *
queue_find_flight(struct queue *queue, const struct envelope *envelope)
{
	struct flight *flight;

	LIST_FOREACH(flight, bucket_of(queue, envelope), bucket)
		if (flight->envelope == envelope)
			return flight;
	abort();	/* an envelope that is not in hand */
}

static void
free_flight(struct queue *queue, struct flight *flight)
{
	queue->flights--;
	if (flight->claimed) {
		queue->claimed_flights--;
		queue->claimed_octets -= flight->cost;
	} else
		queue->fresh_octets -= flight->cost;
	LIST_REMOVE(flight, bucket);
	envelope_free(flight->envelope);
	content_unref(flight->content);
	free(flight);
}

static struct flight *
new_flight(struct queue *queue, struct envelope *envelope, struct content *content, bool claimed)
{
	struct flight *flight = mem_zalloc(sizeof(*flight));

	flight->envelope = envelope;
	flight->content = content_ref(content);
	flight->open = envelope->recipient_count;
	flight->cost = queue_cost(envelope, content);
	flight->claimed = claimed;
	flight->reporting = envelope->recipients[0].state == RECIPIENT_FAILED;
	queue->flights++;
	if (claimed) {
		queue->claimed_flights++;
		queue->claimed_octets += flight->cost;
	} else
		queue->fresh_octets += flight->cost;
	LIST_INSERT_HEAD(bucket_of(queue, envelope), flight, bucket);
	return flight;
}

void
queue_launch(struct queue *queue, struct envelope *envelope, struct content *content,
    bool claimed)
{
	struct flight *flight = new_flight(queue, envelope, content, claimed);

	if (flight->reporting) {
		queue->handlers.report(queue->handlers.bounce, envelope, flight->content);
		return;
	}
	maillog_active(envelope);
	queue->handlers.dispatch(queue->handlers.relay, envelope, flight->content);
}

/* The relay may still look at the envelope, to log what it was told. */
void
queue_end_flight(struct queue *queue, struct flight *flight)
{
	assert(!flight->ended);
	flight->ended = true;
	TAILQ_INSERT_TAIL(&queue->ended, flight, entry);
	loop_defer(queue->loop, &queue->task);
}

static void
each_flight(struct queue *queue, void (*each)(struct queue *queue, struct flight *flight))
{
	struct flight *flight, *next;
	size_t i;

	for (i = 0; i < QUEUE_BUCKETS; i++)
		for (flight = LIST_FIRST(&queue->buckets[i]); flight != NULL; flight = next) {
			next = LIST_NEXT(flight, bucket);
			each(queue, flight);
		}
}

void
queue_free_flights(struct queue *queue)
{
	each_flight(queue, free_flight);
}

static void
give_back(struct queue *queue, struct flight *flight)
{
	struct envelope *envelope = flight->envelope;
	size_t i;

	if (flight->reporting || flight->ended)
		return;
	for (i = 0; i < envelope->recipient_count; i++) {
		if (envelope->recipients[i].state != RECIPIENT_ACTIVE)
			continue;
		envelope->recipients[i].state = RECIPIENT_DEFERRED;
		envelope->recipients[i].next_attempt = clock_now();
		queue_add_outcome(queue, envelope, &envelope->recipients[i]);
	}
}

void
queue_give_back_all(struct queue *queue)
{
	each_flight(queue, give_back);
}

/* --- claims --- */

static bool
has_room(const struct queue *queue)
{
	return queue->claimed_flights <= QUEUE_CLAIMED_MAX / 2 &&
	    queue->claimed_octets <= QUEUE_CLAIMED_OCTETS / 2;
}

/* The latest time for which the schedule puts anything off, and the store; with a margin
 * for jitter. */
static int64_t
latest(const struct queue *queue, int64_t now)
{
	return now + 2 * ((int64_t)queue->schedule.retry_max + PUT_OFF_MAX);
}

/* What lies too far ahead was put there by a clock that has been set back since. */
static bool
is_due(const struct queue *queue, int64_t when)
{
	int64_t now = clock_now();

	return when >= 0 && (when <= now || when > latest(queue, now));
}

static int
compare_keys(const void *a, const void *b)
{
	const struct store_key *x = a, *y = b;

	if (x->message_id != y->message_id)
		return x->message_id < y->message_id ? -1 : 1;
	return (x->recipient_id > y->recipient_id) - (x->recipient_id < y->recipient_id);
}

static void
keep_flight(struct store_claim *claim, const struct envelope *envelope)
{
	size_t i;

	for (i = 0; i < envelope->recipient_count; i++)
		if (envelope->recipients[i].state == RECIPIENT_ACTIVE ||
		    envelope->recipients[i].state == RECIPIENT_FAILED)
			claim->keep[claim->keep_count++] = (struct store_key){ envelope->id,
				envelope->recipients[i].id };
}

/* Whose rows are rightly in hand: what is so here, and what may be stored at this moment. */
static void
list_kept(struct queue *queue, struct store_claim *claim)
{
	const struct arrival *arrival;
	const struct flight *flight;
	size_t i, count = 0;

	for (i = 0; i < QUEUE_BUCKETS; i++)
		LIST_FOREACH(flight, &queue->buckets[i], bucket)
			count += flight->envelope->recipient_count;
	TAILQ_FOREACH(arrival, &queue->arrivals, entry)
		count++;
	claim->keep = mem_array(count, sizeof(*claim->keep));
	for (i = 0; i < QUEUE_BUCKETS; i++)
		LIST_FOREACH(flight, &queue->buckets[i], bucket)
			keep_flight(claim, flight->envelope);
	TAILQ_FOREACH(arrival, &queue->arrivals, entry)
		claim->keep[claim->keep_count++] =
		    (struct store_key){ .message_id = arrival->envelope->id };
	qsort(claim->keep, claim->keep_count, sizeof(*claim->keep), compare_keys);
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
		queue_launch(queue, envelope, claim->claimed[i].content, true);
	}
	loop_defer(queue->loop, &queue->task);
}

static void
send_claim(struct queue *queue)
{
	struct store_request *request = store_request_new(STORE_CLAIM, on_claimed, queue);

	/* What became of earlier attempts is stored before anything is given back. */
	queue_flush_outcomes(queue);
	request->claim.now = clock_now();
	request->claim.latest = latest(queue, request->claim.now);
	request->claim.limit = QUEUE_CLAIM_LIMIT;
	if (queue->claimed_octets < QUEUE_CLAIMED_OCTETS)
		request->claim.octets = QUEUE_CLAIMED_OCTETS - queue->claimed_octets;
	request->claim.recover = is_due(queue, queue->recover_at);
	if (request->claim.recover) {
		list_kept(queue, &request->claim);
		queue->recover_at = -1;
	}
	/* The answer says what is due next; what else becomes due meanwhile is added. */
	queue->next_due = queue->recover_at;
	queue->claiming = true;
	store_send(queue->store, request);
}

static void
set_timer(struct queue *queue, int64_t wait)
{
	struct timeval after = { .tv_sec = wait < TIMER_MAX ? wait : TIMER_MAX };

	evtimer_add(queue->timer, &after);
}

void
queue_pump(struct queue *queue)
{
	if (!queue->started || queue->draining || queue->closing || queue->claiming ||
	    !store_healthy(queue->store))
		return;
	if (queue->next_due < 0)
		return;
	if (!is_due(queue, queue->next_due))
		set_timer(queue, queue->next_due - clock_now());
	else if (is_due(queue, queue->recover_at) || has_room(queue))
		send_claim(queue);
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

/* --- health --- */

void
queue_on_health(void *owner, bool healthy, const struct error *why)
{
	struct queue *queue = owner;
	struct arrival *arrival;

	if (!healthy) {
		log_write(LOG_LEVEL_ERROR, "qmgr", "the queue takes no mail: %s", why->text);
		return;
	}
	log_write(LOG_LEVEL_NOTICE, "qmgr", "the queue takes mail again");
	queue_recover(queue, 0);
	queue_flush_outcomes(queue);
	TAILQ_FOREACH(arrival, &queue->arrivals, entry)
		if (!arrival->sent)
			queue_send_arrival(queue, arrival);
	queue_pump(queue);
}

/* --- the end of a turn --- */

static bool
has_failed(const struct envelope *envelope)
{
	size_t i;

	for (i = 0; i < envelope->recipient_count; i++)
		if (envelope->recipients[i].state == RECIPIENT_FAILED)
			return true;
	return false;
}

void
queue_end_turn(void *owner)
{
	struct queue *queue = owner;
	struct flight *flight;

	queue_flush_outcomes(queue);
	while ((flight = TAILQ_FIRST(&queue->ended)) != NULL) {
		TAILQ_REMOVE(&queue->ended, flight, entry);
		flight->ended = false;
		if (!flight->reporting && has_failed(flight->envelope))
			queue_ask_report(queue, flight);
		else
			free_flight(queue, flight);
	}
	queue_pump(queue);
}
