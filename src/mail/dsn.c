/* dsn.c - the report to a sender of what became of the mail, RFC 3464. */
#include "mail/dsn.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"
#include "mail/dsn_text.h"
#include "mail/dsn_xtext.h"
#include "mail/envelope.h"
#include "mail/header.h"

#define MTA_NAME_MAX	128
#define BOUNDARY_SIZE	64

/* The third part. */
enum original_form { FORM_HEADER, FORM_WHOLE };

struct report {
	const struct dsn *dsn;
	enum dsn_action worst;
	bool utf8;			/* the report of RFC 6533 */
	enum original_form form;
	bool form_8bit;			/* the original, whole, has octets above 127 */
	bool form_global;		/* even in its header section: RFC 6532 */
	char boundary[BOUNDARY_SIZE];
	bool original_has_it;		/* the boundary: as far as it has been looked for */
	struct buf words, status, header;
};

enum dsn_action
dsn_action(const struct recipient *recipient)
{
	if (recipient->state != RECIPIENT_OWED)
		return DSN_DELAYED;
	return status_class(&recipient->last) == STATUS_SUCCESS ? DSN_RELAYED : DSN_FAILED;
}

/* --- words for people, RFC 3464 1 --- */

static void
write_words_of(const struct recipient *recipient, struct buf *out)
{
	char address[ADDRESS_TEXT_MAX + 1], text[STATUS_TEXT_MAX + 32];

	dsn_line_utf8(out, "<%s>", address_text(&recipient->forward_path, address));
	if (recipient->last.reply_code != 0 && recipient_host(recipient)[0] != '\0')
		dsn_line(out, "    %s said:", recipient_host(recipient));
	status_text(&recipient->last, text, sizeof(text));
	if (text[0] != '\0')
		dsn_line(out, "    %s", text);
	dsn_line(out, "%s", "");
}

static void
introduce(const struct report *report, enum dsn_action action, struct buf *out)
{
	char date[HEADER_DATE_SIZE];

	switch (action) {
	case DSN_FAILED:
		dsn_line(out, "Your message could not be delivered to the recipients below,");
		dsn_line(out, "and will not be tried again.");
		break;
	case DSN_DELAYED:
		dsn_line(out, "Your message could not be delivered to the recipients below yet.");
		dsn_line(out, "There is nothing to do for you: it will be tried again until");
		dsn_line(out, "%s.", header_date(date, report->dsn->about->expires));
		break;
	case DSN_RELAYED:
		dsn_line(out, "Your message was passed on for the recipients below to a system");
		dsn_line(out, "that does not report deliveries: you may hear no more of it.");
		break;
	}
	dsn_line(out, "%s", "");
}

static void
write_words(struct report *report)
{
	static const enum dsn_action order[] = { DSN_FAILED, DSN_DELAYED, DSN_RELAYED };
	const struct envelope *about = report->dsn->about;
	struct buf *out = &report->words;

	dsn_line(out, "This is the mail system of %s.", report->dsn->hostname);
	dsn_line(out, "%s", "");
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		bool is_first = true;

		for (size_t k = 0; k < about->recipient_count; k++) {
			if (dsn_action(&about->recipients[k]) != order[i])
				continue;
			if (is_first)
				introduce(report, order[i], out);
			is_first = false;
			write_words_of(&about->recipients[k], out);
		}
	}
	dsn_line(out, "%s of your message is attached.",
	    report->form == FORM_WHOLE ? "All" : "The header");
}

/* --- the fields of RFC 3464 --- */

/* "smtp.example.net" of "smtp.example.net[192.0.2.7]:465"; false when it is not known. */
static bool
remote_mta(const struct recipient *recipient, char out[MTA_NAME_MAX])
{
	const char *host = recipient_host(recipient);
	size_t len = strcspn(host, "[:");

	if (len == 0 || strcmp(host, "none") == 0 || len >= MTA_NAME_MAX)
		return false;
	memcpy(out, host, len);
	out[len] = '\0';
	return true;
}

/* 2.3.2; beyond ASCII it is of the utf-8 type, in 7 bits where the report is (RFC 6533 3). */
static void
write_final_recipient(const struct report *report, const struct recipient *recipient,
    struct buf *out)
{
	char address[ADDRESS_TEXT_MAX + 1], encoded[ENVELOPE_ORCPT_MAX * 4];

	address_text(&recipient->forward_path, address);
	if (address_is_ascii(&recipient->forward_path))
		dsn_line(out, "Final-Recipient: rfc822; %s", address);
	else if (report->utf8)
		dsn_line_utf8(out, "Final-Recipient: utf-8; %s", address);
	else
		dsn_line(out, "Final-Recipient: utf-8; %s",
		    dsn_utf8_xtext(encoded, sizeof(encoded), address, strlen(address)) ?
		    encoded : "unknown");
}

static void
write_recipient(const struct report *report, const struct recipient *recipient, struct buf *out)
{
	static const char *const names[] = {
		[DSN_RELAYED] = "relayed", [DSN_DELAYED] = "delayed", [DSN_FAILED] = "failed",
	};
	char text[STATUS_TEXT_MAX + 32], date[HEADER_DATE_SIZE], orcpt[ENVELOPE_ORCPT_MAX + 2];
	char code[STATUS_DSN_MAX], mta[MTA_NAME_MAX];
	enum dsn_action action = dsn_action(recipient);

	dsn_line(out, "%s", "");
	if (recipient->orcpt != NULL && dsn_orcpt_text(orcpt, recipient->orcpt, report->utf8))
		dsn_line_utf8(out, "Original-Recipient: %s", orcpt);
	write_final_recipient(report, recipient, out);
	dsn_line(out, "Action: %s", names[action]);
	dsn_line(out, "Status: %s", status_dsn(&recipient->last, code));
	if (remote_mta(recipient, mta))
		dsn_line(out, "Remote-MTA: dns; %s", mta);
	/* 2.3.6: the type says whose words they are. */
	status_text(&recipient->last, text, sizeof(text));
	if (text[0] != '\0')
		dsn_line(out, "Diagnostic-Code: %s; %s",
		    recipient->last.reply_code != 0 ? "smtp" : "x-herald", text);
	if (recipient->last_at != 0)
		dsn_line(out, "Last-Attempt-Date: %s", header_date(date, recipient->last_at));
	if (action == DSN_DELAYED)
		dsn_line(out, "Will-Retry-Until: %s",
		    header_date(date, report->dsn->about->expires));
}

static void
write_status(struct report *report)
{
	const struct envelope *about = report->dsn->about;
	char date[HEADER_DATE_SIZE], envid[ENVELOPE_ENVID_MAX + 1];
	struct buf *out = &report->status;

	if (about->envid != NULL &&
	    dsn_xtext_decode(envid, sizeof(envid), about->envid, strlen(about->envid)))
		dsn_line(out, "Original-Envelope-Id: %s", envid);
	dsn_line(out, "Reporting-MTA: dns; %s", report->dsn->hostname);
	dsn_line(out, "Arrival-Date: %s", header_date(date, about->arrived));
	for (size_t i = 0; i < about->recipient_count; i++)
		write_recipient(report, &about->recipients[i], out);
}

/* --- the original --- */

static bool
lacks_8bitmime(const struct envelope *about)
{
	for (size_t i = 0; i < about->recipient_count; i++) {
		const struct enhanced_code *code = &about->recipients[i].last.enhanced;

		if (code->class == 5 && code->subject == 6 && code->detail == 3)
			return true;
	}
	return false;
}

/* RFC 3461 4.3: RET concerns failures alone.  What cannot go back as it is does not. */
static void
choose_form(struct report *report)
{
	const struct dsn *dsn = report->dsn;
	const struct envelope *about = dsn->about;
	struct dsn_scan scan;
	struct error err;

	dsn_original_header(&dsn->original, &report->header);
	if (about->ret != RET_FULL || report->worst != DSN_FAILED || dsn->header_only ||
	    dsn->original.read == NULL || dsn->original.size > DSN_FULL_MAX ||
	    !dsn_original_scan(&dsn->original, report->boundary, &scan, &err) || !scan.is_canonical)
		return;
	if (scan.header_8bit && (!report->utf8 ||
	    !text_utf8_valid(buf_octets(&report->header), report->header.len)))
		return;
	if (scan.body_8bit && !report->utf8 && (!about->body_8bit || lacks_8bitmime(about)))
		return;
	report->form = FORM_WHOLE;
	report->original_has_it = scan.has_boundary;
	report->form_8bit = scan.header_8bit || scan.body_8bit;
	report->form_global = scan.header_8bit;
}

/* --- parts --- */

static bool
occurs(const char *boundary, const struct buf *part)
{
	return part->len > 0 &&
	    memmem(buf_octets(part), part->len, boundary, strlen(boundary)) != NULL;
}

static void
try_boundary(struct report *report, unsigned number)
{
	snprintf(report->boundary, sizeof(report->boundary), "=_%.32s.%u", report->dsn->queue_id,
	    number);
}

/* RFC 2046 5.1.1: it must not appear in any of the parts.  The first was looked for in the
 * original when its form was chosen. */
static void
choose_boundary(struct report *report)
{
	struct dsn_scan scan;
	struct error err;
	unsigned number = 0;

	while (report->original_has_it || occurs(report->boundary, &report->words) ||
	    occurs(report->boundary, &report->status) ||
	    occurs(report->boundary, &report->header)) {
		try_boundary(report, ++number);
		report->original_has_it = report->form == FORM_WHOLE &&
		    dsn_original_scan(&report->dsn->original, report->boundary, &scan, &err) &&
		    scan.has_boundary;
	}
}

static void
begin_part(struct buf *out, const char *boundary, const char *type, const char *encoding)
{
	dsn_line(out, "--%s", boundary);
	dsn_line(out, "Content-Type: %s", type);
	if (encoding != NULL)
		dsn_line(out, "Content-Transfer-Encoding: %s", encoding);
	dsn_line(out, "%s", "");
}

/* A part that may be encoded: quoted-printable, as RFC 6522 4 has it for extended headers. */
static void
append_text(struct buf *out, const struct buf *part, bool encode)
{
	if (encode)
		dsn_quoted_printable(out, buf_octets(part), part->len);
	else if (part->len > 0)
		buf_append(out, buf_octets(part), part->len);
	dsn_line(out, "%s", "");
}

static bool
is_ascii(const struct buf *part)
{
	return part->len == 0 || dsn_is_ascii(buf_octets(part), part->len);
}

static void
append_header(const struct report *report, struct buf *out)
{
	const struct buf *header = &report->header;
	bool ascii = is_ascii(header);
	bool global = !ascii && report->utf8 && text_utf8_valid(buf_octets(header), header->len);

	begin_part(out, report->boundary, global ? "message/global-headers" : "text/rfc822-headers",
	    global ? "8bit" : ascii ? NULL : "quoted-printable");
	append_text(out, header, !ascii && !global);
}

static void
write_head(const struct report *report, bool status_global, struct buf *out)
{
	static const char *const subjects[] = {
		[DSN_RELAYED] = "Mail Passed On", [DSN_DELAYED] = "Delayed Mail, Still Being Tried",
		[DSN_FAILED] = "Undelivered Mail Returned to Sender",
	};
	const struct dsn *dsn = report->dsn;
	const struct dsn_head head = {
		.hostname = dsn->hostname, .queue_id = dsn->queue_id,
		.sender = &dsn->about->reverse_path, .subject = subjects[report->worst],
		.message_id = dsn->about->message_id, .now = dsn->now,
	};

	dsn_head_write(&head, out);
	/* RFC 6522 3: the type is the subtype of the second part. */
	dsn_line(out, "Content-Type: multipart/report; report-type=%sdelivery-status;",
	    status_global ? "global-" : "");
	dsn_line(out, " boundary=\"%s\"", report->boundary);
	/* RFC 2045 6.4: as wide as the widest of its parts. */
	if (report->utf8 || report->form_8bit)
		dsn_line(out, "Content-Transfer-Encoding: 8bit");
	dsn_line(out, "%s", "");
}

/* All before the original. */
static void
write_parts(const struct report *report, struct buf *out)
{
	bool ascii = is_ascii(&report->words), status_global = !is_ascii(&report->status);

	write_head(report, status_global, out);
	begin_part(out, report->boundary,
	    ascii ? "text/plain; charset=us-ascii" : "text/plain; charset=utf-8",
	    ascii ? NULL : "quoted-printable");
	append_text(out, &report->words, !ascii);
	begin_part(out, report->boundary, status_global ? "message/global-delivery-status" :
	    "message/delivery-status", status_global ? "8bit" : NULL);
	append_text(out, &report->status, false);
	if (report->form == FORM_HEADER)
		append_header(report, out);
	else
		begin_part(out, report->boundary,
		    report->form_global ? "message/global" : "message/rfc822",
		    report->form_8bit ? "8bit" : NULL);
}

static bool
hand_on(const struct report *report, dsn_write_octets *write, void *sink, struct error *err)
{
	struct buf head = { 0 }, end = { 0 };
	bool ok;

	write_parts(report, &head);
	if (report->form == FORM_WHOLE)
		dsn_line(&end, "%s", "");
	dsn_line(&end, "--%s--", report->boundary);
	ok = write(sink, buf_octets(&head), head.len, err) && (report->form == FORM_HEADER ||
	    dsn_original_copy(&report->dsn->original, write, sink, err)) &&
	    write(sink, buf_octets(&end), end.len, err);
	buf_free(&head);
	buf_free(&end);
	return ok;
}

bool
dsn_write(const struct dsn *dsn, dsn_write_octets *write, void *sink, struct dsn_needs *needs,
    struct error *err)
{
	struct report report = { .dsn = dsn };
	bool ok;

	report.utf8 = address_needs_utf8(&dsn->about->reverse_path);
	for (size_t i = 0; i < dsn->about->recipient_count; i++)
		if (dsn_action(&dsn->about->recipients[i]) > report.worst)
			report.worst = dsn_action(&dsn->about->recipients[i]);
	try_boundary(&report, 0);
	choose_form(&report);
	write_words(&report);
	write_status(&report);
	choose_boundary(&report);
	needs->smtputf8 = report.utf8;
	needs->body_8bit = report.utf8 || report.form_8bit;
	ok = hand_on(&report, write, sink, err);
	buf_free(&report.words);
	buf_free(&report.status);
	buf_free(&report.header);
	return ok;
}
