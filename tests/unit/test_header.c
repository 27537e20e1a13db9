/* test_header.c - the Received field, dates, Message-IDs, and the scanner over cut blocks. */
#include "mail/header.h"

#include "base/buf.h"
#include "mail/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void
set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void
test_dates(void **state)
{
	char date[HEADER_DATE_SIZE];

	(void)state;
	set_zone("UTC0");
	assert_string_equal(header_date(date, 0), "Thu, 1 Jan 1970 00:00:00 +0000");
	assert_string_equal(header_date(date, 1795410367), "Mon, 23 Nov 2026 05:06:07 +0000");
	set_zone("XXX-5:30");
	assert_string_equal(header_date(date, 1795410367), "Mon, 23 Nov 2026 10:36:07 +0530");
	set_zone("XXX3:30");
	assert_string_equal(header_date(date, 1795410367), "Mon, 23 Nov 2026 01:36:07 -0330");
	set_zone("UTC0");
}

static void
test_message_id(void **state)
{
	char text[64];

	(void)state;
	assert_string_equal(header_new_message_id(text, sizeof(text), "4F1A2B", "web1.example.org",
	    1795410367), "<20261123050607.4F1A2B@web1.example.org>");
}

static void
assert_received(const struct header_received *received, const char *expected)
{
	struct buf out = { .octets = NULL };

	header_append_received(&out, received);
	assert_string_equal(buf_text(&out), expected);
	buf_free(&out);
}

static void
test_received(void **state)
{
	struct address path;
	struct header_received received = {
		.helo = "app.example.org", .client_name = "localhost",
		.client_address = "127.0.0.1",
		.hostname = "web1.example.org", .protocol = "ESMTP", .queue_id = "4F1A2B",
		.forward_path = &path, .arrived = 1795410367,
	};

	(void)state;
	set_zone("UTC0");
	assert_int_equal(address_parse(&path, "bob@example.net", 15), ADDRESS_OK);
	assert_received(&received, "Received: from app.example.org (localhost [127.0.0.1])\r\n"
	    "\tby web1.example.org (herald) with ESMTP id 4F1A2B\r\n"
	    "\tfor <bob@example.net>;\r\n\tMon, 23 Nov 2026 05:06:07 +0000\r\n");
	received.forward_path = NULL;
	received.client_name = "unknown";
	received.client_address = "2001:db8::1";
	received.protocol = "SMTP";
	assert_received(&received,
	    "Received: from app.example.org (unknown [IPv6:2001:db8::1])\r\n"
	    "\tby web1.example.org (herald) with SMTP id 4F1A2B;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\n");
	received.client_address = NULL;
	received.client_uid = 1000;
	received.helo = "a\r\nBcc: x@y (;\"\x1b\xc3";
	assert_received(&received, "Received: from a??Bcc:?x?y?????? (local socket, uid 1000)\r\n"
	    "\tby web1.example.org (herald) with SMTP id 4F1A2B;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\n");
	received.helo = "";
	assert_received(&received, "Received: from unknown (local socket, uid 1000)\r\n"
	    "\tby web1.example.org (herald) with SMTP id 4F1A2B;\r\n"
	    "\tMon, 23 Nov 2026 05:06:07 +0000\r\n");
}

/* No line of the field is longer than RFC 5322 2.1.1 allows, whatever the peer said. */
static void
test_received_is_bounded(void **state)
{
	char helo[3000];
	struct buf out = { .octets = NULL };
	struct header_received received = {
		.helo = helo, .client_name = "unknown", .client_address = "192.0.2.1",
		.hostname = "h", .protocol = "SMTP", .queue_id = "1",
	};
	const char *lf;

	(void)state;
	memset(helo, 'h', sizeof(helo) - 1);
	helo[sizeof(helo) - 1] = '\0';
	header_append_received(&out, &received);
	lf = memchr(buf_octets(&out), '\n', out.len);
	assert_non_null(lf);
	assert_true(lf - buf_octets(&out) < 998);
	buf_free(&out);
}

static const struct {
	const char *text, *message_id;
	unsigned received;
	bool ended;
} scans[] = {
	{ "", NULL, 0, false },
	{ "\r\n", NULL, 0, true },
	{ "\r\nReceived: x\r\n", NULL, 0, true },
	{ "Subject: x\r\n\r\nMessage-ID: <no@body>\r\n", NULL, 0, true },
	{ "Message-ID: <1@a>\r\n\r\n", "<1@a>", 0, true },
	{ "message-id:<1@a>\r\n\r\n", "<1@a>", 0, true },
	{ "MESSAGE-ID :\t<1@a> \r\n\r\n", "<1@a>", 0, true },
	{ "Message-ID:\r\n <1@a>\r\nReceived: x\r\n\r\n", "<1@a>", 1, true },
	{ "Message-ID: <1@a>\r\nMessage-ID: <2@a>\r\n\r\n", "<1@a>", 0, true },
	{ "X-Message-ID: <1@a>\r\nMessage-IDs: <2@a>\r\n\r\n", NULL, 0, true },
	{ "Message-ID:\r\n\r\n", "", 0, true },
	{ "Received: a\r\n\tby b\r\n Received: c\r\nreceived: d\r\n\r\nReceived: e\r\n",
	    NULL, 2, true },
	{ "From ann Mon Nov 23 05:06:07 2026\r\nReceived: a\r\n\r\n", NULL, 1, true },
	{ "no colon here\r\nReceived: a\r\n\r\n", NULL, 1, true },
	{ "no colon\r\nReceived: a\r\n\r\n", NULL, 1, true },
	{ ":\r\n:received\r\nReceived\r\n\r\n", NULL, 0, true },
	{ " Received: folded first\r\nReceived: a\r\n", NULL, 1, false },
	{ "Received: without an end", NULL, 1, false },
	{ "Message-ID: <cut", "<cut", 0, false },
	{ "Received: a\nReceived: b\n\nReceived: c\n", NULL, 2, true },
};

static void
check_scan(size_t row, const struct header_scanner *scanner)
{
	assert_int_equal(scanner->received, scans[row].received);
	assert_int_equal(scanner->ended, scans[row].ended);
	assert_int_equal(scanner->has_message_id, scans[row].message_id != NULL);
	if (scans[row].message_id == NULL)
		return;
	assert_int_equal(scanner->message_id_len, strlen(scans[row].message_id));
	assert_memory_equal(scanner->message_id, scans[row].message_id, scanner->message_id_len);
}

static void
test_scanner_wherever_cut(void **state)
{
	(void)state;
	for (size_t row = 0; row < sizeof(scans) / sizeof(scans[0]); row++) {
		size_t len = strlen(scans[row].text);
		struct header_scanner scanner = { .state = 0 };

		for (size_t i = 0; i < len; i++)
			header_scan(&scanner, scans[row].text + i, 1);
		check_scan(row, &scanner);
		for (size_t cut = 0; cut <= len; cut++) {
			memset(&scanner, 0, sizeof(scanner));
			header_scan(&scanner, scans[row].text, cut);
			header_scan(&scanner, scans[row].text + cut, len - cut);
			check_scan(row, &scanner);
		}
	}
}

static void
test_scanner_is_bounded(void **state)
{
	struct header_scanner scanner = { .state = 0 };
	char block[4096];

	(void)state;
	memset(block, 'x', sizeof(block));
	header_scan(&scanner, "Message-ID: <", 13);
	for (size_t i = 0; i < 2560; i++)
		header_scan(&scanner, block, sizeof(block));
	assert_int_equal(scanner.message_id_len, HEADER_MESSAGE_ID_MAX);
	header_scan(&scanner, "\r\n", 2);
	for (size_t i = 0; i < 2560; i++)
		header_scan(&scanner, block, sizeof(block));
	header_scan(&scanner, "\r\n", 2);
	for (size_t i = 0; i < 1000000; i++)
		header_scan(&scanner, "Received: a\r\n", 13);
	header_scan(&scanner, "\r\n", 2);
	assert_int_equal(scanner.received, 1000000);
	assert_true(scanner.ended);
}

static void
test_nul_in_the_header(void **state)
{
	static const char text[] = "Mess\0age-ID: <1@a>\r\nRec\0eived: a\r\nReceived: b\r\n\r\n";
	struct header_scanner scanner = { .state = 0 };

	(void)state;
	header_scan(&scanner, text, sizeof(text) - 1);
	assert_int_equal(scanner.received, 1);
	assert_false(scanner.has_message_id);
	assert_true(scanner.ended);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_message_id),
		cmocka_unit_test(test_received),
		cmocka_unit_test(test_received_is_bounded),
		cmocka_unit_test(test_scanner_wherever_cut),
		cmocka_unit_test(test_scanner_is_bounded),
		cmocka_unit_test(test_nul_in_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
