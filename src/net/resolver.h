/* resolver.h - the DNS on the loop: addresses of hosts, mail exchangers of domains. */
#ifndef HERALD_NET_RESOLVER_H
#define HERALD_NET_RESOLVER_H

#include "net/endpoint.h"

struct error;
struct loop;
struct resolver;
struct resolver_query;

enum resolver_outcome {
	RESOLVER_FOUND,
	RESOLVER_NO_SUCH_NAME,		/* NXDOMAIN: the name is not there */
	RESOLVER_NO_ADDRESS,		/* the name is there, an address (or an MX) is not */
	RESOLVER_NULL_MX,		/* the domain takes no mail, RFC 7505 */
	RESOLVER_FAILED,		/* SERVFAIL, timeout, refused, bogus: ask again later */
};

/* libunbound on the loop (unbound-event.h), the servers of /etc/resolv.conf. */
struct resolver *resolver_new(struct loop *loop, struct error *err);
void resolver_free(struct resolver *resolver);	/* cancels what is under way */
/* Asks this server alone, "192.0.2.53" or "127.0.0.1@5300"; before the first query. */
bool resolver_use_server(struct resolver *resolver, const char *server, struct error *err)
    __attribute__((warn_unused_result));

/* `addresses` are borrowed, v6 and v4 in turn, at most 10; `text` says why not. */
typedef void resolver_done(void *arg, enum resolver_outcome outcome,
    const struct endpoint *addresses, size_t count, const char *text);

/* An address literal is answered without a lookup.  `done` never comes before this
 * returns, and comes exactly once unless cancelled. */
struct resolver_query *resolver_addresses(struct resolver *resolver, const char *host,
    uint16_t port, resolver_done *done, void *arg);

#define RESOLVER_HOST_MAX	254	/* octets of a host name with its NUL, RFC 1035 2.3.4 */
#define RESOLVER_MX_MAX		20	/* RULES N: more exchangers help no mail */

struct resolver_mx {
	uint16_t preference;		/* the lowest is tried first */
	char host[RESOLVER_HOST_MAX];	/* without the dot at the end */
};

/* `records` are borrowed, by preference, equal ones shuffled (RFC 5321 5.1), at most
 * RESOLVER_MX_MAX; `text` says why not.  RESOLVER_NO_ADDRESS: the domain has no MX record. */
typedef void resolver_mx_done(void *arg, enum resolver_outcome outcome,
    const struct resolver_mx *records, size_t count, const char *text);

/* Aliases are followed (RFC 5321 5.1).  `done` as that of resolver_addresses(). */
struct resolver_query *resolver_mx(struct resolver *resolver, const char *domain,
    resolver_mx_done *done, void *arg);

void resolver_cancel(struct resolver_query *query);	/* NULL is allowed, and one that is done */

/* At reload: reads resolv.conf(5) and hosts(5) anew where they have changed since.  Queries under
 * way go on with what they were asked with. */
void resolver_refresh(struct resolver *resolver);
/* For tests: the shuffle is always the same. */
void resolver_set_seed(struct resolver *resolver, uint64_t seed);

#endif
