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

struct store_outcome
queue_outcome(const struct envelope *envelope, const struct recipient *recipient)
{
	struct store_outcome outcome = { .message_id = envelope->id,
	    .recipient_id = recipient->id, .state = recipient->state,
	    .attempts = recipient->attempts, .next_attempt = recipient->next_attempt,
	    .warned = recipient->warned && !recipient->warning_owed };

	outcome.attempt.at = recipient->last_at;
	outcome.attempt.status = recipient->last;
	text_copy(outcome.attempt.relay, sizeof(outcome.attempt.relay), recipient->relay);
	return outcome;
}

void
queue_add_outcome(struct queue *queue, const struct envelope *envelope,
    const struct recipient *recipient, const struct attempt *attempt, bool keep)
{
	struct store_outcome *outcome = make_room(queue, 1);

	queue->outcome_count++;
	*outcome = queue_outcome(envelope, recipient);
	if (attempt != NULL) {
		const struct status last = outcome->attempt.status;

		outcome->attempt = *attempt;
		outcome->attempt.status = last;
		outcome->keep_attempt = keep;
	}
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
	recipient->state = RECIPIENT_OWED;
	recipient->next_attempt = STORE_IN_HAND;
	queue->expired++;
	return QUEUE_EXPIRED;
}

static void
defer_until(struct queue *queue, const struct envelope *envelope, struct recipient *recipient,
    int64_t when)
{
	recipient->state = RECIPIENT_DEFERRED;
	recipient->next_attempt = when;
	queue_due(queue, when);
	queue_warn(queue, envelope, recipient);
}

static enum queue_fate
defer(struct queue *queue, const struct envelope *envelope, struct recipient *recipient)
{
	int64_t now = clock_now();

	if (schedule_expired(now, envelope->expires, recipient->attempts))
		return fail_expired(queue, recipient);
	defer_until(queue, envelope, recipient, schedule_next(&queue->schedule, now,
	    envelope->arrived, envelope->expires, recipient->attempts, (uint64_t)envelope->id));
	return QUEUE_DEFERRED;
}

/* RFC 3461 5.2.2: a success is told by the last host that knows of the wish.  RFC 3461 6:
 * the null sender is told nothing. */
static enum queue_fate
succeed(struct queue *queue, const struct envelope *envelope, struct recipient *recipient,
    bool peer_does_dsn)
{
	bool owed = (recipient->notify & NOTIFY_SUCCESS) != 0 && !peer_does_dsn &&
	    !address_is_null(&envelope->reverse_path);

	recipient->state = owed ? RECIPIENT_OWED : RECIPIENT_DONE;
	if (owed)
		recipient->next_attempt = STORE_IN_HAND;
	queue->delivered++;
	return QUEUE_SENT;
}

static enum queue_fate
decide(struct queue *queue, const struct envelope *envelope, struct recipient *recipient,
    bool peer_does_dsn)
{
	switch (status_class(&recipient->last)) {
	case STATUS_SUCCESS:
		return succeed(queue, envelope, recipient, peer_does_dsn);
	case STATUS_PERMANENT:
		recipient->state = RECIPIENT_OWED;
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

/* Who is to be warned stays in hand until the report is stored: what is known of the attempt
 * goes before it, so that a crash loses the warning alone, which then comes later. */
static void
close_recipient(struct queue *queue, struct flight *flight, const struct recipient *recipient,
    const struct attempt *attempt, bool keep)
{
	struct recipient in_hand = *recipient;

	if (recipient->warning_owed) {
		in_hand.state = RECIPIENT_ACTIVE;
		if (attempt != NULL)
			queue_add_outcome(queue, flight->envelope, &in_hand, attempt, keep);
	} else
		queue_add_outcome(queue, flight->envelope, recipient, attempt, keep);
	if (--flight->open == 0)
		queue_end_flight(queue, flight);
}

static void
take_attempt(struct recipient *recipient, const struct attempt *attempt)
{
	recipient->last = attempt->status;
	text_copy(recipient->relay, sizeof(recipient->relay), attempt->relay);
	if (attempt->at != 0)
		recipient->last_at = attempt->at;
}

enum queue_fate
queue_result(struct queue *queue, struct envelope *batch, size_t index,
    const struct attempt *attempt)
{
	struct flight *flight = queue_find_flight(queue, batch);
	struct recipient *recipient = open_recipient(flight, index);
	struct attempt charged = *attempt;
	enum queue_fate fate;
	bool plain;

	charged.charged = true;
	if (charged.at == 0)
		charged.at = clock_now();
	recipient->attempts++;
	take_attempt(recipient, &charged);
	fate = decide(queue, batch, recipient, charged.peer_does_dsn);
	queue_has_result(queue);
	/* What went well at once the history tells without a list of attempts. */
	plain = recipient->state == RECIPIENT_DONE && recipient->attempts == 1;
	close_recipient(queue, flight, recipient, &charged, !plain);
	return fate;
}

static bool
is_news(const struct recipient *recipient, const struct attempt *attempt)
{
	const struct status *known = &recipient->last, *told = &attempt->status;

	return known->reply_code != told->reply_code || strcmp(known->text, told->text) != 0 ||
	    known->enhanced.class != told->enhanced.class ||
	    known->enhanced.subject != told->enhanced.subject ||
	    known->enhanced.detail != told->enhanced.detail;
}

void
queue_postpone(struct queue *queue, struct envelope *batch, size_t index,
    const struct attempt *attempt, int64_t when)
{
	struct flight *flight = queue_find_flight(queue, batch);
	struct recipient *recipient = open_recipient(flight, index);
	struct attempt uncharged = { 0 };
	bool keep = false;

	if (attempt != NULL) {
		uncharged = *attempt;
		uncharged.charged = false;
		keep = uncharged.at != 0 && is_news(recipient, &uncharged);
		take_attempt(recipient, &uncharged);
		uncharged.at = recipient->last_at;
	}
	defer_until(queue, batch, recipient, queue_bound(queue, when));
	close_recipient(queue, flight, recipient, attempt != NULL ? &uncharged : NULL, keep);
}

void
queue_return(struct queue *queue, struct envelope *batch, size_t index)
{
	struct flight *flight = queue_find_flight(queue, batch);
	struct recipient *recipient = open_recipient(flight, index);

	recipient->state = RECIPIENT_DEFERRED;
	recipient->next_attempt = clock_now();
	queue_due(queue, recipient->next_attempt);
	close_recipient(queue, flight, recipient, NULL, false);
}
