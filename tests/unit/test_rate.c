/* test_rate.c - messages in sliding windows: never too many, never too long a wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "relay/rate.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECOND	     1000000LL
#define START	     (1790000000 * SECOND)
#define EVENTS	     20000

static const struct config_rate minute[] = { { 30, 60 } };
static const struct config_rate several[] = { { 3, 1 }, { 30, 60 }, { 100, 3600 } };

static struct rate
rate_of(const struct config_rate *rates, size_t count)
{
	struct rate rate = { 0 };

	rate_set(&rate, rates, count);
	return rate;
}

static void
nothing_is_no_limit(void **state)
{
	struct rate rate = { 0 };
	char text[RATE_TEXT_MAX];

	(void)state;
	assert_true(rate_room(&rate, START) == SIZE_MAX);
	assert_int_equal(rate_next(&rate, START), 0);
	rate_count(&rate, START);
	rate_uncount(&rate, START);
	assert_true(rate_room(&rate, START) == SIZE_MAX);
	rate_write(&rate, text);
	assert_string_equal(text, "");
}

static void
a_full_window_says_when_to_ask_again(void **state)
{
	struct rate rate = rate_of(minute, 1);
	int64_t next_us;

	(void)state;
	assert_int_equal(rate_room(&rate, START), 30);
	for (int i = 0; i < 30; i++) {
		assert_int_equal(rate_next(&rate, START), 0);
		rate_count(&rate, START);
	}
	assert_int_equal(rate_room(&rate, START), 0);
	next_us = rate_next(&rate, START);
	assert_true(next_us > START + 60 * SECOND && next_us <= START + 61 * SECOND);
	assert_int_equal(rate_room(&rate, next_us - 1), 0);
	assert_int_equal(rate_next(&rate, next_us - 1), next_us);
	assert_int_equal(rate_next(&rate, next_us), 0);
	assert_int_equal(rate_room(&rate, next_us), 30);
}

static void
what_did_not_go_is_given_back(void **state)
{
	struct rate rate = rate_of(minute, 1);

	(void)state;
	rate_uncount(&rate, START);
	assert_int_equal(rate_room(&rate, START), 30);
	rate_count(&rate, START);
	rate_count(&rate, START + 5 * SECOND);
	rate_uncount(&rate, START + 9 * SECOND);
	assert_int_equal(rate_room(&rate, START + 9 * SECOND), 29);
	/* It was the later one that was given back. */
	assert_int_equal(rate_room(&rate, START + 61 * SECOND), 30);
}

static void
a_limit_that_is_lowered_holds_at_once(void **state)
{
	static const struct config_rate lower[] = { { 10, 60 }, { 500, 86400 } };
	struct rate rate = rate_of(minute, 1);

	(void)state;
	for (int i = 0; i < 20; i++)
		rate_count(&rate, START + i * SECOND);
	rate_set(&rate, lower, 2);
	assert_int_equal(rate_room(&rate, START + 19 * SECOND), 0);
	/* Eleven of them have to leave. */
	assert_int_equal(rate_next(&rate, START + 19 * SECOND), START + (10 + 61) * SECOND);
	rate_set(&rate, minute, 1);
	assert_int_equal(rate_room(&rate, START + 19 * SECOND), 10);
	rate_set(&rate, NULL, 0);
	assert_true(rate_room(&rate, START + 19 * SECOND) == SIZE_MAX);
}

/* ---- properties, with random arrivals */

static uint32_t seed = 7;

static int64_t
next_random(int64_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (int64_t)(seed >> 4) % below;
}

static int64_t sent[EVENTS];

/* No window of the limit's length has more than its count. */
static void
check_windows(const struct config_rate *limit, size_t count)
{
	for (size_t i = (size_t)limit->count; i < count; i++) {
		int64_t apart = sent[i] - sent[i - (size_t)limit->count];

		if (apart < (int64_t)limit->seconds * SECOND)
			fail_msg("%d messages in %lld us, allowed are %d in %d s",
			    (int)limit->count + 1, (long long)apart, (int)limit->count,
			    (int)limit->seconds);
	}
}

/* Sends as soon as it may, where something waits; `pause` is the most between two arrivals. */
static size_t
send_all(const struct config_rate *limits, size_t limit_count, int64_t pause_us, size_t messages)
{
	struct rate rate = rate_of(limits, limit_count);
	int64_t now_us = START + next_random(SECOND), longest_us = 0;
	size_t waits = 0;

	for (size_t i = 0; i < limit_count; i++)
		if ((int64_t)limits[i].seconds * SECOND > longest_us)
			longest_us = (int64_t)limits[i].seconds * SECOND;
	for (size_t i = 0; i < messages; i++) {
		int64_t next_us;

		now_us += next_random(pause_us + 1);
		while ((next_us = rate_next(&rate, now_us)) != 0) {
			assert_int_equal(rate_room(&rate, now_us), 0);
			assert_true(next_us > now_us);
			assert_true(
			    next_us <= now_us + longest_us + longest_us / RATE_SLOTS + SECOND);
			now_us = next_us;
			waits++;
		}
		assert_true(rate_room(&rate, now_us) > 0);
		rate_count(&rate, now_us);
		sent[i] = now_us;
	}
	return waits;
}

static void
never_too_many_in_any_window(void **state)
{
	static const struct config_rate limits[] = { { 1, 1 }, { 5, 1 }, { 1000, 1 }, { 1, 60 },
		{ 7, 60 }, { 30, 60 }, { 999, 60 }, { 1, 3600 }, { 60, 3600 }, { 500, 86400 } };
	static const int64_t pauses[] = { 0, 1000, SECOND / 10, SECOND, 30 * SECOND,
		3000 * SECOND };

	(void)state;
	for (size_t i = 0; i < COUNT(limits); i++)
		for (size_t j = 0; j < COUNT(pauses); j++) {
			send_all(&limits[i], 1, pauses[j], 5000);
			check_windows(&limits[i], 5000);
		}
}

static void
several_limits_hold_at_once(void **state)
{
	static const int64_t pauses[] = { 0, 1000, SECOND / 10, SECOND, 30 * SECOND };

	(void)state;
	for (size_t j = 0; j < COUNT(pauses); j++) {
		assert_true(send_all(several, COUNT(several), pauses[j], EVENTS) > 0 || j > 3);
		for (size_t i = 0; i < COUNT(several); i++)
			check_windows(&several[i], EVENTS);
	}
}

/* What is wasted is one slot of sixty, and what rounds to whole slots. */
static void
the_rate_is_used_up(void **state)
{
	static const struct config_rate limits[] = { { 5, 1 }, { 100, 1 }, { 30, 60 }, { 60, 3600 },
		{ 500, 86400 } };

	(void)state;
	for (size_t i = 0; i < COUNT(limits); i++) {
		size_t messages = (size_t)limits[i].count * 20;
		double ideal, needed;

		send_all(&limits[i], 1, 0, messages);
		ideal = (double)limits[i].seconds * 1e6 * 19;
		needed = (double)(sent[messages - 1] - sent[0]);
		assert_true(needed <= ideal * 62 / 60);
	}
}

static void
a_clock_set_back_blocks_for_one_period_at_most(void **state)
{
	static const int64_t steps[] = { 1, SECOND, 59 * SECOND, 3600 * SECOND,
		400 * 86400 * SECOND, START };

	(void)state;
	for (size_t i = 0; i < COUNT(steps); i++) {
		struct rate rate = rate_of(minute, 1);
		int64_t now_us = START - steps[i], next_us;

		for (int j = 0; j < 30; j++)
			rate_count(&rate, START);
		assert_int_equal(rate_room(&rate, now_us), 0);
		next_us = rate_next(&rate, now_us);
		assert_true(next_us > now_us && next_us <= now_us + 62 * SECOND);
		assert_int_equal(rate_room(&rate, next_us), 30);
		/* Forward again: nothing is left over. */
		assert_int_equal(rate_room(&rate, START + 62 * SECOND), 30);
	}
}

/* The ages stay: what was nearly out of the window is so after the step, too. */
static void
a_clock_set_back_keeps_the_ages(void **state)
{
	(void)state;
	for (int64_t step = 0; step < 200; step++) {
		struct rate rate = rate_of(minute, 1);
		int64_t now_us = START + 50 * SECOND - step * SECOND;

		for (int j = 0; j < 10; j++)
			rate_count(&rate, START + j * SECOND);
		rate_count(&rate, START + 50 * SECOND);
		assert_int_equal(rate_room(&rate, now_us), 19);
		assert_int_equal(rate_room(&rate, now_us + 11 * SECOND), 20);
		assert_int_equal(rate_room(&rate, now_us + 20 * SECOND), 29);
		assert_int_equal(rate_room(&rate, now_us + 60 * SECOND), 29);
		assert_int_equal(rate_room(&rate, now_us + 61 * SECOND), 30);
	}
}

/* ---- as text */

static void
counts_survive_a_restart(void **state)
{
	struct rate rate = rate_of(several, COUNT(several)), next;
	char text[RATE_TEXT_MAX], again[RATE_TEXT_MAX];
	int64_t now_us = START;

	(void)state;
	rate_write(&rate, text);
	assert_string_equal(text, "");
	for (int i = 0; i < 2000; i++) {
		int64_t next_us = rate_next(&rate, now_us);

		now_us = next_us != 0 ? next_us : now_us;
		rate_count(&rate, now_us);
		rate_write(&rate, text);
		next = rate_of(several, COUNT(several));
		assert_true(rate_read(&next, text));
		rate_write(&next, again);
		assert_string_equal(again, text);
		assert_int_equal(rate_room(&next, now_us), rate_room(&rate, now_us));
		assert_int_equal(rate_next(&next, now_us), rate_next(&rate, now_us));
		now_us += next_random(SECOND);
	}
}

static void
the_longest_text_fits(void **state)
{
	static const struct config_rate limits[] = { { 1000000, 1 }, { 1000000, 60 },
		{ 1000000, 3600 }, { 1000000, 86400 } };
	struct rate rate = rate_of(limits, COUNT(limits)), next = rate;
	char text[RATE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(limits); i++) {
		rate.limits[i].head = INT64_MAX / 2;
		for (size_t j = 0; j <= RATE_SLOTS; j++)
			rate.limits[i].slots[j] = UINT32_MAX;
		rate.limits[i].used = (uint64_t)UINT32_MAX * (RATE_SLOTS + 1);
	}
	rate_write(&rate, text);
	assert_true(strlen(text) < RATE_TEXT_MAX - 100);
	assert_true(rate_read(&next, text));
	assert_memory_equal(&next, &rate, sizeof(rate));
	/* From the far future: taken as of now. */
	assert_int_equal(rate_room(&next, START), 0);
	assert_true(rate_next(&next, START) <= START + 86400 * SECOND * 62 / 60);
}

static void
limits_that_are_gone_are_skipped(void **state)
{
	static const struct config_rate other[] = { { 100, 3600 }, { 500, 86400 } };
	struct rate rate = rate_of(several, COUNT(several)), next = rate_of(other, 2);
	char text[RATE_TEXT_MAX];

	(void)state;
	for (int i = 0; i < 3; i++)
		rate_count(&rate, START);
	rate_write(&rate, text);
	assert_true(rate_read(&next, text));
	assert_int_equal(next.limits[0].used, 3);
	assert_int_equal(next.limits[0].count, 100);
	assert_int_equal(next.limits[1].used, 0);
}

static void
other_texts_change_nothing(void **state)
{
	static const char *const bad[] = { "", "0", "2;60,29833333,0:3", "1 ;60,1,0:1", "1;", "1;;",
		"1;60", "1;60,", "1;60,,", "1;60,1,", "1;60,1,0", "1;60,1,0:", "1;60,1,:3",
		"1;60,1,0:0", "1;60,1,61:1", "1;60,1,0:1,0:1", "1;60,1,-1:1", "1;60,1,0:-1",
		"1;60,1,0:4294967296", "1;60,-1,0:1", "1;60,9223372036854775807,0:1",
		"1;60,18446744073709551616,0:1", "1;x,1,0:1", "1;60,1,0:1x", "1;60,1,0:1;",
		"1;60,1,0:1,", "1;60,1,0:1:1", "1;60,29833333,0:3;7", "garbage", ";;;;", ",", ":" };
	struct rate rate = rate_of(minute, 1);
	struct rate before;
	char longer[RATE_TEXT_MAX + 10];

	(void)state;
	rate_count(&rate, START);
	before = rate;
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (rate_read(&rate, bad[i]))
			fail_msg("taken: \"%s\"", bad[i]);
		assert_memory_equal(&rate, &before, sizeof(rate));
	}
	memset(longer, '1', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_false(rate_read(&rate, longer));
	assert_true(rate_read(&rate, "1;60,29833333,0:3,60:2;86400,3,0:1"));
	assert_int_equal(rate.limits[0].used, 5);
}

/* Any octets: no fault, and the sum stays that of the slots. */
static void
random_texts_do_no_harm(void **state)
{
	static const char letters[] = "0123456789,:;1;60,:;";

	(void)state;
	for (int i = 0; i < 100000; i++) {
		struct rate rate = rate_of(several, COUNT(several));
		char text[48] = "1;60,";
		size_t len = (size_t)next_random(40);
		uint64_t used = 0;

		for (size_t j = 0; j < len; j++)
			text[(i % 2 == 0 ? 5 : 0) + j] = letters[next_random(sizeof(letters) - 1)];
		if (!rate_read(&rate, text))
			continue;
		for (size_t j = 0; j <= RATE_SLOTS; j++)
			used += rate.limits[1].slots[j];
		assert_true(rate.limits[1].used == used);
		assert_true(rate_next(&rate, START) <= START + 3600 * SECOND * 62 / 60);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_no_limit),
		cmocka_unit_test(a_full_window_says_when_to_ask_again),
		cmocka_unit_test(what_did_not_go_is_given_back),
		cmocka_unit_test(a_limit_that_is_lowered_holds_at_once),
		cmocka_unit_test(never_too_many_in_any_window),
		cmocka_unit_test(several_limits_hold_at_once),
		cmocka_unit_test(the_rate_is_used_up),
		cmocka_unit_test(a_clock_set_back_blocks_for_one_period_at_most),
		cmocka_unit_test(a_clock_set_back_keeps_the_ages),
		cmocka_unit_test(counts_survive_a_restart),
		cmocka_unit_test(the_longest_text_fits),
		cmocka_unit_test(limits_that_are_gone_are_skipped),
		cmocka_unit_test(other_texts_change_nothing),
		cmocka_unit_test(random_texts_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
