/* test_book.c - quotes from lists, lines and fortunes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"
#include "services/book.h"

static void
expect_quotes(struct book *book, const char *const *quotes, size_t count)
{
	assert_non_null(book);
	assert_int_equal(book_count(book), count);
	for (size_t i = 0; i < count; i++) {
		size_t len;
		const char *quote = book_quote(book, i, &len);

		assert_int_equal(len, strlen(quotes[i]));
		assert_memory_equal(quote, quotes[i], len);
		assert_true(book_has(book, quote, len));
	}
	book_free(book);
}

static struct book *
parse(const char *text, enum book_format format)
{
	struct error err;

	return book_parse(text, strlen(text), format, 512, &err);
}

static void
a_list_is_taken_as_it_is(void **state)
{
	static const char *const quotes[] = { "疯狂Python讲义", "a\nb", " ", "疯狂Python讲义" };

	(void)state;
	expect_quotes(book_new(quotes, 4, 512), quotes, 4);
}

static void
lines_lose_their_ends_and_blanks_are_dropped(void **state)
{
	static const char *const quotes[] = { "one", " two ", "%", "three" };

	(void)state;
	expect_quotes(parse("one\n\n two \r\n   \n%\n\t\nthree", BOOK_LINES), quotes, 4);
	expect_quotes(parse("one\n two \n%\nthree\n", BOOK_LINES), quotes, 4);
	expect_quotes(parse("one", BOOK_LINES), quotes, 1);
}

static void
fortunes_stand_between_percent_lines(void **state)
{
	static const char *const quotes[] = { "one\ntwo", "\tthree %\n%%", "four" };

	(void)state;
	expect_quotes(parse("one\ntwo\n%\n\tthree %\n%%\n%\nfour", BOOK_FORTUNE), quotes, 3);
	expect_quotes(
	    parse("%\n%\none\ntwo\r\n%\r\n\tthree %\n%%\n%\n\n\n%\nfour\n%\n", BOOK_FORTUNE),
	    quotes, 3);
	expect_quotes(parse("one\ntwo\n%", BOOK_FORTUNE), quotes, 1);
}

static void
long_quotes_are_cut_between_characters(void **state)
{
	static const char *const quotes[] = { "疯狂Python讲义", "abcdefgh" };
	static const char *const cut7[] = { "疯狂P", "abcdefg" };
	static const char *const cut5[] = { "疯", "abcde" };

	(void)state;
	expect_quotes(book_new(quotes, 2, 7), cut7, 2);
	expect_quotes(book_new(quotes, 2, 5), cut5, 2);
}

static void
what_is_no_book_is_refused(void **state)
{
	struct error err;

	(void)state;
	assert_null(book_parse("a\nb\nc\xe7\x96\n", 9, BOOK_LINES, 512, &err));
	assert_string_equal(err.text, "line 3 is not valid UTF-8");
	assert_null(book_parse("\n \n", 3, BOOK_LINES, 512, &err));
	assert_string_equal(err.text, "no quote in it");
	assert_null(book_parse("", 0, BOOK_FORTUNE, 512, &err));
	assert_null(book_parse("%\n%\n", 4, BOOK_FORTUNE, 512, &err));
	assert_null(book_read("/nonexistent/books", BOOK_LINES, 512, &err));
	assert_string_equal(err.text, "/nonexistent/books: cannot open: No such file or directory");
	assert_null(book_read("/dev/null", BOOK_LINES, 512, &err));
	assert_string_equal(err.text, "/dev/null: not a regular file");
}

static void
files_have_a_limit(void **state)
{
	char path[] = "/tmp/herald-book.XXXXXX";
	int fd = mkstemp(path);
	struct error err;
	struct book *book;

	(void)state;
	assert_true(fd != -1);
	assert_int_equal(write(fd, "a\nb", 3), 3);
	book = book_read(path, BOOK_LINES, 512, &err);
	assert_non_null(book);
	assert_int_equal(book_count(book), 2);
	book_free(book);
	assert_int_equal(ftruncate(fd, BOOK_FILE_MAX + 1), 0);
	assert_null(book_read(path, BOOK_LINES, 512, &err));
	assert_non_null(strstr(err.text, "too long, at most 16777216 octets"));
	close(fd);
	unlink(path);
}

static void
books_are_compared_and_searched(void **state)
{
	static const char *const ab[] = { "a", "b" }, *const a_b[] = { "ab", "" };
	struct book *one = book_new(ab, 2, 512), *same = parse("a\nb\n", BOOK_LINES);
	struct book *split = book_new(a_b, 2, 512), *less = book_new(ab, 1, 512);

	(void)state;
	assert_true(book_equal(one, same));
	assert_false(book_equal(one, split));
	assert_false(book_equal(one, less));
	assert_true(book_has(one, "b", 1));
	assert_false(book_has(one, "c", 1));
	assert_false(book_has(one, "ab", 2));
	assert_false(book_has(one, "", 0));
	assert_true(book_has(split, "", 0));
	book_free(one);
	book_free(same);
	book_free(split);
	book_free(less);
}

static void
the_quote_of_the_day_changes_at_midnight(void **state)
{
	static const char *const quotes[] = { "a", "b", "c" };
	struct book *book = book_new(quotes, 3, 512);
	size_t today = book_of_day(book, 20000 * (int64_t)86400);

	(void)state;
	assert_int_equal(book_of_day(book, 20000 * (int64_t)86400 + 86399), today);
	assert_int_equal(book_of_day(book, 20001 * (int64_t)86400), (today + 1) % 3);
	assert_int_equal(book_of_day(book, -5), 0);
	book_free(book);
}

static void
many_quotes_are_all_found(void **state)
{
	char *text = mem_alloc(200000), *end = text;

	(void)state;
	for (int i = 0; i < 20000; i++)
		end += snprintf(end, 10, "q%d\n", i);
	for (int turn = 0; turn < 2; turn++) {
		struct book *book = parse(text, BOOK_LINES);

		assert_int_equal(book_count(book), 20000);
		assert_true(book_has(book, "q19999", 6));
		assert_false(book_has(book, "q20000", 6));
		book_free(book);
	}
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_taken_as_it_is),
		cmocka_unit_test(lines_lose_their_ends_and_blanks_are_dropped),
		cmocka_unit_test(fortunes_stand_between_percent_lines),
		cmocka_unit_test(long_quotes_are_cut_between_characters),
		cmocka_unit_test(what_is_no_book_is_refused),
		cmocka_unit_test(files_have_a_limit),
		cmocka_unit_test(books_are_compared_and_searched),
		cmocka_unit_test(the_quote_of_the_day_changes_at_midnight),
		cmocka_unit_test(many_quotes_are_all_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
