/* rewrite_name.h - names and addresses in the form that a header field takes. */
#ifndef HERALD_MAIL_REWRITE_NAME_H
#define HERALD_MAIL_REWRITE_NAME_H

#include "mail/address.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct header_span;

/* The octets of a span without blanks, folds and comments, NUL-ended; false where they do not
 * fit or one is a NUL. */
bool rewrite_plain(const char *body, const struct header_span *span, char *out, size_t size)
    __attribute__((warn_unused_result));

/* As it may stand in a header that is ASCII: A-labels, where the local part allows it. */
const char *rewrite_address_text(const struct address *address, char out[ADDRESS_TEXT_MAX + 1]);

/* Whether the words of a span are a display name as they stand: RFC 5322 3.2.5 and 4.1. */
bool rewrite_is_phrase(const char *body, const struct header_span *span);
/* Whether a local part without a domain is a plain name, and not the rest of something. */
bool rewrite_is_name(const char *body, const struct header_span *local);

/* A display name of any octets: in quotes, but for encoded words (RFC 2047), which stay such.
 * Folds become blanks, controls go, the length is bounded.  False where nothing is left. */
bool rewrite_append_name(struct buf *out, const char *text, size_t len);
/* The same of a comment with its parentheses. */
bool rewrite_append_comment(struct buf *out, const char *comment, size_t len);

#endif
