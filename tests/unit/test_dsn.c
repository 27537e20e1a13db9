/* test_dsn.c - the report to the sender: its shape, and that nothing breaks out of it. */
#include "mail/dsn.h"

#include "base/buf.h"
#include "base/error.h"
#include "mail/dsn_digest.h"
#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* An original in memory; what is read comes in pieces of `step` octets. */
struct source {
	const char *octets;
	size_t len, step;
	bool fails;
};

struct fixture {
	struct envelope *about;
	struct source source;
	struct buf out;
	struct dsn_needs needs;
	bool header_only, sink_fails;
};

static bool
read_source(void *arg, uint64_t offset, void *out, size_t len, size_t *got, struct error *err)
{
	const struct source *source = arg;
	size_t left = source->len - (size_t)offset;

	if (source->fails)
		return error_set(err, ERROR_STORE, "cannot read");
	if (source->step > 0 && len > source->step)
		len = source->step;
	*got = left < len ? left : len;
	memcpy(out, source->octets + offset, *got);
	return true;
}

static bool
append(void *arg, const void *octets, size_t len, struct error *err)
{
	struct fixture *fixture = arg;

	if (fixture->sink_fails)
		return error_set(err, ERROR_STORE, "disk full");
	buf_append(&fixture->out, octets, len);
	return true;
}

static struct recipient *
add(struct envelope *about, const char *local, const char *domain)
{
	struct address address = { .local = "" };
	struct recipient *recipient;

	snprintf(address.local, sizeof(address.local), "%s", local);
	snprintf(address.domain, sizeof(address.domain), "%s", domain);
	recipient = envelope_add(about, &address);
	recipient->state = RECIPIENT_OWED;
	recipient->last = status_parse(550, "5.1.1 no such user", 18);
	recipient->last_at = 1795410000;
	strcpy(recipient->relay, "smarthost/smtp.example.net[192.0.2.7]:465");
	return recipient;
}

static int
setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const struct address sender = { "ann", "example.org" };

	if (fixture == NULL)
		return -1;
	setenv("TZ", "UTC0", 1);
	tzset();
	fixture->about = envelope_new(&sender);
	fixture->about->arrived = 1795400000;
	fixture->about->expires = 1795800000;
	*state = fixture;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fixture = *state;

	envelope_free(fixture->about);
	buf_free(&fixture->out);
	free(fixture);
	return 0;
}

static void
use(struct fixture *fixture, const char *octets, size_t len)
{
	fixture->source = (struct source){ octets, len, 0, false };
}

static bool
try_write(struct fixture *fixture)
{
	const struct dsn dsn = { .hostname = "web1.example.org", .queue_id = "0123456789ABCDEF",
	    .about = fixture->about, .now = 1795411200, .header_only = fixture->header_only,
	    .original = { fixture->source.octets != NULL ? read_source : NULL,
	    &fixture->source, fixture->source.len } };
	struct error err;

	buf_clear(&fixture->out);
	return dsn_write(&dsn, append, fixture, &fixture->needs, &err);
}

static const char *
write_dsn(struct fixture *fixture)
{
	assert_true(try_write(fixture));
	return buf_text(&fixture->out);
}

static void
assert_has(const char *text, const char *what)
{
	if (strstr(text, what) == NULL)
		fail_msg("not found: %s\nin: %s", what, text);
}

static void
assert_lacks(const char *text, const char *what)
{
	if (strstr(text, what) != NULL)
		fail_msg("found: %s\nin: %s", what, text);
}

/* 7-bit, CRLF alone, no line beyond RFC 5322 2.1.1. */
static void
assert_canonical(const struct buf *out, bool eight_bit)
{
	const char *text = buf_octets(out);
	size_t line = 0;

	for (size_t i = 0; i < out->len; i++) {
		assert_true(text[i] != '\0' && (eight_bit || (unsigned char)text[i] < 0x80));
		if (text[i] == '\n')
			assert_true(i > 0 && text[i - 1] == '\r');
		line = text[i] == '\n' ? 0 : line + 1;
		assert_in_range(line, 0, 999);
		if (text[i] == '\r')
			assert_true(i + 1 < out->len && text[i + 1] == '\n');
	}
}

static void
test_failed(void **state)
{
	static const char header[] = "Subject: hello\r\nTo: bob\r\n\r\nbody text\r\n";
	static const char *const lines[] = {
		"From: MAILER-DAEMON@web1.example.org (Mail Delivery System)\r\n",
		"To: <ann@example.org>\r\n", "Auto-Submitted: auto-replied\r\n",
		"Subject: Undelivered Mail Returned to Sender\r\n", "MIME-Version: 1.0\r\n",
		"Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"=_",
		("Content-Type: message/delivery-status\r\n\r\n"
		"Reporting-MTA: dns; web1.example.org\r\nArrival-Date: "),
		("\r\n\r\nFinal-Recipient: rfc822; bob@example.net\r\nAction: failed\r\n"
		"Status: 5.1.1\r\n"
		"Remote-MTA: dns; smtp.example.net\r\n"
		"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
		"Last-Attempt-Date: Mon, 23 Nov 2026 05:00:00 +0000\r\n\r\nFinal"),
		("\r\n\r\nFinal-Recipient: rfc822; carol@example.net\r\nAction: failed\r\n"
		"Status: 4.4.7\r\n"
		"Diagnostic-Code: x-herald; expired: connect"),
		("\r\nContent-Type: text/rfc822-headers\r\n\r\n"
		"Subject: hello\r\nTo: bob\r\n\r\n--=_"),
		"smtp.example.net[192.0.2.7]:465 said:\r\n", "Date: ", "Message-ID: <",
		"The header of your message is attached.\r\n",
	};
	struct fixture *fixture = *state;
	struct recipient *recipient;
	const char *text;

	add(fixture->about, "bob", "example.net");
	recipient = add(fixture->about, "carol", "example.net");
	recipient->last = status_local("4.4.7", "expired: connect to smtp.example.net: refused");
	recipient->last_at = 0;
	strcpy(recipient->relay, "none");
	use(fixture, header, sizeof(header) - 1);
	text = write_dsn(fixture);
	for (size_t i = 0; i < COUNT(lines); i++)
		assert_has(text, lines[i]);
	assert_lacks(text, "body text");
	assert_lacks(text, "In-Reply-To");
	assert_string_equal(text + strlen(text) - 4, "--\r\n");
	assert_false(fixture->needs.smtputf8 || fixture->needs.body_8bit);
	assert_canonical(&fixture->out, false);
}

/* One report, an Action for each: RFC 3464 2.3.3; RFC 3461 6.3 for what the sender gave. */
static void
test_actions(void **state)
{
	struct fixture *fixture = *state;
	struct recipient *recipient;
	const char *text;

	fixture->about->envid = "QQ+2B314159";
	fixture->about->message_id = "<1@example.org>";
	recipient = add(fixture->about, "rita", "example.net");
	recipient->last = status_parse(250, "2.0.0 Ok", 8);
	recipient->orcpt = "rfc822;Rita+2Btag@Example.net";
	use(fixture, "A: b\r\n\r\n", 8);
	text = write_dsn(fixture);
	assert_has(text, "Subject: Mail Passed On\r\n");
	assert_has(text, "report-type=delivery-status;");
	assert_has(text, "\r\n\r\nOriginal-Recipient: rfc822; Rita+tag@Example.net\r\n"
	    "Final-Recipient: rfc822; rita@example.net\r\nAction: relayed\r\nStatus: 2.0.0\r\n"
	    "Remote-MTA: dns; smtp.example.net\r\nDiagnostic-Code: smtp; 250 2.0.0 Ok\r\n");
	assert_has(text, "\r\n\r\nOriginal-Envelope-Id: QQ+314159\r\nReporting-MTA: ");
	assert_has(text, "In-Reply-To: <1@example.org>\r\n");

	recipient = add(fixture->about, "dora", "example.net");
	recipient->state = RECIPIENT_DEFERRED;
	recipient->last = status_parse(451, "4.2.0 later", 11);
	recipient = add(fixture->about, "dave", "example.net");
	recipient->state = RECIPIENT_DEFERRED;
	recipient->last = (struct status){ .reply_code = 0 };
	recipient->last_at = 0;
	recipient->relay[0] = '\0';
	text = write_dsn(fixture);
	assert_has(text, "Subject: Delayed Mail, Still Being Tried\r\n");
	assert_has(text, "Final-Recipient: rfc822; dora@example.net\r\nAction: delayed\r\n"
	    "Status: 4.2.0\r\nRemote-MTA: dns; smtp.example.net\r\n"
	    "Diagnostic-Code: smtp; 451 4.2.0 later\r\n"
	    "Last-Attempt-Date: Mon, 23 Nov 2026 05:00:00 +0000\r\n"
	    "Will-Retry-Until: Fri, 27 Nov 2026 17:20:00 +0000\r\n");
	assert_has(text, "Final-Recipient: rfc822; dave@example.net\r\nAction: delayed\r\n"
	    "Status: 4.0.0\r\nWill-Retry-Until: ");
	assert_has(text, "tried again until\r\nFri, 27 Nov 2026 17:20:00 +0000.\r\n");

	add(fixture->about, "fred", "example.net");
	text = write_dsn(fixture);
	assert_has(text, "Subject: Undelivered Mail Returned to Sender\r\n");
	assert_has(text, "rita@example.net\r\nAction: relayed\r\n");
	assert_has(text, "dora@example.net\r\nAction: delayed\r\n");
	assert_has(text, "fred@example.net\r\nAction: failed\r\n");
	assert_true(strstr(text, "<fred@") < strstr(text, "<dora@") &&
	    strstr(text, "<dora@") < strstr(text, "<rita@"));
	assert_canonical(&fixture->out, false);
}

static void
test_bounds(void **state)
{
	struct fixture *fixture = *state;
	struct buf header = { 0 };

	add(fixture->about, "bob", "example.net");
	while (header.len < 100000)
		buf_append_text(&header, "X-Filler: 0123456789012345678901234567890123456789\r\n");
	use(fixture, buf_octets(&header), header.len);
	write_dsn(fixture);
	assert_in_range(fixture->out.len, DSN_HEADER_MAX, DSN_HEADER_MAX + 4096);
	/* A header that is one long line leaves no half of it. */
	memset(header.octets, 'a', header.len);
	assert_lacks(write_dsn(fixture), "aaa");
	use(fixture, "", 0);
	assert_has(write_dsn(fixture), "text/rfc822-headers");
	use(fixture, NULL, 0);
	assert_has(write_dsn(fixture), "text/rfc822-headers");
	use(fixture, "A: b\r\n", 6);
	fixture->source.fails = true;
	fixture->about->ret = RET_FULL;
	assert_has(write_dsn(fixture), "text/rfc822-headers");
	fixture->sink_fails = true;
	assert_false(try_write(fixture));
	buf_free(&header);
}

/* Unless it cannot be otherwise a report is 7-bit; the original's header stays readable. */
static void
test_eight_bit_header(void **state)
{
	static const char header[] = "Subject: \xe6\x82\xa8 a=b \r\n\tmore\r\n\r\n";
	struct fixture *fixture = *state;

	add(fixture->about, "bob", "example.net");
	use(fixture, header, sizeof(header) - 1);
	assert_has(write_dsn(fixture), "text/rfc822-headers\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	    "Subject: =E6=82=A8 a=3Db=20\r\n=09more\r\n\r\n--=_");
	assert_canonical(&fixture->out, false);
	/* RET=FULL changes nothing: raw octets in a header are for RFC 6532 alone. */
	fixture->about->ret = RET_FULL;
	fixture->about->body_8bit = true;
	assert_has(write_dsn(fixture), "text/rfc822-headers");
	assert_canonical(&fixture->out, false);
}

/* RFC 2045 6.7: no encoded line is longer than 76. */
static void
test_long_eight_bit(void **state)
{
	char header[2002];
	struct fixture *fixture = *state;
	const char *text;
	size_t count = 0;

	add(fixture->about, "bob", "example.net");
	memset(header, 0xe9, sizeof(header));
	memcpy(header, "X: ", 3);
	memcpy(header + 2000, "\r\n", 2);
	use(fixture, header, sizeof(header));
	text = strstr(write_dsn(fixture), "\r\n\r\nX: =E9");
	assert_non_null(text);
	for (text += 4; strncmp(text, "--", 2) != 0; text = strchr(text, '\n') + 1) {
		assert_in_range(strcspn(text, "\r"), 0, 76);
		for (size_t i = 0; text[i] != '\r'; i++)
			count += strncmp(text + i, "=E9", 3) == 0;
	}
	assert_int_equal(count, 1997);
}

/* RFC 3461 4.3: which of the original goes back, and in which form. */
static void
test_ret(void **state)
{
	static const struct {
		enum envelope_ret ret;
		bool declared_8bit, lacks_8bitmime, delayed, header_only;
		const char *octets;
		bool whole, needs_8bit;
	} rows[] = {
		{ RET_FULL, false, false, false, false, "A: b\r\n\r\nHi\r\n", true, false },
		{ RET_UNSET, false, false, false, false, "A: b\r\n\r\nHi\r\n", false, false },
		{ RET_HDRS, false, false, false, false, "A: b\r\n\r\nHi\r\n", false, false },
		{ RET_FULL, false, false, false, true, "A: b\r\n\r\nHi\r\n", false, false },
		{ RET_FULL, false, false, true, false, "A: b\r\n\r\nHi\r\n", false, false },
		{ RET_FULL, true, false, false, false, "A: b\r\n\r\nHi \xff\r\n", true, true },
		{ RET_FULL, true, true, false, false, "A: b\r\n\r\nHi \xff\r\n", false, false },
		{ RET_FULL, false, false, false, false, "A: b\r\n\r\nHi \xff\r\n", false, false },
		{ RET_FULL, true, false, false, false, "A: \xe9\r\n\r\nHi\r\n", false, false },
		{ RET_FULL, true, true, false, false, "A: b\r\n\r\nHi\r\n", true, false },
		{ RET_FULL, false, false, false, false, "A: b\r\n\r\nH\ri\r\n", false, false },
		{ RET_FULL, false, false, false, false, "A: b\r\n\r\nHi\n", false, false },
		{ RET_FULL, false, false, false, false, "A: b\r\n\r\nHi\r", false, false },
		{ RET_FULL, false, false, false, false, "", true, false },
		{ RET_FULL, false, false, false, false, "\r\nHi", true, false },
	};
	struct fixture *fixture = *state;
	struct recipient *recipient = add(fixture->about, "bob", "example.net");

	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *text;

		fixture->about->ret = rows[i].ret;
		fixture->about->body_8bit = rows[i].declared_8bit;
		fixture->header_only = rows[i].header_only;
		recipient->last = status_local(rows[i].lacks_8bitmime ? "5.6.3" : "5.0.0", "no");
		recipient->state = rows[i].delayed ? RECIPIENT_DEFERRED : RECIPIENT_OWED;
		use(fixture, rows[i].octets, strlen(rows[i].octets));
		fixture->source.step = 1 + i % 3;
		text = write_dsn(fixture);
		if (rows[i].whole != (strstr(text, "message/rfc822\r\n") != NULL) ||
		    rows[i].whole == (strstr(text, "text/rfc822-headers\r\n") != NULL) ||
		    rows[i].needs_8bit != fixture->needs.body_8bit ||
		    rows[i].needs_8bit != (strstr(text, "Encoding: 8bit\r\n") != NULL))
			fail_msg("row %zu: %s", i, text);
		assert_non_null(strstr(text, rows[i].whole ? "\r\nAll of" : "\r\nThe header of"));
		if (rows[i].whole)
			assert_has(text, rows[i].octets);
		assert_canonical(&fixture->out, rows[i].needs_8bit);
		assert_false(fixture->needs.smtputf8);
	}
}

static void
test_ret_size(void **state)
{
	struct fixture *fixture = *state;
	struct buf original = { 0 };

	add(fixture->about, "bob", "example.net");
	fixture->about->ret = RET_FULL;
	buf_append_text(&original, "A: b\r\n\r\n");
	while (original.len < DSN_FULL_MAX - 2)
		buf_append(&original, original.len % 100 == 98 ? "\r" :
		    original.len % 100 == 99 ? "\n" : "x", 1);
	buf_append(&original, "\r\n", 2);
	while (original.octets[original.len - 3] == '\r')
		original.octets[original.len - 3] = 'x';
	use(fixture, buf_octets(&original), DSN_FULL_MAX);
	assert_has(write_dsn(fixture), "message/rfc822");
	assert_non_null(memmem(buf_octets(&fixture->out), fixture->out.len,
	    buf_octets(&original), original.len));
	buf_append(&original, "\r\n", 2);
	use(fixture, buf_octets(&original), original.len);
	assert_has(write_dsn(fixture), "text/rfc822-headers");
	buf_clear(&original);
	/* A line that no SMTP server need take (RFC 5321 4.5.3.1.6) is not sent again. */
	for (size_t len = 998; len <= 999; len++) {
		buf_clear(&original);
		buf_append_text(&original, "A: b\r\n\r\n");
		memset(buf_reserve(&original, len), 'x', len);
		buf_commit(&original, len);
		buf_append_text(&original, "\r\n");
		use(fixture, buf_octets(&original), original.len);
		assert_has(write_dsn(fixture), len == 998 ? "message/rfc822" : "rfc822-headers");
	}
	buf_free(&original);
}

/* RFC 2046 5.1.1: whatever stands in the original, and however it is cut, the boundary does not. */
static void
test_boundary(void **state)
{
	static const char original[] = "Subject: x\r\n\r\n--=_0123456789ABCDEF.0\r\n"
	    "--=_0123456789ABCDEF.1--\r\nx=_0123456789ABCDEF.3\r\n";
	struct fixture *fixture = *state;

	add(fixture->about, "bob", "example.net");
	fixture->about->ret = RET_FULL;
	for (size_t step = 0; step < sizeof(original); step++) {
		use(fixture, original, sizeof(original) - 1);
		fixture->source.step = step;
		assert_has(write_dsn(fixture), "boundary=\"=_0123456789ABCDEF.2\"");
	}
}

/* RFC 6533: only a sender that needs SMTPUTF8 gets a report that does. */
static void
test_utf8_sender(void **state)
{
	struct fixture *fixture = *state;
	struct recipient *recipient = add(fixture->about, "\xe6\x94\xb6", "b\xc3\xbc.example");
	const char *text;

	strcpy(fixture->about->reverse_path.local, "\xe5\x8f\x91");
	recipient->orcpt = "utf-8;\\x{E9}\\x{2B}x@example.net";
	fixture->about->ret = RET_FULL;
	use(fixture, "Subject: \xc3\xa9\r\n\r\n\xc3\xa9\r\n", 19);
	text = write_dsn(fixture);
	assert_true(fixture->needs.smtputf8 && fixture->needs.body_8bit);
	assert_has(text, "To: <\xe5\x8f\x91@example.org>\r\n");
	assert_has(text, "report-type=global-delivery-status;");
	assert_has(text, "Content-Type: message/global-delivery-status\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\nReporting-MTA");
	assert_has(text, "Original-Recipient: utf-8; \xc3\xa9\\x{2B}x@example.net\r\n"
	    "Final-Recipient: utf-8; \xe6\x94\xb6@b\xc3\xbc.example\r\n");
	assert_has(text, "Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n");
	assert_has(text, "text/plain; charset=utf-8\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n");
	assert_has(text, "<=E6=94=B6@b=C3=BC.example>");
	assert_canonical(&fixture->out, true);
	fixture->about->ret = RET_HDRS;
	assert_has(write_dsn(fixture), "Content-Type: message/global-headers\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\nSubject: \xc3\xa9\r\n");
	/* What is no UTF-8 is not called so. */
	fixture->about->ret = RET_FULL;
	use(fixture, "Subject: \xe9\r\n\r\n", 14);
	assert_has(write_dsn(fixture), "Content-Type: text/rfc822-headers\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\nSubject: =E9\r\n");
	/* Where nothing is beyond ASCII the types are the old ones. */
	recipient->forward_path = (struct address){ "bob", "example.net" };
	recipient->orcpt = NULL;
	use(fixture, "A: b\r\n\r\n", 8);
	text = write_dsn(fixture);
	assert_has(text, "report-type=delivery-status;");
	assert_has(text, "Content-Type: message/delivery-status\r\n\r\n");
	assert_has(text, "Content-Type: message/rfc822\r\n\r\n");
	assert_has(text, "text/plain; charset=us-ascii\r\n");
}

/* The sender of a message to such an address may have none itself: 7-bit, RFC 6533 3. */
static void
test_utf8_recipient(void **state)
{
	struct fixture *fixture = *state;
	struct recipient *recipient = add(fixture->about, "\xe6\x94\xb6+", "b\xc3\xbc.example");
	const char *text;

	recipient->orcpt = "utf-8;\\x{E9}@example.net";
	strcpy(fixture->about->reverse_path.domain, "b\xc3\xbc" "cher.example");
	use(fixture, "Subject: \xc3\xa9\r\n\r\n", 15);
	text = write_dsn(fixture);
	assert_has(text, "To: <ann@xn--bcher-kva.example>\r\n");
	assert_has(text, "report-type=delivery-status;");
	assert_has(text, "Original-Recipient: utf-8; \\x{E9}@example.net\r\n"
	    "Final-Recipient: utf-8; \\x{6536}\\x{2B}@b\\x{FC}.example\r\n");
	assert_has(text, "<=E6=94=B6+@b=C3=BC.example>");
	assert_has(text, "text/rfc822-headers\r\nContent-Transfer-Encoding: quoted-printable");
	assert_false(fixture->needs.smtputf8 || fixture->needs.body_8bit);
	assert_canonical(&fixture->out, false);
}

/* Rows of a store that someone has edited: no field, line or part is broken out of. */
static void
test_hostile(void **state)
{
	static const char header[] = "Subject: x\r\n--=_0123456789ABCDEF.0\r\n"
	    "--=_0123456789ABCDEF.1--\r\nA: b\rc\0d\r\n\r\n";
	struct fixture *fixture = *state;
	struct recipient *recipient = add(fixture->about, "b\r\nX-Evil: 2", "example.net");
	const char *text;

	strcpy(recipient->last.text, "x\r\n\r\n--=_0123456789ABCDEF.2\r\nBcc: e@example.com\xff");
	strcpy(recipient->relay, "a\r\nX-Evil: 1[");
	recipient->orcpt = "rfc822;a\r\nX-Evil: 4";
	strcpy(fixture->about->reverse_path.local, "a\r\nX-Evil: 3\r\n");
	fixture->about->envid = "x\r\nX-Evil: 5";
	fixture->about->message_id = "<\r\nX-Evil: 6>\xc3\xa9";
	use(fixture, header, sizeof(header) - 1);
	text = write_dsn(fixture);
	assert_lacks(text, "\r\nX-Evil");
	assert_lacks(text, "\r\nBcc");
	assert_has(text, "boundary=\"=_0123456789ABCDEF.3\"");
	assert_int_equal(strlen(text), fixture->out.len);
	assert_canonical(&fixture->out, false);
	recipient->orcpt = "nothing";
	fixture->about->envid = "+ZZ";
	text = write_dsn(fixture);
	assert_lacks(text, "Original-");
}

/* --- the digest --- */

static void
test_digest(void **state)
{
	struct fixture *fixture = *state;
	struct envelope *about[DSN_DIGEST_LISTED + 50];
	struct dsn_digest digest = { .hostname = "web1.example.org",
	    .queue_id = "0123456789ABCDEF", .sender = &fixture->about->reverse_path,
	    .about = about, .count = COUNT(about), .now = 1795411200 };
	const char *text, *at;
	size_t count = 0;

	for (size_t i = 0; i < COUNT(about); i++) {
		about[i] = envelope_copy(fixture->about);
		snprintf(about[i]->queue_id, sizeof(about[i]->queue_id), "%zX", 0xA000 + i);
		add(about[i], "bob", "example.net");
	}
	about[1]->message_id = "<1@example.org>";
	about[1]->recipients[0].last = status_parse(250, "2.0.0 Ok", 8);
	for (size_t i = 0; i < 20; i++)
		add(about[2], "carol", "example.net");
	dsn_digest_write(&digest, &fixture->out, &fixture->needs);
	text = buf_text(&fixture->out);
	assert_has(text, "Subject: Undelivered Mail: 1050 Messages\r\n");
	assert_has(text, "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
	assert_has(text, "\r\nA000\r\n  <bob@example.net>\r\n    550 5.1.1 no such user\r\n\r\n"
	    "A001, message-id <1@example.org>\r\n  <bob@example.net>\r\n"
	    "    passed on: 250 2.0.0 Ok\r\n");
	assert_has(text, "\r\n  and 11 more recipients\r\n");
	assert_has(text, "\r\nAnd 50 messages that are not listed.\r\n");
	for (at = text; (at = strstr(at, "  <bob@")) != NULL; at++)
		count++;
	assert_int_equal(count, DSN_DIGEST_LISTED);
	assert_canonical(&fixture->out, false);
	assert_false(fixture->needs.smtputf8 || fixture->needs.body_8bit);

	strcpy(fixture->about->reverse_path.local, "\xe5\x8f\x91");
	strcpy(about[0]->recipients[0].forward_path.local, "\xe6\x94\xb6");
	buf_clear(&fixture->out);
	dsn_digest_write(&digest, &fixture->out, &fixture->needs);
	text = buf_text(&fixture->out);
	assert_true(fixture->needs.smtputf8);
	assert_has(text, "charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n");
	assert_has(text, "  <=E6=94=B6@example.net>\r\n");
	for (size_t i = 0; i < COUNT(about); i++)
		envelope_free(about[i]);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_failed), TEST(test_actions), TEST(test_bounds),
		TEST(test_eight_bit_header), TEST(test_long_eight_bit), TEST(test_ret),
		TEST(test_ret_size), TEST(test_boundary), TEST(test_utf8_sender),
		TEST(test_utf8_recipient), TEST(test_hostile), TEST(test_digest),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
