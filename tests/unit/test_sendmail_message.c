/* test_sendmail_message.c - what becomes of the message that a program writes into sendmail. */
#include "base/buf.h"
#include "base/error.h"
#include "cmd/sendmail_encode.h"
#include "cmd/sendmail_message.h"
#include "queue/content.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

#define FROM "From: me <me@example.org>\r\n"
#define QP "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n" \
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"

enum { DOTS = 1, HEADER = 2 };	/* -i, -t */

/* What comes out of one message. */
struct outcome {
	int exit_code;
	struct buf octets;		/* as it is sent */
	struct buf recipients;		/* with a blank between them */
	bool ended;
};

static void
outcome_clear(struct outcome *outcome)
{
	buf_free(&outcome->octets);
	buf_free(&outcome->recipients);
}

static void
append_content(struct buf *out, const struct content *content)
{
	char block[4096];
	uint64_t offset = 0;
	size_t got;
	struct error err;

	while (content_read(content, offset, block, sizeof(block), &got, &err) && got > 0) {
		buf_append(out, block, got);
		offset += got;
	}
}

static void
look(struct sendmail_message *message, struct outcome *outcome)
{
	const struct sendmail_addresses *list = sendmail_message_recipients(message);
	char text[ADDRESS_TEXT_MAX + 1];
	struct content *content;
	struct error err;

	for (size_t i = 0; i < list->count; i++)
		buf_appendf(&outcome->recipients, "%s%s", i > 0 ? " " : "",
		    address_text(&list->items[i], text));
	content = sendmail_encode(message, "/tmp", &outcome->exit_code, &err);
	if (content == NULL)
		return;
	outcome->exit_code = EX_OK;
	append_content(&outcome->octets, content);
	content_unref(content);
}

/* In blocks of `step` octets. */
static struct outcome
run(const char *octets, size_t len, int flags, size_t step)
{
	const struct sendmail_message_settings settings = {
		.ignore_dots = (flags & DOTS) != 0, .from_header = (flags & HEADER) != 0,
		.from_field = FROM, .directory = "/tmp",
	};
	struct sendmail_message *message = sendmail_message_new(&settings);
	struct outcome outcome = { .exit_code = EX_OK };
	struct error err;
	bool ok = true;

	for (size_t at = 0; ok && at < len && !outcome.ended; at += step) {
		size_t part = len - at < step ? len - at : step;
		/* A copy of just that size, so that a step beyond it is seen. */
		char *block = malloc(part);

		assert_non_null(block);
		memcpy(block, octets + at, part);
		ok = sendmail_message_feed(message, block, part, &outcome.ended,
		    &outcome.exit_code, &err);
		free(block);
	}
	if (ok && sendmail_message_end(message, &outcome.exit_code, &err))
		look(message, &outcome);
	sendmail_message_free(message);
	return outcome;
}

static void
check(const char *name, const char *octets, size_t len, int flags, const char *sent,
    const char *recipients)
{
	for (size_t step = 1; step <= len + 1; step += step < 7 ? 1 : len) {
		struct outcome outcome = run(octets, len, flags, step);

		if (outcome.exit_code != EX_OK)
			fail_msg("%s: exit code %d", name, outcome.exit_code);
		if (strcmp(buf_text(&outcome.octets), sent) != 0)
			fail_msg("%s, in steps of %zu:\n%s", name, step, buf_text(&outcome.octets));
		if (recipients != NULL && strcmp(buf_text(&outcome.recipients), recipients) != 0)
			fail_msg("%s: %s", name, buf_text(&outcome.recipients));
		outcome_clear(&outcome);
	}
}

#define H "From: a@b\r\n"
#define HB "From: a@b\n\nbody\n"
#define PARTS "Content-Type: multipart/mixed; boundary=x\r\n"

static const struct { const char *name, *octets; int flags; const char *sent; } messages[] = {
	{ "LF", "From: a@b\nSubject: x\n\nbody\n", 0, H "Subject: x\r\n\r\nbody\r\n" },
	{ "CRLF", H "Subject: x\r\n\r\nbody\r\n", 0, H "Subject: x\r\n\r\nbody\r\n" },
	{ "mixed", "From: a@b\r\nX: y\n\r\none\ntwo\r\n", 0, H "X: y\r\n\r\none\r\ntwo\r\n" },
	{ "CR CR LF", "From: a@b\r\r\n\r\r\none\r\r\n", 0, H "\r\none\r\n" },
	{ "no final newline", "From: a@b\n\nbody", 0, H "\r\nbody\r\n" },
	{ "header alone, no end", "From: a@b\nX: y", 0, H "X: y\r\n\r\n" },
	{ "header alone", "From: a@b\n", 0, H "\r\n" },
	{ "nothing", "", 0, FROM "\r\n" },
	{ "a body alone", "\nbody\n", 0, FROM "\r\nbody\r\n" },
	{ "two empty lines", "\n\nbody\n", 0, FROM "\r\n\r\nbody\r\n" },
	{ "no header", "hello there\nbody\n", 0, FROM "\r\nhello there\r\nbody\r\n" },
	{ "no header, one word", "hello", 0, FROM "\r\nhello\r\n" },
	{ "begins with a blank", " hello\n", 0, FROM "\r\n hello\r\n" },
	{ "a line without a colon", "From: a@b\nhello\nX: y\n", 0, H "\r\nhello\r\nX: y\r\n" },
	{ "a colon alone", "From: a@b\n: y\n", 0, H "\r\n: y\r\n" },
	{ "a blank in the name", "From: a@b\nnot a field: y\n", 0, H "\r\nnot a field: y\r\n" },
	{ "obsolete blank", "From : a@b\n\n", 0, "From : a@b\r\n\r\n" },
	{ "mbox", "From ann Mon Nov 23 10:00:00 2026\n" HB, 0, H "\r\nbody\r\n" },
	{ "mbox, two digits a time", "From a@b  Mon Nov  2 10:00 2026\r\n" HB, 0,
	    H "\r\nbody\r\n" },
	{ "mbox, zone", "From - Mon, 23 Nov 2026 10:00:00 +0000\n" HB, 0, H "\r\nbody\r\n" },
	{ "quoted mbox", ">From ann Mon Nov 23 10:00:00 UTC 2026 remote from x\n" HB, 0,
	    H "\r\nbody\r\n" },
	{ "mbox, two", "From a Mon Nov 23 10:00:00 2026\n>From b Mon Nov 23 09:00:00 2026\n" HB,
	    0, H "\r\nbody\r\n" },
	{ "text, From", "From here on we do this\nbody\n", 0,
	    FROM "\r\nFrom here on we do this\r\nbody\r\n" },
	{ "text, >From", ">From here on\n", 0, FROM "\r\n>From here on\r\n" },
	{ "text, a time", "From 12:30 on\nbody\n", 0, FROM "\r\nFrom 12:30 on\r\nbody\r\n" },
	{ "text, a year", "From May 2026 on", 0, FROM "\r\nFrom May 2026 on\r\n" },
	{ "text, digits", "From 112:30 20260 1:23", 0, FROM "\r\nFrom 112:30 20260 1:23\r\n" },
	{ "text, From alone", "From \n\nbody\n", 0, FROM "\r\nFrom \r\n\r\nbody\r\n" },
	{ "From in the body", "From: a@b\n\nFrom ann\n>From bob\n", 0,
	    H "\r\nFrom ann\r\n>From bob\r\n" },
	{ "From behind fields", "From: a@b\nX: y\nFrom ann\n", 0, H "X: y\r\n\r\nFrom ann\r\n" },
	{ "no From", "Subject: x\n\nbody\n", 0, "Subject: x\r\n" FROM "\r\nbody\r\n" },
	{ "empty From", "From: \nX: y\n\nbody\n", 0, "X: y\r\n" FROM "\r\nbody\r\n" },
	{ "folded From", "From:\n a@b\n\nbody\n", 0, "From:\r\n a@b\r\n\r\nbody\r\n" },
	{ "dot", "From: a@b\n\none\n.\ntwo\n", 0, H "\r\none\r\n" },
	{ "dot, CRLF", "From: a@b\r\n\r\none\r\n.\r\ntwo\r\n", 0, H "\r\none\r\n" },
	{ "dot, no newline", "From: a@b\n\none\n.", 0, H "\r\none\r\n" },
	{ "dot in the header", "From: a@b\n.\nX: y\n", 0, H "\r\n" },
	{ "dot first", ".\nX: y\n", 0, FROM "\r\n" },
	{ "dot, -i", "From: a@b\n\none\n.\ntwo\n.", DOTS, H "\r\none\r\n.\r\ntwo\r\n.\r\n" },
	{ "dot in the header, -i", "From: a@b\n.\nX: y\n", DOTS, H "\r\n.\r\nX: y\r\n" },
	{ "two dots", "From: a@b\n\n..\n", 0, H "\r\n..\r\n" },
	{ "dot and a blank", "From: a@b\n\n. \n.x\n .\n", 0, H "\r\n. \r\n.x\r\n .\r\n" },
	{ "dot behind text", "From: a@b\n\na.\n", 0, H "\r\na.\r\n" },
	{ "dot, CR, text", "From: a@b\n\n.\rx\n", 0, H QP ".=0Dx\r\n" },
	{ "Bcc, no -t", "From: a@b\nBcc: c@d,\n e@f\nX: y\n\n", 0, H "X: y\r\n\r\n" },
	{ "Bcc, CRLF", "Bcc: c@d,\r\n\te@f\r\nFrom: a@b\r\n\r\n", 0, H "\r\n" },
	{ "Resent-Bcc", "From: a@b\nrEsEnT-bCC: c@d\n\n", 0, H "\r\n" },
	{ "Bcc last", "From: a@b\nBcc: c@d", 0, H "\r\n" },
	{ "Bcc in the body", "From: a@b\n\nBcc: c@d\n", 0, H "\r\nBcc: c@d\r\n" },
	{ "CR in a field", "From: a@b\nX: y\rBcc: z\n\n", 0, H "X: y Bcc: z\r\n\r\n" },
	{ "eight bit", "From: a@b\n\n\xc3\xa9\n", 0, H "\r\n\xc3\xa9\r\n" },
	{ "bare CR", "From: a@b\n\n10%\r20%\r\nend\n", 0, H QP "10%=0D20%\r\nend\r\n" },
	{ "bare CR at the end", "From: a@b\n\nx\r", 0, H "\r\nx\r\n" },
	{ "bare CR and blanks", "From: a@b\n\na \t\nb \rc=d \n", 0,
	    H QP "a =09\r\nb=20=0Dc=3Dd=20\r\n" },
	{ "bare CR, CTE and type",
	    "From: a@b\nMIME-Version: 1.0\nContent-Transfer-Encoding:\n 8bit\n"
	    "Content-Type: text/html; charset=utf-8\n\n\xc3\xa9\r.\n", 0,
	    H "MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9=0D.\r\n" },
	{ "bare CR, UTF-8", "From: a@b\n\n\xc3\xa9\r.\n", 0,
	    H "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9=0D.\r\n" },
	{ "bare CR, not UTF-8", "From: a@b\n\n\xe9\r.\n", 0,
	    H "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n=E9=0D.\r\n" },
	{ "bare CR, parts", "From: a@b\nContent-Type: Multipart/mixed; boundary=x\n\na\rb\n", 0,
	    H "Content-Type: Multipart/mixed; boundary=x\r\n\r\na\rb\r\n" },
	{ "bare CR, parts and a comment",
	    "From: a@b\nContent-Type: (c (d\\)) /) multipart/mixed; boundary=x\n\na\rb\n", 0,
	    H "Content-Type: (c (d\\)) /) multipart/mixed; boundary=x\r\n\r\na\rb\r\n" },
	{ "bare CR, message", "From: a@b\nContent-Type:\n (c)\n MESSAGE(d)/rfc822\n\na\rb\n", 0,
	    H "Content-Type:\r\n (c)\r\n MESSAGE(d)/rfc822\r\n\r\na\rb\r\n" },
	{ "bare CR, two types, parts first",
	    H PARTS "Content-Type: text/plain\r\n\r\na\rb\r\n", 0,
	    H PARTS "Content-Type: text/plain\r\n\r\na\rb\r\n" },
	{ "bare CR, two types, parts last",
	    H "Content-Type: text/plain\r\n" PARTS "\r\na\rb\r\n", 0,
	    H "Content-Type: text/plain\r\n" PARTS "\r\na\rb\r\n" },
	{ "bare CR, open comment", "From: a@b\nContent-Type: (text/plain\n\na\rb\n", 0,
	    H "Content-Type: (text/plain\r\nMIME-Version: 1.0\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\na=0Db\r\n" },
	{ "bare CR, two encodings",
	    H "Content-Transfer-Encoding: (c) base64\r\nContent-Transfer-Encoding: 7bit\r\n"
	    "\r\na\rb\r\n", 0,
	    H "Content-Transfer-Encoding: (c) base64\r\nContent-Transfer-Encoding: 7bit\r\n"
	    "\r\na\rb\r\n" },
	{ "bare CR, 8bit with a comment",
	    "From: a@b\nContent-Transfer-Encoding: (c) 8bit(d)\n\na\rb\n", 0,
	    H QP "a=0Db\r\n" },
	{ "bare CR, base64", "From: a@b\nContent-Transfer-Encoding: base64\n\na\rb\n", 0,
	    H "Content-Transfer-Encoding: base64\r\n\r\na\rb\r\n" },
};

static void
test_messages(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++)
		check(messages[i].name, messages[i].octets, strlen(messages[i].octets),
		    messages[i].flags, messages[i].sent, NULL);
}

/* NULL: exit code 65. */
static const struct { const char *octets, *recipients; } headers[] = {
	{ "To: ann\n\n", "ann" },
	{ "to:ann\n\n", "ann" },
	{ "To : ann\n\n", "ann" },
	{ "To: ann\nCc: bob\nBcc: carl\n\n", "ann bob carl" },
	{ "To: ann,\n bob,\n\tcarl\n\n", "ann bob carl" },
	{ "To: ann,\r\n bob\r\n\r\n", "ann bob" },
	{ "To:\n ann\n\n", "ann" },
	{ "To: ann\nTo: bob\n\n", "ann bob" },
	{ "To: ann\nCc: Ann <ann>\n\n", "ann" },
	{ "Subject: x\n\nTo: ann\n", "" },
	{ "To: ann", "ann" },
	{ "To: undisclosed-recipients:;\nBcc: bob\n\n", "bob" },
	{ "Apparently-To: ann\n\n", "" },
	{ "Reply-To: ann\n\n", "" },
	{ "To: ann\nResent-To: bob\nResent-Cc: carl\nResent-Bcc: dora\n\n", "bob carl dora" },
	{ "Resent-From: x\nTo: ann\n\n", "" },
	{ "Resent-To: bob\nTo: ann@\n\n", "bob" },
	{ "To: a@b\n\tBcc: c@d\n\nx", "a@b" },
	{ "To: a@b\rBcc: c@d\n\nx", "a@b" },
	{ "To: ann@\n\n", NULL },
	{ "To: ann\nCc: <bob\n\n", NULL },
	{ "To: ann bob\n\n", NULL },
	{ "To: =?utf-8?q?a=40b?=\n\n", NULL },
	{ "Resent-To: ann@\n\n", NULL },
};

static void
test_recipients(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		struct outcome outcome = run(headers[i].octets, strlen(headers[i].octets), HEADER,
		    3);

		if (headers[i].recipients == NULL) {
			if (outcome.exit_code != EX_DATAERR)
				fail_msg("%s: exit code %d", headers[i].octets, outcome.exit_code);
		} else if (strcmp(buf_text(&outcome.recipients), headers[i].recipients) != 0) {
			fail_msg("%s: %s", headers[i].octets, buf_text(&outcome.recipients));
		}
		outcome_clear(&outcome);
	}
}

static void
test_nul(void **state)
{
	static const char body[] = "From: a@b\n\nx\0y\n", header[] = "From: a@b\nX: \0\n\n";
	static const char parts[] = "From: a@b\nContent-Type: multipart/mixed\n\nx\0y\n";
	struct outcome outcome;

	(void)state;
	check("NUL", body, sizeof(body) - 1, 0, H QP "x=00y\r\n", NULL);
	outcome = run(header, sizeof(header) - 1, 0, 100);
	assert_int_equal(outcome.exit_code, EX_DATAERR);
	outcome_clear(&outcome);
	outcome = run(parts, sizeof(parts) - 1, 0, 100);
	assert_int_equal(outcome.exit_code, EX_DATAERR);
	outcome_clear(&outcome);
}

/* --- long lines --- */

static void
append_run(struct buf *out, char octet, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buf_append(out, &octet, 1);
}

/* Every line has its CRLF. */
static size_t
longest_line(struct buf *octets)
{
	const char *at = buf_octets(octets), *end = at + octets->len;
	size_t longest = 0;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));

		assert_non_null(lf);
		assert_int_equal(lf[-1], '\r');
		if ((size_t)(lf - at) - 1 > longest)
			longest = (size_t)(lf - at) - 1;
		at = lf + 1;
	}
	return longest;
}

static void
test_limit_of_a_body_line(void **state)
{
	struct buf octets = { 0 };
	struct outcome outcome;

	(void)state;
	buf_append_text(&octets, "From: a@b\n\n");
	append_run(&octets, 'x', SENDMAIL_LINE_MAX);
	outcome = run(buf_octets(&octets), octets.len, 0, 4096);
	assert_null(strstr(buf_text(&outcome.octets), "quoted-printable"));
	assert_int_equal(longest_line(&outcome.octets), SENDMAIL_LINE_MAX);
	outcome_clear(&outcome);
	append_run(&octets, 'x', 1);
	outcome = run(buf_octets(&octets), octets.len, 0, 4096);
	assert_non_null(strstr(buf_text(&outcome.octets), "quoted-printable"));
	assert_true(longest_line(&outcome.octets) <= 76);
	outcome_clear(&outcome);
	buf_free(&octets);
}

static void
decode(struct buf *out, const char *at)
{
	while (*at != '\0') {
		unsigned value;
		char octet;

		if (strncmp(at, "=\r\n", 3) == 0) {
			at += 3;
		} else if (*at == '=') {
			assert_int_equal(sscanf(at + 1, "%2X", &value), 1);
			octet = (char)value;
			buf_append(out, &octet, 1);
			at += 3;
		} else {
			buf_append(out, at++, 1);
		}
	}
}

/* Random octets, read as a decoder of RFC 2045 reads them, are what went in. */
static void
test_nothing_is_lost(void **state)
{
	struct buf octets = { 0 }, decoded = { 0 };
	struct outcome outcome;
	unsigned seed = 1;

	(void)state;
	buf_append_text(&octets, "From: a@b\r\n\r\n\r.");
	for (int i = 0; i < 300000; i++) {
		static const char often[] = "\r \t=.ax\xc3\0";
		char octet;

		seed = seed * 1103515245u + 12345u;
		octet = (seed >> 16) % 3 == 0 ? (char)(seed >> 20) : often[(seed >> 20) % 9];
		if (octet == '\n' || octet == '\r')
			buf_append_text(&octets, octet == '\n' ? "x\r\n" : "\rx");
		else
			buf_append(&octets, &octet, 1);
	}
	buf_append_text(&octets, "x\r\n");
	outcome = run(buf_octets(&octets), octets.len, DOTS, 777);
	assert_int_equal(outcome.exit_code, EX_OK);
	assert_true(longest_line(&outcome.octets) <= 76);
	decode(&decoded, strstr(buf_text(&outcome.octets), "\r\n\r\n") + 4);
	assert_int_equal(decoded.len, octets.len - strlen("From: a@b\r\n\r\n"));
	assert_memory_equal(buf_octets(&decoded), buf_octets(&octets) + strlen("From: a@b\r\n\r\n"),
	    decoded.len);
	outcome_clear(&outcome);
	buf_free(&octets);
	buf_free(&decoded);
}

static void
test_long_field_is_folded(void **state)
{
	struct buf octets = { 0 }, want = { 0 }, got = { 0 };
	struct outcome outcome;
	const char *sent;

	(void)state;
	buf_append_text(&octets, "From: a@b\nTo:");
	for (int i = 0; i < 1000; i++)
		buf_appendf(&octets, " user%d@example.org,", i);
	buf_append_text(&octets, "\n\n");
	outcome = run(buf_octets(&octets), octets.len, HEADER, 1000);
	assert_int_equal(outcome.exit_code, EX_OK);
	assert_true(longest_line(&outcome.octets) <= SENDMAIL_LINE_MAX);
	sent = buf_text(&outcome.octets);
	for (; *sent != '\0'; sent++)
		if (*sent != '\r' && *sent != '\n')
			buf_append(&got, sent, 1);
	for (sent = buf_text(&octets); *sent != '\0'; sent++)
		if (*sent != '\n')
			buf_append(&want, sent, 1);
	assert_string_equal(buf_text(&got), buf_text(&want));
	outcome_clear(&outcome);
	buf_free(&octets);
	buf_free(&want);
	buf_free(&got);
}

/* A field without a blank cannot be folded: it stays, whole. */
static void
test_long_word_in_a_field(void **state)
{
	struct buf octets = { 0 };
	struct outcome outcome;

	(void)state;
	buf_append_text(&octets, "From: a@b\nX: ");
	append_run(&octets, 'x', 3000);
	buf_append_text(&octets, "\n\n");
	outcome = run(buf_octets(&octets), octets.len, 0, 1000);
	assert_int_equal(outcome.octets.len, octets.len + 3);
	outcome_clear(&outcome);
	buf_free(&octets);
}

/* Octets without any line end are a body, and are not held in memory to find that out. */
static void
test_one_endless_line(void **state)
{
	struct buf octets = { 0 };
	struct outcome outcome;

	(void)state;
	buf_append_text(&octets, "From 10:00 2026 ");
	append_run(&octets, '#', 3 * 1024 * 1024);
	outcome = run(buf_octets(&octets), octets.len, 0, 65536);
	assert_int_equal(outcome.exit_code, EX_OK);
	assert_true(longest_line(&outcome.octets) <= 76);
	assert_true(outcome.octets.len > octets.len);
	outcome_clear(&outcome);
	buf_free(&octets);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_recipients),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_limit_of_a_body_line),
		cmocka_unit_test(test_nothing_is_lost),
		cmocka_unit_test(test_long_field_is_folded),
		cmocka_unit_test(test_long_word_in_a_field),
		cmocka_unit_test(test_one_endless_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
