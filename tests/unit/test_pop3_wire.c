/* test_pop3_wire.c - lines of a POP3 server, good and bad, by tables. */
#include "proto/pop3_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct slice
slice_of(const char *text)
{
	return (struct slice){ text, strlen(text) };
}

static void
test_status(void **state)
{
	static const struct {
		const char *line;
		enum pop3_status status;
		const char *text;
	} rows[] = {
		{ "+OK", POP3_STATUS_OK, "" },
		{ "+OK ", POP3_STATUS_OK, "" },
		{ "+OK 2 320", POP3_STATUS_OK, "2 320" },
		{ "+OK  two", POP3_STATUS_OK, " two" },
		{ "-ERR", POP3_STATUS_ERR, "" },
		{ "-ERR [IN-USE] x", POP3_STATUS_ERR, "[IN-USE] x" },
		{ "+", POP3_STATUS_CHALLENGE, "" },
		{ "+ ", POP3_STATUS_CHALLENGE, "" },
		{ "+ VXNl", POP3_STATUS_CHALLENGE, "VXNl" },
		{ "", POP3_STATUS_NONE, NULL },
		{ " +OK", POP3_STATUS_NONE, NULL },
		{ "+OKAY", POP3_STATUS_NONE, NULL },
		{ "+ok", POP3_STATUS_NONE, NULL },
		{ "+O", POP3_STATUS_NONE, NULL },
		{ "-", POP3_STATUS_NONE, NULL },
		{ "-ERROR", POP3_STATUS_NONE, NULL },
		{ "+OK\t", POP3_STATUS_NONE, NULL },
		{ "OK", POP3_STATUS_NONE, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct slice text;

		assert_int_equal(pop3_status_parse(slice_of(rows[i].line), &text), rows[i].status);
		if (rows[i].text == NULL)
			continue;
		assert_int_equal(text.len, strlen(rows[i].text));
		assert_memory_equal(text.at, rows[i].text, text.len);
	}
}

static void
test_code(void **state)
{
	static const struct { const char *text; enum pop3_code code; } rows[] = {
		{ "[IN-USE] x", POP3_CODE_TEMPORARY }, { "[IN-USE]", POP3_CODE_TEMPORARY },
		{ "[in-use]", POP3_CODE_TEMPORARY }, { "[LOGIN-DELAY] x", POP3_CODE_TEMPORARY },
		{ "[LOGIN-DELAY/900]", POP3_CODE_TEMPORARY },
		{ "[SYS/TEMP] x", POP3_CODE_TEMPORARY },
		{ "[SYS/TEMP/A/B]", POP3_CODE_TEMPORARY }, { "[SYS/PERM]", POP3_CODE_PERMANENT },
		{ "", POP3_CODE_NONE }, { "[", POP3_CODE_NONE }, { "]", POP3_CODE_NONE },
		{ "[]", POP3_CODE_NONE }, { "[SYS]", POP3_CODE_NONE },
		{ "[SYS/TEMPO]", POP3_CODE_NONE }, { "[IN-USE", POP3_CODE_NONE },
		{ "IN-USE]", POP3_CODE_NONE }, { " [IN-USE]", POP3_CODE_NONE },
		{ "[AUTH]", POP3_CODE_NONE }, { "[ IN-USE]", POP3_CODE_NONE },
		{ "[IN-USEX]", POP3_CODE_NONE }, { "[/IN-USE]", POP3_CODE_NONE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(pop3_code_parse(slice_of(rows[i].text)), rows[i].code);
	assert_int_equal(pop3_code_parse((struct slice){ NULL, 0 }), POP3_CODE_NONE);
}

/* RULES K2. */
static void
test_pair(void **state)
{
	static const struct { const char *text; bool good; uint64_t first, second; } rows[] = {
		{ "1 2", true, 1, 2 }, { "0 0", true, 0, 0 }, { "007 010", true, 7, 10 },
		{ "1 2 3", true, 1, 2 }, { "1 2 ", true, 1, 2 },
		{ "1 18446744073709551615", true, 1, UINT64_MAX },
		{ "1 18446744073709551616", false, 0, 0 }, { "", false, 0, 0 },
		{ "1", false, 0, 0 }, { "1 ", false, 0, 0 }, { " 1 2", false, 0, 0 },
		{ "1  2", false, 0, 0 }, { "-1 2", false, 0, 0 }, { "1 -2", false, 0, 0 },
		{ "+1 2", false, 0, 0 }, { "1\t2", false, 0, 0 }, { "1 2\t", false, 0, 0 },
		{ "1 2x", false, 0, 0 }, { "0x1 2", false, 0, 0 },
		{ "1 000000000000000000001", false, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t first = 0, second = 0;

		assert_int_equal(pop3_pair_parse(slice_of(rows[i].text), &first, &second),
		    rows[i].good);
		assert_true(!rows[i].good || (first == rows[i].first && second == rows[i].second));
	}
}

/* RULES K1: every octet in a unique-id, and every length around its limit. */
static void
test_uidl(void **state)
{
	char line[200], uidl[POP3_UIDL_MAX + 1];
	uint64_t number = 0;

	(void)state;
	for (int octet = 0; octet < 256; octet++) {
		const char in[] = { '7', ' ', 'a', (char)octet, 'b' };
		const struct slice whole = { in, sizeof(in) };
		bool good = octet > 0x20 && octet < 0x7f;

		assert_int_equal(pop3_uidl_parse(whole, &number, uidl),
		    good ? POP3_UIDL_GOOD : POP3_UIDL_BAD);
		assert_int_equal(number, 7);
		assert_int_equal(strlen(uidl), good ? 3 : 0);
	}
	memset(line, 'a', sizeof(line));
	memcpy(line, "7 ", 2);
	for (size_t len = 0; len <= sizeof(line) - 2; len++) {
		const struct slice whole = { line, len + 2 };
		bool good = len >= 1 && len <= 70;

		assert_int_equal(pop3_uidl_parse(whole, &number, uidl),
		    good ? POP3_UIDL_GOOD : POP3_UIDL_BAD);
		assert_int_equal(strlen(uidl), good ? len : 0);
	}
	assert_int_equal(pop3_uidl_parse(slice_of("7 ab  "), &number, uidl), POP3_UIDL_GOOD);
	assert_string_equal(uidl, "ab");
	assert_int_equal(pop3_uidl_parse(slice_of("7"), &number, uidl), POP3_UIDL_BAD);
	assert_int_equal(pop3_uidl_parse(slice_of("7   "), &number, uidl), POP3_UIDL_BAD);
	assert_int_equal(pop3_uidl_parse(slice_of(""), &number, uidl), POP3_UIDL_SYNTAX);
	assert_int_equal(pop3_uidl_parse(slice_of("x a"), &number, uidl), POP3_UIDL_SYNTAX);
	assert_int_equal(pop3_uidl_parse(slice_of(" 1 a"), &number, uidl), POP3_UIDL_SYNTAX);
}

static void
test_capabilities(void **state)
{
	struct pop3_capabilities offers = { .known = true };

	(void)state;
	pop3_capability_add(&offers, slice_of(""));
	pop3_capability_add(&offers, slice_of("SASL"));
	pop3_capability_add(&offers, slice_of("SASL XPLAIN PLAINX"));
	pop3_capability_add(&offers, slice_of("STLSX"));
	pop3_capability_add(&offers, slice_of(" TOP"));
	assert_false(offers.stls || offers.user || offers.sasl_plain || offers.pipelining ||
	    offers.top || offers.uidl);
	pop3_capability_add(&offers, slice_of("SASL CRAM-MD5 Plain LOGIN"));
	pop3_capability_add(&offers, slice_of("stls"));
	pop3_capability_add(&offers, slice_of("TOP with words"));
	assert_true(offers.sasl_plain && offers.stls && offers.top);
	assert_false(offers.user || offers.pipelining || offers.uidl);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_uidl),
		cmocka_unit_test(test_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
