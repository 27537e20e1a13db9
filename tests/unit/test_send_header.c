/* test_send_header.c - words encoded and lines folded read back the same. */
#include "base/mem.h"
#include "base/text.h"
#include "client/send_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gmime/gmime.h>

/* "A:" with its value. */
static const char *
done(struct send_header *header, struct buf *out)
{
	buf_clear(out);
	buf_appendf(out, "Subject:%s", send_header_end(header));
	send_header_free(header);
	return buf_text(out);
}

static const char *
text_field(struct buf *out, const char *text)
{
	struct send_header header;

	send_header_begin(&header, "Subject");
	send_header_text(&header, text);
	return done(&header, out);
}

static void
encodes_what_must_be(void **state)
{
	static const char *const rows[][2] = {
		{ "plain words", " plain words\n" },
		{ "two  blanks", " two  blanks\n" },
		{ "Grüße", " =?utf-8?b?R3LDvMOfZQ==?=\n" },
		{ "一封HTML邮件", " =?utf-8?b?5LiA5bCBSFRNTOmCruS7tg==?=\n" },
		{ "a =?utf-8?q?b?=", " =?utf-8?b?YSA9P3V0Zi04P3E/Yj89?=\n" },
		{ "blank at the end ", " =?utf-8?q?blank_at_the_end_?=\n" },
		{ " blank first", " =?utf-8?q?_blank_first?=\n" },
		{ "Über all this there is", " =?utf-8?q?=C3=9Cber_all_this_there_is?=\n" },
		{ "a\tb", " =?utf-8?b?YQli?=\n" },
		{ "123456789012345678901234567890123456789012345678901234567890123456789 x",
		    " 123456789012345678901234567890123456789012345678901234567890123456789\n"
		    " x\n" },
		{ "1234567890123456789012345678901234567890123456789012345678901234567890 x",
		    " =?utf-8?q?1234567890123456789012345678901234567890123456789012345?=\n"
		    " =?utf-8?q?678901234567890_x?=\n" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(text_field(&out, rows[i][0]) + 8, rows[i][1]);
	buf_free(&out);
}

static void
folds_at_blanks(void **state)
{
	struct buf out = { 0 };
	char text[400] = "";
	size_t at = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "%sword%d",
		    i > 0 ? " " : "", i);
	text_field(&out, text);
	for (const char *line = buf_text(&out), *end; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_in_range(end - line, 1, 78);
	}
	buf_free(&out);
}

/* As a reader sees it: unfolded and decoded. */
static void
check_reads_back(const char *text)
{
	struct buf out = { 0 };
	const char *field = text_field(&out, text), *line, *end;
	char *unfolded, *decoded;

	for (line = field; *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		assert_non_null(end);
		assert_in_range(end - line, 1, 78);
		assert_true(line == field || *line == ' ');
	}
	for (const char *at = field; *at != '\0'; at++)
		assert_true(*at == '\n' || (*at >= ' ' && *at <= '~'));
	unfolded = g_mime_utils_header_unfold(field + 8);
	decoded = g_mime_utils_header_decode_text(NULL, unfolded);
	assert_string_equal(decoded, text);
	g_free(unfolded);
	g_free(decoded);
	buf_free(&out);
}

static void
reads_back_whatever_it_is(void **state)
{
	static const char *const units[] = { "a", " ", "b c", "é", "你好", "😀", "👨‍👩‍👧", "=?", "?=",
		"_", "=", "\"", "\\", "مرحبا", ",", "<>", "\t", "\x01", "longlonglonglonglong" };
	unsigned seed = 1;

	(void)state;
	for (int round = 0; round < 4000; round++) {
		char text[600] = "x";
		const unsigned count = 1 + seed % 60;

		for (unsigned i = 0; i < count; i++) {
			const char *unit;

			seed = seed * 1103515245u + 12345u;
			unit = units[seed / 65536 % (sizeof(units) / sizeof(units[0]))];
			if (strlen(text) + strlen(unit) < sizeof(text))
				memcpy(text + strlen(text), unit, strlen(unit) + 1);
		}
		check_reads_back(text);
	}
}

/* A run of blanks goes to the next line with the word behind it. */
static void
long_blanks_are_encoded(void **state)
{
	(void)state;
	for (int blanks = 1; blanks < 200; blanks++) {
		char text[400];

		snprintf(text, sizeof(text), "before%*sbehind and more", blanks, "");
		check_reads_back(text);
	}
}

static void
never_cuts_a_character(void **state)
{
	struct buf out = { 0 };
	const char *at;
	char text[400];

	(void)state;
	for (size_t shift = 0; shift < 8; shift++) {
		memset(text, 'x', shift);
		text[shift] = '\0';
		for (int i = 0; i < 90; i++)
			memcpy(text + strlen(text), "\xe4\xbd\xa0", 4);
		at = text_field(&out, text);
		while ((at = strstr(at, "=?utf-8?b?")) != NULL) {
			const char *end = strstr(at, "?=");
			char *word = mem_strndup(at + 10, (size_t)(end - at) - 10);
			guchar *decoded;
			gsize len;

			assert_in_range(end + 2 - at, 12, 75);
			decoded = g_base64_decode(word, &len);
			assert_true(text_utf8_valid((const char *)decoded, len));
			g_free(decoded);
			free(word);
			at = end;
		}
	}
	buf_free(&out);
}

static void
writes_names(void **state)
{
	static const char *const rows[][2] = {
		{ "Ann", " Ann\n" }, { "Ann B", " Ann B\n" }, { "O'Neil", " O'Neil\n" },
		{ "Doe, John", " \"Doe, John\"\n" }, { "J. Doe", " \"J. Doe\"\n" },
		{ "a \"b\" \\c", " \"a \\\"b\\\" \\\\c\"\n" },
		{ "发件人", " =?utf-8?b?5Y+R5Lu25Lq6?=\n" },
		{ "x <y@example.org>", " \"x <y@example.org>\"\n" },
		{ "=?utf-8?q?x?=", " =?utf-8?b?PT91dGYtOD9xP3g/PQ==?=\n" },
		{ "a  b", " \"a  b\"\n" },
		{ "twenty octets or so, twice;  twenty octets or so, and some",
		    " \"twenty octets or so, twice;  twenty octets or so, and some\"\n" },
		{ "no sign  but blanks that are two and  longer than what goes into quotes",
		    " =?utf-8?q?no_sign__but_blanks_that_are_two_and__longer_than_what_?=\n"
		    " =?utf-8?q?goes_into_quotes?=\n" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct send_header header;

		send_header_begin(&header, "Subject");
		send_header_phrase(&header, rows[i][0]);
		assert_string_equal(done(&header, &out) + 8, rows[i][1]);
	}
	buf_free(&out);
}

static const char *
parameter(struct buf *out, const char *value)
{
	struct send_header header;

	send_header_begin(&header, "Content-Disposition");
	send_header_word(&header, "attachment", 10);
	send_header_parameter(&header, "filename", value);
	return done(&header, out);
}

static void
writes_parameters(void **state)
{
	static const char *const rows[][2] = {
		{ "a.png", " attachment; filename=\"a.png\"\n" },
		{ "a; b.png", " attachment; filename=\"a; b.png\"\n" },
		{ "a\"b.png", " attachment; filename*=utf-8''a%22b.png\n" },
		{ "a%20b", " attachment; filename*=utf-8''a%2520b\n" },
		{ "", " attachment; filename=\"\"\n" },
		{ "你好.txt", " attachment; filename*=utf-8''%E4%BD%A0%E5%A5%BD.txt\n" },
		{ "a\x0b" "b", " attachment; filename*=utf-8''a%0Bb\n" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(parameter(&out, rows[i][0]) + 8, rows[i][1]);
	buf_free(&out);
}

static void
cuts_long_parameters(void **state)
{
	static const char *const units[] = { "a", "你", "é", "\"", "😀", " " };
	struct buf out = { 0 };

	(void)state;
	for (size_t u = 0; u < sizeof(units) / sizeof(units[0]); u++) {
		for (size_t count = 1; count <= 255; count += 7) {
			struct buf value = { 0 };
			GMimeContentDisposition *read;
			char *unfolded;
			const char *line, *end;

			for (size_t i = 0; i < count; i++)
				buf_append_text(&value, units[u]);
			line = parameter(&out, buf_text(&value));
			for (; *line != '\0'; line = end + 1) {
				end = strchr(line, '\n');
				assert_in_range(end - line, 1, 78);
			}
			unfolded = g_mime_utils_header_unfold(buf_text(&out) + 8);
			read = g_mime_content_disposition_parse(NULL, unfolded);
			assert_string_equal(
			    g_mime_content_disposition_get_parameter(read, "filename"),
			    buf_text(&value));
			g_object_unref(read);
			g_free(unfolded);
			buf_free(&value);
		}
	}
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(encodes_what_must_be),
		cmocka_unit_test(folds_at_blanks),
		cmocka_unit_test(reads_back_whatever_it_is),
		cmocka_unit_test(long_blanks_are_encoded),
		cmocka_unit_test(never_cuts_a_character),
		cmocka_unit_test(writes_names),
		cmocka_unit_test(writes_parameters),
		cmocka_unit_test(cuts_long_parameters),
	};

	g_mime_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
