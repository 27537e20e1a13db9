/* sasl.c - the client's side of the AUTH mechanisms, and base64. */
#include "proto/sasl.h"

#include "base/buf.h"
#include "proto/sasl_scram.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct buf *out, const void *octets, size_t len)
{
	const unsigned char *in = octets;
	char *text = buf_reserve(out, (len + 2) / 3 * 4);
	size_t n = 0;

	for (size_t i = 0; i < len; i += 3) {
		uint32_t group = (uint32_t)in[i] << 16;

		if (i + 1 < len)
			group |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < len)
			group |= in[i + 2];
		text[n++] = alphabet[group >> 18];
		text[n++] = alphabet[group >> 12 & 63];
		text[n++] = i + 1 < len ? alphabet[group >> 6 & 63] : '=';
		text[n++] = i + 2 < len ? alphabet[group & 63] : '=';
	}
	buf_commit(out, n);
}

/* 0..63, or -1. */
static int
sextet(char c)
{
	const char *at = c == '\0' ? NULL : strchr(alphabet, c);

	return at == NULL ? -1 : (int)(at - alphabet);
}

bool
base64_decode(struct buf *out, const char *text, size_t len)
{
	size_t padding = 0, before = out->len;
	uint32_t group = 0;

	if (len % 4 != 0)
		return false;
	while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
		padding++;
	for (size_t i = 0; i < len; i++) {
		int value = i >= len - padding ? 0 : sextet(text[i]);
		const char octets[3] = { (char)(group >> 10), (char)(group >> 2),
		    (char)(group << 6 | (unsigned)value) };

		if (value == -1) {
			out->len = before;
			return false;
		}
		group = group << 6 | (unsigned)value;
		if (i % 4 == 3) {
			buf_append(out, octets, i + 1 == len ? 3 - padding : 3);
			group = 0;
		}
	}
	return true;
}

typedef bool mechanism_answer(struct sasl *sasl, const struct buf *challenge,
    struct buf *message);

static bool
fault(struct sasl *sasl, const char *text)
{
	sasl->fault = text;
	return false;
}

/* RFC 4616 2: no authorization identity, the server derives it. */
static bool
answer_plain(struct sasl *sasl, const struct buf *challenge, struct buf *message)
{
	(void)challenge;
	buf_append(message, "", 1);
	buf_append_text(message, sasl->username);
	buf_append(message, "", 1);
	buf_append_text(message, sasl->password);
	return true;
}

/* No RFC: the name, then the password; what the prompts say is not judged. */
static bool
answer_login(struct sasl *sasl, const struct buf *challenge, struct buf *message)
{
	(void)challenge;
	buf_append_text(message, sasl->step == 0 ? sasl->username : sasl->password);
	return true;
}

/* RFC 2195 2: the name, a blank, and the keyed MD5 of the challenge in hexadecimal. */
static bool
answer_cram_md5(struct sasl *sasl, const struct buf *challenge, struct buf *message)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned int len;

	/* Without anything of the server's in it an answer would do for ever. */
	if (challenge->len == 0)
		return fault(sasl, "the server's challenge is empty");
	if (HMAC(EVP_md5(), sasl->password, (int)strlen(sasl->password),
	    (const unsigned char *)buf_octets(challenge), challenge->len, digest, &len) == NULL)
		return fault(sasl, "this OpenSSL has no MD5");
	buf_append_text(message, sasl->username);
	buf_append_text(message, " ");
	for (unsigned int i = 0; i < len; i++)
		buf_appendf(message, "%02x", digest[i]);
	OPENSSL_cleanse(digest, sizeof(digest));
	return true;
}

static const struct {
	const char *name;
	bool has_initial;
	unsigned answers;
	mechanism_answer *answer;
} mechanisms[] = {
	[SASL_NONE] = { "none", false, 0, NULL },
	[SASL_PLAIN] = { "PLAIN", true, 1, answer_plain },
	[SASL_LOGIN] = { "LOGIN", false, 2, answer_login },
	[SASL_CRAM_MD5] = { "CRAM-MD5", false, 1, answer_cram_md5 },
	[SASL_SCRAM_SHA_256] = { "SCRAM-SHA-256", true, 3, scram_answer },
};

void
sasl_start(struct sasl *sasl, enum sasl_mechanism mechanism, const char *username,
    const char *password)
{
	assert(mechanism != SASL_NONE);
	*sasl = (struct sasl){ .mechanism = mechanism, .username = username, .password = password };
}

void
sasl_end(struct sasl *sasl)
{
	buf_wipe(&sasl->exchange);
	buf_wipe(&sasl->said);
	OPENSSL_cleanse(sasl, sizeof(*sasl));
}

const char *
sasl_name(enum sasl_mechanism mechanism)
{
	return mechanisms[mechanism].name;
}

bool
sasl_has_initial(const struct sasl *sasl)
{
	return mechanisms[sasl->mechanism].has_initial;
}

/* All of it at once: a buf that grew would leave a copy of the secret behind. */
static void
reserve_message(const struct sasl *sasl, struct buf *message, size_t challenge)
{
	/* The name with each octet as "=2C", what is quoted of the challenge, the rest. */
	buf_reserve(message, 3 * strlen(sasl->username) + strlen(sasl->password) + challenge + 256);
}

/* What has been said is kept for sasl_is_quoted(). */
static void
keep_answer(struct sasl *sasl, const char *answer, size_t len)
{
	struct buf grown = { 0 };

	/* Into new memory, for the same reason. */
	buf_reserve(&grown, sasl->said.len + len + 1);
	buf_append(&grown, buf_octets(&sasl->said), sasl->said.len);
	buf_append(&grown, answer, len);
	buf_append(&grown, "", 1);
	buf_wipe(&sasl->said);
	sasl->said = grown;
}

/* A fault is for good. */
static bool
make_answer(struct sasl *sasl, const struct buf *challenge, struct buf *message)
{
	if (sasl->fault != NULL)
		return false;
	if (sasl->step >= mechanisms[sasl->mechanism].answers)
		return fault(sasl, "the server asks for more than the mechanism has");
	reserve_message(sasl, message, challenge->len);
	return mechanisms[sasl->mechanism].answer(sasl, challenge, message);
}

bool
sasl_answer(struct sasl *sasl, const char *challenge, size_t len, struct buf *out)
{
	struct buf decoded = { 0 }, message = { 0 };
	size_t before = out->len;
	bool ok;

	assert(sasl->mechanism != SASL_NONE);
	if (len > SASL_CHALLENGE_MAX || !base64_decode(&decoded, challenge, len))
		ok = fault(sasl, "the server's challenge is no base64");
	else
		ok = make_answer(sasl, &decoded, &message);
	if (ok) {
		base64_encode(out, buf_octets(&message), message.len);
		keep_answer(sasl, buf_octets(out) + before, out->len - before);
	}
	buf_wipe(&message);
	buf_free(&decoded);
	sasl->step++;
	return ok;
}

bool
sasl_is_done(const struct sasl *sasl)
{
	return sasl->fault == NULL && sasl->mechanism != SASL_NONE &&
	    sasl->step >= mechanisms[sasl->mechanism].answers;
}

const char *
sasl_fault(const struct sasl *sasl)
{
	return sasl->fault != NULL ? sasl->fault : "no fault";
}

/* Enough of an answer to tell it from words: six octets of what it encodes. */
#define QUOTE_MIN	8

static bool
holds(const char *text, size_t len, const char *answer)
{
	size_t part = strlen(answer);

	if (part > QUOTE_MIN)
		part = QUOTE_MIN;
	return part > 0 && memmem(text, len, answer, part) != NULL;
}

bool
sasl_is_quoted(const struct sasl *sasl, const char *text, size_t len)
{
	const char *said = buf_octets(&sasl->said), *end = said + sasl->said.len;
	size_t secret = sasl->password != NULL ? strlen(sasl->password) : 0;
	bool found = secret > 0 && memmem(text, len, sasl->password, secret) != NULL;

	for (; !found && said < end; said += strlen(said) + 1)
		found = holds(text, len, said);
	return found;
}
