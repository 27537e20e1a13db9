/* tls_certificate.c - a certificate in words, and by its fingerprint. */
#include "net/tls_certificate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/error.h"
#include "base/text.h"
#include "net/tls.h"

#define PREFIX		"sha256:"

/* 0..15, or -1. */
static int
hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef0123456789ABCDEF";
	const char *at = c == '\0' ? NULL : strchr(digits, c);

	return at == NULL ? -1 : (int)(at - digits) % 16;
}

bool
tls_fingerprint_parse(const char *text, unsigned char out[TLS_FINGERPRINT_OCTETS],
    struct error *err)
{
	size_t count = 0;

	if (strncasecmp(text, PREFIX, strlen(PREFIX)) == 0)
		text += strlen(PREFIX);
	while (*text != '\0' && count < TLS_FINGERPRINT_OCTETS) {
		int high = hex_digit(text[0]), low = high == -1 ? -1 : hex_digit(text[1]);

		if (low == -1)
			break;
		out[count++] = (unsigned char)(high * 16 + low);
		text += 2;
		/* Between two octets, as openssl(1) prints it. */
		if (text[0] == ':' && text[1] != '\0')
			text++;
	}
	if (*text != '\0' || count != TLS_FINGERPRINT_OCTETS)
		return error_set(err, ERROR_CONFIG, "not the SHA-256 of a certificate: "
		    "64 hexadecimal digits, with or without colons");
	return true;
}

bool
tls_fingerprint_check(const char *text, struct error *err)
{
	unsigned char octets[TLS_FINGERPRINT_OCTETS];

	return tls_fingerprint_parse(text, octets, err);
}

static bool
digest_of(X509 *certificate, unsigned char out[EVP_MAX_MD_SIZE])
{
	unsigned int len = 0;

	return X509_digest(certificate, EVP_sha256(), out, &len) == 1 &&
	    len == TLS_FINGERPRINT_OCTETS;
}

bool
tls_fingerprint_matches(X509 *certificate, const unsigned char expected[TLS_FINGERPRINT_OCTETS])
{
	unsigned char digest[EVP_MAX_MD_SIZE];

	return digest_of(certificate, digest) &&
	    CRYPTO_memcmp(digest, expected, TLS_FINGERPRINT_OCTETS) == 0;
}

void
tls_fingerprint_text(X509 *certificate, char *out, size_t size)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char text[sizeof(PREFIX) + 2 * TLS_FINGERPRINT_OCTETS] = "unknown";

	if (digest_of(certificate, digest)) {
		memcpy(text, PREFIX, sizeof(PREFIX));
		for (size_t i = 0; i < TLS_FINGERPRINT_OCTETS; i++)
			snprintf(text + strlen(PREFIX) + 2 * i, 3, "%02x", digest[i]);
	}
	text_copy(out, size, text);
}

X509 *
tls_peer_certificate(SSL *ssl)
{
	X509 *certificate = SSL_get0_peer_certificate(ssl);
	STACK_OF(X509) *chain;

	if (certificate != NULL)
		return certificate;
	/* One that was refused is only there. */
	chain = SSL_get_peer_cert_chain(ssl);
	return chain != NULL && sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : NULL;
}

static void
name_text(const X509_NAME *name, char *out, size_t size)
{
	BIO *memory = BIO_new(BIO_s_mem());
	char *octets;
	long len;

	text_copy(out, size, "unknown");
	if (memory == NULL)
		return;
	/* RFC 2253, but in the order of the certificate and with UTF-8 as it is. */
	if (X509_NAME_print_ex(memory, name, 0,
	    (XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB & ~XN_FLAG_DN_REV)) >= 0) {
		len = BIO_get_mem_data(memory, &octets);
		text_printable_utf8(out, size, octets, (size_t)len);
	}
	BIO_free(memory);
}

void
tls_certificate_text(X509 *certificate, char *out, size_t size)
{
	char subject[160], issuer[160], fingerprint[80];
	struct tm until = { 0 };

	name_text(X509_get_subject_name(certificate), subject, sizeof(subject));
	name_text(X509_get_issuer_name(certificate), issuer, sizeof(issuer));
	tls_fingerprint_text(certificate, fingerprint, sizeof(fingerprint));
	(void)ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &until);
	snprintf(out, size, "subject %s, issuer %s, until %04d-%02d-%02d, %s", subject, issuer,
	    (until.tm_year + 1900) % 10000, until.tm_mon % 12 + 1, until.tm_mday % 32, fingerprint);
}
