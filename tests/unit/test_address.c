/* test_address.c - paths good, bad and hostile, as tables. */
#include "mail/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Octets behind the slice must not be looked at: the copy has none. */
static enum address_fault
parse_path(struct address *out, const char *text, size_t len, size_t *used)
{
	char *copy = malloc(len > 0 ? len : 1);
	enum address_fault fault;

	assert_non_null(copy);
	memcpy(copy, text, len);
	fault = address_parse_path(out, copy, len, false, used);
	free(copy);
	return fault;
}

static void
test_good_paths(void **state)
{
	static const struct {
		const char *text, *local, *domain;
		size_t used;		/* 0: all */
	} rows[] = {
		{ "<>", "", "", 0 },
		{ "<ann@example.org>", "ann", "example.org", 0 },
		{ "<Ann.B@Example.ORG>", "Ann.B", "example.org", 0 },
		{ "<a@b> SIZE=1", "a", "b", 5 },
		{ "<@a,@b:c@d>", "c", "d", 0 },
		{ "<@[192.0.2.1]:c@d>", "c", "d", 0 },
		{ "<postmaster>", "postmaster", "", 0 },
		{ "<PostMaster>", "PostMaster", "", 0 },
		{ "<\"a b\"@example.org>", "\"a b\"", "example.org", 0 },
		{ "<\"a\\\"b\\\\\"@example.org>", "\"a\\\"b\\\\\"", "example.org", 0 },
		{ "<\"a@b>c\"@d>", "\"a@b>c\"", "d", 0 },
		{ "<a@[192.0.2.1]>", "a", "[192.0.2.1]", 0 },
		{ "<a@[ipv6:2001:DB8::1]>", "a", "[IPv6:2001:db8::1]", 0 },
		{ "<a@web_1>", "a", "web_1", 0 },
		{ "<a@xn--bcher-kva.example>", "a", "xn--bcher-kva.example", 0 },
		{ "<`id`@x>", "`id`", "x", 0 },
		{ "<-oQ/tmp@x>", "-oQ/tmp", "x", 0 },
		{ "<a+b=c@d> AUTH==", "a+b=c", "d", 9 },
		{ "<\"x'/**/UNION/**/SELECT/**/X'00'--\"@a.example>",
		    "\"x'/**/UNION/**/SELECT/**/X'00'--\"", "a.example", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address;
		size_t used = 0, len = strlen(rows[i].text);

		assert_int_equal(parse_path(&address, rows[i].text, len, &used), ADDRESS_OK);
		assert_string_equal(address.local, rows[i].local);
		assert_string_equal(address.domain, rows[i].domain);
		assert_int_equal(used, rows[i].used > 0 ? rows[i].used : len);
	}
}

static void
test_bad_paths(void **state)
{
	static const struct {
		const char *text;
		enum address_fault fault;
	} rows[] = {
		{ "", ADDRESS_SYNTAX },
		{ "<", ADDRESS_SYNTAX },
		{ "a@b", ADDRESS_SYNTAX },
		{ "<a@b", ADDRESS_SYNTAX },
		{ "<a@>", ADDRESS_SYNTAX },
		{ "<@b>", ADDRESS_SYNTAX },
		{ "<@>", ADDRESS_SYNTAX },
		{ "<ann>", ADDRESS_SYNTAX },
		{ "<a@b@c>", ADDRESS_SYNTAX },
		{ "<<a@b>>", ADDRESS_SYNTAX },
		{ "< a@b>", ADDRESS_SYNTAX },
		{ "<a@b >", ADDRESS_SYNTAX },
		{ "<a b@c>", ADDRESS_SYNTAX },
		{ "<.a@b>", ADDRESS_SYNTAX },
		{ "<a.@b>", ADDRESS_SYNTAX },
		{ "<a..b@c>", ADDRESS_SYNTAX },
		{ "<a@b.>", ADDRESS_SYNTAX },
		{ "<a@.b>", ADDRESS_SYNTAX },
		{ "<a@b..c>", ADDRESS_SYNTAX },
		{ "<a@-b>", ADDRESS_SYNTAX },
		{ "<a@b->", ADDRESS_SYNTAX },
		{ "<a@b/c>", ADDRESS_SYNTAX },
		{ "<a@b\\>", ADDRESS_SYNTAX },
		{ "<a\\@b>", ADDRESS_SYNTAX },
		{ "<\"\">@x", ADDRESS_SYNTAX },
		{ "<\"\"@x>", ADDRESS_SYNTAX },
		{ "<\"a@x>", ADDRESS_SYNTAX },
		{ "<\"a\\", ADDRESS_SYNTAX },
		{ "<\"a\"b@x>", ADDRESS_SYNTAX },
		{ "<\"a\"\"b\"@x>", ADDRESS_SYNTAX },
		{ "<\"a\tb\"@x>", ADDRESS_SYNTAX },
		{ "<\"a\\\x01\"@x>", ADDRESS_SYNTAX },
		{ "<a\x7f@x>", ADDRESS_SYNTAX },
		{ "<a@[192.0.2.256]>", ADDRESS_SYNTAX },
		{ "<a@[192.0.2.1>", ADDRESS_SYNTAX },
		{ "<a@[192.0.2.1]x>", ADDRESS_SYNTAX },
		{ "<a@[]>", ADDRESS_SYNTAX },
		{ "<a@[2001:db8::1]>", ADDRESS_SYNTAX },
		{ "<a@[IPv6:]>", ADDRESS_SYNTAX },
		{ "<a@[IPv6:::ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]>", ADDRESS_SYNTAX },
		{ "<a@[x400:c=de]>", ADDRESS_SYNTAX },
		{ "<@a,b:c@d>", ADDRESS_SYNTAX },
		{ "<@a,@b c@d>", ADDRESS_SYNTAX },
		{ "<@a,@b:>", ADDRESS_SYNTAX },
		{ "<;sleep 66;>", ADDRESS_SYNTAX },
		{ "<$(id)@x>", ADDRESS_SYNTAX },
		{ "<|id>", ADDRESS_SYNTAX },
		{ "</etc/passwd>", ADDRESS_SYNTAX },
		{ "<a@b\r\nRCPT TO:<c@d>", ADDRESS_SYNTAX },
		{ "<\xc3\xa9@x>", ADDRESS_NOT_ASCII },
		{ "<a@b\xc3\xbc" "cher.example>", ADDRESS_NOT_ASCII },
		{ "<\"\xc3\xa9\"@x>", ADDRESS_NOT_ASCII },
		{ "\xef\xbb\xbf<a@b>", ADDRESS_NOT_ASCII },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address = { .local = "untouched" };
		size_t used = 77;

		assert_int_equal(
		    parse_path(&address, rows[i].text, strlen(rows[i].text), &used), rows[i].fault);
		assert_string_equal(address.local, "untouched");
		assert_int_equal(used, 77);
	}
}

static void
test_nul_ends_nothing(void **state)
{
	static const char inside[] = "<a\0b@x>", quoted[] = "<\"a\0\"@x>";
	static const char literal[] = "<a@[192.0.2.1\0]>";
	struct address address;
	size_t used;

	(void)state;
	assert_int_equal(parse_path(&address, inside, sizeof(inside) - 1, &used), ADDRESS_SYNTAX);
	assert_int_equal(parse_path(&address, quoted, sizeof(quoted) - 1, &used), ADDRESS_SYNTAX);
	assert_int_equal(parse_path(&address, literal, sizeof(literal) - 1, &used), ADDRESS_SYNTAX);
}

static enum address_fault
parse_sized(size_t local_len, size_t domain_len)
{
	char text[4096];
	struct address address;
	size_t at = 0, used;

	text[at++] = '<';
	memset(text + at, 'l', local_len);
	at += local_len;
	text[at++] = '@';
	for (size_t i = 1; i <= domain_len; i++)
		text[at++] = i % 64 == 0 && i < domain_len ? '.' : 'd';
	text[at++] = '>';
	return parse_path(&address, text, at, &used);
}

static void
test_lengths(void **state)
{
	(void)state;
	assert_int_equal(parse_sized(64, 10), ADDRESS_OK);
	assert_int_equal(parse_sized(65, 10), ADDRESS_TOO_LONG);
	assert_int_equal(parse_sized(64, 255), ADDRESS_OK);
	assert_int_equal(parse_sized(1, 256), ADDRESS_TOO_LONG);
	assert_int_equal(parse_sized(2000, 10), ADDRESS_TOO_LONG);
	assert_int_equal(parse_sized(1, 2000), ADDRESS_TOO_LONG);
}

static void
test_label_length(void **state)
{
	char text[80] = "<a@";
	struct address address;
	size_t used;

	(void)state;
	memset(text + 3, 'b', 64);
	text[66] = '>';
	assert_int_equal(parse_path(&address, text, 67, &used), ADDRESS_OK);
	text[66] = 'b';
	text[67] = '>';
	assert_int_equal(parse_path(&address, text, 68, &used), ADDRESS_TOO_LONG);
}

static void
test_without_brackets(void **state)
{
	struct address address;

	(void)state;
	assert_int_equal(address_parse(&address, "Ann@Example.org", 15), ADDRESS_OK);
	assert_string_equal(address.domain, "example.org");
	assert_int_equal(address_parse(&address, "", 0), ADDRESS_OK);
	assert_true(address_is_null(&address));
	assert_int_equal(address_parse(&address, "ann@example.org ", 16), ADDRESS_SYNTAX);
	assert_int_equal(address_parse(&address, "@a:b@c", 6), ADDRESS_SYNTAX);
	assert_int_equal(address_parse(&address, "<a@b>", 5), ADDRESS_SYNTAX);
}

static void
test_text_and_equality(void **state)
{
	struct address a, b;
	char text[ADDRESS_TEXT_MAX + 1];

	(void)state;
	assert_int_equal(address_parse(&a, "ann@Example.org", 15), ADDRESS_OK);
	assert_int_equal(address_parse(&b, "ann@example.ORG", 15), ADDRESS_OK);
	assert_true(address_equal(&a, &b));
	assert_string_equal(address_text(&a, text), "ann@example.org");
	assert_int_equal(address_parse(&b, "Ann@example.org", 15), ADDRESS_OK);
	assert_false(address_equal(&a, &b));
	assert_false(address_is_null(&a));
	assert_int_equal(address_parse(&a, "postmaster", 10), ADDRESS_OK);
	assert_string_equal(address_text(&a, text), "postmaster");
	assert_false(address_is_null(&a));
	assert_int_equal(address_parse(&a, "", 0), ADDRESS_OK);
	assert_string_equal(address_text(&a, text), "");
}

static enum address_fault
parse_utf8(struct address *out, const char *text, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	enum address_fault fault;
	size_t used;

	assert_non_null(copy);
	memcpy(copy, text, len);
	fault = address_parse_path(out, copy, len, true, &used);
	assert_true(fault != ADDRESS_OK || used == len);
	assert_int_not_equal(fault, ADDRESS_NOT_ASCII);
	free(copy);
	return fault;
}

/* RFC 6531 3.3. */
static void
test_utf8_paths(void **state)
{
	static const struct {
		const char *path, *local, *domain;	/* local NULL: a fault of syntax */
	} rows[] = {
		{ "<ann@example.org>", "ann", "example.org" },
		{ "<\xc3\xa9@x>", "\xc3\xa9", "x" },
		{ "<\xe5\x8f\x91\xe4\xbb\xb6.a@B\xc3\xbc" "cher.Example>",
		    "\xe5\x8f\x91\xe4\xbb\xb6.a", "b\xc3\xbc" "cher.example" },
		{ "<\"\xc3\xa9 \\\xc3\xa9\"@x>", "\"\xc3\xa9 \\\xc3\xa9\"", "x" },
		{ "<\xf0\x9f\x98\x80@\xe4\xbe\x8b\xe5\xad\x90>", "\xf0\x9f\x98\x80",
		    "\xe4\xbe\x8b\xe5\xad\x90" },
		{ "<@\xc3\xbc.example:a@b>", "a", "b" },
		{ "<a\xe2\x80\x8d" "b@x>", "a\xe2\x80\x8d" "b", "x" },	/* a joiner is spelling */
		{ "<\xc3@x>", NULL, NULL }, { "<\xc3", NULL, NULL }, { "<\xa9@x>", NULL, NULL },
		{ "<\xc0\xaf@x>", NULL, NULL }, { "<\xe0\x80\xaf@x>", NULL, NULL },
		{ "<\xed\xa0\x80@x>", NULL, NULL }, { "<\xf4\x90\x80\x80@x>", NULL, NULL },
		{ "<\xf8\x88\x80\x80\x80@x>", NULL, NULL }, { "<\xff@x>", NULL, NULL },
		{ "<\xc2\x80@x>", NULL, NULL }, { "<\xc2\x9f@x>", NULL, NULL },
		{ "<a@\xc2\x85>", NULL, NULL }, { "<\"\xc2\x85\"@x>", NULL, NULL },
		{ "<\xe2\x80\xa8@x>", NULL, NULL }, { "<\xe2\x80\xa9@x>", NULL, NULL },
		{ "<\xe2\x80\xae@x>", NULL, NULL }, { "<\xe2\x81\xa6@x>", NULL, NULL },
		{ "<\xef\xbb\xbf" "a@x>", NULL, NULL }, { "\xef\xbb\xbf<a@x>", NULL, NULL },
		{ "<a@-\xc3\xbc>", NULL, NULL }, { "<a@\xc3\xbc->", NULL, NULL },
		{ "<\xc3\xa9>", NULL, NULL }, { "<a@[\xc3\xa9]>", NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct address address = { .local = "untouched" };
		enum address_fault fault = parse_utf8(&address, rows[i].path,
		    strlen(rows[i].path));

		if (fault != (rows[i].local != NULL ? ADDRESS_OK : ADDRESS_SYNTAX))
			fail_msg("row %zu: %d", i, (int)fault);
		assert_string_equal(address.local, rows[i].local != NULL ? rows[i].local :
		    "untouched");
		if (rows[i].local != NULL)
			assert_string_equal(address.domain, rows[i].domain);
	}
}

/* RFC 5890: what goes into the DNS, and to hops without SMTPUTF8. */
static void
test_domain_ascii(void **state)
{
	static const struct {
		const char *address, *domain;	/* NULL: no name of the DNS can be meant */
		bool is_ascii, needs_utf8;
	} rows[] = {
		{ "ann@example.org", "example.org", true, false },
		{ "ann@[192.0.2.1]", "[192.0.2.1]", true, false },
		{ "ann@xn--bcher-kva.example", "xn--bcher-kva.example", true, false },
		{ "ann@a_b.example", "a_b.example", true, false },
		{ "ann@b\xc3\xbc" "cher.example", "xn--bcher-kva.example", false, false },
		{ "ann@B\xc3\x9c" "CHER.Example", "xn--bcher-kva.example", false, false },
		{ "ann@bu\xcc\x88" "cher.example", "xn--bcher-kva.example", false, false },
		{ "ann@\xe4\xbe\x8b\xe5\xad\x90.example", "xn--fsqu00a.example", false, false },
		{ "\xc3\xa9@example.org", "example.org", false, true },
		{ "\xc3\xa9@b\xc3\xbc" "cher.example", "xn--bcher-kva.example", false, true },
		{ "ann@\xe2\x99\xa5.example", NULL, false, true },
		{ "ann@\xf0\x9f\x98\x80", NULL, false, true },
		/* What compatibility makes of these is no letter: > / [ ] blank. */
		{ "ann@a\xef\xbc\x9e" "b", NULL, false, true },
		{ "ann@a\xef\xbc\x8f" "b", NULL, false, true },
		{ "ann@\xe2\x84\x80.example", NULL, false, true },
		{ "ann@\xef\xbc\xbb" "192.0.2.1\xef\xbc\xbd", NULL, false, true },
		{ "ann@a\xe3\x80\x80" "b", NULL, false, true },
		{ "ann@a\xc2\xa0" "b", NULL, false, true },
		{ "ann@\xef\xbd\x81\xef\xbc\x8e" "b", "a.b", false, false },
	};
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct address address;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(address_parse(&address, rows[i].address,
		    strlen(rows[i].address)), ADDRESS_OK);
		if (address_domain_ascii(&address, domain) != (rows[i].domain != NULL))
			fail_msg("row %zu", i);
		if (rows[i].domain != NULL)
			assert_string_equal(domain, rows[i].domain);
		assert_int_equal(address_is_ascii(&address), rows[i].is_ascii);
		assert_int_equal(address_needs_utf8(&address), rows[i].needs_utf8);
	}
	/* A label that is too long once it is one of ASCII. */
	memset(address.domain, 0, sizeof(address.domain));
	for (size_t i = 0; i < 200; i += 4)
		memcpy(address.domain + i, "\xf0\xa0\x80\x80", 4);
	memcpy(address.domain + 100, "\xe4\xbe\x8b", 3);
	assert_false(address_domain_ascii(&address, domain));
}

/* Whatever comes out reads back as itself and has no octet that could end a line. */
static void
test_random_paths(void **state)
{
	static const char alphabet[] = "<>@.,:\"\\[]a0-_ \r\n\t\x80\xff;I";
	unsigned long long seed = 20241123;
	size_t good = 0;

	(void)state;
	print_message("seed %llu\n", seed);
	for (size_t round = 0; round < 400000; round++) {
		char text[16], again[ADDRESS_TEXT_MAX + 1];
		struct address a, b;
		size_t used, len;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		len = (seed >> 33) % sizeof(text);
		for (size_t i = 0; i < len; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			text[i] = alphabet[(seed >> 33) % (sizeof(alphabet) - 1)];
		}
		if (len > 4)
			text[0] = '<';
		if (parse_path(&a, text, len, &used) != ADDRESS_OK)
			continue;
		good++;
		address_text(&a, again);
		for (const char *at = again; *at != '\0'; at++)
			assert_true(*at >= 0x20 && *at < 0x7f);
		assert_int_equal(parse_utf8(&b, text, used), ADDRESS_OK);
		assert_true(address_equal(&a, &b));
		assert_int_equal(address_parse(&b, again, strlen(again)), ADDRESS_OK);
		assert_true(address_equal(&a, &b));
	}
	assert_true(good > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good_paths),
		cmocka_unit_test(test_bad_paths),
		cmocka_unit_test(test_nul_ends_nothing),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_label_length),
		cmocka_unit_test(test_without_brackets),
		cmocka_unit_test(test_text_and_equality),
		cmocka_unit_test(test_utf8_paths),
		cmocka_unit_test(test_domain_ascii),
		cmocka_unit_test(test_random_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
