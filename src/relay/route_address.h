/* route_address.h - which addresses the DNS may send mail to, and which are our own. */
#ifndef HERALD_RELAY_ROUTE_ADDRESS_H
#define HERALD_RELAY_ROUTE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

struct endpoint;
struct in6_addr;

/* A domain of others has no say over what is on this host or on its link: loopback, unspecified,
 * link-local, multicast, broadcast and reserved ones are refused (RFC 6890) in any form. */
bool route_address_is_usable(const struct endpoint *address);

/* The addresses of this machine's interfaces: mail to one of them would come back (RFC 5321 5.1).
 * Asking the kernel takes time where there are many: once for all hosts of a domain. */
struct route_own { struct in6_addr *items; size_t count; };
void route_address_read_own(struct route_own *own);	/* into zeros; empty where it fails */
bool route_address_is_own(const struct route_own *own, const struct endpoint *address);
void route_address_free_own(struct route_own *own);

#endif
