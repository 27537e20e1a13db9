/* test_queue_clock.c - what is held back while the clock is set. */
#include "queue_fixture.h"
#include "queue/queue_parts.h"

/* Both clocks of base/clock.h, which here may differ. */
static int64_t wall_us, monotonic_us;

int64_t
clock_now(void)
{
	return wall_us / 1000000;
}

int64_t
clock_now_us(void)
{
	return wall_us;
}

int64_t
clock_monotonic_us(void)
{
	return monotonic_us;
}

void
clock_set(int64_t unix_us)
{
	wall_us = monotonic_us = unix_us;
}

/* A machine starts with a clock an hour ahead, before its network is up; then it is set. */
static void
test_hold_ends_though_the_clock_is_set_back(void **state)
{
	(void)state;
	queue_hold_back(queue, START + 60);
	wall_us -= 3600 * 1000000LL;
	submit(1, 500);
	AWAIT(submitted == 1);
	monotonic_us += 59 * 1000000LL;
	settle();
	assert_int_equal(batch_count, 0);
	wall_us += 61 * 1000000LL;
	monotonic_us += 2 * 1000000LL;
	queue_on_timer(-1, 0, queue);	/* which looks at the clock once a minute at least */
	AWAIT(batch_count == 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_hold_ends_though_the_clock_is_set_back,
		    set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
