/* test_access.c - who may relay, and the counts of sessions. */
#include "intake/access.h"

#include "base/clock.h"
#include "base/error.h"
#include "conf/config.h"
#include "intake/guesses.h"
#include "net/endpoint.h"
#include "net/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct endpoint
peer_at(const char *host)
{
	struct endpoint peer;

	assert_true(endpoint_from_literal(&peer, host, 40112));
	return peer;
}

/* By its key: "uid 1000" has come by a UNIX socket. */
static struct access_client
client_of(const char *key)
{
	struct access_client client = { .is_local = strncmp(key, "uid ", 4) == 0 };

	snprintf(client.key, sizeof(client.key), "%s", key);
	return client;
}

static enum access_verdict
enter(struct access *access, const struct submission_config *section, const char *key)
{
	struct access_client client = client_of(key);

	return access_enter(access, section, &client);
}

static void
leave(struct access *access, const char *block, const char *key)
{
	struct access_client client = client_of(key);

	access_leave(access, block, &client);
}

static void
allow(struct submission_config *section, const char *text)
{
	struct network network;
	struct error err;

	assert_true(network_parse(&network, text, &err));
	network_list_add(&section->allow, &network);
}

static void
test_who_may_relay(void **state)
{
	struct submission_config section = { .name = "local" };
	struct endpoint unix_peer = { .kind = ENDPOINT_UNIX }, peer;

	(void)state;
	unix_peer.address.any.sa_family = AF_UNIX;
	/* An empty list is nobody: an open relay is never an accident. */
	peer = peer_at("127.0.0.1");
	assert_false(access_may_relay(&section, &peer));
	assert_true(access_may_relay(&section, &unix_peer));
	allow(&section, "127.0.0.0/8");
	allow(&section, "::1/128");
	assert_true(access_may_relay(&section, &peer));
	peer = peer_at("::1");
	assert_true(access_may_relay(&section, &peer));
	peer = peer_at("::ffff:127.0.0.1");
	assert_true(access_may_relay(&section, &peer));
	peer = peer_at("192.0.2.9");
	assert_false(access_may_relay(&section, &peer));
	peer = peer_at("2001:db8::1");
	assert_false(access_may_relay(&section, &peer));
	network_list_free(&section.allow);
}

static void
test_counts(void **state)
{
	struct submission_config section = {
		.name = "local", .max_connections = 3, .max_connections_per_client = 2
	};
	struct access *access = access_new();

	(void)state;
	assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_OK);
	assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_OK);
	assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_CLIENT_FULL);
	assert_int_equal(enter(access, &section, "192.0.2.2"), ACCESS_OK);
	assert_int_equal(enter(access, &section, "192.0.2.3"), ACCESS_FULL);
	leave(access, "local", "192.0.2.1");
	assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_OK);
	leave(access, "local", "192.0.2.1");
	leave(access, "local", "192.0.2.1");
	leave(access, "local", "192.0.2.2");
	assert_int_equal(enter(access, &section, "192.0.2.3"), ACCESS_OK);
	leave(access, "local", "192.0.2.3");
	access_free(access);
	access_free(NULL);
}

/* Blocks are counted apart; a refused client is not counted. */
static void
test_blocks_apart(void **state)
{
	struct submission_config one = {
		.name = "one", .max_connections = 1, .max_connections_per_client = 1
	}, two = { .name = "two", .max_connections = 1, .max_connections_per_client = 1 };
	struct access *access = access_new();

	(void)state;
	assert_int_equal(enter(access, &one, "192.0.2.1"), ACCESS_OK);
	assert_int_equal(enter(access, &two, "192.0.2.1"), ACCESS_OK);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(enter(access, &one, "192.0.2.2"), ACCESS_FULL);
	leave(access, "one", "192.0.2.1");
	assert_int_equal(enter(access, &one, "192.0.2.2"), ACCESS_OK);
	leave(access, "one", "192.0.2.2");
	leave(access, "two", "192.0.2.1");
	access_free(access);
}

static const char *
key_of(const char *host, char out[ACCESS_KEY_MAX])
{
	struct endpoint peer = peer_at(host);
	struct access_client client = access_client_of(&peer, (unsigned)-1);

	assert_false(client.is_local);
	snprintf(out, ACCESS_KEY_MAX, "%s", client.key);
	return out;
}

/* Whoever can choose among many addresses is one client all the same. */
static void
test_who_is_one_client(void **state)
{
	struct endpoint unix_peer = { .kind = ENDPOINT_UNIX };
	struct access_client client;
	char key[ACCESS_KEY_MAX];

	(void)state;
	assert_string_equal(key_of("192.0.2.9", key), "192.0.2.9");
	assert_string_equal(key_of("::ffff:192.0.2.9", key), "192.0.2.9");
	assert_string_equal(key_of("2001:db8:1:2::9", key), "2001:db8:1:2::/64");
	assert_string_equal(key_of("2001:db8:1:2:ffff:ffff:ffff:ffff", key), "2001:db8:1:2::/64");
	assert_string_equal(key_of("2001:db8:1:3::9", key), "2001:db8:1:3::/64");
	assert_string_equal(key_of("2001:db8:1111:2222:3333:4444:5555:6666", key),
	    "2001:db8:1111:2222::/64");
	assert_string_equal(key_of("127.0.0.1", key), "loopback");
	assert_string_equal(key_of("127.9.8.7", key), "loopback");
	assert_string_equal(key_of("::ffff:127.0.0.1", key), "loopback");
	assert_string_equal(key_of("::1", key), "loopback");
	client = access_client_of(&unix_peer, 1000);
	assert_true(client.is_local);
	assert_string_equal(client.key, "uid 1000");
}

/* A flood over TCP leaves the users of the machine their sessions, and the other way round. */
static void
test_unix_sockets_apart(void **state)
{
	struct submission_config section = {
		.name = "local", .max_connections = 2, .max_connections_per_client = 2
	};
	struct access *access = access_new();

	(void)state;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_OK);
	assert_int_equal(enter(access, &section, "192.0.2.2"), ACCESS_FULL);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(enter(access, &section, "uid 1000"), ACCESS_OK);
	assert_int_equal(enter(access, &section, "uid 1001"), ACCESS_FULL);
	leave(access, "local", "uid 1000");
	assert_int_equal(enter(access, &section, "192.0.2.2"), ACCESS_FULL);
	assert_int_equal(enter(access, &section, "uid 1001"), ACCESS_OK);
	access_free(access);
}

/* A proxy's connection is one of all until its client is known, and then the client's. */
static void
test_not_known_yet(void **state)
{
	struct submission_config section = {
		.name = "local", .max_connections = 2, .max_connections_per_client = 1
	};
	struct access *access = access_new();

	(void)state;
	assert_int_equal(enter(access, &section, ""), ACCESS_OK);
	assert_int_equal(enter(access, &section, ""), ACCESS_OK);
	assert_int_equal(enter(access, &section, ""), ACCESS_FULL);
	leave(access, "local", "");
	assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_OK);
	leave(access, "local", "");
	assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_CLIENT_FULL);
	leave(access, "local", "192.0.2.1");
	assert_int_equal(enter(access, &section, "192.0.2.1"), ACCESS_OK);
	access_free(access);
}

static void
test_stress(void **state)
{
	struct submission_config section = {
		.name = "local", .max_connections = 10, .max_connections_per_client = 10
	};
	struct access_client client = client_of("192.0.2.1"), local = client_of("uid 0");
	struct access *access = access_new();

	(void)state;
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(enter(access, &section, client.key), ACCESS_OK);
	assert_false(access_is_stressed(access, &section, &client));
	assert_int_equal(enter(access, &section, client.key), ACCESS_OK);
	assert_true(access_is_stressed(access, &section, &client));
	assert_false(access_is_stressed(access, &section, &local));
	leave(access, "local", client.key);
	assert_false(access_is_stressed(access, &section, &client));
	access_free(access);
}

/* Ten wrong passwords, then one in a minute; right ones of others are not touched. */
static void
test_guesses(void **state)
{
	const int64_t start = INT64_C(1700000000000000), minute = INT64_C(60000000);
	struct guesses *guesses = guesses_new();

	(void)state;
	clock_set(start);
	for (unsigned i = 0; i < GUESSES_FREE; i++) {
		assert_true(guesses_may(guesses, "192.0.2.1"));
		guesses_refused(guesses, "192.0.2.1");
	}
	assert_false(guesses_may(guesses, "192.0.2.1"));
	assert_true(guesses_may(guesses, "192.0.2.2"));
	clock_set(start + minute - 1);
	assert_false(guesses_may(guesses, "192.0.2.1"));
	clock_set(start + minute);
	assert_true(guesses_may(guesses, "192.0.2.1"));
	guesses_refused(guesses, "192.0.2.1");
	assert_false(guesses_may(guesses, "192.0.2.1"));
	/* All is forgotten in the end, and the entry goes with the next guess of another. */
	clock_set(start + 11 * minute);
	guesses_refused(guesses, "192.0.2.3");
	assert_int_equal(guesses_count(guesses), 1);
	guesses_free(guesses);
	guesses_free(NULL);
	clock_set(-1);
}

static void
test_guessers_are_bounded(void **state)
{
	struct guesses *guesses = guesses_new();
	char client[ACCESS_KEY_MAX];

	(void)state;
	clock_set(INT64_C(1700000000000000));
	for (unsigned i = 0; i < GUESSES_FREE; i++)
		guesses_refused(guesses, "192.0.2.1");
	for (unsigned i = 0; i < GUESSES_CLIENTS - 1; i++) {
		snprintf(client, sizeof(client), "198.51.%u.%u", i / 256, i % 256);
		guesses_refused(guesses, client);
	}
	assert_int_equal(guesses_count(guesses), GUESSES_CLIENTS);
	assert_false(guesses_may(guesses, "192.0.2.1"));
	guesses_refused(guesses, "203.0.113.1");
	assert_int_equal(guesses_count(guesses), GUESSES_CLIENTS);
	assert_true(guesses_may(guesses, "192.0.2.1"));
	guesses_free(guesses);
	clock_set(-1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_may_relay),
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_blocks_apart),
		cmocka_unit_test(test_who_is_one_client),
		cmocka_unit_test(test_unix_sockets_apart),
		cmocka_unit_test(test_not_known_yet),
		cmocka_unit_test(test_stress),
		cmocka_unit_test(test_guesses),
		cmocka_unit_test(test_guessers_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
