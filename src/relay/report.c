/* report.c - a report to a sender as a message of its own, ready for the queue. */
#include "relay/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "conf/config.h"
#include "mail/dsn.h"
#include "mail/dsn_digest.h"
#include "mail/envelope.h"
#include "mail/identity.h"
#include "queue/content.h"
#include "queue/queue.h"

/* Who reads what is sent to this sender: a name of this machine has an alias, or none. */
static void
find_readers(const struct config *config, const struct address *sender,
    struct identity_targets *out)
{
	static const struct identity nobody = { .hostname = "", .domain = "" };
	const struct identity *identity = config->identity.rules;

	identity_expand(identity != NULL ? identity : &nobody, sender, out);
}

static struct envelope *
make_envelope(const struct config *config, const struct identity_targets *readers,
    const char *queue_id, const struct content *content, const struct dsn_needs *needs)
{
	const struct address null_path = { .local = "" };
	struct envelope *envelope = envelope_new(&null_path);

	envelope->smtputf8 = needs->smtputf8;
	for (size_t i = 0; i < readers->count; i++) {
		envelope_add(envelope, &readers->items[i]);
		if (address_needs_utf8(&readers->items[i]))
			envelope->smtputf8 = true;
	}
	memcpy(envelope->queue_id, queue_id, sizeof(envelope->queue_id));
	envelope->size = content_size(content);
	envelope->body_8bit = needs->body_8bit;
	envelope->arrived = clock_now();
	envelope->arrived_us = clock_now_us();
	envelope->expires = envelope->arrived + config->queue.bounce_lifetime;
	return envelope;
}

static bool
read_original(void *source, uint64_t offset, void *out, size_t len, size_t *got,
    struct error *err)
{
	return content_read(source, offset, out, len, got, err);
}

static bool
append_octets(void *sink, const void *octets, size_t len, struct error *err)
{
	return content_append(sink, octets, len, err);
}

bool
report_make(struct report *out, struct queue *queue, const struct config *config,
    const struct envelope *about, struct content *original, struct error *err)
{
	char queue_id[QUEUE_ID_MAX + 1];
	struct identity_targets readers;
	struct envelope shown = *about;	/* borrows all but its sender: the first who reads it */
	struct dsn dsn = { .hostname = config->hostname, .queue_id = queue_id, .about = &shown,
	    .now = clock_now() };
	struct dsn_needs needs;
	bool ok;

	find_readers(config, &about->reverse_path, &readers);
	shown.reverse_path = readers.items[0];
	if (original != NULL)
		dsn.original = (struct dsn_original){ .read = read_original, .source = original,
		    .size = content_size(original) };
	queue_new_id(queue, queue_id);
	out->content = content_new(config->queue.state_directory);
	ok = dsn_write(&dsn, append_octets, out->content, &needs, err);
	if (!ok) {	/* a disk that is full, or an original that breaks off: less will do */
		dsn.header_only = true;
		content_unref(out->content);
		out->content = content_new(config->queue.state_directory);
		ok = dsn_write(&dsn, append_octets, out->content, &needs, err);
	}
	if (ok)
		out->envelope = make_envelope(config, &readers, queue_id, out->content, &needs);
	else
		content_unref(out->content);
	free(readers.items);
	return ok;
}

bool
report_make_digest(struct report *out, struct queue *queue, const struct config *config,
    struct envelope *const *about, size_t count, struct error *err)
{
	char queue_id[QUEUE_ID_MAX + 1];
	struct identity_targets readers;
	struct dsn_digest digest = { .hostname = config->hostname, .queue_id = queue_id,
	    .about = about, .count = count, .now = clock_now() };
	struct dsn_needs needs;
	struct buf text = { 0 };
	bool ok;

	find_readers(config, &about[0]->reverse_path, &readers);
	digest.sender = &readers.items[0];
	queue_new_id(queue, queue_id);
	dsn_digest_write(&digest, &text, &needs);
	out->content = content_new(config->queue.state_directory);
	ok = content_append(out->content, buf_octets(&text), text.len, err);
	buf_free(&text);
	if (ok)
		out->envelope = make_envelope(config, &readers, queue_id, out->content, &needs);
	else
		content_unref(out->content);
	free(readers.items);
	return ok;
}
