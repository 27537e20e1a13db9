/* bounce.c - tells senders what became of their mail. */
#include "relay/bounce.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/config.h"
#include "mail/dsn.h"
#include "mail/dsn_digest.h"
#include "mail/maillog.h"
#include "net/loop.h"
#include "queue/content.h"
#include "queue/queue.h"
#include "relay/report.h"
#include "relay/storm.h"

/* SPEC 4: at most 60 an hour to a sender. */
static const struct storm_limits limits = { .reports = 60, .period = 3600, .senders = 1000 };

/* What was put off comes back from the queue in several claims: so long the digest waits for
 * the others.  As many as it may gather, the queue holds in hand at once. */
#define GATHER_SECONDS	5
#define GATHER_MAX	DSN_DIGEST_LISTED	/* messages: each is named */
/* Until a report that could not be written is tried again. */
#define UNWRITTEN_WAIT	600	/* seconds */

/* Messages that wait for the one report about them all. */
struct digest {
	struct address sender;
	struct envelope **batches;	/* the queue's, until it is told */
	struct content *content;	/* of the first, borrowed as the batch is */
	size_t count;
	LIST_ENTRY(digest) entry;
};
LIST_HEAD(digest_list, digest);

struct bounce {
	struct queue *queue;
	const struct config *config;	/* NULL before the first commit */
	struct storm *storm;
	struct digest_list digests;
	size_t gathered;		/* messages in all of them */
	struct event *timer;		/* pending while there are any */
	uint64_t reported, unwanted, parked, put_off;	/* messages since the start */
	uint64_t digest_count;
};

/* --- what is to be told --- */

/* RFC 3461 4.1: without NOTIFY failures and delays are told. */
static bool
wants_report(const struct recipient *recipient)
{
	static const unsigned bits[] = {
		[DSN_RELAYED] = NOTIFY_SUCCESS, [DSN_DELAYED] = NOTIFY_DELAY,
		[DSN_FAILED] = NOTIFY_FAILURE,
	};
	enum dsn_action action = dsn_action(recipient);

	if (recipient->notify == 0)
		return action != DSN_RELAYED;
	return (recipient->notify & bits[action]) != 0;
}

/* The recipients to tell about; NULL when there are none. */
static struct envelope *
wanted(const struct envelope *batch)
{
	struct envelope *copy = envelope_copy(batch);
	size_t count = 0;

	for (size_t i = 0; i < copy->recipient_count; i++)
		if (wants_report(&copy->recipients[i]))
			copy->recipients[count++] = copy->recipients[i];
	copy->recipient_count = count;
	if (count > 0)
		return copy;
	envelope_free(copy);
	return NULL;
}

static enum dsn_action
worst_of(const struct envelope *about)
{
	enum dsn_action worst = DSN_RELAYED;

	for (size_t i = 0; i < about->recipient_count; i++)
		if (dsn_action(&about->recipients[i]) > worst)
			worst = dsn_action(&about->recipients[i]);
	return worst;
}

/* --- one message --- */

static void
park(struct bounce *bounce, struct envelope *batch, const char *why)
{
	bounce->parked++;
	queue_park(bounce->queue, batch, why);
}

static void
log_report(const struct envelope *about, const struct envelope *report)
{
	switch (worst_of(about)) {
	case DSN_FAILED:
		maillog_report(about->queue_id, report->queue_id);
		break;
	case DSN_DELAYED:
		maillog_delay_report(about->queue_id, report->queue_id);
		break;
	case DSN_RELAYED:
		maillog_success_report(about->queue_id, report->queue_id);
		break;
	}
}

/* What is only a warning does not come back. */
static void
put_off(struct bounce *bounce, struct envelope *batch, const struct envelope *about, int64_t when)
{
	bool comes_back = false;

	for (size_t i = 0; i < about->recipient_count; i++)
		comes_back = comes_back || about->recipients[i].state == RECIPIENT_OWED;
	if (comes_back)
		storm_put_off(bounce->storm, &batch->reverse_path, when);
	bounce->put_off++;
	queue_report_later(bounce->queue, batch, when);
}

/* A disk that is full may have room again: no administrator need look after this. */
static void
put_off_unwritten(struct bounce *bounce, struct envelope *batch, const struct envelope *about,
    const struct error *why)
{
	log_write(LOG_LEVEL_WARNING, "bounce", "%s: the report is put off: %s", batch->queue_id,
	    why->text);
	put_off(bounce, batch, about, clock_now() + UNWRITTEN_WAIT);
}

static void
tell(struct bounce *bounce, struct envelope *batch, const struct envelope *about,
    struct content *content)
{
	struct report report;
	struct error err;

	if (!report_make(&report, bounce->queue, bounce->config, about, content, &err)) {
		put_off_unwritten(bounce, batch, about, &err);
		return;
	}
	bounce->reported++;
	storm_told(bounce->storm, &about->reverse_path, clock_now());
	log_report(about, report.envelope);
	queue_reported(bounce->queue, batch, report.envelope, report.content);
	content_unref(report.content);
}

/* RFC 5321 4.5.5: a report about a report would go round for ever.  Only a failure is kept
 * for that; a delay or a success that nobody hears of is no loss. */
static void
end_untold(struct bounce *bounce, struct envelope *batch, const struct envelope *about)
{
	if (about != NULL && worst_of(about) == DSN_FAILED) {
		park(bounce, batch, "null sender: nobody can be told");
		return;
	}
	bounce->unwanted++;
	queue_reported(bounce->queue, batch, NULL, NULL);
}

/* --- storms --- */

static void
tell_several(struct bounce *bounce, const struct digest *digest, struct envelope *const *about)
{
	struct report report;
	struct error err;

	if (!report_make_digest(&report, bounce->queue, bounce->config, about, digest->count,
	    &err)) {
		for (size_t i = 0; i < digest->count; i++)
			put_off_unwritten(bounce, digest->batches[i], about[i], &err);
		return;
	}
	bounce->digest_count++;
	bounce->reported += digest->count;
	storm_told(bounce->storm, &digest->sender, clock_now());
	for (size_t i = 0; i < digest->count; i++)
		log_report(about[i], report.envelope);
	queue_reported_many(bounce->queue, digest->batches, digest->count, report.envelope,
	    report.content);
	content_unref(report.content);
}

static void
free_digest(struct bounce *bounce, struct digest *digest)
{
	bounce->gathered -= digest->count;
	LIST_REMOVE(digest, entry);
	free(digest->batches);
	free(digest);
}

static void
end_digest(struct bounce *bounce, struct digest *digest)
{
	struct envelope **about = mem_array(digest->count, sizeof(*about));

	for (size_t i = 0; i < digest->count; i++)
		about[i] = wanted(digest->batches[i]);
	storm_settled(bounce->storm, &digest->sender, digest->count);
	if (digest->count == 1)
		tell(bounce, digest->batches[0], about[0], digest->content);
	else
		tell_several(bounce, digest, about);
	for (size_t i = 0; i < digest->count; i++)
		envelope_free(about[i]);
	free(about);
	free_digest(bounce, digest);
}

static void
end_digests(struct bounce *bounce)
{
	struct digest *digest;

	while ((digest = LIST_FIRST(&bounce->digests)) != NULL)
		end_digest(bounce, digest);
}

static struct digest *
digest_of(struct bounce *bounce, const struct address *sender)
{
	struct digest *digest;

	LIST_FOREACH(digest, &bounce->digests, entry)
		if (address_equal(&digest->sender, sender))
			return digest;
	digest = mem_zalloc(sizeof(*digest));
	digest->sender = *sender;
	LIST_INSERT_HEAD(&bounce->digests, digest, entry);
	return digest;
}

static void
gather(struct bounce *bounce, struct envelope *batch, struct content *content)
{
	const struct timeval wait = { .tv_sec = GATHER_SECONDS };
	struct digest *digest = digest_of(bounce, &batch->reverse_path);

	if (digest->count == 0)
		digest->content = content;
	digest->batches = mem_grow(digest->batches, digest->count + 1, sizeof(*digest->batches));
	digest->batches[digest->count++] = batch;
	if (++bounce->gathered >= GATHER_MAX)
		end_digests(bounce);
	else if (digest->count >= storm_owed(bounce->storm, &digest->sender))
		end_digest(bounce, digest);
	else if (!evtimer_pending(bounce->timer, NULL))
		evtimer_add(bounce->timer, &wait);
}

static void
on_timer(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	end_digests(arg);
}

void
bounce_report(void *owner, struct envelope *batch, struct content *content)
{
	struct bounce *bounce = owner;
	struct envelope *about = wanted(batch);
	int64_t when;

	if (about == NULL || address_is_null(&batch->reverse_path)) {
		end_untold(bounce, batch, about);
	} else {
		switch (storm_judge(bounce->storm, &batch->reverse_path, clock_now(), &when)) {
		case STORM_TELL:
			tell(bounce, batch, about, content);
			break;
		case STORM_LATER:
			put_off(bounce, batch, about, when);
			break;
		case STORM_GATHER:
			gather(bounce, batch, content);
			break;
		}
	}
	envelope_free(about);
}

/* --- service --- */

struct bounce *
bounce_new(struct loop *loop, struct queue *queue)
{
	struct bounce *bounce = mem_zalloc(sizeof(*bounce));

	bounce->queue = queue;
	bounce->storm = storm_new(&limits);
	bounce->timer = evtimer_new(loop_base(loop), on_timer, bounce);
	if (bounce->timer == NULL)
		abort();	/* memory is out */
	LIST_INIT(&bounce->digests);
	return bounce;
}

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	(void)next;
	(void)err;
	return self;	/* nothing can fail */
}

static void
commit(void *self, void *prepared, const struct config *next)
{
	struct bounce *bounce = self;

	(void)prepared;
	config_unref(bounce->config);
	bounce->config = config_ref(next);
}

static void
abandon(void *self, void *prepared)
{
	(void)self;
	(void)prepared;
}

static bool
drain(void *self)
{
	end_digests(self);	/* nothing is ever left open but these */
	return true;
}

static json_t *
status(void *self)
{
	const struct bounce *bounce = self;

	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "reported", (json_int_t)bounce->reported,
	    "unwanted", (json_int_t)bounce->unwanted, "parked", (json_int_t)bounce->parked,
	    "put_off", (json_int_t)bounce->put_off, "digests", (json_int_t)bounce->digest_count);
}

static void
destroy(void *self)
{
	struct bounce *bounce = self;
	struct digest *digest;

	if (bounce == NULL)
		return;
	/* What was gathered is the queue's again: it stays owed. */
	while ((digest = LIST_FIRST(&bounce->digests)) != NULL)
		free_digest(bounce, digest);
	event_free(bounce->timer);
	storm_free(bounce->storm);
	config_unref(bounce->config);
	free(bounce);
}

const struct service_ops bounce_service = {
	.name = "bounce",
	.prepare = prepare,
	.commit = commit,
	.abandon = abandon,
	.drain = drain,
	.status = status,
	.destroy = destroy,
};
