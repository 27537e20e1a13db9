/* transaction.h - one mail transaction of a session: what becomes of each recipient of a job. */
#ifndef HERALD_RELAY_TRANSACTION_H
#define HERALD_RELAY_TRANSACTION_H

#include "mail/status.h"
#include "relay/job.h"

#include <stdbool.h>

struct destination;
struct smtp_client;

/* A value; all zero: none was open yet. */
struct transaction {
	struct job *job;		/* recipients not all ended; NULL: it is over */
	struct job *rest;		/* those of it that are for the next transaction */
	struct status rest_status;	/* why */
	struct job_attempt attempt;	/* for the log */
	int64_t started_us;		/* clock_monotonic_us() */
	bool delivered;			/* to one recipient at least */
};

/* Consumes the job; `attempt` without its transmission_us. */
void transaction_begin(struct transaction *transaction, struct job *job,
    const struct job_attempt *attempt);

/* For on_recipient() of the client: ends the recipient, or keeps it for
 * transaction_give_back() where another try can be made at once (`may_retry`). */
void transaction_settle(struct transaction *transaction, const struct smtp_client *client,
    size_t index, const struct status *status, bool may_retry, struct job_counts *counts);

/* Once the transaction or the session is over: what was kept is the next of the destination,
 * or, where that takes no more mail, is ended after all. */
void transaction_give_back(struct transaction *transaction, struct destination *destination,
    bool takes_mail);

void transaction_drop(struct transaction *transaction);	/* without a word to the queue */

#endif
