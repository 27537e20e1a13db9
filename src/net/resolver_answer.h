/* resolver_answer.h - what a DNS message says: every octet of it is hostile. */
#ifndef HERALD_NET_RESOLVER_ANSWER_H
#define HERALD_NET_RESOLVER_ANSWER_H

#include "net/resolver.h"

#define RESOLVER_ADDRESSES_MAX	10	/* more addresses behind one name help no mail */

struct resolver_answer {
	enum resolver_outcome outcome;
	const char *text;		/* why not; static, "" when found */
	size_t count;			/* of what was found; 0 otherwise */
};

/* RFC 1035 4.1.  The records are those that the name of the question leads to, over at most 8
 * aliases.  A message with a fault in any record is no answer: what it leaves out might matter.
 * `type` is ns_t_a or ns_t_aaaa; an address takes the first 4 or all 16 octets. */
struct resolver_answer resolver_answer_addresses(const uint8_t *octets, size_t len, unsigned type,
    uint8_t addresses[RESOLVER_ADDRESSES_MAX][16]);

/* The best RESOLVER_MX_MAX that can be host names, in order; each host once.  The order of equal
 * ones depends on `seed` alone. */
struct resolver_answer resolver_answer_mx(const uint8_t *octets, size_t len, uint64_t seed,
    struct resolver_mx records[RESOLVER_MX_MAX]);

/* What a response code other than ns_r_noerror means, RFC 1035 4.1.1, for that type. */
struct resolver_answer resolver_answer_refused(int response_code, unsigned type);
struct resolver_answer resolver_answer_failed(const char *text);

/* The next number after *state, which it changes; well mixed, not secret. */
uint64_t resolver_mix(uint64_t *state);

#endif
