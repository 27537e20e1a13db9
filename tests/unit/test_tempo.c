/* test_tempo.c - window, throttle and suspension, with the time passed in. */
#include "relay/tempo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND	1000000LL
#define START	(1000 * SECOND)

static struct tempo
fresh(unsigned limit)
{
	struct tempo tempo;

	tempo_start(&tempo, limit);
	return tempo;
}

static void
test_window_grows_with_success(void **state)
{
	struct tempo tempo = fresh(3);

	(void)state;
	assert_int_equal(tempo.window, 1);
	tempo_ready(&tempo);
	assert_int_equal(tempo.window, 2);
	for (int i = 0; i < 5; i++)
		tempo_delivered(&tempo, START);
	assert_int_equal(tempo.window, 3);
}

static void
test_back_off(void **state)
{
	static const int seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	struct tempo tempo = fresh(10);
	int64_t now = START;

	(void)state;
	tempo_ready(&tempo);
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		tempo_suspend(&tempo, now, false);
		assert_int_equal(tempo_suspended(&tempo, now), seconds[i] * SECOND);
		assert_int_equal(tempo_open_wait(&tempo, now), seconds[i] * SECOND);
		assert_int_equal(tempo.window, 1);
		now += seconds[i] * SECOND;
		assert_int_equal(tempo_suspended(&tempo, now), 0);
	}
	assert_true(tempo_recover(&tempo));
	assert_false(tempo_recover(&tempo));
	tempo_suspend(&tempo, now, false);
	assert_int_equal(tempo_suspended(&tempo, now), SECOND);
}

/* A refused login is repeated seldom, whatever came before. */
static void
test_back_off_of_logins(void **state)
{
	static const int seconds[] = { 30, 60, 120, 240, 300, 300 };
	struct tempo tempo = fresh(10);

	(void)state;
	tempo_suspend(&tempo, START, false);
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		tempo_suspend(&tempo, START, true);
		assert_int_equal(tempo_suspended(&tempo, START), seconds[i] * SECOND);
	}
	tempo_flush(&tempo);
	assert_int_equal(tempo_suspended(&tempo, START), 0);
	assert_true(tempo_recover(&tempo));
}

static void
test_throttle_doubles_and_falls(void **state)
{
	static const int64_t pauses[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	struct tempo tempo = fresh(10);
	int64_t now = START;

	(void)state;
	for (int i = 0; i < 9; i++)
		tempo_delivered(&tempo, now);
	assert_int_equal(tempo.window, 10);
	for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
		tempo_slow_down(&tempo, now, true);
		assert_int_equal(tempo_mail_wait(&tempo, now), pauses[i] * SECOND);
		now += pauses[i] * SECOND;
		assert_int_equal(tempo_mail_wait(&tempo, now), 0);
	}
	assert_int_equal(tempo.window, 1);
	for (int64_t pause = 30 * SECOND; pause >= SECOND / 2; pause /= 2) {
		tempo_mail(&tempo, now);
		tempo_delivered(&tempo, now);
		assert_int_equal(tempo_mail_wait(&tempo, now), pause);
		assert_int_equal(tempo.window, 1);
	}
	tempo_delivered(&tempo, now);
	assert_int_equal(tempo_mail_wait(&tempo, now), 0);
	assert_int_equal(tempo.window, 2);
}

/* Ten sessions hear "not so fast" at once: that is one piece of advice. */
static void
test_slow_down_counts_once(void **state)
{
	struct tempo tempo = fresh(20);

	(void)state;
	for (int i = 0; i < 20; i++)
		tempo_delivered(&tempo, START);
	for (int i = 0; i < 10; i++)
		tempo_slow_down(&tempo, START + i, true);
	assert_int_equal(tempo.window, 10);
	assert_int_equal(tempo.throttle_us, SECOND);
	tempo_slow_down(&tempo, START + SECOND, false);
	assert_int_equal(tempo.window, 5);
	assert_int_equal(tempo.throttle_us, SECOND);
}

static void
test_hold_while_others_work(void **state)
{
	struct tempo tempo = fresh(10);

	(void)state;
	tempo_hold(&tempo, START, 3);
	assert_int_equal(tempo.window, 3);
	assert_int_equal(tempo_suspended(&tempo, START), 0);
	assert_int_equal(tempo_open_wait(&tempo, START), SECOND);
	tempo_hold(&tempo, START, 0);
	assert_int_equal(tempo.window, 1);
	assert_int_equal(tempo_open_wait(&tempo, START), 2 * SECOND);
	tempo_ready(&tempo);
	assert_int_equal(tempo_open_wait(&tempo, START), 0);
}

static void
test_room(void **state)
{
	struct tempo tempo = fresh(10);
	int64_t now = START;

	(void)state;
	/* Nothing is known: its share, within bounds. */
	assert_int_equal(tempo_room(&tempo, now, 500), TEMPO_ROOM);
	assert_int_equal(tempo_room(&tempo, now, 40), 40);
	assert_int_equal(tempo_room(&tempo, now, 2), TEMPO_ROOM_STUCK);
	tempo_asked(&tempo, now);
	assert_int_equal(tempo_room(&tempo, now + TEMPO_STUCK, 500), TEMPO_ROOM);
	assert_int_equal(tempo_room(&tempo, now + TEMPO_STUCK + 1, 500), TEMPO_ROOM_STUCK);
	/* It flows: what it takes in 20 s, or more. */
	now += TEMPO_STUCK + 1;
	for (int i = 0; i < 500; i++)
		tempo_delivered(&tempo, now);
	assert_true(tempo_flows(&tempo, now));
	assert_int_equal(tempo_room(&tempo, now, 2), 1000);
	assert_int_equal(tempo_room(&tempo, now, 3000), 3000);
	assert_int_equal(tempo_room(&tempo, now + TEMPO_STUCK, 2), 1000);
	assert_int_equal(tempo_room(&tempo, now + 2 * TEMPO_STUCK, 2), TEMPO_ROOM_STUCK);
	assert_false(tempo_flows(&tempo, now + 2 * TEMPO_STUCK));
	tempo_slow_down(&tempo, now, true);
	assert_int_equal(tempo_room(&tempo, now, 2), 31);
	tempo.throttle_us = TEMPO_THROTTLE_MAX;
	assert_int_equal(tempo_room(&tempo, now, 500), 1);
	/* It was suspended, and has not recovered: a few are enough to find out. */
	tempo = fresh(10);
	tempo_suspend(&tempo, now, false);
	assert_int_equal(tempo_room(&tempo, now + TEMPO_STUCK, 500), TEMPO_ROOM_STUCK);
	tempo_recover(&tempo);
	assert_int_equal(tempo_room(&tempo, now + TEMPO_STUCK, 500), TEMPO_ROOM);
}

static void
test_idle(void **state)
{
	struct tempo tempo = fresh(10);

	(void)state;
	assert_true(tempo_is_idle(&tempo, START));
	tempo_delivered(&tempo, START);
	assert_false(tempo_is_idle(&tempo, START));
	assert_true(tempo_is_idle(&tempo, START + 2 * TEMPO_STUCK));
	tempo_suspend(&tempo, START, false);
	assert_false(tempo_is_idle(&tempo, START + TEMPO_FORGET));
	assert_true(tempo_is_idle(&tempo, START + SECOND + TEMPO_FORGET));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_window_grows_with_success),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_back_off_of_logins),
		cmocka_unit_test(test_throttle_doubles_and_falls),
		cmocka_unit_test(test_slow_down_counts_once),
		cmocka_unit_test(test_hold_while_others_work),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
