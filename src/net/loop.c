/* loop.c - the one event loop: turns, and what is put off to the end of a turn. */
#include "net/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/memory_budget.h"

struct loop {
	struct event_base *base;
	struct event *wait;		/* bounds loop_turn() */
	TAILQ_HEAD(, loop_task) tasks;
	TAILQ_HEAD(, loop_end) ends;	/* the oldest first */
	size_t end_count;
	bool stopped;
	char *scratch;
	struct memory_budget memory;
};

static void
on_wait_over(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
}

struct loop *
loop_new(struct error *err)
{
	struct event_config *settings = event_config_new();
	struct event_base *base = NULL;
	struct loop *loop;

	/* One thread, and timeouts of seconds: neither locks nor a system call per timer. */
	if (settings != NULL && event_config_set_flag(settings, EVENT_BASE_FLAG_NOLOCK) == 0)
		base = event_base_new_with_config(settings);
	if (settings != NULL)
		event_config_free(settings);
	if (base == NULL) {
		error_set(err, ERROR_SYSTEM, "cannot make the event loop: %s", strerror(errno));
		return NULL;
	}
	loop = mem_zalloc(sizeof(*loop));
	loop->base = base;
	loop->wait = evtimer_new(base, on_wait_over, NULL);
	if (loop->wait == NULL)
		abort();
	loop->scratch = mem_alloc(LOOP_SCRATCH);
	TAILQ_INIT(&loop->tasks);
	TAILQ_INIT(&loop->ends);
	return loop;
}

struct event_base *
loop_base(struct loop *loop)
{
	return loop->base;
}

struct memory_budget *
loop_memory(struct loop *loop)
{
	return &loop->memory;
}

char *
loop_scratch(struct loop *loop)
{
	return loop->scratch;
}

void
loop_defer(struct loop *loop, struct loop_task *task)
{
	if (task->queued)
		return;
	task->queued = true;
	TAILQ_INSERT_TAIL(&loop->tasks, task, entry);
}

void
loop_cancel(struct loop *loop, struct loop_task *task)
{
	if (!task->queued)
		return;
	task->queued = false;
	TAILQ_REMOVE(&loop->tasks, task, entry);
}

void
loop_at_end(struct loop *loop, struct loop_end *end)
{
	TAILQ_INSERT_TAIL(&loop->ends, end, entry);
	if (++loop->end_count > LOOP_ENDS_MAX)
		loop_end_oldest(loop);
}

void
loop_end_cancel(struct loop *loop, struct loop_end *end)
{
	TAILQ_REMOVE(&loop->ends, end, entry);
	loop->end_count--;
}

bool
loop_end_oldest(struct loop *loop)
{
	struct loop_end *end = TAILQ_FIRST(&loop->ends);

	if (end == NULL)
		return false;
	loop_end_cancel(loop, end);
	end->run(end->owner);
	return true;
}

/* Those that wait now.  A mark in the one list tells them from those that come
 * meanwhile, so that loop_cancel() need not know of two lists. */
static void
run_tasks(struct loop *loop)
{
	struct loop_task mark = { .run = NULL };
	struct loop_task *task;

	if (TAILQ_EMPTY(&loop->tasks))
		return;
	TAILQ_INSERT_TAIL(&loop->tasks, &mark, entry);
	while ((task = TAILQ_FIRST(&loop->tasks)) != &mark) {
		TAILQ_REMOVE(&loop->tasks, task, entry);
		task->queued = false;
		task->run(task->owner);
	}
	TAILQ_REMOVE(&loop->tasks, &mark, entry);
}

/* -1 when the kernel refuses to tell of events. */
static int
one_turn(struct loop *loop)
{
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	int outcome;

	/* Without ONCE it would go on while any descriptor is ready: a peer that writes without
	 * end would put off the tasks for ever, and with them what is to be written. */
	if (!TAILQ_EMPTY(&loop->tasks))
		flags |= EVLOOP_NONBLOCK;
	outcome = event_base_loop(loop->base, flags);
	run_tasks(loop);
	return outcome;
}

bool
loop_run(struct loop *loop, struct error *err)
{
	while (!loop->stopped) {
		if (one_turn(loop) == -1)
			return error_set(err, ERROR_SYSTEM, "the event loop failed: %s",
			    strerror(errno));
	}
	loop->stopped = false;
	return true;
}

void
loop_stop(struct loop *loop)
{
	loop->stopped = true;
	/* Cuts short the wait of a turn that is about to begin. */
	event_active(loop->wait, EV_TIMEOUT, 1);
}

void
loop_turn(struct loop *loop, int wait_ms)
{
	const struct timeval wait = { wait_ms / 1000, wait_ms % 1000 * 1000 };

	evtimer_add(loop->wait, &wait);
	one_turn(loop);
	evtimer_del(loop->wait);
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	while (loop_end_oldest(loop))
		;
	while (!TAILQ_EMPTY(&loop->tasks))
		run_tasks(loop);
	event_free(loop->wait);
	event_base_free(loop->base);
	free(loop->scratch);
	free(loop);
}
