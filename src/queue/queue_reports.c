/* queue_reports.c - what senders are told: asked for, settled with its report, or put off. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "mail/maillog.h"
#include "queue/queue_parts.h"

bool
queue_is_told(const struct recipient *recipient)
{
	return recipient->state == RECIPIENT_OWED || recipient->warning_owed;
}

/* RFC 3461 4.1: without NOTIFY a delay may be told.  RFC 5321 4.5.5: never to the null
 * sender. */
void
queue_warn(struct queue *queue, const struct envelope *envelope, struct recipient *recipient)
{
	bool wanted = recipient->notify == 0 || (recipient->notify & NOTIFY_DELAY) != 0;

	if (!wanted || recipient->warned || address_is_null(&envelope->reverse_path) ||
	    !schedule_warns(clock_now(), envelope->arrived, queue->delay_warning))
		return;
	recipient->warned = recipient->warning_owed = true;
}

/* The others of the batch are settled: only those to tell about go on, in the same
 * envelope. */
void
queue_ask_report(struct queue *queue, struct flight *flight)
{
	struct envelope *envelope = flight->envelope;
	size_t i, kept = 0;

	for (i = 0; i < envelope->recipient_count; i++)
		if (queue_is_told(&envelope->recipients[i]))
			envelope->recipients[kept++] = envelope->recipients[i];
	envelope->recipient_count = kept;
	flight->reporting = true;
	queue->handlers.report(queue->handlers.bounce, envelope, flight->content);
}

static struct flight *
reporting_flight(struct queue *queue, const struct envelope *batch)
{
	struct flight *flight = queue_find_flight(queue, batch);

	assert(flight->reporting && !flight->ended);
	return flight;
}

/* --- settled --- */

/* What becomes of a recipient that the sender was told of. */
static void
settle(struct queue *queue, struct recipient *recipient)
{
	if (recipient->warning_owed) {
		recipient->warning_owed = false;
		queue_due(queue, recipient->next_attempt);
	} else
		recipient->state = RECIPIENT_DONE;
}

static void
settle_now(struct queue *queue, const struct envelope *batch, struct recipient *recipient)
{
	settle(queue, recipient);
	queue_add_outcome(queue, batch, recipient, NULL, false);
}

void
queue_fill_settled(const struct arrival *arrival, struct store_insert *insert)
{
	size_t i, j, count = 0;

	for (i = 0; i < arrival->settle_count; i++)
		count += arrival->settles[i]->envelope->recipient_count;
	insert->outcomes = mem_array(count, sizeof(*insert->outcomes));
	for (i = 0; i < arrival->settle_count; i++) {
		const struct envelope *batch = arrival->settles[i]->envelope;

		for (j = 0; j < batch->recipient_count; j++) {
			struct store_outcome outcome = queue_outcome(batch, &batch->recipients[j]);

			if (batch->recipients[j].warning_owed)
				outcome.warned = true;
			else
				outcome.state = RECIPIENT_DONE;
			insert->outcomes[insert->count++] = outcome;
		}
	}
}

/* Its outcomes go first: what the report speaks of must have failed before it is settled. */
void
queue_reported_many(struct queue *queue, struct envelope *const *batches, size_t count,
    struct envelope *report, struct content *content)
{
	struct arrival *arrival = queue_new_arrival(queue, report, content);
	size_t i;

	arrival->settles = mem_array(count, sizeof(struct flight *));
	for (i = 0; i < count; i++)
		arrival->settles[i] = reporting_flight(queue, batches[i]);
	arrival->settle_count = count;
	queue_flush_outcomes(queue);
	queue_send_arrival(queue, arrival);
}

void
queue_reported(struct queue *queue, struct envelope *batch, struct envelope *report,
    struct content *content)
{
	struct flight *flight;
	size_t i;

	if (report != NULL) {
		queue_reported_many(queue, &batch, 1, report, content);
		return;
	}
	flight = reporting_flight(queue, batch);
	for (i = 0; i < batch->recipient_count; i++)
		settle_now(queue, batch, &batch->recipients[i]);
	queue_end_flight(queue, flight);
}

/* The store has answered for a report.  What trouble kept from it is sent again. */
void
queue_on_reported(struct queue *queue, struct arrival *arrival,
    const struct store_request *request)
{
	size_t i, j;

	arrival->again = request->failed && !request->refused;
	if (arrival->again)
		return;
	for (i = 0; i < arrival->settle_count; i++) {
		struct flight *flight = arrival->settles[i];

		if (request->refused) {
			queue_park(queue, flight->envelope, request->error.text);
			continue;
		}
		for (j = 0; j < flight->envelope->recipient_count; j++)
			settle(queue, &flight->envelope->recipients[j]);
		queue_end_flight(queue, flight);
	}
}

/* --- not told, or not yet --- */

void
queue_report_later(struct queue *queue, struct envelope *batch, int64_t when)
{
	struct flight *flight = reporting_flight(queue, batch);
	size_t i;

	when = queue_bound(queue, when);
	for (i = 0; i < batch->recipient_count; i++) {
		struct recipient *recipient = &batch->recipients[i];

		if (recipient->warning_owed) {
			settle_now(queue, batch, recipient);
			continue;
		}
		recipient->next_attempt = when;
		queue_add_outcome(queue, batch, recipient, NULL, false);
		queue_due(queue, when);
	}
	queue_end_flight(queue, flight);
}

/* A mail that was delivered must not be kept: it would be sent again. */
static void
park(struct queue *queue, const struct envelope *batch, struct recipient *recipient,
    const char *why)
{
	if (recipient->warning_owed || status_class(&recipient->last) == STATUS_SUCCESS) {
		log_write(LOG_LEVEL_WARNING, "bounce", "%s: the sender is not told that it is %s: "
		    "%s", batch->queue_id, recipient->warning_owed ? "delayed" : "relayed", why);
		settle_now(queue, batch, recipient);
		return;
	}
	maillog_parked(batch, recipient, why);
	recipient->state = RECIPIENT_PARKED;
	queue_add_outcome(queue, batch, recipient, NULL, false);
}

void
queue_park(struct queue *queue, struct envelope *batch, const char *why)
{
	struct flight *flight = reporting_flight(queue, batch);
	size_t i;

	for (i = 0; i < batch->recipient_count; i++)
		park(queue, batch, &batch->recipients[i], why);
	queue_end_flight(queue, flight);
}
