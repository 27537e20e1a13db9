/* test_secret.c - where passwords may lie, and what they may not be. */
#include "relay/secret.h"

#include "base/buf.h"
#include "base/error.h"

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
	assert_non_null(strstr(get("secret", ""), "file:PATH or credential:NAME"));
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
	static const char *const names[] = { "s", "c" };
	char path[128];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
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
		cmocka_unit_test(test_places),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
