/* address.h - the RFC 5321 mailbox, as it stands between < and >. */
#ifndef HERALD_MAIL_ADDRESS_H
#define HERALD_MAIL_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define ADDRESS_LOCAL_MAX	64	/* octets, RFC 5321 4.5.3.1.1 */
#define ADDRESS_DOMAIN_MAX	255	/* octets, RFC 5321 4.5.3.1.2 */
#define ADDRESS_TEXT_MAX	(ADDRESS_LOCAL_MAX + 1 + ADDRESS_DOMAIN_MAX)

/* A value: copy it with =.  The null reverse-path <> has both parts empty. */
struct address {
	char local[ADDRESS_LOCAL_MAX + 1];	/* wire form: case and quotes kept; UTF-8 */
	/* Lower case, where it is ASCII, or a literal "[192.0.2.1]".  U-labels stay as given. */
	char domain[ADDRESS_DOMAIN_MAX + 1];
};

enum address_fault { ADDRESS_OK, ADDRESS_SYNTAX, ADDRESS_TOO_LONG, ADDRESS_NOT_ASCII };

/* Reads "<path>" at `text`, which is `len` octets (no NUL needed); *used says how many
 * were read, so that the ESMTP parameters follow.  A source route is accepted and
 * dropped, as RFC 5321 appendix C asks.  A bare local part without a domain is taken
 * only for "postmaster" (RFC 5321 4.1.1.3), with an empty domain.  No control, no line or
 * paragraph separator and no octets that are not UTF-8 get into an address: here is the one
 * constructor (RULES H).  utf8: beyond ASCII is allowed (RFC 6531 3.3), else NOT_ASCII. */
enum address_fault address_parse_path(struct address *out, const char *text, size_t len,
    bool utf8, size_t *used);
/* The same without the angle brackets, whole text, UTF-8 allowed: for the conffile and the
 * store. */
enum address_fault address_parse(struct address *out, const char *text, size_t len);
/* The same, and a local part alone: a name of this machine. */
enum address_fault address_parse_name(struct address *out, const char *text, size_t len);
bool address_is_null(const struct address *address);
bool address_is_ascii(const struct address *address);
/* Whether a hop must offer SMTPUTF8 to take it: a domain alone can be sent as A-labels. */
bool address_needs_utf8(const struct address *address);
/* The domain with its U-labels as A-labels (RFC 5890), for the DNS and for hops without
 * SMTPUTF8; an ASCII one as it is.  False where no name in the DNS can be meant. */
bool address_domain_ascii(const struct address *address, char out[ADDRESS_DOMAIN_MAX + 1])
    __attribute__((warn_unused_result));
bool address_equal(const struct address *a, const struct address *b);	/* local part: by case */
/* "local@domain", or "" for the null path. */
const char *address_text(const struct address *address, char out[ADDRESS_TEXT_MAX + 1]);

#endif
