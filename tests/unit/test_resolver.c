/* test_resolver.c - names to addresses, against a DNS server of the test's own. */
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/loop.h"
#include "net/resolver.h"

struct fixture {
	struct loop *loop;
	struct resolver *resolver;
	struct resolver_query *query;
	int server;
	struct event *event;
	int asked;
	bool is_mute;
	int answers;
	enum resolver_outcome outcome;
	struct endpoint addresses[16];
	size_t count;
	char text[200];
};

/* One record behind a pointer to the question's name. */
static size_t
put_record(uint8_t *out, int type, const uint8_t *octets, size_t len)
{
	const uint8_t head[12] = { 0xc0, 12, 0, (uint8_t)type, 0, 1, 0, 0, 0, 60, 0,
	    (uint8_t)len };

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), octets, len);
	return sizeof(head) + len;
}

/* "both": one of each; "four": v4 only; "many": 12 v4, 3 v6; "none": no data; "gone":
 * NXDOMAIN; else SERVFAIL. */
static size_t
reply(uint8_t *octets, size_t len)
{
	const char *label = (const char *)octets + 13;
	size_t end = 12;
	int type, count = 0;
	const uint8_t v4[4] = { 192, 0, 2, 1 };
	uint8_t address[16] = { 0x20, 0x01, 0x0d, 0xb8, [15] = 1 };

	while (end < len && octets[end] != 0)
		end += octets[end] + 1u;
	type = octets[end + 2];
	len = end + 5;
	octets[2] = 0x84;
	octets[3] = 0x80;
	memset(octets + 6, 0, 6);
	if (strncasecmp(label, "gone", 4) == 0)
		octets[3] = 0x83;
	else if (strncasecmp(label, "both", 4) == 0)
		count = 1;
	else if (strncasecmp(label, "four", 4) == 0)
		count = type == 1;
	else if (strncasecmp(label, "many", 4) == 0)
		count = type == 1 ? 12 : 3;
	else if (strncasecmp(label, "none", 4) != 0)
		octets[3] = 0x82;
	for (int i = 0; i < count; i++) {
		memcpy(address, type == 1 ? v4 : address, type == 1 ? 4 : 16);
		address[type == 1 ? 3 : 15] = (uint8_t)(i + 1);
		len += put_record(octets + len, type, address, type == 1 ? 4 : 16);
	}
	octets[7] = (uint8_t)count;
	return len;
}

static void
on_question(int fd, short what, void *arg)
{
	struct fixture *f = arg;
	uint8_t octets[1500];
	struct sockaddr_storage client;
	socklen_t client_len = sizeof(client);
	ssize_t len = recvfrom(fd, octets, 512, 0, (struct sockaddr *)&client, &client_len);

	(void)what;
	f->asked++;
	if (len > 16 && !f->is_mute)
		sendto(fd, octets, reply(octets, (size_t)len), 0, (struct sockaddr *)&client,
		    client_len);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	char server[40];
	struct error err;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->loop = loop_new(&err);
	f->server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->server, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(f->server, (struct sockaddr *)&in, &len), 0);
	f->event = event_new(loop_base(f->loop), f->server, EV_READ | EV_PERSIST, on_question, f);
	event_add(f->event, NULL);
	f->resolver = resolver_new(f->loop, &err);
	assert_non_null(f->resolver);
	snprintf(server, sizeof(server), "127.0.0.1@%u", ntohs(in.sin_port));
	assert_true(resolver_use_server(f->resolver, server, &err));
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	resolver_free(f->resolver);
	event_free(f->event);
	loop_free(f->loop);
	close(f->server);
	free(f);
	return 0;
}

static void
on_done(void *arg, enum resolver_outcome outcome, const struct endpoint *addresses, size_t count,
    const char *text)
{
	struct fixture *f = arg;

	f->answers++;
	f->outcome = outcome;
	f->count = count;
	memcpy(f->addresses, addresses, count * sizeof(*addresses));
	snprintf(f->text, sizeof(f->text), "%s", text);
	resolver_cancel(f->query);		/* too late, and harmless */
}

static void
ask(struct fixture *f, const char *host)
{
	int64_t deadline = clock_monotonic_us() + 40000000;

	f->answers = 0;
	f->query = resolver_addresses(f->resolver, host, 25, on_done, f);
	assert_int_equal(f->answers, 0);
	while (f->answers == 0 && clock_monotonic_us() < deadline)
		loop_turn(f->loop, 100);
	assert_int_equal(f->answers, 1);
	loop_turn(f->loop, 0);
	assert_int_equal(f->answers, 1);
}

static void
test_found(void **state)
{
	struct fixture *f = *state;

	ask(f, "both.example.org");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_int_equal(f->count, 2);
	assert_string_equal(f->addresses[0].text, "[2001:db8::1]:25");
	assert_string_equal(f->addresses[1].text, "192.0.2.1:25");
	ask(f, "four.example.org");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_int_equal(f->count, 1);
	assert_string_equal(f->addresses[0].text, "192.0.2.1:25");
}

static void
test_many_are_cut(void **state)
{
	struct fixture *f = *state;

	ask(f, "many.example.org");
	assert_int_equal(f->count, 10);
	for (size_t i = 0; i < 10; i++)
		assert_int_equal(f->addresses[i].address.any.sa_family,
		    i < 6 && i % 2 == 0 ? AF_INET6 : AF_INET);
}

static void
test_not_found(void **state)
{
	struct fixture *f = *state;

	ask(f, "gone.example.org");
	assert_int_equal(f->outcome, RESOLVER_NO_SUCH_NAME);
	assert_string_equal(f->text, "no such host");
	ask(f, "none.example.org");
	assert_int_equal(f->outcome, RESOLVER_NO_ADDRESS);
	ask(f, "fail.example.org");
	assert_int_equal(f->outcome, RESOLVER_FAILED);
	assert_int_equal(f->count, 0);
}

static void
test_literals(void **state)
{
	struct fixture *f = *state;

	ask(f, "192.0.2.9");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	assert_string_equal(f->addresses[0].text, "192.0.2.9:25");
	ask(f, "2001:db8::9");
	assert_string_equal(f->addresses[0].text, "[2001:db8::9]:25");
	assert_int_equal(f->count, 1);
	assert_int_equal(f->asked, 0);
}

static void
test_no_names(void **state)
{
	struct fixture *f = *state;
	char name[400];

	ask(f, "");
	assert_int_equal(f->outcome, RESOLVER_NO_SUCH_NAME);
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ask(f, name);
	assert_int_equal(f->outcome, RESOLVER_NO_SUCH_NAME);
	name[100] = '\0';			/* a label of 100 octets */
	ask(f, name);
	assert_true(f->outcome != RESOLVER_FOUND);
	assert_int_equal(f->asked, 0);
}

static void
test_localhost(void **state)
{
	struct fixture *f = *state;

	ask(f, "localhost");
	assert_int_equal(f->outcome, RESOLVER_FOUND);
	for (size_t i = 0; i < f->count; i++) {
		char host[ENDPOINT_ADDRESS_MAX];

		endpoint_host(&f->addresses[i], host);
		assert_true(strcmp(host, "127.0.0.1") == 0 || strcmp(host, "::1") == 0);
	}
	assert_int_equal(f->asked, 0);
}

static void
test_cancel(void **state)
{
	struct fixture *f = *state;

	f->query = resolver_addresses(f->resolver, "both.example.org", 25, on_done, f);
	resolver_cancel(f->query);
	f->query = resolver_addresses(f->resolver, "localhost", 25, on_done, f);
	resolver_cancel(f->query);
	f->query = resolver_addresses(f->resolver, "192.0.2.1", 25, on_done, f);
	resolver_cancel(f->query);
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop, 10);
	assert_int_equal(f->answers, 0);
	ask(f, "both.example.org");
	assert_int_equal(f->count, 2);
}

static void
test_freed_with_queries_under_way(void **state)
{
	struct fixture *f = *state;

	f->is_mute = true;
	for (int i = 0; i < 5; i++) {
		char host[40];

		snprintf(host, sizeof(host), "both%d.example.org", i);
		resolver_addresses(f->resolver, host, 25, on_done, f);
	}
	for (int i = 0; i < 20; i++)
		loop_turn(f->loop, 10);
	assert_true(f->asked > 0);
	resolver_free(f->resolver);
	f->resolver = NULL;
	loop_turn(f->loop, 10);
	assert_int_equal(f->answers, 0);
}

/* A server that never answers: failed, and in bounded time. */
static void
test_mute_server(void **state)
{
	struct fixture *f = *state;
	int64_t start = clock_monotonic_us();

	f->is_mute = true;
	ask(f, "both.example.org");
	assert_int_equal(f->outcome, RESOLVER_FAILED);
	assert_in_range(clock_monotonic_us() - start, 0, 35000000);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_found),
		TEST(test_many_are_cut),
		TEST(test_not_found),
		TEST(test_literals),
		TEST(test_no_names),
		TEST(test_localhost),
		TEST(test_cancel),
		TEST(test_freed_with_queries_under_way),
		TEST(test_mute_server),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
