/* test_memory_budget.c - what is counted against max_memory, by whom, and what follows from it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <sys/resource.h>

#include "base/error.h"
#include "base/memory_budget.h"
#include "mail/envelope.h"
#include "queue/content.h"

static void
test_states(void **state)
{
	static const struct { uint64_t used; enum memory_state state; } rows[] = {
		{ 0, MEMORY_AMPLE }, { 499, MEMORY_AMPLE }, { 500, MEMORY_TIGHT },
		{ 899, MEMORY_TIGHT }, { 900, MEMORY_SHORT }, { 999, MEMORY_SHORT },
		{ 1000, MEMORY_OUT }, { UINT64_MAX, MEMORY_OUT },
	};
	struct memory_budget budget = { .limit = 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		budget.used = rows[i].used;
		assert_int_equal(memory_budget_state(&budget), rows[i].state);
	}
	budget.limit = UINT64_MAX;
	assert_int_equal(memory_budget_state(&budget), MEMORY_OUT);
	budget.limit = 0;
	assert_int_equal(memory_budget_state(&budget), MEMORY_AMPLE);
}

static void
test_charge(void **state)
{
	struct memory_budget budget = { .limit = 1000 };
	uint64_t one = 0, other = 0, nowhere = 0;

	(void)state;
	memory_budget_charge(&budget, &one, 300);
	memory_budget_charge(&budget, &other, 500);
	assert_int_equal(budget.used, 800);
	memory_budget_charge(&budget, &one, 100);
	assert_int_equal(budget.used, 600);
	memory_budget_charge(&budget, &other, 2000);
	assert_int_equal(budget.used, 2100);
	memory_budget_charge(&budget, &one, 0);
	memory_budget_charge(&budget, &other, 0);
	assert_int_equal(budget.used, 0);
	memory_budget_charge(NULL, &nowhere, 5);
	assert_int_equal(nowhere, 0);
}

/* Whatever is added, and when it began to be counted: nothing is left of it in the end. */
static void
test_envelope(void **state)
{
	struct memory_budget budget = { .limit = 0 };
	struct address address = { .local = "ann", .domain = "example.org" };
	struct envelope *envelope = envelope_new(&address), *copy;

	(void)state;
	envelope_add(envelope, &address);
	(void)envelope_keep(envelope, "x", 1);
	assert_int_equal(budget.used, 0);
	envelope_charge(envelope, &budget);
	assert_true(budget.used >= sizeof(*envelope) + sizeof(struct recipient));
	assert_int_equal(budget.used, envelope_cost(envelope));
	for (int i = 0; i < 100; i++) {
		envelope_add(envelope, &address);
		(void)envelope_keep(envelope, "0123456789", 10);
		assert_int_equal(budget.used, envelope_cost(envelope));
		assert_true(budget.used >= envelope->recipient_count * sizeof(struct recipient));
	}
	envelope_charge(envelope, &budget);
	assert_int_equal(budget.used, envelope_cost(envelope));
	copy = envelope_copy(envelope);
	envelope_add(copy, &address);
	envelope_free(copy);
	assert_int_equal(budget.used, envelope_cost(envelope));
	envelope_free(envelope);
	assert_int_equal(budget.used, 0);
}

static bool
stays_in_memory(struct memory_budget *budget, size_t len)
{
	static const char octets[65536] = { 'x' };
	struct content *content = content_new("/tmp");
	struct error err;
	bool stays;

	content_charge(content, budget);
	assert_true(content_append(content, octets, len / 2, &err));
	assert_true(content_append(content, octets, len - len / 2, &err));
	assert_int_equal(content_size(content), len);
	stays = content_in_memory(content);
	content_unref(content);
	return stays;
}

static void
test_content_goes_to_a_file_earlier(void **state)
{
	struct memory_budget budget = { .limit = 1 << 20 };

	(void)state;
	assert_true(stays_in_memory(&budget, 65536));
	budget.used = 600 << 10;
	assert_true(stays_in_memory(&budget, 16384));
	assert_false(stays_in_memory(&budget, 16385));
	budget.used = 1000 << 10;
	assert_true(stays_in_memory(&budget, 4096));
	assert_false(stays_in_memory(&budget, 4097));
	budget.used = 2000 << 10;
	assert_true(stays_in_memory(&budget, 4096));
	assert_false(stays_in_memory(&budget, 4097));
	assert_int_equal(budget.used, 2000 << 10);
}

/* Where it cannot, it stays, up to what memory it may take anyway. */
static void
test_content_without_descriptors(void **state)
{
	static const char octets[65536] = { 'x' };
	struct memory_budget budget = { .limit = 1 << 20, .used = 1000 << 10 };
	struct content *content = content_new("/tmp");
	struct rlimit limit, none;
	struct error err;
	bool fits, more;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	content_charge(content, &budget);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fits = content_append(content, octets, sizeof(octets), &err);
	more = content_append(content, "x", 1, &err);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(fits);
	assert_false(more);
	assert_true(content_in_memory(content));
	assert_true(content_append(content, "x", 1, &err));
	assert_false(content_in_memory(content));
	assert_int_equal(content_size(content), sizeof(octets) + 1);
	content_unref(content);
	assert_int_equal(budget.used, 1000 << 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_states),
		cmocka_unit_test(test_charge),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_content_goes_to_a_file_earlier),
		cmocka_unit_test(test_content_without_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
