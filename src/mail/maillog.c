/* maillog.c - one function per event of a message: the exact text of SPEC 5. */
#include "mail/maillog.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/text.h"
#include "mail/dsn_xtext.h"

#include <stdio.h>
#include <string.h>

#define FIELD_SIZE 288 /* 256 octets of what a peer wrote and "...(N more)", RULES L */
#define DELAY_SIZE 24
#define REPLY_SIZE (STATUS_TEXT_MAX + 32)

struct field {
	char text[FIELD_SIZE];
};

static const char *
printable(struct field *field, const char *text)
{
	return text_printable(field->text, sizeof(field->text), text, strlen(text));
}

static const char *
printable_path(struct field *field, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];

	return printable(field, address_text(address, text));
}

/* Two significant digits, at most two of them behind the point, no zero at the end:
 * the way Postfix writes a delay, so that tools which add them up agree. */
static const char *
delay_text(char out[DELAY_SIZE], int64_t us)
{
	int64_t hundredths = us <= 0 ? 0 : (us + 5000) / 10000;
	char *at;

	if (us >= 9950000) {
		snprintf(out, DELAY_SIZE, "%lld", (long long)((us + 500000) / 1000000));
		return out;
	}
	if (hundredths >= 100)
		hundredths = (us + 50000) / 100000 * 10;
	at = text_number(out, (unsigned)(hundredths / 100));
	if (hundredths % 100 == 0)
		return out;
	*at++ = '.';
	at = text_number(at, (unsigned)(hundredths / 10 % 10));
	if (hundredths % 10 != 0)
		text_number(at, (unsigned)(hundredths % 10));
	return out;
}

void
maillog_client(const char *queue_id, const char *client, const char *extra)
{
	struct field name, more;
	bool has_extra = extra != NULL && extra[0] != '\0';

	log_write(LOG_LEVEL_INFO, "smtpd", "%s: client=%s%s%s", queue_id, printable(&name, client),
	    has_extra ? ", " : "", has_extra ? printable(&more, extra) : "");
}

void
maillog_pickup(const char *queue_id, unsigned uid, const struct address *reverse_path)
{
	struct field path;

	log_write(LOG_LEVEL_INFO, "pickup", "%s: uid=%u from=<%s>", queue_id, uid,
	    printable_path(&path, reverse_path));
}

void
maillog_message_id(const char *queue_id, const char *message_id, size_t len)
{
	struct field id;

	log_write(LOG_LEVEL_INFO, "cleanup", "%s: message-id=%s", queue_id,
	    text_printable(id.text, sizeof(id.text), message_id, len));
}

void
maillog_active(const struct envelope *envelope)
{
	struct field path;

	log_write(LOG_LEVEL_INFO, "qmgr", "%s: from=<%s>, size=%llu, nrcpt=%zu (queue active)",
	    envelope->queue_id, printable_path(&path, &envelope->reverse_path),
	    (unsigned long long)envelope->size, envelope->recipient_count);
}

static const struct {
	const char *name;
	enum log_level level;
} fates[] = {
	[MAILLOG_SENT] = { "sent", LOG_LEVEL_INFO },
	[MAILLOG_DEFERRED] = { "deferred", LOG_LEVEL_WARNING },
	[MAILLOG_BOUNCED] = { "bounced", LOG_LEVEL_ERROR },
	[MAILLOG_EXPIRED] = { "expired", LOG_LEVEL_ERROR },
};

static void
add(struct buf *line, const char *name, const char *value)
{
	buf_append_text(line, name);
	buf_append_text(line, value);
}

static void
append_delays(struct buf *line, const int64_t delays[4])
{
	char text[5][DELAY_SIZE];
	int64_t total = 0;

	for (size_t i = 0; i < 4; i++) {
		delay_text(text[i], delays[i]);
		total += delays[i] > 0 ? delays[i] : 0;
	}
	add(line, ", delay=", delay_text(text[4], total));
	add(line, ", delays=", text[0]);
	for (size_t i = 1; i < 4; i++)
		add(line, "/", text[i]);
}

/* Whom the client named, where an alias or a hop before us has made another of it. */
static void
append_original(struct buf *line, const struct recipient *recipient)
{
	char original[ENVELOPE_ORCPT_MAX + 2], path[ADDRESS_TEXT_MAX + 1];
	struct field field;
	const char *address;

	if (recipient->orcpt == NULL || !dsn_orcpt_text(original, recipient->orcpt, true))
		return;
	address = strchr(original, ' ') + 1;
	if (!text_equal(address, address_text(&recipient->forward_path, path)))
		buf_appendf(line, ", orig_to=<%s>", printable(&field, address));
}

void
maillog_attempt(const struct maillog_attempt *attempt)
{
	struct buf line = { .octets = NULL };
	struct field field;
	char text[REPLY_SIZE];
	bool has_tls = attempt->tls != NULL && attempt->tls[0] != '\0' &&
	    strcmp(attempt->tls, "none") != 0;
	/* Tools that insist on Postfix read nothing between delays= and dsn=. */
	bool tls_last = strcmp(log_ident(), "postfix") == 0;

	add(&line, attempt->envelope->queue_id, ": to=<");
	add(&line, printable_path(&field, &attempt->recipient->forward_path), ">");
	append_original(&line, attempt->recipient);
	add(&line, ", relay=", printable(&field, attempt->relay));
	if (attempt->conn_use > 1)
		buf_appendf(&line, ", conn_use=%u", attempt->conn_use);
	append_delays(&line, attempt->delays);
	if (has_tls && !tls_last)
		add(&line, ", tls=", attempt->tls);
	add(&line, ", dsn=", status_dsn(attempt->status, text));
	add(&line, ", status=", fates[attempt->fate].name);
	add(&line, " (", status_text(attempt->status, text, sizeof(text)));
	buf_append_text(&line, ")");
	if (has_tls && tls_last)
		add(&line, ", tls=", attempt->tls);
	log_write(fates[attempt->fate].level, "smtp", "%s", buf_text(&line));
	buf_free(&line);
}

void
maillog_report(const char *queue_id, const char *report_id)
{
	log_write(LOG_LEVEL_INFO, "bounce", "%s: sender non-delivery notification: %s", queue_id,
	    report_id);
}

void
maillog_delay_report(const char *queue_id, const char *report_id)
{
	log_write(LOG_LEVEL_INFO, "bounce", "%s: sender delay notification: %s", queue_id,
	    report_id);
}

void
maillog_success_report(const char *queue_id, const char *report_id)
{
	log_write(LOG_LEVEL_INFO, "bounce", "%s: sender delivery status notification: %s",
	    queue_id, report_id);
}

void
maillog_parked(const struct envelope *envelope, const struct recipient *recipient, const char *why)
{
	struct field path, reason;

	log_write(LOG_LEVEL_CRITICAL, "bounce", "%s: to=<%s>: parked: %s", envelope->queue_id,
	    printable_path(&path, &recipient->forward_path), printable(&reason, why));
}

void
maillog_removed(const char *queue_id)
{
	log_write(LOG_LEVEL_INFO, "qmgr", "%s: removed", queue_id);
}

void
maillog_suspended(const char *name, const char *place, const char *why)
{
	struct field relay, hop, reason;

	log_write(LOG_LEVEL_WARNING, "smtp", "relay %s: suspended, mail stays queued: %s: %s",
	    printable(&relay, name), printable(&hop, place), printable(&reason, why));
}

void
maillog_recovered(const char *name)
{
	struct field relay;

	log_write(LOG_LEVEL_NOTICE, "smtp", "relay %s: takes mail again",
	    printable(&relay, name));
}

void
maillog_reject(const struct maillog_reject *reject)
{
	const struct {
		const char *before, *text, *after;
	} rows[] = {
		{ " from=<", reject->reverse_path, ">" },
		{ " to=<", reject->forward_path, ">" },
		{ " proto=", reject->protocol, "" },
		{ " helo=<", reject->helo, ">" },
	};
	struct buf line = { .octets = NULL };
	struct field field;
	char reply[REPLY_SIZE];

	buf_append_text(&line, reject->queue_id != NULL ? reject->queue_id : "NOQUEUE");
	buf_appendf(&line, ": reject: %s", reject->verb != NULL ? reject->verb : "CONNECT");
	if (reject->client != NULL)
		buf_appendf(&line, " from %s", printable(&field, reject->client));
	buf_appendf(&line, ": %s;", status_text(reject->status, reply, sizeof(reply)));
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].text != NULL)
			buf_appendf(&line, "%s%s%s", rows[i].before,
			    printable(&field, rows[i].text), rows[i].after);
	}
	log_write(LOG_LEVEL_INFO, "smtpd", "%s", buf_text(&line));
	buf_free(&line);
}
