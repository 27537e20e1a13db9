/* test_proxy_header.c - PROXY headers of both versions, whole, cut anywhere, and broken. */
#include "proto/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SIGNATURE	"\r\n\r\n\0\r\nQUIT\n"
#define OCTETS(text)	text, sizeof(text) - 1
#define COUNT(rows)	(sizeof(rows) / sizeof(rows[0]))

#define ADDRESSES_4	"\xc0\x00\x02\x01\xc0\x00\x02\x02\xdc\x04\x00\x19"
#define ADDRESS_6	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
#define MAPPED		"\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"
#define TLV		"\x01\x00\x04smtp"

struct row {
	const char *octets;
	size_t len;
	enum proxy_result result;
	const char *address;
	uint16_t port;
};

static const struct row rows[] = {
	{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 56324 25\r\n"), PROXY_FOUND, "192.0.2.1", 56324 },
	{ OCTETS("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), PROXY_FOUND,
	    "255.255.255.255", 65535 },
	{ OCTETS("PROXY TCP6 2001:db8::1 2001:db8::2 0 25\r\n"), PROXY_FOUND, "2001:db8::1", 0 },
	{ OCTETS("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), PROXY_FOUND,
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535 },
	{ OCTETS("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 25\r\n"), PROXY_FOUND,
	    "192.0.2.1", 1 },
	{ OCTETS("PROXY UNKNOWN\r\n"), PROXY_UNNAMED, NULL, 0 },
	{ OCTETS("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"), PROXY_UNNAMED, NULL, 0 },
	{ OCTETS(SIGNATURE "\x20\x00\x00\x00"), PROXY_LOCAL, NULL, 0 },
	{ OCTETS(SIGNATURE "\x20\x11\x00\x0c" ADDRESSES_4), PROXY_LOCAL, NULL, 0 },
	{ OCTETS(SIGNATURE "\x20\x00\x00\x07" TLV), PROXY_LOCAL, NULL, 0 },
	{ OCTETS(SIGNATURE "\x21\x00\x00\x00"), PROXY_UNNAMED, NULL, 0 },
	{ OCTETS(SIGNATURE "\x21\x31\x00\x07" TLV), PROXY_UNNAMED, NULL, 0 },
	{ OCTETS(SIGNATURE "\x21\x11\x00\x0c" ADDRESSES_4), PROXY_FOUND, "192.0.2.1", 56324 },
	{ OCTETS(SIGNATURE "\x21\x11\x00\x13" ADDRESSES_4 TLV), PROXY_FOUND, "192.0.2.1", 56324 },
	{ OCTETS(SIGNATURE "\x21\x21\x00\x24" ADDRESS_6 ADDRESS_6 "\xff\xff\x00\x19"), PROXY_FOUND,
	    "2001:db8::1", 65535 },
	{ OCTETS(SIGNATURE "\x21\x21\x00\x2b" ADDRESS_6 ADDRESS_6 "\xff\xff\x00\x19" TLV),
	    PROXY_FOUND, "2001:db8::1", 65535 },
	{ OCTETS(SIGNATURE "\x21\x21\x00\x24" MAPPED MAPPED "\x00\x01\x00\x19"), PROXY_FOUND,
	    "192.0.2.1", 1 },
};

/* Every cut needs more, of every part the same comes; what follows is not looked at. */
static void
test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *row = &rows[i];
		struct proxy_header header;
		size_t used = 0;
		char *octets;

		for (size_t len = 0; len < row->len; len++) {
			/* Of its own size, so that no octet behind it can be read. */
			octets = malloc(len + 1);
			memcpy(octets, row->octets, len);
			octets = realloc(octets, len > 0 ? len : 1);
			assert_int_equal(proxy_header_parse(octets, len, &header, &used),
			    PROXY_NEEDS_MORE);
			free(octets);
		}
		for (size_t more = 0; more <= 2000; more += 1000) {
			octets = malloc(row->len + more);
			memcpy(octets, row->octets, row->len);
			memset(octets + row->len, '\n', more);
			assert_int_equal(proxy_header_parse(octets, row->len + more, &header,
			    &used), row->result);
			assert_int_equal(used, row->len);
			if (row->address != NULL) {
				assert_string_equal(header.address, row->address);
				assert_int_equal(header.port, row->port);
				assert_int_equal(header.is_ipv6, strchr(row->address, ':') != NULL);
			}
			free(octets);
		}
	}
}

static void
test_bad(void **state)
{
	static const struct {
		const char *octets;
		size_t len;
	} bad[] = {
		{ OCTETS("EHLO a\r\n") },
		{ OCTETS("proxy TCP4 192.0.2.1 192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY\r\n") },
		{ OCTETS("PROXY \r\n") },
		{ OCTETS("PROXY TCP4\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 \r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 1 25 7\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1  192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY  TCP4 192.0.2.1 192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY TCP4\t192.0.2.1 192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 +1 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 -1 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 1 4294967297\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.256 1 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.01 192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY TCP4 2001:db8::1 2001:db8::2 1 25\r\n") },
		{ OCTETS("PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY TCP6 2001:db8::1%eth0 2001:db8::2 1 25\r\n") },
		{ OCTETS("PROXY TCP6 2001:db8::g 2001:db8::2 1 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2\r1 25\r\n") },
		{ OCTETS("PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\r\n") },
		{ OCTETS("PROXY UDP4 192.0.2.1 192.0.2.2 1 25\r\n") },
		{ OCTETS("PROXY UNKNOWNX\r\n") },
		{ OCTETS("PROXY UNKNOWN \rx") },
		{ OCTETS("\r\n\r\n\0\r\nQUIT\r") },
		{ OCTETS(SIGNATURE "\x11\x11\x00\x0c" ADDRESSES_4) },
		{ OCTETS(SIGNATURE "\x22\x11\x00\x0c" ADDRESSES_4) },
		{ OCTETS(SIGNATURE "\x21\x12\x00\x0c" ADDRESSES_4) },
		{ OCTETS(SIGNATURE "\x21\x13\x00\x0c" ADDRESSES_4) },
		{ OCTETS(SIGNATURE "\x21\x41\x00\x0c" ADDRESSES_4) },
		{ OCTETS(SIGNATURE "\x21\x11\x00\x0b" ADDRESSES_4) },
		{ OCTETS(SIGNATURE "\x21\x11\x00\x00") },
		{ OCTETS(SIGNATURE "\x21\x21\x00\x0c" ADDRESSES_4) },
		{ OCTETS(SIGNATURE "\x21\x21\x00\x23" ADDRESS_6 ADDRESS_6 "\xff\xff\x00") },
		{ OCTETS(SIGNATURE "\x21\x11\x0f\xf1") },
		{ OCTETS(SIGNATURE "\x20\x00\xff\xff") },
	};
	struct proxy_header header;
	size_t used;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (proxy_header_parse(bad[i].octets, bad[i].len, &header, &used) != PROXY_BAD)
			fail_msg("row %zu", i);
	}
}

/* The first octet that cannot be one of a header is told at once: no client waits for a
 * server that waits for it. */
static void
test_first_wrong_octet(void **state)
{
	static const char *const begins[] = { "PROXY ", SIGNATURE };
	static const size_t lens[] = { 6, 12 };
	struct proxy_header header;
	char octets[16];
	size_t used;

	(void)state;
	for (size_t i = 0; i < COUNT(begins); i++)
		for (size_t at = 0; at < lens[i]; at++) {
			memcpy(octets, begins[i], lens[i]);
			octets[at] ^= 1;
			assert_int_equal(proxy_header_parse(octets, at, &header, &used),
			    PROXY_NEEDS_MORE);
			assert_int_equal(proxy_header_parse(octets, at + 1, &header, &used),
			    PROXY_BAD);
		}
}

/* 107 octets, 2.1: one more and its end is not waited for. */
static void
test_bounds(void **state)
{
	struct proxy_header header;
	char line[PROXY_HEADER_MAX + 1];
	size_t used;

	(void)state;
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	memcpy(line + 105, "\r\n", 2);
	assert_int_equal(proxy_header_parse(line, 106, &header, &used), PROXY_NEEDS_MORE);
	assert_int_equal(proxy_header_parse(line, 107, &header, &used), PROXY_UNNAMED);
	assert_int_equal(used, 107);
	memcpy(line + 105, "x\r\n", 3);
	assert_int_equal(proxy_header_parse(line, 106, &header, &used), PROXY_NEEDS_MORE);
	assert_int_equal(proxy_header_parse(line, 107, &header, &used), PROXY_BAD);
	assert_int_equal(proxy_header_parse(line, 108, &header, &used), PROXY_BAD);
	/* With as many TLVs as are taken. */
	memcpy(line, SIGNATURE "\x21\x11\x0f\xf0" ADDRESSES_4, 28);
	assert_int_equal(proxy_header_parse(line, PROXY_HEADER_MAX - 1, &header, &used),
	    PROXY_NEEDS_MORE);
	assert_int_equal(proxy_header_parse(line, PROXY_HEADER_MAX, &header, &used), PROXY_FOUND);
	assert_int_equal(used, PROXY_HEADER_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_first_wrong_octet),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
