/* queue.c - takes mail over: only what is on the disk is answered for. */
#include "queue/queue.h"

#include <assert.h>
#include <event2/event.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/memory_budget.h"
#include "conf/config.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue_parts.h"

#define SPACE_AGE	1000000		/* microseconds that an answer of statvfs holds */

/* --- ids --- */

/* The time in microseconds, so that ids sort by arrival; the store's highest id keeps them
 * from coming again when the clock is set back. */
void
queue_new_id(struct queue *queue, char out[QUEUE_ID_MAX + 1])
{
	int64_t now = clock_now_us();

	queue->last_id = queue->last_id + 1 > now ? queue->last_id + 1 : now;
	snprintf(out, QUEUE_ID_MAX + 1, "%llX", (unsigned long long)queue->last_id);
}

int64_t
queue_id_number(const char *queue_id)
{
	size_t len = strlen(queue_id);
	unsigned long long number;

	if (len == 0 || len > QUEUE_ID_MAX || strspn(queue_id, "0123456789ABCDEFabcdef") != len)
		return 0;
	number = strtoull(queue_id, NULL, 16);
	return number <= INT64_MAX ? (int64_t)number : 0;
}

/* --- room --- */

/* Free octets of the state directory, asked at most once a second. */
static bool
find_space(struct queue *queue)
{
	int64_t now = clock_monotonic_us();
	struct statvfs fs;

	if (queue->space_checked != 0 && now - queue->space_checked < SPACE_AGE &&
	    now >= queue->space_checked)
		return true;
	if (statvfs(queue->state_directory, &fs) == -1)
		return false;
	queue->space_checked = now;
	queue->space_free = (uint64_t)fs.f_bavail * fs.f_frsize;
	return true;
}

static bool
is_on_disk(struct queue *queue, uint64_t size)
{
	uint64_t wanted;

	/* The log of the store holds it once, and the database again. */
	if (__builtin_mul_overflow(size, 2, &wanted) ||
	    __builtin_add_overflow(wanted, queue->min_free_space, &wanted))
		wanted = UINT64_MAX;
	return find_space(queue) && queue->space_free >= wanted;
}

bool
queue_has_room(struct queue *queue, uint64_t size, struct status *why)
{
	if (queue->disk_full || !is_on_disk(queue, size))
		*why = status_reply(452, "4.3.1", "insufficient system storage");
	else if (!store_healthy(queue->store))
		*why = status_reply(451, "4.3.0", "mail queue is out of order, try again later");
	else if (memory_budget_state(queue->memory) >= MEMORY_SHORT)
		*why = status_reply(452, "4.3.1", "insufficient memory, try again later");
	else if (queue->waiting_octets > queue->waiting_max)
		*why = status_reply(452, "4.3.1", "too much mail waits to be stored");
	else
		return true;
	return false;
}

bool
queue_has_memory(const struct queue *queue, struct status *why)
{
	if (memory_budget_state(queue->memory) < MEMORY_OUT)
		return true;
	*why = status_reply(452, "4.3.1", "insufficient memory, try again later");
	return false;
}

struct status
queue_refusal(const struct error *err)
{
	if (err->kind == ERROR_SYSTEM)
		return status_reply(452, "4.3.1", "insufficient system storage");
	return status_reply(451, "4.3.0", "cannot store the message, try again later");
}

struct memory_budget *
queue_memory(struct queue *queue)
{
	return queue->memory;
}

/* --- submit --- */

void
queue_log_removed(const struct store_ids *removed)
{
	char queue_id[QUEUE_ID_MAX + 1];
	size_t i;

	for (i = 0; i < removed->count; i++) {
		snprintf(queue_id, sizeof(queue_id), "%llX", (unsigned long long)removed->ids[i]);
		maillog_removed(queue_id);
	}
}

static void
free_arrival(struct arrival *arrival)
{
	struct queue *queue = arrival->queue;

	TAILQ_REMOVE(&queue->arrivals, arrival, entry);
	queue->waiting_octets -= arrival->cost;
	envelope_free(arrival->envelope);
	content_unref(arrival->content);
	free(arrival->settles);
	free(arrival);
}

static void
on_stored(void *owner, struct store_request *request)
{
	struct arrival *arrival = owner;
	struct queue *queue = arrival->queue;
	struct envelope *envelope;

	arrival->sent = false;
	if (arrival->settles != NULL)
		queue_on_reported(queue, arrival, request);
	if (request->failed && arrival->again)
		return;
	if (arrival->direct)
		queue->fresh_octets -= arrival->cost;
	if (!request->failed) {
		queue->accepted += arrival->settles == NULL;
		queue_log_removed(&request->insert.removed);
	}
	if (arrival->done != NULL)
		arrival->done(arrival->arg, arrival->envelope->queue_id,
		    request->failed ? &request->error : NULL);
	envelope = arrival->envelope;
	if (!request->failed && arrival->direct && !queue->closing) {
		arrival->envelope = NULL;
		queue_launch(queue, envelope, arrival->content, false);
	} else if (!request->failed && !arrival->direct)
		queue_due(queue, envelope->arrived);
	free_arrival(arrival);
}

void
queue_send_arrival(struct queue *queue, struct arrival *arrival)
{
	struct store_request *request = store_request_new(STORE_INSERT, on_stored, arrival);

	request->insert.envelope = arrival->envelope;
	request->insert.content = arrival->content;
	request->insert.again = arrival->again;
	if (arrival->settles != NULL)
		queue_fill_settled(arrival, &request->insert);
	arrival->sent = true;
	store_send(queue->store, request);
}

static void
complete_envelope(const struct queue *queue, struct envelope *envelope,
    const struct content *content)
{
	unsigned lifetime = address_is_null(&envelope->reverse_path) ? queue->bounce_lifetime :
	    queue->lifetime;

	envelope->id = queue_id_number(envelope->queue_id);
	assert(envelope->id != 0 && envelope->recipient_count > 0);
	envelope->size = content_size(content);
	if (envelope->arrived == 0)
		envelope->arrived = clock_now();
	if (envelope->arrived_us == 0)
		envelope->arrived_us = clock_now_us();
	if (envelope->expires == 0)
		envelope->expires = envelope->arrived + lifetime;
}

struct arrival *
queue_new_arrival(struct queue *queue, struct envelope *envelope, struct content *content)
{
	struct arrival *arrival = mem_zalloc(sizeof(*arrival));
	size_t i;

	complete_envelope(queue, envelope, content);
	envelope_charge(envelope, queue->memory);
	content_charge(content, queue->memory);
	arrival->queue = queue;
	arrival->envelope = envelope;
	arrival->content = content_ref(content);
	arrival->cost = queue_cost(envelope, content);
	arrival->direct = queue_takes_fresh(queue) &&
	    queue->fresh_octets + arrival->cost <= queue->fresh_max;
	if (arrival->direct)
		queue->fresh_octets += arrival->cost;
	for (i = 0; i < envelope->recipient_count; i++) {
		envelope->recipients[i].state = arrival->direct ? RECIPIENT_ACTIVE :
		    RECIPIENT_DEFERRED;
		envelope->recipients[i].next_attempt = envelope->arrived;
	}
	queue->waiting_octets += arrival->cost;
	TAILQ_INSERT_TAIL(&queue->arrivals, arrival, entry);
	return arrival;
}

void
queue_submit(struct queue *queue, struct envelope *envelope, struct content *content,
    queue_submitted *done, void *arg)
{
	struct arrival *arrival = queue_new_arrival(queue, envelope, content);

	arrival->done = done;
	arrival->arg = arg;
	queue_send_arrival(queue, arrival);
}

void
queue_forget(struct queue *queue, void *arg)
{
	struct arrival *arrival;

	TAILQ_FOREACH(arrival, &queue->arrivals, entry)
		if (arrival->arg == arg && arrival->settles == NULL)
			arrival->done = NULL;
}

/* --- life --- */

static uint64_t
share_of(uint64_t max_memory, unsigned share, uint64_t most)
{
	return max_memory != 0 && max_memory / share < most ? max_memory / share : most;
}

static void
take_settings(struct queue *queue, const struct queue_config *settings)
{
	queue->min_free_space = settings->min_free_space;
	queue->space_checked = 0;
	queue->memory->limit = settings->max_memory;
	queue->fresh_max = share_of(settings->max_memory, QUEUE_FRESH_SHARE, QUEUE_FRESH_MAX);
	queue->claimed_max = share_of(settings->max_memory, QUEUE_CLAIMED_SHARE,
	    QUEUE_CLAIMED_OCTETS);
	queue->waiting_max = share_of(settings->max_memory, QUEUE_WAITING_SHARE,
	    QUEUE_WAITING_MAX);
	queue->schedule.retry_min = settings->retry_min;
	queue->schedule.retry_max = settings->retry_max;
	queue->lifetime = settings->lifetime;
	queue->bounce_lifetime = settings->bounce_lifetime;
	queue->delay_warning = settings->delay_warning;
}

struct queue *
queue_new(struct loop *loop, const struct config *config, struct error *err)
{
	const struct store_options options = { config->queue.store,
	    config->queue.state_directory, config->queue.history };
	struct queue *queue = mem_zalloc(sizeof(*queue));

	queue->loop = loop;
	queue->memory = loop_memory(loop);
	queue->state_directory = mem_strdup(config->queue.state_directory);
	queue->next_due = queue->recover_at = -1;
	queue->task = (struct loop_task){ .run = queue_end_turn, .owner = queue };
	TAILQ_INIT(&queue->arrivals);
	TAILQ_INIT(&queue->ended);
	take_settings(queue, &config->queue);
	queue->timer = evtimer_new(loop_base(loop), queue_on_timer, queue);
	if (queue->timer == NULL)
		error_set(err, ERROR_SYSTEM, "cannot make a timer");
	else if (queue_kept_open(queue, err))
		queue->store = store_open(loop, &store_sqlite, &options, err);
	if (queue->store == NULL) {
		queue_free(queue);
		return NULL;
	}
	store_on_health(queue->store, queue_on_health, queue);
	queue->last_id = store_totals(queue->store)->last_id;
	return queue;
}

void
queue_set_handlers(struct queue *queue, const struct queue_handlers *handlers)
{
	queue->handlers = *handlers;
}

/* Whatever an earlier run had in hand is this one's to claim. */
void
queue_start(struct queue *queue)
{
	queue->started = true;
	queue_recover(queue, 0);
	queue_pump(queue);
}

bool
queue_healthy(const struct queue *queue)
{
	return store_healthy(queue->store);
}

void
queue_free(struct queue *queue)
{
	if (queue == NULL)
		return;
	queue->closing = true;
	if (queue->store != NULL) {
		queue_give_back_all(queue);
		queue_flush_outcomes(queue);
		queue_kept_write(queue);
	}
	store_close(queue->store);
	loop_cancel(queue->loop, &queue->task);
	/* Reports that the store did not take: their recipients are still owed in it. */
	while (!TAILQ_EMPTY(&queue->arrivals))
		free_arrival(TAILQ_FIRST(&queue->arrivals));
	queue_free_flights(queue);
	queue_kept_free(queue);
	if (queue->timer != NULL)
		event_free(queue->timer);
	free(queue->outcomes);
	free(queue->state_directory);
	free(queue);
}

/* --- service --- */

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	(void)self;
	(void)err;
	return mem_dup(&next->queue, sizeof(next->queue));
}

static void
commit(void *self, void *prepared, const struct config *next)
{
	struct queue *queue = self;

	(void)next;
	take_settings(queue, prepared);
	store_set_history(queue->store, ((const struct queue_config *)prepared)->history);
	loop_defer(queue->loop, &queue->task);	/* something may be due by them */
	free(prepared);
}

static void
abandon(void *self, void *prepared)
{
	(void)self;
	free(prepared);
}

static bool
drain(void *self)
{
	struct queue *queue = self;

	queue->draining = true;
	return TAILQ_EMPTY(&queue->arrivals) && TAILQ_EMPTY(&queue->ended) &&
	    queue->outcome_count == 0 && queue->recording == 0 && !queue->claiming;
}

static json_t *
report_status(void *self)
{
	const struct queue *queue = self;
	struct queue_counts counts;

	queue_count(queue, &counts);
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b}",
	    "messages", (json_int_t)counts.messages, "active", (json_int_t)counts.active,
	    "deferred", (json_int_t)counts.deferred, "held", (json_int_t)counts.held,
	    "parked", (json_int_t)counts.parked,
	    "oldest_seconds", (json_int_t)counts.oldest_seconds,
	    "accepted", (json_int_t)counts.accepted, "delivered", (json_int_t)counts.delivered,
	    "bounced", (json_int_t)counts.bounced, "expired", (json_int_t)counts.expired,
	    "commits", (json_int_t)store_commits(queue->store),
	    "memory", (json_int_t)queue->memory->used,
	    "max_memory", (json_int_t)queue->memory->limit,
	    "held_back", queue_is_held_back(queue), "healthy", store_healthy(queue->store));
}

static void
destroy(void *self)
{
	queue_free(self);
}

const struct service_ops queue_service = {
	.name = "queue",
	.prepare = prepare,
	.commit = commit,
	.abandon = abandon,
	.drain = drain,
	.status = report_status,
	.destroy = destroy,
};
