/* linger.c - closes a connection so that no reset overtakes what was written to it. */
#include "net/linger.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/loop.h"

#define DROPPED_MAX	(256 * 1024)	/* octets; who sends more does not listen to us */
#define DEADLINE_US	5000000		/* for them; a peer that reads us needs less */

struct lingering {
	struct loop *loop;
	int fd;
	struct event *event;
	size_t dropped;			/* octets */
	int64_t deadline_us;
	struct loop_end end;		/* it has no owner */
};

/* True when there is nothing left to wait for. */
static bool
drain(struct loop *loop, int fd, size_t *dropped)
{
	char *octets = loop_scratch(loop);
	ssize_t len;

	while (*dropped < DROPPED_MAX) {
		len = recv(fd, octets, LOOP_SCRATCH, 0);
		if (len <= 0)
			return len == 0 || errno != EAGAIN;
		*dropped += (size_t)len;
	}
	return true;
}

static void
end(void *owner)
{
	struct lingering *linger = owner;

	event_free(linger->event);
	close(linger->fd);
	free(linger);
}

/* The deadline is absolute: a peer that drips does not move it. */
static void
wait_more(struct lingering *linger)
{
	int64_t left = linger->deadline_us - clock_monotonic_us();
	struct timeval wait;

	if (left < 0)
		left = 0;
	wait = (struct timeval){ left / 1000000, left % 1000000 };
	event_add(linger->event, &wait);
}

static void
on_event(int fd, short what, void *arg)
{
	struct lingering *linger = arg;

	if ((what & EV_TIMEOUT) == 0 && !drain(linger->loop, fd, &linger->dropped)) {
		wait_more(linger);
		return;
	}
	loop_end_cancel(linger->loop, &linger->end);
	end(linger);
}

/* What a new socket does not take at once, or a reset eats, is lost: who gets this is one too
 * many, and many of them must not hold descriptors for it. */
void
linger_dismiss(struct loop *loop, int fd, const char *octets, size_t len)
{
	if (send(fd, octets, len, MSG_NOSIGNAL) == (ssize_t)len && shutdown(fd, SHUT_WR) == 0)
		(void)!recv(fd, loop_scratch(loop), LOOP_SCRATCH, 0);
	close(fd);
}

void
linger_start(struct loop *loop, int fd)
{
	struct lingering *linger;
	size_t dropped = 0;

	if (shutdown(fd, SHUT_WR) == -1 || drain(loop, fd, &dropped)) {
		close(fd);
		return;
	}
	linger = mem_zalloc(sizeof(*linger));
	linger->loop = loop;
	linger->fd = fd;
	linger->dropped = dropped;
	linger->deadline_us = clock_monotonic_us() + DEADLINE_US;
	linger->event = event_new(loop_base(loop), fd, EV_READ, on_event, linger);
	if (linger->event == NULL)
		abort();
	linger->end = (struct loop_end){ .run = end, .owner = linger };
	loop_at_end(loop, &linger->end);
	wait_more(linger);
}
