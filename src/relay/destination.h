/* destination.h - what limits count by: the hosts of a relay, or the MX of one domain. */
#ifndef HERALD_RELAY_DESTINATION_H
#define HERALD_RELAY_DESTINATION_H

#include "mail/status.h"
#include "relay/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct destination;
struct json_t;
struct next_hop;
struct relay;
struct relay_params;
struct route_memory;
struct session;

/* domain: of the recipients, for MX; NULL: the hosts of the relay. */
struct destination *destination_new(struct relay *relay, const char *domain);
/* Sessions are cut off; jobs are let go without a word to the queue. */
void destination_free(struct destination *destination);	/* NULL is allowed */

/* Consumes the job.  What cannot be sent soon goes back to the queue when the turn ends. */
void destination_add(struct destination *destination, struct job *job);
void destination_schedule(struct destination *destination);	/* something has changed */
void destination_take_waiting(struct destination *destination, struct job_list *out);
void destination_retire(struct destination *destination);	/* no new session, no new mail */
bool destination_drain(struct destination *destination);	/* as relay_drain() */
void destination_flush(struct destination *destination);
bool destination_has_sessions(const struct destination *destination);
/* Nothing waits, nothing is open; and, unless `place_is_wanted`, nothing is known of it that
 * matters. */
bool destination_is_idle(const struct destination *destination, bool place_is_wanted);
const char *destination_domain(const struct destination *destination);	/* "" for hosts */

struct destination_state {
	size_t waiting, sessions, busy, idle;
	unsigned window;
	unsigned suspended;		/* seconds that are left */
	int64_t throttle_us;		/* pause between two mails */
};
struct destination_state destination_state(const struct destination *destination);
struct json_t *destination_json(const struct destination *destination);	/* a new reference */

/* --- for session.c --- */

struct relay *destination_relay(const struct destination *destination);
struct route_memory *destination_memory(struct destination *destination);
struct job_counts *destination_counts(struct destination *destination);
/* The next job, or NULL.  behind: of a session whose last mail has no answer yet; it gets
 * one only where no other session is free for it. */
struct job *destination_take(struct destination *destination, bool behind);
/* Not ended after all: it is the next again.  unused: it does not count in the rates. */
void destination_put_back(struct destination *destination, struct job *job, bool unused);
/* A session can take mail: whatever was wrong is over, unless sessions were refused that
 * were ready, too: then only a delivery proves it. */
void destination_ready(struct destination *destination);
void destination_delivered(struct destination *destination);
void destination_answered(struct destination *destination);	/* whatever it said */
/* The peer asks for less: 421, 450 4.7.0 and their like; or a session was lost in a mail. */
void destination_slow_down(struct destination *destination, bool throttle);

/* No address gave a session, or it gave one that takes no mail.  Of a relay of ours: what
 * waits is postponed, and not charged.  Of a domain's MX: it is the attempt of what waits. */
struct destination_fault {
	const struct status *status;
	const char *relay;		/* the place tried last; "none" */
	const char *tls;		/* conn_tls_text() there, or "" */
	const char *step;		/* what was answered, a constant text; "" */
	int64_t setup_us;
	bool auth_refused;
	bool was_ready;			/* the session was, and is refused all the same */
};
void destination_failed(struct destination *destination, struct session *session,
    const struct destination_fault *fault);
void destination_forget(struct destination *destination, struct session *session);

/* Its hosts offer CHUNKING and do not know BDAT: no more of it, until a reload. */
void destination_forgo_bdat(struct destination *destination);
bool destination_takes_bdat(const struct destination *destination);

/* Under opportunistic TLS: places whose handshake failed get mail in clear for a while. */
void destination_set_clear(struct destination *destination, const struct next_hop *hop);
bool destination_is_clear(const struct destination *destination, const struct next_hop *hop);

#endif
