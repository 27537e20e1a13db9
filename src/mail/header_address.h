/* header_address.h - the mailboxes of a header field, where they stand in its octets. */
#ifndef HERALD_MAIL_HEADER_ADDRESS_H
#define HERALD_MAIL_HEADER_ADDRESS_H

#include "mail/header_token.h"

#include <stdbool.h>
#include <stddef.h>

/* first == end: it is not there. */
struct header_span { size_t first, end; };

/* What stands between commas (RFC 5322 3.4), good or bad: offsets into the field's body. */
struct header_mailbox {
	struct header_span whole;	/* with names and comments, without blanks around it */
	/* The address with an obsolete route (RFC 5322 4.4); not there: it has none that could
	 * be read, and the rest means nothing but `whole`. */
	struct header_span spec;
	struct header_span local;	/* words and dots, blanks and comments between them */
	struct header_span domain;
	bool has_at;
	struct header_span name;	/* before the "<", up to it */
	struct header_span comment;	/* the last one, with its parentheses */
	bool is_open;			/* which is never closed */
	bool in_brackets;
	bool is_loose;			/* words without a bracket stand beside it: broken */
};

/* Goes through a field's body, groups too.  Set text and len; no octets of it are copied. */
struct header_addresses { struct header_tokens tokens; };
/* False at the end. */
bool header_address_next(struct header_addresses *addresses, struct header_mailbox *out);

#endif
