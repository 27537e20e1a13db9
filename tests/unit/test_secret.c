/* test_secret.c - where passwords may lie, and what they may not be. */
#include "relay/secret.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "relay/secret_command.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static void
put(const char *name, const void *octets, size_t len, mode_t mode)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, octets, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

/* Returns the fault, or "" where the secret is `expected`. */
static const char *
get(const char *where, const char *expected)
{
	static struct error err;
	struct buf secret = { 0 };

	if (!secret_read(where, &secret, &err)) {
		assert_int_equal(secret.len, 0);
		return err.text;
	}
	assert_string_equal(buf_octets(&secret), expected);
	assert_int_equal(secret.len, strlen(expected));
	buf_wipe(&secret);
	return "";
}

static const char *
get_file(const void *octets, size_t len, mode_t mode, const char *expected)
{
	char where[128];

	put("s", octets, len, mode);
	snprintf(where, sizeof(where), "file:%s/s", folder);
	return get(where, expected);
}

static void
test_octets(void **state)
{
	char large[SECRET_MAX + 2], where[128];

	(void)state;
	memset(large, 'a', sizeof(large));
	assert_string_equal(get_file("pass word", 9, 0600, "pass word"), "");
	assert_string_equal(get_file("pass\n", 5, 0600, "pass"), "");
	assert_non_null(strstr(get_file("pass\n\n", 6, 0600, ""), "second line"));
	assert_non_null(strstr(get_file("pass\r\n", 6, 0600, ""), "CR"));
	assert_non_null(strstr(get_file("pa\0ss", 5, 0600, ""), "NUL"));
	assert_non_null(strstr(get_file("", 0, 0600, ""), "empty"));
	assert_non_null(strstr(get_file("\n", 1, 0600, ""), "empty"));
	assert_non_null(strstr(get_file(large, SECRET_MAX + 2, 0600, ""), "longer"));
	put("s", large, SECRET_MAX, 0600);
	large[SECRET_MAX] = '\0';
	snprintf(where, sizeof(where), "file:%s/s", folder);
	assert_string_equal(get(where, large), "");
}

static void
test_modes(void **state)
{
	char where[128];

	(void)state;
	assert_string_equal(get_file("x", 1, 0400, "x"), "");
	assert_non_null(strstr(get_file("x", 1, 0604, ""), "everybody"));
	assert_non_null(strstr(get_file("x", 1, 0644, ""), "mode 0644"));
	if (geteuid() == 0)
		assert_string_equal(get_file("x", 1, 0640, "x"), "");
	else
		assert_non_null(strstr(get_file("x", 1, 0640, ""), "group"));
	if (geteuid() == 0) {
		put("s", "x", 1, 0640);
		snprintf(where, sizeof(where), "%s/s", folder);
		assert_int_equal(chown(where, 0, 54321), 0);
		snprintf(where, sizeof(where), "file:%s/s", folder);
		assert_non_null(strstr(get(where, ""), "group"));
	}
}

static void
test_places(void **state)
{
	char where[128];

	(void)state;
	assert_non_null(strstr(get("secret", ""), "file:PATH, credential:NAME or command:PATH"));
	assert_null(strstr(get("hunter2", ""), "hunter2"));
	snprintf(where, sizeof(where), "file:%s/absent", folder);
	assert_non_null(strstr(get(where, ""), "No such file"));
	snprintf(where, sizeof(where), "file:%s", folder);
	assert_non_null(strstr(get(where, ""), "not a regular file"));
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_non_null(strstr(get("credential:c", ""), "CREDENTIALS_DIRECTORY"));
	setenv("CREDENTIALS_DIRECTORY", folder, 1);
	put("c", "token\n", 6, 0444);
	assert_string_equal(get("credential:c", "token"), "");
	assert_non_null(strstr(get("credential:../c", ""), "not the name"));
	assert_non_null(strstr(get("credential:", ""), "not the name"));
}

/* A program below the folder that leaves a mark each time it runs. */
static const char *
script(const char *body)
{
	static char where[128];
	char text[512];

	snprintf(text, sizeof(text), "#!/bin/sh\necho x >>%s/marks\n%s\n", folder, body);
	put("program", text, strlen(text), 0700);
	snprintf(where, sizeof(where), "command:%s/program", folder);
	secret_forget(where);
	return where;
}

static size_t
marks(void)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/marks", folder);
	return stat(path, &st) == -1 ? 0 : (size_t)st.st_size / 2;
}

static void
test_command_once(void **state)
{
	const char *where = script("echo secret");
	size_t before = marks();

	(void)state;
	assert_string_equal(get(where, "secret"), "");
	assert_string_equal(get(where, "secret"), "");
	assert_int_equal(marks(), before + 1);
	secret_forget("command:/another");
	assert_string_equal(get(where, "secret"), "");
	assert_int_equal(marks(), before + 1);
	secret_forget(where);
	assert_string_equal(get(where, "secret"), "");
	assert_int_equal(marks(), before + 2);
	secret_forget(NULL);
	assert_string_equal(get(where, "secret"), "");
	assert_int_equal(marks(), before + 3);
	secret_forget(NULL);
}

static void
test_command_words(void **state)
{
	char where[256];

	(void)state;
	assert_string_equal(get("command:/bin/echo  a\tb $HOME", "a b $HOME"), "");
	/* No shell, nothing to read, and the environment of the daemon. */
	assert_string_equal(get("command:/bin/echo a;b|c>d", "a;b|c>d"), "");
	assert_non_null(strstr(get("command:/bin/cat", ""), "is empty"));
	setenv("HERALD_TEST", "from outside", 1);
	assert_string_equal(get("command:/usr/bin/printenv HERALD_TEST", "from outside"), "");
	assert_non_null(strstr(get("command:", ""), "absolute path"));
	assert_non_null(strstr(get("command:echo x", ""), "absolute path"));
	assert_non_null(strstr(get("command:/nonexistent/program hidden", ""),
	    "cannot run /nonexistent/program: No such file"));
	assert_null(strstr(get("command:/nonexistent/program hidden", ""), "hidden"));
	snprintf(where, sizeof(where), "command:%s", folder);
	assert_non_null(strstr(get(where, ""), "cannot run"));
	secret_forget(NULL);
}

static void
test_command_faults(void **state)
{
	(void)state;
	assert_non_null(strstr(get(script("echo secret; exit 3"), ""), "ended with status 3"));
	assert_non_null(strstr(get(script("kill -9 $$"), ""), "ended by signal 9"));
	assert_non_null(strstr(get(script("echo a; echo b"), ""), "second line"));
	assert_non_null(strstr(get(script("exec head -c 5000 /dev/zero | tr '\\0' a"), ""),
	    "longer"));
	assert_non_null(strstr(get(script("exec yes"), ""), "command: "));
	/* A failure is not kept. */
	{
		const char *where = script("exit 1");
		size_t before = marks();

		assert_non_null(strstr(get(where, ""), "status 1"));
		assert_non_null(strstr(get(where, ""), "status 1"));
		assert_int_equal(marks(), before + 2);
	}
}

/* Killed with what it started, whether it holds its output open or not. */
static void
test_command_that_hangs(void **state)
{
	static const char *const bodies[] = { "sleep 600", "exec >&-; sleep 600",
		"sleep 600 & echo secret" };
	int64_t start;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct buf out = { 0 };
		struct error err;
		const char *where = script(bodies[i]);

		start = clock_monotonic_us();
		assert_false(secret_command_run(where + 8, 1, 100, &out, &err));
		assert_non_null(strstr(err.text, "not done after 1 s"));
		assert_in_range(clock_monotonic_us() - start, 900000, 5000000);
		buf_wipe(&out);
	}
}

static int
set_up(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/herald-test-secret-XXXXXX");
	return mkdtemp(folder) == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
	static const char *const names[] = { "s", "c", "program", "marks" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		unlink(path);
	}
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_octets), cmocka_unit_test(test_modes),
		cmocka_unit_test(test_places), cmocka_unit_test(test_command_once),
		cmocka_unit_test(test_command_words), cmocka_unit_test(test_command_faults),
		cmocka_unit_test(test_command_that_hangs),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
