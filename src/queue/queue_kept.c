/* queue_kept.c - small values that survive a restart, each written at most once a second. */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "queue/queue_parts.h"

#define WRITE_AGE	1000000		/* microseconds */

/* One that this run has set. */
struct queue_value {
	struct queue *queue;
	char *name, *text;
	bool written, sent;		/* the store has it; it is on the way there */
	int64_t sent_at;		/* microseconds, monotonic; 0: never */
};

static void
set_timer(struct queue *queue)
{
	const struct timeval after = { .tv_sec = 1 };

	if (!evtimer_pending(queue->keep_timer, NULL))
		evtimer_add(queue->keep_timer, &after);
}

static void
on_kept(void *owner, struct store_request *request)
{
	struct queue_value *value = owner;

	value->sent = false;
	if (request->refused) {
		log_write(LOG_LEVEL_ERROR, "qmgr", "cannot keep %s: %s", value->name,
		    request->error.text);
		return;
	}
	/* After trouble it is written with all that has to be told again. */
	if (request->failed)
		value->written = false;
	else if (!value->written && !value->queue->closing)
		set_timer(value->queue);
}

static void
send_value(struct queue_value *value)
{
	struct store_request *request = store_request_new(STORE_KEEP, on_kept, value);

	request->keep.name = mem_strdup(value->name);
	request->keep.text = mem_strdup(value->text);
	value->written = value->sent = true;
	value->sent_at = clock_monotonic_us();
	store_send(value->queue->store, request);
}

static void
write_value(void *arg, const char *name, void *entry)
{
	struct queue *queue = arg;
	struct queue_value *value = entry;
	int64_t age = clock_monotonic_us() - value->sent_at;

	(void)name;
	if (value->written || (value->sent && !queue->closing) || !store_healthy(queue->store))
		return;
	if (value->sent_at != 0 && age >= 0 && age < WRITE_AGE && !queue->closing)
		set_timer(queue);
	else
		send_value(value);
}

void
queue_kept_write(struct queue *queue)
{
	map_each(queue->kept, write_value, queue);
}

static void
on_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	queue_kept_write(arg);
}

void
queue_keep(struct queue *queue, const char *name, const char *text)
{
	struct queue_value *value = map_get(queue->kept, name);

	if (value == NULL) {
		value = mem_zalloc(sizeof(*value));
		value->queue = queue;
		value->name = mem_strdup(name);
		map_put(queue->kept, name, value);
	} else if (strcmp(value->text, text) == 0) {
		return;
	}
	free(value->text);
	value->text = mem_strdup(text);
	value->written = false;
	write_value(queue, name, value);
}

char *
queue_kept(const struct queue *queue, const char *name)
{
	const struct queue_value *value = map_get(queue->kept, name);
	const char *text = value != NULL ? value->text : store_kept(queue->store, name);

	return text != NULL && text[0] != '\0' ? mem_strdup(text) : NULL;
}

bool
queue_kept_open(struct queue *queue, struct error *err)
{
	queue->kept = map_new();
	queue->keep_timer = evtimer_new(loop_base(queue->loop), on_timer, queue);
	return queue->keep_timer != NULL || error_set(err, ERROR_SYSTEM, "cannot make a timer");
}

static void
free_value(void *arg, const char *name, void *entry)
{
	struct queue_value *value = entry;

	(void)arg;
	(void)name;
	free(value->name);
	free(value->text);
	free(value);
}

void
queue_kept_free(struct queue *queue)
{
	if (queue->keep_timer != NULL)
		event_free(queue->keep_timer);
	if (queue->kept != NULL)
		map_each(queue->kept, free_value, NULL);
	map_free(queue->kept);
}
