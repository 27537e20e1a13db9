/* test_resolver_answer.c - DNS messages made by hand: whole, odd and broken. */
#include "net/resolver_answer.h"

#include <arpa/nameser.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Written from front to back; the name of the question stands at 12. */
struct packet { uint8_t octets[70000]; size_t len; };

#define QUESTION	"\300\014"		/* a pointer to it */

static void
put(struct packet *packet, const void *octets, size_t len)
{
	assert_true(packet->len + len <= sizeof(packet->octets));
	if (len > 0)
		memcpy(packet->octets + packet->len, octets, len);
	packet->len += len;
}

static void
put_number(struct packet *packet, unsigned number)
{
	put(packet, (const uint8_t[]){ (uint8_t)(number >> 8), (uint8_t)number }, 2);
}

/* "example.org" as labels; "" is the root. */
static void
put_name(struct packet *packet, const char *name)
{
	while (*name != '\0') {
		size_t len = strcspn(name, ".");

		put(packet, (const uint8_t[]){ (uint8_t)len }, 1);
		put(packet, name, len);
		name += len + (name[len] == '.');
	}
	put(packet, "", 1);
}

static void
put_record(struct packet *packet, const char *owner, unsigned type, const void *octets, size_t len)
{
	if (owner == NULL)
		put(packet, QUESTION, 2);
	else
		put_name(packet, owner);
	put_number(packet, type);
	put_number(packet, ns_c_in);
	put_number(packet, 0);
	put_number(packet, 60);
	put_number(packet, (unsigned)len);
	put(packet, octets, len);
	packet->octets[7]++;
	if (packet->octets[7] == 0)
		packet->octets[6]++;
}

static void
put_target(struct packet *packet, const char *owner, unsigned type, int preference,
    const char *target)
{
	struct packet *octets = calloc(1, sizeof(*octets));

	if (preference >= 0)
		put_number(octets, (unsigned)preference);
	put_name(octets, target);
	put_record(packet, owner, type, octets->octets, octets->len);
	free(octets);
}

static void
put_mx(struct packet *packet, int preference, const char *host)
{
	put_target(packet, NULL, ns_t_mx, preference, host);
}

static void
begin(struct packet *packet, const char *name, unsigned type, unsigned code)
{
	const uint8_t header[12] = { 0x12, 0x34, 0x81, (uint8_t)(0x80 | code), 0, 1 };

	packet->len = 0;
	put(packet, header, sizeof(header));
	put_name(packet, name);
	put_number(packet, type);
	put_number(packet, ns_c_in);
}

/* Both read from memory that ends where the packet does. */
static struct resolver_mx records[RESOLVER_MX_MAX];
static uint8_t addresses[RESOLVER_ADDRESSES_MAX][16];

static struct resolver_answer
read_mx(const struct packet *packet, uint64_t seed)
{
	uint8_t *octets = malloc(packet->len > 0 ? packet->len : 1);
	struct resolver_answer answer;

	memcpy(octets, packet->octets, packet->len);
	answer = resolver_answer_mx(octets, packet->len, seed, records);
	free(octets);
	return answer;
}

static struct resolver_answer
read_addresses(const struct packet *packet, unsigned type)
{
	uint8_t *octets = malloc(packet->len > 0 ? packet->len : 1);
	struct resolver_answer answer;

	memcpy(octets, packet->octets, packet->len);
	answer = resolver_answer_addresses(octets, packet->len, type, addresses);
	free(octets);
	return answer;
}

static int
set_up(void **state)
{
	*state = calloc(1, sizeof(struct packet));
	return 0;
}

static int
tear_down(void **state)
{
	free(*state);
	return 0;
}

static void
test_order(void **state)
{
	struct packet *packet = *state;
	struct resolver_answer answer;

	begin(packet, "example.org", ns_t_mx, 0);
	put_mx(packet, 65535, "last.example.org");
	put_mx(packet, 10, "First.Example.ORG");
	put_mx(packet, 256, "second.example.org");
	put_mx(packet, 10, "first.example.org");
	answer = read_mx(packet, 1);
	assert_int_equal(answer.outcome, RESOLVER_FOUND);
	assert_string_equal(answer.text, "");
	assert_int_equal(answer.count, 3);
	assert_string_equal(records[0].host, "first.example.org");
	assert_int_equal(records[0].preference, 10);
	assert_string_equal(records[1].host, "second.example.org");
	assert_string_equal(records[2].host, "last.example.org");
	assert_int_equal(records[2].preference, 65535);
}

/* One host at two preferences has the better one, wherever it stands. */
static void
test_each_host_once(void **state)
{
	struct packet *packet = *state;

	begin(packet, "example.org", ns_t_mx, 0);
	put_mx(packet, 30, "a.example.org");
	put_mx(packet, 20, "b.example.org");
	put_mx(packet, 10, "a.example.org");
	put_mx(packet, 40, "b.example.org");
	assert_int_equal(read_mx(packet, 1).count, 2);
	assert_string_equal(records[0].host, "a.example.org");
	assert_int_equal(records[0].preference, 10);
	assert_int_equal(records[1].preference, 20);
}

static void
test_equal_ones_are_shuffled(void **state)
{
	struct packet *packet = *state;
	unsigned first[3] = { 0 };
	char host[RESOLVER_HOST_MAX];

	begin(packet, "example.org", ns_t_mx, 0);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(host, sizeof(host), "mx%u.example.org", i);
		put_mx(packet, 10, host);
	}
	put_mx(packet, 5, "best.example.org");
	for (uint64_t seed = 0; seed < 3000; seed++) {
		assert_int_equal(read_mx(packet, seed).count, 4);
		assert_string_equal(records[0].host, "best.example.org");
		first[records[1].host[2] - '0']++;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_in_range(first[i], 850, 1150);
	read_mx(packet, 7);
	snprintf(host, sizeof(host), "%s", records[1].host);
	read_mx(packet, 7);
	assert_string_equal(records[1].host, host);
}

static void
test_thousand(void **state)
{
	struct packet *packet = *state;
	struct resolver_answer answer;
	char host[40];

	begin(packet, "example.org", ns_t_mx, 0);
	for (int i = 1000; i > 0; i--) {
		snprintf(host, sizeof(host), "mx%d.example.org", i);
		put_mx(packet, i, host);
	}
	answer = read_mx(packet, 1);
	assert_int_equal(answer.outcome, RESOLVER_FOUND);
	assert_int_equal(answer.count, RESOLVER_MX_MAX);
	for (unsigned i = 0; i < RESOLVER_MX_MAX; i++)
		assert_int_equal(records[i].preference, i + 1);
}

/* Of a thousand equal ones each has its chance. */
static void
test_thousand_equal(void **state)
{
	struct packet *packet = *state;
	unsigned late = 0;
	char host[40];

	begin(packet, "example.org", ns_t_mx, 0);
	for (int i = 0; i < 1000; i++) {
		snprintf(host, sizeof(host), "mx%d.example.org", i);
		put_mx(packet, 10, host);
	}
	for (uint64_t seed = 0; seed < 20; seed++) {
		assert_int_equal(read_mx(packet, seed).count, RESOLVER_MX_MAX);
		for (unsigned i = 0; i < RESOLVER_MX_MAX; i++)
			late += strtoul(records[i].host + 2, NULL, 10) >= 500;
	}
	assert_in_range(late, 150, 250);
}

static void
test_null_mx(void **state)
{
	struct packet *packet = *state;

	begin(packet, "example.org", ns_t_mx, 0);
	put_mx(packet, 0, "");
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_NULL_MX);
	assert_string_equal(read_mx(packet, 1).text, "the domain takes no mail");
	/* RFC 7505 3: a null MX stands alone; beside others it says nothing. */
	put_mx(packet, 10, "mx.example.org");
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FOUND);
	assert_int_equal(read_mx(packet, 1).count, 1);
}

static void
test_none(void **state)
{
	struct packet *packet = *state;

	begin(packet, "example.org", ns_t_mx, 0);
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_NO_ADDRESS);
	put_record(packet, NULL, ns_t_a, "\300\0\2\1", 4);
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_NO_ADDRESS);
	/* The record of another class, of another name. */
	put_mx(packet, 10, "a.b");
	packet->octets[packet->len - 5 - 2 - 7] = ns_c_chaos;
	put_target(packet, "other.example.org", ns_t_mx, 10, "mx.example.org");
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_NO_ADDRESS);
}

static void
test_codes(void **state)
{
	const struct { unsigned code; enum resolver_outcome outcome; } rows[] = {
		{ ns_r_noerror, RESOLVER_NO_ADDRESS }, { ns_r_formerr, RESOLVER_FAILED },
		{ ns_r_servfail, RESOLVER_FAILED }, { ns_r_nxdomain, RESOLVER_NO_SUCH_NAME },
		{ ns_r_notimpl, RESOLVER_FAILED }, { ns_r_refused, RESOLVER_FAILED },
		{ 15, RESOLVER_FAILED },
	};
	struct packet *packet = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(packet, "example.org", ns_t_mx, rows[i].code);
		assert_int_equal(read_mx(packet, 1).outcome, rows[i].outcome);
		begin(packet, "example.org", ns_t_aaaa, rows[i].code);
		assert_int_equal(read_addresses(packet, ns_t_aaaa).outcome, rows[i].outcome);
	}
}

/* No host has such a name: over MX alone it would be asked for, and taken for an address or
 * written into the log. */
static void
test_names_of_no_host(void **state)
{
	static const char *const names[] = { "192.0.2.1", "1", "mx.example.123", "a b.example",
		"m\tx.example.org", "m\xc3\xbcx.example.org", "mx;example", "%n.example.org",
		"[::1]", "2001:db8::1", "*.example.org", "mx.ex/ample" };
	struct packet *packet = *state;
	const uint8_t dot_in_label[] = { 0, 10, 3, 'a', '.', 'b', 0 };
	const uint8_t nul_in_label[] = { 0, 10, 3, 'a', 0, 'b', 0 };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		begin(packet, "example.org", ns_t_mx, 0);
		put_mx(packet, 10, names[i]);
		assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
		put_mx(packet, 20, "mx_1.example-2.org");
		assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FOUND);
		assert_int_equal(read_mx(packet, 1).count, 1);
		assert_string_equal(records[0].host, "mx_1.example-2.org");
	}
	begin(packet, "example.org", ns_t_mx, 0);
	put_record(packet, NULL, ns_t_mx, dot_in_label, sizeof(dot_in_label));
	put_record(packet, NULL, ns_t_mx, nul_in_label, sizeof(nul_in_label));
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
}

/* RULES N2: 0 to 4 octets, of which 3 are the least there can be: a preference and the root. */
static void
test_lengths_of_mx(void **state)
{
	struct packet *packet = *state;

	for (size_t len = 0; len <= 4; len++) {
		begin(packet, "example.org", ns_t_mx, 0);
		put_record(packet, NULL, ns_t_mx, "\0\0\0\0", len);
		assert_int_equal(read_mx(packet, 1).outcome,
		    len == 3 ? RESOLVER_NULL_MX : RESOLVER_FAILED);
		begin(packet, "example.org", ns_t_mx, 0);
		put_record(packet, NULL, ns_t_mx, "\0\012\1a", len);
		assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
	}
	/* A name that ends before, or after, its record does. */
	begin(packet, "example.org", ns_t_mx, 0);
	put_record(packet, NULL, ns_t_mx, "\0\012\1a\0x", 6);
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
	begin(packet, "example.org", ns_t_mx, 0);
	put_record(packet, NULL, ns_t_mx, "\0\012\1a", 4);
	put_record(packet, "", ns_t_mx, "\0\012\1a\0", 5);
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
}

static void
test_lengths_of_addresses(void **state)
{
	struct packet *packet = *state;
	const uint8_t octets[40] = { 192, 0, 2, 1 };

	for (size_t len = 0; len <= 40; len++) {
		begin(packet, "example.org", ns_t_a, 0);
		put_record(packet, NULL, ns_t_a, octets, len);
		assert_int_equal(read_addresses(packet, ns_t_a).outcome,
		    len == 4 ? RESOLVER_FOUND : RESOLVER_FAILED);
		begin(packet, "example.org", ns_t_aaaa, 0);
		put_record(packet, NULL, ns_t_aaaa, octets, len);
		assert_int_equal(read_addresses(packet, ns_t_aaaa).outcome,
		    len == 16 ? RESOLVER_FOUND : RESOLVER_FAILED);
	}
}

static void
test_addresses(void **state)
{
	struct packet *packet = *state;
	uint8_t octets[4] = { 192, 0, 2, 0 };

	begin(packet, "example.org", ns_t_a, 0);
	for (octets[3] = 1; octets[3] <= 15; octets[3]++)
		put_record(packet, NULL, ns_t_a, octets, 4);
	assert_int_equal(read_addresses(packet, ns_t_a).outcome, RESOLVER_FOUND);
	assert_int_equal(read_addresses(packet, ns_t_a).count, RESOLVER_ADDRESSES_MAX);
	for (uint8_t i = 0; i < RESOLVER_ADDRESSES_MAX; i++)
		assert_int_equal(addresses[i][3], i + 1);
	/* The question was for another type. */
	assert_int_equal(read_addresses(packet, ns_t_aaaa).outcome, RESOLVER_FAILED);
}

static void
test_aliases(void **state)
{
	struct packet *packet = *state;
	char owner[40], target[40];

	for (int links = 1; links <= 10; links++) {
		begin(packet, "a0.example.org", ns_t_mx, 0);
		/* From the end, so that each is met before the one that leads to it. */
		snprintf(owner, sizeof(owner), "a%d.example.org", links);
		put_target(packet, owner, ns_t_mx, 10, "mx.example.org");
		for (int i = links; i > 0; i--) {
			snprintf(owner, sizeof(owner), "A%d.example.org", i - 1);
			snprintf(target, sizeof(target), "a%d.example.org", i);
			put_target(packet, owner, ns_t_cname, -1, target);
		}
		assert_int_equal(read_mx(packet, 1).outcome,
		    links <= 8 ? RESOLVER_FOUND : RESOLVER_FAILED);
	}
	begin(packet, "example.org", ns_t_mx, 0);
	put_target(packet, NULL, ns_t_cname, -1, "example.org");
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
	begin(packet, "example.org", ns_t_mx, 0);
	put_target(packet, NULL, ns_t_cname, -1, "nothing.example.org");
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_NO_ADDRESS);
}

/* RULES N3: to itself, forward, past the end, round and round, and into the header. */
static void
test_pointers(void **state)
{
	struct packet *packet = *state;
	uint8_t mx[4] = { 0, 10, 0xc0, 0 };
	size_t at;

	begin(packet, "example.org", ns_t_mx, 0);
	at = packet->len + 2 + 10;			/* where the RDATA begins */
	for (size_t target = 0; target < 400; target++) {
		struct resolver_answer answer;

		begin(packet, "example.org", ns_t_mx, 0);
		mx[2] = (uint8_t)(0xc0 | target >> 8);
		mx[3] = (uint8_t)target;
		put_record(packet, NULL, ns_t_mx, mx, 4);
		answer = read_mx(packet, 1);
		if (target == 12)
			assert_string_equal(records[0].host, "example.org");
		if (target >= at + 2)
			assert_int_equal(answer.outcome, RESOLVER_FAILED);
	}
	begin(packet, "example.org", ns_t_mx, 0);	/* a label, and back to it */
	mx[2] = 0xc0;
	mx[3] = (uint8_t)at;
	put_record(packet, NULL, ns_t_mx, (const uint8_t[]){ 0, 10, 1, 'a', 0xc0,
	    (uint8_t)(at + 2) }, 6);
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
}

/* Each pointer leads to the one before it, that of the first record to the question. */
static void
test_pointer_chain(void **state)
{
	struct packet *packet = *state;
	unsigned last = 12, next;

	for (unsigned links = 100; links <= 200; links += 100) {
		begin(packet, "example.org", ns_t_mx, 0);
		last = 12;
		for (unsigned i = 0; i < links; i++) {
			next = (unsigned)packet->len + 2 + 10;
			put_record(packet, NULL, 65280, (const uint8_t[]){
			    (uint8_t)(0xc0 | last >> 8), (uint8_t)last }, 2);
			last = next;
		}
		put_record(packet, NULL, ns_t_mx, (const uint8_t[]){ 0, 10,
		    (uint8_t)(0xc0 | last >> 8), (uint8_t)last }, 4);
		assert_int_equal(read_mx(packet, 1).outcome,
		    links == 100 ? RESOLVER_FOUND : RESOLVER_FAILED);
	}
}

static void
test_long_names(void **state)
{
	struct packet *packet = *state;
	char name[300];

	for (size_t len = 250; len <= 256; len++) {
		memset(name, 'a', sizeof(name));
		for (size_t i = 50; i < len; i += 51)
			name[i] = '.';
		name[len] = '\0';
		begin(packet, "example.org", ns_t_mx, 0);
		put_mx(packet, 10, name);
		assert_int_equal(read_mx(packet, 1).outcome,
		    len <= 253 ? RESOLVER_FOUND : RESOLVER_FAILED);
		if (len <= 253)
			assert_string_equal(records[0].host, name);
	}
	begin(packet, "example.org", ns_t_mx, 0);	/* 01 and 10: reserved, RFC 1035 4.1.4 */
	put_record(packet, NULL, ns_t_mx, "\0\012\100a\0", 5);
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
}

/* RULES N5: what the header promises and the message does not hold. */
static void
test_counts(void **state)
{
	struct packet *packet = *state;

	begin(packet, "example.org", ns_t_mx, 0);
	put_mx(packet, 10, "mx.example.org");
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FOUND);
	packet->octets[6] = packet->octets[7] = 0xff;
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
	packet->octets[6] = 0;
	packet->octets[7] = 1;
	packet->octets[4] = packet->octets[5] = 0xff;
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
	packet->octets[4] = packet->octets[5] = 0;
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
}

static void
test_headers(void **state)
{
	struct packet *packet = *state;

	begin(packet, "example.org", ns_t_mx, 0);
	put_mx(packet, 10, "mx.example.org");
	for (unsigned bits = 0; bits < 256; bits++) {
		packet->octets[2] = (uint8_t)bits;
		assert_int_equal(read_mx(packet, 1).outcome,		/* but for AA and RD */
		    (bits & ~5u) == 0x80 ? RESOLVER_FOUND : RESOLVER_FAILED);
	}
	packet->octets[2] = 0x81;
	for (unsigned type = 0; type < 40; type++) {
		packet->octets[12 + 13 + 1] = (uint8_t)type;
		assert_int_equal(read_mx(packet, 1).outcome,
		    type == ns_t_mx ? RESOLVER_FOUND : RESOLVER_FAILED);
	}
	packet->octets[12 + 13 + 1] = ns_t_mx;
	packet->octets[12 + 13 + 3] = ns_c_chaos;
	assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
}

/* Cut anywhere, it is no answer. */
static void
test_cut(void **state)
{
	struct packet *packet = *state;
	size_t len;

	begin(packet, "example.org", ns_t_mx, 0);
	put_mx(packet, 10, "mx1.example.org");
	put_target(packet, NULL, ns_t_mx, 20, "mx2.example.org");
	len = packet->len;
	for (packet->len = 0; packet->len < len; packet->len++)
		assert_int_equal(read_mx(packet, 1).outcome, RESOLVER_FAILED);
	assert_int_equal(read_mx(packet, 1).count, 2);
}

/* Every octet, at every place: nothing but outcomes. */
static void
test_each_octet(void **state)
{
	struct packet *packet = *state;

	begin(packet, "example.org", ns_t_mx, 0);
	put_target(packet, NULL, ns_t_cname, -1, "mail.example.org");
	put_target(packet, "mail.example.org", ns_t_mx, 10, "mx1.example.org");
	for (size_t at = 0; at < packet->len; at++) {
		uint8_t kept = packet->octets[at];

		for (unsigned octet = 0; octet < 256; octet++) {
			packet->octets[at] = (uint8_t)octet;
			assert_in_range(read_mx(packet, octet).count, 0, 2);
		}
		packet->octets[at] = kept;
	}
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order), TEST(test_each_host_once), TEST(test_equal_ones_are_shuffled),
		TEST(test_thousand), TEST(test_thousand_equal), TEST(test_null_mx),
		TEST(test_none), TEST(test_codes), TEST(test_names_of_no_host),
		TEST(test_lengths_of_mx), TEST(test_lengths_of_addresses), TEST(test_addresses),
		TEST(test_aliases), TEST(test_pointers), TEST(test_pointer_chain),
		TEST(test_long_names), TEST(test_counts), TEST(test_headers), TEST(test_cut),
		TEST(test_each_octet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
