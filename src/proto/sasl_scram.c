/* sasl_scram.c - the messages of SCRAM-SHA-256 (RFC 5802, RFC 7677). */
#include "proto/sasl_scram.h"

#include "base/buf.h"
#include "proto/sasl.h"

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#define DIGEST		32	/* octets of SHA-256 */
#define NONCE_OCTETS	18	/* 144 random bits: 24 characters of base64 */
#define SALT_MAX	1024	/* octets; servers use 12 to 64 */

/* "n,,": no channel binding (PLUS is not spoken), no authorization identity. */
#define GS2_HEADER		"n,,"
#define GS2_HEADER_BASE64	"biws"

/* A run of octets of a message; nothing is copied. */
struct part { const char *octets; size_t len; };

struct server_first {
	struct part nonce;
	struct buf salt;
	int iterations;
};

static bool
fault(struct sasl *sasl, const char *text)
{
	sasl->fault = text;
	return false;
}

static bool
hmac(const void *key, size_t len, const void *octets, size_t count, unsigned char out[DIGEST])
{
	return HMAC(EVP_sha256(), key, (int)len, octets, count, out, NULL) != NULL;
}

/* Base64 has no comma, so it is a nonce as it stands (RFC 5802 5.1). */
static bool
make_nonce(struct sasl *sasl)
{
	unsigned char octets[NONCE_OCTETS];
	struct buf text = { 0 };

	if (sasl->nonce[0] != '\0')
		return true;
	if (RAND_bytes(octets, sizeof(octets)) != 1)
		return fault(sasl, "there are no random octets");
	base64_encode(&text, octets, sizeof(octets));
	memcpy(sasl->nonce, buf_octets(&text), text.len);
	sasl->nonce[text.len] = '\0';
	buf_free(&text);
	return true;
}

/* RFC 5802 5.1: the comma parts attributes.  SASLprep (RFC 4013) is not applied: it changes
 * nothing in ASCII, and in most of what keyboards write. */
static void
append_username(struct buf *out, const char *username)
{
	for (; *username != '\0'; username++) {
		if (*username == ',')
			buf_append_text(out, "=2C");
		else if (*username == '=')
			buf_append_text(out, "=3D");
		else
			buf_append(out, username, 1);
	}
}

static bool
client_first(struct sasl *sasl, const struct buf *challenge, struct buf *message)
{
	if (challenge->len > 0)
		return fault(sasl, "the server speaks first");
	if (!make_nonce(sasl))
		return false;
	buf_clear(&sasl->exchange);
	buf_append_text(&sasl->exchange, "n=");
	append_username(&sasl->exchange, sasl->username);
	buf_append_text(&sasl->exchange, ",r=");
	buf_append_text(&sasl->exchange, sasl->nonce);
	buf_append_text(message, GS2_HEADER);
	buf_append(message, buf_octets(&sasl->exchange), sasl->exchange.len);
	return true;
}

/* Takes "NAME=value", up to the comma or the end, off the front of *rest. */
static bool
take_attribute(struct part *rest, char name, struct part *value)
{
	const char *comma;

	if (rest->len < 2 || rest->octets[0] != name || rest->octets[1] != '=')
		return false;
	value->octets = rest->octets + 2;
	comma = memchr(value->octets, ',', rest->len - 2);
	value->len = comma != NULL ? (size_t)(comma - value->octets) : rest->len - 2;
	rest->octets = value->octets + value->len + (comma != NULL);
	rest->len -= 2 + value->len + (comma != NULL);
	return true;
}

/* RFC 5802 7: posit-number; 0 where it is none, or beyond what is compared with it. */
static int
parse_iterations(const struct part *text)
{
	int value = 0;

	if (text->len == 0 || text->len > 8 || text->octets[0] == '0')
		return 0;
	for (size_t i = 0; i < text->len; i++) {
		if (text->octets[i] < '0' || text->octets[i] > '9')
			return 0;
		value = value * 10 + (text->octets[i] - '0');
	}
	return value;
}

/* The server's nonce is ours with some of its own behind it (RFC 5802 5.1). */
static bool
is_good_nonce(const struct sasl *sasl, const struct part *nonce)
{
	size_t own = strlen(sasl->nonce);

	for (size_t i = 0; i < nonce->len; i++)
		if (nonce->octets[i] < 0x21 || nonce->octets[i] > 0x7e)
			return false;
	return nonce->len > own && memcmp(nonce->octets, sasl->nonce, own) == 0;
}

/* server-first-message.  Extensions behind the count are not for us (RFC 5802 5.1); one
 * that we must know comes first, as "m=", and ends it. */
static bool
parse_server_first(struct sasl *sasl, const struct buf *challenge, struct server_first *out)
{
	struct part rest = { buf_octets(challenge), challenge->len }, salt, count;

	if (rest.len >= 2 && memcmp(rest.octets, "m=", 2) == 0)
		return fault(sasl, "the server demands an extension that we do not know");
	if (!take_attribute(&rest, 'r', &out->nonce) || !take_attribute(&rest, 's', &salt) ||
	    !take_attribute(&rest, 'i', &count))
		return fault(sasl, "the server's first message is not in order");
	if (!is_good_nonce(sasl, &out->nonce))
		return fault(sasl, "the server's nonce does not begin with ours");
	if (!base64_decode(&out->salt, salt.octets, salt.len) || out->salt.len == 0 ||
	    out->salt.len > SALT_MAX)
		return fault(sasl, "the server's salt is not in order");
	out->iterations = parse_iterations(&count);
	if (out->iterations < SASL_ITERATIONS_MIN)
		return fault(sasl, "the server asks for less than 4096 iterations");
	if (out->iterations > SASL_ITERATIONS_MAX)
		return fault(sasl, "the server asks for more than 100000 iterations");
	return true;
}

/* RFC 5802 3: proof = ClientKey XOR HMAC(H(ClientKey), AuthMessage), and what the server
 * will have to show. */
static bool
make_proof(struct sasl *sasl, const struct server_first *server, unsigned char proof[DIGEST])
{
	unsigned char salted[DIGEST], client_key[DIGEST], key[DIGEST], signature[DIGEST];
	const void *exchange = buf_octets(&sasl->exchange);
	const size_t len = sasl->exchange.len;
	bool ok;

	ok = PKCS5_PBKDF2_HMAC(sasl->password, (int)strlen(sasl->password),
	    (const unsigned char *)buf_octets(&server->salt), (int)server->salt.len,
	    server->iterations, EVP_sha256(), DIGEST, salted) == 1 &&
	    hmac(salted, DIGEST, "Client Key", 10, client_key) &&
	    EVP_Digest(client_key, DIGEST, key, NULL, EVP_sha256(), NULL) == 1 &&
	    hmac(key, DIGEST, exchange, len, signature) &&
	    hmac(salted, DIGEST, "Server Key", 10, key) &&
	    hmac(key, DIGEST, exchange, len, sasl->server_signature);
	for (size_t i = 0; ok && i < DIGEST; i++)
		proof[i] = client_key[i] ^ signature[i];
	OPENSSL_cleanse(salted, sizeof(salted));
	OPENSSL_cleanse(client_key, sizeof(client_key));
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(signature, sizeof(signature));
	return ok || fault(sasl, "OpenSSL has no SHA-256");
}

static bool
client_final(struct sasl *sasl, const struct buf *challenge, struct buf *message)
{
	struct server_first server = { .iterations = 0 };
	unsigned char proof[DIGEST];
	bool ok = parse_server_first(sasl, challenge, &server);

	if (ok) {
		buf_append_text(message, "c=" GS2_HEADER_BASE64 ",r=");
		buf_append(message, server.nonce.octets, server.nonce.len);
		buf_append_text(&sasl->exchange, ",");
		buf_append(&sasl->exchange, buf_octets(challenge), challenge->len);
		buf_append_text(&sasl->exchange, ",");
		buf_append(&sasl->exchange, buf_octets(message), message->len);
		ok = make_proof(sasl, &server, proof);
	}
	if (ok) {
		buf_append_text(message, ",p=");
		base64_encode(message, proof, sizeof(proof));
		OPENSSL_cleanse(proof, sizeof(proof));
	}
	buf_free(&server.salt);
	return ok;
}

/* server-final-message: who does not know the password cannot sign (RFC 5802 3). */
static bool
verify_server(struct sasl *sasl, const struct buf *challenge)
{
	struct part rest = { buf_octets(challenge), challenge->len }, value;
	struct buf signature = { 0 };
	bool ok;

	if (take_attribute(&rest, 'e', &value))
		return fault(sasl, "the server says that it failed");
	ok = take_attribute(&rest, 'v', &value) &&
	    base64_decode(&signature, value.octets, value.len) && signature.len == DIGEST &&
	    CRYPTO_memcmp(buf_octets(&signature), sasl->server_signature, DIGEST) == 0;
	buf_free(&signature);
	return ok || fault(sasl, "the server does not prove that it knows the password");
}

bool
scram_answer(struct sasl *sasl, const struct buf *challenge, struct buf *message)
{
	switch (sasl->step) {
	case 0:
		return client_first(sasl, challenge, message);
	case 1:
		return client_final(sasl, challenge, message);
	default:
		return verify_server(sasl, challenge);	/* the answer is empty */
	}
}
