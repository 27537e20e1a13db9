/* test_smtp_data.c - the one true end of data: exhaustive, against a reference that searches. */
#include "proto/smtp_data.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "every_string.h"

#define LENGTH_MAX 9		/* RULES E27: 2,441,406 strings */
/* HERALD_TEST_RANDOM overrides it: 10^7 in a long run, RULES E28. */
#define RANDOM_COUNT	100000
#define RANDOM_MAX	300		/* octets */
#define EXPANDED_MAX	(4 * RANDOM_MAX + 8)

/* What a decoding came to; the reference and the decoder fill the same. */
struct outcome {
	char *content;			/* EXPANDED_MAX octets */
	size_t len, used;
	bool end, bare, nul;
};

/* --- the reference: looks at the whole string, keeps no state --- */

static const char *
find(const char *in, size_t len, const char *what, size_t what_len)
{
	for (size_t i = 0; i + what_len <= len; i++)
		if (memcmp(in + i, what, what_len) == 0)
			return in + i;
	return NULL;
}

static bool
has_bare(const char *in, size_t len, bool finished, char which)
{
	for (size_t i = 0; i < len; i++) {
		if (which == '\r' && in[i] == '\r') {
			if (i + 1 < len ? in[i + 1] != '\n' : finished)
				return true;
		} else if (which == '\n' && in[i] == '\n' && (i == 0 || in[i - 1] != '\r')) {
			return true;
		}
	}
	return false;
}

static void
put(struct outcome *out, const char *octets, size_t len)
{
	assert_true(out->len + len <= EXPANDED_MAX);
	memcpy(out->content + out->len, octets, len);
	out->len += len;
}

static void
reference_decode(struct outcome *out, const char *in, size_t len, bool normalize)
{
	const char *end;
	size_t body = len;

	*out = (struct outcome){ .content = out->content };
	if (len >= 3 && memcmp(in, ".\r\n", 3) == 0) {
		out->end = true;
		body = 0;
		out->used = 3;
	} else if ((end = find(in, len, "\r\n.\r\n", 5)) != NULL) {
		out->end = true;
		body = (size_t)(end - in) + 2;
		out->used = body + 3;
	} else {
		out->used = len;
	}
	for (size_t i = 0; i < body; i++) {
		bool at_start = i == 0 || (i >= 2 && in[i - 2] == '\r' && in[i - 1] == '\n');

		if (in[i] == '.' && at_start)
			continue;
		if (in[i] == '\n' && normalize && (i == 0 || in[i - 1] != '\r'))
			put(out, "\r", 1);
		/* The last CR may yet become a CRLF. */
		if (in[i] == '\r' && i + 1 == body && !out->end)
			continue;
		put(out, in + i, 1);
	}
	out->bare = has_bare(in, body, out->end, '\r') ||
	    (!normalize && has_bare(in, body, out->end, '\n'));
	out->nul = body > 0 && memchr(in, '\0', body) != NULL;
}

/* --- the decoder, fed in pieces --- */

static void
take(void *arg, const char *octets, size_t len)
{
	assert_true(len > 0);
	put(arg, octets, len);
}

static void
feed(struct outcome *out, struct smtp_decoder *decoder, const char *in, size_t len)
{
	if (out->end || len == 0)
		return;
	out->used += smtp_decode(decoder, in, len, &out->end, take, out);
	out->bare = decoder->bare;
	out->nul = decoder->nul;
}

static void
check(const struct outcome *expected, const struct outcome *got, const char *in, size_t len,
    const char *how, size_t split)
{
	if (expected->end == got->end && expected->used == got->used && expected->len == got->len &&
	    expected->bare == got->bare && expected->nul == got->nul &&
	    memcmp(expected->content, got->content, got->len) == 0)
		return;
	print_error("%s %zu:", how, split);
	for (size_t i = 0; i < len; i++)
		print_error(" %02x", (unsigned char)in[i]);
	print_error("\nend %d/%d used %zu/%zu len %zu/%zu bare %d/%d nul %d/%d\n", expected->end,
	    got->end, expected->used, got->used, expected->len, got->len, expected->bare, got->bare,
	    expected->nul, got->nul);
	fail();
}

static void
check_decoder(const char *in, size_t len, bool normalize)
{
	char expected_content[EXPANDED_MAX], content[EXPANDED_MAX];
	struct outcome expected = { .content = expected_content }, got = { .content = content };
	struct smtp_decoder decoder = { .normalize = normalize };

	reference_decode(&expected, in, len, normalize);
	for (size_t i = 0; i < len; i++)
		feed(&got, &decoder, in + i, 1);
	check(&expected, &got, in, len, "octet by octet", 0);
	for (size_t split = 0; split < (len > 0 ? len : 1); split++) {
		got = (struct outcome){ .content = content };
		decoder = (struct smtp_decoder){ .normalize = normalize };
		feed(&got, &decoder, in, split);
		feed(&got, &decoder, in + split, len - split);
		check(&expected, &got, in, len, split == 0 ? "whole" : "split at", split);
	}
}

/* --- outbound --- */

static size_t
canonical(char *out, const char *in, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (in[i] == '\n' && i > 0 && in[i - 1] == '\r')
			continue;
		if (in[i] == '\r' || in[i] == '\n') {
			out[n++] = '\r';
			out[n++] = '\n';
		} else {
			out[n++] = in[i];
		}
	}
	if (n > 0 && out[n - 1] != '\n') {
		out[n++] = '\r';
		out[n++] = '\n';
	}
	return n;
}

/* Reads the wire line by line as RFC 5321 4.5.2 says; false where it is not clean. */
static bool
unstuff(char *out, size_t *out_len, const char *wire, size_t len)
{
	size_t at = 0, n = 0;

	for (;;) {
		const char *eol = find(wire + at, len - at, "\r\n", 2);
		size_t line_len;

		if (eol == NULL)
			return false;
		line_len = (size_t)(eol - (wire + at));
		if (memchr(wire + at, '\r', line_len) != NULL ||
		    memchr(wire + at, '\n', line_len) != NULL)
			return false;
		if (line_len == 1 && wire[at] == '.') {
			*out_len = n;
			return at + 3 == len;
		}
		if (wire[at] == '.' && line_len > 0) {
			if (wire[at + 1] != '.')
				return false;
			at++;
			line_len--;
		}
		memcpy(out + n, wire + at, line_len + 2);
		n += line_len + 2;
		at += line_len + 2;
	}
}

static void
check_encoder(struct buf *wire, const char *in, size_t len, size_t split)
{
	char expected[EXPANDED_MAX], back[EXPANDED_MAX];
	struct smtp_encoder encoder = { .state = 0 };
	size_t expected_len = canonical(expected, in, len), back_len = 0;

	buf_clear(wire);
	if (split > len) {
		for (size_t i = 0; i < len; i++)
			smtp_encode(&encoder, wire, in + i, 1);
	} else {
		smtp_encode(&encoder, wire, in, split);
		smtp_encode(&encoder, wire, in + split, len - split);
	}
	smtp_encode_end(&encoder, wire);
	if (unstuff(back, &back_len, buf_octets(wire), wire->len) && back_len == expected_len &&
	    memcmp(back, expected, back_len) == 0)
		return;
	print_error("encoding, split %zu:", split);
	for (size_t i = 0; i < len; i++)
		print_error(" %02x", (unsigned char)in[i]);
	print_error("\n");
	fail();
}

/* --- every string --- */

static void
decode_one(void *arg, const char *in, size_t len)
{
	(void)arg;
	check_decoder(in, len, false);
}

static void
normalize_one(void *arg, const char *in, size_t len)
{
	(void)arg;
	check_decoder(in, len, true);
}

static void
encode_one(void *arg, const char *in, size_t len)
{
	check_encoder(arg, in, len, len + 1);
	for (size_t split = 0; split < (len > 0 ? len : 1); split++)
		check_encoder(arg, in, len, split);
}

static void
test_every_string_rejecting(void **state)
{
	(void)state;
	assert_int_equal(for_every_string(decode_one, NULL), EVERY_STRING_COUNT);
	print_message("%d strings, whole, octet by octet and split at every place\n",
	    EVERY_STRING_COUNT);
}

static void
test_every_string_normalizing(void **state)
{
	(void)state;
	assert_int_equal(for_every_string(normalize_one, NULL), EVERY_STRING_COUNT);
}

static void
test_every_string_outbound(void **state)
{
	struct buf wire = { .octets = NULL };

	(void)state;
	assert_int_equal(for_every_string(encode_one, &wire), EVERY_STRING_COUNT);
	buf_free(&wire);
}

/* --- longer strings, at random, in pieces --- */

static uint64_t random_state;

static size_t
any_below(size_t bound)
{
	/* xorshift64: the same sequence everywhere. */
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state % bound);
}

/* Mostly what matters at the end of lines, in runs; some of any octet. */
static size_t
any_string(char *in)
{
	static const char *const runs[] = {
		"\r\n", "\r\n", "\r\n.", "\r\n..", "xxxxxxxxx", ".", "\n", "\r", "x",
	};
	size_t len = 0, wanted = any_below(RANDOM_MAX - 16);
	bool clean = any_below(2) == 0;

	while (len < wanted) {
		size_t which = any_below(sizeof(runs) / sizeof(runs[0]) + 1);

		if (clean && which > 5)
			which = 4;
		if (which == sizeof(runs) / sizeof(runs[0])) {
			in[len++] = (char)any_below(256);
			continue;
		}
		memcpy(in + len, runs[which], strlen(runs[which]));
		len += strlen(runs[which]);
	}
	return len;
}

static void
check_decoder_in_pieces(const char *in, size_t len, bool normalize)
{
	char expected_content[EXPANDED_MAX], content[EXPANDED_MAX];
	struct outcome expected = { .content = expected_content }, got = { .content = content };
	struct smtp_decoder decoder = { .normalize = normalize };
	size_t at = 0;

	reference_decode(&expected, in, len, normalize);
	while (at < len) {
		size_t some = 1 + any_below(len - at);

		if (any_below(3) == 0)
			some = 1;
		feed(&got, &decoder, in + at, some);
		at += some;
	}
	check(&expected, &got, in, len, "in pieces", 0);
}

static void
test_random_strings(void **state)
{
	const char *wanted = getenv("HERALD_TEST_RANDOM"), *seed = getenv("HERALD_TEST_SEED");
	unsigned long count = wanted != NULL ? strtoul(wanted, NULL, 10) : RANDOM_COUNT;
	struct buf wire = { .octets = NULL };
	char in[RANDOM_MAX];

	(void)state;
	random_state = (seed != NULL ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL)) | 1;
	print_message("%lu random strings, HERALD_TEST_SEED=%llu\n", count,
	    (unsigned long long)random_state);
	for (unsigned long i = 0; i < count; i++) {
		size_t len = any_string(in);

		check_decoder_in_pieces(in, len, any_below(2) == 0);
		check_encoder(&wire, in, len, any_below(len + 2));
	}
	buf_free(&wire);
}

/* --- longer than any alphabet: sizes at which a buffer might end, RULES E21 --- */

struct total {
	size_t octets, blocks;
};

static void
count(void *arg, const char *octets, size_t len)
{
	struct total *total = arg;

	(void)octets;
	total->octets += len;
	total->blocks++;
}

static void
check_long_line(size_t line_len, size_t block)
{
	static const char tail[] = ".\r\ny\r\n.\r\n";
	char *in = malloc(line_len + sizeof(tail));
	struct smtp_decoder decoder = { .state = 0 };
	struct total total = { .octets = 0 };
	size_t len = line_len + sizeof(tail) - 1, at = 0;
	bool end = false;

	assert_non_null(in);
	memset(in, 'x', line_len);
	memcpy(in + line_len, tail, sizeof(tail));
	while (at < len && !end) {
		size_t some = len - at < block ? len - at : block;

		at += smtp_decode(&decoder, in + at, some, &end, count, &total);
	}
	assert_true(end);
	assert_int_equal(at, len);
	assert_int_equal(total.octets, len - 3);
	assert_false(decoder.bare || decoder.nul);
	free(in);
}

static void
test_long_lines(void **state)
{
	static const size_t sizes[] = {
		512, 998, 1000, 1024, 2048, 4096, 8192, 16384, 32768, 65536,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t len = sizes[i] - 3; len <= sizes[i] + 3; len++) {
			for (size_t b = 0; b < sizeof(sizes) / sizeof(sizes[0]); b++)
				check_long_line(len, sizes[b]);
			check_long_line(len, len + 100);
		}
	}
}

/* Content without dots is handed on as it stands, not line by line. */
static void
test_blocks_are_large(void **state)
{
	struct smtp_decoder decoder = { .state = 0 };
	struct total total = { .octets = 0 };
	char in[8000];
	bool end;

	(void)state;
	for (size_t i = 0; i < sizeof(in); i += 80) {
		memset(in + i, 'x', 78);
		memcpy(in + i + 78, "\r\n", 2);
	}
	assert_int_equal(smtp_decode(&decoder, in, sizeof(in), &end, count, &total), sizeof(in));
	assert_int_equal(total.octets, sizeof(in));
	assert_int_equal(total.blocks, 1);
	assert_false(end);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_blocks_are_large),
		cmocka_unit_test(test_random_strings),
		cmocka_unit_test(test_every_string_rejecting),
		cmocka_unit_test(test_every_string_normalizing),
		cmocka_unit_test(test_every_string_outbound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
