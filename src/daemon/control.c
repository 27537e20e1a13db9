/* control.c - the control socket: clients, their requests line by line, the answers. */
#include "daemon/control.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/config.h"
#include "daemon/control_verbs.h"
#include "net/conn.h"
#include "net/linger.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/socket.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL_MODE		0666	/* who may ask for what is judged by the uid */
#define CLIENTS_MAX		64	/* more is a loop gone wild, not an administrator */
/* Of these all ordinary users together, so that the others are root's; and one of them. */
#define USERS_MAX		32
#define USER_MAX		4
#define CLIENT_TIMEOUT		60	/* seconds without a request */

struct client {
	struct control *control;
	struct conn *conn;
	unsigned uid;				/* of its other end */
	bool is_admin;
	struct control_request *pending;	/* its answer has not come; input waits */
	TAILQ_ENTRY(client) entry;
};

struct control {
	struct control_parts parts;
	struct socket_pool *sockets;
	struct control_context context;
	struct socket_list listening;
	struct listener *listener;
	TAILQ_HEAD(, client) clients;
	size_t client_count;
	int64_t logged_full;			/* Unix seconds of the latest line about it */
};

/* What prepare() made and commit() takes over. */
struct prepared { struct socket_list listening; };

/* A text that is not UTF-8 has no JSON form.  What peers wrote was made printable, so
 * this would be a fault of ours: told rather than hidden. */
static const char no_json_form[] =
    "{\"ok\":false,\"error\":\"the answer has no JSON form\",\"exit\":70}";
static const char too_many[] =
    "{\"ok\":false,\"error\":\"too many connections to the control socket, try again later\","
    "\"exit\":75}\n";

static void
forget_client(struct client *client)
{
	if (client->pending != NULL)
		client->pending->client = NULL;
	TAILQ_REMOVE(&client->control->clients, client, entry);
	client->control->client_count--;
	free(client);
}

/* Input waits for the answer, and for a client that does not read the answers it has: else
 * these could grow without bound (RULES S: output high-watermark). */
static void
settle_flow(struct client *client)
{
	if (client->pending != NULL || conn_unsent(client->conn) >= CONN_DRAINED)
		conn_pause(client->conn);
	else
		conn_resume(client->conn);
}

/* Consumes the answer; the client may have gone meanwhile. */
static void
answer(struct control_request *request, json_t *reply)
{
	struct client *client = request->client;
	char *line = reply != NULL ? json_dumps(reply, JSON_COMPACT) : NULL;
	const char *text = line != NULL ? line : no_json_form;

	if (client != NULL) {
		client->pending = NULL;
		conn_set_timeout(client->conn, CLIENT_TIMEOUT);
		conn_write(client->conn, text, strlen(text));
		conn_write(client->conn, "\n", 1);
		settle_flow(client);
	}
	if (request->context != NULL)
		LIST_REMOVE(request, entry);
	free(line);
	json_decref(reply);
	json_decref(request->arguments);
	free(request);
}

static void
take_request(struct client *client, const char *line, size_t len)
{
	struct control_request *request = mem_zalloc(sizeof(*request));
	json_error_t fault;

	request->client = client;
	request->uid = client->uid;
	request->is_admin = client->is_admin;
	request->answer = answer;
	request->arguments = json_loadb(line, len, 0, &fault);
	client->pending = request;
	request->context = &client->control->context;
	LIST_INSERT_HEAD(&request->context->requests, request, entry);
	/* It waits for us now, and a probe takes its time. */
	conn_set_timeout(client->conn, 0);
	settle_flow(client);
	control_serve(request);
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct client *client = owner;
	const char *end;

	if (client->pending != NULL || conn_unsent(client->conn) >= CONN_DRAINED)
		return 0;
	end = memchr(octets, '\n', len);
	if (end == NULL)
		return 0;
	take_request(client, octets, (size_t)(end - octets));
	return (size_t)(end - octets) + 1;
}

static void
on_drained(void *owner)
{
	settle_flow(owner);
}

static void
on_closed(void *owner, enum conn_end end, const char *text)
{
	(void)end;
	(void)text;
	forget_client(owner);
}

static const struct conn_events client_events = {
	.on_input = on_input,
	.on_drained = on_drained,
	.on_closed = on_closed,
};

/* --- who comes --- */

static bool
is_admin(unsigned uid)
{
	return uid == 0 || uid == geteuid();
}

static bool
has_room(const struct control *control, unsigned uid)
{
	const struct client *client;
	size_t users = 0, own = 0;

	if (control->client_count >= CLIENTS_MAX || is_admin(uid))
		return control->client_count < CLIENTS_MAX;
	TAILQ_FOREACH(client, &control->clients, entry) {
		users += !client->is_admin;
		own += client->uid == uid;
	}
	return users < USERS_MAX && own < USER_MAX;
}

/* One line a second at most, and the newest is told: a user's loop costs nobody else. */
static void
turn_away(struct control *control, int fd, unsigned uid)
{
	if (clock_now() != control->logged_full) {
		control->logged_full = clock_now();
		log_write(LOG_LEVEL_WARNING, "heraldd", "control: too many clients: the newest, of "
		    "uid %u, is closed", uid);
	}
	linger_dismiss(control->parts.loop, fd, too_many, sizeof(too_many) - 1);
}

static void
on_accepted(void *owner, int fd, const struct endpoint *peer, const struct endpoint *local)
{
	struct control *control = owner;
	unsigned uid = socket_peer_uid(fd);
	struct client *client;

	(void)peer;
	(void)local;
	if (!has_room(control, uid)) {
		turn_away(control, fd, uid);
		return;
	}
	client = mem_zalloc(sizeof(*client));
	client->control = control;
	client->uid = uid;
	client->is_admin = is_admin(uid);
	client->conn = conn_adopt(control->parts.loop, fd, &client_events, client);
	conn_set_timeout(client->conn, CLIENT_TIMEOUT);
	TAILQ_INSERT_TAIL(&control->clients, client, entry);
	control->client_count++;
}

/* --- service --- */

static void *
control_prepare(void *self, const struct config *next, struct error *err)
{
	struct control *control = self;
	struct prepared *prepared = mem_zalloc(sizeof(*prepared));

	if (!socket_acquire(control->sockets, &next->control, SOCK_STREAM, CONTROL_MODE,
	    "control", &prepared->listening, err)) {
		error_prefix(err, "%s", next->path);
		free(prepared);
		return NULL;
	}
	return prepared;
}

static void
control_commit(void *self, void *prepared, const struct config *next)
{
	struct control *control = self;
	struct prepared *fresh = prepared;

	config_unref(control->context.config);
	control->context.config = config_ref(next);
	listener_free(control->listener);
	socket_release(control->sockets, &control->listening);
	control->listening = fresh->listening;
	control->listener = listener_new(control->parts.loop, &control->listening, "heraldd",
	    on_accepted, control);
	free(fresh);
}

static void
control_abandon(void *self, void *prepared)
{
	struct control *control = self;
	struct prepared *fresh = prepared;

	socket_release(control->sockets, &fresh->listening);
	free(fresh);
}

/* Answers until the end: `heraldctl status` during a stop tells how it goes. */
static bool
control_drain(void *self)
{
	(void)self;
	return true;
}

static void
control_destroy(void *self)
{
	struct control *control = self;

	listener_free(control->listener);
	while (!TAILQ_EMPTY(&control->clients)) {
		struct client *client = TAILQ_FIRST(&control->clients);

		conn_close(client->conn);
		forget_client(client);
	}
	control_queue_cancel(&control->context);
	control_cancel(&control->context);
	socket_release(control->sockets, &control->listening);
	config_unref(control->context.config);
	free(control);
}

const struct service_ops control_service = {
	.name = "control",
	.prepare = control_prepare,
	.commit = control_commit,
	.abandon = control_abandon,
	.drain = control_drain,
	.destroy = control_destroy,
};

struct control *
control_new(struct socket_pool *sockets, const struct control_parts *parts,
    const struct control_handlers *handlers, void *daemon)
{
	struct control *control = mem_zalloc(sizeof(*control));

	control->parts = *parts;
	control->sockets = sockets;
	control->context.parts = &control->parts;
	LIST_INIT(&control->context.requests);
	LIST_INIT(&control->context.probes);
	control->context.handlers = handlers;
	control->context.daemon = daemon;
	TAILQ_INIT(&control->clients);
	return control;
}
