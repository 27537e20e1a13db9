/* test_client_html.c - HTML cut into tags and text, and made text that can be read. */
#include "base/buf.h"
#include "base/mem.h"
#include "client/client_html.h"
#include "client/client_html_entity.h"
#include "client/client_html_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- tags and text --- */

struct record {
	struct buf text;
	const char *html;
};

static void
on_text(void *owner, const char *octets, size_t len, const char *raw_element)
{
	struct record *record = owner;

	if (raw_element != NULL)
		buf_appendf(&record->text, "%s:", raw_element);
	buf_append(&record->text, octets, len);
}

/* "[p class=x@5]": the value as it stands in the HTML, and where. */
static void
on_tag(void *owner, const struct client_html_tag *tag)
{
	struct record *record = owner;

	buf_appendf(&record->text, "[%s%s", tag->is_close ? "/" : "", tag->name);
	for (size_t i = 0; i < tag->attribute_count; i++) {
		const struct client_html_attribute *attribute = &tag->attributes[i];

		buf_appendf(&record->text, " %s=%.*s", attribute->name,
		    (int)(attribute->end - attribute->first), record->html + attribute->first);
	}
	buf_append_text(&record->text, "]");
}

static const struct client_html_events events = { .on_text = on_text, .on_tag = on_tag };

static void
check_tokens(const char *octets, const char *expected)
{
	struct record record = { .html = octets };
	struct client_html *html = client_html_new(&events, &record);

	client_html_feed(html, octets, strlen(octets));
	client_html_end(html);
	client_html_free(html);
	assert_string_equal(buf_text(&record.text), expected);
	buf_free(&record.text);
}

static const char *const token_rows[][2] = {
	{ "", "" },
	{ "text", "text" },
	{ "<P>x</P>", "[p]x[/p]" },
	{ "<img src=a.png>", "[img src=a.png]" },
	{ "<IMG SRC = 'a b.png' alt=\"x>y\">z", "[img src=a b.png alt=x>y]z" },
	{ "<img src=a/b.png/>", "[img src=a/b.png/]" },
	{ "<img src=\"a\"alt='b'>", "[img src=a alt=b]" },
	{ "<br/>x<br / >", "[br]x[br]" },
	{ "<input disabled value=>", "[input disabled= value=]" },
	{ "<a =b=c>", "[a =b=c]" },
	{ "a < b <3 c", "a < b <3 c" },
	{ "</>x</ y>z", "xz" },
	{ "<!-- <img src=x> -->y", "y" },
	{ "<!---->a<!-->b<!--->c<!--x--!>d", "abcd" },
	{ "<!-- a -- b ->c-->d", "d" },
	{ "<!doctype html>x<?php <b>y", "xy" },
	{ "<![CDATA[x]]>y", "y" },
	{ "<script>a<b>c</p></scripty></SCRIPT >d", "[script]script:a"
	    "script:<script:b>cscript:</script:p>script:</scriptscript:y>[/script]d" },
	{ "<title>a&amp;b</title>", "[title]title:a&amp;b[/title]" },
	{ "<textarea><b></textarea>", "[textarea]textarea:<textarea:b>[/textarea]" },
	{ "<style></st", "[style]style:</st" },
	{ "x<", "x<" },
	{ "x</", "x</" },
	{ "x<b a=1", "x" },
	{ "x<!-- y", "x" },
	{ "<img src=\"unclosed>y", "" },
};

static void
cuts_tags_and_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(token_rows) / sizeof(token_rows[0]); i++)
		check_tokens(token_rows[i][0], token_rows[i][1]);
}

static void
on_value(void *owner, const struct client_html_tag *tag)
{
	struct record *record = owner;
	const struct client_html_attribute *attribute = client_html_find(tag, "src");
	struct buf value = { 0 };

	assert_non_null(attribute);
	if (client_html_value(tag, attribute, &value))
		buf_appendf(&record->text, "%s|", buf_text(&value));
	else
		buf_append_text(&record->text, "!|");
	buf_free(&value);
}

static void
resolves_values(void **state)
{
	static const struct client_html_events values = { .on_text = on_text, .on_tag = on_value };
	static const char html[] = "<img src='a&amp;b'><img src=\"&#20320;&#x597D;.png\" src=c>"
	    "<img src='a&copy=1&lt'><img src=''>";
	struct record record = { .html = html };
	struct client_html *reader = client_html_new(&values, &record);
	char *longer = mem_alloc(CLIENT_HTML_VALUE_MAX + 1);

	(void)state;
	client_html_feed(reader, html, strlen(html));
	/* A data: URL: too long to be kept, but its place is known. */
	memset(longer, 'x', CLIENT_HTML_VALUE_MAX + 1);
	client_html_feed(reader, "<img src='", 10);
	client_html_feed(reader, longer, CLIENT_HTML_VALUE_MAX + 1);
	client_html_feed(reader, "'>", 2);
	client_html_feed(reader, "<img src='a&#0;\0'>", 18);
	client_html_free(reader);
	free(longer);
	assert_string_equal(buf_text(&record.text), "a&b|你好.png|a&copy=1&lt||!|!|");
	buf_free(&record.text);
}

static void
knows_the_entities(void **state)
{
	static const struct { const char *name; uint32_t character; } rows[] = {
		{ "amp", '&' }, { "AMP", 0 }, { "apos", '\'' }, { "quot", '"' }, { "nbsp", 0xa0 },
		{ "euro", 0x20ac }, { "Aacute", 0xc1 }, { "aacute", 0xe1 }, { "zwnj", 0x200c },
		{ "hearts", 0x2665 }, { "#65", 'A' }, { "#x41", 'A' }, { "#X1f600", 0x1f600 },
		{ "#0", 0xfffd }, { "#xd800", 0xfffd }, { "#99999999999999999999", 0xfffd },
		{ "#150", 0x2013 }, { "#", 0 }, { "#x", 0 }, { "#12a", 0 }, { "", 0 },
		{ "averyveryverylongnamewithnomeaning", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(client_html_entity(rows[i].name, strlen(rows[i].name)),
		    rows[i].character);
}

/* --- text that can be read --- */

static void
append(void *owner, const char *octets, size_t len)
{
	buf_append(owner, octets, len);
}

static uint64_t
render(struct buf *out, const char *octets, size_t len, size_t step, unsigned columns)
{
	struct client_html_text *text = client_html_text_new(columns, append, out);
	uint64_t steps;

	for (size_t at = 0; at < len; at += step)
		client_html_text_feed(text, octets + at, len - at < step ? len - at : step);
	client_html_text_end(text);
	steps = client_html_text_steps(text);
	client_html_text_free(text);
	return steps;
}

static const char *const text_rows[][2] = {
	{ "", "" },
	{ "x", "x\n" },
	{ "<p>a</p><p>b</p>", "a\n\nb\n" },
	{ " a \n\t b ", "a b\n" },
	{ "a<br>b<br><br>c<br><br><br><br><br><br>d<br>", "a\nb\n\nc\n\n\nd\n" },
	{ "<div>a<div>b</div></div>c", "a\nb\nc\n" },
	{ "<h1>T</h1>x", "T\n\nx\n" },
	{ "<ul><li>a<li>b<ol><li>c</li><li>d</ol></ul>e",
	    " * a\n * b\n   1. c\n   2. d\n\ne\n" },
	{ "<li>a", "* a\n" },
	{ "<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>", "a  b\nc\n" },
	{ "<blockquote>a<br>b</blockquote>c", "> a\n> b\n\nc\n" },
	{ "<pre>\n a  b\n\tc</pre>d", " a  b\n    c\n\nd\n" },
	{ "a<hr>b", "a\n--------\nb\n" },
	{ "<head><title>T</title><style>p{}</style><script>if (a<b)</script></head>x", "x\n" },
	{ "<a href='https://example.org/?a=1&amp;b=2'>here</a>.",
	    "here <https://example.org/?a=1&b=2>.\n" },
	{ "<a href='https://example.org/'>example.org</a>", "example.org\n" },
	{ "<a href='https://example.org/'>https://example.org</a>", "https://example.org\n" },
	{ "<a href='mailto:a@example.org'>a@example.org</a>", "a@example.org\n" },
	{ "<a href='javascript:x'>y</a><a href='#z'>z</a><a name=q>q</a>", "yzq\n" },
	{ "<a href='https://example.org/a b\xe4\xbd\xa0'>x<a href='ftp://example.org/'>y",
	    "x <https://example.org/a%20b%E4%BD%A0>y <ftp://example.org/>\n" },
	{ "<a href='\n HTTPS://example.org/ \t'>x</a><a href=' '>y</a>",
	    "x <HTTPS://example.org/>y\n" },
	{ "<img src=x alt='a &amp; b'><img src=y><img src=z alt=''>", "[a & b]\n" },
	{ "&lt;b&gt; &copy;&#20320; &nope; AT&T &amp b&", "<b> ©你 &nope; AT&T & b&\n" },
	{ "&copy, &lt<b>&#65 &#x4f60&euml</b> &copyx &euro 1 &apos &#x", "©, <A 你ë &copyx &euro 1 "
	    "&apos &#x\n" },
	{ "&#000000000000000000000065 &#00000000000000000000065;", "&#000000000000000000000065 "
	    "A\n" },
	{ "a&nbsp;&nbsp;b<p>&nbsp;</p>c", "a  b\n\nc\n" },
	{ "a\x01\x1b[31mb\x7f&#27;&#x202e;c\xe2\x80\xae", "a[31mbc\n" },
	{ "\xff\xc0\xaf\xe4\xbd!\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd!"
	    "\xef\xbf\xbd\n" },
	{ "<textarea>a &lt; b</textarea>", "a < b\n" },
	{ "1 < 2 <", "1 < 2 <\n" },
};

static void
makes_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(text_rows) / sizeof(text_rows[0]); i++) {
		const char *html = text_rows[i][0];

		/* The same wherever it is cut. */
		for (size_t step = 1; step < 8; step += 3) {
			struct buf out = { 0 };

			render(&out, html, strlen(html), step, 78);
			assert_string_equal(buf_text(&out), text_rows[i][1]);
			buf_free(&out);
		}
	}
}

static void
fills_lines_by_their_width(void **state)
{
	static const struct { const char *html; unsigned columns; const char *text; } rows[] = {
		{ "one two three", 7, "one two\nthree\n" },
		{ "one two three", 0, "one two three\n" },
		/* Two columns each; no line begins with a full stop. */
		{ "一二三四五六七", 6, "一二三\n四五六\n七\n" },
		{ "一二三。四五", 6, "一二\n三。四\n五\n" },
		{ "一二「三四」五", 6, "一二\n「三\n四」五\n" },
		{ "ab一二 cd", 6, "ab一二\ncd\n" },
		{ "e\xcc\x81" "e\xcc\x81 x", 4, "e\xcc\x81" "e\xcc\x81 x\n" },
		{ "<ul><li>one two three</ul>", 8, " * one\n   two\n   three\n" },
		{ "<blockquote>one two</blockquote>", 6, "> one\n> two\n" },
		{ "a https://example.org/word b", 8, "a\nhttps://example.org/word\nb\n" },
		{ "<pre>one two three</pre>", 7, "one two three\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf out = { 0 };

		render(&out, rows[i].html, strlen(rows[i].html), 5, rows[i].columns);
		assert_string_equal(buf_text(&out), rows[i].text);
		buf_free(&out);
	}
}

/* --- hostile input --- */

static char *
repeat(const char *unit, size_t count, size_t *len)
{
	struct buf out = { 0 };
	char *octets;

	for (size_t i = 0; i < count; i++)
		buf_append_text(&out, unit);
	octets = mem_dup(buf_octets(&out), out.len);
	*len = out.len;
	buf_free(&out);
	return octets;
}

static const char *const families[] = {
	"<", "</", "<!", "<!-", "<!--", "-->", "<a ", "<a b", "<a b='", "\"", "&", "&#", "&amp",
	"&amp;", "<ul>", "<ol><li>", "<li>", "<blockquote>", "<pre>", "<div>",
	"<a href='http://x/'>", "</a>", "<br>", "<script>", "</script", "<img alt='x'>", "x ",
	"x", "\xe4", "\xe4\xbd\xa0", "&nbsp;",
	"<td>", "\n", "<svg/onload=x>", "<textarea></text", "\xcc\x81",
};

static void
works_in_linear_steps(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		struct buf out = { 0 };
		uint64_t steps[2];
		size_t len[2] = { 0, 0 };

		for (int twice = 0; twice < 2; twice++) {
			char *html = repeat(families[i], twice == 0 ? 10000 : 20000, &len[twice]);

			steps[twice] = render(&out, html, len[twice], 4096, 78);
			free(html);
			assert_true(steps[twice] <= 8 * len[twice] + 64);
		}
		assert_true(steps[1] * 10 <= steps[0] * 22);
		/* What comes out is bounded, too: a line of a list has its margin. */
		assert_true(out.len <= 64 * (len[0] + len[1]) + 4096);
		buf_free(&out);
	}
}

struct longest { size_t line, longest, piece; };

static void
on_piece(void *owner, const char *octets, size_t len)
{
	struct longest *longest = owner;

	longest->piece = len > longest->piece ? len : longest->piece;
	for (size_t i = 0; i < len; i++) {
		longest->line = octets[i] == '\n' ? 0 : longest->line + 1;
		if (longest->line > longest->longest)
			longest->longest = longest->line;
	}
}

static void
bounds_a_line_without_blanks(void **state)
{
	static const char *const units[] = { "x", "&nbsp;", "\xcc\x81", "<pre>x", "一" };

	(void)state;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		struct longest longest = { 0 };
		struct client_html_text *text = client_html_text_new(0, on_piece, &longest);
		size_t len;
		char *html = repeat(units[i], 300000, &len);

		client_html_text_feed(text, html, len);
		client_html_text_end(text);
		client_html_text_free(text);
		free(html);
		/* 900 columns of three octets at most, and pieces of a block. */
		assert_true(longest.longest <= 3 * 900 + 900);
		assert_true(longest.piece <= 64 * 1024);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_tags_and_text),
		cmocka_unit_test(resolves_values),
		cmocka_unit_test(knows_the_entities),
		cmocka_unit_test(makes_text),
		cmocka_unit_test(fills_lines_by_their_width),
		cmocka_unit_test(works_in_linear_steps),
		cmocka_unit_test(bounds_a_line_without_blanks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
