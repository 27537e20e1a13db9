/* test_fetch_name.c - what a stranger calls a file becomes a name that does no harm. */
#include "client/fetch_name.h"

#include "base/buf.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void
assert_safe(const char *name)
{
	static const char *const never[] = { "/", "\\", "\n", "\r", "\x1b", "\x7f",
		"\xe2\x80\xae", "\xe2\x80\x8b", "\xef\xbb\xbf", "\xc2\x85", "\xe2\x81\xa6" };
	size_t len = strlen(name);

	assert_in_range(len, 1, FETCH_NAME_MAX);
	assert_true(text_utf8_valid(name, len));
	assert_null(strchr(".- ", name[0]));
	assert_null(strchr(". ", name[len - 1]));
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_null(strstr(name, never[i]));
	for (size_t i = 0; i < len; i++)
		assert_true((unsigned char)name[i] >= ' ');
}

static void
check(const char *name, const char *type, const char *want)
{
	char out[FETCH_NAME_MAX + 1], again[FETCH_NAME_MAX + 1];

	fetch_name_safe(name, type, 1, out);
	assert_string_equal(out, want);
	assert_safe(out);
	fetch_name_safe(out, type, 1, again);
	assert_string_equal(again, out);
}

static void
test_good_names(void **state)
{
	static const char *const names[] = { "a", "photo.png", "a.tar.gz", "README", "a b (1).txt",
		"中文 图片.png", "été.txt", "😀.gif", "a..b.c", "x-y_z.TXT", "100%.csv", "a'b\"c.txt" };

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		check(names[i], "image/png", names[i]);
}

static void
test_hostile_names(void **state)
{
	static const struct { const char *name, *want; } rows[] = {
		{ "/etc/passwd", "passwd" },
		{ "../../.ssh/authorized_keys", "authorized_keys" },
		{ "..\\..\\x.exe", "x.exe" },
		{ "C:\\temp\\new.png", "new.png" },
		{ ".bashrc", "bashrc" },
		{ "...hidden", "hidden" },
		{ "-rf", "rf" },
		{ " . - .x", "x" },
		{ "--help", "help" },
		{ "a.png.", "a.png" },
		{ "a.png . .", "a.png" },
		{ "a\r\nb\tc\x1b[2J.txt", "abc[2J.txt" },
		{ "gpj.\xe2\x80\xae" "exe", "gpj.exe" },
		{ "a\xe2\x80\x8b" "b\xef\xbb\xbf" "c\xc2\x85", "abc" },
		{ "a\xf3\xa0\x81\xa1" "b\xc2\xad", "ab" },
		{ "\xe3\x80\x80" "a\xc2\xa0", "a" },
		{ "\xe2\x80\xaf" "a\xe2\x80\xa8", "a" },
		{ "a\xff" "b", "a\xef\xbf\xbd" "b" },
		{ "\xc0\xaf" "a", "\xef\xbf\xbd\xef\xbf\xbd" "a" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "/", "part-001.png" },
		{ "a/", "part-001.png" },
		{ "..", "part-001.png" },
		{ ".", "part-001.png" },
		{ "a/..", "part-001.png" },
		{ "", "part-001.png" },
		{ " \t", "part-001.png" },
		{ "\xe2\x80\xae", "part-001.png" },
		{ ".-.-.", "part-001.png" },
		{ NULL, "part-001.png" },
		{ "~/x", "x" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(rows[i].name, "image/png", rows[i].want);
}

static void
test_names_by_type(void **state)
{
	static const struct { const char *type, *want; } rows[] = {
		{ "image/png", "part-007.png" }, { "IMAGE/JPEG", "part-007.jpg" },
		{ "text/plain", "part-007.txt" }, { "text/html", "part-007.html" },
		{ "text/calendar", "part-007.ics" }, { "application/pdf", "part-007.pdf" },
		{ "message/rfc822", "part-007.eml" },
		{ "application/octet-stream", "part-007.bin" }, { "x/y", "part-007.bin" },
		{ "multipart/mixed", "part-007.bin" }, { "", "part-007.bin" },
	};
	char out[FETCH_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fetch_name_safe(NULL, rows[i].type, 7, out);
		assert_string_equal(out, rows[i].want);
	}
	fetch_name_safe(NULL, "x/y", 4294967295u, out);
	assert_string_equal(out, "part-4294967295.bin");
	check("fwd", "message/rfc822", "fwd.eml");
	check("fwd.EML", "message/rfc822", "fwd.EML");
	check("Re: a.b", "message/rfc822", "Re: a.b.eml");
}

/* Octets of `text`, `count` times, with `tail`. */
static char *
repeated(const char *text, size_t count, const char *tail)
{
	struct buf buf = { 0 };
	char *copy;

	while (count-- > 0)
		buf_append_text(&buf, text);
	buf_append_text(&buf, tail);
	copy = strdup(buf_text(&buf));
	buf_free(&buf);
	return copy;
}

static void
test_long_names(void **state)
{
	static const struct { const char *piece, *tail, *type; size_t len; } rows[] = {
		{ "a", "", "x/y", 200 }, { "a", ".png", "x/y", 200 }, { "中", "", "x/y", 198 },
		{ "中", ".png", "x/y", 199 }, { "中", ".jpeg", "x/y", 200 },
		{ "a", ".0123456789abcdefg", "x/y", 200 }, { "a", "", "message/rfc822", 200 },
		{ "a", ".png", "message/rfc822", 200 }, { "a ", "", "x/y", 199 },
		{ "a.", "png", "x/y", 199 }, { ".a", "", "x/y", 200 },
	};
	char out[FETCH_NAME_MAX + 1], again[FETCH_NAME_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *name = repeated(rows[i].piece, 100000, rows[i].tail);

		fetch_name_safe(name, rows[i].type, 1, out);
		assert_safe(out);
		assert_in_range(strlen(out), rows[i].len - 2, rows[i].len);
		if (strlen(rows[i].tail) < 6 && strcmp(rows[i].type, "x/y") == 0)
			assert_string_equal(out + strlen(out) - strlen(rows[i].tail), rows[i].tail);
		fetch_name_safe(out, rows[i].type, 1, again);
		assert_string_equal(again, out);
		free(name);
	}
}

static void
test_next(void **state)
{
	static const struct { const char *name; unsigned n; const char *want; } rows[] = {
		{ "name.png", 2, "name (2).png" }, { "name", 2, "name (2)" },
		{ "a.tar.gz", 10, "a.tar (10).gz" },
		{ "a.not an extension", 3, "a.not an extension (3)" },
		{ "a", 4294967295u, "a (4294967295)" }, { "中.文", 2, "中 (2).文" },
	};
	char out[FETCH_NAME_MAX + 1], next[FETCH_NAME_MAX + 1];
	char *name = repeated("中", 100, ".jpeg");

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		fetch_name_next(rows[i].name, rows[i].n, out);
		assert_string_equal(out, rows[i].want);
	}
	fetch_name_safe(name, "x/y", 1, out);
	fetch_name_next(out, 123456, next);
	assert_safe(next);
	assert_string_equal(next + strlen(next) - 14, " (123456).jpeg");
	free(name);
}

/* Any octets: pairs of what matters, then random ones. */
static void
test_random_names(void **state)
{
	static const char *const pieces[] = { ".", "/", "\\", "-", " ", "a", "\xe2\x80\xae", "\xff",
		"\n", "中", "\xe2", "\xc2\xa0", ".eml", "\x01" };
	static const char *const types[] = { "x/y", "message/rfc822" };
	const size_t count = sizeof(pieces) / sizeof(pieces[0]);
	const unsigned seed = 20240229;
	char out[FETCH_NAME_MAX + 1], again[FETCH_NAME_MAX + 1];

	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (size_t i = 0; i < 200000; i++) {
		const char *type = types[i % 2];
		struct buf name = { 0 };
		size_t number = (size_t)random() % (i % 100 == 0 ? 300 : 8);

		while (number-- > 0)
			buf_append_text(&name, pieces[(size_t)random() % count]);
		fetch_name_safe(buf_text(&name), type, 1, out);
		assert_safe(out);
		fetch_name_safe(out, type, 1, again);
		assert_string_equal(again, out);
		fetch_name_next(out, 2, again);
		assert_safe(again);
		buf_free(&name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_names),
		cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_names_by_type),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_random_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
