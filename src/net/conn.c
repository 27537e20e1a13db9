/* conn.c - one stream connection, read in blocks of octets, plain or under TLS. */
#include "net/conn_parts.h"

#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/endpoint.h"
#include "net/tls.h"

#define WRITE_AT_ONCE	(64 * 1024)	/* octets unsent that do not wait for the turn's end */
#define FINISH_SECONDS	5		/* for output that is stuck when the owner has gone */

static void
orphan_ended(void *arg)
{
	struct conn *conn = arg;

	conn->orphan.run = NULL;	/* it left the list already */
	conn_close(conn);
}

static struct conn *
conn_new(struct loop *loop, int fd, const struct conn_events *events, void *owner)
{
	struct conn *conn = mem_zalloc(sizeof(*conn));
	struct event_base *base = loop_base(loop);

	conn->loop = loop;
	conn->events = events;
	conn->owner = owner;
	conn->stream.fd = fd;
	conn->task = (struct loop_task){ .run = turn_settle, .owner = conn };
	if (event_assign(&conn->read_event, base, fd, EV_READ | EV_PERSIST,
		turn_on_readable, conn) ||
	    event_assign(&conn->write_event, base, fd, EV_WRITE, turn_on_writable, conn))
		abort();
	idle_init(&conn->idle, loop, turn_on_expired, conn);
	turn_charge(conn);
	return conn;
}

struct conn *
conn_connect(struct loop *loop, const struct endpoint *to, const struct conn_events *events,
    void *owner, struct error *err)
{
	return conn_connect_from(loop, to, NULL, events, owner, err);
}

struct conn *
conn_connect_from(struct loop *loop, const struct endpoint *to, const struct endpoint *from,
    const struct conn_events *events, void *owner, struct error *err)
{
	struct conn *conn;
	int fd;

	assert(to->kind != ENDPOINT_SYSTEMD);
	fd = stream_connect(to, from, err);
	if (fd == -1)
		return NULL;
	conn = conn_new(loop, fd, events, owner);
	conn->state = STATE_CONNECTING;
	turn_watch_writes(conn, true);
	return conn;
}

struct conn *
conn_adopt(struct loop *loop, int fd, const struct conn_events *events, void *owner)
{
	struct conn *conn = conn_new(loop, fd, events, owner);

	stream_set_no_delay(&conn->stream);
	conn->state = STATE_OPEN;
	turn_watch_reads(conn, true);
	return conn;
}

void
conn_set_timeout(struct conn *conn, unsigned seconds)
{
	if (turn_is_live(conn))
		idle_set(&conn->idle, seconds);
}

void
conn_write(struct conn *conn, const void *octets, size_t len)
{
	if (!turn_is_live(conn) || len == 0)
		return;
	buf_append(&conn->out, octets, len);
	if (conn->out.len > WRITE_AT_ONCE && !conn->writes)
		turn_flush(conn);
	if (conn->out.len >= CONN_DRAINED)
		conn->was_full = true;
	turn_charge(conn);
	if (!conn->writes)
		turn_defer(conn);
}

size_t
conn_unsent(const struct conn *conn)
{
	return conn->out.len;
}

void
conn_pause(struct conn *conn)
{
	conn->paused = true;
}

void
conn_resume(struct conn *conn)
{
	if (!conn->paused || conn->state >= STATE_FINISHING)
		return;
	conn->paused = false;
	conn->offer_due = true;
	conn->read_due = conn->stream.ssl != NULL;
	turn_defer(conn);
}

bool
conn_start_tls(struct conn *conn, struct tls_context *tls, const char *server_name,
    bool more_input, struct error *err)
{
	if (!turn_is_live(conn) || conn->state != STATE_OPEN || conn->tls_due ||
	    conn->stream.ssl != NULL)
		return error_set(err, ERROR_TLS, "TLS: cannot start on this connection");
	if (more_input || (!conn->in_callback && conn->in.len > 0))
		return error_set(err, ERROR_TLS, "TLS: the peer sent octets before the handshake");
	if (!stream_start_tls(&conn->stream, tls, server_name, err))
		return false;
	turn_charge(conn);
	conn->tls_due = true;
	conn->plain_left = conn->out.len;
	turn_watch_reads(conn, false);
	turn_defer(conn);
	return true;
}

const char *
conn_tls_text(const struct conn *conn)
{
	return conn->tls_text[0] != '\0' ? conn->tls_text : "none";
}

void
conn_certificate_text(const struct conn *conn, char *out, size_t size)
{
	char *text = stream_certificate_text(&conn->stream);
	const char *kept = conn->certificate_text != NULL ? conn->certificate_text : "";

	text_copy(out, size, text != NULL ? text : kept);
	free(text);
}

bool
conn_tls_is_resumed(const struct conn *conn)
{
	return stream_is_resumed(&conn->stream);
}

void
conn_finish(struct conn *conn)
{
	if (conn->state >= STATE_FINISHING)
		return;
	if (conn->has_failed || conn->state != STATE_OPEN || conn->tls_due) {
		conn_close(conn);
		return;
	}
	conn->state = STATE_FINISHING;
	conn->owner = NULL;
	turn_watch_reads(conn, false);
	if (conn->idle.timeout == 0)
		idle_set(&conn->idle, FINISH_SECONDS);
	turn_flush(conn);			/* now: loop_at_end() may end those that wait */
	conn->orphan = (struct loop_end){ .run = orphan_ended, .owner = conn };
	loop_at_end(conn->loop, &conn->orphan);
	turn_defer(conn);
}

void
conn_close(struct conn *conn)
{
	if (conn->state == STATE_CLOSED)
		return;
	if (conn->state == STATE_FINISHING && conn->orphan.run != NULL)
		loop_end_cancel(conn->loop, &conn->orphan);
	conn->state = STATE_CLOSED;
	turn_unwatch(conn);
	stream_close(&conn->stream);
	turn_defer(conn);
}
