/* conn_turn.c - what moves over a connection in a turn of the loop, and whom that is told. */
#include "net/conn_parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "base/mem.h"
#include "base/memory_budget.h"
#include "base/text.h"
#include "net/linger.h"
#include "net/tls.h"

/* Octets that were measured: an idle SMTP session, with what its owner keeps for it; and what
 * OpenSSL adds for one that is idle, too. */
#define COST_PLAIN	3584
#define COST_TLS	(24 * 1024)

void
turn_charge(struct conn *conn)
{
	uint64_t cost = COST_PLAIN + conn->in.capacity + conn->out.capacity;

	if (conn->stream.ssl != NULL)
		cost += COST_TLS;
	memory_budget_charge(loop_memory(conn->loop), &conn->charged, cost);
}

void
turn_defer(struct conn *conn)
{
	loop_defer(conn->loop, &conn->task);
}

bool
turn_is_live(const struct conn *conn)
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

void
turn_watch_reads(struct conn *conn, bool wanted)
{
	watch(&conn->read_event, &conn->reads, wanted);
}

void
turn_watch_writes(struct conn *conn, bool wanted)
{
	watch(&conn->write_event, &conn->writes, wanted);
}

void
turn_unwatch(struct conn *conn)
{
	turn_watch_reads(conn, false);
	turn_watch_writes(conn, false);
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
	turn_unwatch(conn);
	turn_defer(conn);
}

void
turn_on_expired(void *owner)
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
	turn_charge(conn);
	if (conn->in.len == 0)
		return;
	if (conn->tls_due)
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
		turn_watch_reads(conn, false);
		turn_defer(conn);
	} else if (outcome == STREAM_ENDED) {
		fail(conn, fault.end, fault.text);
	} else if (outcome == STREAM_WANT_WRITE) {
		turn_watch_writes(conn, true);
	} else if (outcome == STREAM_DONE && stream_has_pending(&conn->stream)) {
		conn->read_due = true;
		turn_defer(conn);
	}
	if (len > 0) {
		idle_progress(&conn->idle);
		offer(conn, octets, len);
	}
}

/* Sends what may be sent now. */
void
turn_flush(struct conn *conn)
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
	turn_charge(conn);
	if (outcome == STREAM_ENDED) {
		conn->write_failed = true;
		fail(conn, fault.end, fault.text);
		return;
	}
	turn_watch_writes(conn, outcome == STREAM_WANT_WRITE);
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
	turn_watch_writes(conn, outcome == STREAM_WANT_WRITE);
	turn_watch_reads(conn, outcome != STREAM_WANT_WRITE);
	if (outcome != STREAM_DONE)
		return;
	idle_progress(&conn->idle);
	snprintf(conn->tls_text, sizeof(conn->tls_text), "%s/%s", conn->stream.version,
	    tls_verifies(conn->stream.tls) ? "verified" : "encrypted");
	conn->state = STATE_OPEN;
	conn->read_due = true;		/* the peer's first octets may have come along */
	turn_defer(conn);
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
	turn_watch_writes(conn, false);
	turn_watch_reads(conn, true);
	turn_defer(conn);
	if (conn->events->on_open != NULL)
		conn->events->on_open(conn->owner);
}

/* Once our words are sent, the rest of the end is not ours. */
static void
finish(struct conn *conn)
{
	turn_flush(conn);
	if (conn->out.len > 0 && !conn->has_failed)
		return;
	if (!conn->has_failed) {
		turn_unwatch(conn);
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

void
turn_on_readable(int fd, short what, void *arg)
{
	struct conn *conn = arg;

	(void)fd;
	(void)what;
	if (conn->state == STATE_HANDSHAKE)
		handshake(conn);
	else if (conn->paused || conn->in.len >= CONN_INPUT_MAX)
		turn_watch_reads(conn, false);	/* a short pause costs no system call */
	else
		take_input(conn);
	if (conn->stream.ssl != NULL && conn->out.len > 0)
		turn_defer(conn);	/* TLS may have waited to read before it could write */
}

void
turn_on_writable(int fd, short what, void *arg)
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
		turn_defer(conn);
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
	if (!turn_is_live(conn) || conn->paused || conn->tls_due)
		return;
	if (conn->read_due && !conn->at_eof && conn->in.len < CONN_INPUT_MAX)
		take_input(conn);
	if (turn_is_live(conn) && !conn->tls_due && !conn->at_eof)
		turn_watch_reads(conn, true);
}

static void
send_due_output(struct conn *conn)
{
	turn_flush(conn);
	if (!conn->has_failed && conn->was_full && conn->out.len < CONN_DRAINED) {
		conn->was_full = false;
		if (conn->events->on_drained != NULL)
			conn->events->on_drained(conn->owner);
	}
}

static void
destroy(struct conn *conn)
{
	memory_budget_charge(loop_memory(conn->loop), &conn->charged, 0);
	buf_wipe(&conn->in);
	buf_wipe(&conn->out);
	free(conn->end_text);
	free(conn->certificate_text);
	free(conn);
}

/* The end of a turn in which something was put off. */
void
turn_settle(void *arg)
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
	if (turn_is_live(conn) && conn->tls_due && conn->plain_left == 0) {
		conn->tls_due = false;
		conn->state = STATE_HANDSHAKE;
		handshake(conn);
	}
	/* The end of file is input, too, behind what was kept: conn_resume() comes back here. */
	if (turn_is_live(conn) && conn->at_eof && !conn->paused)
		fail(conn, CONN_EOF, conn->end_text);
	if (conn->state < STATE_FINISHING && conn->has_failed)
		report(conn);
}
