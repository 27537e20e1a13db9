/* fetch_decode.h - content out of its Content-Transfer-Encoding (RFC 2045 6), octet by octet. */
#ifndef HERALD_CLIENT_FETCH_DECODE_H
#define HERALD_CLIENT_FETCH_DECODE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fetch_encoding {
	FETCH_ENCODING_NONE,		/* 7bit, 8bit, binary, and what no one knows: as it is */
	FETCH_ENCODING_BASE64,
	FETCH_ENCODING_QUOTED,
};

/* All zero but `encoding` is a fresh one. */
struct fetch_decoder {
	enum fetch_encoding encoding;
	uint32_t bits;			/* base64: of the group that is not whole yet */
	unsigned count;			/* and its characters */
	char held[8];			/* quoted-printable: "=" and what came behind it */
	size_t held_len;
	bool is_broken;			/* what should not be there was, or the end is missing */
};

/* Appends to `out`.  Base64 goes on behind its padding, as pieces put together need it; what is
 * neither of its alphabet nor blank is left out.  A "=" of quoted-printable that means nothing
 * stays as it is. */
void fetch_decode(struct fetch_decoder *decoder, const char *octets, size_t len, struct buf *out);
void fetch_decode_end(struct fetch_decoder *decoder, struct buf *out);

/* The value of a hexadecimal digit, else -1. */
int fetch_decode_digit(char digit);

#endif
