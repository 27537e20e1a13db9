/* test_reload.c - a configuration is in force in all services, or in none. */
#include "base/error.h"
#include "base/service.h"
#include "daemon/reload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#define SERVICES	4

/* What the services were asked, in order: "p0 p1 c0 c1". */
static char calls[256];

struct fake { int number; bool refuses; };

static void
note(char what, const struct fake *fake)
{
	size_t len = strlen(calls);

	snprintf(calls + len, sizeof(calls) - len, "%s%c%d", len > 0 ? " " : "", what,
	    fake->number);
}

static void *
fake_prepare(void *self, const struct config *next, struct error *err)
{
	struct fake *fake = self;

	(void)next;
	note('p', fake);
	if (fake->refuses) {
		error_set(err, ERROR_NETWORK, "service %d cannot bind", fake->number);
		return NULL;
	}
	return self;
}

static void
fake_commit(void *self, void *prepared, const struct config *next)
{
	(void)next;
	assert_ptr_equal(self, prepared);
	note('c', self);
}

static void
fake_abandon(void *self, void *prepared)
{
	assert_ptr_equal(self, prepared);
	note('a', self);
}

static const struct service_ops fake_ops = {
	.name = "fake", .prepare = fake_prepare, .commit = fake_commit, .abandon = fake_abandon,
};

static bool
apply(int refusing, struct error *err)
{
	struct fake fakes[SERVICES];
	struct service services[SERVICES];

	calls[0] = '\0';
	for (int i = 0; i < SERVICES; i++) {
		fakes[i] = (struct fake){ i, i == refusing };
		services[i] = (struct service){ &fake_ops, &fakes[i], NULL };
	}
	return reload_apply(services, SERVICES, NULL, err);
}

static void
all_agree(void **state)
{
	struct error err;

	(void)state;
	assert_true(apply(-1, &err));
	assert_string_equal(calls, "p0 p1 p2 p3 c0 c1 c2 c3");
}

static void
one_refuses(void **state)
{
	static const char *const expected[SERVICES] = {
		"p0", "p0 p1 a0", "p0 p1 p2 a1 a0", "p0 p1 p2 p3 a2 a1 a0",
	};
	struct error err;
	char text[64];

	(void)state;
	for (int i = 0; i < SERVICES; i++) {
		assert_false(apply(i, &err));
		assert_string_equal(calls, expected[i]);
		snprintf(text, sizeof(text), "service %d cannot bind", i);
		assert_string_equal(err.text, text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_agree),
		cmocka_unit_test(one_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
