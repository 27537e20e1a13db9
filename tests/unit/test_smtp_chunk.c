/* test_smtp_chunk.c - every short message in chunks, against a reference of a few lines. */
#include "proto/smtp_chunk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "every_string.h"

struct taken {
	char octets[2 * EVERY_STRING_LENGTH + 2];
	size_t len;
};

static void
take(void *arg, const char *octets, size_t len)
{
	struct taken *taken = arg;

	if (len == 0 || taken->len + len > sizeof(taken->octets))
		fail_msg("%zu octets behind %zu", len, taken->len);
	memcpy(taken->octets + taken->len, octets, len);
	taken->len += len;
}

struct verdict {
	bool bare, nul;
	struct taken content;
};

static void
add(struct verdict *verdict, const char *octets, size_t len)
{
	take(&verdict->content, octets, len);
}

/* One octet after the other. */
static void
refer(struct verdict *out, const char *octets, size_t len, bool normalize)
{
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < len; i++) {
		bool after_cr = i > 0 && octets[i - 1] == '\r';

		out->nul = out->nul || octets[i] == '\0';
		if (octets[i] == '\n' && !after_cr && normalize)
			add(out, "\r\n", 2);
		else
			add(out, octets + i, 1);
		if ((octets[i] == '\n' && !after_cr && !normalize) ||
		    (octets[i] == '\r' && (i + 1 == len || octets[i + 1] != '\n')))
			out->bare = true;
	}
	if (len > 0 && octets[len - 1] != '\n')
		add(out, "\r\n", 2);
}

/* `cut` octets at once, then `step` at a time. */
static void
compare(const struct verdict *expected, bool normalize, const char *octets, size_t len,
    size_t cut, size_t step)
{
	struct smtp_decoder decoder = { .normalize = normalize };
	struct taken taken = { .len = 0 };
	bool refused = expected->bare || expected->nul;

	smtp_chunk_decode(&decoder, octets, cut, take, &taken);
	for (size_t at = cut; at < len; at += step)
		smtp_chunk_decode(&decoder, octets + at, len - at < step ? len - at : step, take,
		    &taken);
	smtp_chunk_end(&decoder, take, &taken);
	if (decoder.bare != expected->bare || decoder.nul != expected->nul)
		fail_msg("cut at %zu: judged otherwise", cut);
	if (!refused && (taken.len != expected->content.len ||
	    memcmp(taken.octets, expected->content.octets, taken.len) != 0))
		fail_msg("cut at %zu: other content", cut);
}

static void
each(void *arg, const char *octets, size_t len)
{
	const bool *normalize = arg;
	struct verdict expected;

	refer(&expected, octets, len, *normalize);
	for (size_t cut = 0; cut <= len; cut++)
		compare(&expected, *normalize, octets, len, cut, len);
	compare(&expected, *normalize, octets, len, 0, 1);
}

static void
test_every_string_rejecting(void **state)
{
	bool normalize = false;

	(void)state;
	assert_int_equal(for_every_string(each, &normalize), EVERY_STRING_COUNT);
}

static void
test_every_string_normalizing(void **state)
{
	bool normalize = true;

	(void)state;
	assert_int_equal(for_every_string(each, &normalize), EVERY_STRING_COUNT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_string_rejecting),
		cmocka_unit_test(test_every_string_normalizing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
