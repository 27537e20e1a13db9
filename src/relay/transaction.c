/* transaction.c - one mail transaction of a session: what becomes of each recipient of a job. */
#include "relay/transaction.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/smtp_client.h"
#include "relay/destination.h"

#include <stdlib.h>
#include <string.h>

/* What cannot go with the others of its mail that are to be tried again: seconds. */
#define APART_WAIT	5

struct transaction *
transaction_new(struct job *job, const struct job_attempt *attempt)
{
	struct transaction *transaction = mem_zalloc(sizeof(*transaction));

	transaction->job = job;
	transaction->attempt = *attempt;
	if (attempt->tls != NULL)
		text_copy(transaction->tls, sizeof(transaction->tls), attempt->tls);
	transaction->attempt.tls = transaction->tls;
	transaction->started_us = clock_monotonic_us();
	return transaction;
}

/* Whether nothing was said yet about this mail itself. */
static bool
is_no_attempt(const struct transaction *transaction, const struct smtp_client *client,
    const struct status *status)
{
	if (status_class(status) != STATUS_TRANSIENT)
		return false;
	/* The session is refused, or gone before the mail: the relay's fault, not this mail's. */
	if (smtp_client_session_refused(client) || !smtp_client_mail_was_sent(client))
		return true;
	/* Peers close idle connections, and some take only so many mails over one.  Each session
	 * has dealt with a mail before, so this comes to an end. */
	return transaction->attempt.conn_use > 1 && smtp_client_is_untouched(client);
}

/* RFC 5321 3.8: 421, the session is to end.  RFC 3463: 4.7.x speaks of policy, which is how
 * peers say "too many, too fast"; 450 to MAIL or DATA is about no mailbox (RFC 5321 4.2.3). */
static bool
asks_for_less(const struct status *status, const char *step)
{
	if (status->reply_code == 421)
		return true;
	if (status->reply_code / 100 != 4)
		return false;
	if (status->enhanced.class != 0)
		return status->enhanced.subject == 7;
	return status->reply_code == 450 && strcmp(step, "RCPT TO") != 0;
}

static void
mind_the_tempo(const struct smtp_client *client, const struct status *status,
    struct destination *destination)
{
	if (status_class(status) != STATUS_TRANSIENT)
		return;
	if (asks_for_less(status, smtp_client_reply_step(client)))
		destination_slow_down(destination, true);
	else if (status->reply_code == 0 && smtp_client_mail_was_sent(client))
		destination_slow_down(destination, false);
}

void
transaction_settle(struct transaction *transaction, const struct smtp_client *client, size_t index,
    const struct status *status, struct destination *destination)
{
	struct job *job = transaction->job;
	bool kept = is_no_attempt(transaction, client, status);

	transaction->attempt.transmission_us = clock_monotonic_us() - transaction->started_us;
	transaction->attempt.step = smtp_client_reply_step(client);
	transaction->delivered |= status_class(status) == STATUS_SUCCESS;
	transaction->used |= !kept;
	if (status->reply_code != 0)
		destination_answered(destination);
	if (!kept)
		mind_the_tempo(client, status, destination);
	if ((kept || smtp_client_wants_fewer(client, status)) &&
	    job_move(job, index, &transaction->rest))
		transaction->rest->refused |= smtp_client_session_refused(client);
	else if (kept)
		job_put_off(job, index, clock_now() + APART_WAIT);
	else
		job_settle(job, index, status, &transaction->attempt,
		    destination_counts(destination));
	if (job->left > 0)
		return;
	transaction->job = NULL;
	job_free(job);
}

void
transaction_free(struct transaction *transaction, struct destination *destination)
{
	/* Of a mail that was taken in part each round ends one recipient at least. */
	if (transaction->rest != NULL)
		destination_put_back(destination, transaction->rest, !transaction->used);
	job_free(transaction->job);
	free(transaction);
}

void
transaction_drop(struct transaction *transaction)
{
	if (transaction == NULL)
		return;
	job_free(transaction->job);
	job_free(transaction->rest);
	free(transaction);
}
