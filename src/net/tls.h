/* tls.h - what OpenSSL is asked to demand: versions, certificates, names. */
#ifndef HERALD_NET_TLS_H
#define HERALD_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct tls_context;
typedef struct ssl_st SSL;

struct tls_client_params {
	bool verify;			/* chain, dates and name; else any certificate is taken */
	const char *ca_file;		/* NULL or "": the system's */
	int min_version;		/* TLS1_2_VERSION, TLS1_3_VERSION of OpenSSL */
};

/* Counted: each holder unrefs. */
struct tls_context *tls_client_new(const struct tls_client_params *params, struct error *err);
struct tls_context *tls_server_new(const char *certificate, const char *private_key,
    struct error *err);		/* PEM files; checks that they belong together */
struct tls_context *tls_ref(struct tls_context *context);
void tls_unref(struct tls_context *context);		/* NULL is allowed */

/* For conn.c.  A session with the checks of RULES V set up for `server_name`
 * (NULL: server side); NULL and *err on failure. */
SSL *tls_session(struct tls_context *context, const char *server_name, struct error *err);
/* After the handshake: false when the policy is not met. */
bool tls_judge(struct tls_context *context, SSL *ssl, struct error *err)
    __attribute__((warn_unused_result));
/* The first error of OpenSSL's queue in words, with the verify result where that is the
 * reason ("certificate has expired"); empties the queue. */
void tls_error_text(SSL *ssl, char *out, size_t size);
bool tls_verifies(const struct tls_context *context);

#endif
