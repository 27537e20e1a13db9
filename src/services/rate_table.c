/* rate_table.c - how much each source network may ask, in memory that does not grow. */
#include "services/rate_table.h"

#include "base/mem.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SETS 16384u /* a power of two; 1 MiB, 65536 sources */
#define WAYS 4

/* Virtual scheduling, which is a token bucket in one number: the bucket is full when
 * `full_us` has passed, and each request moves it on by one interval. */
struct bucket {
	uint64_t source; /* 0: never used */
	int64_t full_us;
};

/* One line of the cache: a request touches no second one. */
struct set {
	_Alignas(64) struct bucket buckets[WAYS];
};

_Static_assert(sizeof(struct set) == 64, "a set fills one cache line");

struct rate_table {
	struct set *sets;
	int64_t interval_us, burst_us;
	uint64_t key[2]; /* of the hash, so that no one can aim at a set */
	uint64_t random;
};

struct rate_table *
rate_table_new(uint64_t count, uint64_t seconds, unsigned burst)
{
	struct rate_table *table = mem_zalloc(sizeof(*table));

	table->sets = aligned_alloc(sizeof(struct set), SETS * sizeof(struct set));
	if (table->sets == NULL)
		abort();
	memset(table->sets, 0, SETS * sizeof(struct set));
	table->interval_us = (int64_t)(seconds * 1000000 / count);
	if (table->interval_us == 0)
		table->interval_us = 1;
	table->burst_us = table->interval_us * burst;
	if (getrandom(table->key, sizeof(table->key), 0) != (ssize_t)sizeof(table->key) ||
	    getrandom(&table->random, sizeof(table->random), 0) != (ssize_t)sizeof(table->random))
		abort();
	table->random |= 1;
	return table;
}

void
rate_table_free(struct rate_table *table)
{
	if (table == NULL)
		return;
	free(table->sets);
	free(table);
}

/* The network's octets behind a mark of its family; never 0. */
static uint64_t
source_of(const struct sockaddr *address)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	const uint8_t *octets;
	uint64_t source = 6;

	if (address->sa_family == AF_INET) {
		memcpy(&in, address, sizeof(in));
		return (uint64_t)4 << 56 | ntohl(in.sin_addr.s_addr) >> 8;
	}
	memcpy(&in6, address, sizeof(in6));
	octets = in6.sin6_addr.s6_addr;
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
		return (uint64_t)4 << 56 | (uint64_t)octets[12] << 16 | (uint64_t)octets[13] << 8 |
		    octets[14];
	for (unsigned i = 0; i < 7; i++)
		source = source << 8 | octets[i];
	return source;
}

static uint64_t
rotate(uint64_t value, unsigned bits)
{
	return value << bits | value >> (64 - bits);
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 of one word. */
static uint64_t
hash(const uint64_t key[2], uint64_t word)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du,
		key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };

	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static unsigned
next_random(struct rate_table *table)
{
	/* xorshift64: which bucket gives way is no secret worth more. */
	table->random ^= table->random << 13;
	table->random ^= table->random >> 7;
	table->random ^= table->random << 17;
	return (unsigned)(table->random >> 32);
}

/* Its own bucket, else a full one, which tells nothing, else one at random. */
static struct bucket *
find(struct rate_table *table, uint64_t source, int64_t now_us)
{
	struct set *set = &table->sets[hash(table->key, source) & (SETS - 1)];
	struct bucket *bucket = NULL;

	for (unsigned i = 0; i < WAYS; i++) {
		if (set->buckets[i].source == source)
			return &set->buckets[i];
		if (set->buckets[i].source == 0 || set->buckets[i].full_us <= now_us)
			bucket = &set->buckets[i];
	}
	if (bucket == NULL)
		bucket = &set->buckets[next_random(table) % WAYS];
	bucket->source = source;
	bucket->full_us = now_us;
	return bucket;
}

bool
rate_table_take(struct rate_table *table, const struct sockaddr *source, int64_t now_us)
{
	struct bucket *bucket = find(table, source_of(source), now_us);
	int64_t full_us = bucket->full_us > now_us ? bucket->full_us : now_us;

	if (full_us + table->interval_us - now_us > table->burst_us)
		return false;
	bucket->full_us = full_us + table->interval_us;
	return true;
}

unsigned
rate_table_used(const struct rate_table *table, int64_t now_us)
{
	unsigned used = 0;

	for (unsigned i = 0; i < SETS; i++)
		for (unsigned j = 0; j < WAYS; j++)
			used += table->sets[i].buckets[j].source != 0 &&
			    table->sets[i].buckets[j].full_us > now_us;
	return used;
}
