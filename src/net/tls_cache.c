/* tls_cache.c - sessions of TLS that may be gone on with; a policy has one of its own. */
#include "net/tls_cache.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/mem.h"

struct entry {
	TAILQ_ENTRY(entry) link;
	char *key;
	SSL_SESSION *session;
	int64_t until;			/* monotonic, microseconds */
};

/* The one used last comes first.  So few are looked through faster than hashed. */
struct tls_cache {
	TAILQ_HEAD(entry_head, entry) entries;
	size_t count;
};

struct tls_cache *
tls_cache_new(void)
{
	struct tls_cache *cache = mem_zalloc(sizeof(*cache));

	TAILQ_INIT(&cache->entries);
	return cache;
}

static void
remove_entry(struct tls_cache *cache, struct entry *entry)
{
	TAILQ_REMOVE(&cache->entries, entry, link);
	cache->count--;
	SSL_SESSION_free(entry->session);
	free(entry->key);
	free(entry);
}

void
tls_cache_free(struct tls_cache *cache)
{
	struct entry *entry;

	if (cache == NULL)
		return;
	while ((entry = TAILQ_FIRST(&cache->entries)) != NULL)
		remove_entry(cache, entry);
	free(cache);
}

static struct entry *
find(const struct tls_cache *cache, const char *key)
{
	struct entry *entry;

	TAILQ_FOREACH(entry, &cache->entries, link)
		if (strcmp(entry->key, key) == 0)
			break;
	return entry;
}

/* The server says how long it will know the session (0: it does not say). */
static int64_t
life_of(const SSL_SESSION *session)
{
	unsigned long hint = SSL_SESSION_get_ticket_lifetime_hint(session);

	return hint > 0 && hint < TLS_CACHE_SECONDS ? (int64_t)hint : TLS_CACHE_SECONDS;
}

void
tls_cache_put(struct tls_cache *cache, const char *key, SSL_SESSION *session)
{
	SSL_SESSION *copy = SSL_SESSION_dup(session);
	struct entry *entry;

	tls_cache_drop(cache, key);
	if (copy == NULL)
		return;
	if (cache->count == TLS_CACHE_MAX)
		remove_entry(cache, TAILQ_LAST(&cache->entries, entry_head));
	entry = mem_zalloc(sizeof(*entry));
	entry->key = mem_strdup(key);
	entry->session = copy;
	entry->until = clock_monotonic_us() + life_of(copy) * 1000000;
	TAILQ_INSERT_HEAD(&cache->entries, entry, link);
	cache->count++;
}

SSL_SESSION *
tls_cache_get(struct tls_cache *cache, const char *key)
{
	struct entry *entry = find(cache, key);

	if (entry == NULL)
		return NULL;
	if (clock_monotonic_us() >= entry->until) {
		remove_entry(cache, entry);
		return NULL;
	}
	TAILQ_REMOVE(&cache->entries, entry, link);
	TAILQ_INSERT_HEAD(&cache->entries, entry, link);
	return SSL_SESSION_dup(entry->session);
}

void
tls_cache_drop(struct tls_cache *cache, const char *key)
{
	struct entry *entry = find(cache, key);

	if (entry != NULL)
		remove_entry(cache, entry);
}

size_t
tls_cache_count(const struct tls_cache *cache)
{
	return cache->count;
}
