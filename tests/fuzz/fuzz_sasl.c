/* fuzz_sasl.c - challenges of a hostile server: answered or refused, and never believed. */
#include "proto/sasl.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"

/* Each line of the input is a challenge: in base64 as it is, or put into it first. */
static bool
answer(struct sasl *sasl, const char *challenge, size_t len, bool encode, struct buf *out)
{
	struct buf encoded = { 0 };
	bool ok;

	if (encode)
		base64_encode(&encoded, challenge, len);
	else
		buf_append(&encoded, challenge, len);
	ok = sasl_answer(sasl, buf_octets(&encoded), encoded.len, out);
	buf_free(&encoded);
	return ok;
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	const char *at = (const char *)octets, *end = at + len, *stop;
	struct buf out = { 0 };
	struct sasl sasl;
	bool encode;

	if (len < 1)
		return 0;
	sasl_start(&sasl, (enum sasl_mechanism)(1 + *octets % 4), "user", "pencil");
	strcpy(sasl.nonce, "rOprNGfwEbeRWgbNEkqO");
	encode = (*octets & 128) == 0;
	if (sasl_has_initial(&sasl) && !sasl_answer(&sasl, "", 0, &out))
		assert(0);
	for (at++; at < end; at = stop + 1) {
		stop = memchr(at, '\n', (size_t)(end - at));
		if (stop == NULL)
			stop = end;
		if (!answer(&sasl, at, (size_t)(stop - at), encode, &out))
			break;
	}
	assert(out.len < 16384);
	(void)sasl_is_quoted(&sasl, (const char *)octets, len);
	sasl_end(&sasl);
	buf_wipe(&out);
	return 0;
}
