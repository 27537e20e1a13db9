/* test_rate_table.c - shares of source networks over time, and under a flood of sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "services/rate_table.h"

#define SECOND INT64_C(1000000)

static struct sockaddr_storage
address(const char *text)
{
	struct sockaddr_storage storage;
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

	memset(&storage, 0, sizeof(storage));
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
		memcpy(&storage, &in, sizeof(in));
	else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
		memcpy(&storage, &in6, sizeof(in6));
	else
		fail_msg("%s", text);
	return storage;
}

/* How many of `tries` at that time are let through. */
static unsigned
take(struct rate_table *table, const char *text, unsigned tries, int64_t now_us)
{
	struct sockaddr_storage source = address(text);
	unsigned taken = 0;

	while (tries-- > 0)
		taken += rate_table_take(table, (const struct sockaddr *)&source, now_us);
	return taken;
}

static void
a_burst_and_then_the_rate(void **state)
{
	struct rate_table *table = rate_table_new(5, 1, 10);
	int64_t now = 77 * SECOND;

	(void)state;
	assert_int_equal(take(table, "192.0.2.1", 100, now), 10);
	assert_int_equal(take(table, "192.0.2.1", 100, now + SECOND / 5 - 1), 0);
	assert_int_equal(take(table, "192.0.2.1", 100, now + SECOND / 5), 1);
	assert_int_equal(take(table, "192.0.2.1", 100, now + SECOND), 4);
	assert_int_equal(take(table, "192.0.2.1", 100, now + 2 * SECOND), 5);
	/* Rested, it has its burst again and no more. */
	assert_int_equal(take(table, "192.0.2.1", 100, now + 3600 * SECOND), 10);
	rate_table_free(table);
}

static void
refused_requests_cost_nothing(void **state)
{
	struct rate_table *table = rate_table_new(1, 1, 1);
	unsigned taken = 0;

	(void)state;
	for (int64_t now = 0; now < 10 * SECOND; now += 1000)
		taken += take(table, "192.0.2.1", 1, now);
	assert_int_equal(taken, 10);
	rate_table_free(table);
}

static void
rates_of_minutes_hold_exactly(void **state)
{
	struct rate_table *table = rate_table_new(30, 60, 3);
	unsigned taken = 0;

	(void)state;
	for (int64_t now = 0; now < 600 * SECOND; now += SECOND / 10)
		taken += take(table, "192.0.2.1", 1, now);
	assert_in_range(taken, 300, 303);
	rate_table_free(table);
}

static void
networks_share_and_others_do_not(void **state)
{
	struct rate_table *table = rate_table_new(1, 1, 2);

	(void)state;
	assert_int_equal(take(table, "192.0.2.1", 1, 0), 1);
	assert_int_equal(take(table, "192.0.2.254", 5, 0), 1);
	assert_int_equal(take(table, "::ffff:192.0.2.7", 5, 0), 0);
	assert_int_equal(take(table, "192.0.3.1", 5, 0), 2);
	assert_int_equal(take(table, "2001:db8:0:aa00::1", 1, 0), 1);
	assert_int_equal(take(table, "2001:db8:0:aaff:1::2", 5, 0), 1);
	assert_int_equal(take(table, "2001:db8:0:ab00::1", 5, 0), 2);
	assert_int_equal(take(table, "::", 5, 0), 2);
	assert_int_equal(take(table, "0.0.0.0", 5, 0), 2);
	rate_table_free(table);
}

/* A flood of forged sources takes places, yet each source keeps its own limit while it
 * has one, and a quiet table forgets it all. */
static void
a_flood_of_sources_takes_no_memory(void **state)
{
	struct rate_table *table = rate_table_new(1, 1, 1);
	struct sockaddr_in in = { .sin_family = AF_INET };
	unsigned taken = 0, again = 0;

	(void)state;
	for (uint32_t i = 0; i < 200000; i++) {
		in.sin_addr.s_addr = htonl(i << 8);
		taken += rate_table_take(table, (const struct sockaddr *)&in, 1);
		again += rate_table_take(table, (const struct sockaddr *)&in, 1);
	}
	assert_int_equal(taken, 200000);
	assert_int_equal(again, 0);
	assert_in_range(rate_table_used(table, 1), 60000, 65536);
	assert_int_equal(rate_table_used(table, 2 * SECOND), 0);
	rate_table_free(table);
}

static void
the_fastest_rate_counts(void **state)
{
	struct rate_table *table = rate_table_new(1000000, 1, 5);

	(void)state;
	assert_int_equal(take(table, "192.0.2.1", 100, 50), 5);
	assert_int_equal(take(table, "192.0.2.1", 100, 51), 1);
	rate_table_free(table);
	table = rate_table_new(3000000, 1, 5);
	assert_int_equal(take(table, "192.0.2.1", 100, 50), 5);
	rate_table_free(table);
	rate_table_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_burst_and_then_the_rate),
		cmocka_unit_test(refused_requests_cost_nothing),
		cmocka_unit_test(rates_of_minutes_hold_exactly),
		cmocka_unit_test(networks_share_and_others_do_not),
		cmocka_unit_test(a_flood_of_sources_takes_no_memory),
		cmocka_unit_test(the_fastest_rate_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
