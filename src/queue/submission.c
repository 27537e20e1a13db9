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
#include "base/map.h"
#include "base/mem.h"
#include "conf/config.h"
#include "mail/dsn_xtext.h"
#include "mail/header.h"
#include "mail/identity.h"
#include "mail/maillog.h"
#include "mail/rewrite.h"
#include "queue/content.h"
#include "queue/queue.h"

#define CLIENT_SIZE	96	/* "unknown[" and an IPv6 address "]" */
#define RECIPIENTS_MAX	10000	/* behind aliases: ten times what a client names by default */
#define FEW		16	/* recipients that are compared one by one */

struct submission {
	struct queue *queue;
	const struct config *config;
	struct envelope *envelope;	/* NULL once it is with the queue */
	struct content *content;
	struct header_scanner scanner;
	const struct identity *identity;	/* NULL: mail of others, which passes untouched */
	struct rewrite *rewrite;	/* from submission_open() on, with an identity */
	struct map *seen;		/* recipients by their text, where there are many */
	bool is_crowded;		/* more recipients behind the aliases than allowed */
	struct status fault;		/* of a write; reply code 0: none */
	char client[CLIENT_SIZE];	/* for the log: "localhost[127.0.0.1]"; "": a UNIX socket */
	char *auth;			/* for the log, or NULL */
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

/* The client need not know what a name of this machine stands for. */
static void
ask_for_utf8(struct envelope *envelope, const struct address *address)
{
	if (address_needs_utf8(address))
		envelope->smtputf8 = true;
}

struct submission *
submission_begin(struct queue *queue, const struct config *config,
    const struct address *reverse_path, const struct submission_mail *mail)
{
	struct submission *submission = mem_zalloc(sizeof(*submission));
	unsigned lifetime = config->queue.lifetime;
	struct envelope *envelope = envelope_new(reverse_path);

	submission->identity = mail->of_this_machine ? config->identity.rules : NULL;
	if (submission->identity == NULL && reverse_path->domain[0] == '\0' &&
	    config->identity.rules != NULL)
		identity_qualify(config->identity.rules, &envelope->reverse_path);
	if (submission->identity != NULL) {
		identity_sender(submission->identity, &envelope->reverse_path);
		ask_for_utf8(envelope, &envelope->reverse_path);
		ask_for_utf8(envelope, &submission->identity->from);
	}
	/* What has no sender cannot be reported either: it is not worth waiting as long. */
	if (address_is_null(reverse_path))
		lifetime = config->queue.bounce_lifetime;
	envelope->body_8bit = mail->body_8bit;
	envelope->smtputf8 = envelope->smtputf8 || mail->smtputf8;
	envelope->ret = mail->ret;
	envelope->uid = mail->uid;
	if (mail->envid != NULL)
		envelope->envid = envelope_keep(envelope, mail->envid, mail->envid_len);
	envelope->arrived_us = clock_now_us();
	envelope->arrived = envelope->arrived_us / 1000000;
	envelope->expires = envelope->arrived + lifetime;
	envelope_charge(envelope, queue_memory(queue));
	submission->queue = queue;
	submission->config = config;
	submission->envelope = envelope;
	return submission;
}

/* --- recipients --- */

static struct recipient *
find_recipient(struct submission *submission, const struct address *forward_path)
{
	struct envelope *envelope = submission->envelope;
	char text[ADDRESS_TEXT_MAX + 1];

	if (submission->seen != NULL) {
		char *index = map_get(submission->seen, address_text(forward_path, text));

		return index != NULL ? &envelope->recipients[(uintptr_t)index - 1] : NULL;
	}
	for (size_t i = 0; i < envelope->recipient_count; i++)
		if (address_equal(&envelope->recipients[i].forward_path, forward_path))
			return &envelope->recipients[i];
	return NULL;
}

/* The map has indexes and not pointers: the recipients move when there are more. */
static void
remember(struct submission *submission)
{
	const struct envelope *envelope = submission->envelope;
	char text[ADDRESS_TEXT_MAX + 1];
	size_t first = envelope->recipient_count - 1;

	if (envelope->recipient_count < FEW)
		return;
	if (submission->seen == NULL) {
		submission->seen = map_new();
		first = 0;
	}
	for (size_t i = first; i < envelope->recipient_count; i++)
		map_put(submission->seen,
		    address_text(&envelope->recipients[i].forward_path, text),
		    (void *)(uintptr_t)(i + 1));
}

/* RFC 3461 4.1: without NOTIFY failures and delays are told.  Of two wishes both hold. */
static unsigned
merge_notify(unsigned a, unsigned b)
{
	unsigned both;

	if (a == b)
		return a;
	both = (a != 0 ? a : NOTIFY_FAILURE | NOTIFY_DELAY) |
	    (b != 0 ? b : NOTIFY_FAILURE | NOTIFY_DELAY);
	return both & ~(unsigned)NOTIFY_NEVER;
}

static void
add_local(struct submission *submission, const struct address *forward_path, unsigned notify,
    const char *orcpt)
{
	struct envelope *envelope = submission->envelope;
	struct recipient *recipient = find_recipient(submission, forward_path);

	if (recipient != NULL) {
		recipient->notify = merge_notify(recipient->notify, notify);
		return;
	}
	if (envelope->recipient_count == RECIPIENTS_MAX) {
		submission->is_crowded = true;
		return;
	}
	recipient = envelope_add(envelope, forward_path);
	recipient->notify = notify;
	recipient->orcpt = orcpt;
	ask_for_utf8(envelope, forward_path);
	remember(submission);
}

/* Whom the client named, for reports and the log: RFC 3461 4.2. */
static const char *
original_recipient(struct submission *submission, const struct identity *identity,
    const struct address *forward_path)
{
	struct address original = *forward_path;
	char value[ENVELOPE_ORCPT_MAX + 1], text[ADDRESS_TEXT_MAX + 1];

	identity_qualify(identity, &original);
	if (!dsn_orcpt_make(value, address_text(&original, text)))
		return NULL;
	return envelope_keep(submission->envelope, value, strlen(value));
}

void
submission_add(struct submission *submission, const struct address *forward_path,
    const struct submission_rcpt *rcpt)
{
	struct envelope *envelope = submission->envelope;
	struct identity_targets targets;
	struct recipient *recipient;
	const char *orcpt = NULL;
	const struct identity *identity = submission->identity;

	if (rcpt->orcpt != NULL)
		orcpt = envelope_keep(envelope, rcpt->orcpt, rcpt->orcpt_len);
	/* "postmaster" is the one of this host, whoever writes (RFC 5321 4.5.1). */
	if (identity == NULL && forward_path->domain[0] == '\0')
		identity = submission->config->identity.rules;
	if (identity == NULL) {
		recipient = envelope_add(envelope, forward_path);
		recipient->notify = rcpt->notify;
		recipient->orcpt = orcpt;
		return;
	}
	identity_expand(identity, forward_path, &targets);
	if (targets.is_aliased && orcpt == NULL)
		orcpt = original_recipient(submission, identity, forward_path);
	for (size_t i = 0; i < targets.count; i++)
		add_local(submission, &targets.items[i], rcpt->notify, orcpt);
	free(targets.items);
}

/* --- mail data --- */

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
	if (origin->auth != NULL)
		submission->auth = mem_strdup(origin->auth);
	if (origin->client_address != NULL)
		snprintf(submission->client, sizeof(submission->client), "%s[%s]",
		    origin->client_name, origin->client_address);
}

/* As it will be stored. */
static void
take(void *arg, const char *octets, size_t len)
{
	struct submission *submission = arg;

	if (!submission->scanner.ended)
		header_scan(&submission->scanner, octets, len);
	append(submission, octets, len);
}

static void
begin_rewrite(struct submission *submission)
{
	const struct envelope *envelope = submission->envelope;
	const struct rewrite_params params = {
		.identity = submission->identity,
		.reverse_path = &envelope->reverse_path,
		.hostname = submission->config->hostname,
		.queue_id = envelope->queue_id,
		.now = envelope->arrived,
	};

	if (submission->identity != NULL)
		submission->rewrite = rewrite_new(&params, take, submission);
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
	content_charge(submission->content, queue_memory(submission->queue));
	header_append_received(&field, &received);
	append(submission, buf_octets(&field), field.len);
	buf_free(&field);
	begin_rewrite(submission);
}

void
submission_write(struct submission *submission, const char *octets, size_t len)
{
	if (submission->rewrite != NULL)
		rewrite_write(submission->rewrite, octets, len);
	else
		take(submission, octets, len);
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
		status = queue_refusal(err);
	}
	free(submission->auth);
	free(submission);
	done(done_arg, &status);
}

/* What the header section and the recipients are refused for. */
static struct status
judge_header(struct submission *submission)
{
	enum rewrite_fault fault = REWRITE_OK;

	if (submission->rewrite != NULL)
		fault = rewrite_end(submission->rewrite);
	if (submission->is_crowded)
		return status_reply(554, "5.5.3", "more than %d recipients behind the aliases: "
		    "send it in parts", RECIPIENTS_MAX);
	if (fault == REWRITE_FROM_TOO_LONG)
		return status_reply(552, "5.3.4", "the From field is longer than %d octets",
		    REWRITE_FIELD_MAX);
	if (fault == REWRITE_GROWN)
		return status_reply(552, "5.3.4", "the header section grows by more than %d octets "
		    "when its addresses are completed", REWRITE_GROWTH_MAX);
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

/* What has done its work when the mail data is whole. */
static void
drop_helpers(struct submission *submission)
{
	rewrite_free(submission->rewrite);
	map_free(submission->seen);
	submission->rewrite = NULL;
	submission->seen = NULL;
}

bool
submission_commit(struct submission *submission, submission_done *done, void *arg,
    struct status *refusal)
{
	const struct header_scanner *scanner = &submission->scanner;
	struct envelope *envelope = submission->envelope;
	struct content *content = submission->content;

	*refusal = judge_header(submission);
	if (submission->fault.reply_code != 0)
		*refusal = submission->fault;
	if (refusal->reply_code != 0) {
		submission_abort(submission);
		return false;
	}
	if (submission->client[0] != '\0')
		maillog_client(envelope->queue_id, submission->client, submission->auth);
	else if (submission->auth != NULL)
		maillog_client(envelope->queue_id, "local[unix]", submission->auth);
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
	drop_helpers(submission);
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
	drop_helpers(submission);
	envelope_free(submission->envelope);
	content_unref(submission->content);
	free(submission->auth);
	free(submission);
}
