/* test_status.c - replies as data: codes, texts, and what they mean. */
#include "mail/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void
test_enhanced_code(void **state)
{
	static const struct { const char *text; size_t used; unsigned parts[3]; } cases[] = {
		{ "2.0.0 Ok", 5, { 2, 0, 0 } }, { "5.7.1", 5, { 5, 7, 1 } },
		{ "4.123.999\tx", 9, { 4, 123, 999 } }, { "5.7", 0, { 0 } }, { "5.7.", 0, { 0 } },
		{ "5.7.2.3 x", 0, { 0 } }, { "5.7.1234", 0, { 0 } }, { "3.0.0", 0, { 0 } },
		{ "5..1", 0, { 0 } }, { "", 0, { 0 } }, { "5", 0, { 0 } }, { "5.1.1x", 0, { 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct enhanced_code code = { 0 };

		assert_int_equal(enhanced_code_parse(&code, cases[i].text, strlen(cases[i].text)),
		    cases[i].used);
		assert_int_equal(code.class, cases[i].parts[0]);
		assert_int_equal(code.subject, cases[i].parts[1]);
		assert_int_equal(code.detail, cases[i].parts[2]);
	}
}

static void
test_class(void **state)
{
	static const struct {
		uint16_t code;
		const char *enhanced;
		enum status_class class;
	} cases[] = {
		{ 250, "", STATUS_SUCCESS }, { 299, "5.0.0", STATUS_SUCCESS },
		{ 354, "", STATUS_TRANSIENT }, { 450, "", STATUS_TRANSIENT },
		{ 550, "4.0.0", STATUS_PERMANENT }, { 599, "", STATUS_PERMANENT },
		{ 199, "", STATUS_TRANSIENT }, { 600, "", STATUS_TRANSIENT },
		{ 0, "2.0.0", STATUS_SUCCESS }, { 0, "4.4.1", STATUS_TRANSIENT },
		{ 0, "5.3.4", STATUS_PERMANENT }, { 0, "", STATUS_TRANSIENT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct status status = status_reply(cases[i].code, cases[i].enhanced, "x");

		assert_int_equal(status_class(&status), cases[i].class);
	}
}

static void
check_parse(uint16_t code, const char *text, const char *dsn, const char *whole)
{
	struct status status = status_parse(code, text, strlen(text));
	char out[STATUS_TEXT_MAX + 32];

	assert_string_equal(status_dsn(&status, out), dsn);
	assert_string_equal(status_text(&status, out, sizeof(out)), whole);
}

static void
test_parse(void **state)
{
	(void)state;
	check_parse(250, "2.0.0 Ok: queued as 12", "2.0.0", "250 2.0.0 Ok: queued as 12");
	check_parse(250, "Ok", "2.0.0", "250 Ok");
	check_parse(550, "5.7.2", "5.7.2", "550 5.7.2");
	check_parse(550, "4.7.2 odd", "5.0.0", "550 4.7.2 odd");
	check_parse(354, "go", "4.0.0", "354 go");
	check_parse(250, "", "2.0.0", "250");
	check_parse(451, "4.7.1   later", "4.7.1", "451 4.7.1 later");
}

static void
test_text_is_printable(void **state)
{
	char octets[256 * 8], out[STATUS_TEXT_MAX + 32];
	struct status status;

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)i;
	status = status_parse(550, octets, sizeof(octets));
	status_text(&status, out, sizeof(out));
	for (const char *c = out; *c != '\0'; c++)
		assert_in_range(*c, 0x20, 0x7e);
	assert_non_null(strstr(status.text, "more)"));
	status = status_local("4.4.1", "no answer from %s", "a\r\nb\033");
	assert_string_equal(status.text, "no answer from a??b?");
	assert_string_equal(status_text(&status, out, sizeof(out)), status.text);
	status = status_reply(452, "4.3.1", "%0600d", 1);
	assert_int_equal(strlen(status.text), STATUS_TEXT_MAX - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_enhanced_code), cmocka_unit_test(test_class),
		cmocka_unit_test(test_parse), cmocka_unit_test(test_text_is_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
