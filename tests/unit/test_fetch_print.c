/* test_fetch_print.c - what herald fetch says to people and to programs. */
#include "client/fetch_json.h"
#include "client/fetch_print.h"

#include <jansson.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct page {
	FILE *file;
	char *text;
	size_t len;
};

static void
open_page(struct page *page)
{
	page->file = open_memstream(&page->text, &page->len);
	assert_non_null(page->file);
}

static void
assert_page(struct page *page, const char *expected, size_t len)
{
	fclose(page->file);
	assert_int_equal(page->len, len);
	assert_memory_equal(page->text, expected, len);
	free(page->text);
}

/* The same text in pieces of every size. */
static void
print_pieces(const char *charset, bool terminal, const char *octets, size_t len,
    const char *expected)
{
	for (size_t piece = 1; piece <= len; piece++) {
		struct page page;
		struct fetch_printer *printer;

		open_page(&page);
		printer = fetch_printer_new(page.file, charset, terminal);
		for (size_t at = 0; at < len; at += piece)
			fetch_print_text(printer, octets + at, at + piece < len ? piece : len - at);
		fetch_print_text_end(printer);
		fetch_printer_free(printer);
		assert_page(&page, expected, strlen(expected));
	}
}

static void
test_text(void **state)
{
	static const char text[] = "a\tb\\c \xe4\xb8\xad\xf0\x9f\x98\x80\n\x1b[31m\xc2\x9b";

	(void)state;
	print_pieces(NULL, false, text, sizeof(text) - 1,
	    "a\tb\\c \xe4\xb8\xad\xf0\x9f\x98\x80\n\x1b[31m\xc2\x9b\n");
	print_pieces(NULL, true, text, sizeof(text) - 1,
	    "a\tb\\c \xe4\xb8\xad\xf0\x9f\x98\x80\n\\x1b[31m\\xc2\\x9b\n");
	print_pieces(NULL, true, "done\n", 5, "done\n");
	print_pieces(NULL, true, "\xe4\xb8", 2, "\\xe4\\xb8\n");
}

static void
test_charset(void **state)
{
	static const char text[] = "\xe4\xb8\xad\xe6\x96\x87 \xc3\xa9\n";

	(void)state;
	print_pieces("GB18030", true, text, sizeof(text) - 1, "\xd6\xd0\xce\xc4 \xa8\xa6\n");
	print_pieces("ISO-8859-1", true, text, sizeof(text) - 1, "?? \xe9\n");
	print_pieces("ISO-8859-1", false, "a\xff\xe4\xb8z\n", 6, "a??z\n");
}

static void
test_charset_of_the_locale(void **state)
{
	char *charset;

	(void)state;
	setenv("LC_ALL", "C", 1);
	charset = fetch_print_charset(true);
	assert_string_equal(charset, "ANSI_X3.4-1968");
	free(charset);
	assert_null(fetch_print_charset(false));
	setenv("LC_ALL", "C.UTF-8", 1);
	assert_null(fetch_print_charset(true));
}

static void
test_line_stays_one(void **state)
{
	struct page page;
	struct fetch_printer *printer;

	(void)state;
	open_page(&page);
	printer = fetch_printer_new(page.file, NULL, false);
	fetch_print_field(printer, "Subject", "a\nFrom: b\r\x1b[0m\\ \xe2\x80\xae%n");
	fetch_print_field(printer, "To", NULL);
	fetch_print_line(printer, "%u octets", 5U);
	fetch_print_field(NULL, "To", "x");
	fetch_print_line(NULL, "x");
	fetch_print_text(NULL, "x", 1);
	fetch_print_text_end(NULL);
	fetch_printer_free(printer);
	fetch_printer_free(NULL);
	assert_page(&page,
	    "Subject: a\\x0aFrom: b\\x0d\\x1b[0m\\ \\xe2\\x80\\xae%n\n5 octets\n",
	    strlen("Subject: a\\x0aFrom: b\\x0d\\x1b[0m\\ \\xe2\\x80\\xae%n\n5 octets\n"));
}

static void
test_row(void **state)
{
	static const char expected[] =
	    "number        size  date                             "
	    "from                             subject\n"
	    "     2        1234  \xe6\x9d\x8e                               "
	    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  s\n"
	    "     3           1  xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx   "
	    "                                 \n";
	struct page page;
	struct fetch_printer *printer;

	(void)state;
	assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
	open_page(&page);
	printer = fetch_printer_new(page.file, NULL, false);
	fetch_print_row(printer, 0, 0, (const char *[]){ "date", "from", "subject" });
	fetch_print_row(printer, 2, 1234,
	    (const char *[]){ "\xe6\x9d\x8e", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "s" });
	/* A wide character that would stand across the edge is left out. */
	fetch_print_row(printer, 3, 1,
	    (const char *[]){ "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\xe6\x9d\x8e", "", "" });
	fetch_printer_free(printer);
	assert_page(&page, expected, sizeof(expected) - 1);
}

/* --- for programs --- */

static json_t *
load(struct page *page)
{
	json_t *root;

	fclose(page->file);
	root = json_loadb(page->text, page->len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	free(page->text);
	return root;
}

static void
test_json(void **state)
{
	struct page page;
	struct fetch_json *json;
	json_t *root, *messages, *one;

	(void)state;
	open_page(&page);
	json = fetch_json_new(page.file, false);
	fetch_json_string(json, "stray", "nobody's");
	fetch_json_mailbox(json, "a@b:995", "\xff\"\\\x1b", 2, 30);
	fetch_json_message(json, 1, 10, "uid");
	fetch_json_fault(json, "odd");
	fetch_json_message_end(json, false, false);
	fetch_json_message(json, 2, 20, NULL);
	fetch_json_string(json, "subject", "\xe4\xb8\xad\xe4\xb8");
	fetch_json_text(json, "a\0b\n", 4);
	fetch_json_text_end(json);
	fetch_json_part(json, "image/png", NULL, "x.png", 5, "id@x");
	fetch_json_message_end(json, true, true);
	fetch_json_end(json);
	fetch_json_free(json);
	root = load(&page);
	assert_non_null(root);
	assert_string_equal(json_string_value(json_object_get(root, "welcome")),
	    "\xef\xbf\xbd\"\\\x1b");
	messages = json_object_get(root, "messages");
	assert_int_equal(json_array_size(messages), 2);
	one = json_array_get(messages, 0);
	assert_string_equal(json_string_value(json_object_get(one, "uidl")), "uid");
	assert_int_equal(json_array_size(json_object_get(one, "faults")), 1);
	assert_null(json_object_get(one, "text"));
	assert_null(json_object_get(one, "stray"));
	one = json_array_get(messages, 1);
	assert_true(json_is_null(json_object_get(one, "uidl")));
	assert_string_equal(json_string_value(json_object_get(one, "subject")),
	    "\xe4\xb8\xad\xef\xbf\xbd\xef\xbf\xbd");
	assert_int_equal(json_string_length(json_object_get(one, "text")), 4);
	assert_true(json_is_true(json_object_get(one, "deleted")));
	assert_int_equal(json_array_size(json_object_get(one, "parts")), 1);
	json_decref(root);
}

static void
test_json_without_a_mailbox(void **state)
{
	struct page page;
	struct fetch_json *json;

	(void)state;
	open_page(&page);
	json = fetch_json_new(page.file, false);
	fetch_json_end(json);
	fetch_json_message(json, 1, 1, NULL);
	fetch_json_free(json);
	fetch_json_end(NULL);
	fetch_json_text(NULL, "x", 1);
	fetch_json_text_end(NULL);
	assert_false(fetch_json_is_truncated(NULL));
	fetch_json_message_end(NULL, true, true);
	assert_page(&page, "", 0);
}

/* A text that is cut is cut between characters. */
static void
test_json_text_is_bounded(void **state)
{
	struct page page;
	struct fetch_json *json;
	json_t *root, *one;

	(void)state;
	open_page(&page);
	json = fetch_json_new(page.file, false);
	fetch_json_mailbox(json, "a", NULL, 1, 1);
	fetch_json_message(json, 1, 1, NULL);
	fetch_json_text(json, "x", 1);
	for (size_t i = 0; i < FETCH_JSON_TEXT_MAX; i += 3)
		fetch_json_text(json, "\xe4\xb8\xad", 3);
	assert_true(fetch_json_is_truncated(json));
	fetch_json_text_end(json);
	fetch_json_message_end(json, true, false);
	fetch_json_end(json);
	fetch_json_free(json);
	root = load(&page);
	one = json_array_get(json_object_get(root, "messages"), 0);
	assert_true(json_is_true(json_object_get(one, "text_truncated")));
	assert_int_equal(json_string_length(json_object_get(one, "text")) % 3, 1);
	assert_in_range(json_string_length(json_object_get(one, "text")),
	    FETCH_JSON_TEXT_MAX - 4, FETCH_JSON_TEXT_MAX);
	json_decref(root);
}

/* What was printed of a message must have arrived before it is deleted, so the text goes out when
 * it is whole, and the rest follows. */
static void
test_json_text_goes_first(void **state)
{
	struct page page;
	struct fetch_json *json;
	json_t *root, *one;
	size_t before;

	(void)state;
	open_page(&page);
	json = fetch_json_new(page.file, false);
	fetch_json_mailbox(json, "a", NULL, 2, 1);
	for (unsigned i = 1; i <= 2; i++) {
		fflush(page.file);
		before = page.len;
		fetch_json_message(json, i, 1, NULL);
		fetch_json_string(json, "subject", "dear");
		fetch_json_text(json, "precious", 8);
		fetch_json_text_end(json);
		assert_int_equal(fflush(page.file), 0);
		assert_non_null(strstr(page.text + before,
		    "\"subject\":\"dear\",\"text\":\"precious\",\"text_truncated\":false"));
		if (i == 1)
			fetch_json_part(json, "image/png", NULL, "x.png", 5, NULL);
		fetch_json_string(json, "message_file", NULL);
		fetch_json_message_end(json, i == 1, true);
	}
	fetch_json_end(json);
	fetch_json_free(json);
	root = load(&page);
	assert_int_equal(json_array_size(json_object_get(root, "messages")), 2);
	one = json_array_get(json_object_get(root, "messages"), 0);
	assert_string_equal(json_string_value(json_object_get(one, "text")), "precious");
	assert_int_equal(json_array_size(json_object_get(one, "parts")), 1);
	assert_int_equal(json_object_size(one), 10);
	json_decref(root);
}

/* What a server says of sizes is never negative; on a terminal there is only ASCII. */
static void
test_json_of_odd_servers(void **state)
{
	static const char odd[] = "\xc2\x9b" "31m\xe2\x80\xae\xe4\xb8\xad\xf0\x9f\x98\x80";
	struct page page;
	struct fetch_json *json;
	json_t *root, *one;

	(void)state;
	open_page(&page);
	json = fetch_json_new(page.file, true);
	fetch_json_mailbox(json, "a", odd, 1, UINT64_MAX);
	fetch_json_message(json, 1, UINT64_MAX, NULL);
	fetch_json_text(json, "\xc2\x9b", 2);
	fetch_json_text_end(json);
	fetch_json_message_end(json, true, true);
	fetch_json_end(json);
	fetch_json_free(json);
	assert_int_equal(fflush(page.file), 0);
	for (size_t i = 0; i < page.len; i++)
		assert_in_range(page.text[i], '\n', '~');
	root = load(&page);
	assert_int_equal(json_integer_value(json_object_get(root, "size")), INT64_MAX);
	assert_string_equal(json_string_value(json_object_get(root, "welcome")), odd);
	one = json_array_get(json_object_get(root, "messages"), 0);
	assert_int_equal(json_integer_value(json_object_get(one, "size")), INT64_MAX);
	json_decref(root);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_charset),
		cmocka_unit_test(test_charset_of_the_locale),
		cmocka_unit_test(test_line_stays_one),
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_without_a_mailbox),
		cmocka_unit_test(test_json_text_is_bounded),
		cmocka_unit_test(test_json_text_goes_first),
		cmocka_unit_test(test_json_of_odd_servers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
