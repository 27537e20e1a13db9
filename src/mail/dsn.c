/* dsn.c - the report to a sender whose mail failed, RFC 3464. */
#include "mail/dsn.h"

#include "base/buf.h"
#include "base/mem.h"
#include "mail/envelope.h"
#include "mail/header.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD_MAX	900	/* octets; with its name below the 998 of RFC 5322 2.1.1 */
#define RELAY_NAME_MAX	128
#define QUOTED_LINE_MAX	76	/* octets, RFC 2045 6.7 (5) */

/* One line.  Whatever is not printable ASCII becomes a question mark: no argument can end
 * the line, however it came into the store (RULES H). */
static void __attribute__((format(printf, 2, 3)))
line(struct buf *out, const char *fmt, ...)
{
	char text[FIELD_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (char *c = text; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	buf_append_text(out, text);
	buf_append_text(out, "\r\n");
}

static void
write_fields(const struct dsn *dsn, const char *boundary, struct buf *out)
{
	char text[ADDRESS_TEXT_MAX + 1], date[HEADER_DATE_SIZE], id[512];

	line(out, "Date: %s", header_date(date, dsn->now));
	line(out, "From: MAILER-DAEMON@%s (Mail Delivery System)", dsn->hostname);
	line(out, "To: <%s>", address_text(&dsn->failed->reverse_path, text));
	line(out, "Subject: Undelivered Mail Returned to Sender");
	line(out, "Message-ID: %s", header_new_message_id(id, sizeof(id), dsn->queue_id,
	    dsn->hostname, dsn->now));
	line(out, "Auto-Submitted: auto-replied");
	line(out, "MIME-Version: 1.0");
	line(out, "Content-Type: multipart/report; report-type=delivery-status;");
	line(out, " boundary=\"%s\"", boundary);
	line(out, "%s", "");
}

/* RFC 3464 1: what a person needs, in words. */
static void
write_words(const struct dsn *dsn, struct buf *out)
{
	char address[ADDRESS_TEXT_MAX + 1], text[STATUS_TEXT_MAX + 32];

	line(out, "This is the mail system of %s.", dsn->hostname);
	line(out, "%s", "");
	line(out, "Your message could not be delivered to the recipients below,");
	line(out, "and will not be tried again.  The header of your message is attached.");
	line(out, "%s", "");
	for (size_t i = 0; i < dsn->failed->recipient_count; i++) {
		const struct recipient *recipient = &dsn->failed->recipients[i];

		line(out, "<%s>", address_text(&recipient->forward_path, address));
		if (recipient->last.reply_code != 0 && recipient_host(recipient)[0] != '\0')
			line(out, "    %s said:", recipient_host(recipient));
		line(out, "    %s", status_text(&recipient->last, text, sizeof(text)));
		line(out, "%s", "");
	}
}

/* "smtp.example.net" of "smtp.example.net[192.0.2.7]:465"; false when it is not known. */
static bool
remote_mta(const struct recipient *recipient, char out[RELAY_NAME_MAX])
{
	const char *host = recipient_host(recipient);
	size_t len = strcspn(host, "[:");

	if (len == 0 || strcmp(host, "none") == 0 || len >= RELAY_NAME_MAX)
		return false;
	memcpy(out, host, len);
	out[len] = '\0';
	return true;
}

/* RFC 3464 2.3. */
static void
write_recipient(const struct dsn *dsn, const struct recipient *recipient, struct buf *out)
{
	char address[ADDRESS_TEXT_MAX + 1], text[STATUS_TEXT_MAX + 32], date[HEADER_DATE_SIZE];
	char code[STATUS_DSN_MAX], mta[RELAY_NAME_MAX];

	line(out, "%s", "");
	line(out, "Final-Recipient: rfc822; %s", address_text(&recipient->forward_path, address));
	line(out, "Action: failed");
	line(out, "Status: %s", status_dsn(&recipient->last, code));
	if (remote_mta(recipient, mta))
		line(out, "Remote-MTA: dns; %s", mta);
	/* 2.3.6: the type says whose words they are. */
	line(out, "Diagnostic-Code: %s; %s", recipient->last.reply_code != 0 ? "smtp" : "x-herald",
	    status_text(&recipient->last, text, sizeof(text)));
	line(out, "Last-Attempt-Date: %s", header_date(date, dsn->now));
}

static void
write_status(const struct dsn *dsn, struct buf *out)
{
	char date[HEADER_DATE_SIZE];

	line(out, "Reporting-MTA: dns; %s", dsn->hostname);
	line(out, "Arrival-Date: %s", header_date(date, dsn->failed->arrived));
	for (size_t i = 0; i < dsn->failed->recipient_count; i++)
		write_recipient(dsn, &dsn->failed->recipients[i], out);
}

/* Octets of the header section, at most DSN_HEADER_MAX, whole lines. */
static size_t
header_size(const struct dsn *dsn)
{
	size_t limit = dsn->header_len < DSN_HEADER_MAX ? dsn->header_len : DSN_HEADER_MAX, end = 0;

	while (end < limit) {
		const char *at = dsn->header + end, *newline = memchr(at, '\n', limit - end);
		size_t len = newline == NULL ? 0 : (size_t)(newline + 1 - at);

		if (len == 0 || at[0] == '\r' || at[0] == '\n')
			break;
		end += len;
	}
	return end;
}

/* RFC 2045 6.7. */
static void
append_quoted_printable(struct buf *out, const char *octets, size_t len)
{
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)octets[i];
		bool ends_line = i + 1 < len && octets[i + 1] == '\r';
		bool plain = c > 0x20 ? c < 0x7f && c != '=' : c == ' ' && !ends_line;

		if (c == '\r' || c == '\n') {	/* a pair always, write_header() has seen to it */
			buf_append(out, &octets[i], 1);
			column = 0;
			continue;
		}
		/* Room for the "=" of a soft line break is left. */
		if (column + (plain ? 1 : 3) > QUOTED_LINE_MAX - 1) {
			buf_append_text(out, "=\r\n");
			column = 0;
		}
		if (plain)
			buf_append(out, &octets[i], 1);
		else
			buf_appendf(out, "=%02X", c);
		column += plain ? 1 : 3;
	}
}

/* Octets above 127 are encoded, as RFC 6522 4 has it for broken and extended headers: a
 * report is 7-bit, so that every relay takes it.  Returns whether there are any. */
static bool
write_header(const struct dsn *dsn, struct buf *out)
{
	size_t len = header_size(dsn);
	char *at = mem_dup(dsn->header, len);
	bool encode = false;

	for (size_t i = 0; i < len; i++) {
		if (at[i] == '\0' || (at[i] == '\r' && (i + 1 == len || at[i + 1] != '\n')) ||
		    (at[i] == '\n' && (i == 0 || at[i - 1] != '\r')))
			at[i] = '?';
		if ((unsigned char)at[i] > 0x7f)
			encode = true;
	}
	if (encode)
		append_quoted_printable(out, at, len);
	else
		buf_append(out, at, len);
	free(at);
	return encode;
}

static void
write_part(struct buf *out, const char *boundary, const char *type, bool encoded,
    const struct buf *part)
{
	line(out, "--%s", boundary);
	line(out, "Content-Type: %s", type);
	if (encoded)
		line(out, "Content-Transfer-Encoding: quoted-printable");
	line(out, "%s", "");
	buf_append(out, buf_octets(part), part->len);
	line(out, "%s", "");
}

static bool
occurs(const char *boundary, const struct buf *part)
{
	return part->len > 0 &&
	    memmem(buf_octets(part), part->len, boundary, strlen(boundary)) != NULL;
}

void
dsn_write(const struct dsn *dsn, struct buf *out)
{
	struct buf words = { 0 }, status = { 0 }, header = { 0 };
	char boundary[64];
	unsigned number = 0;
	bool encoded;

	write_words(dsn, &words);
	write_status(dsn, &status);
	encoded = write_header(dsn, &header);
	do	/* RFC 2046 5.1.1: it must not appear in any of the parts */
		snprintf(boundary, sizeof(boundary), "=_%.32s.%u", dsn->queue_id, number++);
	while (occurs(boundary, &words) || occurs(boundary, &status) || occurs(boundary, &header));
	write_fields(dsn, boundary, out);
	write_part(out, boundary, "text/plain; charset=us-ascii", false, &words);
	write_part(out, boundary, "message/delivery-status", false, &status);
	write_part(out, boundary, "text/rfc822-headers", encoded, &header);
	line(out, "--%s--", boundary);
	buf_free(&words);
	buf_free(&status);
	buf_free(&header);
}
