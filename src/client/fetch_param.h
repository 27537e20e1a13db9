/* fetch_param.h - the value and the parameters of a MIME field (RFC 2045 5.1, RFC 2231). */
#ifndef HERALD_CLIENT_FETCH_PARAM_H
#define HERALD_CLIENT_FETCH_PARAM_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pieces of one parameter (RFC 2231 3); those behind are left out. */
#define FETCH_PARAM_PIECES 1000

/* What was found out on the way; each call adds to it. */
struct fetch_param_notes {
	bool is_cut;			/* a parameter has too many pieces */
	uint64_t work;			/* octets looked at */
};

/* All take the body of a field, any octets; time and memory go with its length.  Each appends
 * to `out`. */

/* What stands before the parameters, in lower case, without comments and blanks. */
void fetch_param_value(const char *field, size_t len, struct buf *out);

/* The octets of a parameter, from its pieces and without quotes, not converted.  False: it is
 * not there. */
bool fetch_param_octets(const char *field, size_t len, const char *name, struct buf *out,
    struct fetch_param_notes *notes);

/* The same as UTF-8 on one line: by the charset of RFC 2231, or else with encoded words, which
 * should not stand there and do. */
bool fetch_param_text(const char *field, size_t len, const char *name, struct buf *out,
    struct fetch_param_notes *notes);

#endif
