/* job.c - the recipients of one message that go to one place in one transaction. */
#include "relay/job.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

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

void
job_settle(struct job *job, size_t index, const struct status *status,
    const struct job_attempt *attempt, struct job_counts *counts)
{
	static const enum maillog_fate fates[] = { [QUEUE_SENT] = MAILLOG_SENT,
	    [QUEUE_DEFERRED] = MAILLOG_DEFERRED, [QUEUE_BOUNCED] = MAILLOG_BOUNCED,
	    [QUEUE_EXPIRED] = MAILLOG_EXPIRED };
	/* Copies: the queue may free the batch with its last result. */
	struct envelope envelope = *job->batch;
	const struct recipient recipient = job->batch->recipients[index];
	struct maillog_attempt event = { .envelope = &envelope, .recipient = &recipient,
	    .relay = attempt->relay, .conn_use = attempt->conn_use, .tls = attempt->tls,
	    .status = status };
	int64_t arrived = envelope.arrived_us != 0 ? envelope.arrived_us :
	    envelope.arrived * 1000000;
	int64_t waited = clock_now_us() - arrived - attempt->setup_us - attempt->transmission_us;
	char place[sizeof(recipient.relay)];
	enum queue_fate fate;

	assert(job->left > 0);
	envelope.recipients = NULL;
	envelope.recipient_count = 0;
	event.delays[1] = waited > 0 ? waited : 0;	/* the clock may have been set back */
	event.delays[2] = attempt->setup_us;
	event.delays[3] = attempt->transmission_us;
	job->left--;
	snprintf(place, sizeof(place), "%s%s%s", attempt->name != NULL ? attempt->name : "",
	    attempt->name != NULL ? "/" : "", attempt->relay);
	fate = queue_result(job->queue, job->batch, index, status, place);
	event.fate = fates[fate];
	count_fate(counts, fate);
	maillog_attempt(&event);
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
job_fail(struct job *job, const struct status *status, const struct job_attempt *attempt,
    struct job_counts *counts)
{
	for (size_t i = 0; i < job->count; i++)
		job_settle(job, job->first + i, status, attempt, counts);
	job_free(job);
}

bool
job_is_eight_bit(const struct job *job)
{
	unsigned char *block = mem_alloc(CONTENT_MEMORY_MAX), found = 0;
	uint64_t offset = 0;
	struct error err;
	size_t got;

	/* What cannot be read is found out when it is sent. */
	while (found < 0x80 && content_read(job->content, offset, block, CONTENT_MEMORY_MAX, &got,
	    &err) && got > 0) {
		for (size_t i = 0; i < got; i++)
			found |= block[i];
		offset += got;
	}
	free(block);
	return found >= 0x80;
}

void
job_return(struct job *job)
{
	for (size_t i = 0; i < job->count; i++)
		queue_return(job->queue, job->batch, job->first + i);
	job_free(job);
}
