/* route_memory.h - which places took no mail of late, so that others are tried before them. */
#ifndef HERALD_RELAY_ROUTE_MEMORY_H
#define HERALD_RELAY_ROUTE_MEMORY_H

#include <stdbool.h>

struct next_hop;

/* Shared by the routes of one destination.  A place that has failed is tried after all others
 * for 30 s, when it fails again after that for twice as long, up to 10 min; then it is in its
 * order again.  So failover does not pay for a dead host with every session, and mail goes back to
 * the first host when it recovers. */
struct route_memory;

struct route_memory *route_memory_new(void);
void route_memory_free(struct route_memory *memory);	/* NULL is allowed */
void route_memory_failed(struct route_memory *memory, const struct next_hop *hop);
void route_memory_good(struct route_memory *memory, const struct next_hop *hop);
/* All is forgotten: the administrator wants every place to be tried. */
void route_memory_clear(struct route_memory *memory);

bool route_memory_is_bad(const struct route_memory *memory, const struct next_hop *hop);

#endif
