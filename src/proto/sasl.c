/* sasl.c - the client's side of the AUTH mechanisms, and base64. */
#include "proto/sasl.h"

#include "base/buf.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

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

void
sasl_start(struct sasl *sasl, enum sasl_mechanism mechanism, const char *username,
    const char *password)
{
	assert(mechanism != SASL_NONE);
	*sasl = (struct sasl){ .mechanism = mechanism, .username = username, .password = password };
}

const char *
sasl_name(enum sasl_mechanism mechanism)
{
	static const char *const names[] = { "none", "PLAIN", "LOGIN" };

	return names[mechanism];
}

bool
sasl_has_initial(const struct sasl *sasl)
{
	return sasl->mechanism == SASL_PLAIN;
}

/* RFC 4616 2: no authorization identity, the server derives it. */
static bool
answer_plain(struct sasl *sasl, struct buf *out)
{
	struct buf message = { 0 };

	if (sasl->step > 0)
		return false;
	/* All of it at once: a buf that grew would leave a copy of the secret behind. */
	buf_reserve(&message, strlen(sasl->username) + strlen(sasl->password) + 2);
	buf_append(&message, "", 1);
	buf_append_text(&message, sasl->username);
	buf_append(&message, "", 1);
	buf_append_text(&message, sasl->password);
	base64_encode(out, buf_octets(&message), message.len);
	buf_wipe(&message);
	return true;
}

/* No RFC: the name, then the password; what the prompts say is not judged. */
static bool
answer_login(struct sasl *sasl, struct buf *out)
{
	const char *words[] = { sasl->username, sasl->password };

	if (sasl->step >= 2)
		return false;
	base64_encode(out, words[sasl->step], strlen(words[sasl->step]));
	return true;
}

bool
sasl_answer(struct sasl *sasl, const char *challenge, size_t len, struct buf *out)
{
	struct buf decoded = { 0 };
	bool ok = base64_decode(&decoded, challenge, len);

	buf_free(&decoded);
	if (ok)
		ok = sasl->mechanism == SASL_PLAIN ? answer_plain(sasl, out) :
		    answer_login(sasl, out);
	sasl->step++;
	return ok;
}

/* Enough of an answer to tell it from words: six octets of what it encodes. */
#define QUOTE_MIN	8

bool
sasl_is_quoted(const struct sasl *sasl, const char *text, size_t len)
{
	struct sasl again;
	struct buf answer = { 0 };
	size_t secret = strlen(sasl->password);
	bool found = secret > 0 && memmem(text, len, sasl->password, secret) != NULL;

	sasl_start(&again, sasl->mechanism, sasl->username, sasl->password);
	buf_reserve(&answer, 64 + 2 * (strlen(sasl->username) + secret));
	while (!found && sasl_answer(&again, "", 0, &answer)) {
		size_t part = answer.len < QUOTE_MIN ? answer.len : QUOTE_MIN;

		found = part > 0 && memmem(text, len, buf_octets(&answer), part) != NULL;
		buf_clear(&answer);
	}
	buf_wipe(&answer);
	return found;
}
