/* test_storm.c - how many reports a sender gets, against a plain count of them all. */
#include "relay/storm.h"

#include "mail/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct storm_limits limits = { .reports = 3, .period = 100, .senders = 4 };
static const struct address ann = { "ann", "example.org" }, bob = { "bob", "example.org" };

static void
test_limit(void **state)
{
	struct storm *storm = storm_new(&limits);
	int64_t when = 0;

	(void)state;
	for (int64_t now = 1000; now < 1003; now++) {
		assert_int_equal(storm_judge(storm, &ann, now, &when), STORM_TELL);
		storm_told(storm, &ann, now);
	}
	assert_int_equal(storm_judge(storm, &ann, 1003, &when), STORM_LATER);
	assert_int_equal(when, 1100);
	assert_int_equal(storm_judge(storm, &bob, 1003, &when), STORM_TELL);
	assert_int_equal(storm_judge(storm, &ann, 1099, &when), STORM_LATER);
	/* The window rolls: there is room for as many as have left it. */
	assert_int_equal(storm_judge(storm, &ann, 1100, &when), STORM_TELL);
	storm_told(storm, &ann, 1100);
	assert_int_equal(storm_judge(storm, &ann, 1100, &when), STORM_LATER);
	assert_int_equal(when, 1101);
	storm_free(storm);
	storm_free(NULL);
}

static void
test_gather(void **state)
{
	struct storm *storm = storm_new(&limits);
	int64_t when = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		storm_told(storm, &ann, 1000);
	storm_put_off(storm, &ann, 1100);
	storm_put_off(storm, &ann, 1100);
	assert_int_equal(storm_owed(storm, &ann), 2);
	assert_int_equal(storm_judge(storm, &ann, 1050, &when), STORM_LATER);
	assert_int_equal(storm_judge(storm, &ann, 1100, &when), STORM_GATHER);
	storm_settled(storm, &ann, 1);
	assert_int_equal(storm_judge(storm, &ann, 1101, &when), STORM_GATHER);
	storm_settled(storm, &ann, 5);
	assert_int_equal(storm_owed(storm, &ann), 0);
	assert_int_equal(storm_judge(storm, &ann, 1101, &when), STORM_TELL);
	/* What never comes back is not waited for. */
	storm_put_off(storm, &ann, 1200);
	assert_int_equal(storm_judge(storm, &ann, 1800, &when), STORM_GATHER);
	assert_int_equal(storm_judge(storm, &ann, 1801, &when), STORM_TELL);
	storm_settled(storm, &bob, 1);
	assert_int_equal(storm_owed(storm, &bob), 0);
	storm_free(storm);
}

/* A clock that is set back neither opens nor shuts the gate for longer than the period. */
static void
test_clock_set_back(void **state)
{
	struct storm *storm = storm_new(&limits);
	int64_t when = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++)
		storm_told(storm, &ann, 900000);
	assert_int_equal(storm_judge(storm, &ann, 1000, &when), STORM_TELL);
	for (unsigned i = 0; i < 4; i++)
		storm_told(storm, &ann, 1000);
	assert_int_equal(storm_judge(storm, &ann, 1000, &when), STORM_LATER);
	assert_int_equal(when, 1100);
	storm_free(storm);
}

static void
test_memory(void **state)
{
	struct storm *storm = storm_new(&limits);
	int64_t when = 0;
	struct address other = { "", "example.org" };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		storm_told(storm, &ann, 1000);
		storm_told(storm, &bob, 1000);
	}
	storm_put_off(storm, &bob, 1100);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(other.local, sizeof(other.local), "u%u", i);
		storm_told(storm, &other, 1001);
	}
	/* Four are remembered: of the five the one that was silent longest is not. */
	assert_int_equal(storm_judge(storm, &ann, 1002, &when), STORM_TELL);
	assert_int_equal(storm_judge(storm, &bob, 1002, &when), STORM_LATER);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(other.local, sizeof(other.local), "v%u", i);
		storm_told(storm, &other, 1002);
	}
	assert_int_equal(storm_judge(storm, &bob, 1002, &when), STORM_TELL);
	storm_free(storm);
}

/* At no time have more than three gone in the hundred seconds before. */
static void
test_random(void **state)
{
	struct storm *storm = storm_new(&limits);
	int64_t told[20000], now = 5000, when = 0;
	size_t count = 0;
	unsigned seed = 20261123;

	(void)state;
	printf("seed %u\n", seed);
	for (unsigned round = 0; round < 20000; round++) {
		size_t recent = 0;
		bool full;

		now += rand_r(&seed) % 40;
		for (size_t i = count; i > 0 && told[i - 1] > now - limits.period; i--)
			recent++;
		full = recent >= limits.reports;
		assert_int_equal(storm_judge(storm, &ann, now, &when),
		    full ? STORM_LATER : STORM_TELL);
		if (full) {
			assert_int_equal(when, told[count - limits.reports] + limits.period);
			continue;
		}
		storm_told(storm, &ann, now);
		told[count++] = now;
	}
	storm_free(storm);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit), cmocka_unit_test(test_gather),
		cmocka_unit_test(test_clock_set_back), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
