/* route_address.c - which addresses the DNS may send mail to, and which are our own. */
#include "relay/route_address.h"

#include "base/mem.h"
#include "net/endpoint.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* As IPv6, so that an address and its v4-mapped form (RFC 4291 2.5.5.2) are the same. */
static bool
read_address(const struct sockaddr *address, struct in6_addr *out)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (address == NULL)
		return false;
	if (address->sa_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		*out = in6.sin6_addr;
		return true;
	}
	if (address->sa_family != AF_INET)
		return false;
	memcpy(&in, address, sizeof(in));
	*out = (struct in6_addr){ .s6_addr = { [10] = 0xff, [11] = 0xff } };
	memcpy(out->s6_addr + 12, &in.sin_addr, 4);
	return true;
}

/* RFC 6890 2.2.2, RFC 1112 4: 0/8, 127/8, 169.254/16, 224/4, 240/4. */
static bool
is_usable_v4(const uint8_t octets[4])
{
	return octets[0] != 0 && octets[0] != 127 && octets[0] < 224 &&
	    !(octets[0] == 169 && octets[1] == 254);
}

bool
route_address_is_usable(const struct endpoint *address)
{
	struct in6_addr in6;

	if (!read_address(&address->address.any, &in6))
		return false;
	/* Mapped, and the compatible ones of old (RFC 4291 2.5.5.1): ::, ::1 are among them. */
	if (IN6_IS_ADDR_V4MAPPED(&in6) || memcmp(in6.s6_addr, in6addr_any.s6_addr, 12) == 0)
		return is_usable_v4(in6.s6_addr + 12);
	return !IN6_IS_ADDR_MULTICAST(&in6) && !IN6_IS_ADDR_LINKLOCAL(&in6);
}

void
route_address_read_own(struct route_own *own)
{
	struct ifaddrs *interfaces;
	struct in6_addr address;

	if (getifaddrs(&interfaces) == -1)
		return;
	for (const struct ifaddrs *one = interfaces; one != NULL; one = one->ifa_next) {
		if (!read_address(one->ifa_addr, &address))
			continue;
		own->items = mem_grow(own->items, own->count + 1, sizeof(*own->items));
		own->items[own->count++] = address;
	}
	freeifaddrs(interfaces);
}

bool
route_address_is_own(const struct route_own *own, const struct endpoint *address)
{
	struct in6_addr wanted;

	if (!read_address(&address->address.any, &wanted))
		return false;
	for (size_t i = 0; i < own->count; i++)
		if (IN6_ARE_ADDR_EQUAL(&own->items[i], &wanted))
			return true;
	return false;
}

void
route_address_free_own(struct route_own *own)
{
	free(own->items);
	*own = (struct route_own){ 0 };
}
