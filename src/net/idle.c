/* idle.c - a timeout without progress, which progress postpones by noting the time. */
#include "net/idle.h"

#include <stdlib.h>

#include <event2/event.h>

#include "base/clock.h"
#include "net/loop.h"

#define SECOND_US	1000000

static int64_t
end_of(const struct idle *idle)
{
	return idle->progress_us + (int64_t)idle->timeout * SECOND_US;
}

static void
set_timer(struct idle *idle)
{
	int64_t now = clock_monotonic_us(), due = end_of(idle), left;
	struct timeval wait;

	if (idle->timeout == 0 || (idle->due_us != 0 && idle->due_us <= due))
		return;
	left = due > now ? due - now : 0;
	wait = (struct timeval){ left / SECOND_US, left % SECOND_US };
	idle->due_us = due;
	evtimer_add(&idle->timer, &wait);
}

static void
on_timer(int unused, short what, void *arg)
{
	struct idle *idle = arg;

	(void)unused;
	(void)what;
	idle->due_us = 0;
	if (idle->timeout == 0)
		return;
	if (clock_monotonic_us() < end_of(idle))
		set_timer(idle);
	else
		idle->expired(idle->owner);
}

void
idle_init(struct idle *idle, struct loop *loop, void (*expired)(void *owner), void *owner)
{
	*idle = (struct idle){ .expired = expired, .owner = owner };
	if (evtimer_assign(&idle->timer, loop_base(loop), on_timer, idle) == -1)
		abort();
}

void
idle_set(struct idle *idle, unsigned timeout)
{
	idle->timeout = timeout;
	idle_progress(idle);
	set_timer(idle);
}

void
idle_progress(struct idle *idle)
{
	if (idle->timeout > 0)
		idle->progress_us = clock_monotonic_us();
}

void
idle_stop(struct idle *idle)
{
	idle->timeout = 0;
	idle->due_us = 0;
	evtimer_del(&idle->timer);
}
