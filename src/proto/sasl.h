/* sasl.h - the client's side of the AUTH mechanisms, and base64. */
#ifndef HERALD_PROTO_SASL_H
#define HERALD_PROTO_SASL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

/* Our own code and no libgsasl: four mechanisms without channel binding need one HMAC and
 * one PBKDF2, which OpenSSL has; a library would bring its own allocator of secrets, a
 * dependency for each package, and callbacks that do not bound the iterations. */
enum sasl_mechanism { SASL_NONE, SASL_PLAIN, SASL_LOGIN, SASL_CRAM_MD5, SASL_SCRAM_SHA_256 };

#define SASL_CHALLENGE_MAX	2048	/* octets in base64: a reply line has no more */
#define SASL_NONCE_MAX		64	/* octets of the client's nonce */

/* RFC 7677 4 asks for 4096 at least.  PBKDF2 runs on the loop, and the server chooses how
 * long: 100,000 iterations took 38 ms with the SHA instructions of the processor and 57 ms
 * without, so that machines of half that speed stay near 100 ms.  Dovecot and Cyrus use 4096
 * to 20,000 unless told otherwise. */
#define SASL_ITERATIONS_MIN	4096
#define SASL_ITERATIONS_MAX	100000

/* One authentication.  Username and password are borrowed for its life; the rest is its
 * own, and freed by sasl_end(). */
struct sasl {
	enum sasl_mechanism mechanism;
	const char *username, *password;
	unsigned step;			/* answers given */
	const char *fault;		/* NULL: none yet; it stays */
	/* SCRAM's own part of the nonce.  A test presets it after sasl_start(). */
	char nonce[SASL_NONCE_MAX + 1];
	struct buf exchange;		/* what SCRAM signs, as far as it is known (RFC 5802 3) */
	unsigned char server_signature[32];	/* expected */
	struct buf said;		/* the answers, each with a NUL behind it */
};

/* Over what was there: sasl_end() is called first where *sasl was in use. */
void sasl_start(struct sasl *sasl, enum sasl_mechanism mechanism, const char *username,
    const char *password);
/* Wipes and frees; *sasl is all zero then, as it may be before. */
void sasl_end(struct sasl *sasl);
const char *sasl_name(enum sasl_mechanism mechanism);	/* "PLAIN", "SCRAM-SHA-256" */

/* Whether the mechanism speaks first (RFC 4954 4: initial response). */
bool sasl_has_initial(const struct sasl *sasl);

/* Appends the next answer in base64: for the initial response the challenge is empty.  An
 * answer may be empty, too: an empty line.  False: the challenge is no base64, not in order,
 * or one more than the mechanism has; sasl_fault() says why. */
bool sasl_answer(struct sasl *sasl, const char *challenge, size_t len, struct buf *out)
    __attribute__((warn_unused_result));

/* Whether all is said that the mechanism has to say, and heard: with SCRAM the server has
 * proved that it knows the password.  Before that a 235 means nothing. */
bool sasl_is_done(const struct sasl *sasl);

/* Why a sasl_answer() was false, in words: constant text, never what the peer sent. */
const char *sasl_fault(const struct sasl *sasl);

/* Whether the text repeats what we have said, as servers do that quote a line they do not
 * like: the password, or the beginning of an answer.  Such a text is not for a log. */
bool sasl_is_quoted(const struct sasl *sasl, const char *text, size_t len);

/* RFC 4648 4, with padding, no line breaks. */
void base64_encode(struct buf *out, const void *octets, size_t len);
/* Whole text or false; then nothing is appended. */
bool base64_decode(struct buf *out, const char *text, size_t len)
    __attribute__((warn_unused_result));

#endif
