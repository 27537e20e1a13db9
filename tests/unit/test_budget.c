/* test_budget.c - descriptors for sessions are shared out, and nobody waits for ever. */
#include "relay/budget.h"

#include "base/error.h"
#include "net/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* A destination that wants `wanted` sessions. */
struct place {
	struct budget *budget;
	struct budget_wish wish;
	size_t open, wanted;
};

static void
open_more(void *owner)
{
	struct place *place = owner;

	while (place->open < place->wanted &&
	    budget_open(place->budget, &place->wish, place->open))
		place->open++;
}

static struct place
make_place(struct budget *budget, size_t wanted)
{
	return (struct place){ .budget = budget, .wanted = wanted };
}

static void
want(struct place *place)
{
	place->wish.wake = open_more;
	place->wish.owner = place;
	open_more(place);
}

static void
close_one(struct place *place)
{
	place->open--;
	place->wanted--;
	budget_close(place->budget);
}

static struct loop *loop;

static int
set_up(void **state)
{
	struct error err;

	loop = loop_new(&err);
	*state = budget_new(loop, 8);
	return loop == NULL;
}

static int
tear_down(void **state)
{
	budget_free(*state);
	loop_free(loop);
	return 0;
}

static void
turns(void)
{
	for (int i = 0; i < 10; i++)
		loop_turn(loop, 0);
}

/* A large one gets three quarters; the rest is for those that have none. */
static void
test_small_ones_get_theirs(void **state)
{
	struct place large = make_place(*state, 100), small[3];

	want(&large);
	assert_int_equal(large.open, 6);
	for (size_t i = 0; i < 3; i++) {
		small[i] = make_place(*state, 1);
		want(&small[i]);
	}
	assert_int_equal(small[0].open + small[1].open, 2);
	assert_int_equal(small[2].open, 0);
	assert_int_equal(budget_sessions(*state), 8);
	/* The one that has none is first, though the large one has waited longer. */
	large.wanted = 7;
	large.open--;
	budget_close(*state);
	turns();
	assert_int_equal(small[2].open, 1);
	assert_int_equal(large.open, 5);
	close_one(&small[0]);
	close_one(&small[1]);
	close_one(&small[2]);
	turns();
	assert_int_equal(large.open, 6);
	budget_forget(*state, &large.wish);
}

static void
test_turns_of_many(void **state)
{
	struct place places[4];
	size_t total = 0;

	for (size_t i = 0; i < 4; i++) {
		places[i] = make_place(*state, 4);
		want(&places[i]);
	}
	for (size_t round = 0; round < 100 && total < 16; round++) {
		turns();
		for (size_t i = 0; i < 4; i++)
			if (places[i].open > 0) {
				close_one(&places[i]);
				total++;
			}
	}
	assert_int_equal(total, 16);
	assert_int_equal(budget_sessions(*state), 0);
}

static void
end_idle(void *owner)
{
	close_one(owner);
}

/* Who does nothing makes way. */
static void
test_idle_ones_go(void **state)
{
	struct place idle = make_place(*state, 6), others[3];
	struct budget_idle entry = { .end = end_idle, .owner = &idle };

	want(&idle);
	budget_list_idle(*state, &entry);
	for (size_t i = 0; i < 3; i++) {
		others[i] = make_place(*state, 1);
		want(&others[i]);
	}
	turns();
	assert_int_equal(idle.open, 5);
	assert_int_equal(others[0].open + others[1].open + others[2].open, 3);
	assert_false(entry.listed);
}

static void
test_room(void **state)
{
	assert_true(budget_is_alone(*state));
	assert_int_equal(budget_share(*state), BUDGET_SHARED);
	budget_add_waiting(*state, 1, 100);
	assert_true(budget_is_alone(*state));
	budget_add_waiting(*state, 1, 0);
	assert_false(budget_is_alone(*state));
	assert_int_equal(budget_share(*state), BUDGET_SHARED / 2);
	assert_true(budget_has_room(*state));
	budget_add_waiting(*state, 0, BUDGET_UNPROVEN_MAX);
	assert_false(budget_has_room(*state));
	budget_sub_waiting(*state, 1, BUDGET_UNPROVEN_MAX + 100);
	assert_true(budget_has_room(*state));
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(small_ones_get_theirs), TEST(turns_of_many), TEST(idle_ones_go), TEST(room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
