/* test_password.c - passwords compared on a thread of its own. */
#include "intake/password.h"

#include "base/error.h"
#include "base/mem.h"
#include "conf/users.h"
#include "net/loop.h"

#include <crypt.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Counts, and can be held up: stands in for that of libcrypt, whose crypt_rn() does the work. */
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static unsigned calls[2];	/* yescrypt, sha512 */

char *
crypt_r(const char *phrase, const char *setting, struct crypt_data *data)
{
	pthread_mutex_lock(&gate);
	calls[setting[1] == '6']++;
	pthread_mutex_unlock(&gate);
	return crypt_rn(phrase, setting, data, (int)sizeof(*data));
}

struct fixture {
	struct loop *loop;
	struct users *users;
	struct passwords *passwords;
	unsigned told, good;
};

/* With a cheap hash of each of two kinds. */
static struct users *
make_users(void)
{
	char path[] = "/tmp/herald-users-XXXXXX";
	struct crypt_data data = { .initialized = 0 };
	int fd = mkstemp(path);
	struct users *users;
	struct error err;
	FILE *file;

	assert_true(fd >= 0);
	file = fdopen(fd, "w");
	assert_non_null(file);
	fprintf(file, "ann:%s\n", crypt_rn("right", "$y$j75$saltsaltsaltsalt$", &data,
	    (int)sizeof(data)));
	fprintf(file, "bob:%s\n", crypt_rn("b\303\266b", "$6$rounds=1000$saltsalt$", &data,
	    (int)sizeof(data)));
	assert_int_equal(fclose(file), 0);
	users = users_load(path, false, &err);
	unlink(path);
	if (users == NULL)
		fail_msg("%s", err.text);
	return users;
}

static int
setup(void **state)
{
	struct fixture *fixture = mem_zalloc(sizeof(*fixture));
	struct error err;

	fixture->loop = loop_new(&err);
	fixture->passwords = passwords_new(fixture->loop);
	fixture->users = make_users();
	calls[0] = calls[1] = 0;
	*state = fixture;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fixture = *state;

	passwords_free(fixture->passwords);
	users_unref(fixture->users);
	loop_free(fixture->loop);
	free(fixture);
	return 0;
}

static void
on_compared(void *arg, bool is_good)
{
	struct fixture *fixture = arg;

	fixture->told++;
	fixture->good += is_good;
}

static struct password_check *
start(struct fixture *fixture, const char *name, const char *password)
{
	return password_start(fixture->passwords, fixture->users, name, password, on_compared,
	    fixture);
}

static void
settle(struct fixture *fixture)
{
	while (passwords_waiting(fixture->passwords) > 0)
		loop_turn(fixture->loop, 1000);
}

static bool
is_good(struct fixture *fixture, const char *name, const char *password)
{
	unsigned before = fixture->good;

	assert_non_null(start(fixture, name, password));
	settle(fixture);
	return fixture->good > before;
}

static void
test_right_and_wrong(void **state)
{
	struct fixture *fixture = *state;

	assert_true(is_good(fixture, "ann", "right"));
	assert_true(is_good(fixture, "bob", "b\303\266b"));
	assert_false(is_good(fixture, "ann", "b\303\266b"));
	assert_false(is_good(fixture, "bob", "right"));
	assert_false(is_good(fixture, "ann", ""));
	assert_false(is_good(fixture, "ann", "right "));
	assert_false(is_good(fixture, "Ann", "right"));
	assert_false(is_good(fixture, "", ""));
	assert_int_equal(fixture->told, 8);
}

/* crypt(3) takes no more than 511 octets: its "*0" is not a hash that could fit. */
static void
test_too_long(void **state)
{
	struct fixture *fixture = *state;
	char password[2000];

	memset(password, 'x', sizeof(password));
	password[sizeof(password) - 1] = '\0';
	assert_false(is_good(fixture, "ann", password));
	assert_false(is_good(fixture, "nobody", password));
}

/* Neither the number of computations nor their kind says which names there are; not even
 * the right password of another is good for a name that is unknown. */
static void
test_unknown_costs_the_same(void **state)
{
	struct fixture *fixture = *state;
	char name[32];

	for (unsigned i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "nobody%u", i);
		assert_false(is_good(fixture, name, i % 2 ? "right" : "b\303\266b"));
	}
	assert_int_equal(calls[0] + calls[1], 40);
	assert_true(calls[0] > 5 && calls[1] > 5);
}

static void
test_bounded(void **state)
{
	struct fixture *fixture = *state;

	pthread_mutex_lock(&gate);
	for (unsigned i = 0; i < PASSWORDS_WAITING_MAX; i++)
		assert_non_null(start(fixture, "bob", "wrong"));
	assert_null(start(fixture, "bob", "b\303\266b"));
	pthread_mutex_unlock(&gate);
	settle(fixture);
	assert_int_equal(fixture->told, PASSWORDS_WAITING_MAX);
	assert_true(is_good(fixture, "bob", "b\303\266b"));
}

/* Whoever goes is not told, whether the comparison waits, runs, or is done. */
static void
test_cancel(void **state)
{
	struct fixture *fixture = *state;
	struct password_check *checks[3];

	pthread_mutex_lock(&gate);
	for (size_t i = 0; i < 3; i++)
		checks[i] = start(fixture, "bob", "b\303\266b");
	password_cancel(fixture->passwords, checks[0]);
	password_cancel(fixture->passwords, checks[2]);
	pthread_mutex_unlock(&gate);
	settle(fixture);
	assert_int_equal(fixture->told, 1);
	assert_int_equal(fixture->good, 1);
	assert_true(calls[1] <= 2);
	checks[0] = start(fixture, "bob", "b\303\266b");
	assert_true(is_good(fixture, "bob", "b\303\266b"));
	assert_int_equal(fixture->told, 3);
}

/* One is compared, some wait, one is done and not told: all go. */
static void
test_end(void **state)
{
	struct fixture *fixture = *state;

	for (unsigned i = 0; i < 5; i++)
		assert_non_null(start(fixture, "ann", "right"));
	passwords_free(fixture->passwords);
	fixture->passwords = NULL;
	loop_turn(fixture->loop, 0);
	assert_int_equal(fixture->told, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_right_and_wrong),
		TEST(test_too_long),
		TEST(test_unknown_costs_the_same),
		TEST(test_bounded),
		TEST(test_cancel),
		TEST(test_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
