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
	assert_true(sasl_is_done(&sasl));
	assert_false(sasl_answer(&sasl, "", 0, &out));
	assert_false(sasl_is_done(&sasl));
	assert_string_equal(buf_text(&out), "AGFubgBzZWNyZXQ=");
	buf_wipe(&out);
	sasl_end(&sasl);
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
	assert_false(sasl_is_done(&sasl));
	assert_true(sasl_answer(&sasl, "", 0, &out));
	assert_string_equal(buf_text(&out), "YW5uc2VjcmV0");
	assert_true(sasl_is_done(&sasl));
	assert_false(sasl_answer(&sasl, "", 0, &out));
	sasl_end(&sasl);
	sasl_start(&sasl, SASL_LOGIN, "ann", "secret");
	assert_false(sasl_answer(&sasl, "Username:", 9, &out));
	assert_string_equal(sasl_fault(&sasl), "the server's challenge is no base64");
	/* A fault is for good. */
	assert_false(sasl_answer(&sasl, "", 0, &out));
	assert_false(sasl_is_done(&sasl));
	sasl_end(&sasl);
	buf_wipe(&out);
}

/* One turn in plain text: `challenge` in, the answer out, or NULL. */
static const char *
turn(struct sasl *sasl, const char *challenge)
{
	static char answer[4096];
	struct buf in = { 0 }, out = { 0 }, plain = { 0 };
	const char *result = NULL;

	base64_encode(&in, challenge, strlen(challenge));
	if (sasl_answer(sasl, buf_octets(&in), in.len, &out)) {
		assert_true(base64_decode(&plain, buf_octets(&out), out.len));
		assert_true(plain.len < sizeof(answer));
		memcpy(answer, buf_octets(&plain), plain.len);
		answer[plain.len] = '\0';
		result = answer;
	} else {
		assert_int_equal(out.len, 0);
	}
	buf_free(&in);
	buf_free(&out);
	buf_free(&plain);
	return result;
}

/* RFC 2195 2. */
static void
test_cram_md5(void **state)
{
	struct sasl sasl;

	(void)state;
	sasl_start(&sasl, SASL_CRAM_MD5, "tim", "tanstaaftanstaaf");
	assert_false(sasl_has_initial(&sasl));
	assert_false(sasl_is_done(&sasl));
	assert_string_equal(turn(&sasl, "<1896.697170952@postoffice.reston.mci.net>"),
	    "tim b913a602c7eda7a495b4e6e7334d3890");
	assert_true(sasl_is_done(&sasl));
	assert_null(turn(&sasl, "more"));
	sasl_end(&sasl);
	sasl_start(&sasl, SASL_CRAM_MD5, "tim", "tanstaaftanstaaf");
	assert_null(turn(&sasl, ""));
	assert_string_equal(sasl_fault(&sasl), "the server's challenge is empty");
	sasl_end(&sasl);
}

/* RFC 7677 3. */
#define NONCE		"rOprNGfwEbeRWgbNEkqO"
#define BOTH_NONCES	NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SALT		"W22ZaJ0SNY7soEsUEjb6gQ=="
#define SERVER_FIRST	"r=" BOTH_NONCES ",s=" SALT ",i=4096"
#define SERVER_FINAL	"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="

/* Behind the client's first message. */
static void
scram_start(struct sasl *sasl)
{
	sasl_start(sasl, SASL_SCRAM_SHA_256, "user", "pencil");
	strcpy(sasl->nonce, NONCE);
	assert_string_equal(turn(sasl, ""), "n,,n=user,r=" NONCE);
}

static void
test_scram(void **state)
{
	struct sasl sasl, zero = { 0 };

	(void)state;
	sasl_start(&sasl, SASL_SCRAM_SHA_256, "user", "pencil");
	assert_true(sasl_has_initial(&sasl));
	sasl_end(&sasl);
	scram_start(&sasl);
	assert_string_equal(turn(&sasl, SERVER_FIRST), "c=biws,r=" BOTH_NONCES
	    ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
	assert_false(sasl_is_done(&sasl));
	assert_string_equal(turn(&sasl, SERVER_FINAL), "");
	assert_true(sasl_is_done(&sasl));
	assert_null(turn(&sasl, ""));
	assert_false(sasl_is_done(&sasl));
	sasl_end(&sasl);
	assert_memory_equal(&sasl, &zero, sizeof(sasl));
	sasl_end(&sasl);
}

static void
test_scram_extensions(void **state)
{
	struct sasl sasl;
	const char *proof;

	(void)state;
	scram_start(&sasl);
	proof = turn(&sasl, SERVER_FIRST ",x=unknown,y=2");
	assert_non_null(proof);
	/* They are signed along. */
	assert_null(strstr(proof, "p=dHzbZapW"));
	assert_null(turn(&sasl, SERVER_FINAL));
	sasl_end(&sasl);
}

static void
test_scram_server_first_refused(void **state)
{
	static const char *const bad[] = {
		"", "r", "r=", "nonsense", "e=other-error", ",,,", "r=,s=,i=",
		"m=ext," SERVER_FIRST,
		"s=" SALT ",r=" BOTH_NONCES ",i=4096",
		"r=" BOTH_NONCES ",i=4096,s=" SALT,
		"r=" BOTH_NONCES ",s=" SALT,
		"r=" NONCE ",s=" SALT ",i=4096",			/* nothing of its own */
		"r=rOprNGfwEbeRWgbNEkq" ",s=" SALT ",i=4096",	/* shorter than ours */
		"r=xOprNGfwEbeRWgbNEkqO%h" ",s=" SALT ",i=4096",
		"r=" NONCE " x,s=" SALT ",i=4096",
		"r=" NONCE "\x80,s=" SALT ",i=4096",
		"r=" BOTH_NONCES ",s=,i=4096",
		"r=" BOTH_NONCES ",s=W22ZaJ0SNY7soEsUEjb6gQ=,i=4096",
		"r=" BOTH_NONCES ",s=!!!!,i=4096",
		"r=" BOTH_NONCES ",s=" SALT ",i=",
		"r=" BOTH_NONCES ",s=" SALT ",i=0",
		"r=" BOTH_NONCES ",s=" SALT ",i=1",
		"r=" BOTH_NONCES ",s=" SALT ",i=4095",
		"r=" BOTH_NONCES ",s=" SALT ",i=04096",
		"r=" BOTH_NONCES ",s=" SALT ",i=-4096",
		"r=" BOTH_NONCES ",s=" SALT ",i=+4096",
		"r=" BOTH_NONCES ",s=" SALT ",i= 4096",
		"r=" BOTH_NONCES ",s=" SALT ",i=4096 ",
		"r=" BOTH_NONCES ",s=" SALT ",i=4096x",
		"r=" BOTH_NONCES ",s=" SALT ",i=100001",
		"r=" BOTH_NONCES ",s=" SALT ",i=99999999",
		"r=" BOTH_NONCES ",s=" SALT ",i=4294971392",	/* 2^32 + 4096 */
		"r=" BOTH_NONCES ",s=" SALT ",i=18446744073709555712",
	};
	struct sasl sasl;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		scram_start(&sasl);
		assert_null(turn(&sasl, bad[i]));
		assert_string_not_equal(sasl_fault(&sasl), "no fault");
		assert_null(turn(&sasl, SERVER_FIRST));
		assert_null(turn(&sasl, SERVER_FINAL));
		assert_false(sasl_is_done(&sasl));
		sasl_end(&sasl);
	}
	/* The words for who must change something. */
	scram_start(&sasl);
	assert_null(turn(&sasl, "r=" BOTH_NONCES ",s=" SALT ",i=600000"));
	assert_string_equal(sasl_fault(&sasl), "the server asks for more than 100000 iterations");
	sasl_end(&sasl);
	scram_start(&sasl);
	assert_non_null(turn(&sasl, "r=" BOTH_NONCES ",s=" SALT ",i=100000"));
	sasl_end(&sasl);
}

static void
test_scram_server_final_refused(void **state)
{
	static const char *const bad[] = {
		"", "v", "v=", "e=invalid-proof", "e=", "x=1," SERVER_FINAL,
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G8=",
		"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==",
		"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4",
		"v=" "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
		SERVER_FIRST,
	};
	struct sasl sasl;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		scram_start(&sasl);
		assert_non_null(turn(&sasl, SERVER_FIRST));
		assert_null(turn(&sasl, bad[i]));
		assert_false(sasl_is_done(&sasl));
		sasl_end(&sasl);
	}
}

/* RFC 5802 5.1: in a name the comma and the equals sign are written as =2C and =3D. */
static void
test_scram_names_and_nonces(void **state)
{
	struct sasl one, two;
	char first[200];

	(void)state;
	sasl_start(&one, SASL_SCRAM_SHA_256, "a,b=c=2C", "x");
	strcpy(one.nonce, "n");
	assert_string_equal(turn(&one, ""), "n,,n=a=2Cb=3Dc=3D2C,r=n");
	sasl_end(&one);
	sasl_start(&one, SASL_SCRAM_SHA_256, "ann", "x");
	sasl_start(&two, SASL_SCRAM_SHA_256, "ann", "x");
	strcpy(first, turn(&one, ""));
	assert_string_not_equal(first, turn(&two, ""));
	assert_int_equal(strlen(one.nonce), 24);
	assert_null(strchr(one.nonce, ','));
	sasl_end(&one);
	sasl_end(&two);
	/* The server may not begin. */
	sasl_start(&one, SASL_SCRAM_SHA_256, "ann", "x");
	assert_null(turn(&one, SERVER_FIRST));
	sasl_end(&one);
}

static void
test_long_challenge(void **state)
{
	static const enum sasl_mechanism mechanisms[] = { SASL_PLAIN, SASL_LOGIN, SASL_CRAM_MD5,
		SASL_SCRAM_SHA_256 };
	char challenge[SASL_CHALLENGE_MAX + 5];
	struct buf out = { 0 };
	struct sasl sasl;

	(void)state;
	memset(challenge, 'A', sizeof(challenge));
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++) {
		sasl_start(&sasl, mechanisms[i], "ann", "secret");
		assert_false(sasl_answer(&sasl, challenge, SASL_CHALLENGE_MAX + 4, &out));
		sasl_end(&sasl);
	}
	sasl_start(&sasl, SASL_CRAM_MD5, "ann", "secret");
	assert_true(sasl_answer(&sasl, challenge, SASL_CHALLENGE_MAX, &out));
	sasl_end(&sasl);
	buf_wipe(&out);
}

static bool
is_quoted(const struct sasl *sasl, const char *text)
{
	return sasl_is_quoted(sasl, text, strlen(text));
}

static void
test_quoted(void **state)
{
	struct buf out = { 0 };
	struct sasl sasl = { 0 };

	(void)state;
	assert_false(is_quoted(&sasl, "5.7.8 no"));
	sasl_start(&sasl, SASL_PLAIN, "ann", "secret");
	assert_true(sasl_answer(&sasl, "", 0, &out));
	assert_true(is_quoted(&sasl, "bad: AGFubgBzZWNyZXQ="));
	assert_true(is_quoted(&sasl, "bad: AGFubgBzZWNyZ"));
	assert_true(is_quoted(&sasl, "not 'secret'"));
	assert_false(is_quoted(&sasl, "5.7.8 authentication failed: ann"));
	sasl_end(&sasl);
	sasl_start(&sasl, SASL_LOGIN, "annabelle", "secret");
	assert_true(sasl_answer(&sasl, "", 0, &out));
	assert_true(sasl_answer(&sasl, "", 0, &out));
	assert_true(is_quoted(&sasl, "c2VjcmV0?"));
	assert_true(is_quoted(&sasl, "YW5uYWJlbGxl?"));
	assert_false(is_quoted(&sasl, "5.7.8 no"));
	sasl_end(&sasl);
	sasl_start(&sasl, SASL_CRAM_MD5, "tim", "tanstaaftanstaaf");
	assert_non_null(turn(&sasl, "<1896.697170952@postoffice.reston.mci.net>"));
	assert_true(is_quoted(&sasl, "what is dGltIGI5MTNhNjAyYzdlZGE3"));
	assert_true(is_quoted(&sasl, "tanstaaftanstaaf"));
	assert_false(is_quoted(&sasl, "5.7.8 no, tim"));
	sasl_end(&sasl);
	scram_start(&sasl);
	assert_non_null(turn(&sasl, SERVER_FIRST));
	assert_true(is_quoted(&sasl, "what is biwsbj11c2Vy"));
	assert_true(is_quoted(&sasl, "what is Yz1iaXdzLHI9ck9w"));
	assert_true(is_quoted(&sasl, "a pencil!"));
	assert_false(is_quoted(&sasl, "5.7.8 no"));
	sasl_end(&sasl);
	buf_wipe(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_base64), cmocka_unit_test(test_base64_all_octets),
		cmocka_unit_test(test_base64_refused), cmocka_unit_test(test_plain),
		cmocka_unit_test(test_login), cmocka_unit_test(test_cram_md5),
		cmocka_unit_test(test_scram), cmocka_unit_test(test_scram_extensions),
		cmocka_unit_test(test_scram_server_first_refused),
		cmocka_unit_test(test_scram_server_final_refused),
		cmocka_unit_test(test_scram_names_and_nonces),
		cmocka_unit_test(test_long_challenge), cmocka_unit_test(test_quoted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
