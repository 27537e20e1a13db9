/* test_identity.c - envelope addresses of this machine's mail: local, qualified, aliased. */
#include "mail/identity.h"
#include "rewrite_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct address
name(const char *text)
{
	struct address address;

	assert_int_equal(address_parse_name(&address, text, strlen(text)), ADDRESS_OK);
	return address;
}

static int
setup(void **state)
{
	static struct identity identity;

	fixture_identity(&identity, "");
	*state = &identity;
	return 0;
}

static int
teardown(void **state)
{
	fixture_free(*state);
	return 0;
}

static void
test_local(void **state)
{
	static const struct {
		const char *address;
		bool is_local;
		const char *qualified;
	} rows[] = {
		{ "", false, "" },
		{ "root", true, "root@mail.example.org" },
		{ "\"a b\"", true, "\"a b\"@mail.example.org" },
		{ "root@localhost", true, "root@mail.example.org" },
		{ "root@LOCALHOST", true, "root@mail.example.org" },
		{ "root@localhost.localdomain", true, "root@mail.example.org" },
		{ "root@web1.example.org", true, "root@web1.example.org" },
		{ "root@Web1.Example.Org", true, "root@web1.example.org" },
		{ "root@mail.example.org", false, "root@mail.example.org" },
		{ "root@example.org", false, "root@example.org" },
		{ "root@localhost.example.org", false, "root@localhost.example.org" },
		{ "root@[127.0.0.1]", false, "root@[127.0.0.1]" },
		{ "postmaster", true, "postmaster@mail.example.org" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address address = name(rows[i].address);
		char text[ADDRESS_TEXT_MAX + 1];

		assert_true(identity_is_local(*state, &address) == rows[i].is_local);
		identity_qualify(*state, &address);
		assert_string_equal(address_text(&address, text), rows[i].qualified);
	}
}

static void
test_local_domain(void **state)
{
	assert_true(identity_is_local_domain(*state, "", 0));
	assert_true(identity_is_local_domain(*state, "localhost.", 10));
	assert_true(identity_is_local_domain(*state, "localhostX", 9));
	assert_false(identity_is_local_domain(*state, ".", 1));
	assert_false(identity_is_local_domain(*state, "localhost..", 11));
	assert_string_equal(identity_domain(*state, "localhost", 9), "mail.example.org");
	assert_string_equal(identity_domain(*state, "WEB1.example.org.", 17), "web1.example.org");
	assert_null(identity_domain(*state, "WEB1.example.org", 16));
	assert_null(identity_domain(*state, "example.org", 11));
}

static void
test_sender(void **state)
{
	struct identity identity = *(struct identity *)*state;
	struct address address = name("root"), null = name("");
	char text[ADDRESS_TEXT_MAX + 1];

	/* Never aliased: an answer finds its way by that. */
	identity_sender(&identity, &address);
	assert_string_equal(address_text(&address, text), "root@mail.example.org");
	identity_sender(&identity, &null);
	assert_true(address_is_null(&null));
	identity.sender = name("web1@example.org");
	identity_sender(&identity, &address);
	assert_string_equal(address_text(&address, text), "web1@example.org");
	address = name("ann@example.com");
	identity_sender(&identity, &address);
	assert_string_equal(address_text(&address, text), "web1@example.org");
	identity_sender(&identity, &null);
	assert_true(address_is_null(&null));
}

static void
test_expand(void **state)
{
	static const struct {
		const char *address, *targets;
		bool is_aliased;
	} rows[] = {
		{ "root", "admin@example.org ", true },
		{ "ROOT@localhost", "admin@example.org ", true },
		{ "root@web1.example.org", "admin@example.org ", true },
		{ "root+cron", "admin@example.org ", true },
		{ "root@example.org", "root@example.org ", false },
		{ "www-data", "admin@example.org ", true },
		{ "ops", "ann@example.org bob@example.net ", true },
		{ "self", "self@mail.example.org copy@example.net ", true },
		{ "pi", "nobody-here@mail.example.org ", true },
		{ "nobody-known", "nobody-known@mail.example.org ", false },
		{ "nobody-known@web1.example.org", "nobody-known@web1.example.org ", false },
		{ "\"The Boss\"", "chief@example.org ", true },
		{ "ann@example.com", "ann@example.com ", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct address address = name(rows[i].address);
		struct identity_targets targets;
		char text[ADDRESS_TEXT_MAX + 1];
		struct buf all = { 0 };

		identity_expand(*state, &address, &targets);
		for (size_t j = 0; j < targets.count; j++)
			buf_appendf(&all, "%s ", address_text(&targets.items[j], text));
		assert_string_equal(buf_text(&all), rows[i].targets);
		assert_true(targets.is_aliased == rows[i].is_aliased);
		free(targets.items);
		buf_free(&all);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_local, setup, teardown),
		cmocka_unit_test_setup_teardown(test_local_domain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_sender, setup, teardown),
		cmocka_unit_test_setup_teardown(test_expand, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
