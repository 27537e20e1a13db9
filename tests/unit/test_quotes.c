/* test_quotes.c - the UDP service on loopback sockets: order, guards, limits, reload. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/service.h"
#include "conf/config.h"
#include "net/loop.h"
#include "net/socket.h"
#include "services/guard.h"
#include "services/quotes.h"

#define LIST "quotes = {\"one\", \"two\", \"three\"} "

static struct loop *loop;
static struct socket_pool *pool;
static struct quotes *quotes;
static uint16_t port;
static char conffile[] = "/tmp/herald-quotes.XXXXXX";

/* A port that was free a moment ago. */
static uint16_t
free_port(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	close(fd);
	return ntohs(in.sin_port);
}

static void *
prepare(const char *keys, struct error *err, struct config **config)
{
	char *text = mem_printf("quotes books { listen = \"%s:%u\" %s }\n",
	    strstr(keys, "WILD") != NULL ? "*" : "127.0.0.1", port, keys);
	char *wild = strstr(text, "WILD");
	FILE *file = fopen(conffile, "w");
	void *prepared;

	if (wild != NULL)
		memset(wild, ' ', 4);
	fputs(text, file);
	fclose(file);
	free(text);
	*config = config_load(conffile, err);
	if (*config == NULL)
		fail_msg("%s", err->text);
	prepared = quotes_service.prepare(quotes, *config, err);
	return prepared;
}

static void
apply(const char *keys)
{
	struct error err;
	struct config *config;
	void *prepared = prepare(keys, &err, &config);

	if (prepared == NULL)
		fail_msg("%s", err.text);
	quotes_service.commit(quotes, prepared, config);
	config_unref(config);
}

/* A client at that address and port, 0 for any. */
static int
client(const char *address, uint16_t source_port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(source_port) };
	struct timeval brief = { 0, 20000 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	inet_pton(AF_INET, address, &in.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &brief, sizeof(brief)), 0);
	return fd;
}

static void
ask(int fd, const char *octets, size_t len)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	assert_int_equal(
	    sendto(fd, octets, len, 0, (struct sockaddr *)&to, sizeof(to)), (ssize_t)len);
	loop_turn(loop, 1000);
}

/* The answer, or "" when none comes. */
static const char *
answer(int fd)
{
	static char text[2048];
	ssize_t len = recv(fd, text, sizeof(text) - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	return text;
}

static const char *
exchange(int fd, const char *request)
{
	ask(fd, request, strlen(request));
	return answer(fd);
}

static json_int_t
counted(const char *what)
{
	json_t *status = quotes_service.status(quotes);
	json_int_t count = json_integer_value(
	    json_object_get(json_object_get(status, "books"), what));

	json_decref(status);
	return count;
}

static void
quotes_come_in_order_for_all_clients(void **state)
{
	int a = client("127.0.0.1", 0), b = client("127.0.0.2", 0);

	(void)state;
	apply(LIST);
	assert_string_equal(exchange(a, "x"), "one");
	assert_string_equal(exchange(b, "x"), "two");
	assert_string_equal(exchange(a, ""), "three");
	assert_string_equal(exchange(a, "x"), "one");
	assert_int_equal(counted("answered"), 4);
	close(a);
	close(b);
}

static void
the_cursor_stays_while_the_list_does(void **state)
{
	int fd = client("127.0.0.1", 0);

	(void)state;
	apply(LIST);
	assert_string_equal(exchange(fd, "x"), "one");
	apply(LIST "max_request = 100");
	assert_string_equal(exchange(fd, "x"), "two");
	apply("quotes = {\"1\", \"2\"}");
	assert_string_equal(exchange(fd, "x"), "1");
	assert_int_equal(counted("answered"), 3);
	close(fd);
}

static void
an_abandoned_reload_changes_nothing(void **state)
{
	int fd = client("127.0.0.1", 0);
	struct config *config;
	struct error err;
	void *prepared;

	(void)state;
	apply(LIST);
	assert_string_equal(exchange(fd, "x"), "one");
	prepared = prepare("quotes = {\"other\"}", &err, &config);
	assert_non_null(prepared);
	quotes_service.abandon(quotes, prepared);
	config_unref(config);
	assert_string_equal(exchange(fd, "x"), "two");
	close(fd);
}

static void
what_cannot_be_prepared_is_named(void **state)
{
	int taken = client("127.0.0.1", 0);
	struct sockaddr_in in;
	socklen_t len = sizeof(in);
	uint16_t old = port;
	struct config *config;
	struct error err;
	char expected[200], keys[100];
	char book[] = "/tmp/herald-quotes-book.XXXXXX";
	int fd = mkstemp(book);

	(void)state;
	assert_int_equal(write(fd, "a\nb\xff\n", 5), 5);
	close(fd);
	snprintf(keys, sizeof(keys), "\nfile = \"%s\"", book);
	assert_null(prepare(keys, &err, &config));
	snprintf(expected, sizeof(expected), "%s:1: %s: line 2 is not valid UTF-8", conffile, book);
	assert_string_equal(err.text, expected);
	config_unref(config);
	unlink(book);
	getsockname(taken, (struct sockaddr *)&in, &len);
	port = ntohs(in.sin_port);
	assert_null(prepare(LIST, &err, &config));
	snprintf(expected, sizeof(expected), "%s:1: quotes books: ", conffile);
	assert_memory_equal(err.text, expected, strlen(expected));
	config_unref(config);
	port = old;
	close(taken);
}

static void
ports_of_services_get_no_answer(void **state)
{
	static const uint16_t ports[] = { 7, 13, 17, 19, 53, 123, 999, 1023, 1900, 2049, 5353,
		11211 };

	(void)state;
	if (geteuid() != 0)
		skip();
	apply(LIST);
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		int fd = client("127.0.0.77", ports[i]);

		assert_string_equal(exchange(fd, "x"), "");
		close(fd);
	}
	assert_int_equal(counted("refused_port"), sizeof(ports) / sizeof(ports[0]));
	assert_int_equal(counted("answered"), 0);
}

static void
our_own_port_gets_no_answer(void **state)
{
	int fd = client("127.0.0.2", port);

	(void)state;
	apply(LIST);
	assert_string_equal(exchange(fd, "x"), "");
	assert_int_equal(counted("refused_port"), 1);
	close(fd);
}

static void
networks_are_allowed_or_denied(void **state)
{
	int a = client("127.0.0.1", 0), b = client("127.0.0.2", 0), c = client("127.1.0.1", 0);

	(void)state;
	apply(LIST "allow = {\"127.0.0.0/16\"} deny = {\"127.0.0.2/32\"}");
	assert_string_equal(exchange(a, "x"), "one");
	assert_string_equal(exchange(b, "x"), "");
	assert_string_equal(exchange(c, "x"), "");
	assert_int_equal(counted("denied"), 2);
	close(a);
	close(b);
	close(c);
}

static void
rates_are_kept_and_outlive_a_reload(void **state)
{
	int fd = client("127.0.0.1", 0), other = client("127.0.9.1", 0);
	unsigned answers = 0;

	(void)state;
	clock_set(INT64_C(1700000000) * 1000000);
	apply(LIST "rate = \"1/m\" burst = 4 rate_exempt = {}");
	for (int i = 0; i < 8; i++) {
		if (i == 6)
			apply(LIST "rate = \"1/m\" burst = 4 rate_exempt = {} max_request = 9");
		answers += exchange(fd, "x")[0] != '\0';
	}
	assert_int_equal(answers, 4);
	assert_int_equal(counted("limited"), 4);
	assert_string_equal(exchange(other, "x"), "two");
	clock_set(INT64_C(1700000060) * 1000000);
	assert_string_equal(exchange(fd, "x"), "three");
	apply(LIST "rate = \"\" rate_exempt = {}");
	for (int i = 0; i < 50; i++)
		assert_string_not_equal(exchange(fd, "x"), "");
	clock_set(-1);
	close(fd);
	close(other);
}

static void
long_requests_get_no_answer(void **state)
{
	int fd = client("127.0.0.1", 0);
	char *octets = mem_zalloc(65507);

	(void)state;
	apply(LIST "max_request = 64");
	ask(fd, octets, 64);
	assert_string_equal(answer(fd), "one");
	ask(fd, octets, 65);
	ask(fd, octets, 66);
	ask(fd, octets, 65507);
	assert_string_equal(answer(fd), "");
	assert_int_equal(counted("too_long"), 3);
	apply(LIST "max_request = 65507");
	ask(fd, octets, 65507);
	assert_string_equal(answer(fd), "two");
	free(octets);
	close(fd);
}

static void
nothing_is_amplified(void **state)
{
	int fd = client("127.0.0.1", 0);

	(void)state;
	apply("quotes = {\"123456\"} max_amplification = 2");
	assert_string_equal(exchange(fd, "ab"), "");
	assert_string_equal(exchange(fd, ""), "");
	assert_string_equal(exchange(fd, "abc"), "123456");
	assert_int_equal(counted("amplifies"), 2);
	close(fd);
}

/* An echo service sends back what it gets: the circle ends, exempt or not. */
static void
an_echo_ends(void **state)
{
	int fd = client("127.0.0.1", 0);
	unsigned rounds = 0;
	char text[64] = "x";

	(void)state;
	apply(LIST);
	while (text[0] != '\0' && rounds < 100) {
		snprintf(text, sizeof(text), "%.63s", exchange(fd, text));
		rounds++;
	}
	assert_in_range(rounds, 2, 12);
	assert_int_equal(counted("echoed"), 1);
	assert_string_not_equal(exchange(fd, "x"), "");
	close(fd);
}

static void
answers_leave_from_the_address_that_was_asked(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET }, from;
	socklen_t len = sizeof(from);
	int fd = client("127.0.0.1", 0);
	char text[64];

	(void)state;
	apply("WILD " LIST);
	to.sin_port = htons(port);
	inet_pton(AF_INET, "127.0.3.9", &to.sin_addr);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	loop_turn(loop, 1000);
	assert_int_equal(recvfrom(fd, text, sizeof(text), 0, (struct sockaddr *)&from, &len), 3);
	assert_int_equal(from.sin_addr.s_addr, to.sin_addr.s_addr);
	close(fd);
}

static void
broadcasts_get_no_answer(void **state)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = client("127.0.0.1", 0), on = 1;

	(void)state;
	apply("WILD " LIST);
	to.sin_port = htons(port);
	inet_pton(AF_INET, "127.255.255.255", &to.sin_addr);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)), 0);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	loop_turn(loop, 200);
	assert_string_equal(answer(fd), "");
	assert_int_equal(counted("refused_address"), 1);
	close(fd);
}

static void
v6_is_served_too(void **state)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	char text[64];

	(void)state;
	to.sin6_port = 0;
	if (fd == -1 || bind(fd, (struct sockaddr *)&to, sizeof(to)) == -1)
		skip();
	apply("WILD " LIST);
	to.sin6_port = htons(port);
	assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	loop_turn(loop, 1000);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 3);
	close(fd);
}

static void
a_turn_answers_a_bounded_number(void **state)
{
	int fd = client("127.0.0.1", 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };

	(void)state;
	apply(LIST);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	for (int i = 0; i < 150; i++)
		assert_int_equal(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	loop_turn(loop, 1000);
	assert_int_equal(counted("answered"), 64);
	loop_turn(loop, 1000);
	loop_turn(loop, 1000);
	assert_int_equal(counted("answered"), 150);
	close(fd);
}

static void
orders_other_than_sequential(void **state)
{
	int fd = client("127.0.0.1", 0);
	unsigned seen = 0;

	(void)state;
	clock_set(INT64_C(86400) * 3 * 6000 * 1000000);
	apply(LIST "order = daily");
	assert_string_equal(exchange(fd, "x"), "one");
	assert_string_equal(exchange(fd, "x"), "one");
	clock_set(INT64_C(86400) * (3 * 6000 + 1) * 1000000);
	assert_string_equal(exchange(fd, "x"), "two");
	clock_set(-1);
	apply(LIST "order = random log_requests = false");
	for (int i = 0; i < 100; i++)
		seen |= 1u << strlen(exchange(fd, "x"));
	assert_int_equal(seen, 1u << 3 | 1u << 5);
	close(fd);
}

static void
drained_it_is_silent(void **state)
{
	int fd = client("127.0.0.1", 0);

	(void)state;
	apply(LIST);
	assert_true(quotes_service.drain(quotes));
	ask(fd, "x", 1);
	assert_string_equal(answer(fd), "");
	close(fd);
}

static enum guard_verdict
judge(const char *address, uint16_t source_port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(source_port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(source_port) };

	if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
		return guard_source((struct sockaddr *)&in);
	assert_int_equal(inet_pton(AF_INET6, address, &in6.sin6_addr), 1);
	return guard_source((struct sockaddr *)&in6);
}

static void
sources_are_judged(void **state)
{
	static const char *const bad[] = { "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.1.2.3",
		"240.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:192.0.2.1",
		"::192.0.2.1" };
	static const char *const good[] = { "127.0.0.1", "192.0.2.1", "223.255.255.254", "::1",
		"2001:db8::1", "fe80::1" };

	(void)state;
	for (unsigned p = 0; p < 1024; p++)
		assert_int_equal(judge("192.0.2.1", (uint16_t)p), GUARD_PORT);
	assert_int_equal(judge("2001:db8::1", 2049), GUARD_PORT);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(judge(bad[i], 40000), GUARD_ADDRESS);
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(judge(good[i], 1024), GUARD_GOOD);
		assert_int_equal(judge(good[i], 65535), GUARD_GOOD);
	}
}

static int
set_up(void **state)
{
	struct error err;

	(void)state;
	loop = loop_new(&err);
	pool = socket_pool_new();
	quotes = quotes_new(loop, pool);
	port = free_port();
	return loop != NULL ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_set(-1);
	quotes_service.destroy(quotes);
	socket_pool_free(pool);
	loop_free(loop);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(quotes_come_in_order_for_all_clients),
		TEST(the_cursor_stays_while_the_list_does),
		TEST(an_abandoned_reload_changes_nothing),
		TEST(what_cannot_be_prepared_is_named),
		TEST(ports_of_services_get_no_answer),
		TEST(our_own_port_gets_no_answer),
		TEST(networks_are_allowed_or_denied),
		TEST(rates_are_kept_and_outlive_a_reload),
		TEST(long_requests_get_no_answer),
		TEST(nothing_is_amplified),
		TEST(an_echo_ends),
		TEST(answers_leave_from_the_address_that_was_asked),
		TEST(broadcasts_get_no_answer),
		TEST(v6_is_served_too),
		TEST(a_turn_answers_a_bounded_number),
		TEST(orders_other_than_sequential),
		TEST(drained_it_is_silent),
		TEST(sources_are_judged),
	};
	int fd = mkstemp(conffile), failed;

	if (fd == -1)
		return 1;
	close(fd);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(conffile);
	return failed;
}
