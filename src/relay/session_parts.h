/* session_parts.h - what the parts of a session share; nobody else includes it. */
#ifndef HERALD_RELAY_SESSION_PARTS_H
#define HERALD_RELAY_SESSION_PARTS_H

#include "base/buf.h"
#include "mail/status.h"
#include "net/loop.h"
#include "proto/smtp_client.h"
#include "relay/budget.h"
#include "relay/route.h"
#include "relay/session.h"
#include "relay/upload.h"

#include <event2/event_struct.h>

struct relay_config;
struct transaction;

/* The last mail waits for its reply while the next one is under way. */
#define SESSION_MAILS_MAX	2

struct session {
	struct destination *destination;
	const struct relay_config *config;
	struct loop *loop;
	enum session_state state;

	struct route *route;
	struct next_hop hop;		/* where we are connected, or tried last */
	char relay[ROUTE_TEXT_MAX];	/* the same as text; "none" before */
	char tls[40];			/* conn_tls_text() of the last connection */
	bool in_clear;			/* opportunistic TLS has failed here */
	bool in_handshake;
	int64_t deadline_us;		/* of the set-up at this place; clock_monotonic_us() */
	struct status fault;		/* of the last place tried; text empty: none yet */
	const char *step;		/* of the dialogue, when it was last looked at */
	struct conn *conn;		/* NULL between places */
	struct smtp_client *client;	/* NULL before the connection is up */
	struct smtp_client_params params;
	struct buf secret;		/* a copy: that of the relay may change */
	bool was_ready;			/* set-up is over */
	bool waits;			/* the client waits for a mail or for QUIT */
	bool finished;			/* the client has said its last word */
	bool retired;			/* takes no job any more */

	struct transaction *open[SESSION_MAILS_MAX];	/* the older first */
	size_t open_count;
	unsigned mails;			/* over this connection, with those at hand */
	int64_t started_us;		/* clock_monotonic_us() */

	struct upload upload;		/* of the mail data, while it is not all written */
	struct loop_task more;		/* the next blocks, in the next turn */

	struct budget_idle idle;
	struct event timer;
	unsigned progress;		/* of the client, when the timer was set */
	enum session_state timed_state;
	struct loop_task end;		/* frees the session when the turn ends */
};

extern const struct smtp_client_events session_client_events;

/* session.c */
void session_set_state(struct session *session, enum session_state state);
void session_set_timer(struct session *session, unsigned seconds);
/* After each call of the engine. */
void session_settle(struct session *session);
void session_send_more(struct session *session);	/* of the mail data */
void session_log(const struct session *session, char direction, const char *octets, size_t len);
/* Nothing happens to the session from here on; who called us may still look at it. */
void session_end(struct session *session);

/* session_setup.c: from nothing to a session that is ready. */
void session_next_place(struct session *session);
/* No session here: the next place is tried. */
void session_place_failed(struct session *session, const struct status *status);
/* No session at all. */
void session_setup_failed(struct session *session);
bool session_start_tls(struct session *session);	/* false: the engine was told */
/* Seconds of the set-up that are left for this step. */
unsigned session_setup_timeout(const struct session *session);
void session_on_timer(int fd, short what, void *session);

#endif
