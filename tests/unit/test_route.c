/* test_route.c - hosts in their order, exchangers of domains, each with its addresses. */
#include "relay/route.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "dns_fixture.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "relay/route_address.h"

#include <ifaddrs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct walk {
	struct loop *loop;
	struct resolver *resolver;
	struct dns_server dns;
	struct route_memory *memory;
	struct route *route;
	struct next_hop hop;
	unsigned answers;
	char text[ROUTE_TEXT_MAX];	/* "" at the end */
	struct status failure;
	bool failed;
};

static void
on_found(void *arg, const struct next_hop *hop, const struct status *failure)
{
	struct walk *walk = arg;

	walk->answers++;
	walk->text[0] = '\0';
	if (hop != NULL) {
		walk->hop = *hop;
		next_hop_text(hop, walk->text);
	}
	walk->failed = failure != NULL;
	if (failure != NULL)
		walk->failure = *failure;
}

static const char *
next(struct walk *walk)
{
	unsigned before = walk->answers;

	route_next(walk->route, on_found, walk);
	assert_int_equal(walk->answers, before);
	for (int i = 0; i < 400 && walk->answers == before; i++)
		loop_turn(walk->loop, 100);
	assert_int_equal(walk->answers, before + 1);
	return walk->text;
}

static void
assert_end(struct walk *walk, const char *code)
{
	char dsn[STATUS_DSN_MAX];

	assert_string_equal(next(walk), "");
	assert_int_equal(walk->failed, code != NULL);
	if (code != NULL)
		assert_string_equal(status_dsn(&walk->failure, dsn), code);
}

static void
begin(struct walk *walk, const struct relay_config *config)
{
	struct route_params params = { .config = config };
	struct error err;

	memset(walk, 0, sizeof(*walk));
	walk->loop = loop_new(&err);
	walk->resolver = params.resolver = resolver_new(walk->loop, &err);
	walk->memory = params.memory = route_memory_new();
	walk->route = route_new(walk->loop, &params);
}

/* The walk anew, with what is known of places. */
static void
begin_again(struct walk *walk, const struct relay_config *config, const char *domain)
{
	const struct route_params params = { .config = config, .resolver = walk->resolver,
	    .domain = domain, .hostname = "herald.example.net", .memory = walk->memory };

	route_free(walk->route);
	walk->route = route_new(walk->loop, &params);
}

static const struct relay_config mx = { .mx = true, .mx_port = 25 };

static void
begin_domain(struct walk *walk, const struct dns_row *rows, const char *domain)
{
	struct error err;

	begin(walk, &mx);
	dns_start(&walk->dns, walk->loop, rows);
	assert_true(resolver_use_server(walk->resolver, walk->dns.address, &err));
	resolver_set_seed(walk->resolver, 1);
	begin_again(walk, &mx, domain);
}

static void
finish(struct walk *walk)
{
	route_free(walk->route);
	route_memory_free(walk->memory);
	resolver_free(walk->resolver);
	if (walk->dns.event != NULL)
		dns_stop(&walk->dns);
	loop_free(walk->loop);
	clock_set(-1);
}

static void
test_order(void **state)
{
	struct config_host hosts[] = { { "192.0.2.1", 25 }, { "2001:db8::1", 465 },
	    { "192.0.2.3", 587 } };
	const struct relay_config config = { .hosts = hosts, .host_count = 3 };
	struct walk walk;

	(void)state;
	begin(&walk, &config);
	assert_string_equal(next(&walk), "192.0.2.1[192.0.2.1]:25");
	assert_string_equal(next(&walk), "2001:db8::1[2001:db8::1]:465");
	assert_string_equal(next(&walk), "192.0.2.3[192.0.2.3]:587");
	assert_end(&walk, NULL);
	assert_end(&walk, NULL);
	finish(&walk);
}

static void
test_name_of_hosts_file(void **state)
{
	struct config_host hosts[] = { { "localhost", 25 } };
	const struct relay_config config = { .hosts = hosts, .host_count = 1 };
	struct walk walk;
	unsigned count = 0;

	(void)state;
	begin(&walk, &config);
	while (next(&walk)[0] != '\0') {
		assert_true(strcmp(walk.text, "localhost[127.0.0.1]:25") == 0 ||
		    strcmp(walk.text, "localhost[::1]:25") == 0);
		count++;
	}
	assert_in_range(count, 1, 2);
	finish(&walk);
}

/* A name that is not there does not end the walk; its fault is kept for the end, and is
 * transient. */
static void
test_unknown_name(void **state)
{
	struct config_host hosts[] = { { "192.0.2.1", 25 }, { "a..b", 25 } };
	const struct relay_config config = { .hosts = hosts, .host_count = 2 };
	struct walk walk;

	(void)state;
	begin(&walk, &config);
	assert_string_equal(next(&walk), "192.0.2.1[192.0.2.1]:25");
	assert_string_equal(next(&walk), "");
	assert_true(walk.failed);
	assert_int_equal(status_class(&walk.failure), STATUS_TRANSIENT);
	assert_non_null(strstr(walk.failure.text, "host a..b: "));
	finish(&walk);
}

static void
test_freed_while_asked(void **state)
{
	struct config_host hosts[] = { { "192.0.2.1", 25 } };
	const struct relay_config config = { .hosts = hosts, .host_count = 1 };
	struct walk walk;

	(void)state;
	begin(&walk, &config);
	route_next(walk.route, on_found, &walk);
	route_free(walk.route);
	walk.route = NULL;
	for (int i = 0; i < 3; i++)
		loop_turn(walk.loop, 10);
	assert_int_equal(walk.answers, 0);
	finish(&walk);
}

/* --- exchangers of a domain; no machine that tests has addresses of TEST-NET-2 --- */

static void
test_exchangers(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 20, "second.example.org" },
		{ "example.org", ns_t_mx, 10, "first.example.org" },
		{ "first.example.org", ns_t_a, 0, "198.51.100.1" },
		{ "first.example.org", ns_t_aaaa, 0, "2001:db8::1" },
		{ "second.example.org", ns_t_a, 0, "198.51.100.3" },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "Example.ORG");
	assert_string_equal(next(&walk), "first.example.org[2001:db8::1]:25");
	assert_string_equal(next(&walk), "first.example.org[198.51.100.1]:25");
	assert_string_equal(next(&walk), "second.example.org[198.51.100.3]:25");
	assert_end(&walk, NULL);
	finish(&walk);
}

static void
test_equal_ones(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 10, "a.example.org" },
		{ "example.org", ns_t_mx, 10, "b.example.org" },
		{ "a.example.org", ns_t_a, 0, "198.51.100.1" },
		{ "b.example.org", ns_t_a, 0, "198.51.100.2" },
		{ NULL, 0, 0, NULL },
	};
	unsigned a_first = 0;
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "example.org");
	for (int i = 0; i < 200; i++) {
		a_first += next(&walk)[0] == 'a';
		assert_true(next(&walk)[0] != '\0');
		assert_end(&walk, NULL);
		begin_again(&walk, &mx, "example.org");
	}
	assert_in_range(a_first, 60, 140);
	finish(&walk);
}

static void
test_domain_is_its_own_exchanger(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_a, 0, "198.51.100.1" },
		{ NULL, 0, 0, NULL },
	};
	const struct relay_config config = { .mx = true, .mx_port = 2525 };
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "example.org");
	begin_again(&walk, &config, "example.org");
	assert_string_equal(next(&walk), "example.org[198.51.100.1]:2525");
	assert_end(&walk, NULL);
	finish(&walk);
}

/* A host that cannot be looked up now does not keep mail from the next one. */
static void
test_some_hosts_fail(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 10, "gone.example.org" },
		{ "example.org", ns_t_mx, 20, "broken.example.org" },
		{ "example.org", ns_t_mx, 30, "mx.example.org" },
		{ "broken.example.org", DNS_CODE, ns_r_servfail, NULL },
		{ "mx.example.org", ns_t_a, 0, "198.51.100.1" },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "example.org");
	assert_string_equal(next(&walk), "mx.example.org[198.51.100.1]:25");
	assert_end(&walk, NULL);
	finish(&walk);
}

static void
test_alias(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_cname, 0, "example.net" },
		{ "example.net", ns_t_mx, 10, "mx.example.net" },
		{ "mx.example.net", ns_t_cname, 0, "host.example.net" },
		{ "host.example.net", ns_t_a, 0, "198.51.100.1" },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "example.org");
	assert_string_equal(next(&walk), "mx.example.net[198.51.100.1]:25");
	assert_end(&walk, NULL);
	finish(&walk);
}

/* RULES N7, N8: what is told when there is no place at all. */
static void
test_no_place(void **state)
{
	const struct dns_row rows[] = {
		{ "null.example", ns_t_mx, 0, "" },
		{ "null.example", ns_t_a, 0, "198.51.100.1" },
		{ "empty.example", DNS_NOTHING, 0, NULL },
		{ "broken.example", DNS_CODE, ns_r_servfail, NULL },
		{ "refused.example", DNS_CODE, ns_r_refused, NULL },
		{ "address.example", ns_t_mx, 10, "198.51.100.1" },
		{ "address.example", ns_t_a, 0, "198.51.100.1" },
		{ "lost.example", ns_t_mx, 10, "gone.example" },
		{ "lost.example", ns_t_a, 0, "198.51.100.1" },
		{ "late.example", ns_t_mx, 10, "broken.example" },
		{ "late.example", ns_t_mx, 20, "gone.example" },
		{ "loop.example", ns_t_cname, 0, "loop.example" },
		{ "here.example", ns_t_mx, 10, "any.example" },
		{ "any.example", ns_t_a, 0, "0.0.0.0" },
		{ "any.example", ns_t_a, 0, "127.0.0.1" },
		{ "any.example", ns_t_a, 0, "127.9.9.9" },
		{ "any.example", ns_t_a, 0, "224.0.0.1" },
		{ "any.example", ns_t_a, 0, "255.255.255.255" },
		{ "any.example", ns_t_aaaa, 0, "::" },
		{ "any.example", ns_t_aaaa, 0, "::1" },
		{ "any.example", ns_t_aaaa, 0, "::ffff:127.0.0.1" },
		{ "own.example", ns_t_mx, 10, "Herald.example.net" },
		{ "own.example", ns_t_mx, 20, "mx.example" },
		{ "herald.example.net", ns_t_a, 0, "198.51.100.7" },
		{ "mx.example", ns_t_a, 0, "198.51.100.1" },
		{ NULL, 0, 0, NULL },
	};
	const struct { const char *domain, *code, *words; } cases[] = {
		{ "gone.example", "5.1.2", "domain gone.example: no such domain" },
		{ "null.example", "5.1.10", "domain null.example: the domain takes no mail" },
		{ "empty.example", "5.4.4", "host empty.example: the host has no address" },
		{ "broken.example", "4.4.3", "domain broken.example: the DNS lookup failed" },
		{ "refused.example", "4.4.3", "domain refused.example: the DNS lookup failed" },
		{ "address.example", "4.4.3", "the MX records name no host" },
		{ "lost.example", "5.4.4", "host gone.example: no such host" },
		{ "late.example", "4.4.3", "host broken.example: the DNS lookup failed" },
		{ "loop.example", "4.4.3", "domain loop.example: " },
		{ "here.example", "5.4.4", "no address that mail can be sent to" },
		{ "own.example", "5.4.6", "its mail comes to this host (herald.example.net)" },
		{ "herald.example.net", "5.4.6", "its mail comes to this host" },
		{ "[127.0.0.1]", "5.4.4", "no address that mail can be sent to" },
		{ "[IPv6:::1]", "5.4.4", "no address that mail can be sent to" },
		{ "[tag:text]", "5.1.2", "not an address that is known" },
		{ "[]", "5.1.2", "not an address that is known" },
		{ "198.51.100.1", "5.1.2", "not a domain" },
		{ "localhost", "5.4.4", "no address that mail can be sent to" },
		{ "", "5.1.2", "cannot be a name in the DNS" },
		{ "\xff.example", "5.1.2", "cannot be a name in the DNS" },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "gone.example");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin_again(&walk, &mx, cases[i].domain);
		assert_end(&walk, cases[i].code);
		if (strstr(walk.failure.text, cases[i].words) == NULL)
			fail_msg("%s: %s", cases[i].domain, walk.failure.text);
	}
	finish(&walk);
}

/* RFC 5321 5.1: none that is no better than we are. */
static void
test_own_host_ends_the_list(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 10, "first.example.org" },
		{ "example.org", ns_t_mx, 20, "equal.example.org" },
		{ "example.org", ns_t_mx, 20, "herald.example.net" },
		{ "example.org", ns_t_mx, 30, "worse.example.org" },
		{ "first.example.org", ns_t_a, 0, "198.51.100.1" },
		{ "equal.example.org", ns_t_a, 0, "198.51.100.2" },
		{ "worse.example.org", ns_t_a, 0, "198.51.100.3" },
		{ "herald.example.net", ns_t_a, 0, "198.51.100.7" },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "example.org");
	assert_string_equal(next(&walk), "first.example.org[198.51.100.1]:25");
	assert_end(&walk, NULL);
	finish(&walk);
}

/* A better one that cannot be asked for now leaves the mail here: it may be back. */
static void
test_own_host_behind_a_fault(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 10, "broken.example.org" },
		{ "example.org", ns_t_mx, 20, "herald.example.net" },
		{ "broken.example.org", DNS_CODE, ns_r_servfail, NULL },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "example.org");
	assert_end(&walk, "4.4.3");
	finish(&walk);
}

/* An address of this machine that is not of the loopback; false: it has none. */
static bool
find_own_address(char out[ENDPOINT_ADDRESS_MAX])
{
	struct ifaddrs *all;
	struct endpoint endpoint;
	bool found = false;

	assert_int_equal(getifaddrs(&all), 0);
	for (const struct ifaddrs *one = all; one != NULL && !found; one = one->ifa_next) {
		if (one->ifa_addr == NULL || one->ifa_addr->sa_family != AF_INET)
			continue;
		endpoint_from_sockaddr(&endpoint, one->ifa_addr, sizeof(struct sockaddr_in));
		found = route_address_is_usable(&endpoint);
		endpoint_host(&endpoint, out);
	}
	freeifaddrs(all);
	return found;
}

static void
test_own_address(void **state)
{
	char address[ENDPOINT_ADDRESS_MAX], literal[ENDPOINT_ADDRESS_MAX + 2];
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 10, "other.example.org" },
		{ "other.example.org", ns_t_a, 0, address },
		{ NULL, 0, 0, NULL },
	};
	struct route_own own = { 0 };
	struct endpoint endpoint;
	struct walk walk;

	(void)state;
	route_address_read_own(&own);
	assert_true(endpoint_from_literal(&endpoint, "127.0.0.1", 25));
	assert_true(route_address_is_own(&own, &endpoint));
	assert_true(endpoint_from_literal(&endpoint, "::ffff:127.0.0.1", 25));
	assert_true(route_address_is_own(&own, &endpoint));
	assert_true(endpoint_from_literal(&endpoint, "198.51.100.77", 25));
	assert_false(route_address_is_own(&own, &endpoint));
	route_address_free_own(&own);
	if (!find_own_address(address))
		return;		/* no network but the loopback: the system tests have one */
	begin_domain(&walk, rows, "example.org");
	assert_end(&walk, "5.4.6");
	snprintf(literal, sizeof(literal), "[%s]", address);
	begin_again(&walk, &mx, literal);
	assert_end(&walk, "5.4.6");
	finish(&walk);
}

static void
test_usable_addresses(void **state)
{
	const struct { const char *address; bool usable; } rows[] = {
		{ "198.51.100.1", true }, { "10.0.0.1", true }, { "128.0.0.1", true },
		{ "223.255.255.255", true }, { "0.0.0.0", false }, { "0.1.2.3", false },
		{ "127.0.0.1", false }, { "127.255.255.255", false }, { "169.254.1.1", false },
		{ "169.253.1.1", true }, { "224.0.0.1", false }, { "239.1.1.1", false },
		{ "240.0.0.1", false }, { "255.255.255.255", false }, { "2001:db8::1", true },
		{ "fd00::1", true }, { "::", false }, { "::1", false }, { "::127.0.0.1", false },
		{ "::ffff:127.0.0.1", false }, { "::ffff:0.0.0.0", false },
		{ "::ffff:198.51.100.1", true }, { "fe80::1", false }, { "ff02::1", false },
	};
	struct endpoint endpoint;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(endpoint_from_literal(&endpoint, rows[i].address, 25));
		if (route_address_is_usable(&endpoint) != rows[i].usable)
			fail_msg("%s", rows[i].address);
	}
}

static void
test_literals(void **state)
{
	const struct dns_row rows[] = { { NULL, 0, 0, NULL } };
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "[198.51.100.1]");
	assert_string_equal(next(&walk), "198.51.100.1[198.51.100.1]:25");
	assert_end(&walk, NULL);
	begin_again(&walk, &mx, "[ipv6:2001:DB8::1]");
	assert_string_equal(next(&walk), "2001:DB8::1[2001:db8::1]:25");
	assert_end(&walk, NULL);
	assert_int_equal(walk.dns.asked, 0);
	finish(&walk);
}

static void
test_domain_beyond_ascii(void **state)
{
	const struct dns_row rows[] = {
		{ "xn--bcher-kva.example", ns_t_mx, 10, "mx.example" },
		{ "mx.example", ns_t_a, 0, "198.51.100.1" },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "b\xc3\xbc" "cher.example");
	assert_string_equal(next(&walk), "mx.example[198.51.100.1]:25");
	finish(&walk);
}

/* RULES N: 20 exchangers, 5 addresses of each; an address that two have counts once. */
static void
test_limits(void **state)
{
	static char names[30][40], addresses[30 * 8][40];
	static struct dns_row rows[30 * 9 + 3];
	size_t count = 0, places = 0;
	struct walk walk;

	(void)state;
	for (unsigned i = 0; i < 30; i++) {
		snprintf(names[i], sizeof(names[i]), "mx%u.example.org", i);
		rows[count++] = (struct dns_row){ "example.org", ns_t_mx, i, names[i] };
		/* Addresses come in any order: what is counted must not depend on it. */
		for (unsigned j = 0; j < (i < 2 ? 2 : 8); j++) {
			snprintf(addresses[i * 8 + j], sizeof(addresses[0]), "198.51.%u.%u", i,
			    j + 1);
			rows[count++] = (struct dns_row){ names[i], ns_t_a, 0,
			    addresses[i * 8 + j] };
		}
	}
	rows[1].value = "127.0.0.1";		/* not used, and not counted */
	rows[4].value = rows[5].value = rows[2].value;
	begin_domain(&walk, rows, "example.org");
	while (next(&walk)[0] != '\0')
		places++;
	assert_int_equal(places, 1 + 18 * 5);
	assert_false(walk.failed);
	finish(&walk);
}

/* The answers come one at a time while a route goes away. */
static void
test_freed_while_looked_up(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 10, "mute.example.org" },
		{ "example.org", ns_t_mx, 10, "mx.example.org" },
		{ "mute.example.org", DNS_MUTE, 0, NULL },
		{ "mx.example.org", ns_t_a, 0, "198.51.100.1" },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	for (int turns = 0; turns < 12; turns++) {
		begin_domain(&walk, rows, "example.org");
		route_next(walk.route, on_found, &walk);
		for (int i = 0; i < turns; i++)
			loop_turn(walk.loop, 5);
		route_free(walk.route);
		walk.route = NULL;
		for (int i = 0; i < 3; i++)
			loop_turn(walk.loop, 5);
		assert_int_equal(walk.answers, 0);
		finish(&walk);
	}
}

/* --- what is known of places --- */

#define SECONDS(n)	((int64_t)(n) * 1000000)

static struct config_host three[] = { { "192.0.2.1", 25 }, { "192.0.2.2", 25 },
    { "192.0.2.3", 25 } };
static const struct relay_config in_order = { .hosts = three, .host_count = 3 };

/* The last digits of the places, in the order in which they are offered: "123". */
static const char *
order(struct walk *walk, char out[8])
{
	size_t len = 0;

	begin_again(walk, &in_order, NULL);
	while (next(walk)[0] != '\0')
		out[len++] = strchr(walk->text, '[')[-1];
	out[len] = '\0';
	return out;
}

static struct next_hop
place(const char *address)
{
	struct next_hop hop = { .port = 25 };

	text_copy(hop.host, sizeof(hop.host), address);
	assert_true(endpoint_from_literal(&hop.address, address, 25));
	return hop;
}

static void
test_bad_places_come_last(void **state)
{
	const struct next_hop one = place("192.0.2.1"), two = place("192.0.2.2"),
	    last = place("192.0.2.3");
	struct walk walk;
	char text[8];

	(void)state;
	begin(&walk, &in_order);
	assert_string_equal(order(&walk, text), "123");
	route_memory_failed(walk.memory, &one);
	assert_string_equal(order(&walk, text), "231");
	route_memory_failed(walk.memory, &two);
	assert_string_equal(order(&walk, text), "312");
	route_memory_failed(walk.memory, &last);
	assert_string_equal(order(&walk, text), "123");
	route_memory_good(walk.memory, &two);
	assert_string_equal(order(&walk, text), "213");
	route_memory_clear(walk.memory);
	assert_string_equal(order(&walk, text), "123");
	finish(&walk);
}

/* 30 s, 60, 120, 240, 480, 600, 600; good again: 30. */
static void
test_back_in_order(void **state)
{
	const int64_t lengths[] = { 30, 60, 120, 240, 480, 600, 600 };
	const struct next_hop one = place("192.0.2.1");
	int64_t now = SECONDS(1700000000);
	struct walk walk;
	char text[8];

	(void)state;
	begin(&walk, &in_order);
	for (size_t i = 0; i < 7; i++) {
		clock_set(now);
		route_memory_failed(walk.memory, &one);
		assert_string_equal(order(&walk, text), "231");
		clock_set(now + SECONDS(lengths[i]) - 1);
		/* What fails together is one fault. */
		route_memory_failed(walk.memory, &one);
		assert_string_equal(order(&walk, text), "231");
		now += SECONDS(lengths[i]);
		clock_set(now);
		assert_string_equal(order(&walk, text), "123");
	}
	route_memory_good(walk.memory, &one);
	route_memory_failed(walk.memory, &one);
	clock_set(now + SECONDS(30));
	assert_string_equal(order(&walk, text), "123");
	finish(&walk);
}

/* A place that turns bad while the walk is before it is put off as well, and comes once. */
static void
test_bad_meanwhile(void **state)
{
	const struct next_hop one = place("192.0.2.1"), two = place("192.0.2.2");
	struct walk walk;

	(void)state;
	begin(&walk, &in_order);
	assert_string_equal(next(&walk), "192.0.2.1[192.0.2.1]:25");
	route_memory_failed(walk.memory, &one);
	route_memory_failed(walk.memory, &two);
	assert_string_equal(next(&walk), "192.0.2.3[192.0.2.3]:25");
	assert_string_equal(next(&walk), "192.0.2.2[192.0.2.2]:25");
	assert_end(&walk, NULL);
	finish(&walk);
}

static void
test_exchangers_put_off(void **state)
{
	const struct dns_row rows[] = {
		{ "example.org", ns_t_mx, 10, "first.example.org" },
		{ "example.org", ns_t_mx, 20, "second.example.org" },
		{ "first.example.org", ns_t_a, 0, "198.51.100.1" },
		{ "first.example.org", ns_t_aaaa, 0, "2001:db8::1" },
		{ "second.example.org", ns_t_a, 0, "198.51.100.3" },
		{ NULL, 0, 0, NULL },
	};
	struct walk walk;

	(void)state;
	begin_domain(&walk, rows, "example.org");
	for (int i = 0; i < 2; i++) {
		next(&walk);
		route_memory_failed(walk.memory, &walk.hop);
	}
	begin_again(&walk, &mx, "example.org");
	assert_string_equal(next(&walk), "second.example.org[198.51.100.3]:25");
	assert_string_equal(next(&walk), "first.example.org[2001:db8::1]:25");
	assert_string_equal(next(&walk), "first.example.org[198.51.100.1]:25");
	assert_end(&walk, NULL);
	finish(&walk);
}

/* Hosts without end do not fill the memory; of too many the oldest is forgotten. */
static void
test_memory_is_bounded(void **state)
{
	struct route_memory *memory = route_memory_new();
	struct next_hop hop;
	unsigned bad = 0;

	(void)state;
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 1000; i++) {
			char address[40];

			snprintf(address, sizeof(address), "198.51.%d.%d", i / 250, i % 250);
			hop = place(address);
			clock_set(SECONDS(1700000000) + i);
			if (round == 0)
				route_memory_failed(memory, &hop);
			else
				bad += route_memory_is_bad(memory, &hop);
		}
	assert_int_equal(bad, 128);
	assert_true(route_memory_is_bad(memory, &hop));
	route_memory_free(memory);
	route_memory_free(NULL);
	clock_set(-1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order), cmocka_unit_test(test_name_of_hosts_file),
		cmocka_unit_test(test_unknown_name), cmocka_unit_test(test_freed_while_asked),
		cmocka_unit_test(test_exchangers), cmocka_unit_test(test_equal_ones),
		cmocka_unit_test(test_domain_is_its_own_exchanger),
		cmocka_unit_test(test_some_hosts_fail), cmocka_unit_test(test_alias),
		cmocka_unit_test(test_no_place), cmocka_unit_test(test_own_host_ends_the_list),
		cmocka_unit_test(test_own_host_behind_a_fault),
		cmocka_unit_test(test_own_address), cmocka_unit_test(test_usable_addresses),
		cmocka_unit_test(test_literals), cmocka_unit_test(test_domain_beyond_ascii),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_freed_while_looked_up),
		cmocka_unit_test(test_bad_places_come_last),
		cmocka_unit_test(test_back_in_order), cmocka_unit_test(test_bad_meanwhile),
		cmocka_unit_test(test_exchangers_put_off),
		cmocka_unit_test(test_memory_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
