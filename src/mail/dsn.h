/* dsn.h - the report to a sender whose mail failed, RFC 3464. */
#ifndef HERALD_MAIL_DSN_H
#define HERALD_MAIL_DSN_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct envelope;

#define DSN_HEADER_MAX	(16 * 1024)	/* octets of the original's header section kept */

/* All borrowed. */
struct dsn {
	const char *hostname;		/* who reports */
	const char *queue_id;		/* of the report, for its Message-ID */
	/* Its recipients are those that failed, each with its last status and relay. */
	const struct envelope *failed;
	const char *header;		/* where the original's mail data begins */
	size_t header_len;		/* octets; a part of the body may be among them */
	int64_t now;			/* Unix seconds */
};

/* Appends the report as canonical mail data: a multipart/report with words for people, the
 * message/delivery-status, and the original's header section.  Nothing of what peers or
 * senders wrote can end a line, a field or a part, and all of it is 7-bit. */
void dsn_write(const struct dsn *dsn, struct buf *out);

#endif
