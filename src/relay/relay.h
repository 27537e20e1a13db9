/* relay.h - one relay block at work: its secret, its limits, its destinations. */
#ifndef HERALD_RELAY_RELAY_H
#define HERALD_RELAY_RELAY_H

#include "mail/status.h"
#include "relay/job.h"
#include "relay/rate.h"
#include "relay/relay_params.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget;
struct json_t;
struct loop;
struct queue;
struct relay;
struct resolver;

/* What outlives a relay: it stays when a reload makes a new one of the same name. */
struct relay_record {
	char *name;			/* owned */
	struct job_counts counts;
	struct status last_fault;	/* text empty: none so far */
	int64_t last_fault_at;		/* Unix seconds */
	bool told;			/* that it is suspended: the line of its recovery is owed */
	bool paused;			/* by the administrator */
	bool chosen;			/* mail was rerouted there: it is in use without a route */
	struct rate rate;
};

/* What all relays share; borrowed. */
struct relay_house {
	struct loop *loop;
	struct queue *queue;
	struct resolver *resolver;
	struct budget *budget;
	/* What can take mail has changed: called at once, so it only makes a note. */
	void (*on_change)(void *owner);
	void *owner;
};

/* `params` are consumed, `house` and `record` borrowed. */
struct relay *relay_new(const struct relay_house *house, struct relay_params *params,
    struct relay_record *record);
/* Sessions are cut off; jobs are let go without a word to the queue. */
void relay_free(struct relay *relay);		/* NULL is allowed */

/* Consumes the job, whose recipients are all of `domain` where the relay goes by MX.  What
 * cannot be taken soon is given back to the queue, at the end of the turn. */
void relay_add(struct relay *relay, const char *domain, struct job *job);

/* A reload that changed nothing here: keeps all, with fresh certificates for new sessions. */
void relay_refresh(struct relay *relay, struct relay_params *params);
void relay_take_waiting(struct relay *relay, struct job_list *out);	/* gives all away */
void relay_retire(struct relay *relay);		/* sessions end with the mail they are at */
/* At stop: what waits goes back to the queue.  True once no transaction is open. */
bool relay_drain(struct relay *relay);
bool relay_is_empty(const struct relay *relay);		/* no session left */
void relay_flush(struct relay *relay);
void relay_pause(struct relay *relay, bool pause);

const struct relay_params *relay_params(const struct relay *relay);
/* 0: it can take mail; else how long it cannot, INT64_MAX for a paused one; microseconds. */
int64_t relay_wait(const struct relay *relay);
struct json_t *relay_json(const struct relay *relay);	/* a new reference */

/* --- for destination.c and session.c --- */

const struct relay_house *relay_house(const struct relay *relay);
struct relay_record *relay_record(const struct relay *relay);
/* Whether the rates let one more message go, which is counted then. */
bool relay_take_token(struct relay *relay);
void relay_return_token(struct relay *relay);	/* it did not go */
int64_t relay_rate_wait(const struct relay *relay);	/* microseconds; 0: one may go now */
/* How many may go now; SIZE_MAX without a limit. */
size_t relay_rate_room(const struct relay *relay);
int64_t relay_rate_gap(const struct relay *relay);	/* between two messages on the average */
/* AUTH was refused: reads the secret again.  True: it is another one now. */
bool relay_renew_secret(struct relay *relay);
/* The conffile's relay is at fault, not a recipient's domain. */
bool relay_is_ours(const struct relay *relay);

#endif
