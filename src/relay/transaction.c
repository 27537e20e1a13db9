/* transaction.c - one mail transaction of a session: what becomes of each recipient of a job. */
#include "relay/transaction.h"

#include "base/clock.h"
#include "proto/smtp_client.h"
#include "relay/destination.h"

void
transaction_begin(struct transaction *transaction, struct job *job,
    const struct job_attempt *attempt)
{
	*transaction = (struct transaction){ .job = job, .attempt = *attempt,
	    .started_us = clock_monotonic_us() };
}

void
transaction_settle(struct transaction *transaction, const struct smtp_client *client, size_t index,
    const struct status *status, bool may_retry, struct job_counts *counts)
{
	struct job *job = transaction->job;

	/* Peers close idle connections, and some take only so many mails over one: no fault of
	 * this mail.  Each session has dealt with a mail before, so this comes to an end. */
	if (may_retry && transaction->attempt.conn_use > 1 && smtp_client_is_untouched(client))
		return;
	transaction->attempt.transmission_us = clock_monotonic_us() - transaction->started_us;
	transaction->delivered |= status_class(status) == STATUS_SUCCESS;
	if (smtp_client_wants_fewer(client, status) && job_move(job, index, &transaction->rest))
		transaction->rest_status = *status;
	else
		job_settle(job, index, status, &transaction->attempt, counts);
	if (job->left > 0)
		return;
	transaction->job = NULL;
	job_free(job);
}

void
transaction_give_back(struct transaction *transaction, struct destination *destination,
    bool takes_mail)
{
	struct job *job = transaction->job, *rest = transaction->rest;

	transaction->job = transaction->rest = NULL;
	if (job != NULL)
		destination_put_back(destination, job);
	if (rest == NULL)
		return;
	/* Each round has ended one recipient at least. */
	if (takes_mail)
		destination_put_back(destination, rest);
	else
		job_fail(rest, &transaction->rest_status, &transaction->attempt,
		    destination_counts(destination));
}

void
transaction_drop(struct transaction *transaction)
{
	job_free(transaction->job);
	job_free(transaction->rest);
	transaction->job = transaction->rest = NULL;
}
