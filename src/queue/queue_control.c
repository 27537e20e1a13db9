/* queue_control.c - the administrator's view: counts, lists, and what is done to them. */
#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "queue/queue_parts.h"

/* Messages that one request looks at: some milliseconds, in which fresh mail waits. */
#define EXAMINE		2000
#define LIST_DEFAULT	1000
/* A list is made in memory: bounded, whatever is asked for. */
#define LIST_MAX	10000		/* messages */
#define LIST_RECIPIENTS	20000
#define LIST_OF_ONE_USER 2000		/* recipients: a list that every user may ask for */

void
queue_count(const struct queue *queue, struct queue_counts *out)
{
	const struct store_totals *totals = store_totals(queue->store);
	int64_t now = clock_now();

	/* Who is owed a report is in hand until it is written. */
	*out = (struct queue_counts){ .messages = totals->messages,
	    .active = totals->recipients[RECIPIENT_ACTIVE] + totals->recipients[RECIPIENT_OWED],
	    .deferred = totals->recipients[RECIPIENT_DEFERRED],
	    .held = totals->recipients[RECIPIENT_HELD],
	    .parked = totals->recipients[RECIPIENT_PARKED],
	    .accepted = queue->accepted, .delivered = queue->delivered,
	    .bounced = queue->bounced, .expired = queue->expired };
	if (totals->oldest != 0 && totals->oldest < now)
		out->oldest_seconds = (uint64_t)(now - totals->oldest);
}

/* One list or action that goes on in several requests. */
struct inquiry {
	struct queue *queue;
	struct loop_task refuse;	/* where the filter cannot be understood */
	struct error error;
	void *arg;
	struct store_filter filter;
	int64_t after;
	/* list */
	queue_listed *listed;
	struct envelope **messages;
	size_t count, room, recipients, limit;
	/* act */
	queue_acted *acted;
	enum queue_action action;
	char relay[RELAY_NAME_MAX + 1];
	uint64_t changed;
};

static char *
copy_or_null(const char *text)
{
	return text != NULL && text[0] != '\0' ? mem_strdup(text) : NULL;
}

static void
copy_filter(struct store_filter *out, const struct store_filter *filter)
{
	*out = *filter;
	out->sender = copy_or_null(filter->sender);
	out->recipient = copy_or_null(filter->recipient);
	out->relay = copy_or_null(filter->relay);
}

static bool
read_filter(struct store_filter *out, const struct queue_filter *filter, struct error *err)
{
	enum recipient_state state;

	out->sender = copy_or_null(filter->sender);
	out->recipient = copy_or_null(filter->recipient);
	out->relay = copy_or_null(filter->relay);
	out->state = -1;
	out->by_uid = filter->by_uid;
	out->uid = filter->uid;
	if (filter->older > 0)
		out->arrived_before = clock_now() - filter->older;
	if (filter->queue_id != NULL) {
		out->message_id = queue_id_number(filter->queue_id);
		if (out->message_id == 0)
			return error_set(err, ERROR_CONFIG, "\"%s\" is not a queue id",
			    filter->queue_id);
	}
	if (filter->state != NULL) {
		if (!recipient_state_parse(filter->state, &state))
			return error_set(err, ERROR_CONFIG, "\"%s\" is not a state",
			    filter->state);
		out->state = (int)state;
	}
	return true;
}

static void
end_inquiry(struct inquiry *inquiry, const struct error *err)
{
	size_t i;

	if (inquiry->listed != NULL)
		inquiry->listed(inquiry->arg, inquiry->messages, err == NULL ? inquiry->count : 0,
		    err);
	else if (inquiry->acted != NULL)
		inquiry->acted(inquiry->arg, inquiry->changed, err);
	for (i = 0; i < inquiry->count; i++)
		envelope_free(inquiry->messages[i]);
	free(inquiry->messages);
	free(inquiry->filter.sender);
	free(inquiry->filter.recipient);
	free(inquiry->filter.relay);
	free(inquiry);
}

static void
refuse(void *owner)
{
	struct inquiry *inquiry = owner;

	end_inquiry(inquiry, &inquiry->error);
}

static struct inquiry *
new_inquiry(struct queue *queue, void *arg)
{
	struct inquiry *inquiry = mem_zalloc(sizeof(*inquiry));

	inquiry->queue = queue;
	inquiry->arg = arg;
	inquiry->refuse = (struct loop_task){ .run = refuse, .owner = inquiry };
	return inquiry;
}

/* --- list --- */

static void send_list(struct inquiry *inquiry);

static void
keep_messages(struct inquiry *inquiry, struct store_list *list)
{
	size_t i;

	inquiry->messages = mem_grow(inquiry->messages, inquiry->count + list->count + 1,
	    sizeof(*inquiry->messages));
	for (i = 0; i < list->count; i++) {
		inquiry->recipients += list->messages[i]->recipient_count;
		inquiry->messages[inquiry->count++] = list->messages[i];
		list->messages[i] = NULL;
	}
}

static void
on_list(void *owner, struct store_request *request)
{
	struct inquiry *inquiry = owner;

	if (request->failed) {
		end_inquiry(inquiry, &request->error);
		return;
	}
	keep_messages(inquiry, &request->list);
	inquiry->after = request->list.next;
	if (inquiry->after < 0 || inquiry->count >= inquiry->limit ||
	    inquiry->recipients >= (inquiry->filter.by_uid ? LIST_OF_ONE_USER : LIST_RECIPIENTS) ||
	    inquiry->queue->closing)
		end_inquiry(inquiry, NULL);
	else
		send_list(inquiry);
}

static void
send_list(struct inquiry *inquiry)
{
	struct store_request *request = store_request_new(STORE_LIST, on_list, inquiry);

	copy_filter(&request->list.filter, &inquiry->filter);
	request->list.after = inquiry->after;
	request->list.examine = EXAMINE;
	request->list.limit = inquiry->limit - inquiry->count;
	store_send(inquiry->queue->store, request);
}

void
queue_list(struct queue *queue, const struct queue_filter *filter, queue_listed *done, void *arg)
{
	struct inquiry *inquiry = new_inquiry(queue, arg);

	inquiry->listed = done;
	inquiry->limit = filter->limit > 0 ? filter->limit : LIST_DEFAULT;
	if (inquiry->limit > LIST_MAX)
		inquiry->limit = LIST_MAX;
	if (read_filter(&inquiry->filter, filter, &inquiry->error))
		send_list(inquiry);
	else
		loop_defer(queue->loop, &inquiry->refuse);
}

/* --- act --- */

static void send_act(struct inquiry *inquiry);

static void
on_act(void *owner, struct store_request *request)
{
	struct inquiry *inquiry = owner;
	struct queue *queue = inquiry->queue;

	if (request->failed) {
		end_inquiry(inquiry, &request->error);
		return;
	}
	inquiry->changed += request->act.changed;
	if (inquiry->action == QUEUE_BOUNCE)
		queue->bounced += request->act.changed;
	queue_log_removed(&request->act.removed);
	if (request->act.changed > 0)
		queue_due(queue, request->act.now);
	inquiry->after = request->act.next;
	if (inquiry->after < 0 || queue->closing)
		end_inquiry(inquiry, NULL);
	else
		send_act(inquiry);
}

static void
send_act(struct inquiry *inquiry)
{
	static const enum store_action actions[] = { [QUEUE_RETRY] = STORE_RETRY,
	    [QUEUE_REMOVE] = STORE_REMOVE, [QUEUE_HOLD] = STORE_HOLD,
	    [QUEUE_RELEASE] = STORE_RELEASE, [QUEUE_BOUNCE] = STORE_BOUNCE,
	    [QUEUE_REROUTE] = STORE_REROUTE };
	struct store_request *request = store_request_new(STORE_ACT, on_act, inquiry);

	copy_filter(&request->act.filter, &inquiry->filter);
	request->act.action = actions[inquiry->action];
	request->act.after = inquiry->after;
	request->act.examine = EXAMINE;
	/* A report is owed since ever, so that it is written while mail is held back, too. */
	request->act.now = inquiry->action == QUEUE_BOUNCE ? 0 : clock_now();
	if (inquiry->action == QUEUE_BOUNCE)
		request->act.status = status_local("5.7.0", "returned by the administrator");
	text_copy(request->act.relay, sizeof(request->act.relay), inquiry->relay);
	store_send(inquiry->queue->store, request);
}

void
queue_act(struct queue *queue, enum queue_action action, const struct queue_filter *filter,
    const char *relay, queue_acted *done, void *arg)
{
	struct inquiry *inquiry = new_inquiry(queue, arg);

	assert((action == QUEUE_REROUTE) == (relay != NULL));
	inquiry->acted = done;
	inquiry->action = action;
	if (relay != NULL)
		text_copy(inquiry->relay, sizeof(inquiry->relay), relay);
	/* What became of earlier attempts first: it may be what is asked for. */
	queue_flush_outcomes(queue);
	if (read_filter(&inquiry->filter, filter, &inquiry->error))
		send_act(inquiry);
	else
		loop_defer(queue->loop, &inquiry->refuse);
}

static void
on_flushed(void *arg, uint64_t changed, const struct error *err)
{
	(void)arg;
	if (err != NULL)
		log_write(LOG_LEVEL_ERROR, "qmgr", "flush: %s", err->text);
	else
		log_write(LOG_LEVEL_INFO, "qmgr", "flush: %llu recipients are due now",
		    (unsigned long long)changed);
}

void
queue_flush(struct queue *queue)
{
	const struct queue_filter filter = { .state = recipient_state_name(RECIPIENT_DEFERRED) };

	queue_act(queue, QUEUE_RETRY, &filter, NULL, on_flushed, NULL);
}
