/* transaction.h - one mail transaction of a session: what becomes of each recipient of a job. */
#ifndef HERALD_RELAY_TRANSACTION_H
#define HERALD_RELAY_TRANSACTION_H

#include "mail/status.h"
#include "relay/job.h"

#include <stdbool.h>

struct destination;
struct smtp_client;

/* Freed by transaction_free(). */
struct transaction {
	struct job *job;		/* recipients not all ended; NULL: it is over */
	struct job *rest;		/* those of it that are for another transaction */
	struct job_attempt attempt;	/* for the queue and the log; its texts are below */
	char tls[40];
	int64_t started_us;		/* clock_monotonic_us() */
	bool delivered;			/* to one recipient at least */
	bool used;			/* something was said about the mail itself */
};

/* Consumes the job; `attempt` without its transmission_us; its relay and name outlive it. */
struct transaction *transaction_new(struct job *job, const struct job_attempt *attempt);

/* For on_recipient() of the client: ends the recipient, or keeps it for another try, where
 * this one was none. */
void transaction_settle(struct transaction *transaction, const struct smtp_client *client,
    size_t index, const struct status *status, struct destination *destination);

/* Once it is over: what was kept is the next of the destination. */
void transaction_free(struct transaction *transaction, struct destination *destination);
void transaction_drop(struct transaction *transaction);	/* without a word to the queue */

#endif
