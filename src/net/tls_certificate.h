/* tls_certificate.h - a certificate in words, and by its fingerprint. */
#ifndef HERALD_NET_TLS_CERTIFICATE_H
#define HERALD_NET_TLS_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>

#define TLS_FINGERPRINT_OCTETS	32	/* SHA-256 */

typedef struct x509_st X509;
typedef struct ssl_st SSL;
struct error;

/* tls_fingerprint_check() with the octets for the caller. */
bool tls_fingerprint_parse(const char *text, unsigned char out[TLS_FINGERPRINT_OCTETS],
    struct error *err) __attribute__((warn_unused_result));
bool tls_fingerprint_matches(X509 *certificate,
    const unsigned char expected[TLS_FINGERPRINT_OCTETS]) __attribute__((warn_unused_result));
/* "sha256:0123…"; 72 octets are enough. */
void tls_fingerprint_text(X509 *certificate, char *out, size_t size);

/* The peer's, even of a handshake that failed; NULL: none.  Borrowed. */
X509 *tls_peer_certificate(SSL *ssl);
/* "subject CN=…, issuer CN=…, until 2026-12-31, sha256:…"; printable, as the peer chose it. */
void tls_certificate_text(X509 *certificate, char *out, size_t size);

#endif
