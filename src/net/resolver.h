/* resolver.h - from a host name to its addresses, by /etc/hosts and then the DNS. */
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
	RESOLVER_NO_ADDRESS,		/* the name is there, an address is not */
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
void resolver_cancel(struct resolver_query *query);

#endif
