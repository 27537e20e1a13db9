/* test_dsn_xtext.c - ENVID and ORCPT as they come, as they go on, and as a report shows them. */
#include "mail/dsn_xtext.h"

#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_xtext(void **state)
{
	static const struct {
		const char *xtext, *text;	/* NULL: it is none */
	} rows[] = {
		{ "", "" }, { "QQ314159", "QQ314159" }, { "a+2Bb", "a+b" }, { "+3D+20+7E", "= ~" },
		{ "+00", NULL }, { "+0", NULL }, { "+", NULL }, { "+ZZ", NULL }, { "+2b", NULL },
		{ "+0A", NULL }, { "+0D", NULL }, { "+7F", NULL }, { "+80", NULL }, { "+FF", NULL },
		{ "a b", NULL }, { "a=b", NULL }, { "\x7f", NULL }, { "\xc3\xa9", NULL },
		{ "\x01", NULL },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t len = strlen(rows[i].xtext);
		char *copy = malloc(len + 1);

		/* No octet behind the end is looked at: the sanitizer sees to that. */
		assert_non_null(copy);
		memcpy(copy, rows[i].xtext, len);
		copy = realloc(copy, len > 0 ? len : 1);
		assert_int_equal(dsn_xtext_decode(out, sizeof(out), copy, len),
		    rows[i].text != NULL);
		if (rows[i].text != NULL)
			assert_string_equal(out, rows[i].text);
		free(copy);
	}
	assert_true(dsn_xtext_decode(out, 4, "a+2Bb", 5));
	assert_false(dsn_xtext_decode(out, 3, "a+2Bb", 5));
}

static void
test_orcpt(void **state)
{
	static const struct {
		const char *value, *settled, *narrow, *wide;
	} rows[] = {
		{ "rfc822;Bob@Example.net", "rfc822;Bob@Example.net", "rfc822; Bob@Example.net",
		    "rfc822; Bob@Example.net" },
		{ "RFC822;a+2Bb@c", "RFC822;a+2Bb@c", "RFC822; a+b@c", "RFC822; a+b@c" },
		{ "x400;/C+3DDE/", "x400;/C+3DDE/", "x400; /C=DE/", "x400; /C=DE/" },
		{ "utf-8;\xc3\xa9@x", "utf-8;\\x{E9}@x", "utf-8; \\x{E9}@x", "utf-8; \xc3\xa9@x" },
		{ "UTF-8;\\x{1f600}\\x{2B}", "UTF-8;\\x{1F600}\\x{2B}", "UTF-8; \\x{1F600}\\x{2B}",
		    "UTF-8; \xf0\x9f\x98\x80\\x{2B}" },
		{ "utf-8;\xf4\x8f\xbf\xbf", "utf-8;\\x{10FFFF}", "utf-8; \\x{10FFFF}",
		    "utf-8; \xf4\x8f\xbf\xbf" },
	};
	char settled[ENVELOPE_ORCPT_MAX + 1], text[ENVELOPE_ORCPT_MAX + 2];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(dsn_orcpt_settle(settled, rows[i].value, strlen(rows[i].value)));
		assert_string_equal(settled, rows[i].settled);
		assert_true(dsn_orcpt_text(text, settled, false));
		assert_string_equal(text, rows[i].narrow);
		assert_true(dsn_orcpt_text(text, settled, true));
		assert_string_equal(text, rows[i].wide);
	}
}

static void
test_bad_orcpt(void **state)
{
	static const char *const rows[] = { "", ";", "rfc822", "rfc822;", ";a@b", "rfc 822;a",
		"rfc822;a=b", "rfc822;a b", "rfc822;+00", "rfc822;\xc3\xa9", "utf-8;", "utf-8;a+b",
		"utf-8;a=b", "utf-8;a b", "utf-8;\xc3", "utf-8;\xc2\x80", "utf-8;\xed\xa0\x80",
		"utf-8;\\", "utf-8;\\x", "utf-8;\\x{", "utf-8;\\x{4", "utf-8;\\x{41", "utf-8;\\x{}",
		"utf-8;\\x{1}", "utf-8;\\x{00}", "utf-8;\\x{0A}", "utf-8;\\x{0D}", "utf-8;\\x{1F}",
		"utf-8;\\x{7F}", "utf-8;\\x{9F}", "utf-8;\\x{D800}", "utf-8;\\x{DFFF}",
		"utf-8;\\x{110000}", "utf-8;\\x{FFFFFF}", "utf-8;\\x{0000041}", "utf-8;\\u{41}" };
	char settled[ENVELOPE_ORCPT_MAX + 1], value[ENVELOPE_ORCPT_MAX + 2] = "rfc822;";

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (dsn_orcpt_settle(settled, rows[i], strlen(rows[i])))
			fail_msg("taken: %s", rows[i]);
	assert_false(dsn_orcpt_settle(settled, "rfc822;a\0b", 10));
	memset(value + 7, 'a', sizeof(value) - 7);
	assert_true(dsn_orcpt_settle(settled, value, ENVELOPE_ORCPT_MAX));
	assert_false(dsn_orcpt_settle(settled, value, ENVELOPE_ORCPT_MAX + 1));
}

/* Whatever comes: what is taken is a word of ASCII, and means the same when taken again. */
static void
test_random_orcpt(void **state)
{
	static const char alphabet[] = "+0ADZ;\\x{}E9a@=\xc3\xa9\xe2\x80\xa8 \n";
	char value[40] = "utf-8;", once[ENVELOPE_ORCPT_MAX + 1], again[ENVELOPE_ORCPT_MAX + 2];
	unsigned seed = 20261123, taken = 0;

	(void)state;
	printf("seed %u\n", seed);
	for (unsigned round = 0; round < 300000; round++) {
		size_t len = (size_t)rand_r(&seed) % 12, type = round % 3 == 0 ? 0 : 6;

		for (size_t i = 0; i < len; i++)
			value[type + i] = alphabet[(size_t)rand_r(&seed) % (sizeof(alphabet) - 1)];
		if (dsn_orcpt_settle(once, value, type + len)) {
			taken++;
			for (const char *at = once; *at != '\0'; at++)
				assert_true(*at > 0x20 && *at < 0x7f && *at != '=');
			assert_true(dsn_orcpt_settle(again, once, strlen(once)));
			assert_string_equal(once, again);
			assert_true(dsn_orcpt_text(again, once, true));
			assert_true(text_utf8_valid(again, strlen(again)));
		}
		memcpy(value, "utf-8;", 6);
	}
	assert_true(taken > 1000);
}

static void
test_utf8_xtext(void **state)
{
	char out[64];

	(void)state;
	assert_true(dsn_utf8_xtext(out, sizeof(out), "\"a b\\\"+\xe6\x94\xb6\"@x", 13));
	assert_string_equal(out, "\"a\\x{20}b\\x{5C}\"\\x{2B}\\x{6536}\"@x");
	assert_false(dsn_utf8_xtext(out, sizeof(out), "\xc3", 1));
	assert_false(dsn_utf8_xtext(out, sizeof(out), "a\nb", 3));
	assert_false(dsn_utf8_xtext(out, 6, "\xc3\xa9", 2));
	assert_true(dsn_utf8_xtext(out, 7, "\xc3\xa9", 2));
}

/* What is made can be read again, and says what it was made of. */
static void
test_made_orcpt(void **state)
{
	static const struct {
		const char *address, *value;
	} rows[] = {
		{ "root@example.org", "rfc822;root@example.org" },
		{ "a+b=c@example.org", "rfc822;a+2Bb+3Dc@example.org" },
		{ "\"a b\"@example.org", "rfc822;\"a+20b\"@example.org" },
		{ "\xc3\xbcx@example.org", "utf-8;\\x{FC}x@example.org" },
	};
	char value[ENVELOPE_ORCPT_MAX + 1], text[ENVELOPE_ORCPT_MAX + 2], long_text[600];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_true(dsn_orcpt_make(value, rows[i].address));
		assert_string_equal(value, rows[i].value);
		assert_true(dsn_orcpt_text(text, value, true));
		assert_string_equal(strchr(text, ' ') + 1, rows[i].address);
	}
	memset(long_text, '+', 320);
	long_text[320] = '\0';
	assert_false(dsn_orcpt_make(value, long_text));
	assert_false(dsn_orcpt_make(value, "\xff@example.org"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_xtext), cmocka_unit_test(test_orcpt),
		cmocka_unit_test(test_bad_orcpt), cmocka_unit_test(test_random_orcpt),
		cmocka_unit_test(test_utf8_xtext), cmocka_unit_test(test_made_orcpt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
