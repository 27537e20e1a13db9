/* test_endpoint.c - places to listen at and to connect to, as text and as addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "net/endpoint.h"

static const char good[][2][64] = {
	{ "127.0.0.1:3000", "127.0.0.1:3000" },
	{ "[::1]:25", "[::1]:25" },
	{ "[2001:DB8:0::1]:65535", "[2001:db8::1]:65535" },
	{ "0.0.0.0:1", "0.0.0.0:1" },
	{ "unix:submission", "unix:/run/herald/submission" },
	{ "unix:/run/x y", "unix:/run/x y" },
	{ "systemd:quotes-2", "systemd:quotes-2" },
};

static void
test_listen_good(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct endpoint_list list = { .items = NULL };
		struct error err;

		assert_true(endpoint_parse_listen(&list, good[i][0], "/run/herald", &err));
		assert_int_equal(list.count, 1);
		assert_string_equal(list.items[0].text, good[i][1]);
		endpoint_list_free(&list);
		assert_int_equal(list.count, 0);
	}
}

static void
test_listen_star(void **state)
{
	struct endpoint_list list = { .items = NULL };
	struct error err;

	(void)state;
	assert_true(endpoint_parse_listen(&list, "*:17", "/run", &err));
	assert_int_equal(list.count, 2);
	assert_string_equal(list.items[0].text, "0.0.0.0:17");
	assert_string_equal(list.items[1].text, "[::]:17");
	assert_false(endpoint_parse_listen(&list, "0.0.0.0:17", "/run", &err));
	assert_string_equal(err.text, "0.0.0.0:17 is listed twice");
	endpoint_list_free(&list);
}

static void
test_listen_bad(void **state)
{
	static const char *const bad[] = { "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0",
	    "127.0.0.1:65536", "127.0.0.1:2 5", "127.0.0.1:+5", "::1:25", "[::1]", "[::1]25",
	    "[127.0.0.1]:25", "[*]:25", "localhost:25", "127.0.0.256:25", "unix:", "systemd:",
	    "systemd:a:b", "systemd:a b", "*", "**:25", "[::1%eth0]:25",
	};
	static const char directory[] = "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
	struct endpoint_list list = { .items = NULL };
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (endpoint_parse_listen(&list, bad[i], "/run", &err))
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(err.kind, ERROR_CONFIG);
	}
	assert_false(endpoint_parse_listen(&list, "unix:12345678", directory, &err));
	assert_null(list.items);
	assert_true(endpoint_parse_listen(&list, "unix:123456", directory, &err));
	endpoint_list_free(&list);
}

static void
test_host(void **state)
{
	static const struct { const char *text; const char *host; uint16_t port; } rows[] = {
		{ "smtp.example.net:465", "smtp.example.net", 465 },
		{ "smtp.example.net", "smtp.example.net", 25 },
		{ "192.0.2.1:26", "192.0.2.1", 26 },
		{ "[2001:db8::1]:26", "2001:db8::1", 26 },
		{ "[2001:db8::1]", "2001:db8::1", 25 },
		{ "a_b.example", "a_b.example", 25 },
		{ "3com.example", "3com.example", 25 },
	};
	static const char *const bad[] = { "", ":25", "a..b:25", ".a", "a.", "-a.b", "a-.b", "a b",
	    "2001:db8::1", "[a.example]:25", "[192.0.2.1]:25", "[::1", "192.0.2:25", "1.2.3.4.5",
	    "a:0", "a:b", "a:25:26", "a\n.b", "m\xc3\xbc.example" };
	char host[ENDPOINT_HOST_MAX + 1];
	uint16_t port;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(endpoint_parse_host(rows[i].text, 25, host, &port, &err));
		assert_string_equal(host, rows[i].host);
		assert_int_equal(port, rows[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (endpoint_parse_host(bad[i], 25, host, &port, &err))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_false(endpoint_parse_host("smtp.example.net", 0, host, &port, &err));
	assert_string_equal(err.text, "\"smtp.example.net\" needs a port from 1 to 65535");
}

static void
test_long_hosts(void **state)
{
	char text[400], host[ENDPOINT_HOST_MAX + 1];
	uint16_t port;
	struct error err;

	(void)state;
	for (size_t len = 60; len < 300; len++) {
		memset(text, 'a', len);
		for (size_t i = 60; i < len; i += 60)
			text[i] = '.';
		text[len] = '\0';
		if (text[len - 1] == '.')
			continue;
		assert_int_equal(endpoint_parse_host(text, 25, host, &port, &err), len <= 253);
	}
}

static void
test_literals_and_peers(void **state)
{
	struct endpoint endpoint;
	char host[ENDPOINT_ADDRESS_MAX];
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	(void)state;
	assert_false(endpoint_from_literal(&endpoint, "localhost", 25));
	assert_true(endpoint_from_literal(&endpoint, "::ffff:192.0.2.1", 25));
	assert_string_equal(endpoint_host(&endpoint, host), "192.0.2.1");
	assert_string_equal(endpoint.text, "192.0.2.1:25");
	assert_true(endpoint_from_literal(&endpoint, "2001:db8::1", 587));
	assert_string_equal(endpoint_host(&endpoint, host), "2001:db8::1");
	assert_int_equal(endpoint_port(&endpoint), 587);
	endpoint_from_sockaddr(&endpoint, (struct sockaddr *)&un, sizeof(sa_family_t));
	assert_int_equal(endpoint.kind, ENDPOINT_UNIX);
	assert_string_equal(endpoint_host(&endpoint, host), "unix");
	assert_int_equal(endpoint_port(&endpoint), 0);
	memset(un.sun_path, 'p', sizeof(un.sun_path));
	endpoint_from_sockaddr(&endpoint, (struct sockaddr *)&un, sizeof(un));
	assert_int_equal(strlen(endpoint.text), 5 + sizeof(un.sun_path));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_listen_good),
		cmocka_unit_test(test_listen_star),
		cmocka_unit_test(test_listen_bad),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_long_hosts),
		cmocka_unit_test(test_literals_and_peers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
