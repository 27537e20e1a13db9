/* send_header.h - header fields of a mail: words encoded and lines folded. */
#ifndef HERALD_CLIENT_SEND_HEADER_H
#define HERALD_CLIENT_SEND_HEADER_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* The value of a field as it stands behind "Name:": begins with a blank, lines end with LF.
 * A line is at most 78 octets long where its words are (RFC 5322 2.1.1). */
struct send_header {
	struct buf value;
	size_t column;		/* of the open line */
};

void send_header_begin(struct send_header *header, const char *name);
/* Ends the last line; the value, until send_header_free(). */
const char *send_header_end(struct send_header *header);
void send_header_free(struct send_header *header);

/* Octets that stay together, behind a blank or on a new line. */
void send_header_word(struct send_header *header, const char *word, size_t len);
/* ASCII, folded at its blanks alone; it reads back the same. */
void send_header_plain(struct send_header *header, const char *text);
/* UTF-8 that reads back the same: as it is, or in encoded words (RFC 2047). */
void send_header_text(struct send_header *header, const char *text);
/* A display name: atoms, in quotes, or in encoded words. */
void send_header_phrase(struct send_header *header, const char *name);
/* "; name=value" in the form that its value wants: RFC 2231 where that is not plain ASCII.
 * The field began with a word. */
void send_header_parameter(struct send_header *header, const char *name, const char *value);

#endif
