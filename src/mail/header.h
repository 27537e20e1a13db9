/* header.h - the header section of a message: what herald writes there, and what it reads. */
#ifndef HERALD_MAIL_HEADER_H
#define HERALD_MAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;
struct buf;

#define HEADER_DATE_SIZE	40	/* "Mon, 23 Nov 2026 05:06:07 +0000" and some room */
#define HEADER_MESSAGE_ID_MAX	250	/* octets kept of a Message-ID; a log field has 256 */

/* RFC 5322 3.3, in the time zone of this machine. */
const char *header_date(char out[HEADER_DATE_SIZE], int64_t unix_seconds);
/* "<TIME.QUEUE-ID@HOSTNAME>", RFC 5322 3.6.4: unique because the queue id is. */
const char *header_new_message_id(char *out, size_t size, const char *queue_id,
    const char *hostname, int64_t unix_seconds);

/* Where a message came from.  Texts are borrowed; the HELO name is a peer's and is made safe. */
struct header_received {
	const char *helo;
	const char *client_name;	/* "localhost", "unknown" */
	const char *client_address;	/* "192.0.2.1", "2001:db8::1"; NULL for a UNIX socket: */
	unsigned client_uid;		/* the uid of its other end */
	const char *hostname;		/* ours */
	const char *protocol;		/* "SMTP", "ESMTP" (RFC 3848) */
	const char *queue_id;
	const struct address *forward_path;	/* NULL where there are several: Bcc */
	int64_t arrived;		/* Unix seconds */
};
/* Appends the field of RFC 5321 4.4, folded, with its CRLF. */
void header_append_received(struct buf *out, const struct header_received *received);

/* Reads a header section from blocks cut anywhere; memory does not grow with it.  A value;
 * all zero is the start. */
struct header_scanner {
	unsigned char state;
	bool ended;			/* the empty line was seen: the body has begun */
	bool has_message_id;
	unsigned received;		/* Received fields: hops so far (RFC 5321 6.3) */
	char name[16];			/* of the field being read, lower case */
	size_t name_len;
	char message_id[HEADER_MESSAGE_ID_MAX];	/* of the first such field, as it stands there */
	size_t message_id_len;
};
void header_scan(struct header_scanner *scanner, const char *octets, size_t len);

#endif
