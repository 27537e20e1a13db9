/* test_network.c - sets of addresses and who is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/endpoint.h"
#include "net/network.h"

static void
add(struct network_list *list, const char *text)
{
	struct network network;
	struct error err;

	if (!network_parse(&network, text, &err))
		fail_msg("%s", err.text);
	network_list_add(list, &network);
}

static bool
has(const struct network_list *list, const char *address)
{
	struct endpoint endpoint;

	assert_true(endpoint_from_literal(&endpoint, address, 0));
	return network_list_has(list, &endpoint.address.any);
}

static void
test_membership(void **state)
{
	static const struct { const char *network, *in, *out; } rows[] = {
		{ "127.0.0.0/8", "127.255.0.1", "128.0.0.1" },
		{ "192.0.2.7", "192.0.2.7", "192.0.2.6" },
		{ "192.0.2.128/25", "192.0.2.129", "192.0.2.127" },
		{ "192.0.2.6/31", "192.0.2.7", "192.0.2.8" },
		{ "0.0.0.0/0", "255.255.255.255", "::1" },
		{ "::/0", "2001:db8::1", "192.0.2.1" },
		{ "::1/128", "::1", "::2" },
		{ "2001:db8::/33", "2001:db8:7fff::", "2001:db8:8000::" },
		{ "192.0.2.0/24", "::ffff:192.0.2.9", "::192.0.2.9" },
		{ "::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct network_list list = { .items = NULL };

		add(&list, rows[i].network);
		assert_true(has(&list, rows[i].in));
		assert_false(has(&list, rows[i].out));
		network_list_free(&list);
	}
}

static void
test_refused(void **state)
{
	static const char *const bad[] = { "", "/8", "127.0.0.1/", "127.0.0.1/33", "::/129",
	    "127.0.0.1/8", "::1/64", "localhost", "127.1", "127.0.0.1/8/8", "127.0.0.0/-1",
	    "[::1]", "127.0.0.0/0x8", "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb" };
	struct network network;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (network_parse(&network, bad[i], &err))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_false(network_parse(&network, "127.0.0.1/8", &err));
	assert_non_null(strstr(err.text, "127.0.0.0/8"));
}

static void
test_allow_and_deny(void **state)
{
	struct network_list allow = { .items = NULL }, deny = { .items = NULL };
	struct endpoint inside, outside, local;
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)state;
	assert_true(endpoint_from_literal(&inside, "192.0.2.1", 1));
	assert_true(endpoint_from_literal(&outside, "198.51.100.1", 1));
	endpoint_from_sockaddr(&local, (struct sockaddr *)&un, sizeof(sa_family_t));
	assert_true(network_allows(&allow, &deny, &outside.address.any));
	assert_true(network_allows(&allow, &deny, &local.address.any));
	add(&allow, "192.0.2.0/24");
	assert_true(network_allows(&allow, &deny, &inside.address.any));
	assert_false(network_allows(&allow, &deny, &outside.address.any));
	assert_false(network_allows(&allow, &deny, &local.address.any));
	add(&deny, "192.0.2.1");
	assert_false(network_allows(&allow, &deny, &inside.address.any));
	network_list_free(&allow);
	network_list_free(&deny);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_membership),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_allow_and_deny),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
