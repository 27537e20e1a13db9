/* job.c - the recipients of one message that go to one place in one transaction. */
#include "relay/job.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job *
job_new(struct queue *queue, struct envelope *batch, struct content *content, size_t first,
    size_t count)
{
	struct job *job = mem_zalloc(sizeof(*job));

	job->queue = queue;
	job->batch = batch;
	job->content = content_ref(content);
	job->first = first;
	job->count = job->left = count;
	job->places = 1 + (size_t)(content_cost(content) / JOB_PLACE);
	job->waiting_since = clock_monotonic_us();
	return job;
}

void
job_free(struct job *job)
{
	if (job == NULL)
		return;
	content_unref(job->content);
	free(job);
}

static void
count_fate(struct job_counts *counts, enum queue_fate fate)
{
	switch (fate) {
	case QUEUE_SENT:
		counts->delivered++;
		break;
	case QUEUE_DEFERRED:
		counts->deferred++;
		break;
	case QUEUE_BOUNCED:
	case QUEUE_EXPIRED:
		counts->failed++;
		break;
	}
}

static struct attempt
make_attempt(const struct status *status, const struct job_attempt *how, bool charged)
{
	struct attempt attempt = { .at = clock_now(), .charged = charged,
	    .peer_does_dsn = how->peer_does_dsn, .status = *status };

	snprintf(attempt.relay, sizeof(attempt.relay), "%s%s%s",
	    how->name != NULL ? how->name : "", how->name != NULL ? "/" : "", how->relay);
	if (how->tls != NULL && strcmp(how->tls, "none") != 0)
		text_copy(attempt.tls, sizeof(attempt.tls), how->tls);
	if (how->step != NULL)
		text_copy(attempt.step, sizeof(attempt.step), how->step);
	return attempt;
}

/* Of mail that came fresh from a client the time until it was here is known apart; what was
 * in the store meanwhile has spent all of it in the queue. */
static void
split_delays(int64_t delays[4], const struct envelope *envelope, const struct job_attempt *how,
    int64_t waited)
{
	int64_t arrived = envelope->arrived_us != 0 ? envelope->arrived_us :
	    envelope->arrived * 1000000;
	int64_t total = clock_now_us() - arrived;

	delays[0] = envelope->arrived_us != 0 && total > waited ? total - waited : 0;
	delays[1] = total - delays[0] - how->setup_us - how->transmission_us;
	if (delays[1] < 0)
		delays[1] = 0;		/* the clock may have been set back */
	delays[2] = how->setup_us;
	delays[3] = how->transmission_us;
}

/* waited: in our hands; microseconds. */
static void
log_attempt(const struct envelope *envelope, const struct recipient *recipient,
    const struct status *status, const struct job_attempt *how, enum maillog_fate fate,
    int64_t waited)
{
	struct maillog_attempt event = { .envelope = envelope, .recipient = recipient,
	    .relay = how->relay, .conn_use = how->conn_use, .tls = how->tls, .status = status,
	    .fate = fate };

	split_delays(event.delays, envelope, how, waited);
	maillog_attempt(&event);
}

void
job_settle(struct job *job, size_t index, const struct status *status,
    const struct job_attempt *how, struct job_counts *counts)
{
	static const enum maillog_fate fates[] = { [QUEUE_SENT] = MAILLOG_SENT,
	    [QUEUE_DEFERRED] = MAILLOG_DEFERRED, [QUEUE_BOUNCED] = MAILLOG_BOUNCED,
	    [QUEUE_EXPIRED] = MAILLOG_EXPIRED };
	const struct attempt attempt = make_attempt(status, how, true);
	/* Copies: the queue may free the batch with its last result. */
	struct envelope envelope = *job->batch;
	const struct recipient recipient = job->batch->recipients[index];
	enum queue_fate fate;

	assert(job->left > 0);
	envelope.recipients = NULL;
	envelope.recipient_count = 0;
	job->left--;
	fate = queue_result(job->queue, job->batch, index, &attempt);
	count_fate(counts, fate);
	log_attempt(&envelope, &recipient, status, how, fates[fate],
	    clock_monotonic_us() - job->waiting_since);
}

static bool
is_known(const struct recipient *recipient, const struct status *status)
{
	return recipient->last_at != 0 && recipient->last.reply_code == status->reply_code &&
	    strcmp(recipient->last.text, status->text) == 0;
}

void
job_postpone(struct job *job, const struct status *status, const struct job_attempt *how,
    int64_t when, struct job_counts *counts)
{
	struct attempt attempt = { 0 };

	assert(job->left == job->count);
	if (status != NULL)
		attempt = make_attempt(status, how, false);
	for (size_t i = 0; i < job->count; i++) {
		const struct recipient *recipient = &job->batch->recipients[job->first + i];

		/* One line for one state of affairs, not for every round that finds it. */
		if (status != NULL && !is_known(recipient, status)) {
			log_attempt(job->batch, recipient, status, how, MAILLOG_DEFERRED,
			    clock_monotonic_us() - job->waiting_since);
			counts->deferred++;
		}
		queue_postpone(job->queue, job->batch, job->first + i,
		    status != NULL ? &attempt : NULL, when);
	}
	job_free(job);
}

bool
job_move(struct job *job, size_t index, struct job **rest)
{
	if (*rest == NULL) {
		*rest = job_new(job->queue, job->batch, job->content, index, 1);
		(*rest)->waiting_since = job->waiting_since;
	} else if ((*rest)->first + (*rest)->count == index) {
		(*rest)->count++;
		(*rest)->left++;
	} else {
		return false;
	}
	job->left--;
	return true;
}

void
job_put_off(struct job *job, size_t index, int64_t when)
{
	job->left--;
	queue_postpone(job->queue, job->batch, index, NULL, when);
}

struct job *
job_split(struct job *job, size_t index)
{
	struct job *rest;

	assert(job->left == job->count && index > job->first && index < job->first + job->count);
	rest = job_new(job->queue, job->batch, job->content, index,
	    job->first + job->count - index);
	rest->waiting_since = job->waiting_since;
	job->count = job->left = index - job->first;
	return rest;
}

void
job_fail(struct job *job, const struct status *status, const struct job_attempt *attempt,
    struct job_counts *counts)
{
	for (size_t i = 0; i < job->count; i++)
		job_settle(job, job->first + i, status, attempt, counts);
	job_free(job);
}

/* Octets above 127 before the end, or before the empty line that ends the header section.
 * What cannot be read is found out when it is sent. */
static bool
has_eight_bit(const struct content *content, bool header_only)
{
	unsigned char *block = mem_alloc(CONTENT_MEMORY_MAX), found = 0;
	static const char end[] = "\n\r\n";
	uint64_t offset = 0;
	size_t got, matched = 1;	/* the very first line may be the empty one */
	bool over = false;
	struct error err;

	while (!over && found < 0x80 &&
	    content_read(content, offset, block, CONTENT_MEMORY_MAX, &got, &err) && got > 0) {
		for (size_t i = 0; i < got && !over; i++) {
			found |= block[i];
			matched = block[i] == end[matched] ? matched + 1 : block[i] == end[0];
			over = header_only && matched == sizeof(end) - 1;
			matched %= sizeof(end) - 1;
		}
		offset += got;
	}
	free(block);
	return found >= 0x80;
}

bool
job_is_eight_bit(const struct job *job)
{
	return has_eight_bit(job->content, false);
}

bool
job_has_utf8_header(const struct job *job)
{
	return has_eight_bit(job->content, true);
}

void
job_return(struct job *job)
{
	for (size_t i = 0; i < job->count; i++)
		queue_return(job->queue, job->batch, job->first + i);
	job_free(job);
}
