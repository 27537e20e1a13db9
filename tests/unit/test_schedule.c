/* test_schedule.c - retry times double up to their limit, jitter is bounded and repeatable. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "queue/schedule.h"

static const struct schedule defaults = { .retry_min = 300, .retry_max = 14400 };

static void
assert_near(unsigned delay, unsigned nominal)
{
	assert_in_range(delay, nominal - nominal / 10, nominal + nominal / 10);
}

static void
test_doubles_up_to_the_limit(void **state)
{
	static const unsigned nominal[] = { 300, 600, 1200, 2400, 4800, 9600, 14400, 14400 };
	uint32_t n;

	(void)state;
	for (n = 0; n < sizeof(nominal) / sizeof(nominal[0]); n++)
		assert_near(schedule_delay(&defaults, 1700000000, n + 1, 42), nominal[n]);
	assert_near(schedule_delay(&defaults, 1700000000, UINT32_MAX, 42), 14400);
	/* Nothing has been tried: as after the first attempt. */
	assert_near(schedule_delay(&defaults, 1700000000, 0, 42), 300);
}

static void
test_small_and_odd_limits(void **state)
{
	const struct schedule second = { .retry_min = 1, .retry_max = 1 };
	const struct schedule nothing = { .retry_min = 0, .retry_max = 0 };
	const struct schedule turned = { .retry_min = 600, .retry_max = 60 };
	const struct schedule huge = { .retry_min = UINT32_MAX / 2, .retry_max = UINT32_MAX / 2 };

	(void)state;
	assert_int_equal(schedule_delay(&second, 0, 5, 1), 1);
	assert_int_equal(schedule_delay(&nothing, 0, 5, 1), 1);
	assert_near(schedule_delay(&turned, 0, 1, 1), 60);
	assert_near(schedule_delay(&huge, 0, 1000, 1), UINT32_MAX / 2);
}

static void
test_last_attempt_is_at_the_end_of_life(void **state)
{
	(void)state;
	assert_int_equal(schedule_next(&defaults, 1000, 900, 1010, 1, 7), 1010);
	assert_true(schedule_next(&defaults, 1000, 900, 100000, 1, 7) > 1000);
	/* Tried by hand after its end: an ordinary time, never one that has passed. */
	assert_true(schedule_next(&defaults, 1000, 100, 500, 9, 7) > 1000);
	assert_false(schedule_expired(999, 1000, 2));
	assert_true(schedule_expired(1000, 1000, 2));
	/* One attempt is not enough: an ordinary wait, and another. */
	assert_false(schedule_expired(2000, 1000, 1));
	assert_near((unsigned)(schedule_next(&defaults, 2000, 0, 1000, 1, 7) - 2000), 300);
}

static void
test_delay_is_told_when_it_is_long(void **state)
{
	(void)state;
	assert_false(schedule_warns(1099, 1000, 100));
	assert_true(schedule_warns(1100, 1000, 100));
	assert_false(schedule_warns(INT64_MAX, 1000, 0));
	assert_false(schedule_warns(900, 1000, 100));	/* the clock was set back */
	assert_true(schedule_warns(1000 + (int64_t)UINT32_MAX, 1000, UINT32_MAX));
}

/* Properties, on random input: bounded, repeatable, and never in the past. */
static void
test_properties(void **state)
{
	unsigned short seed[3] = { 0x330e, 0, 0 };
	unsigned start = (unsigned)time(NULL) & 0xffff;
	int round;

	(void)state;
	seed[1] = (unsigned short)start;
	print_message("seed %u\n", start);
	for (round = 0; round < 200000; round++) {
		struct schedule schedule = { .retry_min = (unsigned)(nrand48(seed) % 100000) };
		int64_t arrived = nrand48(seed), ended = arrived + nrand48(seed) % 500000;
		uint32_t attempts = (uint32_t)(nrand48(seed) % 70) + 1;
		uint64_t id = (uint64_t)nrand48(seed);
		uint64_t nominal = schedule.retry_min > 0 ? schedule.retry_min : 1;
		unsigned delay;

		schedule.retry_max = schedule.retry_min + (unsigned)(nrand48(seed) % 100000) + 1;
		nominal = attempts > 40 ? UINT64_MAX / 2 : nominal << (attempts - 1);
		if (nominal > schedule.retry_max)
			nominal = schedule.retry_max;
		delay = schedule_delay(&schedule, arrived, attempts, id);
		assert_int_equal(delay, schedule_delay(&schedule, arrived, attempts, id));
		assert_true(delay >= 1);
		assert_near(delay, (unsigned)nominal);
		assert_true(schedule_next(&schedule, ended, arrived, arrived + 432000, attempts,
		    id) > ended);
	}
}

/* A thousand messages that fail in the same second do not come back in one. */
static void
test_jitter_spreads(void **state)
{
	unsigned seen[61] = { 0 }, id, used = 0;

	(void)state;
	for (id = 0; id < 1000; id++)
		seen[schedule_delay(&defaults, 1700000000, 1, id) - 270]++;
	for (id = 0; id < 61; id++)
		used += seen[id] > 0;
	assert_true(used > 55);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles_up_to_the_limit),
		cmocka_unit_test(test_small_and_odd_limits),
		cmocka_unit_test(test_last_attempt_is_at_the_end_of_life),
		cmocka_unit_test(test_delay_is_told_when_it_is_long),
		cmocka_unit_test(test_properties),
		cmocka_unit_test(test_jitter_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
