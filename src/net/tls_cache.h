/* tls_cache.h - sessions of TLS that may be gone on with; a policy has one of its own. */
#ifndef HERALD_NET_TLS_CACHE_H
#define HERALD_NET_TLS_CACHE_H

#include <stddef.h>

/* Places of one relay's policy: its hosts with their addresses, or those of MX. */
#define TLS_CACHE_MAX		256
/* A stolen ticket key opens no older traffic; RFC 8446 4.6.1 allows a week. */
#define TLS_CACHE_SECONDS	3600

typedef struct ssl_session_st SSL_SESSION;
struct tls_cache;

struct tls_cache *tls_cache_new(void);
void tls_cache_free(struct tls_cache *cache);	/* NULL is allowed */

/* Copies the session, over the one of that key; the one used least lately goes where there
 * are too many. */
void tls_cache_put(struct tls_cache *cache, const char *key, SSL_SESSION *session);
/* A copy, to be freed; NULL: none, or too old.  Copies, as OpenSSL spoils the session of a
 * connection that ends without close_notify: that is the way of many servers. */
SSL_SESSION *tls_cache_get(struct tls_cache *cache, const char *key);
void tls_cache_drop(struct tls_cache *cache, const char *key);
size_t tls_cache_count(const struct tls_cache *cache);

#endif
