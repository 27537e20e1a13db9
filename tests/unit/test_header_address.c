/* test_header_address.c - the words and the mailboxes of a header field, where they stand. */
#include "mail/header_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A letter a token: "a" atom, "b" blank, "c" comment, "e" encoded, "l" literal, "q" quoted,
 * a special for itself. */
static void
test_tokens(void **state)
{
	static const char letters[] = { [TOKEN_BLANK] = 'b', [TOKEN_COMMENT] = 'c',
		[TOKEN_QUOTED] = 'q', [TOKEN_LITERAL] = 'l', [TOKEN_ENCODED] = 'e',
		[TOKEN_ATOM] = 'a' };
	static const struct {
		const char *text, *tokens;
	} rows[] = {
		{ "", "" },
		{ "root", "a" },
		{ " a.b@c ,", "ba.a@ab," },
		{ "\"a, b\"<c>;", "q<a>;" },
		{ "\"a\\\"b\"", "q" },
		{ "\"a b", "aba" },
		{ "\"\"", "q" },
		{ "(a (b) c)d", "ca" },
		{ "(a \\) b)", "c" },
		{ "(a (b) c", "c" },
		{ ")a", "a" },
		{ "[192.0.2.1]", "l" },
		{ "[192.0.2.1", "a.a.a.a" },
		{ "=?utf-8?q?a,b@c?=", "e" },
		{ "=?utf-8?q?a,b", "a,a" },
		{ "=?utf-8?q?a b?=", "aba" },
		{ "=?utf-8?q?a?=b", "ea" },
		{ "x=?utf-8?q?a?=", "a" },
		{ "a\r\n\t b", "aba" },
		{ "\303\274\377", "a" },
		{ "a:b;c", "a:a;a" },
		{ "\\", "a" },
		{ "\"\\", "a" },
		{ "(\\", "c" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct header_tokens tokens = { .text = rows[i].text,
			.len = strlen(rows[i].text) };
		struct header_token token;
		char seen[64] = "";
		size_t count = 0, end = 0;

		/* Without a rest and without a gap. */
		while ((token = header_token_next(&tokens)).kind != TOKEN_END) {
			assert_int_equal(token.first, end);
			assert_true(token.end > token.first && count + 1 < sizeof(seen));
			end = token.end;
			seen[count++] = token.kind == TOKEN_SPECIAL ? token.special
			    : letters[token.kind];
		}
		assert_int_equal(end, tokens.len);
		assert_string_equal(seen, rows[i].tokens);
	}
}

static void
show(char *out, size_t size, const char *text, const char *what, const struct header_span *span)
{
	size_t len = strlen(out);

	if (span->first < span->end)
		snprintf(out + len, size - len, "%s%.*s|", what, (int)(span->end - span->first),
		    text + span->first);
}

/* w: whole, s: spec, l: local, d: domain, n: name, c: comment; a mailbox ends with a /. */
static void
test_mailboxes(void **state)
{
	static const struct {
		const char *text, *mailboxes;
	} rows[] = {
		{ "", "" },
		{ " , ;", "" },
		{ "G:;", "" },
		{ "root", "wroot|sroot|lroot|/" },
		{ " a@b , c", "wa@b|sa@b|la|db|/wc|sc|lc|/" },
		{ "A B <a@b> (c)", "wA B <a@b> (c)|sa@b|la|db|nA B |c(c)|/" },
		{ "<@r,@s:a@b>", "w<@r,@s:a@b>|s@r,@s:a@b|la|db|/" },
		{ "G: a, <b>; c", "wa|sa|la|/w<b>|sb|lb|/wc|sc|lc|/" },
		{ "(x) a (y)", "w(x) a (y)|sa|la|c(y)|/" },
		{ "a (x) . b @ c", "wa (x) . b @ c|sa (x) . b @ c|la (x) . b|dc|c(x)|/" },
		{ "A B", "wA B|/" },
		{ "A a@b c", "wA a@b c|sa@b|la|db|/" },
		{ "<a> <b>", "w<a>|sa|la|/w<b>|sb|lb|/" },
		{ "<a, b", "w<a|sa|la|/wb|sb|lb|/" },
		{ "\"q\"@[1]", "w\"q\"@[1]|s\"q\"@[1]|l\"q\"|d[1]|/" },
		{ "=?a?q?b?=", "w=?a?q?b?=|/" },
		{ "a@", "wa@|sa@|la|/" },
		{ "@a", "w@a|/" },
		{ "<>", "w<>|/" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = rows[i].text;
		struct header_addresses addresses = { .tokens = { .text = text,
		    .len = strlen(text) } };
		struct header_mailbox mailbox;
		char seen[256] = "";

		while (header_address_next(&addresses, &mailbox)) {
			show(seen, sizeof(seen), text, "w", &mailbox.whole);
			show(seen, sizeof(seen), text, "s", &mailbox.spec);
			show(seen, sizeof(seen), text, "l", &mailbox.local);
			show(seen, sizeof(seen), text, "d", &mailbox.domain);
			show(seen, sizeof(seen), text, "n", &mailbox.name);
			show(seen, sizeof(seen), text, "c", &mailbox.comment);
			snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "/");
		}
		assert_string_equal(seen, rows[i].mailboxes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_mailboxes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
