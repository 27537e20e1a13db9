/* conn.c - one stream connection, read in blocks of octets, plain or under TLS. */
#include "net/conn.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/endpoint.h"
#include "net/idle.h"
#include "net/linger.h"
#include "net/loop.h"
#include "net/stream.h"
#include "net/tls.h"

#define WRITE_AT_ONCE	(64 * 1024)	/* octets unsent that do not wait for the turn's end */
#define FINISH_SECONDS	5		/* for output that is stuck when the owner has gone */

enum conn_state { STATE_CONNECTING, STATE_HANDSHAKE, STATE_OPEN, STATE_FINISHING, STATE_CLOSED };

struct conn {
	struct loop *loop;
	const struct conn_events *events;
	void *owner;
	enum conn_state state;
	struct stream stream;
	struct buf in;			/* offered and not consumed */
	struct buf out;
	size_t plain_left;		/* of out, before the handshake; with tls_due */

	bool tls_due;			/* conn_start_tls() was called */
	bool paused;
	bool offer_due;			/* resumed: what was kept is offered again */
	bool read_due;			/* more may lie in TLS, or in the socket */
	bool was_full;			/* on_drained() is owed */
	bool at_eof;			/* on_closed() comes when what was kept has been offered */
	bool has_failed;		/* on_closed() comes at the end of the turn */
	bool write_failed;
	bool reads, writes;		/* which events are registered */
	bool in_callback;		/* on_input() runs: conn_start_tls() judges by more_input */

	enum conn_end end;
	char *end_text;
	char tls_text[32];
	char *certificate_text;		/* of a handshake that failed, or NULL */

	struct event read_event, write_event;
	struct idle idle;
	struct loop_task task;		/* settle() */
	struct loop_end orphan;		/* while finishing, without an owner */
};

static void settle(void *arg);

static void
defer(struct conn *conn)
{
	loop_defer(conn->loop, &conn->task);
}

/* The owner may be called and octets may move. */
static bool
is_live(const struct conn *conn)
{
	return conn->state < STATE_FINISHING && !conn->has_failed;
}

static void
watch(struct event *event, bool *watched, bool wanted)
{
	if (*watched == wanted)
		return;
	*watched = wanted;
	if (wanted)
		event_add(event, NULL);
	else
		event_del(event);
}

static void
watch_reads(struct conn *conn, bool wanted)
{
	watch(&conn->read_event, &conn->reads, wanted);
}

static void
watch_writes(struct conn *conn, bool wanted)
{
	watch(&conn->write_event, &conn->writes, wanted);
}

static void
unwatch(struct conn *conn)
{
	watch_reads(conn, false);
	watch_writes(conn, false);
	idle_stop(&conn->idle);
}

/* The first reason stands. */
static void
fail(struct conn *conn, enum conn_end end, const char *text)
{
	char *copy;

	if (conn->has_failed)
		return;
	conn->has_failed = true;
	conn->end = end;
	copy = mem_strdup(text);
	free(conn->end_text);
	conn->end_text = copy;
	unwatch(conn);
	defer(conn);
}

static void
on_expired(void *owner)
{
	struct conn *conn = owner;

	if (conn->state == STATE_FINISHING)
		conn_close(conn);
	else if (conn->state == STATE_CONNECTING)
		fail(conn, CONN_TIMEOUT, "connection timed out");
	else if (conn->state == STATE_HANDSHAKE)
		fail(conn, CONN_TIMEOUT, "TLS handshake timed out");
	else
		fail(conn, CONN_TIMEOUT, "timed out");
}

/* Gives the owner what was kept and what is new; keeps what it does not consume. */
static void
offer(struct conn *conn, const char *octets, size_t len)
{
	bool kept = conn->in.len > 0;
	size_t used;

	if (kept) {
		buf_append(&conn->in, octets, len);
		octets = buf_octets(&conn->in);
		len = conn->in.len;
	}
	conn->in_callback = true;
	used = conn->events->on_input(conn->owner, octets, len);
	conn->in_callback = false;
	if (conn->state >= STATE_FINISHING)
		return;
	assert(used <= len);
	if (kept)
		buf_consume(&conn->in, used);
	else
		buf_append(&conn->in, octets + used, len - used);
	if (conn->in.len == 0)
		buf_free(&conn->in);
	else if (conn->tls_due)
		fail(conn, CONN_TLS, "TLS: the peer sent octets before the handshake");
	else if (conn->in.len >= CONN_INPUT_MAX && !conn->paused)
		fail(conn, CONN_INPUT_FULL, "input too long");
}

/* At most CONN_INPUT_MAX octets a turn, so that no peer holds up the others. */
static void
take_input(struct conn *conn)
{
	size_t room = CONN_INPUT_MAX - conn->in.len, len;
	char *octets = loop_scratch(conn->loop);
	enum stream_outcome outcome;
	struct stream_fault fault;

	conn->read_due = false;
	outcome = stream_read(&conn->stream, octets, room, &len, &fault);
	if (outcome == STREAM_ENDED && fault.end == CONN_EOF && !conn->has_failed) {
		conn->at_eof = true;
		free(conn->end_text);
		conn->end_text = mem_strdup(fault.text);
		watch_reads(conn, false);
		defer(conn);
	} else if (outcome == STREAM_ENDED) {
		fail(conn, fault.end, fault.text);
	} else if (outcome == STREAM_WANT_WRITE) {
		watch_writes(conn, true);
	} else if (outcome == STREAM_DONE && stream_has_pending(&conn->stream)) {
		conn->read_due = true;
		defer(conn);
	}
	if (len > 0) {
		idle_progress(&conn->idle);
		offer(conn, octets, len);
	}
}

/* Sends what may be sent now. */
static void
flush(struct conn *conn)
{
	size_t due = conn->tls_due ? conn->plain_left : conn->out.len, sent;
	enum stream_outcome outcome;
	struct stream_fault fault;

	if (due == 0 || (conn->state != STATE_OPEN && conn->state != STATE_FINISHING))
		return;
	outcome = stream_write(&conn->stream, buf_octets(&conn->out), due, &sent, &fault);
	if (sent > 0) {
		idle_progress(&conn->idle);
		buf_consume(&conn->out, sent);
		if (conn->tls_due)
			conn->plain_left -= sent;
	}
	if (conn->out.len == 0)
		buf_free(&conn->out);
	if (outcome == STREAM_ENDED) {
		conn->write_failed = true;
		fail(conn, fault.end, fault.text);
		return;
	}
	watch_writes(conn, outcome == STREAM_WANT_WRITE);
}

static void
handshake(struct conn *conn)
{
	struct stream_fault fault;
	enum stream_outcome outcome = stream_handshake(&conn->stream, &fault);

	if (outcome == STREAM_ENDED) {
		/* The stream is closed when the owner hears of it. */
		conn->certificate_text = stream_certificate_text(&conn->stream);
		fail(conn, fault.end, fault.text);
		return;
	}
	watch_writes(conn, outcome == STREAM_WANT_WRITE);
	watch_reads(conn, outcome != STREAM_WANT_WRITE);
	if (outcome != STREAM_DONE)
		return;
	idle_progress(&conn->idle);
	snprintf(conn->tls_text, sizeof(conn->tls_text), "%s/%s", conn->stream.version,
	    tls_verifies(conn->stream.tls) ? "verified" : "encrypted");
	conn->state = STATE_OPEN;
	conn->read_due = true;		/* the peer's first octets may have come along */
	defer(conn);
	if (conn->events->on_secured != NULL)
		conn->events->on_secured(conn->owner);
}

/* Connected: the owner may talk. */
static void
open_up(struct conn *conn)
{
	stream_set_no_delay(&conn->stream);
	conn->state = STATE_OPEN;
	idle_progress(&conn->idle);
	watch_writes(conn, false);
	watch_reads(conn, true);
	defer(conn);
	if (conn->events->on_open != NULL)
		conn->events->on_open(conn->owner);
}

/* Once our words are sent, the rest of the end is not ours. */
static void
finish(struct conn *conn)
{
	flush(conn);
	if (conn->out.len > 0 && !conn->has_failed)
		return;
	if (!conn->has_failed) {
		unwatch(conn);
		linger_start(conn->loop, stream_release(&conn->stream));
	}
	conn_close(conn);
}

static void
on_connected(struct conn *conn)
{
	struct stream_fault fault;

	if (stream_connected(&conn->stream, &fault) == STREAM_DONE)
		open_up(conn);
	else
		fail(conn, fault.end, fault.text);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->state == STATE_HANDSHAKE)
		handshake(conn);
	else if (conn->paused || conn->in.len >= CONN_INPUT_MAX)
		watch_reads(conn, false);	/* only now: a short pause costs no system call */
	else
		take_input(conn);
	if (conn->stream.ssl != NULL && conn->out.len > 0)
		defer(conn);		/* TLS may have waited to read before it could write */
}

static void
on_writable(int fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	conn->writes = false;		/* the event is good for one call */
	if (conn->state == STATE_CONNECTING) {
		on_connected(conn);
	} else if (conn->state == STATE_HANDSHAKE) {
		handshake(conn);
	} else {
		conn->read_due = conn->stream.ssl != NULL;	/* TLS may have waited to read */
		defer(conn);
	}
}

/* What the peer said before it closed explains why our write failed: "421 ..." */
static void
hear_last_words(struct conn *conn)
{
	conn->write_failed = false;
	if (conn->state == STATE_OPEN && !conn->paused && !conn->tls_due &&
	    conn->in.len < CONN_INPUT_MAX)
		take_input(conn);
}

static void
report(struct conn *conn)
{
	const struct conn_events *events = conn->events;
	void *owner = conn->owner;
	char *text;

	if (conn->write_failed)
		hear_last_words(conn);
	if (conn->state >= STATE_FINISHING)
		return;
	text = conn->end_text;
	conn->end_text = NULL;
	conn_close(conn);
	events->on_closed(owner, conn->end, text);
	free(text);
}

static void
take_due_input(struct conn *conn)
{
	if (conn->paused || conn->state != STATE_OPEN || conn->tls_due)
		return;
	if (conn->offer_due) {
		conn->offer_due = false;
		if (conn->in.len > 0)
			offer(conn, NULL, 0);
	}
	if (!is_live(conn) || conn->paused || conn->tls_due)
		return;
	if (conn->read_due && !conn->at_eof && conn->in.len < CONN_INPUT_MAX)
		take_input(conn);
	if (is_live(conn) && !conn->tls_due && !conn->at_eof)
		watch_reads(conn, true);
}

static void
send_due_output(struct conn *conn)
{
	flush(conn);
	if (!conn->has_failed && conn->was_full && conn->out.len < CONN_DRAINED) {
		conn->was_full = false;
		if (conn->events->on_drained != NULL)
			conn->events->on_drained(conn->owner);
	}
}

static void
destroy(struct conn *conn)
{
	buf_wipe(&conn->in);
	buf_wipe(&conn->out);
	free(conn->end_text);
	free(conn->certificate_text);
	free(conn);
}

/* The end of a turn in which something was put off. */
static void
settle(void *arg)
{
	struct conn *conn = arg;

	if (conn->state == STATE_CLOSED) {
		destroy(conn);
		return;
	}
	if (conn->state == STATE_FINISHING) {
		finish(conn);
		return;
	}
	take_due_input(conn);
	if (conn->state < STATE_FINISHING && !conn->write_failed)
		send_due_output(conn);
	if (is_live(conn) && conn->tls_due && conn->plain_left == 0) {
		conn->tls_due = false;
		conn->state = STATE_HANDSHAKE;
		handshake(conn);
	}
	/* The end of file is input, too, behind what was kept: conn_resume() comes back here. */
	if (is_live(conn) && conn->at_eof && !conn->paused)
		fail(conn, CONN_EOF, conn->end_text);
	if (conn->state < STATE_FINISHING && conn->has_failed)
		report(conn);
}

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
	conn->task = (struct loop_task){ .run = settle, .owner = conn };
	if (event_assign(&conn->read_event, base, fd, EV_READ | EV_PERSIST, on_readable, conn) ||
	    event_assign(&conn->write_event, base, fd, EV_WRITE, on_writable, conn))
		abort();
	idle_init(&conn->idle, loop, on_expired, conn);
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
	watch_writes(conn, true);
	return conn;
}

struct conn *
conn_adopt(struct loop *loop, int fd, const struct conn_events *events, void *owner)
{
	struct conn *conn = conn_new(loop, fd, events, owner);

	stream_set_no_delay(&conn->stream);
	conn->state = STATE_OPEN;
	watch_reads(conn, true);
	return conn;
}

void
conn_set_timeout(struct conn *conn, unsigned seconds)
{
	if (is_live(conn))
		idle_set(&conn->idle, seconds);
}

void
conn_write(struct conn *conn, const void *octets, size_t len)
{
	if (!is_live(conn) || len == 0)
		return;
	buf_append(&conn->out, octets, len);
	if (conn->out.len > WRITE_AT_ONCE && !conn->writes)
		flush(conn);
	if (conn->out.len >= CONN_DRAINED)
		conn->was_full = true;
	if (!conn->writes)
		defer(conn);
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
	defer(conn);
}

bool
conn_start_tls(struct conn *conn, struct tls_context *tls, const char *server_name,
    bool more_input, struct error *err)
{
	if (!is_live(conn) || conn->state != STATE_OPEN || conn->tls_due ||
	    conn->stream.ssl != NULL)
		return error_set(err, ERROR_TLS, "TLS: cannot start on this connection");
	if (more_input || (!conn->in_callback && conn->in.len > 0))
		return error_set(err, ERROR_TLS, "TLS: the peer sent octets before the handshake");
	if (!stream_start_tls(&conn->stream, tls, server_name, err))
		return false;
	conn->tls_due = true;
	conn->plain_left = conn->out.len;
	watch_reads(conn, false);
	defer(conn);
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
	watch_reads(conn, false);
	if (conn->idle.timeout == 0)
		idle_set(&conn->idle, FINISH_SECONDS);
	flush(conn);			/* now: loop_at_end() may end those that wait */
	conn->orphan = (struct loop_end){ .run = orphan_ended, .owner = conn };
	loop_at_end(conn->loop, &conn->orphan);
	defer(conn);
}

void
conn_close(struct conn *conn)
{
	if (conn->state == STATE_CLOSED)
		return;
	if (conn->state == STATE_FINISHING && conn->orphan.run != NULL)
		loop_end_cancel(conn->loop, &conn->orphan);
	conn->state = STATE_CLOSED;
	unwatch(conn);
	stream_close(&conn->stream);
	defer(conn);
}
