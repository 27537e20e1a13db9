/* conn_parts.h - what the two files of a connection share; nobody else includes it. */
#ifndef HERALD_NET_CONN_PARTS_H
#define HERALD_NET_CONN_PARTS_H

#include <event2/event_struct.h>

#include <stdint.h>

#include "base/buf.h"
#include "net/conn.h"
#include "net/idle.h"
#include "net/loop.h"
#include "net/stream.h"

enum conn_state { STATE_CONNECTING, STATE_HANDSHAKE, STATE_OPEN, STATE_FINISHING, STATE_CLOSED };

struct conn {
	struct loop *loop;
	const struct conn_events *events;
	void *owner;
	enum conn_state state;
	struct stream stream;
	struct buf in;			/* offered and not consumed */
	struct buf out;
	uint64_t charged;		/* octets, as counted in the loop's memory */
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
	struct loop_task task;		/* turn_settle() */
	struct loop_end orphan;		/* while finishing, without an owner */
};

/* conn_turn.c: what moves in a turn of the loop. */
void turn_settle(void *conn);			/* for conn->task */
void turn_on_readable(int fd, short what, void *conn);
void turn_on_writable(int fd, short what, void *conn);
void turn_on_expired(void *conn);
void turn_defer(struct conn *conn);		/* turn_settle() at the end of this turn */
bool turn_is_live(const struct conn *conn);	/* the owner may be called, octets may move */
void turn_watch_reads(struct conn *conn, bool wanted);
void turn_watch_writes(struct conn *conn, bool wanted);
void turn_unwatch(struct conn *conn);
void turn_flush(struct conn *conn);
/* Counts what the connection holds: after what may have made its buffers longer or shorter. */
void turn_charge(struct conn *conn);

#endif
