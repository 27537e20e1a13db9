/* map.h - finds an object by its text key; for counts by client and the like. */
#ifndef HERALD_BASE_MAP_H
#define HERALD_BASE_MAP_H

#include <stddef.h>

struct map;

/* Keys are copied, values borrowed and never NULL.  The hash is seeded at random,
 * so that no peer can choose keys that collide. */
struct map *map_new(void);
void map_free(struct map *map);				/* NULL is allowed */
void *map_get(const struct map *map, const char *key);	/* NULL: none */
void map_put(struct map *map, const char *key, void *value);	/* replaces */
void *map_remove(struct map *map, const char *key);	/* the value, or NULL */
size_t map_count(const struct map *map);
/* In no particular order; `each` may remove the entry it was called with. */
void map_each(struct map *map, void (*each)(void *arg, const char *key, void *value), void *arg);

#endif
