/* greeter.c - one greeting block at work: its listener, its clients, its counters. */
#include "services/greeter.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/config.h"
#include "net/conn.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "net/network.h"
#include "net/tls.h"
#include "services/template.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND_US    INT64_C(1000000)
#define TICK_MS	     250	  /* how late a deadline may be */
#define DRAIN_OCTETS (256 * 1024) /* a client that talks more than that does not listen */
#define UNIX_MODE    0666	  /* every local user may connect */

const char *const greeter_count_names[GREETER_COUNTS] = { "connections", "served", "limited",
	"denied", "timeouts", "errors", "octets" };

/* Clients of one address. */
struct share {
	unsigned count;
};

struct greeter_client {
	struct greeter *greeter;
	struct greeter_clients *list; /* the one it is in */
	int fd;			      /* -1 under TLS */
	struct conn *conn;	      /* TLS alone */
	struct event event;	      /* not while fresh, nor under TLS */
	bool has_event;
	const char *text; /* what the socket did not take yet */
	char *copy;	  /* of it, where it is not the same for all */
	size_t len, sent, drained;
	size_t octets; /* of the whole text, for the log */
	int64_t start_us, deadline_us;
	uint16_t port;
	char address[ENDPOINT_ADDRESS_MAX];
	TAILQ_ENTRY(greeter_client) entry;
};

static void on_event(evutil_socket_t fd, short what, void *arg);

static void
count(struct greeter *greeter, enum greeter_count what, uint64_t add)
{
	greeter->tally->counts[what] += add;
}

/* ---- shares of the limits */

static bool
is_over_limit(const struct greeter *greeter, const char *address)
{
	const struct share *share = map_get(greeter->by_address, address);

	return greeter->active >= greeter->section->max_connections ||
	    (share != NULL && share->count >= greeter->section->max_connections_per_client);
}

static void
share_take(struct greeter *greeter, const char *address)
{
	struct share *share = map_get(greeter->by_address, address);

	if (share == NULL) {
		share = mem_zalloc(sizeof(*share));
		map_put(greeter->by_address, address, share);
	}
	share->count++;
	greeter->active++;
}

static void
share_give_back(struct greeter *greeter, const char *address)
{
	struct share *share = map_get(greeter->by_address, address);

	greeter->active--;
	if (--share->count == 0)
		free(map_remove(greeter->by_address, address));
}

/* ---- the life of a client */

static void
set_ticking(struct greeter *greeter)
{
	static const struct timeval period = { 0, TICK_MS * 1000 };
	bool wanted = !TAILQ_EMPTY(&greeter->writing) || !TAILQ_EMPTY(&greeter->draining);

	if (wanted && !greeter->is_ticking)
		event_add(&greeter->tick, &period);
	if (!wanted && greeter->is_ticking)
		event_del(&greeter->tick);
	greeter->is_ticking = wanted;
}

static void
move(struct greeter_client *client, struct greeter_clients *list, int64_t deadline_us)
{
	if (client->list != NULL)
		TAILQ_REMOVE(client->list, client, entry);
	client->list = list;
	client->deadline_us = deadline_us;
	TAILQ_INSERT_TAIL(list, client, entry);
}

static void
client_end(struct greeter_client *client)
{
	struct greeter *greeter = client->greeter;

	if (log_wants(LOG_LEVEL_DEBUG))
		log_write(LOG_LEVEL_DEBUG, "greeting",
		    "%s: client=[%s]:%u octets=%zu duration=%.3f", greeter->section->name,
		    client->address, client->port, client->octets,
		    (double)(clock_monotonic_us() - client->start_us) / (double)SECOND_US);
	TAILQ_REMOVE(client->list, client, entry);
	if (client->has_event)
		event_del(&client->event);
	if (client->fd != -1)
		close(client->fd);
	if (client->conn != NULL)
		conn_close(client->conn);
	share_give_back(greeter, client->address);
	free(client->copy);
	free(client);
	set_ticking(greeter);
	if (greeter->listener == NULL && greeter->active == 0 && greeter->on_idle != NULL)
		loop_defer(greeter->loop, greeter->on_idle);
}

static void
watch(struct greeter_client *client, short what)
{
	if (client->has_event)
		event_del(&client->event);
	event_assign(&client->event, loop_base(client->greeter->loop), client->fd,
	    (short)(what | EV_PERSIST), on_event, client);
	event_add(&client->event, NULL);
	client->has_event = true;
	set_ticking(client->greeter);
}

/* Reads and drops what the client sent: closing over unread octets would send a reset, and
 * that may overtake the text (RFC 1122 4.2.2.13).  False when it is time to close. */
static bool
drain_client(struct greeter_client *client)
{
	char *octets = loop_scratch(client->greeter->loop);

	for (;;) {
		ssize_t len = recv(client->fd, octets, LOOP_SCRATCH, MSG_DONTWAIT);

		if (len == -1)
			return errno == EAGAIN || errno == EINTR;
		client->drained += (size_t)len;
		if (len == 0 || client->drained > DRAIN_OCTETS)
			return false;
	}
}

/* The whole text is in the socket. */
static void
finish_text(struct greeter_client *client, struct greeter_clients *list, int64_t now_us)
{
	struct greeter *greeter = client->greeter;

	count(greeter, GREETER_SERVED, 1);
	count(greeter, GREETER_OCTETS, client->octets);
	/* Sends the text, too: until now the kernel held it back, so that both leave at once. */
	shutdown(client->fd, SHUT_WR);
	move(client, list, now_us + SECOND_US * greeter->section->timeout);
}

static void
write_on(struct greeter_client *client)
{
	ssize_t len = send(client->fd, client->text + client->sent, client->len - client->sent,
	    MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);

	if (len == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len == -1) {
		count(client->greeter, GREETER_ERRORS, 1);
		client_end(client);
		return;
	}
	client->sent += (size_t)len;
	if (client->sent < client->len)
		return;
	finish_text(client, &client->greeter->draining, clock_monotonic_us());
	watch(client, EV_READ);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct greeter_client *client = arg;

	(void)fd;
	(void)what;
	if (client->list == &client->greeter->writing)
		write_on(client);
	else if (!drain_client(client))
		client_end(client);
}

/* At the end of the turn: many of those just greeted have read and closed by now. */
static void
on_settle(void *owner)
{
	struct greeter *greeter = owner;
	struct greeter_client *client, *next;

	for (client = TAILQ_FIRST(&greeter->fresh); client != NULL; client = next) {
		next = TAILQ_NEXT(client, entry);
		if (drain_client(client)) {
			move(client, &greeter->draining, client->deadline_us);
			watch(client, EV_READ);
		} else {
			client_end(client);
		}
	}
}

/* Each list stands in the order of its deadlines, for its timeout is one for all. */
static void
expire(struct greeter *greeter, struct greeter_clients *list, int64_t now_us)
{
	struct greeter_client *client, *next;

	for (client = TAILQ_FIRST(list); client != NULL && client->deadline_us <= now_us;
	     client = next) {
		next = TAILQ_NEXT(client, entry);
		count(greeter, GREETER_TIMEOUTS, 1);
		client_end(client);
	}
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct greeter *greeter = arg;
	int64_t now_us = clock_monotonic_us();

	(void)fd;
	(void)what;
	expire(greeter, &greeter->writing, now_us);
	expire(greeter, &greeter->draining, now_us);
}

/* ---- greeting */

/* The text for a client; `rendered` holds it when it is not the same for all. */
static const char *
text_for(const struct greeter *greeter, const char *address, uint16_t port, struct buf *rendered,
    size_t *len)
{
	const char *constant = template_constant(greeter->template, len);
	struct template_values values;

	if (constant != NULL)
		return constant;
	values = (struct template_values){ .client_address = address,
		.client_port = port,
		.hostname = greeter->config->hostname,
		.now = clock_now() };
	template_render(greeter->template, &values, rendered);
	*len = rendered->len;
	return buf_octets(rendered);
}

static void
greet_plain(struct greeter_client *client, const char *text, size_t len)
{
	struct greeter *greeter = client->greeter;
	ssize_t sent = send(client->fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL | MSG_MORE);

	if (sent == (ssize_t)len) {
		finish_text(client, &greeter->fresh, client->start_us);
		loop_defer(greeter->loop, &greeter->settle);
		return;
	}
	move(client, &greeter->writing, client->start_us + SECOND_US * greeter->section->timeout);
	if (sent == -1 && errno != EAGAIN && errno != EINTR) {
		count(greeter, GREETER_ERRORS, 1);
		client_end(client);
		return;
	}
	client->len = len - (sent > 0 ? (size_t)sent : 0);
	client->text = text + (len - client->len);
	if (template_constant(greeter->template, &len) == NULL)
		client->text = client->copy = mem_dup(client->text, client->len);
	watch(client, EV_WRITE);
}

static size_t
on_tls_input(void *owner, const char *octets, size_t len)
{
	(void)owner;
	(void)octets;
	return len;
}

static void
on_tls_secured(void *owner)
{
	struct greeter_client *client = owner;
	struct conn *conn = client->conn;
	struct buf rendered = { 0 };
	const char *text = text_for(
	    client->greeter, client->address, client->port, &rendered, &client->octets);

	conn_write(conn, text, client->octets);
	buf_free(&rendered);
	count(client->greeter, GREETER_SERVED, 1);
	count(client->greeter, GREETER_OCTETS, client->octets);
	client->conn = NULL;
	conn_finish(conn);
	client_end(client);
}

static void
on_tls_closed(void *owner, enum conn_end end, const char *text)
{
	struct greeter_client *client = owner;

	(void)end;
	(void)text;
	client->conn = NULL;
	count(client->greeter, GREETER_ERRORS, 1);
	client_end(client);
}

static const struct conn_events tls_events = { .on_input = on_tls_input,
	.on_secured = on_tls_secured,
	.on_closed = on_tls_closed };

/* The text follows when the handshake is done; a client that is slow with it has the
 * timeout for all of it. */
static void
greet_tls(struct greeter_client *client)
{
	struct greeter *greeter = client->greeter;
	struct error err;

	client->conn = conn_adopt(greeter->loop, client->fd, &tls_events, client);
	client->fd = -1;
	move(client, &greeter->writing, client->start_us + SECOND_US * greeter->section->timeout);
	set_ticking(greeter);
	if (conn_start_tls(client->conn, greeter->tls, NULL, false, &err))
		return;
	log_write(LOG_LEVEL_WARNING, "greeting", "%s: %s", greeter->section->name, err.text);
	count(greeter, GREETER_ERRORS, 1);
	client_end(client);
}

static bool
may_enter(struct greeter *greeter, const struct endpoint *peer, const char *address)
{
	const struct greeting_config *section = greeter->section;

	if (peer->kind == ENDPOINT_INET &&
	    !network_allows(&section->allow, &section->deny, &peer->address.any)) {
		count(greeter, GREETER_DENIED, 1);
		return false;
	}
	if (is_over_limit(greeter, address)) {
		count(greeter, GREETER_LIMITED, 1);
		return false;
	}
	return true;
}

static void
on_accepted(void *owner, int fd, const struct endpoint *peer, const struct endpoint *local)
{
	struct greeter *greeter = owner;
	struct greeter_client *client;
	struct buf rendered = { 0 };
	char address[ENDPOINT_ADDRESS_MAX];
	const char *text;

	(void)local;
	count(greeter, GREETER_CONNECTIONS, 1);
	endpoint_host(peer, address);
	if (!may_enter(greeter, peer, address)) {
		close(fd);
		return;
	}
	share_take(greeter, address);
	client = mem_zalloc(sizeof(*client));
	client->greeter = greeter;
	client->fd = fd;
	client->port = endpoint_port(peer);
	client->start_us = clock_monotonic_us();
	memcpy(client->address, address, sizeof(client->address));
	if (greeter->tls != NULL) {
		greet_tls(client);
		return;
	}
	text = text_for(greeter, address, client->port, &rendered, &client->octets);
	greet_plain(client, text, client->octets);
	buf_free(&rendered);
}

/* ---- the greeter */

struct greeter *
greeter_new(struct loop *loop, struct socket_pool *pool, const struct config *config,
    const struct greeting_config *section, struct error *err)
{
	struct greeter *greeter = mem_zalloc(sizeof(*greeter));
	char what[80];

	greeter->loop = loop;
	greeter->pool = pool;
	greeter->config = config_ref(config);
	greeter->section = section;
	greeter->by_address = map_new();
	greeter->settle = (struct loop_task){ .run = on_settle, .owner = greeter };
	TAILQ_INIT(&greeter->fresh);
	TAILQ_INIT(&greeter->writing);
	TAILQ_INIT(&greeter->draining);
	event_assign(&greeter->tick, loop_base(loop), -1, EV_PERSIST, on_tick, greeter);
	greeter->template = template_new(section->text, section->text_len);
	if (section->tls == CONFIG_TLS_IMPLICIT) {
		greeter->tls = tls_server_new(section->certificate, section->private_key, err);
		if (greeter->tls == NULL)
			goto fail;
	}
	snprintf(what, sizeof(what), "greeting %s", section->name);
	if (!socket_acquire(
		pool, &section->listen, SOCK_STREAM, UNIX_MODE, what, &greeter->sockets, err))
		goto fail;
	return greeter;
fail:
	error_prefix(err, "%s:%u", section->conffile, section->line);
	greeter_free(greeter);
	return NULL;
}

void
greeter_open(struct greeter *greeter, struct greeter_tally *tally)
{
	greeter->tally = tally != NULL ? tally : mem_zalloc(sizeof(*tally));
	greeter->tally->references++;
	greeter->listener = listener_new(
	    greeter->loop, &greeter->sockets, "greeting", on_accepted, greeter);
}

void
greeter_close(struct greeter *greeter)
{
	if (greeter->listener == NULL)
		return;
	listener_free(greeter->listener);
	greeter->listener = NULL;
	socket_release(greeter->pool, &greeter->sockets);
}

void
greeter_hurry(struct greeter *greeter)
{
	struct greeter_client *client;

	while ((client = TAILQ_FIRST(&greeter->draining)) != NULL) {
		/* Unread octets would make a reset of the close. */
		(void)drain_client(client);
		client_end(client);
	}
}

static void
end_all(struct greeter_clients *list)
{
	struct greeter_client *client;

	while ((client = TAILQ_FIRST(list)) != NULL)
		client_end(client);
}

void
greeter_free(struct greeter *greeter)
{
	greeter->on_idle = NULL;
	end_all(&greeter->fresh);
	end_all(&greeter->writing);
	end_all(&greeter->draining);
	greeter_close(greeter);
	socket_release(greeter->pool, &greeter->sockets);
	loop_cancel(greeter->loop, &greeter->settle);
	tls_unref(greeter->tls);
	template_free(greeter->template);
	map_free(greeter->by_address);
	if (greeter->tally != NULL && --greeter->tally->references == 0)
		free(greeter->tally);
	config_unref(greeter->config);
	free(greeter);
}
