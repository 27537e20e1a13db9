/* queue_inquiry.c - what is known of one message: its attempts, its trace, its mail data. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "queue/content.h"
#include "queue/queue_parts.h"

#define TRACE_DEFAULT	100
#define TRACE_MAX	10000		/* rows */

/* One question.  Exactly one of the three is set. */
struct question {
	struct queue *queue;
	struct loop_task refuse;	/* where it cannot be understood */
	struct error error;
	queue_shown *shown;
	queue_traced *traced;
	queue_loaded *loaded;
	void *arg;
	/* trace */
	char *what;
	struct store_trace_row *rows;
	size_t count, limit;
	int64_t after;
};

static void
free_question(struct question *question)
{
	free(question->what);
	free(question->rows);
	free(question);
}

static void
end_question(struct question *question, const struct error *err)
{
	if (question->shown != NULL)
		question->shown(question->arg, NULL, NULL, 0, err);
	else if (question->traced != NULL)
		question->traced(question->arg, question->rows, err == NULL ? question->count : 0,
		    err);
	else
		question->loaded(question->arg, NULL, err);
	free_question(question);
}

static void
refuse(void *owner)
{
	struct question *question = owner;

	end_question(question, &question->error);
}

static struct question *
new_question(struct queue *queue, void *arg)
{
	struct question *question = mem_zalloc(sizeof(*question));

	question->queue = queue;
	question->arg = arg;
	question->refuse = (struct loop_task){ .run = refuse, .owner = question };
	/* What became of earlier attempts first: it may be what is asked for. */
	queue_flush_outcomes(queue);
	return question;
}

/* 0: it is none, and the question is refused. */
static int64_t
read_id(struct question *question, const char *queue_id)
{
	int64_t id = queue_id_number(queue_id);

	if (id == 0) {
		error_set(&question->error, ERROR_CONFIG, "\"%s\" is not a queue id", queue_id);
		loop_defer(question->queue->loop, &question->refuse);
	}
	return id;
}

/* --- show --- */

static void
on_show(void *owner, struct store_request *request)
{
	struct question *question = owner;

	if (request->failed) {
		end_question(question, &request->error);
		return;
	}
	question->shown(question->arg, request->show.envelope, request->show.attempts,
	    request->show.count, NULL);
	free_question(question);
}

void
queue_show(struct queue *queue, const char *queue_id, queue_shown *done, void *arg)
{
	struct question *question = new_question(queue, arg);
	int64_t id = read_id(question, queue_id);
	struct store_request *request;

	question->shown = done;
	if (id == 0)
		return;
	request = store_request_new(STORE_SHOW, on_show, question);
	request->show.message_id = id;
	store_send(queue->store, request);
}

/* --- trace --- */

static void send_trace(struct question *question);

static void
on_trace(void *owner, struct store_request *request)
{
	struct question *question = owner;
	const struct store_trace *trace = &request->trace;

	if (request->failed) {
		end_question(question, &request->error);
		return;
	}
	if (trace->count > 0) {
		question->rows = mem_grow(question->rows, question->count + trace->count,
		    sizeof(*question->rows));
		memcpy(question->rows + question->count, trace->rows,
		    trace->count * sizeof(*trace->rows));
		question->count += trace->count;
	}
	question->after = trace->next;
	if (question->after == 0 || question->count >= question->limit ||
	    question->queue->closing)
		end_question(question, NULL);
	else
		send_trace(question);
}

static void
send_trace(struct question *question)
{
	struct store_request *request = store_request_new(STORE_TRACE, on_trace, question);

	request->trace.what = mem_strdup(question->what);
	request->trace.after = question->after;
	request->trace.limit = question->limit - question->count;
	store_send(question->queue->store, request);
}

void
queue_trace(struct queue *queue, const char *what, size_t limit, queue_traced *done, void *arg)
{
	struct question *question = new_question(queue, arg);

	question->traced = done;
	question->what = mem_strdup(what);
	question->limit = limit > 0 ? limit : TRACE_DEFAULT;
	if (question->limit > TRACE_MAX)
		question->limit = TRACE_MAX;
	send_trace(question);
}

/* --- load --- */

static void
on_load(void *owner, struct store_request *request)
{
	struct question *question = owner;

	if (request->failed) {
		end_question(question, &request->error);
		return;
	}
	question->loaded(question->arg, request->load.content, NULL);
	free_question(question);
}

void
queue_load(struct queue *queue, const char *queue_id, queue_loaded *done, void *arg)
{
	struct question *question = new_question(queue, arg);
	int64_t id = read_id(question, queue_id);
	struct store_request *request;

	question->loaded = done;
	if (id == 0)
		return;
	request = store_request_new(STORE_LOAD, on_load, question);
	request->load.message_id = id;
	store_send(queue->store, request);
}
