/* test_send_picture.c - the pictures that an HTML refers to. */
#include "client/send_picture.h"

#include "base/buf.h"
#include "send_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sysexits.h>

#include <cmocka.h>

static void
knows_what_is_a_file_here(void **state)
{
	/* Reference, and the path from the folder "f"; NULL: it is not here. */
	static const char *const rows[][2] = {
		{ "a.png", "f/a.png" }, { "./a.png", "f/./a.png" }, { "../a.png", "f/../a.png" },
		{ "sub/a.png", "f/sub/a.png" }, { "/a.png", "/a.png" },
		{ " a.png\n", "f/a.png" }, { "a%20b.png", "f/a b.png" },
		{ "100%.png", "f/100%.png" },
		{ "a%2", "f/a%2" }, { "%41%zz", "f/A%zz" }, { "a?v=1#x", "f/a" }, { "a#x", "f/a" },
		{ "a%3Fb%23", "f/a?b#" }, { "a\nb", "f/ab" }, { "%E4%BD%A0.png", "f/你.png" },
		{ "file:///b.png", "/b.png" }, { "FILE:///a", "/a" }, { "file:/a", "/a" },
		{ "file://localhost/a", "/a" }, { "file://example.org/a", NULL },
		{ "file:a", NULL }, { "http://example.org/a", NULL }, { "HTTPS://x/", NULL },
		{ "//example.org/a", NULL },
		{ "cid:x", NULL }, { "data:image/png;base64,AA", NULL }, { "mailto:x", NULL },
		{ "about:blank", NULL }, { "c:\\a.png", NULL }, { "#x", NULL }, { "?x", NULL },
		{ "", NULL }, { "  ", NULL }, { "a:b", NULL }, { "./a:b", "f/./a:b" },
		{ "1:b", "f/1:b" },
	};
	struct buf path = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const bool is_here = send_picture_path(rows[i][0], "f", &path);

		assert_int_equal(is_here, rows[i][1] != NULL);
		if (is_here)
			assert_string_equal(buf_text(&path), rows[i][1]);
	}
	assert_true(send_picture_path("a.png", NULL, &path));
	assert_string_equal(buf_text(&path), "a.png");
	buf_free(&path);
}

/* --- embedding --- */

struct outcome {
	struct send_pictures pictures;
	struct send_fault fault;
	struct buf out;
	bool ok;
};

static struct outcome
embed(struct folder *folder, const char *octets, struct send_list inlines)
{
	struct outcome outcome = { .pictures = { .cid_tail = "@example.org" } };
	const char *path = folder_write(folder, "mail.html", octets, strlen(octets));
	struct buf html = { 0 };

	buf_append_text(&html, octets);
	outcome.ok = send_pictures_name(&outcome.pictures, &inlines, &outcome.fault) &&
	    send_pictures_embed(&outcome.pictures, path, &html, &outcome.out, &outcome.fault);
	buf_free(&html);
	return outcome;
}

static void
outcome_clear(struct outcome *outcome)
{
	send_pictures_free(&outcome->pictures);
	buf_free(&outcome->out);
}

/* The HTML with "1", "2" for the ids of the pictures. */
static void
check_embedded(struct folder *folder, const char *html, const char *expected, size_t count)
{
	struct outcome outcome = embed(folder, html, (struct send_list){ NULL, 0 });
	struct buf shown = { 0 };
	const char *at = buf_text(&outcome.out);

	if (!outcome.ok)
		fail_msg("%s", outcome.fault.text);
	assert_int_equal(outcome.pictures.count, count);
	while (*at != '\0') {
		size_t i, len = 0;

		for (i = 0; i < count; i++) {
			len = strlen(outcome.pictures.items[i]->cid);
			if (strncmp(at, outcome.pictures.items[i]->cid, len) == 0)
				break;
		}
		if (i < count)
			buf_appendf(&shown, "%zu", i + 1);
		else
			buf_append(&shown, at, 1);
		at += i < count ? len : 1;
	}
	assert_string_equal(buf_text(&shown), expected);
	buf_free(&shown);
	outcome_clear(&outcome);
}

static void
rewrites_in_place(void **state)
{
	struct folder *folder = *state;
	struct buf html = { 0 };

	folder_write(folder, "a.png", PNG "1", 9);
	folder_write(folder, "b c.gif", "GIF89a", 6);
	folder_write(folder, "a&b.png", PNG "2", 9);
	assert_int_equal(mkdir(folder_path(folder, "sub"), 0700), 0);
	folder_write(folder, "sub/s.svg", "<svg>", 5);
	assert_int_equal(symlink("a.png", folder_path(folder, "link.png")), 0);
	check_embedded(folder, "", "", 0);
	check_embedded(folder, "<p>no picture</p>\r\n", "<p>no picture</p>\r\n", 0);
	check_embedded(folder, "<img src=\"a.png\">", "<img src=\"cid:1\">", 1);
	check_embedded(folder, "x<IMG\n SRC = a.png alt='a.png'/>y", "x<IMG\n SRC = cid:1 "
	    "alt='a.png'/>y", 1);
	check_embedded(folder, "<img src=' b%20c.gif '><img src='b c.gif?v=2'>",
	    "<img src='cid:1'><img src='cid:1'>", 1);
	check_embedded(folder, "<img src=a.png><img src=link.png><img src='./sub/../a.png'>",
	    "<img src=cid:1><img src=cid:1><img src='cid:1'>", 1);
	check_embedded(folder, "<img src='a&amp;b.png'><img src=sub/s.svg>",
	    "<img src='cid:1'><img src=cid:2>", 2);
	check_embedded(folder, "<body background=a.png><table background='b c.gif'><td "
	    "background=a.png><input type=IMAGE src=a.png><input type=text src=a.png>",
	    "<body background=cid:1><table background='cid:2'><td "
	    "background=cid:1><input type=IMAGE src=cid:1><input type=text src=a.png>", 2);
	/* What is not shown, or not here, stays. */
	check_embedded(folder, "<!-- <img src=a.png> --><script>'<img src=a.png>'</script>"
	    "<a href=a.png><img src=https://example.org/a.png><img src=cid:x><img alt=a.png>"
	    "<img src><img src=><img src=''><img srcset=a.png>",
	    "<!-- <img src=a.png> --><script>'<img src=a.png>'</script>"
	    "<a href=a.png><img src=https://example.org/a.png><img src=cid:x><img alt=a.png>"
	    "<img src><img src=><img src=''><img srcset=a.png>", 0);
	check_embedded(folder, "<base href='\n//example.org/'><img src=a.png>",
	    "<base href='\n//example.org/'><img src=a.png>", 0);
	check_embedded(folder, "<base href='https://example.org/'><img src=a.png>",
	    "<base href='https://example.org/'><img src=a.png>", 0);
	/* The first counts where an attribute stands twice. */
	check_embedded(folder, "<img src=a.png src=nothing>", "<img src=cid:1 src=nothing>", 1);
	buf_appendf(&html, "<img src='file://%s/a.png'>", folder->path);
	check_embedded(folder, buf_text(&html), "<img src='cid:1'>", 1);
	buf_free(&html);
}

static void
takes_the_ids_that_are_given(void **state)
{
	struct folder *folder = *state;
	const char *items[3] = { NULL, NULL, NULL };
	struct send_list list = { items, 2 };
	struct outcome outcome;
	char named[200], unused[200];

	folder_write(folder, "a.png", PNG, 8);
	folder_write(folder, "notes.txt", "text", 4);
	folder_write(folder, "x=1.png", PNG "x", 9);
	snprintf(named, sizeof(named), "%s=logo", folder_path(folder, "a.png"));
	snprintf(unused, sizeof(unused), "%s=n%%1", folder_path(folder, "notes.txt"));
	items[0] = named;
	items[1] = unused;
	outcome = embed(folder, "<img src=a.png><img src=notes.txt>", list);
	assert_true(outcome.ok);
	assert_string_equal(buf_text(&outcome.out), "<img src=cid:logo><img src=cid:n%251>");
	assert_int_equal(outcome.pictures.count, 2);
	assert_string_equal(outcome.pictures.items[1]->type, "text/plain");
	outcome_clear(&outcome);
	/* Without an id, and with a "=" in its name. */
	items[0] = folder_path(folder, "x=1.png");
	list.count = 1;
	outcome = embed(folder, "<p>", list);
	assert_true(outcome.ok);
	assert_non_null(strstr(outcome.pictures.items[0]->cid, "@example.org"));
	outcome_clear(&outcome);
}

static void
refuses_ids(void **state)
{
	struct folder *folder = *state;
	static const struct { const char *first, *second; int exit_code; } rows[] = {
		{ "a.png=", NULL, EX_DATAERR }, { "a.png=a b", NULL, EX_DATAERR },
		{ "a.png=<x>", NULL, EX_DATAERR }, { "a.png=\xc3\xa4", NULL, EX_DATAERR },
		{ "a.png=x", "b.png=x", EX_USAGE }, { "a.png=x", "a.png=y", EX_USAGE },
		{ "none.png", NULL, EX_NOINPUT }, { "", NULL, EX_NOINPUT },
	};

	folder_write(folder, "a.png", PNG, 8);
	folder_write(folder, "b.png", PNG "b", 9);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *items[2];
		struct outcome outcome;

		items[0] = folder_path(folder, rows[i].first);
		items[1] = rows[i].second == NULL ? NULL : folder_path(folder, rows[i].second);
		outcome = embed(folder, "<p>",
		    (struct send_list){ items, items[1] == NULL ? 1 : 2 });
		assert_false(outcome.ok);
		assert_int_equal(outcome.fault.exit_code, rows[i].exit_code);
		outcome_clear(&outcome);
	}
}

/* An HTML from elsewhere must not carry off what is no picture; and each word names its line. */
static void
names_the_line_of_what_it_refuses(void **state)
{
	struct folder *folder = *state;
	static const struct { const char *html, *where, *why; int exit_code; } rows[] = {
		{ "<p>\n\n<img\nsrc=none.png>", "/mail.html:3: ", "No such file", EX_NOINPUT },
		{ "<img src=/etc/passwd>", "/mail.html:1: ", "no picture", EX_DATAERR },
		{ "\n<body background='secret.png'>", ":2: ", "no picture", EX_DATAERR },
		{ "<img src=fifo>", ":1: ", "is a FIFO", EX_NOINPUT },
		{ "<img src=.>", ":1: ", "is a directory", EX_NOINPUT },
		{ "<img src=/dev/zero>", ":1: ", "is a device", EX_NOINPUT },
		{ "<img src=a%00b>", ":1: ", "NUL", EX_DATAERR },
	};

	folder_write(folder, "secret.png", "password", 8);
	assert_int_equal(mkfifo(folder_path(folder, "fifo"), 0600), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct outcome outcome = embed(folder, rows[i].html, (struct send_list){ NULL, 0 });

		assert_false(outcome.ok);
		assert_int_equal(outcome.fault.exit_code, rows[i].exit_code);
		assert_non_null(strstr(outcome.fault.text, rows[i].where));
		assert_non_null(strstr(outcome.fault.text, rows[i].why));
		outcome_clear(&outcome);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_what_is_a_file_here),
		cmocka_unit_test_setup_teardown(rewrites_in_place, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(takes_the_ids_that_are_given, folder_setup,
		    folder_teardown),
		cmocka_unit_test_setup_teardown(refuses_ids, folder_setup, folder_teardown),
		cmocka_unit_test_setup_teardown(names_the_line_of_what_it_refuses, folder_setup,
		    folder_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
