/* test_config_identity.c - the identity block: defaults, the aliases file, changes. */
#include "base/error.h"
#include "conf/config.h"
#include "mail/aliases.h"
#include "mail/identity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "hostname = \"web1.example.org\" state_directory = \"%s\"\n"

static char folder[] = "/tmp/herald-identity.XXXXXX";

static int
enter(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL ? chdir(folder) : -1;
}

static int
leave(void **state)
{
	(void)state;
	unlink("test.conf");
	unlink("names");
	return chdir("/") != 0 || rmdir(folder) != 0;
}

static void
write_file(const char *name, const char *head, const char *text)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	if (head[0] != '\0')
		fprintf(file, HEAD, folder);
	fputs(text, file);
	fclose(file);
}

static struct config *
load(const char *text, struct error *err)
{
	write_file("test.conf", HEAD, text);
	return config_load("test.conf", err);
}

static struct config *
must_load(const char *text)
{
	struct error err = { .text = "" };
	struct config *config = load(text, &err);

	if (config == NULL)
		fail_msg("%s", err.text);
	return config;
}

static void
test_defaults(void **state)
{
	struct config *config = must_load("");
	const struct identity *rules = config->identity.rules;

	(void)state;
	assert_string_equal(config->identity.domain, "web1.example.org");
	assert_string_equal(config->identity.sender, "");
	assert_string_equal(config->identity.from, "");
	assert_int_equal(rules->local_name_count, 1);
	assert_string_equal(rules->local_names[0], "localhost");
	assert_true(address_is_null(&rules->sender) && address_is_null(&rules->from));
	/* Without mail nobody's /etc/aliases is looked at. */
	assert_null(rules->aliases);
	assert_string_equal(config->identity.aliases, "");
	config_unref(config);
}

static void
test_aliases(void **state)
{
	struct config *config, *next, *other;
	struct error err;
	char changes[200];

	(void)state;
	write_file("names", "", "root: admin@example.org\n");
	config = must_load("identity { aliases = \"names\" from = \"no@example.org\" }\n");
	assert_int_equal(aliases_count(config->identity.rules->aliases), 1);
	assert_string_equal(config->identity.rules->from.local, "no");
	next = must_load("identity { aliases = \"names\" from = \"no@example.org\" }\n");
	config_changes(config, next, changes, sizeof(changes));
	assert_string_equal(changes, "");
	write_file("names", "", "root: boss@example.org\n");
	other = must_load("identity { aliases = \"names\" from = \"no@example.org\" }\n");
	config_changes(config, other, changes, sizeof(changes));
	assert_string_equal(changes, "identity.aliases");
	config_unref(other);
	other = must_load("identity { aliases = \"\" from = \"ja@example.org\" }\n");
	config_changes(config, other, changes, sizeof(changes));
	assert_string_equal(changes, "identity.aliases, identity.from");
	config_unref(other);
	config_unref(next);
	config_unref(config);
	write_file("names", "", "# x\nroot: |x\n");
	assert_null(load("identity { aliases = \"names\" }\n", &err));
	assert_non_null(strstr(err.text, "/names:2: |x: no program is run"));
}

/* A name of the conffile means this machine in the aliases file too. */
static void
test_loop_by_local_name(void **state)
{
	struct error err;
	struct config *config;

	(void)state;
	write_file("names", "", "a: b@web1\nb: a\n");
	config = must_load("identity { aliases = \"names\" }\n");
	config_unref(config);
	assert_null(load("identity { aliases = \"names\" local_names = {\"web1\"} }\n", &err));
	assert_non_null(strstr(err.text, "/names:1: a loop: a, b, a;"));
}

/* What is printed loads again and says the same. */
static void
test_printed(void **state)
{
	struct config *config, *again;
	struct error err;
	char changes[200];
	FILE *file;

	(void)state;
	write_file("names", "", "root: admin@example.org\n");
	config = must_load("identity { aliases = \"names\" local_names = {\"a\", \"b\"} "
	    "sender = \"x@example.org\" }\n");
	file = fopen("test.conf", "w");
	assert_non_null(file);
	config_print(config, file);
	fclose(file);
	again = config_load("test.conf", &err);
	assert_non_null(again);
	config_changes(config, again, changes, sizeof(changes));
	assert_string_equal(changes, "");
	config_unref(config);
	config_unref(again);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_loop_by_local_name),
		cmocka_unit_test(test_printed),
	};

	return cmocka_run_group_tests(tests, enter, leave);
}
