/* smtp_reply.h - reads one SMTP reply, of one line or many, within bounds. */
#ifndef HERALD_PROTO_SMTP_REPLY_H
#define HERALD_PROTO_SMTP_REPLY_H

#include "base/buf.h"
#include "mail/status.h"

#include <stddef.h>
#include <stdint.h>

/* RULES R: four times the 512 octets of RFC 5321 4.5.3.1.5, and what no EHLO answer needs. */
#define SMTP_REPLY_LINE_MAX	2048	/* octets with CRLF */
#define SMTP_REPLY_LINES_MAX	100
#define SMTP_REPLY_MAX		(64 * 1024)	/* octets of all lines */

/* All zero is the start. */
struct smtp_reply {
	uint16_t code;			/* of the lines read so far; 200..599 */
	unsigned line_count;
	size_t octets;
	struct buf text;		/* of each line without its code, joined by '\n' */
	const char *fault;		/* what is wrong with it, after SMTP_REPLY_BAD */
};

enum smtp_reply_read { SMTP_REPLY_MORE, SMTP_REPLY_COMPLETE, SMTP_REPLY_BAD };

/* Reads whole lines until the reply ends; *used octets are consumed, never one behind the
 * reply.  MORE: a part of a line may be left, it must come again with what follows it.
 * A line ends with CRLF: a bare LF is a fault (who cannot end a line cannot be trusted to
 * say which reply is which), a bare CR or NUL is text, which status_parse() escapes. */
enum smtp_reply_read smtp_reply_read(struct smtp_reply *reply, const char *octets, size_t len,
    size_t *used);

struct status smtp_reply_status(const struct smtp_reply *reply);
/* The line after `*at` (0 at first), not NUL-ended; NULL behind the last. */
const char *smtp_reply_line(const struct smtp_reply *reply, size_t *at, size_t *len);
void smtp_reply_reset(struct smtp_reply *reply);	/* for the next one; keeps the memory */
void smtp_reply_free(struct smtp_reply *reply);

#endif
