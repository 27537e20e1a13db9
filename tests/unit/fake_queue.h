/* fake_queue.h - a queue that answers when the test says so; stands in for queue.c. */
#ifndef HERALD_TESTS_FAKE_QUEUE_H
#define HERALD_TESTS_FAKE_QUEUE_H

#include "base/error.h"
#include "base/memory_budget.h"
#include "mail/envelope.h"
#include "queue/content.h"
#include "queue/queue.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

/* Include it in one file of a program only: it defines the functions of queue.h that the
 * way of a submission calls, so that the linker leaves those of the library alone. */
struct queue {
	unsigned ids, submits, forgets;
	bool is_full;
	struct memory_budget memory;
	struct envelope *envelope;	/* of the submit that waits for its answer */
	struct content *content;
	queue_submitted *done;
	void *arg;
};

void
queue_new_id(struct queue *queue, char out[QUEUE_ID_MAX + 1])
{
	snprintf(out, QUEUE_ID_MAX + 1, "%X", 0xABC000u + ++queue->ids);
}

bool
queue_has_room(struct queue *queue, uint64_t size, struct status *why)
{
	(void)size;
	if (queue->is_full)
		*why = status_reply(452, "4.3.1", "disk full");
	return !queue->is_full;
}

bool
queue_has_memory(const struct queue *queue, struct status *why)
{
	if (queue->is_full)
		*why = status_reply(452, "4.3.1", "insufficient memory");
	return !queue->is_full;
}

struct memory_budget *
queue_memory(struct queue *queue)
{
	return &queue->memory;
}

struct status
queue_refusal(const struct error *err)
{
	return err->kind == ERROR_SYSTEM ? status_reply(452, "4.3.1", "disk full") :
	    status_reply(451, "4.3.0", "cannot store the message, try again later");
}

void
queue_submit(struct queue *queue, struct envelope *envelope, struct content *content,
    queue_submitted *done, void *arg)
{
	queue->submits++;
	queue->envelope = envelope;
	queue->content = content_ref(content);
	queue->done = done;
	queue->arg = arg;
}

void
queue_forget(struct queue *queue, void *arg)
{
	if (queue->arg == arg) {
		queue->forgets++;
		queue->done = NULL;
	}
}

static inline void
fake_queue_drop(struct queue *queue)
{
	envelope_free(queue->envelope);
	content_unref(queue->content);
	queue->envelope = NULL;
	queue->content = NULL;
}

/* The store's answer; `failure` NULL: it is synced. */
static inline void
fake_queue_answer(struct queue *queue, const char *failure)
{
	char queue_id[QUEUE_ID_MAX + 1];
	queue_submitted *done = queue->done;
	struct error err;

	snprintf(queue_id, sizeof(queue_id), "%s", queue->envelope->queue_id);
	queue->done = NULL;
	if (failure != NULL)
		error_set(&err, ERROR_STORE, "%s", failure);
	if (done != NULL)
		done(queue->arg, queue_id, failure != NULL ? &err : NULL);
}

#endif
