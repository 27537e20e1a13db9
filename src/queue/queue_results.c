/* queue_results.c - what became of recipients: decided once, and kept until it is stored. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue_parts.h"

/* --- outcomes --- */

static struct store_outcome *
make_room(struct queue *queue, size_t count)
{
	while (queue->outcome_room < queue->outcome_count + count) {
		queue->outcome_room = queue->outcome_room > 0 ? queue->outcome_room * 2 : 16;
		queue->outcomes = mem_grow(queue->outcomes, queue->outcome_room,
		    sizeof(*queue->outcomes));
	}
	return queue->outcomes + queue->outcome_count;
}

void
queue_add_outcome(struct queue *queue, const struct envelope *envelope,
    const struct recipient *recipient)
{
	struct store_outcome *outcome = make_room(queue, 1);

	queue->outcome_count++;
	outcome->message_id = envelope->id;
	outcome->recipient_id = recipient->id;
	outcome->state = recipient->state;
	outcome->attempts = recipient->attempts;
	outcome->next_attempt = recipient->next_attempt;
	outcome->last = recipient->last;
	text_copy(outcome->relay, sizeof(outcome->relay), recipient->relay);
	loop_defer(queue->loop, &queue->task);
}

static void send_outcomes(struct queue *queue, struct store_outcome *outcomes, size_t count);

/* The store is in trouble: they are kept, after those that were put back before and before
 * those that came later. */
static void
put_back(struct queue *queue, const struct store_outcome *outcomes, size_t count)
{
	struct store_outcome *place;

	(void)make_room(queue, count);
	place = queue->outcomes + queue->put_back_count;
	memmove(place + count, place,
	    (queue->outcome_count - queue->put_back_count) * sizeof(*place));
	memcpy(place, outcomes, count * sizeof(*place));
	queue->outcome_count += count;
	queue->put_back_count += count;
}

/* One of them is refused for what it is.  Each goes alone, and that one is given up: its
 * recipient is given back, but late, for what was delivered is delivered again. */
static void
send_singly(struct queue *queue, const struct store_request *request)
{
	const struct store_insert *insert = &request->insert;
	size_t i;

	if (insert->count == 1) {
		log_write(LOG_LEVEL_CRITICAL, "qmgr", "%llX: cannot store what became of it: %s",
		    (unsigned long long)insert->outcomes[0].message_id, request->error.text);
		queue_recover(queue, clock_now() + queue->schedule.retry_max);
		return;
	}
	for (i = 0; i < insert->count && !queue->closing; i++)
		send_outcomes(queue, mem_dup(&insert->outcomes[i], sizeof(insert->outcomes[i])), 1);
}

static void
on_recorded(void *owner, struct store_request *request)
{
	struct queue *queue = owner;

	queue->recording--;
	if (!request->failed)
		queue_log_removed(&request->insert.removed);
	else if (request->refused)
		send_singly(queue, request);
	else
		put_back(queue, request->insert.outcomes, request->insert.count);
}

static void
send_outcomes(struct queue *queue, struct store_outcome *outcomes, size_t count)
{
	struct store_request *request = store_request_new(STORE_RECORD, on_recorded, queue);

	request->insert.outcomes = outcomes;
	request->insert.count = count;
	queue->recording++;
	store_send(queue->store, request);
}

void
queue_flush_outcomes(struct queue *queue)
{
	if (queue->outcome_count == 0 || !store_healthy(queue->store))
		return;
	send_outcomes(queue, queue->outcomes, queue->outcome_count);
	queue->outcomes = NULL;
	queue->outcome_count = queue->outcome_room = queue->put_back_count = 0;
}

/* --- results --- */

static enum queue_fate
fail_expired(struct queue *queue, struct recipient *recipient)
{
	char said[STATUS_TEXT_MAX + 32];

	status_text(&recipient->last, said, sizeof(said));
	recipient->last = status_local("4.4.7", "delivery time expired; last reply: %.400s", said);
	recipient->state = RECIPIENT_FAILED;
	recipient->next_attempt = STORE_IN_HAND;
	queue->expired++;
	return QUEUE_EXPIRED;
}

static enum queue_fate
defer(struct queue *queue, const struct envelope *envelope, struct recipient *recipient)
{
	int64_t now = clock_now();

	if (schedule_expired(now, envelope->expires, recipient->attempts))
		return fail_expired(queue, recipient);
	recipient->state = RECIPIENT_DEFERRED;
	recipient->next_attempt = schedule_next(&queue->schedule, now, envelope->arrived,
	    envelope->expires, recipient->attempts, (uint64_t)envelope->id);
	queue_due(queue, recipient->next_attempt);
	return QUEUE_DEFERRED;
}

static enum queue_fate
decide(struct queue *queue, const struct envelope *envelope, struct recipient *recipient)
{
	switch (status_class(&recipient->last)) {
	case STATUS_SUCCESS:
		recipient->state = RECIPIENT_DONE;
		queue->delivered++;
		return QUEUE_SENT;
	case STATUS_PERMANENT:
		recipient->state = RECIPIENT_FAILED;
		recipient->next_attempt = STORE_IN_HAND;
		queue->bounced++;
		return QUEUE_BOUNCED;
	case STATUS_TRANSIENT:
	default:
		return defer(queue, envelope, recipient);
	}
}

static struct recipient *
open_recipient(struct flight *flight, size_t index)
{
	struct recipient *recipient = &flight->envelope->recipients[index];

	assert(!flight->reporting && index < flight->envelope->recipient_count);
	assert(recipient->state == RECIPIENT_ACTIVE);
	return recipient;
}

static void
close_recipient(struct queue *queue, struct flight *flight, const struct recipient *recipient)
{
	queue_add_outcome(queue, flight->envelope, recipient);
	if (--flight->open == 0)
		queue_end_flight(queue, flight);
}

enum queue_fate
queue_result(struct queue *queue, struct envelope *batch, size_t index,
    const struct status *status, const char *relay)
{
	struct flight *flight = queue_find_flight(queue, batch);
	struct recipient *recipient = open_recipient(flight, index);
	enum queue_fate fate;

	recipient->attempts++;
	recipient->last = *status;
	text_copy(recipient->relay, sizeof(recipient->relay), relay != NULL ? relay : "");
	fate = decide(queue, batch, recipient);
	close_recipient(queue, flight, recipient);
	return fate;
}

void
queue_return(struct queue *queue, struct envelope *batch, size_t index)
{
	struct flight *flight = queue_find_flight(queue, batch);
	struct recipient *recipient = open_recipient(flight, index);

	recipient->state = RECIPIENT_DEFERRED;
	recipient->next_attempt = clock_now();
	queue_due(queue, recipient->next_attempt);
	close_recipient(queue, flight, recipient);
}

/* --- reports --- */

/* The others of the batch are settled: only the failed ones go on, in the same envelope. */
void
queue_ask_report(struct queue *queue, struct flight *flight)
{
	struct envelope *envelope = flight->envelope;
	size_t i, kept = 0;

	for (i = 0; i < envelope->recipient_count; i++)
		if (envelope->recipients[i].state == RECIPIENT_FAILED)
			envelope->recipients[kept++] = envelope->recipients[i];
	envelope->recipient_count = kept;
	flight->reporting = true;
	queue->handlers.report(queue->handlers.bounce, envelope, flight->content);
}

void
queue_park(struct queue *queue, struct envelope *failed, const char *why)
{
	struct flight *flight = queue_find_flight(queue, failed);
	size_t i;

	assert(flight->reporting);
	for (i = 0; i < failed->recipient_count; i++) {
		maillog_parked(failed, &failed->recipients[i], why);
		failed->recipients[i].state = RECIPIENT_PARKED;
		queue_add_outcome(queue, failed, &failed->recipients[i]);
	}
	queue_end_flight(queue, flight);
}

/* The store has answered for a report.  What trouble kept from it is sent again. */
void
queue_on_reported(struct queue *queue, struct arrival *arrival,
    const struct store_request *request)
{
	arrival->again = request->failed && !request->refused;
	if (!request->failed)
		queue_end_flight(queue, arrival->settles);
	else if (request->refused)
		queue_park(queue, arrival->settles->envelope, request->error.text);
}
