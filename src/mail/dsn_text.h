/* dsn_text.h - lines and fields of a report, which nothing written by others can break. */
#ifndef HERALD_MAIL_DSN_TEXT_H
#define HERALD_MAIL_DSN_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;
struct buf;

/* One line.  Whatever is not printable ASCII becomes a question mark: no argument can end the
 * line, however it came into the store (RULES H). */
void dsn_line(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same, but UTF-8 stays. */
void dsn_line_utf8(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

bool dsn_is_ascii(const char *octets, size_t len);
/* RFC 2045 6.7, of lines that end with CRLF. */
void dsn_quoted_printable(struct buf *out, const char *octets, size_t len);

/* What the report is, and to whom. */
struct dsn_head {
	const char *hostname, *queue_id;	/* ours, and that of the report */
	const struct address *sender;
	const char *subject;
	const char *message_id;		/* of what it is about; NULL: not known, or several */
	int64_t now;			/* Unix seconds */
};
/* The header section up to and with MIME-Version.  The address of the sender is ASCII, unless
 * address_needs_utf8(). */
void dsn_head_write(const struct dsn_head *head, struct buf *out);

#endif
