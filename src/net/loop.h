/* loop.h - the one event loop: turns, and what is put off to the end of a turn. */
#ifndef HERALD_NET_LOOP_H
#define HERALD_NET_LOOP_H

#include <stdbool.h>
#include <sys/queue.h>

struct error;
struct event_base;
struct loop;
struct memory_budget;

#define LOOP_SCRATCH	(64 * 1024)	/* octets */

/* Embedded in its owner.  Runs once, after all events of this turn were served;
 * a task put off by another task runs in the next turn. */
struct loop_task {
	void (*run)(void *owner);
	void *owner;
	bool queued;
	TAILQ_ENTRY(loop_task) entry;
};

/* Embedded in what has lost its owner and holds a descriptor yet: run() comes once, in
 * loop_free(), or earlier where the descriptor is wanted for others. */
struct loop_end {
	void (*run)(void *owner);
	void *owner;
	TAILQ_ENTRY(loop_end) entry;
};

/* Nobody counts those who have left: 256 are a quarter of the 1,024 descriptors that a
 * process has by default. */
#define LOOP_ENDS_MAX	256

struct loop *loop_new(struct error *err);
void loop_free(struct loop *loop);		/* runs the ends, and the tasks that wait, first */
struct event_base *loop_base(struct loop *loop);	/* for event_new() of the owner's events */

void loop_defer(struct loop *loop, struct loop_task *task);	/* nothing if it waits already */
void loop_cancel(struct loop *loop, struct loop_task *task);
/* Of more than LOOP_ENDS_MAX the oldest is run. */
void loop_at_end(struct loop *loop, struct loop_end *end);
void loop_end_cancel(struct loop *loop, struct loop_end *end);
bool loop_end_oldest(struct loop *loop);	/* runs it; false: there was none */

bool loop_run(struct loop *loop, struct error *err)	/* until loop_stop() */
    __attribute__((warn_unused_result));
void loop_stop(struct loop *loop);
/* One turn; waits at most `wait_ms`.  For tests and for start-up. */
void loop_turn(struct loop *loop, int wait_ms);

/* Counts what the connections of the loop hold, and whatever else its users count in. */
struct memory_budget *loop_memory(struct loop *loop);

/* LOOP_SCRATCH octets to read into; whoever calls others' code has lost them. */
char *loop_scratch(struct loop *loop);

#endif
