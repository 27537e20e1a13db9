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
	char local[ADDRESS_LOCAL_MAX + 1];	/* wire form: case and quotes kept */
	char domain[ADDRESS_DOMAIN_MAX + 1];	/* lower case, or a literal "[192.0.2.1]" */
};

enum address_fault { ADDRESS_OK, ADDRESS_SYNTAX, ADDRESS_TOO_LONG, ADDRESS_NOT_ASCII };

/* Reads "<path>" at `text`, which is `len` octets (no NUL needed); *used says how many
 * were read, so that the ESMTP parameters follow.  A source route is accepted and
 * dropped, as RFC 5321 appendix C asks.  A bare local part without a domain is taken
 * only for "postmaster" (RFC 5321 4.1.1.3), with an empty domain.  No octet below 0x20,
 * 0x7f or above gets into an address: here is the one constructor (RULES H). */
enum address_fault address_parse_path(struct address *out, const char *text, size_t len,
    size_t *used);
/* The same without the angle brackets, whole text: for the conffile and the store. */
enum address_fault address_parse(struct address *out, const char *text, size_t len);
bool address_is_null(const struct address *address);
bool address_equal(const struct address *a, const struct address *b);	/* local part: by case */
/* "local@domain", or "" for the null path. */
const char *address_text(const struct address *address, char out[ADDRESS_TEXT_MAX + 1]);

#endif
