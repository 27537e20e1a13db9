/* test_rewrite.c - header sections of this machine's mail: each field, whole messages, any cuts. */
#include "mail/rewrite.h"
#include "mail/header_address.h"
#include "mail/rewrite_field.h"
#include "rewrite_fixture.h"
#include "rewrite_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#define NOREPLY	"noreply@example.org"
#define COMPLETE "Date: Mon, 23 Nov 2026 05:06:07 +0000\r\nMessage-ID: <1@example.org>\r\n"
#define ROUNDS	3000

static uint64_t random_state;

static size_t
random_below(size_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (size_t)(random_state % limit);
}

static size_t
one_octet(void)
{
	return 1;
}

static size_t
some_octets(void)
{
	return random_below(40);
}

/* --- fields --- */

static void
assert_rows(const struct rewrite_row *rows, size_t count, const char *from)
{
	struct identity identity;

	fixture_identity(&identity, from);
	for (size_t i = 0; i < count; i++) {
		struct buf out = { 0 };
		char field[512], expected[512];
		size_t len = (size_t)snprintf(field, sizeof(field), "%s\r\n", rows[i].field);
		enum rewrite_kind kind = rewrite_kind(field, strcspn(field, ":"));
		bool changed = kind != REWRITE_NOTHING &&
		    rewrite_field(&identity, kind, field, len, REWRITE_GROWTH_MAX, &out);

		snprintf(expected, sizeof(expected), "%s\r\n",
		    rows[i].becomes != NULL ? rows[i].becomes : "");
		if (changed != (rows[i].becomes != NULL) ||
		    (changed && strcmp(buf_text(&out), expected) != 0))
			fail_msg("%s\nbecomes %s", rows[i].field, changed ? buf_text(&out) : "=");
		buf_free(&out);
	}
	fixture_free(&identity);
}

static void
test_plain_fields(void **state)
{
	(void)state;
	assert_rows(plain_rows, sizeof(plain_rows) / sizeof(plain_rows[0]), "");
}

static void
test_fields_with_from(void **state)
{
	(void)state;
	assert_rows(from_rows, sizeof(from_rows) / sizeof(from_rows[0]), NOREPLY);
}

/* --- messages --- */

static const char *
rewritten(struct buf *out, const char *from, const char *reverse_path, const char *message)
{
	struct identity identity;

	fixture_identity(&identity, from);
	buf_clear(out);
	assert_int_equal(fixture_rewrite(&identity, reverse_path, message, strlen(message), NULL,
	    out), REWRITE_OK);
	fixture_free(&identity);
	return buf_text(out);
}

static void
test_what_is_missing(void **state)
{
	static const char date[] = "Date: Mon, 23 Nov 2026 05:06:07 +0000\r\n";
	static const char id[] = "Message-ID: <20261123050607.ABC001@web1.example.org>\r\n";
	struct buf out = { 0 };
	char expected[512];

	(void)state;
	snprintf(expected, sizeof(expected), "%sFrom: ann@example.com\r\n%s\r\nHi\r\n", date, id);
	assert_string_equal(rewritten(&out, "", "ann@example.com", "\r\nHi\r\n"), expected);
	/* A message without a header section at all. */
	assert_string_equal(rewritten(&out, "", "ann@example.com", "Hi\r\n"), expected);
	snprintf(expected, sizeof(expected), "%sFrom: ann@example.com\r\n%s", date, id);
	assert_string_equal(rewritten(&out, "", "ann@example.com", ""), expected);
	snprintf(expected, sizeof(expected), "Subject: x\r\n%sFrom: MAILER-DAEMON@mail.example.org"
	    "\r\n%s", date, id);
	assert_string_equal(rewritten(&out, "", "", "Subject: x\r\n"), expected);
	snprintf(expected, sizeof(expected), "%sFrom: \"ann@example.com\" <" NOREPLY ">\r\n%s\r\n",
	    date, id);
	assert_string_equal(rewritten(&out, NOREPLY, "ann@example.com", "\r\n"), expected);
	snprintf(expected, sizeof(expected), "%sFrom: " NOREPLY "\r\n%s\r\n", date, id);
	assert_string_equal(rewritten(&out, NOREPLY, NOREPLY, "\r\n"), expected);
	/* In any letters, with blanks before the colon, behind others: there. */
	snprintf(expected, sizeof(expected), "DATE : x\r\nX: y\r\n z\r\nmessage-id:\r\n"
	    "from: a@b\r\n\r\nDate: no\r\n");
	assert_string_equal(rewritten(&out, "", "ann@example.com", expected), expected);
	buf_free(&out);
}

/* What is no field ends the header section, for us and for every later reader. */
static void
test_end_of_header(void **state)
{
	static const struct {
		const char *message, *expected;
	} rows[] = {
		{ "From: a@b\r\n" COMPLETE "no field\r\nTo: root\r\n",
		    "From: a@b\r\n" COMPLETE "\r\nno field\r\nTo: root\r\n" },
		{ "To: root\r\nFrom: a@b\r\n" COMPLETE "no-colon\r\nTo: root\r\n",
		    "To: admin@example.org\r\nFrom: a@b\r\n" COMPLETE
		    "\r\nno-colon\r\nTo: root\r\n" },
		{ "From: a@b\r\n" COMPLETE ": no name\r\n",
		    "From: a@b\r\n" COMPLETE "\r\n: no name\r\n" },
		{ "From: a@b\r\n" COMPLETE "n\303\244me: x\r\n",
		    "From: a@b\r\n" COMPLETE "\r\nn\303\244me: x\r\n" },
		{ "From: a@b\r\n" COMPLETE "To", "From: a@b\r\n" COMPLETE "\r\nTo" },
		/* An "empty" line of blanks goes on with the field. */
		{ "From: a@b\r\n" COMPLETE "To: root\r\n \r\nCc: root\r\n\r\nTo: root\r\n",
		    "From: a@b\r\n" COMPLETE "To: admin@example.org\r\n \r\n"
		    "Cc: admin@example.org\r\n\r\nTo: root\r\n" },
		/* A mailbox file's line, which is no field and yet no end. */
		{ "From root Mon Nov 23 05:06:07 2026\r\nFrom: a@b\r\n" COMPLETE "To: root\r\n\r\n",
		    "From root Mon Nov 23 05:06:07 2026\r\nFrom: a@b\r\n" COMPLETE
		    "To: admin@example.org\r\n\r\n" },
		{ ">From  root x\r\nFrom: a@b\r\n" COMPLETE "\r\n",
		    ">From  root x\r\nFrom: a@b\r\n" COMPLETE "\r\n" },
	};
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(rewritten(&out, "", "x@y", rows[i].message), rows[i].expected);
	assert_non_null(strstr(rewritten(&out, "", "x@y", " folded\r\n"),
	    "example.org>\r\n\r\n folded\r\n"));
	buf_free(&out);
}

/* A field that stands twice is two fields, but for From where it has to be one address:
 * RFC 5322 3.6 allows one. */
static void
test_doubles(void **state)
{
	struct buf out = { 0 };

	(void)state;
	assert_string_equal(rewritten(&out, "", "x@y", COMPLETE "From: root\r\nFrom: pi\r\n"
	    "To: root\r\nTo: ops\r\n\r\n"), COMPLETE "From: root@mail.example.org\r\n"
	    "From: pi@mail.example.org\r\nTo: admin@example.org\r\nTo: ann@example.org,\r\n"
	    "\tbob@example.net\r\n\r\n");
	assert_string_equal(rewritten(&out, NOREPLY, "x@y", COMPLETE "From: root\r\n"
	    "From: pi\r\n\r\n"), COMPLETE "From: \"root@mail.example.org\" <" NOREPLY ">\r\n"
	    "X-Original-From: root\r\nX-Original-From: pi\r\n\r\n");
	assert_string_equal(rewritten(&out, NOREPLY, "x@y", COMPLETE "from: Web <" NOREPLY ">\r\n"
	    "FROM : ceo@bank.example\r\nFrom:\r\nSubject: x\r\nFrom:\r\n <" NOREPLY ">\r\n\r\n"
	    "From: pi\r\n"), COMPLETE "from: Web <" NOREPLY ">\r\n"
	    "X-Original-From: ceo@bank.example\r\nSubject: x\r\nX-Original-From:\r\n <" NOREPLY
	    ">\r\n\r\nFrom: pi\r\n");
	/* At the end, without a line end. */
	assert_string_equal(rewritten(&out, NOREPLY, "x@y", COMPLETE "From: root"), COMPLETE
	    "From: \"root@mail.example.org\" <" NOREPLY ">\r\nX-Original-From: root\r\n");
	assert_string_equal(rewritten(&out, NOREPLY, "x@y", COMPLETE "From: " NOREPLY "\r\nFrom:"),
	    COMPLETE "From: " NOREPLY "\r\n");
	assert_non_null(strstr(rewritten(&out, NOREPLY, "x@y", "From:"),
	    "From: " NOREPLY "\r\nDate: "));
	buf_free(&out);
}

/* --- measure --- */

static void
fill(struct buf *message, const char *name, const char *piece, size_t least)
{
	buf_append_text(message, name);
	while (message->len < least)
		buf_append_text(message, piece);
	buf_append_text(message, " end@example.com\r\n" COMPLETE "\r\nbody\r\n");
}

static enum rewrite_fault
fault_of(const char *from, const struct buf *message, size_t (*cut)(void), struct buf *out)
{
	struct identity identity;
	enum rewrite_fault fault;

	fixture_identity(&identity, from);
	buf_clear(out);
	fault = fixture_rewrite(&identity, "x@y", buf_octets(message), message->len, cut, out);
	fixture_free(&identity);
	return fault;
}

/* One that is too long to be held passes as it came, unless it must not. */
static void
test_long_fields(void **state)
{
	struct buf message = { 0 }, out = { 0 };

	(void)state;
	fill(&message, "From: a@b\r\nTo:", " root@localhost,\r\n", REWRITE_FIELD_MAX + 10);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(fault_of("", &message, i == 0 ? NULL : some_octets, &out),
		    REWRITE_OK);
		assert_int_equal(out.len, message.len);
		assert_memory_equal(buf_octets(&out), buf_octets(&message), message.len);
	}
	buf_clear(&message);
	fill(&message, "From: a@b\r\nTo:", " root@localhost,\r\n", REWRITE_FIELD_MAX - 100);
	assert_int_equal(fault_of("", &message, NULL, &out), REWRITE_OK);
	assert_null(strstr(buf_text(&out), "localhost"));
	buf_clear(&message);
	fill(&message, "From:", " root@localhost,\r\n", REWRITE_FIELD_MAX + 10);
	assert_int_equal(fault_of("", &message, some_octets, &out), REWRITE_OK);
	assert_int_equal(fault_of(NOREPLY, &message, some_octets, &out), REWRITE_FROM_TOO_LONG);
	buf_free(&message);
	buf_free(&out);
}

/* Many short names must not become gigabytes. */
static void
test_growth(void **state)
{
	struct buf message = { 0 }, out = { 0 };

	(void)state;
	buf_append_text(&message, "From: a@b\r\n");
	while (message.len < 200 * 1024)
		buf_append_text(&message, "To: ops,ops,ops,ops,ops,ops,ops,ops\r\n");
	buf_append_text(&message, COMPLETE "\r\n");
	assert_int_equal(fault_of("", &message, NULL, &out), REWRITE_GROWN);
	assert_true(out.len < REWRITE_GROWTH_MAX + 400 * 1024);
	buf_free(&message);
	buf_free(&out);
}

/* RFC 5322 2.1.1: a line that becomes too long is folded before a mailbox. */
static void
test_line_length(void **state)
{
	static const char *const pieces[] = { " nobody-known,", "nobody-known,", " ops,",
		" \"A Name\" <root>,", " ann@example.com, root,", " word", "(word)" };
	struct buf message = { 0 }, out = { 0 };

	(void)state;
	for (size_t i = 0; i < 2 * sizeof(pieces) / sizeof(pieces[0]); i++) {
		const char *line, *lf;

		buf_clear(&message);
		fill(&message, i % 2 == 0 ? "To:" : "From:", pieces[i / 2], 960);
		assert_int_equal(fault_of(i % 2 == 0 ? "" : NOREPLY, &message, NULL, &out),
		    REWRITE_OK);
		for (line = buf_text(&out); *line != '\0'; line = lf + 1) {
			lf = strchr(line, '\n');
			assert_non_null(lf);
			assert_true(lf - line - 1 <= 998);
		}
	}
	buf_free(&message);
	buf_free(&out);
}

/* --- random messages --- */

static void
append_random(struct buf *message, const char *const *words, size_t count, size_t most)
{
	for (size_t i = random_below(most); i > 0; i--)
		buf_append_text(message, words[random_below(count)]);
}

static const char *const names[] = { "To", "From", "Cc", "Sender", "Subject", "X-A", "Reply-To",
	"Resent-To", "Date", "Message-ID", "To ", "Received" };
static const char *const hostile_words[] = { "root", "@", "localhost", ",", ";", ":", "<", ">",
	"\"", "\\", "(", ")", "[", "]", " ", "\t", "\r\n ", "\r\n\t", ".", "=?utf-8?q?a,b?=", "=?",
	"?=", "\303\274", "\377", "ann@example.com", "Ann <ann@example.com>", "ops", "A B",
	"\r\n \r\n " };
static const char *const foreign_words[] = { " ann@example.com,", " Ann <ann@example.com>,",
	" \"a, b\" <bob@example.net>,", " (c) bob@example.net (d),", " G: ann@example.com;,",
	"\r\n\tann@example.com,", " =?utf-8?q?root?= <a@b.example>,", " root@localhost.example,",
	" <@a.example:b@c.example>,", " \"root\" <x@y.example>,", " x@[192.0.2.1],", " ,,",
	" \303\274 <u@example.com>," };
static const char *const local_words[] = { " root,", " nobody@localhost,", " Root <root>,",
	" \"a, b\" <pi@LOCALHOST>,", " www-data (c),", " G: ops, \"x\"@localhost;,",
	"\r\n root\r\n ,", " =?utf-8?q?a?= <nobody>,", " ann@example.com,",
	" <@a.example:nobody@localhost>," };

static void
make_message(struct buf *message, const char *const *words, size_t count)
{
	for (size_t fields = random_below(6); fields > 0; fields--) {
		buf_append_text(message, names[random_below(sizeof(names) / sizeof(names[0]))]);
		buf_append_text(message, ":");
		append_random(message, words, count, 12);
		buf_append_text(message, "\r\n");
	}
	if (random_below(4) > 0)
		buf_append_text(message, "\r\nTo: root\r\nbody\r\n");
}

/* Whatever comes, and however it is cut: the same. */
static void
test_cuts(void **state)
{
	struct identity identity;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct buf message = { 0 }, whole = { 0 }, pieces = { 0 };
		const char *body;

		fixture_identity(&identity, round % 2 == 0 ? "" : NOREPLY);
		make_message(&message, hostile_words,
		    sizeof(hostile_words) / sizeof(hostile_words[0]));
		fixture_rewrite(&identity, "x@y", buf_octets(&message), message.len, NULL, &whole);
		fixture_rewrite(&identity, "x@y", buf_octets(&message), message.len,
		    round % 3 == 0 ? one_octet : some_octets, &pieces);
		assert_int_equal(whole.len, pieces.len);
		assert_memory_equal(buf_octets(&whole), buf_octets(&pieces), whole.len);
		body = strstr(buf_text(&message), "\r\n\r\nTo: root\r\nbody\r\n");
		if (body != NULL)
			assert_non_null(strstr(buf_text(&whole), "\r\nTo: root\r\nbody\r\n"));
		buf_free(&message);
		buf_free(&whole);
		buf_free(&pieces);
		fixture_free(&identity);
	}
}

static bool
ends_with(const char *text, size_t len, const char *end)
{
	return len >= strlen(end) && memcmp(text + len - strlen(end), end, strlen(end)) == 0;
}

/* The From fields of a header section; each ends with the one address, alone or in brackets. */
static size_t
count_from(const char *message)
{
	size_t count = 0;

	for (const char *at = message, *end; *at != '\0' && *at != '\r'; at = end) {
		const char *colon = strchr(at, ':');

		for (end = strstr(at, "\r\n") + 2; *end == ' ' || *end == '\t';)
			end = strstr(end, "\r\n") + 2;
		if (rewrite_kind(at, (size_t)(colon - at)) != REWRITE_FROM)
			continue;
		while (strchr(" \t\r\n", end[-1]) != NULL)
			end--;
		assert_true(ends_with(at, (size_t)(end - at), "<" NOREPLY ">") ||
		    ends_with(at, (size_t)(end - at), " " NOREPLY) ||
		    ends_with(at, (size_t)(end - at), ":" NOREPLY));
		end = strstr(end, "\r\n") + 2;
		while (*end == ' ' || *end == '\t')
			end = strstr(end, "\r\n") + 2;
		count++;
	}
	return count;
}

/* With identity.from there is one From with that address; a second pass changes nothing. */
static void
test_one_from(void **state)
{
	struct identity identity;

	(void)state;
	fixture_identity(&identity, NOREPLY);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct buf message = { 0 }, once = { 0 }, twice = { 0 };

		for (size_t fields = random_below(3); fields > 0; fields--) {
			buf_append_text(&message, random_below(4) > 0 ? "From:" : "Sender: ");
			if (random_below(2) > 0)
				buf_append_text(&message, " <" NOREPLY ">");
			append_random(&message, hostile_words,
			    sizeof(hostile_words) / sizeof(hostile_words[0]), 8);
			buf_append_text(&message, "\r\n");
		}
		buf_append_text(&message, COMPLETE "\r\nFrom: root\r\n");
		fixture_rewrite(&identity, "x@y", buf_octets(&message), message.len, some_octets,
		    &once);
		fixture_rewrite(&identity, "x@y", buf_octets(&once), once.len, NULL, &twice);
		assert_int_equal(count_from(buf_text(&once)), 1);
		assert_string_equal(buf_text(&once), buf_text(&twice));
		buf_free(&message);
		buf_free(&once);
		buf_free(&twice);
	}
	fixture_free(&identity);
}

/* Without local names not one octet is another, if nothing is missing. */
static void
test_foreign_stays(void **state)
{
	struct identity identity;

	(void)state;
	fixture_identity(&identity, "");
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct buf message = { 0 }, out = { 0 };

		buf_append_text(&message, COMPLETE "From: a@b.example\r\n");
		make_message(&message, foreign_words,
		    sizeof(foreign_words) / sizeof(foreign_words[0]));
		fixture_rewrite(&identity, "x@y", buf_octets(&message), message.len, some_octets,
		    &out);
		assert_int_equal(out.len, message.len);
		assert_memory_equal(buf_octets(&out), buf_octets(&message), out.len);
		buf_free(&message);
		buf_free(&out);
	}
	fixture_free(&identity);
}

static void
end_at(struct buf *text, const char *place)
{
	char *at = strstr(buf_text(text), place) != NULL ? strstr(text->octets, place) : NULL;

	if (at != NULL)
		*at = '\0';
}

/* What comes out of it once more stays as it is: no local name is left to change. */
static void
test_nothing_left(void **state)
{
	static const char *const fields[] = { "To:", "Cc:", "From:", "Reply-To:" };
	struct identity identity;

	(void)state;
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct buf once = { 0 }, twice = { 0 }, field = { 0 };
		struct header_addresses addresses = { .tokens = { .at = 0 } };
		struct header_mailbox mailbox;
		const char *name = fields[random_below(4)];
		enum rewrite_kind kind = rewrite_kind(name, strlen(name) - 1);

		fixture_identity(&identity, round % 2 == 0 ? "" : NOREPLY);
		buf_append_text(&field, name);
		append_random(&field, local_words, sizeof(local_words) / sizeof(local_words[0]), 8);
		buf_append_text(&field, " root\r\n");
		assert_true(rewrite_field(&identity, kind, buf_octets(&field), field.len,
		    REWRITE_GROWTH_MAX, &once));
		end_at(&once, "X-Original-From:");
		assert_null(strcasestr(buf_octets(&once), "localhost"));
		addresses.tokens.text = strchr(buf_octets(&once), ':') + 1;
		addresses.tokens.len = strlen(addresses.tokens.text);
		while (header_address_next(&addresses, &mailbox)) {
			assert_true(mailbox.has_at);
			assert_true(mailbox.domain.first < mailbox.domain.end);
		}
		assert_false(rewrite_field(&identity, kind, buf_octets(&once),
		    strlen(buf_octets(&once)), REWRITE_GROWTH_MAX, &twice));
		buf_free(&once);
		buf_free(&twice);
		buf_free(&field);
		fixture_free(&identity);
	}
}

/* RULES M7: quotes, brackets and comments without an end cost no more than their octets. */
static void
test_time_is_linear(void **state)
{
	static const char *const pieces[] = { "(", "\"", "[", "<", "\"\\", "(\\", "=?", "=?a?q?,",
		",", ";", "@", "root,", "<root>", "a.", ":" };
	struct identity identity;

	(void)state;
	fixture_identity(&identity, NOREPLY);
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct buf message = { 0 }, out = { 0 };
		struct timespec before, after;

		fill(&message, "From:", pieces[i], REWRITE_FIELD_MAX - 200);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
		fixture_rewrite(&identity, "x@y", buf_octets(&message), message.len, NULL, &out);
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
		/* A second is a hundred times what it takes under the sanitizers. */
		assert_true((after.tv_sec - before.tv_sec) * 1000 +
		    (after.tv_nsec - before.tv_nsec) / 1000000 < 1000);
		buf_free(&message);
		buf_free(&out);
	}
	fixture_free(&identity);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_fields),
		cmocka_unit_test(test_fields_with_from),
		cmocka_unit_test(test_what_is_missing),
		cmocka_unit_test(test_end_of_header),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_long_fields),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_line_length),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_one_from),
		cmocka_unit_test(test_foreign_stays),
		cmocka_unit_test(test_nothing_left),
		cmocka_unit_test(test_time_is_linear),
	};
	const char *seed = getenv("HERALD_TEST_SEED");

	random_state = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) << 20 | 1;
	printf("# seed %llu\n", (unsigned long long)random_state);
	setenv("TZ", "UTC0", 1);
	tzset();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
