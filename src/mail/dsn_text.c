/* dsn_text.c - lines and fields of a report, which nothing written by others can break. */
#include "mail/dsn_text.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "mail/address.h"
#include "mail/header.h"

#define LINE_SIZE	(998 + 1)	/* octets, RFC 5322 2.1.1, and the NUL */
#define QUOTED_LINE_MAX	76	/* octets, RFC 2045 6.7 (5) */

static void __attribute__((format(printf, 2, 0)))
append_line(struct buf *out, const char *fmt, va_list ap, bool utf8)
{
	char text[LINE_SIZE];

	vsnprintf(text, sizeof(text), fmt, ap);
	utf8 = utf8 && text_utf8_valid(text, strlen(text));
	for (char *c = text; *c != '\0'; c++) {
		unsigned char octet = (unsigned char)*c;

		if (octet < 0x20 || octet == 0x7f || (octet >= 0x80 && !utf8))
			*c = '?';
	}
	buf_append_text(out, text);
	buf_append_text(out, "\r\n");
}

void
dsn_line(struct buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append_line(out, fmt, ap, false);
	va_end(ap);
}

void
dsn_line_utf8(struct buf *out, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	append_line(out, fmt, ap, true);
	va_end(ap);
}

bool
dsn_is_ascii(const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)octets[i] > 0x7f)
			return false;
	return true;
}

void
dsn_quoted_printable(struct buf *out, const char *octets, size_t len)
{
	size_t column = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)octets[i];
		bool ends_line = i + 1 < len && octets[i + 1] == '\r';
		bool plain = c > 0x20 ? c < 0x7f && c != '=' : c == ' ' && !ends_line;

		if (c == '\r' || c == '\n') {	/* a pair always, the caller has seen to it */
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

void
dsn_head_write(const struct dsn_head *head, struct buf *out)
{
	char text[ADDRESS_TEXT_MAX + 1], date[HEADER_DATE_SIZE], id[512];
	struct address sender = *head->sender;

	/* A domain that cannot be A-labels stays as it is, and needs SMTPUTF8. */
	if (!address_needs_utf8(&sender) && !address_domain_ascii(head->sender, sender.domain))
		sender = *head->sender;
	dsn_line(out, "Date: %s", header_date(date, head->now));
	dsn_line(out, "From: MAILER-DAEMON@%s (Mail Delivery System)", head->hostname);
	dsn_line_utf8(out, "To: <%s>", address_text(&sender, text));
	dsn_line(out, "Subject: %s", head->subject);
	dsn_line(out, "Message-ID: %s", header_new_message_id(id, sizeof(id), head->queue_id,
	    head->hostname, head->now));
	if (head->message_id != NULL) {		/* RFC 3834 3.1.5 */
		dsn_line(out, "In-Reply-To: %s", head->message_id);
		dsn_line(out, "References: %s", head->message_id);
	}
	dsn_line(out, "Auto-Submitted: auto-replied");
	dsn_line(out, "MIME-Version: 1.0");
}
