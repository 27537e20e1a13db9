/* test_loop.c - turns of the loop and what is put off to their end. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/error.h"
#include "net/linger.h"
#include "net/loop.h"

#define PAIRS	(LOOP_ENDS_MAX + 50)

struct fixture {
	struct loop *loop;
	struct loop_task first, second, third;
	int runs[3];
	int order;
};

static void
run_first(void *owner)
{
	struct fixture *f = owner;

	f->runs[0] = ++f->order;
	loop_defer(f->loop, &f->second);	/* the next turn's */
}

static void
run_second(void *owner)
{
	struct fixture *f = owner;

	f->runs[1] = ++f->order;
}

static void
run_third(void *owner)
{
	struct fixture *f = owner;

	f->runs[2] = ++f->order;
	loop_cancel(f->loop, &f->second);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;

	f->loop = loop_new(&err);
	f->first = (struct loop_task){ .run = run_first, .owner = f };
	f->second = (struct loop_task){ .run = run_second, .owner = f };
	f->third = (struct loop_task){ .run = run_third, .owner = f };
	*state = f;
	return f->loop == NULL;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	loop_free(f->loop);
	free(f);
	return 0;
}

static void
test_deferred_by_a_task_runs_next_turn(void **state)
{
	struct fixture *f = *state;

	loop_defer(f->loop, &f->first);
	loop_defer(f->loop, &f->first);
	loop_turn(f->loop, 5000);
	assert_int_equal(f->runs[0], 1);
	assert_int_equal(f->runs[1], 0);
	loop_turn(f->loop, 5000);	/* a task waits, so this does not */
	assert_int_equal(f->runs[1], 2);
	assert_int_equal(f->order, 2);
}

struct busy { struct event *event; int calls; };

static void
on_busy(int fd, short what, void *arg)
{
	struct busy *busy = arg;

	(void)fd;
	(void)what;
	if (++busy->calls == 100)
		event_del(busy->event);
}

/* A descriptor that is always readable. */
static void
test_input_without_end_does_not_put_off_tasks(void **state)
{
	struct fixture *f = *state;
	struct busy busy = { .calls = 0 };
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	busy.event = event_new(loop_base(f->loop), fds[0], EV_READ | EV_PERSIST, on_busy, &busy);
	event_add(busy.event, NULL);
	for (int i = 1; i <= 5; i++) {
		loop_defer(f->loop, &f->second);
		loop_turn(f->loop, 20);
		assert_int_equal(f->runs[1], i);
		assert_int_equal(busy.calls, i);
	}
	event_free(busy.event);
	close(fds[0]);
	close(fds[1]);
}

static void
test_cancel(void **state)
{
	struct fixture *f = *state;

	loop_defer(f->loop, &f->third);
	loop_defer(f->loop, &f->second);
	loop_turn(f->loop, 0);
	assert_int_equal(f->runs[2], 1);
	assert_int_equal(f->runs[1], 0);
	assert_false(f->second.queued);
}

static void
test_turn_waits_no_longer_than_told(void **state)
{
	struct fixture *f = *state;
	int64_t start = clock_monotonic_us(), took;

	loop_turn(f->loop, 50);
	took = clock_monotonic_us() - start;
	assert_in_range(took, 30000, 2000000);
}

static void
stop_it(void *owner)
{
	struct fixture *f = owner;

	f->order++;
	loop_stop(f->loop);
}

static void
test_run_until_stopped(void **state)
{
	struct fixture *f = *state;
	struct error err;

	f->first = (struct loop_task){ .run = stop_it, .owner = f };
	loop_defer(f->loop, &f->first);
	assert_true(loop_run(f->loop, &err));
	assert_int_equal(f->order, 1);
	loop_stop(f->loop);		/* before the run, it counts as well */
	assert_true(loop_run(f->loop, &err));
}

static void
on_fired(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	stop_it(arg);
}

static void
test_events_of_others(void **state)
{
	struct fixture *f = *state;
	const struct timeval soon = { 0, 1000 };
	struct error err;

	assert_int_equal(event_base_once(loop_base(f->loop), -1, EV_TIMEOUT, on_fired, f, &soon),
	    0);
	assert_true(loop_run(f->loop, &err));
	assert_int_equal(f->order, 1);
}

static void
test_free_runs_what_waits(void **state)
{
	struct fixture *f = *state;
	struct loop_end end = { .run = run_third, .owner = f }, not = end;
	struct error err;

	loop_defer(f->loop, &f->first);
	loop_at_end(f->loop, &end);
	loop_at_end(f->loop, &not);
	loop_end_cancel(f->loop, &not);
	loop_free(f->loop);
	assert_int_equal(f->runs[2], 1);
	assert_int_equal(f->runs[0], 2);
	assert_int_equal(f->runs[1], 3);
	f->loop = loop_new(&err);
}

/* Whether the other end of the pair is closed. */
static bool
is_closed(int fd)
{
	return write(fd, "x", 1) == -1 && errno == EPIPE;
}

/* Of those that linger so many are kept; the oldest goes for the next one. */
static void
test_few_linger(void **state)
{
	struct fixture *f = *state;
	const int closed = PAIRS - LOOP_ENDS_MAX;
	int peers[PAIRS];

	for (int i = 0; i < PAIRS; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
		linger_start(f->loop, pair[0]);
		peers[i] = pair[1];
	}
	for (int i = 0; i < PAIRS; i++)
		assert_int_equal(is_closed(peers[i]), i < closed);
	assert_true(loop_end_oldest(f->loop));
	assert_true(is_closed(peers[closed]));
	for (int i = 0; i < PAIRS; i++)
		close(peers[i]);
	for (int i = 0; i < 5; i++)
		loop_turn(f->loop, 1);
	assert_false(loop_end_oldest(f->loop));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_deferred_by_a_task_runs_next_turn, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_input_without_end_does_not_put_off_tasks,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_turn_waits_no_longer_than_told, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(test_run_until_stopped, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_events_of_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_free_runs_what_waits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_few_linger, set_up, tear_down),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
