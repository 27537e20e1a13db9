/* route.h - the places that will take the mail of a relay, one after the other. */
#ifndef HERALD_RELAY_ROUTE_H
#define HERALD_RELAY_ROUTE_H

#include "mail/status.h"
#include "net/endpoint.h"
#include "relay/route_memory.h"

#include <stddef.h>
#include <stdint.h>

struct loop;
struct relay_config;
struct resolver;
struct route;

/* RULES N: exchangers tried are at most RESOLVER_MX_MAX, and of each so many addresses. */
#define ROUTE_MX_ADDRESSES_MAX	5

/* One address of one host: where to connect.  A value. */
struct next_hop {
	char host[ENDPOINT_HOST_MAX + 1];	/* to verify, and for SNI; may be a literal */
	uint16_t port;			/* host byte order */
	struct endpoint address;
};

/* All borrowed; `domain` is copied, the rest outlives the route. */
struct route_params {
	const struct relay_config *config;
	struct resolver *resolver;
	const char *domain;	/* of the recipients, or "[192.0.2.1]"; NULL: config->hosts */
	const char *hostname;	/* our own, RFC 5321 5.1 */
	struct route_memory *memory;	/* or NULL: nothing is known */
};

/* Walks over the hosts of the configuration in their order, or over the exchangers of the domain
 * by their preference, and over the addresses of each.  Nothing is looked up before the first
 * route_next(). */
struct route *route_new(struct loop *loop, const struct route_params *params);
void route_free(struct route *route);		/* NULL is allowed; no answer comes after it */

/* `hop` is borrowed for the call; NULL: there is none left, and `failure` says what the
 * lookups had to say where that was the reason, else it is NULL as well.  Lookups of
 * configured hosts fail transiently: a wrong name in the conffile is no fault of the mail.
 * Those of a domain may fail for good: 5.1.2 no such domain, 5.1.10 it takes no mail,
 * 5.4.4 no address, 5.4.6 it is this host. */
typedef void route_found(void *arg, const struct next_hop *hop, const struct status *failure);

/* Comes exactly once, never before this returns; one question at a time. */
void route_next(struct route *route, route_found *found, void *arg);

/* "smtp.example.net[192.0.2.7]:465", as the log's relay=. */
#define ROUTE_TEXT_MAX	(ENDPOINT_HOST_MAX + ENDPOINT_ADDRESS_MAX + 16)
const char *next_hop_text(const struct next_hop *hop, char out[ROUTE_TEXT_MAX]);

#endif
