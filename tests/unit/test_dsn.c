/* test_dsn.c - the report to the sender: its shape, and that nothing breaks out of it. */
#include "mail/dsn.h"

#include "base/buf.h"
#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct envelope *
make_failed(void)
{
	const struct address sender = { "ann", "example.org" }, b = { "bob", "example.net" },
	    c = { "carol", "example.net" };
	struct envelope *failed = envelope_new(&sender);
	struct recipient *recipient;

	failed->arrived = 1795400000;
	recipient = envelope_add(failed, &b);
	recipient->last = status_parse(550, "5.1.1 no such user", 18);
	strcpy(recipient->relay, "smtp.example.net[192.0.2.7]:465");
	recipient = envelope_add(failed, &c);
	recipient->last = status_local("4.4.7", "expired: connect to smtp.example.net: refused");
	strcpy(recipient->relay, "none");
	return failed;
}

static const char *
write_dsn(struct buf *out, const struct envelope *failed, const char *header, size_t len)
{
	const struct dsn dsn = { .hostname = "web1.example.org", .queue_id = "0123456789ABCDEF",
	    .failed = failed, .header = header, .header_len = len, .now = 1795411200 };

	dsn_write(&dsn, out);
	return buf_text(out);
}

static void
test_shape(void **state)
{
	static const char header[] = "Subject: hello\r\nTo: bob\r\n\r\nbody text\r\n";
	static const char *const lines[] = {
		"From: MAILER-DAEMON@web1.example.org (Mail Delivery System)\r\n",
		"To: <ann@example.org>\r\n", "Auto-Submitted: auto-replied\r\n",
		"MIME-Version: 1.0\r\n",
		"Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"=_",
		"Reporting-MTA: dns; web1.example.org\r\n", "Arrival-Date: ",
		("\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\n"
		"Status: 5.1.1\r\n"
		"Remote-MTA: dns; smtp.example.net\r\n"
		"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\nLast-Attempt-Date: "),
		("\r\n\r\nFinal-Recipient: rfc822; carol@example.net\r\nAction: failed\r\n"
		"Status: 4.4.7\r\n"
		"Diagnostic-Code: x-herald; expired: connect"),
		("\r\nContent-Type: text/rfc822-headers\r\n\r\n"
		"Subject: hello\r\nTo: bob\r\n\r\n--=_"),
		"smtp.example.net[192.0.2.7]:465 said:\r\n", "Date: ", "Message-ID: <",
	};
	struct envelope *failed = make_failed();
	struct buf out = { 0 };
	const char *text = write_dsn(&out, failed, header, sizeof(header) - 1);

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (strstr(text, lines[i]) == NULL)
			fail_msg("not found: %s\nin: %s", lines[i], text);
	assert_null(strstr(text, "body text"));
	assert_string_equal(text + strlen(text) - 4, "--\r\n");
	buf_free(&out);
	envelope_free(failed);
}

static void
test_bounds(void **state)
{
	struct envelope *failed = make_failed();
	struct buf out = { 0 }, header = { 0 };
	const char *text;

	(void)state;
	while (header.len < 100000)
		buf_append_text(&header, "X-Filler: 0123456789012345678901234567890123456789\r\n");
	write_dsn(&out, failed, buf_octets(&header), header.len);
	assert_in_range(out.len, DSN_HEADER_MAX, DSN_HEADER_MAX + 4096);
	buf_clear(&out);
	/* A header that is one long line leaves no half of it. */
	memset(header.octets, 'a', header.len);
	text = write_dsn(&out, failed, buf_octets(&header), header.len);
	assert_null(strstr(text, "aaa"));
	buf_clear(&out);
	text = write_dsn(&out, failed, "", 0);
	assert_non_null(strstr(text, "text/rfc822-headers"));
	buf_free(&out);
	buf_free(&header);
	envelope_free(failed);
}

/* A report is 7-bit, so that every relay takes it; the original's header stays readable. */
static void
test_eight_bit(void **state)
{
	static const char header[] = "Subject: \xe6\x82\xa8 a=b \r\n\tmore\r\n\r\n";
	struct envelope *failed = make_failed();
	struct buf out = { 0 };
	const char *text = write_dsn(&out, failed, header, sizeof(header) - 1);

	(void)state;
	assert_non_null(strstr(text, "text/rfc822-headers\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "Subject: =E6=82=A8 a=3Db=20\r\n=09more\r\n\r\n--=_"));
	for (size_t i = 0; i < out.len; i++)
		assert_true((unsigned char)text[i] < 0x80);
	buf_free(&out);
	envelope_free(failed);
}

/* RFC 2045 6.7: no encoded line is longer than 76. */
static void
test_long_eight_bit(void **state)
{
	char header[2002];
	struct envelope *failed = make_failed();
	struct buf out = { 0 };
	const char *text;
	size_t count = 0;

	(void)state;
	memset(header, 0xe9, sizeof(header));
	memcpy(header, "X: ", 3);
	memcpy(header + 2000, "\r\n", 2);
	text = strstr(write_dsn(&out, failed, header, sizeof(header)), "\r\n\r\nX: =E9");
	assert_non_null(text);
	for (text += 4; strncmp(text, "--", 2) != 0; text = strchr(text, '\n') + 1) {
		assert_in_range(strcspn(text, "\r"), 0, 76);
		for (size_t i = 0; text[i] != '\r'; i++)
			count += strncmp(text + i, "=E9", 3) == 0;
	}
	assert_int_equal(count, 1997);
	buf_free(&out);
	envelope_free(failed);
}

/* Rows of a store that someone has edited: no field, line or part is broken out of. */
static void
test_hostile(void **state)
{
	static const char header[] = "Subject: x\r\n--=_0123456789ABCDEF.0\r\n"
	    "--=_0123456789ABCDEF.1--\r\nA: b\rc\0d\r\n\r\n";
	struct envelope *failed = make_failed();
	struct buf out = { 0 };
	const char *text;

	(void)state;
	strcpy(failed->recipients[0].last.text,
	    "x\r\n\r\n--=_0123456789ABCDEF.2\r\nBcc: e@example.com");
	strcpy(failed->recipients[0].relay, "a\r\nX-Evil: 1[");
	strcpy(failed->recipients[0].forward_path.local, "b\r\nX-Evil: 2");
	strcpy(failed->reverse_path.local, "a\r\nX-Evil: 3\r\n");
	text = write_dsn(&out, failed, header, sizeof(header) - 1);
	assert_null(strstr(text, "\r\nX-Evil"));
	assert_null(strstr(text, "\r\nBcc"));
	assert_non_null(strstr(text, "boundary=\"=_0123456789ABCDEF.3\""));
	assert_int_equal(strlen(text), out.len);
	for (size_t i = 0; i < out.len; i++)
		if (text[i] == '\r')
			assert_int_equal(text[i + 1], '\n');
	buf_free(&out);
	envelope_free(failed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shape), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_eight_bit), cmocka_unit_test(test_long_eight_bit),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
