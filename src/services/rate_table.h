/* rate_table.h - how much each source network may ask, in memory that does not grow. */
#ifndef HERALD_SERVICES_RATE_TABLE_H
#define HERALD_SERVICES_RATE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct rate_table;
struct sockaddr;

/* `count` in `seconds`, `burst` at once; a source is an IPv4 /24 or an IPv6 /56, which is
 * what one subscriber has.  1 MiB whatever comes. */
struct rate_table *rate_table_new(uint64_t count, uint64_t seconds, unsigned burst);
void rate_table_free(struct rate_table *table); /* NULL is allowed */

/* Takes one from the source's share at monotonic time `now_us`; false when it is used up.
 * A v4-mapped address counts as IPv4. */
bool rate_table_take(struct rate_table *table, const struct sockaddr *source, int64_t now_us);

/* Sources that have less than their full burst left. */
unsigned rate_table_used(const struct rate_table *table, int64_t now_us);

#endif
