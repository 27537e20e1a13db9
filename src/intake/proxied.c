/* proxied.c - takes the PROXY header, and nothing behind it, from a connection. */
#include "intake/proxied.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "base/mem.h"
#include "net/loop.h"

struct proxied {
	int fd;
	struct event *readable, *deadline;	/* of the whole header */
	proxied_done *done;
	void *arg;
	size_t len;			/* of the header, taken from the socket */
	char octets[PROXY_HEADER_MAX];
};

static void
tell_fault(struct proxied *proxied, const char *why)
{
	proxied->done(proxied->arg, PROXY_BAD, NULL, why);
}

/* Takes octets that have been looked at. */
static bool
take(struct proxied *proxied, size_t len)
{
	ssize_t got;

	do
		got = recv(proxied->fd, proxied->octets + proxied->len, len, 0);
	while (got == -1 && errno == EINTR);
	proxied->len += len;
	return got == (ssize_t)len;
}

/* Looks at what has come, and takes only what is of the header. */
static void
look(struct proxied *proxied)
{
	struct proxy_header header = { .port = 0 };
	enum proxy_result result;
	size_t used = 0, room = sizeof(proxied->octets) - proxied->len;
	ssize_t len = recv(proxied->fd, proxied->octets + proxied->len, room, MSG_PEEK);

	if (len == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0) {
		tell_fault(proxied, "closed before the end of the PROXY header");
		return;
	}
	result = proxy_header_parse(proxied->octets, proxied->len + (size_t)len, &header, &used);
	if (result == PROXY_NEEDS_MORE)
		used = proxied->len + (size_t)len;
	if (result == PROXY_BAD || (result == PROXY_NEEDS_MORE && (size_t)len == room)) {
		tell_fault(proxied, "no PROXY header");
		return;
	}
	assert(used > proxied->len);
	if (!take(proxied, used - proxied->len))
		tell_fault(proxied, "cannot read the PROXY header");
	else if (result != PROXY_NEEDS_MORE)
		proxied->done(proxied->arg, result, &header, NULL);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	look(arg);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	tell_fault(arg, "no PROXY header in time");
}

struct proxied *
proxied_new(struct loop *loop, int fd, proxied_done *done, void *arg)
{
	static const struct timeval seconds = { PROXIED_SECONDS, 0 };
	struct proxied *proxied = mem_zalloc(sizeof(*proxied));

	proxied->fd = fd;
	proxied->done = done;
	proxied->arg = arg;
	proxied->readable = event_new(loop_base(loop), fd, EV_READ | EV_PERSIST, on_readable,
	    proxied);
	proxied->deadline = evtimer_new(loop_base(loop), on_late, proxied);
	if (proxied->readable == NULL || proxied->deadline == NULL)
		abort();
	event_add(proxied->readable, NULL);
	event_add(proxied->deadline, &seconds);
	return proxied;
}

void
proxied_free(struct proxied *proxied)
{
	if (proxied == NULL)
		return;
	event_free(proxied->readable);
	event_free(proxied->deadline);
	free(proxied);
}
