/* guard.c - datagrams that must not be answered: forged ones, and those that would make a loop. */
#include "services/guard.h"

#include <netinet/in.h>
#include <stddef.h>
#include <string.h>

/* UDP services from 1024 up that answer whoever asks: SQL Server, SSDP, NFS, Apple Remote
 * Desktop, WS-Discovery, mDNS, CoAP, Ubiquiti discovery, memcached.  Those from 32768 up
 * are left out: clients have such ports. */
static const uint16_t reflectors[] = { 1434, 1900, 2049, 3283, 3702, 5353, 5683, 10001, 11211 };

static bool
is_service_port(uint16_t port)
{
	if (port < IPPORT_RESERVED)
		return true;
	for (size_t i = 0; i < sizeof(reflectors) / sizeof(reflectors[0]); i++)
		if (port == reflectors[i])
			return true;
	return false;
}

static bool
is_host_v4(uint32_t address)
{
	/* 0.0.0.0/8 is "this network" (RFC 1122); from 224.0.0.0 up: multicast, reserved. */
	return address >> 24 != 0 && address >> 24 < 224;
}

static bool
is_host_v6(const struct in6_addr *address)
{
	return !IN6_IS_ADDR_UNSPECIFIED(address) && !IN6_IS_ADDR_MULTICAST(address) &&
	    !IN6_IS_ADDR_V4MAPPED(address) && !IN6_IS_ADDR_V4COMPAT(address);
}

uint16_t
guard_port(const struct sockaddr *source)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (source->sa_family == AF_INET) {
		memcpy(&in, source, sizeof(in));
		return ntohs(in.sin_port);
	}
	memcpy(&in6, source, sizeof(in6));
	return ntohs(in6.sin6_port);
}

enum guard_verdict
guard_source(const struct sockaddr *source)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (source->sa_family != AF_INET && source->sa_family != AF_INET6)
		return GUARD_ADDRESS;
	if (is_service_port(guard_port(source)))
		return GUARD_PORT;
	if (source->sa_family == AF_INET) {
		memcpy(&in, source, sizeof(in));
		return is_host_v4(ntohl(in.sin_addr.s_addr)) ? GUARD_GOOD : GUARD_ADDRESS;
	}
	memcpy(&in6, source, sizeof(in6));
	return is_host_v6(&in6.sin6_addr) ? GUARD_GOOD : GUARD_ADDRESS;
}
