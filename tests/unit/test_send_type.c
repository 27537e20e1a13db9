/* test_send_type.c - the media type of a file: its first octets count more than its name. */
#include "client/send_type.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HEAD(octets)	octets, sizeof(octets) - 1

static void
knows_pictures_by_content(void **state)
{
	static const struct { const char *head; size_t len; const char *type; } rows[] = {
		{ HEAD("\x89PNG\r\n\x1a\n...."), "image/png" },
		{ HEAD("\xff\xd8\xff\xe0"), "image/jpeg" },
		{ HEAD("GIF89a"), "image/gif" },
		{ HEAD("RIFF....WEBPVP8L"), "image/webp" },
		{ HEAD("RIFF....WAVEfmt "), NULL },
		{ HEAD("BM....\0\0\0\0"), "image/bmp" },
		{ HEAD("BMW is a car"), NULL },
		{ HEAD("\0\0\0\x1c" "ftypavif"), "image/avif" },
		{ HEAD("<svg xmlns='x'>"), "image/svg+xml" },
		{ HEAD("\xef\xbb\xbf<?xml version='1.0'?>\n<!-- <svg> -->\n<!DOCTYPE svg>\n<svg>"),
		    "image/svg+xml" },
		{ HEAD("<?xml version='1.0'?><html><svg>"), NULL },
		{ HEAD("<svgx>"), NULL },
		{ HEAD("<svg"), NULL },
		{ HEAD("<!-- <svg>"), NULL },
		{ HEAD("root:x:0:0:root:/root:/bin/sh\n"), NULL },
		{ HEAD("\x89PN"), NULL },
		{ HEAD(""), NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *type = send_type_of_picture(rows[i].head, rows[i].len);

		if (rows[i].type == NULL)
			assert_null(type);
		else
			assert_string_equal(type, rows[i].type);
	}
}

static void
knows_files(void **state)
{
	static const struct {
		const char *name, *head;
		size_t len;
		const char *type;
		bool is_utf8;
	} rows[] = {
		{ "a.txt", HEAD("\x89PNG\r\n\x1a\n"), "image/png", false },
		{ "a.png", HEAD("just text"), "text/plain", true },
		{ "a.pdf", HEAD("%PDF-1.7"), "application/pdf", false },
		{ "A.DOCX", HEAD("PK\3\4"), "application/vnd.openxmlformats-officedocument."
		    "wordprocessingml.document", false },
		{ "a.bin", HEAD("PK\3\4"), "application/zip", false },
		{ "a.tar.gz", HEAD("\x1f\x8b\x08"), "application/gzip", false },
		{ "a.csv", HEAD("a,\xe4\xbd\xa0\n"), "text/csv", true },
		{ "a.csv", HEAD("a,\xff\n"), "text/csv", false },
		{ "a.html", HEAD("<p>"), "text/html", false },
		{ "noname", HEAD("hello"), "text/plain", true },
		{ "noname", HEAD("a\0b"), "application/octet-stream", false },
		{ "empty", HEAD(""), "application/octet-stream", false },
		{ "empty.txt", HEAD(""), "text/plain", false },
		{ "mail.eml", HEAD("From: a\r\n\r\n"), "text/plain", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool is_utf8;

		assert_string_equal(
		    send_type_of_file(rows[i].name, rows[i].head, rows[i].len, &is_utf8),
		    rows[i].type);
		assert_int_equal(is_utf8, rows[i].is_utf8);
	}
}

static void
judges_given_types(void **state)
{
	static const char *const good[] = { "text/csv", "a/b", "text/plain; charset=utf-8",
		"text/x;a=\"b c\" ; d=e", "application/vnd.x+json" };
	static const char *const bad[] = { "", "text", "text/", "/x", "text/a b", "text/x;",
		"a/b; c", "a/b; c=", "a/b; c=\"", "a/b; c=\"\n\"", "tëxt/x", "a/b/c" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(send_type_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(send_type_is_valid(bad[i]));
	assert_false(send_type_is_leaf("message/rfc822"));
	assert_false(send_type_is_leaf("Multipart/mixed"));
	assert_true(send_type_is_leaf("text/plain"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_pictures_by_content),
		cmocka_unit_test(knows_files),
		cmocka_unit_test(judges_given_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
