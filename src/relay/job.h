/* job.h - the recipients of one message that go to one place in one transaction. */
#ifndef HERALD_RELAY_JOB_H
#define HERALD_RELAY_JOB_H

#include "mail/envelope.h"

#include <stdbool.h>
#include <sys/queue.h>

struct content;
struct queue;

#define JOB_PLACE	(8 * 1024)	/* octets: about a small mail and its envelope */

/* RFC 5321 4.5.3.1.8: what every server takes; a batch of more becomes several jobs. */
#define JOB_RECIPIENTS_MAX	100

/* What a relay has done since the start, in recipients. */
struct job_counts { uint64_t delivered, deferred, failed; };

/* Each recipient is ended by exactly one job_settle() or job_return(); then the envelope is
 * the queue's again and must not be looked at. */
struct job {
	struct queue *queue;
	struct envelope *batch;		/* borrowed from the queue while `left` is not 0 */
	struct content *content;	/* a reference of our own */
	size_t first, count;		/* of the recipients of the batch */
	size_t left;			/* not yet ended */
	size_t places;			/* what holding it costs, in JOB_PLACE octets; 1 at least */
	int64_t waiting_since;		/* clock_monotonic_us() */
	bool refused;			/* a session ended over it: others go first */
	TAILQ_ENTRY(job) entry;
};
TAILQ_HEAD(job_list, job);

/* How it was tried: for the queue and for the log. */
struct job_attempt {
	const char *name;		/* of the relay block; NULL: there is none */
	const char *relay;		/* "smtp.example.net[192.0.2.7]:465", or "none" */
	const char *tls;		/* conn_tls_text() or NULL */
	const char *step;		/* what was answered: "RCPT TO"; NULL: no session was had */
	bool peer_does_dsn;
	unsigned conn_use;
	int64_t setup_us, transmission_us;	/* as far as this job waited for them */
};

struct job *job_new(struct queue *queue, struct envelope *batch, struct content *content,
    size_t first, size_t count);
void job_free(struct job *job);		/* NULL is allowed; does not end its recipients */

/* index: of the batch.  A charged attempt: tells the queue, then the log. */
void job_settle(struct job *job, size_t index, const struct status *status,
    const struct job_attempt *attempt, struct job_counts *counts);
/* Moves a recipient to *rest, a job of its own for the same message: made where it is NULL,
 * grown where the recipient is the next of it; else false, and nothing is moved. */
bool job_move(struct job *job, size_t index, struct job **rest);
/* Not charged: it waits in the store until `when` (Unix seconds), without a word. */
void job_put_off(struct job *job, size_t index, int64_t when);
/* The last recipients, from `index` on, become a job of their own.  Of one that waits. */
struct job *job_split(struct job *job, size_t index);
/* All of them, with one status; frees the job. */
void job_fail(struct job *job, const struct status *status, const struct job_attempt *attempt,
    struct job_counts *counts);
/* Not charged: all wait in the store until `when` (Unix seconds); frees the job.  status: why;
 * a line in the log for each recipient of whom something else was known.  NULL: for nothing
 * that is worth telling; `attempt` is not looked at then. */
void job_postpone(struct job *job, const struct status *status, const struct job_attempt *attempt,
    int64_t when, struct job_counts *counts);
/* Whether octets above 127 are in the mail data, or in its header section alone. */
bool job_is_eight_bit(const struct job *job);
bool job_has_utf8_header(const struct job *job);
/* At stop: all go back as they came; frees the job. */
void job_return(struct job *job);

#endif
