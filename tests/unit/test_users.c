/* test_users.c - the file of those who may authenticate, and the keys of a submission block. */
#include "conf/users.h"

#include "base/error.h"
#include "base/mem.h"
#include "conf/config.h"

#include <crypt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define SHA512	"$6$saltsalt$" TAIL43 TAIL43
#define SHA256	"$5$saltsalt$" TAIL43
#define TAIL43	"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd./0"
#define BCRYPT	"$2b$05$" TAIL43 "0123456789"
#define YESCRYPT "$y$j9T$saltsaltsaltsalt$" TAIL43

static char directory[64], path[80];

static int
setup(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/herald-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/users", directory);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(directory);
}

static void
write_file(const char *text, size_t len, mode_t mode)
{
	FILE *file;

	unlink(path);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static struct users *
load(const char *text)
{
	struct error err;
	struct users *users;

	write_file(text, strlen(text), 0600);
	users = users_load(path, false, &err);
	if (users == NULL)
		fail_msg("%s", err.text);
	return users;
}

static void
is_fault(const char *text, const char *expected)
{
	char *whole = mem_printf("%s%s", path, expected);
	struct error err;

	write_file(text, strlen(text), 0600);
	assert_null(users_load(path, false, &err));
	assert_string_equal(err.text, whole);
	free(whole);
}

static void
test_good(void **state)
{
	struct users *users = load("# staff\n\nann:" YESCRYPT "\r\n  \nBob@example.org:" SHA512
	    "\ncarol:" SHA256 "\nd\xc3\xb3ra:" BCRYPT);

	(void)state;
	assert_int_equal(users_count(users), 4);
	assert_string_equal(users_hash(users, "ann"), YESCRYPT);
	assert_string_equal(users_hash(users, "Bob@example.org"), SHA512);
	assert_string_equal(users_hash(users, "d\xc3\xb3ra"), BCRYPT);
	assert_null(users_hash(users, "bob@example.org"));
	assert_null(users_hash(users, "# staff"));
	assert_null(users_hash(users, ""));
	users_ref(users);
	users_unref(users);
	assert_string_equal(users_hash(users, "carol"), SHA256);
	users_unref(users);
	users_unref(NULL);
}

/* Of one unknown name always the same, of many all kinds of the file. */
static void
test_decoys(void **state)
{
	struct users *users = load("ann:" YESCRYPT "\nbob:" SHA512 "\n");
	unsigned kinds[2] = { 0, 0 };
	char name[32];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "nobody%u", i);
		kinds[strcmp(users_decoy(users, name), SHA512) == 0]++;
		assert_string_equal(users_decoy(users, name), users_decoy(users, name));
	}
	assert_true(kinds[0] > 300 && kinds[1] > 300);
	users_unref(users);
	users = load("");
	assert_int_equal(users_count(users), 0);
	assert_int_equal(crypt_checksalt(users_decoy(users, "ann")), CRYPT_SALT_OK);
	assert_int_equal(strncmp(users_decoy(users, "ann"), "$y$", 3), 0);
	users_unref(users);
}

static void
test_faults(void **state)
{
	(void)state;
	is_fault("ann\n", ":1: no colon, allowed is NAME:HASH");
	is_fault("ann:" SHA512 "\n\nann:" SHA256 "\n", ":3: ann stands twice");
	is_fault(":" SHA512 "\n", ":1: the name has 0 octets, allowed are 1 to 255");
	is_fault("a n:" SHA512 "\n",
	    ":1: the name \"a n\" is not allowed, which is UTF-8 without blanks and colons");
	is_fault("a\xff:" SHA512 "\n",
	    ":1: the name \"a\\xff\" is not allowed, which is UTF-8 without blanks and colons");
	is_fault("ann:secret\n", ":1: no hash of a known kind, allowed are yescrypt, sha512, "
	    "sha256 and bcrypt");
	is_fault("ann:$1$saltsalt$abcdefghijklmnopqrstu/\n", ":1: no hash of a known kind, "
	    "allowed are yescrypt, sha512, sha256 and bcrypt");
	is_fault("ann:!\n", ":1: no hash of a known kind, allowed are yescrypt, sha512, sha256 "
	    "and bcrypt");
	is_fault("ann:$6$saltsalt$" TAIL43 "\n", ":1: the hash is cut short or broken");
	is_fault("ann:" SHA512 ":0:0\n", ":1: the hash is cut short or broken");
	is_fault("ann:$2b$05$" TAIL43 "012345678\n", ":1: the hash is cut short or broken");
	is_fault("ann:$6$" TAIL43 TAIL43 "\n", ":1: the hash is cut short or broken");
	is_fault("ann:$2b$31$" TAIL43 "0123456789\n",
	    ":1: the hash costs 31 rounds, allowed are up to 14");
	is_fault("ann:$6$rounds=99999999$salt$" TAIL43 TAIL43 "\n",
	    ":1: the hash costs 99999999 rounds, allowed are up to 1000000");
	is_fault("ann:$y$jFT$saltsaltsaltsalt$" TAIL43 "\n",
	    ":1: the hash costs more than 128 MiB of memory");
}

static void
test_file_faults(void **state)
{
	char *text = mem_zalloc(1024 * 1024 + 2);
	struct error err;

	(void)state;
	unlink(path);
	assert_null(users_load(path, false, &err));
	assert_non_null(strstr(err.text, "No such file"));
	assert_null(users_load(directory, false, &err));
	assert_non_null(strstr(err.text, "not a regular file"));
	write_file("ann:" SHA512 "\n", strlen("ann:" SHA512 "\n"), 0644);
	assert_null(users_load(path, false, &err));
	assert_non_null(strstr(err.text, "everybody may use it"));
	write_file("a\0b", 3, 0600);
	assert_null(users_load(path, false, &err));
	assert_non_null(strstr(err.text, "has a NUL"));
	memset(text, '#', 1024 * 1024 + 1);
	write_file(text, 1024 * 1024, 0600);
	users_unref(users_load(path, false, &err));
	write_file(text, 1024 * 1024 + 1, 0600);
	assert_null(users_load(path, false, &err));
	assert_non_null(strstr(err.text, "more than 1048576 octets"));
	free(text);
}

/* What the library makes is taken, of every kind and at its usual cost. */
static void
test_hashes_of_the_library(void **state)
{
	static const char *const prefixes[] = { "$y$", "$6$", "$5$", "$2b$", "$2y$", "$2a$" };
	struct crypt_data data = { .initialized = 0 };
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
		char *setting = crypt_gensalt_ra(prefixes[i], 0, NULL, 0);
		const char *hash;

		assert_non_null(setting);
		hash = crypt_r("secret", setting, &data);
		assert_non_null(hash);
		if (!users_hash_check(hash, &err))
			fail_msg("%s: %s", hash, err.text);
		free(setting);
	}
}

/* --- the conffile --- */

static void
is_conf_fault(const char *keys, const char *expected)
{
	char *conffile = mem_printf("%s/conf", directory);
	FILE *file = fopen(conffile, "w");
	const struct config *config;
	struct error err;

	assert_non_null(file);
	fprintf(file, "relay smarthost { host = \"smtp.example.org\" }\nsubmission s {\n"
	    "users = \"%s\"\n%s\n}\n", path, keys);
	assert_int_equal(fclose(file), 0);
	config = config_load(conffile, &err);
	if (expected == NULL && config == NULL)
		fail_msg("%s", err.text);
	if (expected != NULL) {
		assert_null(config);
		if (strstr(err.text, expected) == NULL)
			fail_msg("%s, expected: %s", err.text, expected);
	}
	config_unref(config);
	unlink(conffile);
	free(conffile);
}

static void
test_conf(void **state)
{
	static const char good[] = "ann:" SHA512 "\n";

	(void)state;
	write_file(good, strlen(good), 0600);
	is_conf_fault("", NULL);
	is_conf_fault("require_auth = true", NULL);
	is_conf_fault("listen = {\"unix:/run/x\", \"127.0.0.1:25\", \"[::1]:25\", "
	    "\"systemd:x\"}", NULL);
	is_conf_fault("listen = \"*:25\"", "conf:3: users: needs tls = \"starttls\" or "
	    "\"implicit\": passwords would come to 0.0.0.0:25 in the clear");
	write_file(good, strlen(good), 0644);
	is_conf_fault("", "/users has mode 0644 and could be read by others");
	write_file("ann:x\n", 6, 0600);
	is_conf_fault("", "/users:1: no hash of a known kind");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_decoys),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_file_faults),
		cmocka_unit_test(test_hashes_of_the_library),
		cmocka_unit_test(test_conf),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
