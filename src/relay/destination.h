/* destination.h - what limits count by: one relay, the jobs that wait for it, its sessions. */
#ifndef HERALD_RELAY_DESTINATION_H
#define HERALD_RELAY_DESTINATION_H

#include "base/buf.h"
#include "mail/status.h"
#include "relay/job.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;
struct destination;
struct loop;
struct relay_config;
struct resolver;
struct session;
struct tls_context;

/* What is prepared for it, all that can fail.  Consumed by destination_new(). */
struct destination_params {
	const struct config *config;	/* a reference */
	const struct relay_config *relay;	/* of that config */
	struct tls_context *tls;	/* a reference, or NULL without TLS */
	struct buf secret;		/* ended by a NUL that is not counted; empty without AUTH */
};

/* Outlives the destination: it stays when a reload makes a new one for the same relay. */
struct destination_record {
	char *name;			/* owned */
	struct job_counts counts;
	struct status last_fault;	/* text empty: none so far */
	int64_t last_fault_at;		/* Unix seconds */
};

void destination_params_free(struct destination_params *params);

struct destination *destination_new(struct loop *loop, struct resolver *resolver,
    struct destination_params *params, struct destination_record *record);
/* Sessions are cut off; jobs are let go without a word to the queue. */
void destination_free(struct destination *destination);	/* NULL is allowed */

void destination_add(struct destination *destination, struct job *job);	/* consumes the job */

/* A reload: what waits goes to `heir`, sessions end with the mail they are at. */
void destination_retire(struct destination *destination, struct destination *heir);
/* A reload that changed nothing here: keeps all, with fresh certificates for new sessions. */
void destination_refresh(struct destination *destination, struct destination_params *params);
/* At stop: what waits goes back to the queue.  True once no transaction is open. */
bool destination_drain(struct destination *destination);
bool destination_is_empty(const struct destination *destination);	/* no session left */

const struct destination_params *destination_params(const struct destination *destination);

struct destination_state {
	size_t waiting, sessions, busy, idle;
	unsigned suspended;		/* seconds that are left */
};
struct destination_state destination_state(const struct destination *destination);

/* --- for session.c --- */

struct loop *destination_loop(const struct destination *destination);
struct resolver *destination_resolver(const struct destination *destination);
struct job_counts *destination_counts(struct destination *destination);
struct job *destination_take(struct destination *destination);	/* the next job, or NULL */
/* A session that was used before ended under it: it is the next again. */
void destination_put_back(struct destination *destination, struct job *job);
/* A session can take mail: whatever was wrong with the relay is over, unless sessions were
 * refused that were ready, too: then only a delivery proves it. */
void destination_ready(struct destination *destination);
void destination_delivered(struct destination *destination);
/* No address of the relay gave a session, or it gave one that takes no mail.  Where no other
 * session works either, all jobs that wait get this transient status, so that one attempt
 * serves them all; the next one waits for a while, and longer where the relay did not like
 * our account. */
struct destination_fault {
	const struct status *status;
	const char *relay;		/* the place tried last */
	int64_t setup_us;
	bool auth_refused;
	bool was_ready;			/* the session was, and is refused all the same */
};
void destination_failed(struct destination *destination, struct session *session,
    const struct destination_fault *fault);
void destination_forget(struct destination *destination, struct session *session);

#endif
