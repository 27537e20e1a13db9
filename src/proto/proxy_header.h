/* proxy_header.h - what a proxy says of its client before the client speaks: PROXY 1 and 2. */
#ifndef HERALD_PROTO_PROXY_HEADER_H
#define HERALD_PROTO_PROXY_HEADER_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Octets of a header: 107 of version 1; of version 2 with as many TLVs as a proxy may need
 * for the names of a certificate. */
#define PROXY_HEADER_MAX	4096

enum proxy_result {
	PROXY_NEEDS_MORE,		/* may become one: come again with all of it and more */
	PROXY_FOUND,			/* *out is the client */
	PROXY_LOCAL,			/* the proxy speaks for itself */
	PROXY_UNNAMED,			/* for a client of which it does not say who it is */
	PROXY_BAD,			/* no header, or a broken one */
};

struct proxy_header {
	char address[INET6_ADDRSTRLEN];	/* of the client; IPv4 where it is mapped into IPv6 */
	uint16_t port;
	bool is_ipv6;
};

/* "The PROXY protocol, versions 1 & 2", the HAProxy project.  *used: octets of the header,
 * where it was FOUND, LOCAL or UNNAMED; what follows is the client's.  Numbers in the source are
 * sections of that text. */
enum proxy_result proxy_header_parse(const char *octets, size_t len, struct proxy_header *out,
    size_t *used);

#endif
