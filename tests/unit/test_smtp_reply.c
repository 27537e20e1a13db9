/* test_smtp_reply.c - the reply reader against what servers and attackers send. */
#include "proto/smtp_reply.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static enum smtp_reply_read
read_text(struct smtp_reply *reply, const char *text, size_t *used)
{
	smtp_reply_reset(reply);
	return smtp_reply_read(reply, text, strlen(text), used);
}

static void
test_replies(void **state)
{
	static const struct {
		const char *text;
		enum smtp_reply_read result;
		size_t used;
	} cases[] = {
		{ "250 ok\r\n", SMTP_REPLY_COMPLETE, 8 }, { "250\r\n", SMTP_REPLY_COMPLETE, 5 },
		{ "250-a\r\n250 b\r\n", SMTP_REPLY_COMPLETE, 14 },
		{ "250-\r\n250\r\n", SMTP_REPLY_COMPLETE, 11 },
		{ "250 a\r\n250 b\r\n", SMTP_REPLY_COMPLETE, 7 }, { "250 a\r", SMTP_REPLY_MORE, 0 },
		{ "250-a\r\n250", SMTP_REPLY_MORE, 7 }, { "", SMTP_REPLY_MORE, 0 },
		{ "\r\n", SMTP_REPLY_BAD, 2 }, { "25\r\n", SMTP_REPLY_BAD, 4 },
		{ "2500 x\r\n", SMTP_REPLY_BAD, 8 }, { "250x\r\n", SMTP_REPLY_BAD, 6 },
		{ "250-a\r\n550 b\r\n", SMTP_REPLY_BAD, 14 }, { "250 a\n", SMTP_REPLY_BAD, 0 },
		{ "\n", SMTP_REPLY_BAD, 0 }, { "150 x\r\n", SMTP_REPLY_BAD, 7 },
		{ "600 x\r\n", SMTP_REPLY_BAD, 7 }, { "2a0 x\r\n", SMTP_REPLY_BAD, 7 },
		{ " 250 x\r\n", SMTP_REPLY_BAD, 8 }, { "250\tx\r\n", SMTP_REPLY_BAD, 7 },
	};
	struct smtp_reply reply = { 0 };
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_text(&reply, cases[i].text, &used), cases[i].result);
		assert_int_equal(used, cases[i].used);
		assert_int_equal(reply.fault != NULL, cases[i].result == SMTP_REPLY_BAD);
	}
	smtp_reply_free(&reply);
}

static void
test_lines(void **state)
{
	struct smtp_reply reply = { 0 };
	size_t used, at = 0, len;
	const char *line;
	struct status status;

	(void)state;
	read_text(&reply, "250-one\r\n250-\r\n250 three\r\n", &used);
	line = smtp_reply_line(&reply, &at, &len);
	assert_int_equal(len, 3);
	assert_memory_equal(line, "one", 3);
	assert_non_null(smtp_reply_line(&reply, &at, &len));
	assert_int_equal(len, 0);
	line = smtp_reply_line(&reply, &at, &len);
	assert_int_equal(len, 5);
	assert_memory_equal(line, "three", 5);
	assert_null(smtp_reply_line(&reply, &at, &len));
	status = smtp_reply_status(&reply);
	assert_string_equal(status.text, "one  three");
	smtp_reply_free(&reply);
}

static void
test_limits(void **state)
{
	struct smtp_reply reply = { 0 };
	struct buf text = { 0 };
	size_t used;

	(void)state;
	for (int i = 0; i < SMTP_REPLY_LINES_MAX - 1; i++)
		buf_append_text(&text, "250-a\r\n");
	buf_append_text(&text, "250 a\r\n");
	assert_int_equal(read_text(&reply, buf_text(&text), &used), SMTP_REPLY_COMPLETE);
	smtp_reply_reset(&reply);
	assert_int_equal(smtp_reply_read(&reply, buf_octets(&text), text.len - 7, &used),
	    SMTP_REPLY_MORE);
	assert_int_equal(smtp_reply_read(&reply, "250-a\r\n", 7, &used), SMTP_REPLY_BAD);
	buf_clear(&text);
	buf_append_text(&text, "250 ");
	for (size_t i = 4; i < SMTP_REPLY_LINE_MAX - 2; i++)
		buf_append(&text, "a", 1);
	buf_append_text(&text, "\r\n");
	assert_int_equal(read_text(&reply, buf_text(&text), &used), SMTP_REPLY_COMPLETE);
	buf_clear(&text);
	for (size_t i = 0; i < SMTP_REPLY_LINE_MAX; i++)
		buf_append(&text, "2", 1);
	assert_int_equal(read_text(&reply, buf_text(&text), &used), SMTP_REPLY_BAD);
	buf_free(&text);
	smtp_reply_free(&reply);
}

/* Any octets, cut anywhere, give the same result as in one piece, and no fault of memory. */
static void
test_random(void **state)
{
	static const char octets[] = "2245550123456789-- \r\n\r\n\r\n\n\r\0aX.";
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	printf("# seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < 20000; round++) {
		struct smtp_reply whole = { 0 }, parts = { 0 };
		enum smtp_reply_read expected, found = SMTP_REPLY_MORE;
		size_t len = (size_t)rand() % 40, used = 0, start = 0, total = 0;
		char text[40];

		for (size_t i = 0; i < len; i++)
			text[i] = octets[(size_t)rand() % (sizeof(octets) - 1)];
		if (len > 8)
			memcpy(text, "250-a\r\n2", 8);
		expected = smtp_reply_read(&whole, text, len, &total);
		for (size_t end = 1; end <= len && found == SMTP_REPLY_MORE; end++) {
			found = smtp_reply_read(&parts, text + start, end - start, &used);
			start += used;
		}
		assert_int_equal(found, expected);
		assert_int_equal(start, total);
		smtp_reply_free(&whole);
		smtp_reply_free(&parts);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies), cmocka_unit_test(test_lines),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
