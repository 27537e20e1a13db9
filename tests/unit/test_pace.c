/* test_pace.c - how long mail data, and a session that brings no mail, may last. */
#include "intake/pace.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define GRACE	60	/* seconds */

static void
clock_at(int64_t seconds)
{
	clock_set((1000000000 + seconds) * 1000000);
}

static int
set_up(void **state)
{
	static struct pace pace;

	clock_at(0);
	pace = (struct pace){ .octets = 0 };
	pace_start(&pace);
	*state = &pace;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_set(-1);
	return 0;
}

/* Mail data has the grace, and a second for each 500 octets that came. */
static void
test_mail_data(void **state)
{
	struct pace *pace = *state;

	clock_at(100);
	pace_start_data(pace);
	clock_at(160);
	assert_null(pace_fault(pace, true, GRACE));
	clock_at(161);
	assert_string_equal(pace_fault(pace, true, GRACE), "mail data too slow");
	assert_null(pace_fault(pace, false, GRACE));
	pace->octets = 499;
	assert_non_null(pace_fault(pace, true, GRACE));
	pace->octets = 500;
	assert_null(pace_fault(pace, true, GRACE));
	pace->octets = 100000;
	clock_at(360);
	assert_null(pace_fault(pace, true, GRACE));
	clock_at(361);
	assert_non_null(pace_fault(pace, true, GRACE));
	/* The next message of the session is measured by itself. */
	pace_start_data(pace);
	assert_int_equal(pace->octets, 0);
	assert_null(pace_fault(pace, true, GRACE));
}

/* An hour is enough without mail; each message begins a new one.  Mail data that comes fast
 * enough may take longer. */
static void
test_session_without_mail(void **state)
{
	struct pace *pace = *state;

	clock_at(3600);
	assert_null(pace_fault(pace, false, GRACE));
	clock_at(3601);
	assert_string_equal(pace_fault(pace, false, GRACE), "session without mail for too long");
	pace_start(pace);
	clock_at(7201);
	assert_null(pace_fault(pace, false, GRACE));
	pace_start_data(pace);
	pace->octets = 10000000;
	clock_at(7202);
	assert_null(pace_fault(pace, true, GRACE));
	assert_non_null(pace_fault(pace, false, GRACE));
	clock_at(7201 + GRACE + 20001);
	assert_string_equal(pace_fault(pace, true, GRACE), "mail data too slow");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_mail_data, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_session_without_mail, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
