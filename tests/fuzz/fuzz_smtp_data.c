/* fuzz_smtp_data.c - mail data ends in one place only, however it is cut, and survives the relay. */
#include "proto/smtp_data.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"

static void
take(void *arg, const char *octets, size_t len)
{
	buf_append(arg, octets, len);
}

/* Decodes with no more than `piece` octets at a time; returns what was used up. */
static size_t
decode(struct smtp_decoder *decoder, struct buf *out, const char *octets, size_t len, size_t piece,
    bool *end)
{
	size_t used = 0, part;

	*end = false;
	while (used < len && !*end) {
		part = len - used < piece ? len - used : piece;
		used += smtp_decode(decoder, octets + used, part, end, take, out);
	}
	return used;
}

/* What we send of it must be the same mail to the strictest of readers. */
static void
check_relayed(const struct buf *content)
{
	struct smtp_encoder encoder = { 0 };
	struct smtp_decoder decoder = { 0 };
	struct buf wire = { 0 }, again = { 0 };
	bool end;

	smtp_encode(&encoder, &wire, buf_octets(content), content->len);
	smtp_encode_end(&encoder, &wire);
	assert(decode(&decoder, &again, buf_octets(&wire), wire.len, wire.len, &end) == wire.len);
	assert(end && !decoder.bare);
	assert(again.len >= content->len);
	if (content->len >= 2 && memcmp(buf_octets(content) + content->len - 2, "\r\n", 2) == 0) {
		assert(again.len == content->len);
		assert(memcmp(buf_octets(&again), buf_octets(content), content->len) == 0);
	}
	buf_free(&wire);
	buf_free(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct smtp_decoder one = { 0 }, other = { 0 };
	struct buf whole = { 0 }, pieces = { 0 };
	bool end, other_end;
	size_t used;

	if (len < 2)
		return 0;
	one.normalize = other.normalize = (octets[0] & 0x80) != 0;
	used = decode(&one, &whole, (const char *)octets + 1, len - 1, len, &end);
	assert(decode(&other, &pieces, (const char *)octets + 1, len - 1, octets[0] % 7u + 1,
	    &other_end) == used);
	assert(end == other_end && one.bare == other.bare && one.nul == other.nul);
	assert(whole.len == pieces.len);
	assert(whole.len == 0 || memcmp(buf_octets(&whole), buf_octets(&pieces), whole.len) == 0);
	if (end && !one.bare)
		check_relayed(&whole);
	buf_free(&whole);
	buf_free(&pieces);
	return 0;
}
