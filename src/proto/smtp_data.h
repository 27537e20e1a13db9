/* smtp_data.h - mail data on the wire: dots, CRLF and the one true end. */
#ifndef HERALD_PROTO_SMTP_DATA_H
#define HERALD_PROTO_SMTP_DATA_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* RFC 5321 4.1.1.4 and 4.5.2: the end is CRLF.CRLF, or .CRLF directly behind the command,
 * and nothing else (RULES E).  Works on blocks cut anywhere. */
struct smtp_decoder {		/* a value; all zero is the start of mail data */
	unsigned char state;
	bool normalize;		/* a bare LF becomes CRLF in the content; never an end */
	bool bare;		/* a CR or LF without the other was seen (and not normalized) */
	bool nul;		/* a NUL was seen */
};

/* Decodes until the end or until `len` octets are used up; content goes to `take` in
 * blocks as large as possible (found by memchr, not copied by line), dots removed.
 * Returns the octets used; *end is true once the end was read: what follows is commands. */
size_t smtp_decode(struct smtp_decoder *decoder, const char *octets, size_t len, bool *end,
    void (*take)(void *arg, const char *octets, size_t len), void *arg);

/* The other way: canonical content to dot-stuffed wire form.  A bare CR or LF cannot
 * leave: it is made CRLF. */
struct smtp_encoder { unsigned char state; };	/* a value; all zero is the start */
void smtp_encode(struct smtp_encoder *encoder, struct buf *out, const char *octets, size_t len);
void smtp_encode_end(struct smtp_encoder *encoder, struct buf *out);	/* [CRLF].CRLF */

#endif
