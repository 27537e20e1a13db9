/* fetch_word.h - the text of a header field with its encoded words (RFC 2047), as UTF-8. */
#ifndef HERALD_CLIENT_FETCH_WORD_H
#define HERALD_CLIENT_FETCH_WORD_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

/* Appends valid UTF-8 on one line: folds go, controls that would break a line become blanks.
 * Encoded words are taken wherever they stand, in quotes too, and with blanks in them; octets
 * beyond ASCII outside of them as fetch_charset_new(NULL) has it.  Words of one charset beside
 * each other are one text, as a character may be cut between them.  Returns how many octets were
 * looked at. */
uint64_t fetch_word_decode(const char *text, size_t len, struct buf *out);

/* Appends with blanks for line ends, tabs and NUL. */
void fetch_word_append_line(const char *octets, size_t len, struct buf *out);

#endif
