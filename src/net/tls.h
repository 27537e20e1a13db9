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
	/* NULL or "": none.  With a fingerprint the certificate must be that one, and its
	 * chain, dates and name are not judged. */
	const char *fingerprint;
	const char *certificate;	/* NULL or "": none; PEM, with its chain behind it */
	const char *private_key;	/* PEM; refused when others may read it (private_file.h) */
};

/* SHA-256 of the certificate in hexadecimal, colons allowed, "sha256:" before it allowed. */
bool tls_fingerprint_check(const char *text, struct error *err)
    __attribute__((warn_unused_result));

/* Counted: each holder unrefs. */
struct tls_context *tls_client_new(const struct tls_client_params *params, struct error *err);
struct tls_context *tls_server_new(const char *certificate, const char *private_key,
    struct error *err);		/* PEM files; checks that they belong together */
struct tls_context *tls_ref(struct tls_context *context);
void tls_unref(struct tls_context *context);		/* NULL is allowed */

/* For conn.c.  A session with the checks of RULES V set up for `server_name`
 * (NULL: server side); NULL and *err on failure. */
SSL *tls_session(struct tls_context *context, const char *server_name, struct error *err);
/* Before the handshake, the client's side: it may go on with the session of an earlier one
 * of this context, with this name at this place ("192.0.2.1:25"), and will be kept for the
 * next.  Then the SSL goes by tls_session_free(). */
void tls_session_resume(struct tls_context *context, SSL *ssl, const char *server_name,
    const char *place);
/* After a fault of TLS itself the session is not gone on with (RFC 5246 7.2.2). */
void tls_session_distrust(SSL *ssl);
/* NULL is allowed.  The context must still be there. */
void tls_session_free(SSL *ssl);
/* After the handshake: false when the policy is not met.  A session gone on with is judged
 * like a new one: chain, dates of today, name, fingerprint. */
bool tls_judge(struct tls_context *context, SSL *ssl, struct error *err)
    __attribute__((warn_unused_result));
/* The first error of OpenSSL's queue in words, with the verify result where that is the
 * reason ("certificate has expired"); empties the queue. */
void tls_error_text(SSL *ssl, char *out, size_t size);
/* Whether a handshake that is good says who the peer is: by chain and name, or fingerprint. */
bool tls_verifies(const struct tls_context *context);

#endif
