/* test_sasl_server.c - what clients answer to AUTH PLAIN and LOGIN, good, bad and cut short. */
#include "proto/sasl_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum sasl_server_next
answer(struct sasl_server *sasl, const char *octets, size_t len)
{
	struct buf encoded = { .octets = NULL };
	enum sasl_server_next next;

	base64_encode(&encoded, octets, len);
	next = sasl_server_answer(sasl, buf_octets(&encoded), encoded.len);
	buf_free(&encoded);
	return next;
}

#define OCTETS(text) text, sizeof(text) - 1

static void
test_plain(void **state)
{
	static const struct {
		const char *octets;
		size_t len;
		enum sasl_server_next next;
		const char *username, *password;
	} rows[] = {
		{ OCTETS("\0ann\0secret"), SASL_SERVER_DONE, "ann", "secret" },
		{ OCTETS("ann\0ann\0secret"), SASL_SERVER_DONE, "ann", "secret" },
		{ OCTETS("\0ann@example.org\0 a b "), SASL_SERVER_DONE, "ann@example.org",
		    " a b " },
		{ OCTETS("\0a\\b\0\\"), SASL_SERVER_DONE, "a\\b", "\\" },
		{ OCTETS("\0\xc3\xa9\0\xff\x01"), SASL_SERVER_DONE, "\xc3\xa9", "\xff\x01" },
		{ OCTETS("\0ann\0"), SASL_SERVER_DONE, "ann", "" },
		{ OCTETS("bob\0ann\0secret"), SASL_SERVER_OTHER_IDENTITY, NULL, NULL },
		{ OCTETS("an\0ann\0secret"), SASL_SERVER_OTHER_IDENTITY, NULL, NULL },
		{ OCTETS(""), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("ann"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0ann"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0\0"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0\0secret"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0ann\0sec\0ret"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0ann\0secret\0"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0a\nb\0secret"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0a\x7f\0secret"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0a\xc2\x85\0secret"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0a\xe2\x80\xae\0secret"), SASL_SERVER_FAULT, NULL, NULL },
		{ OCTETS("\0a\xc3\0secret"), SASL_SERVER_FAULT, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sasl_server sasl;

		sasl_server_start(&sasl, SASL_PLAIN);
		assert_int_equal(answer(&sasl, rows[i].octets, rows[i].len), rows[i].next);
		if (rows[i].username != NULL) {
			assert_string_equal(sasl_server_username(&sasl), rows[i].username);
			assert_string_equal(sasl_server_password(&sasl), rows[i].password);
		}
		sasl_server_end(&sasl);
		assert_null(sasl.password.octets);
	}
}

static void
test_login(void **state)
{
	struct sasl_server sasl;

	(void)state;
	sasl_server_start(&sasl, SASL_LOGIN);
	assert_int_equal(sasl_server_answer(&sasl, NULL, 0), SASL_SERVER_CHALLENGE);
	assert_string_equal(sasl_server_challenge(&sasl), "VXNlcm5hbWU6");
	assert_int_equal(answer(&sasl, OCTETS("ann")), SASL_SERVER_CHALLENGE);
	assert_string_equal(sasl_server_challenge(&sasl), "UGFzc3dvcmQ6");
	assert_int_equal(answer(&sasl, OCTETS("secret")), SASL_SERVER_DONE);
	assert_string_equal(sasl_server_username(&sasl), "ann");
	assert_string_equal(sasl_server_password(&sasl), "secret");
	sasl_server_end(&sasl);

	sasl_server_start(&sasl, SASL_LOGIN);
	assert_int_equal(answer(&sasl, OCTETS("")), SASL_SERVER_FAULT);
	sasl_server_end(&sasl);
	sasl_server_start(&sasl, SASL_LOGIN);
	assert_int_equal(answer(&sasl, OCTETS("a\0b")), SASL_SERVER_FAULT);
	sasl_server_end(&sasl);
}

static void
test_base64(void **state)
{
	static const char *const rows[] = {
		"!", "AGFubgBzZWNyZXQ", "AGFubgBzZWNyZXQ==", "AGFu bgBzZWNyZXQ=",
		"AGFubgBzZWNy=XQ=", "=", "====", "AGFubgBzZWNyZXQ=AAAA", "\xff\xff\xff\xff",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sasl_server sasl;

		sasl_server_start(&sasl, SASL_PLAIN);
		assert_int_equal(sasl_server_answer(&sasl, rows[i], strlen(rows[i])),
		    SASL_SERVER_FAULT);
		sasl_server_end(&sasl);
	}
}

/* Every cut of a good response is a fault or another password, never what lies behind. */
static void
test_cuts(void **state)
{
	static const char whole[] = "\0ann\0secret";

	(void)state;
	for (size_t len = 0; len < sizeof(whole) - 1; len++) {
		struct sasl_server sasl;
		enum sasl_server_next next;

		sasl_server_start(&sasl, SASL_PLAIN);
		next = answer(&sasl, whole, len);
		assert_int_equal(next, len < 5 ? SASL_SERVER_FAULT : SASL_SERVER_DONE);
		if (next == SASL_SERVER_DONE)
			assert_int_equal(strlen(sasl_server_password(&sasl)), len - 5);
		sasl_server_end(&sasl);
	}
}

static void
test_long(void **state)
{
	static char octets[SASL_USERNAME_MAX + 9000];
	struct sasl_server sasl;

	(void)state;
	memset(octets, 'a', sizeof(octets));
	octets[0] = octets[SASL_USERNAME_MAX + 1] = '\0';
	sasl_server_start(&sasl, SASL_PLAIN);
	assert_int_equal(answer(&sasl, octets, sizeof(octets)), SASL_SERVER_DONE);
	assert_int_equal(strlen(sasl_server_username(&sasl)), SASL_USERNAME_MAX);
	assert_int_equal(strlen(sasl_server_password(&sasl)), 9000 - 2);
	sasl_server_end(&sasl);
	octets[SASL_USERNAME_MAX + 1] = 'a';
	octets[SASL_USERNAME_MAX + 2] = '\0';
	sasl_server_start(&sasl, SASL_PLAIN);
	assert_int_equal(answer(&sasl, octets, sizeof(octets)), SASL_SERVER_FAULT);
	sasl_server_end(&sasl);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login),
		cmocka_unit_test(test_base64),
		cmocka_unit_test(test_cuts),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
