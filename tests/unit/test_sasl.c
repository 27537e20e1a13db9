/* test_sasl.c - base64 and the AUTH mechanisms. */
#include "proto/sasl.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* RFC 4648 10. */
static void
test_base64(void **state)
{
	static const char *const pairs[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" },
		{ "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" },
		{ "foobar", "Zm9vYmFy" } };
	struct buf out = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		buf_clear(&out);
		base64_encode(&out, pairs[i][0], strlen(pairs[i][0]));
		assert_string_equal(buf_text(&out), pairs[i][1]);
		buf_clear(&out);
		assert_true(base64_decode(&out, pairs[i][1], strlen(pairs[i][1])));
		assert_string_equal(buf_text(&out), pairs[i][0]);
	}
	buf_free(&out);
}

static void
test_base64_all_octets(void **state)
{
	unsigned char octets[256];
	struct buf text = { 0 }, back = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (unsigned char)i;
	for (size_t len = 0; len <= sizeof(octets); len++) {
		buf_clear(&text);
		buf_clear(&back);
		base64_encode(&text, octets, len);
		assert_true(base64_decode(&back, buf_octets(&text), text.len));
		assert_int_equal(back.len, len);
		assert_memory_equal(buf_octets(&back), octets, len);
	}
	buf_free(&text);
	buf_free(&back);
}

static void
test_base64_refused(void **state)
{
	static const char *const texts[] = { "=", "Z", "Zg", "Zg=", "====", "Z===", "Zm9=v", "Zm 9",
		"Zm9v\r", "Zg==Zg==", "\xff\xff\xff\xff" };
	struct buf out = { 0 };

	(void)state;
	buf_append_text(&out, "kept");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(base64_decode(&out, texts[i], strlen(texts[i])));
	assert_string_equal(buf_text(&out), "kept");
	buf_free(&out);
}

static void
test_plain(void **state)
{
	struct buf out = { 0 };
	struct sasl sasl;

	(void)state;
	sasl_start(&sasl, SASL_PLAIN, "ann", "secret");
	assert_true(sasl_has_initial(&sasl));
	assert_true(sasl_answer(&sasl, "", 0, &out));
	assert_string_equal(buf_text(&out), "AGFubgBzZWNyZXQ=");
	assert_false(sasl_answer(&sasl, "", 0, &out));
	buf_wipe(&out);
}

static void
test_login(void **state)
{
	struct buf out = { 0 };
	struct sasl sasl;

	(void)state;
	sasl_start(&sasl, SASL_LOGIN, "ann", "secret");
	assert_false(sasl_has_initial(&sasl));
	assert_true(sasl_answer(&sasl, "VXNlcm5hbWU6", 12, &out));
	assert_string_equal(buf_text(&out), "YW5u");
	assert_true(sasl_answer(&sasl, "", 0, &out));
	assert_string_equal(buf_text(&out), "YW5uc2VjcmV0");
	assert_false(sasl_answer(&sasl, "", 0, &out));
	sasl_start(&sasl, SASL_LOGIN, "ann", "secret");
	assert_false(sasl_answer(&sasl, "Username:", 9, &out));
	buf_wipe(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64), cmocka_unit_test(test_base64_all_octets),
		cmocka_unit_test(test_base64_refused), cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
