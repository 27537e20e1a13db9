/* test_send_address.c - the addresses that options give: for the envelope and for the header. */
#include "client/send_address.h"

#include "base/buf.h"
#include "client/send_field.h"
#include "client/send_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

/* What is written of a list: the value of a To field. */
static void
check_written(const char *list, const char *expected, bool needs_utf8)
{
	struct send_addresses addresses = { 0 };
	struct send_fault fault = { 0 };
	struct send_header header;

	if (!send_addresses_read(&addresses, "--to", list, &fault))
		fail_msg("%s", fault.text);
	assert_int_equal(addresses.needs_utf8, needs_utf8);
	send_header_begin(&header, "To");
	send_addresses_write(&addresses, &header);
	assert_string_equal(send_header_end(&header), expected);
	send_header_free(&header);
	send_addresses_free(&addresses);
}

static void
reads_and_writes_lists(void **state)
{
	(void)state;
	check_written("a@example.org", " a@example.org\n", false);
	check_written("<a@example.org>", " a@example.org\n", false);
	check_written("Ann <a@example.org>, b@example.net", " Ann <a@example.org>, b@example.net\n",
	    false);
	check_written("发件人 <a@example.org>", " =?utf-8?b?5Y+R5Lu25Lq6?= <a@example.org>\n",
	    false);
	check_written("\"Doe, \\\"J\\\"\" <a@example.org>", " \"Doe, \\\"J\\\"\" <a@example.org>\n",
	    false);
	check_written("a@example.org (a comment), , b@example.org",
	    " a@example.org, b@example.org\n", false);
	check_written("friends: a@example.org, b@example.org;", " a@example.org, b@example.org\n",
	    false);
	check_written("a @ example . org", " a@example.org\n", false);
	check_written("\"a b\"@example.org", " \"a b\"@example.org\n", false);
	check_written("x@[192.0.2.1]", " x@[192.0.2.1]\n", false);
	/* An IDN is for all who can read it, but where the local part asks for SMTPUTF8 anyway. */
	check_written("a@例子.中国", " a@xn--fsqu00a.xn--fiqs8s\n", false);
	check_written("用户@例子.中国", " 用户@例子.中国\n", true);
	check_written("Ann  B\t C <a@example.org>", " Ann B C <a@example.org>\n", false);
	check_written("a@EXAMPLE.org", " a@example.org\n", false);
}

static void
folds_between_addresses(void **state)
{
	struct send_addresses addresses = { 0 };
	struct send_fault fault = { 0 };
	struct send_header header;
	const char *line, *end;

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_true(send_addresses_read(&addresses, "--to",
		    "收件人的名字很长很长很长很长很长 <someone@example.org>", &fault));
	send_header_begin(&header, "To");
	send_addresses_write(&addresses, &header);
	for (line = send_header_end(&header); *line != '\0'; line = end + 1) {
		end = strchr(line, '\n');
		assert_in_range(end - line, 2, 78);
	}
	send_header_free(&header);
	send_addresses_free(&addresses);
}

static void
names_what_is_wrong(void **state)
{
	static const char *const rows[][2] = {
		{ "", "--to \"\": there is no address in it" },
		{ " , ", "there is no address in it" },
		{ "Ann", "--to \"Ann\": " },
		{ "a@", "--to \"a@\": " },
		{ "@example.org", "\"@example.org\"" },
		{ "good@example.org, Doe, John <j@example.org>", "--to \"Doe\": " },
		{ "a@example.org b@example.org", "--to \"a@example.org b@example.org\": " },
		{ "a@exa mple.org", ": " },
		{ "a@example..org", "\"a@example..org\"" },
		{ "a@b\r\nBcc: c@d", "a line break cannot be sent" },
		{ "a\nb@c", "--to \"a\\x0ab@c\": a line break cannot be sent" },
		{ "\xff@example.org", "this is not UTF-8" },
		{ "x@-", ": " },
		{ "a@example.org\xc2\xa0", "the domain is no name in the DNS" },
		{ "a@\xf0\x9f\x8e\x82.example", "the domain is no name in the DNS" },
		{ "甲@\xf0\x9f\x8e\x82.example", "the domain is no name in the DNS" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct send_addresses addresses = { 0 };
		struct send_fault fault = { 0 };

		assert_false(send_addresses_read(&addresses, "--to", rows[i][0], &fault));
		assert_int_equal(fault.exit_code, EX_DATAERR);
		if (strstr(fault.text, rows[i][1]) == NULL)
			fail_msg("%s: %s", rows[i][0], fault.text);
		send_addresses_free(&addresses);
	}
}

/* RULES H5: it is refused, and not folded. */
static void
refuses_what_is_too_long(void **state)
{
	struct send_addresses addresses = { 0 };
	struct send_fault fault = { 0 };
	char list[2100];

	(void)state;
	memset(list, 'a', 2000);
	memcpy(list + 2000, "@example.org", 13);
	assert_false(send_addresses_read(&addresses, "--to", list, &fault));
	assert_int_equal(fault.exit_code, EX_DATAERR);
	assert_non_null(strstr(fault.text, "too long"));
	send_addresses_free(&addresses);
}

/* --- --header --- */

static void
takes_fields(void **state)
{
	const char *items[] = { "X-A: b", "X-A:c", "Sender: 甲 <a@例子.中国>", "X-B:  你 好 ",
		"Date: Mon, 23 Nov 2026 05:06:07 +0000", "message-id: <a@b>" };
	static const char *const written[] = { " b\n", " c\n",
		" =?utf-8?b?55Sy?= <a@xn--fsqu00a.xn--fiqs8s>\n", " =?utf-8?b?5L2gIOWlvSA=?=\n" };
	const struct send_list list = { items, 6 };
	struct send_fields fields = { 0 };
	struct send_fault fault = { 0 };

	(void)state;
	assert_true(send_fields_read(&fields, &list, &fault));
	for (size_t i = 0; i < 4; i++) {
		struct send_header header;

		send_header_begin(&header, fields.items[i].name);
		send_field_write(&fields.items[i], &header);
		assert_string_equal(send_header_end(&header), written[i]);
		send_header_free(&header);
	}
	assert_string_equal(send_fields_value(&fields, "Message-ID"), "<a@b>");
	assert_null(send_fields_value(&fields, "Subject"));
	send_fields_free(&fields);
}

static void
refuses_fields(void **state)
{
	static const struct { const char *first, *header; int exit_code; } rows[] = {
		{ NULL, "no colon", EX_USAGE }, { NULL, ": x", EX_USAGE },
		{ NULL, "A B: x", EX_USAGE }, { NULL, "Ä: x", EX_USAGE },
		{ NULL, "bcc: x@example.org", EX_USAGE },
		{ NULL, "Resent-Bcc: x@example.org", EX_USAGE },
		{ NULL, "BCC : x", EX_USAGE }, { NULL, "Subject: x", EX_USAGE },
		{ NULL, "mime-version: 1.0", EX_USAGE }, { NULL, "Content-Foo: x", EX_USAGE },
		{ NULL, "Received: x", EX_USAGE }, { NULL, "Return-Path: <>", EX_USAGE },
		{ NULL, "From: a@example.org", EX_USAGE }, { NULL, "X: a\r\nBcc: b", EX_DATAERR },
		{ NULL, "X: a\n b", EX_DATAERR }, { NULL, "X\r: a", EX_DATAERR },
		{ NULL, "X:", EX_DATAERR }, { NULL, "X:  ", EX_DATAERR },
		{ NULL, "X: \xff", EX_DATAERR }, { NULL, "Message-ID: x", EX_DATAERR },
		{ NULL, "Message-ID: <a@b> <c@d>", EX_DATAERR },
		{ NULL, "References: <a@b> <ä@b>", EX_DATAERR },
		{ NULL, "Date: today", EX_DATAERR },
		{ NULL, "Sender: nobody", EX_DATAERR },
		{ "Date: Mon, 23 Nov 2026 05:06:07 +0000", "date: Mon, 23 Nov 2026 05:06:07 +0000",
		    EX_USAGE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *items[2] = { rows[i].first, rows[i].header };
		const struct send_list list = rows[i].first != NULL ?
		    (struct send_list){ items, 2 } : (struct send_list){ items + 1, 1 };
		struct send_fields fields = { 0 };
		struct send_fault fault = { 0 };

		if (send_fields_read(&fields, &list, &fault))
			fail_msg("%s", rows[i].header);
		assert_int_equal(fault.exit_code, rows[i].exit_code);
		assert_non_null(strstr(fault.text, "--header \""));
		assert_null(strpbrk(fault.text, "\r\n"));
		send_fields_free(&fields);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_and_writes_lists),
		cmocka_unit_test(folds_between_addresses),
		cmocka_unit_test(names_what_is_wrong),
		cmocka_unit_test(refuses_what_is_too_long),
		cmocka_unit_test(takes_fields),
		cmocka_unit_test(refuses_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
