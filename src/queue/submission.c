/* submission.c - one mail transaction on its way into the queue. */
#include "queue/submission.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/config.h"
#include "mail/header.h"
#include "mail/maillog.h"
#include "queue/content.h"
#include "queue/queue.h"

#define CLIENT_SIZE 96 /* "unknown[" and an IPv6 address "]" */

struct submission {
	struct queue *queue;
	const struct config *config;
	struct envelope *envelope;	/* NULL once it is with the queue */
	struct content *content;
	struct header_scanner scanner;
	struct status fault;		/* of a write; reply code 0: none */
	char client[CLIENT_SIZE];	/* for the log: "localhost[127.0.0.1]"; "": a UNIX socket */
	unsigned client_uid;		/* of its other end */
	submission_done *done;
	void *arg;
};

/* Made by on_stored() alone, when the store has synced: whoever holds one may say 250
 * (RFC 5321 6.1, RULES S1). */
struct durable {
	const char *queue_id;
};

static struct status
taken_over(struct durable durable)
{
	return status_reply(250, "2.0.0", "queued as %s", durable.queue_id);
}

struct submission *
submission_begin(struct queue *queue, const struct config *config,
    const struct address *reverse_path, const struct submission_mail *mail)
{
	struct submission *submission = mem_zalloc(sizeof(*submission));
	unsigned lifetime = config->queue.lifetime;
	struct envelope *envelope = envelope_new(reverse_path);

	/* What has no sender cannot be reported either: it is not worth waiting as long. */
	if (address_is_null(reverse_path))
		lifetime = config->queue.bounce_lifetime;
	envelope->body_8bit = mail->body_8bit;
	envelope->smtputf8 = mail->smtputf8;
	envelope->ret = mail->ret;
	if (mail->envid != NULL)
		envelope->envid = envelope_keep(envelope, mail->envid, mail->envid_len);
	envelope->arrived_us = clock_now_us();
	envelope->arrived = envelope->arrived_us / 1000000;
	envelope->expires = envelope->arrived + lifetime;
	submission->queue = queue;
	submission->config = config;
	submission->envelope = envelope;
	return submission;
}

void
submission_add(struct submission *submission, const struct address *forward_path,
    const struct submission_rcpt *rcpt)
{
	struct envelope *envelope = submission->envelope;
	struct recipient *recipient = envelope_add(envelope, forward_path);

	recipient->notify = rcpt->notify;
	if (rcpt->orcpt != NULL)
		recipient->orcpt = envelope_keep(envelope, rcpt->orcpt, rcpt->orcpt_len);
}

static void
append(struct submission *submission, const char *octets, size_t len)
{
	struct error err;

	if (submission->fault.reply_code != 0 ||
	    content_append(submission->content, octets, len, &err))
		return;
	log_write(LOG_LEVEL_ERROR, "smtpd", "%s: cannot keep mail data: %s",
	    submission->envelope->queue_id, err.text);
	submission->fault = status_reply(452, "4.3.1", "insufficient storage, try again later");
}

static void
describe_client(struct submission *submission, const struct submission_origin *origin)
{
	submission->client_uid = origin->client_uid;
	if (origin->client_address != NULL)
		snprintf(submission->client, sizeof(submission->client), "%s[%s]",
		    origin->client_name, origin->client_address);
}

void
submission_open(struct submission *submission, const struct submission_origin *origin)
{
	struct envelope *envelope = submission->envelope;
	struct buf field = { .octets = NULL };
	struct header_received received = {
		.helo = origin->helo,
		.client_name = origin->client_name,
		.client_address = origin->client_address,
		.client_uid = origin->client_uid,
		.hostname = submission->config->hostname,
		.protocol = origin->protocol,
		.queue_id = envelope->queue_id,
		.arrived = envelope->arrived,
	};

	assert(submission->content == NULL && envelope->recipient_count > 0);
	/* Beyond ASCII it would be an extended header, which a hop might not take although it
	 * takes the address: as A-labels. */
	if (envelope->recipient_count == 1 &&
	    address_is_ascii(&envelope->recipients[0].forward_path))
		received.forward_path = &envelope->recipients[0].forward_path;
	queue_new_id(submission->queue, envelope->queue_id);
	describe_client(submission, origin);
	submission->content = content_new(submission->config->queue.state_directory);
	header_append_received(&field, &received);
	append(submission, buf_octets(&field), field.len);
	buf_free(&field);
}

void
submission_write(struct submission *submission, const char *octets, size_t len)
{
	if (!submission->scanner.ended)
		header_scan(&submission->scanner, octets, len);
	append(submission, octets, len);
}

/* With the store's answer the transaction is over, whichever it is. */
static void
on_stored(void *arg, const char *queue_id, const struct error *err)
{
	struct submission *submission = arg;
	submission_done *done = submission->done;
	void *done_arg = submission->arg;
	struct status status;

	if (err == NULL) {
		status = taken_over((struct durable){ .queue_id = queue_id });
	} else {
		log_write(LOG_LEVEL_ERROR, "smtpd", "%s: not stored: %s", queue_id, err->text);
		status = status_reply(451, "4.3.0", "cannot store the message, try again later");
	}
	free(submission);
	done(done_arg, &status);
}

/* What the header section is refused for. */
static struct status
judge_header(const struct submission *submission)
{
	if (submission->scanner.received > submission->config->queue.max_hops)
		return status_reply(554, "5.4.6", "too many hops (%u): a mail loop",
		    submission->scanner.received);
	return (struct status){ .reply_code = 0 };
}

/* For the trace: one msg-id (RFC 5322 3.6.4), whole and printable, or none at all. */
static void
keep_message_id(struct submission *submission)
{
	const struct header_scanner *scanner = &submission->scanner;
	const char *first = memchr(scanner->message_id, '<', scanner->message_id_len), *at = first;
	const char *end = scanner->message_id + scanner->message_id_len;

	if (first == NULL)
		return;
	while (at < end && *at > 0x20 && *at < 0x7f && *at != '>')
		at++;
	if (at < end && *at == '>')
		submission->envelope->message_id = envelope_keep(submission->envelope, first,
		    (size_t)(at + 1 - first));
}

bool
submission_commit(struct submission *submission, submission_done *done, void *arg,
    struct status *refusal)
{
	const struct header_scanner *scanner = &submission->scanner;
	struct envelope *envelope = submission->envelope;
	struct content *content = submission->content;

	*refusal = submission->fault;
	if (refusal->reply_code == 0)
		*refusal = judge_header(submission);
	if (refusal->reply_code != 0) {
		submission_abort(submission);
		return false;
	}
	if (submission->client[0] != '\0')
		maillog_client(envelope->queue_id, submission->client, NULL);
	else
		maillog_pickup(envelope->queue_id, submission->client_uid,
		    &envelope->reverse_path);
	maillog_message_id(envelope->queue_id, scanner->has_message_id ? scanner->message_id : "<>",
	    scanner->has_message_id ? scanner->message_id_len : 2);
	keep_message_id(submission);
	envelope->size = content_size(content);
	submission->done = done;
	submission->arg = arg;
	submission->envelope = NULL;
	submission->content = NULL;
	queue_submit(submission->queue, envelope, content, on_stored, submission);
	content_unref(content);
	return true;
}

void
submission_abort(struct submission *submission)
{
	if (submission == NULL)
		return;
	if (submission->envelope == NULL)
		queue_forget(submission->queue, submission);
	envelope_free(submission->envelope);
	content_unref(submission->content);
	free(submission);
}
