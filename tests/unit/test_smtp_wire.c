/* test_smtp_wire.c - command lines taken apart, whole, cut and hostile. */
#include "proto/smtp_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct slice
slice(const char *text)
{
	return (struct slice){ text, strlen(text) };
}

static void
assert_slice(struct slice got, const char *expected)
{
	assert_int_equal(got.len, strlen(expected));
	if (got.len > 0)
		assert_memory_equal(got.at, expected, got.len);
}

static void
test_line_ends(void **state)
{
	static const struct {
		const char *octets;
		enum smtp_line kind;
		size_t used;
	} rows[] = {
		{ "", SMTP_LINE_PARTIAL, 0 },
		{ "NOOP", SMTP_LINE_PARTIAL, 4 },
		{ "NOOP\r", SMTP_LINE_PARTIAL, 4 },
		{ "\r", SMTP_LINE_PARTIAL, 0 },
		{ "NOOP\r\n", SMTP_LINE_WHOLE, 6 },
		{ "\r\n", SMTP_LINE_WHOLE, 2 },
		{ "NOOP\r\nQUIT\r\n", SMTP_LINE_WHOLE, 6 },
		{ "\n", SMTP_LINE_BARE, 1 },
		{ "NOOP\nQUIT\r\n", SMTP_LINE_BARE, 5 },
		{ "NO\rOP\r\n", SMTP_LINE_WHOLE, 7 },
		{ "NOOP\r\r\n", SMTP_LINE_WHOLE, 7 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t used = 99;

		assert_int_equal(smtp_line_find(rows[i].octets, strlen(rows[i].octets), &used),
		    rows[i].kind);
		assert_int_equal(used, rows[i].used);
	}
}

static void
test_split(void **state)
{
	static const struct {
		const char *line, *verb, *argument;
	} rows[] = {
		{ "", "", "" },
		{ "NOOP", "NOOP", "" },
		{ "NOOP ", "NOOP", "" },
		{ "NOOP  a b \t", "NOOP", "a b" },
		{ "\tNOOP", "", "NOOP" },
		{ "MAIL FROM:<a@b>", "MAIL", "FROM:<a@b>" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct slice verb, argument;

		smtp_command_split(slice(rows[i].line), &verb, &argument);
		assert_slice(verb, rows[i].verb);
		assert_slice(argument, rows[i].argument);
	}
	assert_true(slice_is(slice("NoOp"), "NOOP"));
	assert_false(slice_is(slice("NOO"), "NOOP"));
	assert_false(slice_is(slice("NOOPS"), "NOOP"));
}

static void
test_clean(void **state)
{
	(void)state;
	assert_true(smtp_line_clean(slice("NOOP\tx \xc3\xa9")));
	assert_true(smtp_line_clean(slice("")));
	assert_false(smtp_line_clean(slice("NO\rOP")));
	assert_false(smtp_line_clean(slice("NO\x7fOP")));
	assert_false(smtp_line_clean(slice("\x1b[2J")));
	assert_false(smtp_line_clean((struct slice){ "a\0b", 3 }));
}

static void
test_paths(void **state)
{
	static const struct {
		const char *argument;
		enum smtp_path_fault fault;
		const char *rest;
		bool bare_names;
	} rows[] = {
		{ "FROM:<a@b>", SMTP_PATH_OK, "", false },
		{ "from: \t<a@b>  SIZE=1 X", SMTP_PATH_OK, "SIZE=1 X", false },
		{ "FROM:<>", SMTP_PATH_OK, "", false },
		{ "", SMTP_PATH_SYNTAX, NULL, false },
		{ "FROM", SMTP_PATH_SYNTAX, NULL, false },
		{ "FROM :<a@b>", SMTP_PATH_SYNTAX, NULL, false },
		{ "FROM:", SMTP_PATH_SYNTAX, NULL, false },
		{ "TO:<a@b>", SMTP_PATH_SYNTAX, NULL, false },
		{ "FROM:<a@b>SIZE=1", SMTP_PATH_SYNTAX, NULL, false },
		{ "FROM:a@b", SMTP_PATH_ADDRESS, NULL, false },
		{ "FROM:<a@b", SMTP_PATH_ADDRESS, NULL, false },
		{ "FROM:<\xc3\xa9@b\xc3\xbc> A", SMTP_PATH_OK, "A", false },
		{ "FROM:<\xc3@b>", SMTP_PATH_ADDRESS, NULL, false },
		{ "FROM:<a@\xe2\x99\xa5>", SMTP_PATH_ADDRESS, NULL, false },
		{ "FROM:<root>", SMTP_PATH_ADDRESS, NULL, false },
		{ "FROM:<postmaster>", SMTP_PATH_OK, "", false },
		{ "FROM:<root> SIZE=1", SMTP_PATH_OK, "SIZE=1", true },
		{ "FROM:<root+cron>", SMTP_PATH_OK, "", true },
		{ "FROM:<\"a>\\\" b\"> X", SMTP_PATH_OK, "X", true },
		{ "FROM:<a@b>", SMTP_PATH_OK, "", true },
		{ "FROM:<>", SMTP_PATH_OK, "", true },
		{ "FROM:<a@>", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:<@b>", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:<a@b", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:<a", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:<\"a>", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:<\"\">", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:<\"a\\", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:<a b>", SMTP_PATH_ADDRESS, NULL, true },
		{ "FROM:root", SMTP_PATH_ADDRESS, NULL, true },
		/* 64 octets, and 65. */
		{ "FROM:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa>",
		    SMTP_PATH_OK, "", true },
		{ "FROM:<aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa>",
		    SMTP_PATH_ADDRESS, NULL, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address path;
		struct slice rest;

		assert_int_equal(smtp_path_parse(&path, slice(rows[i].argument), "FROM:",
		    rows[i].bare_names, &rest), rows[i].fault);
		if (rows[i].fault == SMTP_PATH_OK)
			assert_slice(rest, rows[i].rest);
	}
}

static void
test_parameters(void **state)
{
	struct slice rest = slice("SIZE=100  BODY=8BITMIME SMTPUTF8 x-y=!~ z=\xc3\xa9\xff");
	struct smtp_parameter parameter;
	static const struct {
		const char *keyword, *value;
	} rows[] = {
		{ "SIZE", "100" },
		{ "BODY", "8BITMIME" },
		{ "SMTPUTF8", NULL },
		{ "x-y", "!~" },
		{ "z", "\xc3\xa9\xff" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(smtp_parameter_next(&rest, &parameter), SMTP_NEXT_ONE);
		assert_slice(parameter.keyword, rows[i].keyword);
		assert_int_equal(parameter.has_value, rows[i].value != NULL);
		assert_slice(parameter.value, rows[i].value != NULL ? rows[i].value : "");
	}
	assert_int_equal(smtp_parameter_next(&rest, &parameter), SMTP_NEXT_NONE);
}

static void
test_bad_parameters(void **state)
{
	static const char *const rows[] = { "=", "=x", "-A=b", "A=", "A==", "A=b=c", "A,B",
		"A=b\x7f", "\xc3=b" };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct slice rest = slice(rows[i]);
		struct smtp_parameter parameter;

		assert_int_equal(smtp_parameter_next(&rest, &parameter), SMTP_NEXT_FAULT);
	}
}

static void
test_sizes(void **state)
{
	static const char *const bad[] = { "", "-1", "+1", "1e3", " 1", "1 ", "0x10",
		"18446744073709551616", "99999999999999999999", "000000000000000000000" };
	uint64_t size;

	(void)state;
	assert_true(smtp_size_parse(slice("0"), &size));
	assert_true(size == 0);
	assert_true(smtp_size_parse(slice("18446744073709551615"), &size));
	assert_true(size == UINT64_MAX);
	assert_true(smtp_size_parse(slice("00000000000000000042"), &size));
	assert_true(size == 42);
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(smtp_size_parse(slice(bad[i]), &size));
}

/* Fifty thousand parameters are read one by one, without a stack or a table of them. */
static void
test_many_parameters(void **state)
{
	size_t count = 0, len = 50000 * 4;
	char *text = malloc(len);
	struct smtp_parameter parameter;
	struct slice rest = { text, len };

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < len; i += 4)
		memcpy(text + i, "A=b ", 4);
	while (smtp_parameter_next(&rest, &parameter) == SMTP_NEXT_ONE)
		count++;
	assert_int_equal(count, 50000);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_clean),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_parameters),
		cmocka_unit_test(test_bad_parameters),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_many_parameters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
