/* guard.h - datagrams that must not be answered: forged ones, and those that would make a loop. */
#ifndef HERALD_SERVICES_GUARD_H
#define HERALD_SERVICES_GUARD_H

#include <stdbool.h>
#include <stdint.h>

struct sockaddr;

enum guard_verdict {
	GUARD_GOOD,
	GUARD_PORT,    /* a service answers there, not a client: 0, below 1024, a known reflector */
	GUARD_ADDRESS, /* no single host: unspecified, multicast, broadcast, v4 within v6 */
};

/* Judges where a datagram says that it comes from.  A UDP source is whatever its sender
 * wrote: an answer to another service's port goes round for ever (CVE-1999-0103, CVE-2024-2169). */
enum guard_verdict guard_source(const struct sockaddr *source);

uint16_t guard_port(const struct sockaddr *source); /* host byte order */

#endif
