/* queue_flight.c - what is in hand: fresh from the store's commit, or claimed when due. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue_parts.h"

/* --- flights --- */

uint64_t
queue_cost(const struct envelope *envelope, const struct content *content)
{
	return content_cost(content) + sizeof(struct flight) + envelope_cost(envelope);
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
	flight->reporting = envelope->recipients[0].state == RECIPIENT_OWED;
	queue->flights++;
	if (claimed) {
		queue->claimed_flights++;
		queue->claimed_octets += flight->cost;
	} else
		queue->fresh_octets += flight->cost;
	LIST_INSERT_HEAD(bucket_of(queue, envelope), flight, bucket);
	return flight;
}

/* Nothing is said of it: what is held back is not dispatched, and comes again. */
static void
hold_back(struct queue *queue, struct envelope *envelope)
{
	size_t i, count = envelope->recipient_count;

	for (i = 0; i < count; i++)
		queue_postpone(queue, envelope, i, NULL,
		    queue_held_next(queue, envelope->recipients[i].next_attempt));
}

/* What waits for a relay that is away comes into hand again and again: that it does is
 * said once, until something was tried. */
static bool
was_said(const struct envelope *envelope)
{
	size_t i;

	for (i = 0; i < envelope->recipient_count; i++)
		if (envelope->recipients[i].last_at == 0 || envelope->recipients[i].attempts > 0)
			return false;
	return true;
}

void
queue_launch(struct queue *queue, struct envelope *envelope, struct content *content,
    bool claimed)
{
	struct flight *flight = new_flight(queue, envelope, content, claimed);

	if (flight->reporting)
		queue->handlers.report(queue->handlers.bounce, envelope, flight->content);
	else if (queue_is_held_back(queue))
		hold_back(queue, envelope);
	else {
		if (!was_said(envelope))
			maillog_active(envelope);
		queue->handlers.dispatch(queue->handlers.relay, envelope, flight->content);
	}
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

/* Who was to be warned is given back as if that had not been decided; where the report is
 * stored already, this comes after it and changes nothing. */
static void
give_back(struct queue *queue, struct flight *flight)
{
	struct envelope *envelope = flight->envelope;
	size_t i;

	for (i = 0; i < envelope->recipient_count; i++) {
		struct recipient *recipient = &envelope->recipients[i];

		if (recipient->state == RECIPIENT_ACTIVE) {
			recipient->state = RECIPIENT_DEFERRED;
			recipient->next_attempt = clock_now();
		} else if (!recipient->warning_owed)
			continue;
		queue_add_outcome(queue, envelope, recipient, NULL, false);
	}
}

void
queue_give_back_all(struct queue *queue)
{
	each_flight(queue, give_back);
}

/* --- for the store --- */

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
		    queue_is_told(&envelope->recipients[i]))
			claim->keep[claim->keep_count++] = (struct store_key){ envelope->id,
				envelope->recipients[i].id };
}

/* What is in hand here, and what may be stored at this moment. */
void
queue_list_kept(struct queue *queue, struct store_claim *claim)
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

/* --- health --- */

void
queue_on_health(void *owner, bool healthy, const struct error *why)
{
	struct queue *queue = owner;
	struct arrival *arrival;

	queue->disk_full = !healthy && why->kind == ERROR_SYSTEM;
	if (!healthy) {
		log_write(LOG_LEVEL_ERROR, "qmgr", "the queue takes no mail: %s", why->text);
		return;
	}
	log_write(LOG_LEVEL_NOTICE, "qmgr", "the queue takes mail again");
	queue_recover(queue, 0);
	queue_flush_outcomes(queue);
	queue_kept_write(queue);
	TAILQ_FOREACH(arrival, &queue->arrivals, entry)
		if (!arrival->sent)
			queue_send_arrival(queue, arrival);
	queue_pump(queue);
}

/* --- the end of a turn --- */

static bool
has_told(const struct envelope *envelope)
{
	size_t i;

	for (i = 0; i < envelope->recipient_count; i++)
		if (queue_is_told(&envelope->recipients[i]))
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
		if (!flight->reporting && has_told(flight->envelope))
			queue_ask_report(queue, flight);
		else
			free_flight(queue, flight);
	}
	queue_pump(queue);
}
