/* bounce.c - tells senders that their mail failed. */
#include "relay/bounce.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "conf/config.h"
#include "mail/dsn.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct bounce {
	struct queue *queue;
	const struct config *config;	/* NULL before the first commit */
	uint64_t reported, unwanted, parked;	/* messages since the start */
};

/* RFC 3461 4.1: without NOTIFY a failure is told. */
static bool
wants_report(const struct recipient *recipient)
{
	return recipient->notify == 0 || (recipient->notify & NOTIFY_FAILURE) != 0;
}

/* The recipients to tell about; NULL when there are none. */
static struct envelope *
wanted(const struct envelope *failed)
{
	struct envelope *copy = envelope_copy(failed);
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

static void
park(struct bounce *bounce, struct envelope *failed, const char *why)
{
	bounce->parked++;
	queue_park(bounce->queue, failed, why);
}

/* Fills `out` with the report about `failed`. */
static bool
write_report(const struct bounce *bounce, const struct envelope *failed, const char *queue_id,
    struct content *original, struct content *out, struct error *err)
{
	char *header = mem_alloc(DSN_HEADER_MAX);
	struct dsn dsn = { .hostname = bounce->config->hostname, .queue_id = queue_id,
	    .failed = failed, .header = header, .now = clock_now() };
	struct buf text = { 0 };
	bool ok = true;

	/* An original that cannot be read any more is no reason to keep silent. */
	if (original == NULL ||
	    !content_read(original, 0, header, DSN_HEADER_MAX, &dsn.header_len, err))
		dsn.header_len = 0;
	dsn_write(&dsn, &text);
	ok = content_append(out, buf_octets(&text), text.len, err);
	buf_free(&text);
	free(header);
	return ok;
}

static struct envelope *
report_envelope(const struct bounce *bounce, const struct envelope *failed, const char *queue_id,
    const struct content *content)
{
	const struct address null_path = { .local = "" };
	struct envelope *report = envelope_new(&null_path);

	envelope_add(report, &failed->reverse_path);
	memcpy(report->queue_id, queue_id, sizeof(report->queue_id));
	report->size = content_size(content);
	report->arrived = clock_now();
	report->arrived_us = clock_now_us();
	report->expires = report->arrived + bounce->config->queue.bounce_lifetime;
	return report;
}

void
bounce_report(void *owner, struct envelope *failed, struct content *content)
{
	struct bounce *bounce = owner;
	struct envelope *about = wanted(failed);
	char queue_id[QUEUE_ID_MAX + 1];
	struct content *text;
	struct error err;

	/* RFC 5321 4.5.5: a report about a report would go round for ever. */
	if (address_is_null(&failed->reverse_path)) {
		park(bounce, failed, "null sender: nobody can be told");
		goto done;
	}
	if (about == NULL) {
		bounce->unwanted++;
		queue_reported(bounce->queue, failed, NULL, NULL);
		goto done;
	}
	queue_new_id(bounce->queue, queue_id);
	text = content_new(bounce->config->state_directory);
	if (write_report(bounce, about, queue_id, content, text, &err)) {
		bounce->reported++;
		maillog_report(failed->queue_id, queue_id);
		queue_reported(bounce->queue, failed,
		    report_envelope(bounce, about, queue_id, text), text);
	} else {
		park(bounce, failed, err.text);
	}
	content_unref(text);
done:
	envelope_free(about);
}

/* --- service --- */

struct bounce *
bounce_new(struct loop *loop, struct queue *queue)
{
	struct bounce *bounce = mem_zalloc(sizeof(*bounce));

	(void)loop;	/* each report is made at once */
	bounce->queue = queue;
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
	(void)self;
	return true;	/* nothing is ever left open between two calls */
}

static json_t *
status(void *self)
{
	const struct bounce *bounce = self;

	return json_pack("{s:I, s:I, s:I}", "reported", (json_int_t)bounce->reported,
	    "unwanted", (json_int_t)bounce->unwanted, "parked", (json_int_t)bounce->parked);
}

static void
destroy(void *self)
{
	struct bounce *bounce = self;

	if (bounce == NULL)
		return;
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
