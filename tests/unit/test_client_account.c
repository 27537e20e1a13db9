/* test_client_account.c - URLs of servers, and what of them may be told. */
#include "base/buf.h"
#include "base/error.h"
#include "client/client_account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

static const struct client_scheme schemes[] = {
	{ "pop3", 110, CLIENT_TLS_NONE },
	{ "pop3s", 995, CLIENT_TLS_IMPLICIT },
	{ "smtp+starttls", 587, CLIENT_TLS_START },
	{ NULL, 0, CLIENT_TLS_NONE },
};

static const struct {
	const char *text, *scheme, *user, *host;
	unsigned port;
} good[] = {
	{ "pop3://host.example.org", "pop3", "", "host.example.org", 110 },
	{ "pop3s://ann@host.example.org", "pop3s", "ann", "host.example.org", 995 },
	{ "POP3S://ann@host.example.org/", "pop3s", "ann", "host.example.org", 995 },
	{ "pop3s://ann@example.org@host.example.org:1995", "pop3s", "ann@example.org",
	    "host.example.org", 1995 },
	{ "pop3s://ann%40example.org@[2001:db8::1]:1995", "pop3s", "ann@example.org",
	    "2001:db8::1", 1995 },
	{ "pop3://[::1]", "pop3", "", "::1", 110 },
	{ "smtp+starttls://a%3ab%25%2F@192.0.2.1", "smtp+starttls", "a:b%/", "192.0.2.1", 587 },
	{ "pop3://\xe7\x94\xa8\xe6\x88\xb7@h", "pop3", "\xe7\x94\xa8\xe6\x88\xb7", "h", 110 },
	{ "pop3://@h", "pop3", "", "h", 110 },
};

static void
test_good(void **state)
{
	struct client_account account;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		if (!client_account_parse(good[i].text, schemes, &account, &err))
			fail_msg("%s: %s", good[i].text, err.text);
		assert_string_equal(account.scheme->name, good[i].scheme);
		assert_string_equal(account.user, good[i].user);
		assert_string_equal(account.host, good[i].host);
		assert_int_equal(account.port, good[i].port);
	}
}

/* What might be a password stands in none of the messages. */
static void
test_bad(void **state)
{
	static const char *const bad[] = {
		"", "hunter2", "http://hunter2", "pop3:hunter2@h", "pop3:/hunter2", "pop3://",
		"pop3://ann@", "pop3://ann:hunter2@h", "pop3://ann:hunter2", "pop3://:hunter2@h",
		"pop3://ann:hunt/hunter2@h", "pop3://ann@h:hunter2", "pop3://ann@h/hunter2",
		"pop3://ann@h?hunter2", "pop3://ann@h:0", "pop3://ann@h:65536", "pop3://ann@h:",
		"pop3://ann@[::1", "pop3://ann@::1", "pop3://a%00b@h", "pop3://a%0d%0ab@h",
		"pop3://a%7f@h", "pop3://a\x1b[31m@h", "pop3://a%@h", "pop3://a%4@h",
		"pop3://a%4g@h", "pop3s//h", "smtp+starttls:h",
	};
	struct client_account account;
	struct error err;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (client_account_parse(bad[i], schemes, &account, &err))
			fail_msg("%s is taken", bad[i]);
		assert_null(strstr(err.text, "hunter2"));
		assert_null(strchr(err.text, '\033'));
	}
}

/* One octet more than there is room for. */
static void
test_long(void **state)
{
	struct client_account account;
	struct error err;
	char text[CLIENT_USER_MAX + 300];

	(void)state;
	for (int len = CLIENT_USER_MAX; len <= CLIENT_USER_MAX + 1; len++) {
		snprintf(text, sizeof(text), "pop3://%0*d@h", len, 0);
		assert_int_equal(client_account_parse(text, schemes, &account, &err),
		    len == CLIENT_USER_MAX);
	}
	for (int len = ENDPOINT_HOST_MAX + 1; len < ENDPOINT_HOST_MAX + 40; len++) {
		snprintf(text, sizeof(text), "pop3://%0*d", len, 0);
		assert_false(client_account_parse(text, schemes, &account, &err));
	}
}

static void
test_password(void **state)
{
	struct buf password = { 0 };
	struct error err;

	(void)state;
	setenv("HERALD_TEST_SECRET", "hunter2", 1);
	assert_int_equal(client_password("env:HERALD_TEST_SECRET", "", &password, &err), 0);
	assert_string_equal(buf_octets(&password), "hunter2");
	assert_int_equal(password.len, strlen("hunter2"));
	buf_wipe(&password);
	setenv("HERALD_TEST_SECRET", "", 1);
	assert_int_equal(client_password("env:HERALD_TEST_SECRET", "", &password, &err),
	    EX_DATAERR);
	unsetenv("HERALD_TEST_SECRET");
	assert_int_equal(client_password("env:HERALD_TEST_SECRET", "", &password, &err),
	    EX_NOINPUT);
	assert_int_equal(client_password("file:/nonexistent", "", &password, &err), EX_NOINPUT);
	assert_int_equal(client_password("hunter2", "", &password, &err), EX_USAGE);
	assert_null(strstr(err.text, "hunter2"));
	buf_wipe(&password);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_long),
		cmocka_unit_test(test_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
