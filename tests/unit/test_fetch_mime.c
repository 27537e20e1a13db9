/* test_fetch_mime.c - hostile messages (RULES M): nothing breaks, memory and work are bounded. */
#include "mime_fixture.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MIB (1024 * 1024)
#define TEXT "\r\n\r\n"

/* Feeds a message as it is made, so that only the reader's own memory counts. */
struct feeder {
	struct fetch_mime *mime;
	struct mime_seen seen;
	struct buf piece;
	uint64_t fed;
	size_t base, peak;		/* octets of memory in use */
};

static size_t
memory_in_use(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.uordblks + info.hblkhd;
}

static void
feeder_start(struct feeder *feeder)
{
	*feeder = (struct feeder){ .seen = { .counts_only = true } };
	feeder->base = memory_in_use();
	feeder->mime = fetch_mime_new(NULL, &mime_seen_events, &feeder->seen);
}

static void
feeder_flush(struct feeder *feeder)
{
	size_t now;

	fetch_mime_feed(feeder->mime, buf_octets(&feeder->piece), feeder->piece.len);
	feeder->fed += feeder->piece.len;
	buf_clear(&feeder->piece);
	now = memory_in_use();
	if (now > feeder->base && now - feeder->base > feeder->peak)
		feeder->peak = now - feeder->base;
}

static void
feed(struct feeder *feeder, const char *text)
{
	buf_append_text(&feeder->piece, text);
	if (feeder->piece.len >= 65536)
		feeder_flush(feeder);
}

/* Bounds: 64 MiB, and so many looks at each octet. */
static void
feeder_end(struct feeder *feeder, uint64_t looks)
{
	feeder_flush(feeder);
	fetch_mime_end(feeder->mime);
	assert_in_range(feeder->peak, 0, 64 * MIB);
	assert_in_range(fetch_mime_work(feeder->mime), feeder->fed, looks * feeder->fed);
	assert_int_equal(feeder->seen.headers, 1);
	assert_int_equal(feeder->seen.parts, feeder->seen.ends);
	feeder->seen.work = fetch_mime_work(feeder->mime);
	fetch_mime_free(feeder->mime);
	buf_free(&feeder->piece);
}

static uint64_t
nested_work(size_t depth, struct mime_seen *seen)
{
	struct feeder feeder;
	char text[128];

	feeder_start(&feeder);
	feed(&feeder, "Subject: deep\r\nContent-Type: multipart/mixed; boundary=b0" TEXT);
	for (size_t i = 1; i < depth; i++) {
		(void)snprintf(text, sizeof(text), "--b%zu\r\nContent-Type: multipart/mixed; "
		    "boundary=b%zu" TEXT, i - 1, i);
		feed(&feeder, text);
	}
	(void)snprintf(text, sizeof(text), "--b%zu\r\n\r\nthe end\r\n", depth - 1);
	feed(&feeder, text);
	for (size_t i = depth; i-- > 0;) {
		(void)snprintf(text, sizeof(text), "--b%zu--\r\n", i);
		feed(&feeder, text);
	}
	feeder_end(&feeder, 12);
	*seen = feeder.seen;
	return feeder.seen.work;
}

static void
test_m1_depth(void **state)
{
	struct mime_seen seen;
	uint64_t half = nested_work(50000, &seen), whole = nested_work(100000, &seen);

	(void)state;
	assert_in_range(whole * 10, 0, half * 22);
	/* What is deeper than 100 is one part, with all that is in it. */
	assert_int_equal(seen.parts, 1);
	assert_true(seen.octets > 5 * MIB);
	assert_int_equal(seen.faults, 1);
	(void)nested_work(100, &seen);
	assert_int_equal(seen.parts, 1);
	assert_int_equal(seen.octets, 7);
	assert_int_equal(seen.faults, 0);
	(void)nested_work(101, &seen);
	assert_int_equal(seen.parts, 1);
	assert_int_equal(seen.faults, 1);
}

/* The same boundary a hundred deep, then lines that are nearly it. */
static void
test_m1_boundaries_alike(void **state)
{
	struct feeder feeder;
	struct buf boundary = { 0 }, line = { 0 };

	(void)state;
	mime_append_times(&boundary, "x", 2048);
	feeder_start(&feeder);
	for (size_t i = 0; i < 100; i++) {
		buf_clear(&line);
		if (i > 0)
			buf_appendf(&line, "--%s\r\n", buf_text(&boundary));
		buf_appendf(&line, "Content-Type: multipart/mixed; boundary=%s" TEXT,
		    buf_text(&boundary));
		feed(&feeder, buf_text(&line));
	}
	buf_clear(&line);
	buf_append_text(&line, "--");
	mime_append_times(&line, "x", 2047);
	buf_append_text(&line, "y\r\n");
	for (size_t i = 0; i < 2048; i++)
		feed(&feeder, buf_text(&line));
	feeder_end(&feeder, 110);
	assert_int_equal(feeder.seen.parts, 1);
	buf_free(&boundary);
	buf_free(&line);
}

static uint64_t
many_work(const char *part, size_t count, uint64_t looks, struct mime_seen *seen)
{
	struct feeder feeder;

	feeder_start(&feeder);
	feed(&feeder, "Content-Type: multipart/mixed; boundary=b" TEXT);
	for (size_t i = 0; i < count; i++)
		feed(&feeder, part);
	feed(&feeder, "--b--\r\n");
	feeder_end(&feeder, looks);
	*seen = feeder.seen;
	return feeder.seen.work;
}

static void
test_m2_empty_parts(void **state)
{
	static const char *const parts[] = { "--b\r\n\r\n", "--b\r\n\r\n\r\n",
		"--b\r\nContent-Type: image/png\r\n",
		"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\n--c--\r\n" };
	struct mime_seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		size_t count = i == 0 ? 1000000 : 100000;
		uint64_t half = many_work(parts[i], count / 2, 6, &seen);
		uint64_t whole = many_work(parts[i], count, 6, &seen);

		assert_in_range(whole * 10, 0, half * 22);
		assert_int_equal(seen.parts, 10000);
		assert_int_equal(seen.faults, 1);
	}
	(void)many_work("--b\r\n", 1000000, 6, &seen);
	assert_int_equal(seen.parts, 0);
	(void)many_work("--b\r\n\r\nx\r\n", 10000, 6, &seen);
	assert_int_equal(seen.parts, 10000);
	assert_int_equal(seen.faults, 0);
}

static void
test_m3_long_boundaries(void **state)
{
	static const size_t lengths[] = { 70, 2048, 2049, 100000 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct buf boundary = { 0 }, mail = { 0 };
		struct mime_seen seen = { 0 };

		mime_append_times(&boundary, "x", lengths[i]);
		buf_appendf(&mail, "Content-Type: multipart/mixed; boundary=%s" TEXT,
		    buf_text(&boundary));
		buf_appendf(&mail, "--%s\r\nContent-Type: image/png; name=a" TEXT "one\r\n"
		    "--%s--\r\n", buf_text(&boundary), buf_text(&boundary));
		mime_seen_read(&seen, NULL, buf_octets(&mail), mail.len, 0);
		assert_int_equal(seen.parts, 1);
		if (lengths[i] <= 2048)
			assert_true(mime_seen_has(&seen, "content one"));
		else
			assert_true(mime_seen_has(&seen, "part 1 multipart/mixed"));
		assert_int_equal(seen.faults, lengths[i] > 2048);
		mime_seen_clear(&seen);
		buf_free(&mail);
		buf_free(&boundary);
	}
}

/* Blanks without end behind a boundary, lines of dashes, lines without end. */
static void
test_m3_long_lines(void **state)
{
	static const char *const starts[] = { "--b", "--b--", "--", "-", "" };
	static const char *const rests[] = { " ", "-", "b", "--b" };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		for (size_t j = 0; j < 4; j++) {
			struct feeder feeder;

			feeder_start(&feeder);
			feed(&feeder, "Content-Type: multipart/mixed; boundary=b" TEXT
			    "--b\r\n\r\none\r\n");
			feed(&feeder, starts[i]);
			for (size_t k = 0; k < MIB; k++)
				feed(&feeder, rests[j]);
			feed(&feeder, "\r\n--b--\r\n");
			feeder_end(&feeder, 3);
			assert_int_equal(feeder.seen.parts, 1);
			assert_in_range(feeder.seen.octets, MIB, 4 * MIB);
		}
	}
}

/* A boundary that never comes: little is text, much is a part. */
static void
test_m3_never_comes(void **state)
{
	static const size_t counts[] = { 1000, 10 * MIB };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct feeder feeder;

		feeder_start(&feeder);
		feed(&feeder, "Content-Type: multipart/mixed; boundary=b" TEXT);
		for (size_t k = 0; k < counts[i] / 8; k++)
			feed(&feeder, "123456\r\n");
		feeder_end(&feeder, 3);
		assert_int_equal(feeder.seen.parts, 1);
		assert_int_equal(feeder.seen.shown, i == 0);
		assert_in_range(feeder.peak, 0, MIB);
		assert_int_equal(feeder.seen.octets,
		    i == 0 ? counts[i] / 8 * 7 - 1 : counts[i] - 2);
	}
}

static void
test_m6_broken_encodings(void **state)
{
	static const char *const encodings[] = { "base64", "quoted-printable" };
	static const char *const pieces[] = { "=", "=\r\n", "A", "=A", "= ", "AAA=", "\r", "A\r=",
		"\xff", "===\r\n", "=0", "\t" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		for (size_t j = 0; j < sizeof(pieces) / sizeof(pieces[0]); j++) {
			struct feeder feeder;

			feeder_start(&feeder);
			feed(&feeder, "Content-Type: image/png\r\nContent-Transfer-Encoding: ");
			feed(&feeder, encodings[i]);
			feed(&feeder, TEXT);
			for (size_t k = 0; k < MIB / 4; k++)
				feed(&feeder, pieces[j]);
			feeder_end(&feeder, 3);
			assert_int_equal(feeder.seen.parts, 1);
			assert_in_range(feeder.seen.octets, 0, feeder.fed);
			assert_in_range(feeder.peak, 0, MIB);
		}
	}
}

/* Messages in messages: only the first is seen, and it is one part. */
static void
test_m8_messages_in_messages(void **state)
{
	struct feeder feeder;

	(void)state;
	feeder_start(&feeder);
	for (size_t i = 0; i < 100000; i++)
		feed(&feeder, "Content-Type: message/rfc822" TEXT);
	feeder_end(&feeder, 3);
	assert_int_equal(feeder.seen.parts, 1);
	assert_int_equal(feeder.seen.octets, 99999 * 32);
	feeder_start(&feeder);
	for (size_t i = 0; i < 50000; i++)
		feed(&feeder, "Content-Type: multipart/digest; boundary=b" TEXT "--b\r\n\r\n");
	feeder_end(&feeder, 4);
	assert_int_equal(feeder.seen.parts, 50000 - 1 > 10000 ? 10000 : 1);
}

/* Every mix of line ends: the parts are the same. */
static void
test_m9_line_ends(void **state)
{
	static const char *const lines[] = { "Subject: x", "Content-Type: multipart/mixed;",
		"\tboundary=b", "", "pre", "--b", "Content-Type: text/csv; name=n", "", "one",
		"--b--" };
	static const char *const ends[] = { "\r\n", "\n", "\r" };

	(void)state;
	for (unsigned mix = 0; mix < 59049; mix++) {	/* 3 to the 10th */
		struct buf mail = { 0 };
		struct mime_seen seen = { 0 };
		unsigned rest = mix;
		bool is_pair = false;

		for (size_t i = 0; i < 10; i++, rest /= 3) {
			/* CR, and an empty line with LF behind it: that is one line end. */
			is_pair = is_pair || (rest % 3 == 2 && rest / 3 % 3 == 1 && i + 1 < 10 &&
			    lines[i + 1][0] == '\0');
			buf_append_text(&mail, lines[i]);
			buf_append_text(&mail, ends[rest % 3]);
		}
		mime_seen_read(&seen, NULL, buf_octets(&mail), mail.len, mix % 5);
		if (!is_pair) {
			assert_true(mime_seen_has(&seen, "subject x"));
			assert_true(mime_seen_has(&seen, "part 1 text/csv"));
			assert_true(mime_seen_has(&seen, "content one"));
			assert_int_equal(seen.parts, 1);
			assert_int_equal(seen.faults, 0);
		}
		mime_seen_clear(&seen);
		buf_free(&mail);
	}
}

static void
test_long_header(void **state)
{
	struct feeder feeder;

	(void)state;
	/* 20 MiB of fields that no one reads. */
	feeder_start(&feeder);
	feed(&feeder, "Subject: x\r\n");
	for (size_t i = 0; i < 20 * MIB / 16; i++)
		feed(&feeder, "X-A: 123456789\r\n");
	feed(&feeder, "\r\nbody\r\n");
	feeder_end(&feeder, 4);
	assert_int_equal(feeder.seen.faults, 1);
	assert_int_equal(feeder.seen.octets, 5);
	assert_in_range(feeder.peak, 0, MIB);
}

/* Behind the limit nothing is read any more, large or small. */
static void
test_header_limit_is_final(void **state)
{
	const struct fetch_mime_settings settings = { .header = 1000 };
	struct buf mail = { 0 };
	struct mime_seen seen = { 0 };

	(void)state;
	buf_append_text(&mail, "Subject: x\r\nX-Long: ");
	mime_append_times(&mail, "a", 2000);
	buf_append_text(&mail, "\r\nFrom: ann\r\n\r\nx\r\n");
	mime_seen_read(&seen, &settings, buf_octets(&mail), mail.len, 0);
	assert_true(mime_seen_has(&seen, "subject x"));
	assert_false(mime_seen_has(&seen, "from ann"));
	assert_true(mime_seen_has(&seen, "content x\n"));
	assert_int_equal(seen.faults, 1);
	mime_seen_clear(&seen);
	buf_free(&mail);
}

/* A message of 200 MiB passes through in little memory. */
static void
test_large_message(void **state)
{
	struct feeder feeder;

	(void)state;
	feeder_start(&feeder);
	feed(&feeder, "Content-Type: multipart/mixed; boundary=b" TEXT
	    "--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64" TEXT);
	for (size_t i = 0; i < 200 * (size_t)MIB / 78; i++)
		feed(&feeder, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xt"
		    "bm9wcXJzdHV2d3h5ejAxMjM0\r\n");
	feed(&feeder, "--b--\r\n");
	feeder_end(&feeder, 2);
	assert_int_equal(feeder.seen.octets, 200 * (uint64_t)MIB / 78 * 57);
	assert_in_range(feeder.peak, 0, MIB);
	assert_int_equal(feeder.seen.faults, 0);
}

/* Nothing but on_content() and on_part_end() depends on what is wanted. */
static bool
want_none(void *owner, const struct fetch_part *part)
{
	(void)mime_seen_part(owner, part);
	((struct mime_seen *)owner)->in_part = false;
	return false;
}

static void
test_unwanted_parts(void **state)
{
	static const char mail[] = "Content-Type: multipart/mixed; boundary=b" TEXT "--b\r\n\r\none"
	    "\r\n--b\r\nContent-Type: image/png\r\n\r\ntwo\r\n--b--\r\n";
	struct fetch_mime_events events = mime_seen_events;
	struct mime_seen seen = { 0 };
	struct fetch_mime *mime;

	(void)state;
	events.on_part = want_none;
	mime = fetch_mime_new(NULL, &events, &seen);
	fetch_mime_feed(mime, mail, sizeof(mail) - 1);
	fetch_mime_end(mime);
	fetch_mime_free(mime);
	assert_int_equal(seen.parts, 2);
	assert_int_equal(seen.ends, 0);
	assert_int_equal(seen.octets, 0);
	mime_seen_clear(&seen);
	/* Given up in the middle of a part. */
	mime = fetch_mime_new(NULL, &mime_seen_events, &seen);
	fetch_mime_feed(mime, mail, sizeof(mail) / 2);
	fetch_mime_free(mime);
	mime_seen_clear(&seen);
	fetch_mime_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_m1_depth),
		cmocka_unit_test(test_m1_boundaries_alike),
		cmocka_unit_test(test_m2_empty_parts),
		cmocka_unit_test(test_m3_long_boundaries),
		cmocka_unit_test(test_m3_long_lines),
		cmocka_unit_test(test_m3_never_comes),
		cmocka_unit_test(test_m6_broken_encodings),
		cmocka_unit_test(test_m8_messages_in_messages),
		cmocka_unit_test(test_m9_line_ends),
		cmocka_unit_test(test_long_header),
		cmocka_unit_test(test_header_limit_is_final),
		cmocka_unit_test(test_large_message),
		cmocka_unit_test(test_unwanted_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
