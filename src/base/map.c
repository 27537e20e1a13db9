/* map.c - finds an object by its text key; for counts by client and the like. */
#include "base/map.h"

#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MAP_FIRST	16	/* buckets; a power of two */

struct entry {
	struct entry *next;
	uint64_t hash;
	void *value;
	char key[];
};

struct map {
	struct entry **buckets;
	size_t bucket_count;		/* a power of two, at least `count` */
	size_t count;
	uint64_t seed;
};

/* FNV-1a over a secret start value, then mixed: peers cannot aim at a bucket. */
static uint64_t
hash_key(const struct map *map, const char *key)
{
	uint64_t hash = map->seed;

	for (; *key != '\0'; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93u;
	return hash ^ (hash >> 29);
}

static struct entry **
find(const struct map *map, const char *key, uint64_t hash)
{
	struct entry **at = &map->buckets[hash & (map->bucket_count - 1)];

	while (*at != NULL && ((*at)->hash != hash || strcmp((*at)->key, key) != 0))
		at = &(*at)->next;
	return at;
}

static void
grow(struct map *map)
{
	size_t wider = map->bucket_count * 2, i;
	struct entry **buckets = mem_array(wider, sizeof(*buckets));

	for (i = 0; i < map->bucket_count; i++) {
		struct entry *entry = map->buckets[i];

		while (entry != NULL) {
			struct entry *next = entry->next;
			struct entry **to = &buckets[entry->hash & (wider - 1)];

			entry->next = *to;
			*to = entry;
			entry = next;
		}
	}
	free(map->buckets);
	map->buckets = buckets;
	map->bucket_count = wider;
}

struct map *
map_new(void)
{
	struct map *map = mem_zalloc(sizeof(*map));

	map->bucket_count = MAP_FIRST;
	map->buckets = mem_array(MAP_FIRST, sizeof(*map->buckets));
	if (getrandom(&map->seed, sizeof(map->seed), 0) != sizeof(map->seed))
		abort();
	return map;
}

void
map_free(struct map *map)
{
	size_t i;

	if (map == NULL)
		return;
	for (i = 0; i < map->bucket_count; i++) {
		while (map->buckets[i] != NULL) {
			struct entry *entry = map->buckets[i];

			map->buckets[i] = entry->next;
			free(entry);
		}
	}
	free(map->buckets);
	free(map);
}

void *
map_get(const struct map *map, const char *key)
{
	const struct entry *entry = *find(map, key, hash_key(map, key));

	return entry != NULL ? entry->value : NULL;
}

void
map_put(struct map *map, const char *key, void *value)
{
	uint64_t hash = hash_key(map, key);
	struct entry **at = find(map, key, hash), *entry;
	size_t len;

	if (*at != NULL) {
		(*at)->value = value;
		return;
	}
	len = strlen(key);
	entry = mem_alloc(sizeof(*entry) + len + 1);
	memcpy(entry->key, key, len + 1);
	entry->hash = hash;
	entry->value = value;
	entry->next = NULL;
	*at = entry;
	if (++map->count > map->bucket_count)
		grow(map);
}

void *
map_remove(struct map *map, const char *key)
{
	struct entry **at = find(map, key, hash_key(map, key)), *entry = *at;
	void *value;

	if (entry == NULL)
		return NULL;
	value = entry->value;
	*at = entry->next;
	free(entry);
	map->count--;
	return value;
}

size_t
map_count(const struct map *map)
{
	return map->count;
}

void
map_each(struct map *map, void (*each)(void *arg, const char *key, void *value), void *arg)
{
	size_t i;

	for (i = 0; i < map->bucket_count; i++) {
		struct entry *entry = map->buckets[i], *next;

		for (; entry != NULL; entry = next) {
			next = entry->next;
			each(arg, entry->key, entry->value);
		}
	}
}
