/* test_route.c - hosts in their order, each with its addresses. */
#include "relay/route.h"

#include "base/error.h"
#include "base/mem.h"
#include "conf/config.h"
#include "net/loop.h"
#include "net/resolver.h"

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
	struct route *route;
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
	if (hop != NULL)
		next_hop_text(hop, walk->text);
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
	for (int i = 0; i < 200 && walk->answers == before; i++)
		loop_turn(walk->loop, 100);
	assert_int_equal(walk->answers, before + 1);
	return walk->text;
}

static void
begin(struct walk *walk, const struct relay_config *config)
{
	struct error err;

	memset(walk, 0, sizeof(*walk));
	walk->loop = loop_new(&err);
	walk->resolver = resolver_new(walk->loop, &err);
	walk->route = route_new(walk->loop, config, walk->resolver);
}

static void
finish(struct walk *walk)
{
	route_free(walk->route);
	resolver_free(walk->resolver);
	loop_free(walk->loop);
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
	assert_string_equal(next(&walk), "");
	assert_false(walk.failed);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order), cmocka_unit_test(test_name_of_hosts_file),
		cmocka_unit_test(test_unknown_name), cmocka_unit_test(test_freed_while_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
