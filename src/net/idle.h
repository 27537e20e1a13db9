/* idle.h - a timeout without progress, which progress postpones by noting the time. */
#ifndef HERALD_NET_IDLE_H
#define HERALD_NET_IDLE_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event_struct.h>

struct loop;

/* Embedded in its owner.  One timer serves for long: when it fires too early it is
 * set for the rest, so that moving octets costs no change of it. */
struct idle {
	unsigned timeout;		/* seconds; 0: none */
	int64_t progress_us;		/* when octets last moved */
	int64_t due_us;			/* when the timer fires; 0: not set */
	void (*expired)(void *owner);
	void *owner;
	struct event timer;
};

void idle_init(struct idle *idle, struct loop *loop, void (*expired)(void *owner), void *owner);
void idle_set(struct idle *idle, unsigned timeout /* seconds */);	/* counts from now */
void idle_progress(struct idle *idle);
void idle_stop(struct idle *idle);

#endif
