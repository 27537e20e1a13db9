/* test_fetch_field.c - hostile header fields (RULES M4, M5, M7): pieces, words, addresses. */
#include "mime_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MIB (1024 * 1024)
#define TEXT "\r\n\r\n"

/* Reads one part whose Content-Type is `start`, `count` times `piece`, and `end`. */
static void
read_field(const char *field, const char *start, const char *piece, size_t count, const char *end,
    struct mime_seen *seen)
{
	struct buf mail = { 0 };

	*seen = (struct mime_seen){ 0 };
	buf_appendf(&mail, "%s: %s", field, start);
	mime_append_times(&mail, piece, count);
	buf_appendf(&mail, "%s\r\nSubject: behind" TEXT "x\r\n", end);
	mime_seen_read(seen, NULL, buf_octets(&mail), mail.len, 4096);
	/* A name is looked for by four parameters; "=?" asks for 64 octets behind it. */
	assert_in_range(seen->work, mail.len, 80 * mail.len);
	assert_int_equal(seen->parts, 1);
	buf_free(&mail);
}

/* Twice as much is twice the work. */
static void
check_linear(const char *field, const char *start, const char *piece, size_t count,
    const char *end)
{
	struct mime_seen half, whole;

	read_field(field, start, piece, count / 2, end, &half);
	read_field(field, start, piece, count, end, &whole);
	assert_in_range(whole.work * 10, 0, half.work * 22);
	assert_true(mime_seen_has(&whole, "subject behind"));
	mime_seen_clear(&half);
	mime_seen_clear(&whole);
}

static void
test_m4_segments(void **state)
{
	struct buf field = { 0 };
	struct mime_seen seen;

	(void)state;
	for (unsigned i = 0; i < 1000000; i++)
		buf_appendf(&field, ";\r\n x*%u*=a", i);
	read_field("Content-Type", "image/png; name*0*=utf-8''b", buf_text(&field), 1,
	    "; name*1=c", &seen);
	assert_true(mime_seen_has(&seen, "name b"));
	assert_int_equal(seen.faults, 2);	/* the field, the header section */
	mime_seen_clear(&seen);
	buf_free(&field);
	for (unsigned i = 0; i < 20000; i++)
		buf_appendf(&field, ";\r\n name*%u*=a", i);
	read_field("Content-Type", "image/png", buf_text(&field), 1, "", &seen);
	assert_int_equal(mime_seen_line(&seen, "name ")->len, 5 + 1000);
	assert_true(mime_seen_has(&seen,
	    "fault a file name is in too many pieces: the rest of it is left out"));
	mime_seen_clear(&seen);
	read_field("Content-Type", "image/png", "; name*0*=utf-8''%E4", 50000, "", &seen);
	mime_seen_clear(&seen);
	read_field("Content-Type", "image/png", "; a=b", 200000, "; name=x", &seen);
	assert_true(mime_seen_has(&seen, "name x"));
	mime_seen_clear(&seen);
	read_field("Content-Type", "image/png; name=\"", "\\\"", 500000, "\"", &seen);
	assert_int_equal(mime_seen_line(&seen, "name ")->len, 5 + 500000);
	mime_seen_clear(&seen);
	check_linear("Content-Type", "image/png; x=", "\\\"; y=\"\\", 100000, "");
	check_linear("Content-Type", "image/png; x", "=\"\\", 200000, "");
	buf_free(&field);
}

static void
test_m5_encoded_words(void **state)
{
	static const struct { const char *start, *piece; size_t count; } bombs[] = {
		{ "", "=?", 500000 }, { "", "=?utf-8?q?a", 90000 }, { "", "=?utf-8?q?a?= ", 70000 },
		{ "", "=?utf-8?q?=E4?=", 70000 }, { "=?utf-8?q?", "?", 1000000 },
		{ "", "=?utf-8?b?5LitQUJD?=", 50000 }, { "", "=?x?q?\xff?=", 90000 },
		{ "", "=?gbk?q?=D6?==?big5?q?=A4?==?koi8-r?q?=A4?=", 22000 },
		{ "", "=?iso-2022-jp?b?GyRC?=", 45000 }, { "", "\xff", 1000000 },
		{ "", "=?utf-7?q?+2D3cAA-?=", 45000 }, { "", "?=", 500000 },
		{ "", "=?aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 16000 },
	};
	struct mime_seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
		read_field("From", bombs[i].start, bombs[i].piece, bombs[i].count, "", &seen);
		assert_in_range(mime_seen_line(&seen, "from ")->len, 5, 4 * MIB);
		assert_true(mime_seen_has(&seen, "subject behind"));
		mime_seen_clear(&seen);
		check_linear("Content-Disposition", "attachment; filename=\"", bombs[i].piece,
		    bombs[i].count / 8, "\"");
	}
}

static void
test_m7_addresses(void **state)
{
	static const char *const pieces[] = { "(", ",", "a,", "a@b,", "<", "\"", "()", "(a) ", ";",
		":", "g:", "a:;", "\\", "[", "@", ".", "a.", "<@a:", "=?" };
	struct mime_seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		read_field("From", "", pieces[i], 1000000 / strlen(pieces[i]),
		    ",ann@example.org", &seen);
		assert_true(mime_seen_has(&seen, "subject behind"));
		mime_seen_clear(&seen);
		check_linear("Content-Type", "image/png ", pieces[i], 250000 / strlen(pieces[i]),
		    "; name=x");
	}
	read_field("From", "", ",", 1000000, "ann@example.org", &seen);
	assert_true(mime_seen_has(&seen, "sender ann"));
	mime_seen_clear(&seen);
}

/* One field of 2 MiB, then others. */
static void
test_long_field(void **state)
{
	struct mime_seen seen;

	(void)state;
	read_field("From", "ann@example.org, ", "12345678", 2 * MIB / 8, "", &seen);
	assert_int_equal(mime_seen_line(&seen, "from ")->len, 5 + MIB - 1);
	assert_true(mime_seen_has(&seen, "sender ann"));
	assert_true(mime_seen_has(&seen, "subject behind"));
	assert_int_equal(seen.faults, 1);
	mime_seen_clear(&seen);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_m4_segments),
		cmocka_unit_test(test_m5_encoded_words),
		cmocka_unit_test(test_m7_addresses),
		cmocka_unit_test(test_long_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
