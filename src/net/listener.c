/* listener.c - accepts clients of stream sockets in batches, and pauses when it cannot. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/memory_budget.h"
#include "net/linger.h"
#include "net/loop.h"
#include "net/socket.h"

#define BATCH		64	/* clients of one socket in a turn (RULES U8, S: fairness) */
#define PAUSE_US	100000	/* long enough that waiting costs nothing, short for a client */
/* Descriptors that clients leave: so many connections out, the store and the log need (RULES S).
 * Of a small limit it is a quarter. */
#define RESERVE		64
#define LOG_EVERY_US	60000000	/* one warning a minute */

struct place {
	struct listener *listener;
	struct event *event;
	struct endpoint local;
	bool is_wildcard;		/* each client may have come to another address */
};

struct listener {
	struct loop *loop;
	struct place *places;
	size_t count;
	struct event *resume;
	const char *component;
	listener_accepted *accepted;
	void *owner;
	char *farewell;			/* NULL: memory is not looked at */
	int spare_fd;			/* -1: there was no descriptor for it */
	int64_t logged_us;
	bool has_logged;
	bool closed;
	struct loop_task task;		/* frees the memory */
};

static void
warn(struct listener *listener, const char *why)
{
	int64_t now = clock_monotonic_us();

	if (listener->has_logged && now - listener->logged_us < LOG_EVERY_US)
		return;
	listener->has_logged = true;
	listener->logged_us = now;
	log_write(LOG_LEVEL_WARNING, listener->component, "cannot accept clients: %s", why);
}

static void
pause_all(struct listener *listener)
{
	const struct timeval pause = { 0, PAUSE_US };

	for (size_t i = 0; i < listener->count; i++)
		event_del(listener->places[i].event);
	evtimer_add(listener->resume, &pause);
}

/* TCP clients must not hold those of UNIX sockets off, which have a reserve of their own. */
static void
pause_inet(struct listener *listener)
{
	const struct timeval pause = { 0, PAUSE_US };

	for (size_t i = 0; i < listener->count; i++)
		if (listener->places[i].local.kind != ENDPOINT_UNIX)
			event_del(listener->places[i].event);
	evtimer_add(listener->resume, &pause);
}

static void
on_resume(int unused, short what, void *arg)
{
	struct listener *listener = arg;

	(void)unused;
	(void)what;
	for (size_t i = 0; i < listener->count; i++)
		event_add(listener->places[i].event, NULL);
}

static int
open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void
send_away(struct listener *listener, int client)
{
	const char *line = listener->farewell;

	if (line != NULL)
		linger_dismiss(listener->loop, client, line, strlen(line));
	else
		close(client);
}

/* Where there is a word for them, they need not wait for it; else they may as well wait for
 * room. */
static int
dismissed_at_once(const struct listener *listener)
{
	return listener->farewell != NULL ? BATCH : 1;
}

/* Clients that we cannot take would wait in the backlog without a word, and keep the socket
 * readable: they are taken by the spare descriptor and sent away. */
static void
turn_away(struct listener *listener, int fd)
{
	int client = 0;

	for (int i = dismissed_at_once(listener); i > 0 && client != -1; i--) {
		if (listener->spare_fd == -1)
			return;
		close(listener->spare_fd);
		client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client != -1)
			send_away(listener, client);
		listener->spare_fd = open_spare();
	}
}

/* The number that no client's descriptor may have.  Users of this machine, who come by UNIX
 * sockets, may take half of the reserve: a flood from the network does not lock them out. */
static int
descriptor_limit(const struct place *place)
{
	struct rlimit files;
	rlim_t reserve = RESERVE;

	if (getrlimit(RLIMIT_NOFILE, &files) == -1 || files.rlim_cur > INT_MAX)
		return INT_MAX;
	if (files.rlim_cur / 4 < reserve)
		reserve = files.rlim_cur / 4;
	/* Without a farewell it is the control socket, by which root looks what is wrong. */
	if (place->local.kind == ENDPOINT_UNIX)
		reserve /= place->listener->farewell != NULL ? 2 : 8;
	return (int)(files.rlim_cur - reserve);
}

/* Those that have left and only linger make room first. */
static void
pause_without_descriptors(struct listener *listener, int failure, void (*pause)(struct listener *))
{
	for (int i = 0; i < BATCH && loop_end_oldest(listener->loop); i++)
		;
	warn(listener, strerror(failure));
	pause(listener);
}

/* False when this turn takes no more. */
static bool
accept_failed(struct listener *listener, int fd, int failure)
{
	switch (failure) {
	case EAGAIN:
		return false;
	/* The client is gone already, or its network is: accept(2) passes on such errors. */
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENETUNREACH:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
		return true;
	case EMFILE:
	case ENFILE:
		turn_away(listener, fd);
		pause_without_descriptors(listener, failure, pause_all);
		return false;
	default:
		warn(listener, strerror(failure));
		pause_all(listener);
		return false;
	}
}

static void
hand_over(struct place *place, int client, const struct sockaddr_storage *address, socklen_t len)
{
	struct listener *listener = place->listener;
	struct sockaddr_storage own;
	socklen_t own_len = sizeof(own);
	struct endpoint peer, local;

	endpoint_from_sockaddr(&peer, (const struct sockaddr *)address, len);
	if (place->is_wildcard && getsockname(client, (struct sockaddr *)&own, &own_len) == 0)
		endpoint_from_sockaddr(&local, (const struct sockaddr *)&own, own_len);
	else
		local = place->local;
	listener->accepted(listener->owner, client, &peer, &local);
}

static bool
lacks_memory(const struct listener *listener)
{
	return listener->farewell != NULL &&
	    memory_budget_state(loop_memory(listener->loop)) == MEMORY_OUT;
}

/* Room for no more: the rest of the batch hears so at once, and what comes then after the pause,
 * so that clients that come back at once cost little. */
static void
end_batch(struct place *place, bool lacks_descriptors)
{
	struct listener *listener = place->listener;

	if (!lacks_descriptors) {
		warn(listener, "max_memory is used up");
		pause_all(listener);
	} else if (place->local.kind == ENDPOINT_UNIX) {
		pause_without_descriptors(listener, EMFILE, pause_all);
	} else {
		pause_without_descriptors(listener, EMFILE, pause_inet);
	}
}

static void
on_readable(int fd, short what, void *arg)
{
	struct place *place = arg;
	struct listener *listener = place->listener;
	int limit = descriptor_limit(place), dismissed = 0;
	bool is_full = lacks_memory(listener), lacks_descriptors = false;

	(void)what;
	for (int i = 0; i < BATCH && dismissed < dismissed_at_once(listener) &&
	    !listener->closed; i++) {
		struct sockaddr_storage address;
		socklen_t len = sizeof(address);
		int client;

		memset(&address, 0, sizeof(address));
		client = accept4(fd, (struct sockaddr *)&address, &len,
		    SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client == -1) {
			if (!accept_failed(listener, fd, errno))
				break;
		} else if (client >= limit || is_full) {
			lacks_descriptors |= client >= limit;
			send_away(listener, client);
			dismissed++;
		} else {
			hand_over(place, client, &address, len);
			is_full = lacks_memory(listener);
		}
	}
	if (dismissed > 0 && !listener->closed)
		end_batch(place, lacks_descriptors);
}

static bool
is_wildcard(const struct sockaddr_storage *address)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (address->ss_family == AF_INET) {
		memcpy(&in, address, sizeof(in));
		return in.sin_addr.s_addr == htonl(INADDR_ANY);
	}
	if (address->ss_family != AF_INET6)
		return false;
	memcpy(&in6, address, sizeof(in6));
	return IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
}

static void
add_place(struct listener *listener, const struct socket *socket)
{
	struct place *place = &listener->places[listener->count++];
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(socket->fd, (struct sockaddr *)&address, &len) == -1)
		len = sizeof(sa_family_t);
	place->listener = listener;
	endpoint_from_sockaddr(&place->local, (const struct sockaddr *)&address, len);
	place->is_wildcard = is_wildcard(&address);
	place->event = event_new(loop_base(listener->loop), socket->fd, EV_READ | EV_PERSIST,
	    on_readable, place);
	if (place->event == NULL || event_add(place->event, NULL) == -1)
		abort();
}

static void
free_memory(void *owner)
{
	struct listener *listener = owner;

	free(listener->places);
	free(listener->farewell);
	free(listener);
}

struct listener *
listener_new(struct loop *loop, const struct socket_list *sockets, const char *component,
    listener_accepted *accepted, void *owner)
{
	struct listener *listener = mem_zalloc(sizeof(*listener));

	listener->loop = loop;
	listener->component = component;
	listener->accepted = accepted;
	listener->owner = owner;
	listener->task = (struct loop_task){ .run = free_memory, .owner = listener };
	listener->spare_fd = open_spare();
	listener->resume = evtimer_new(loop_base(loop), on_resume, listener);
	if (listener->resume == NULL)
		abort();
	listener->places = mem_array(sockets->count, sizeof(*listener->places));
	for (size_t i = 0; i < sockets->count; i++)
		add_place(listener, sockets->items[i]);
	return listener;
}

void
listener_set_farewell(struct listener *listener, const char *line)
{
	free(listener->farewell);
	listener->farewell = mem_strdup(line);
}

/* May come from within accepted(): the memory stays until the turn ends. */
void
listener_free(struct listener *listener)
{
	if (listener == NULL)
		return;
	listener->closed = true;
	for (size_t i = 0; i < listener->count; i++)
		event_free(listener->places[i].event);
	event_free(listener->resume);
	if (listener->spare_fd != -1)
		close(listener->spare_fd);
	loop_defer(listener->loop, &listener->task);
}
