/* test_sendmail_address.c - the recipients of header fields and command lines; the From field. */
#include "base/buf.h"
#include "base/error.h"
#include "cmd/sendmail_address.h"
#include "cmd/sendmail_envelope.h"
#include "cmd/sendmail_from.h"
#include "cmd/sendmail_options.h"
#include "client/submit_client.h"
#include "client/submit_result.h"
#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include <cmocka.h>

/* NULL: a fault. */
static const struct { const char *text, *addresses; } lists[] = {
	{ "", "" },
	{ "ann@example.org", "ann@example.org" },
	{ "  ann@example.org  ", "ann@example.org" },
	{ "root", "root" },
	{ "ann@example.org, bob@example.net", "ann@example.org bob@example.net" },
	{ "ann@example.org,bob@example.net,", "ann@example.org bob@example.net" },
	{ ", ,ann@example.org", "ann@example.org" },
	{ "ann@example.org; bob@example.net", "ann@example.org bob@example.net" },
	{ "Ann <ann@example.org>", "ann@example.org" },
	{ "Ann B. Smith <ann@example.org>", "ann@example.org" },
	{ "\"Smith, Ann\" <ann@example.org>, bob", "ann@example.org bob" },
	{ "\"a <b@c>\" <ann@example.org>", "ann@example.org" },
	{ "\"a\\\" <b@c>, \" <ann@example.org>", "ann@example.org" },
	{ "ann@example.org (Ann, bob@example.net)", "ann@example.org" },
	{ "(one (two) \\) three) ann@example.org", "ann@example.org" },
	{ "ann(c)@(d)example.org", "ann@example.org" },
	{ "ann . smith @ example . org", "ann.smith@example.org" },
	{ "<ann@example.org>", "ann@example.org" },
	{ "<@relay.example.net,@b:ann@example.org>", "ann@example.org" },
	{ "\"ann smith\"@example.org", "\"ann smith\"@example.org" },
	{ "ann@[192.0.2.1]", "ann@[192.0.2.1]" },
	{ "ann@[IPv6:2001:db8::1]", "ann@[IPv6:2001:db8::1]" },
	{ "friends: ann@example.org, Bob <bob@example.net>;", "ann@example.org bob@example.net" },
	{ "friends: ann@example.org; carl@example.org", "ann@example.org carl@example.org" },
	{ "undisclosed-recipients:;", "" },
	{ "\"a group\": ann, bob;, carl", "ann bob carl" },
	{ "ann@example.org <ann@example.org>", "ann@example.org" },
	{ "ann@example.org Ann <bob@example.net>", "bob@example.net" },
	{ "ann@EXAMPLE.org, ann@example.org", "ann@example.org" },
	{ "j\xc3\xbcrgen@example.org", "j\xc3\xbcrgen@example.org" },
	{ "=?utf-8?q?J=C3=BCrgen?= <j@example.org>", "j@example.org" },
	{ "=?utf-8?q?a=40example.org?=", NULL },
	/* a field folded into this one: what stands before it, and no more */
	{ "a@b\tBcc: c@d", "a@b" },
	{ "a@b Bcc: c@d, e@f", "a@b e@f" },
	{ "<a@b> Bcc: <c@d>", "a@b" },
	/* what is no address */
	{ "ann@", NULL },
	{ "@example.org", NULL },
	{ "ann@@example.org", NULL },
	{ "ann smith", NULL },
	{ "ann@example.org bob@example.net", NULL },
	{ "Ann <ann@example.org> bob", NULL },
	{ "Ann <>", NULL },
	{ "Ann <ann@example.org", NULL },
	{ "Ann <ann smith@example.org>", NULL },
	{ "\"Ann <ann@example.org>", NULL },
	{ "(Ann <ann@example.org>", NULL },
	{ "ann@example.org>", NULL },
	{ "ann@[192.0.2.1", NULL },
	{ ": ann@example.org", NULL },
	{ "ann.@example.org", NULL },
	{ ".ann@example.org", NULL },
	{ "ann@-example.org", NULL },
	{ "ann\x80@example.org", NULL },
	{ "ann@example.org, bob@", NULL },
	{ "<", NULL },
	{ "(", NULL },
	{ "\"", NULL },
	{ "\\", NULL },
	{ "a\\", NULL },
};

static char *
joined(const struct sendmail_addresses *list)
{
	struct buf out = { 0 };
	char text[ADDRESS_TEXT_MAX + 1], *whole;

	for (size_t i = 0; i < list->count; i++)
		buf_appendf(&out, "%s%s", i > 0 ? " " : "", address_text(&list->items[i], text));
	whole = strdup(buf_text(&out));
	buf_free(&out);
	return whole;
}

static void
test_lists(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		struct sendmail_addresses list = { 0 };
		struct buf notices = { 0 };
		struct error err;
		/* Exactly as long as it is, so that a step too far is seen. */
		size_t len = strlen(lists[i].text);
		char *text = malloc(len + 1), *found;
		bool ok;

		assert_non_null(text);
		memcpy(text, lists[i].text, len);
		text = realloc(text, len > 0 ? len : 1);
		ok = sendmail_addresses_add(&list, text, len, &notices, &err);
		found = joined(&list);
		if (ok != (lists[i].addresses != NULL))
			fail_msg("%s: %s", lists[i].text, ok ? found : err.text);
		if (ok && strcmp(found, lists[i].addresses) != 0)
			fail_msg("%s: \"%s\"", lists[i].text, found);
		free(found);
		free(text);
		buf_free(&notices);
		sendmail_addresses_clear(&list);
	}
}

static void
test_folded_field_is_told(void **state)
{
	static const char text[] = "a@b\tBcc: c@d";
	struct sendmail_addresses list = { 0 };
	struct buf notices = { 0 };
	struct error err;

	(void)state;
	assert_true(sendmail_addresses_add(&list, text, strlen(text), &notices, &err));
	assert_non_null(strstr(buf_text(&notices), "Bcc: c@d"));
	buf_free(&notices);
	sendmail_addresses_clear(&list);
}

static void
test_too_long(void **state)
{
	char text[2100] = "a@";
	struct sendmail_addresses list = { 0 };
	struct buf notices = { 0 };
	struct error err;

	(void)state;
	memset(text + 2, 'b', 2000);
	assert_false(sendmail_addresses_add(&list, text, strlen(text), &notices, &err));
	assert_non_null(strstr(err.text, "too long"));
	assert_int_equal(list.count, 0);
	sendmail_addresses_clear(&list);
}

static void
test_a_hundred_thousand(void **state)
{
	struct sendmail_addresses list = { 0 };
	struct buf text = { 0 }, notices = { 0 };
	struct error err;

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_appendf(&text, "user%d@example.org, ", i);
	assert_true(sendmail_addresses_add(&list, buf_octets(&text), text.len, &notices, &err));
	assert_int_equal(list.count, 100000);
	assert_true(sendmail_addresses_add(&list, buf_octets(&text), text.len, &notices, &err));
	assert_int_equal(list.count, 100000);
	buf_free(&text);
	sendmail_addresses_clear(&list);
}

static void
test_sender(void **state)
{
	struct address address;
	struct error err;
	char text[ADDRESS_TEXT_MAX + 1];

	(void)state;
	assert_true(sendmail_sender_parse(&address, "", &err) && address_is_null(&address));
	assert_true(sendmail_sender_parse(&address, "<>", &err) && address_is_null(&address));
	assert_true(sendmail_sender_parse(&address, "Ann <ann@example.org>", &err));
	assert_string_equal(address_text(&address, text), "ann@example.org");
	assert_true(sendmail_sender_parse(&address, "root", &err));
	assert_string_equal(address.local, "root");
	assert_string_equal(address.domain, "");
	assert_false(sendmail_sender_parse(&address, "ann, bob", &err));
	assert_false(sendmail_sender_parse(&address, "ann bob", &err));
	assert_false(sendmail_sender_parse(&address, "a@b x: c@d", &err));
}

/* --- the From field --- */

static void
check_from(const char *name, const char *field)
{
	const struct address address = { .local = "ann", .domain = "example.org" };
	struct buf out = { 0 };

	sendmail_append_from(&out, name, &address);
	assert_string_equal(buf_text(&out), field);
	buf_free(&out);
}

static void
test_from_field(void **state)
{
	(void)state;
	check_from("", "From: ann@example.org\r\n");
	check_from("Ann Smith", "From: Ann Smith <ann@example.org>\r\n");
	check_from("Ann B. Smith", "From: \"Ann B. Smith\" <ann@example.org>\r\n");
	check_from("Smith, \"A\\\"", "From: \"Smith, \\\"A\\\\\\\"\" <ann@example.org>\r\n");
	check_from("Zo\xc3\xab", "From: =?utf-8?q?Zo=C3=AB?= <ann@example.org>\r\n");
	check_from("Zo\xeb", "From: =?iso-8859-1?q?Zo=EB?= <ann@example.org>\r\n");
	check_from("x\r\nBcc: y", "From: =?utf-8?q?x=0D=0ABcc=3A_y?= <ann@example.org>\r\n");
	check_from("=?utf-8?q?x?=",
	    "From: =?utf-8?q?=3D=3Futf=2D8=3Fq=3Fx=3F=3D?= <ann@example.org>\r\n");
	check_from("  ", "From: ann@example.org\r\n");
}

/* No line of it is too long, no character cut, whatever the name. */
static void
test_from_field_of_a_long_name(void **state)
{
	const struct address address = { .local = "ann", .domain = "example.org" };
	struct buf out = { 0 }, name = { 0 };
	const char *at, *end;

	(void)state;
	for (int i = 0; i < 500; i++)
		buf_append_text(&name, "\xe2\x82\xac");
	sendmail_append_from(&out, buf_text(&name), &address);
	for (at = buf_text(&out); *at != '\0'; at = end + 2) {
		end = strstr(at, "\r\n");
		assert_non_null(end);
		assert_true(end - at <= 78);
	}
	assert_null(strstr(buf_text(&out), "?q?=82"));
	buf_free(&out);
	buf_free(&name);
}

/* --- the envelope --- */

static int
envelope_of(int argc, const char *const *words, struct envelope **out)
{
	static const struct sendmail_addresses none;
	struct sendmail_options options;
	char *argv[16];
	int exit_code = EX_OK;
	struct error err;

	for (int i = 0; i < argc; i++)
		argv[i] = strdup(words[i]);
	sendmail_options_parse(&options, argc, argv);
	*out = sendmail_envelope_new(&options, "login", &exit_code, &err);
	if (*out != NULL && !sendmail_envelope_add(*out, &options, &none, &exit_code, &err)) {
		envelope_free(*out);
		*out = NULL;
	}
	sendmail_options_clear(&options);
	for (int i = 0; i < argc; i++)
		free(argv[i]);
	return *out != NULL ? EX_OK : exit_code;
}

static const struct { int exit_code; const char *words[6]; } envelopes[] = {
	{ EX_OK, { "sendmail", "ann" } },
	{ EX_OK, { "sendmail", "ann, Bob <bob@example.org>" } },
	{ EX_USAGE, { "sendmail" } },
	{ EX_USAGE, { "sendmail", "-t" } },
	{ EX_USAGE, { "sendmail", "--", "-bs" } },
	{ EX_USAGE, { "sendmail", "-" } },
	{ EX_DATAERR, { "sendmail", "Bob <-x@example.org>" } },
	{ EX_USAGE, { "sendmail", "-f", "-x", "ann" } },
	{ EX_DATAERR, { "sendmail", "-f", "a@b\nRCPT TO:<c@d>", "ann" } },
	{ EX_DATAERR, { "sendmail", "-f", "a@b\r", "ann" } },
	{ EX_DATAERR, { "sendmail", "ann\r\nDATA" } },
	{ EX_DATAERR, { "sendmail", "ann\r" } },
	{ EX_DATAERR, { "sendmail", "a@b Bcc: c@d" } },
	{ EX_DATAERR, { "sendmail", "a@" } },
	{ EX_DATAERR, { "sendmail", "-f", "a@", "ann" } },
	{ EX_USAGE, { "sendmail", "-N", "sometimes", "ann" } },
	{ EX_USAGE, { "sendmail", "-N", "never,delay", "ann" } },
	{ EX_USAGE, { "sendmail", "-N", "", "ann" } },
	{ EX_USAGE, { "sendmail", "-R", "all", "ann" } },
	{ EX_USAGE, { "sendmail", "-V", "a\nb", "ann" } },
	{ EX_OK, { "sendmail", "-N", "success, delay", "ann" } },
};

static void
test_envelopes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(envelopes) / sizeof(envelopes[0]); i++) {
		struct envelope *envelope;
		int argc = 0, exit_code;

		while (argc < 6 && envelopes[i].words[argc] != NULL)
			argc++;
		exit_code = envelope_of(argc, envelopes[i].words, &envelope);
		if (exit_code != envelopes[i].exit_code)
			fail_msg("case %zu: %d", i, exit_code);
		envelope_free(envelope);
	}
}

static const struct { const char *login, *local; } logins[] = {
	{ "ann", "ann" },
	{ "ann.smith-2", "ann.smith-2" },
	{ "j\xc3\xbcrgen", "j\xc3\xbcrgen" },
	{ "EXAMPLE\\ann", "\"EXAMPLE\\\\ann\"" },
	{ "ann smith", "\"ann smith\"" },
	{ "ann..smith", "\"ann..smith\"" },
	{ "ann.", "\"ann.\"" },
	{ "a\"b", "\"a\\\"b\"" },
	{ "ann (old)", "\"ann (old)\"" },
	{ "ann <root>", "\"ann <root>\"" },
	{ "<root>", "\"<root>\"" },
	{ "ann,root", "\"ann,root\"" },
	{ "a\nb", "nobody" },
	{ "ann\xfc", "nobody" },
	{ "a23456789a23456789a23456789a23456789a23456789a23456789a23456789a23456789", "nobody" },
};

/* It is the sender, and stands in From, by the same name. */
static void
test_logins(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
		const struct sendmail_options options = { .sender = NULL };
		struct envelope *envelope;
		struct address address;
		int exit_code = EX_OK;
		struct error err;

		envelope = sendmail_envelope_new(&options, logins[i].login, &exit_code, &err);
		assert_non_null(envelope);
		assert_string_equal(envelope->reverse_path.local, logins[i].local);
		assert_string_equal(envelope->reverse_path.domain, "");
		sendmail_login_address(&address, logins[i].login);
		assert_string_equal(address.local, logins[i].local);
		envelope_free(envelope);
	}
}

static void
test_dsn(void **state)
{
	static const char *const words[] = { "sendmail", "-Nsuccess,failure,delay", "-Rhdrs",
	    "-Va b+c=", "ann@example.org", "bob" };
	struct envelope *envelope;

	(void)state;
	assert_int_equal(envelope_of(6, words, &envelope), EX_OK);
	assert_int_equal(envelope->ret, RET_HDRS);
	assert_string_equal(envelope->envid, "a+20b+2Bc+3D");
	assert_string_equal(envelope->reverse_path.local, "login");
	assert_int_equal(envelope->recipient_count, 2);
	assert_int_equal(envelope->recipients[1].notify,
	    NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY);
	envelope_free(envelope);
}

/* --- exit codes --- */

static const struct { int exit_code; uint16_t reply; const char *enhanced, *step; } refusals[] = {
	{ EX_TEMPFAIL, 0, "4.4.2", "end of data" },
	{ EX_TEMPFAIL, 421, "4.3.2", "greeting" },
	{ EX_TEMPFAIL, 452, "4.3.1", "end of data" },
	{ EX_TEMPFAIL, 451, "4.1.1", "RCPT TO" },
	{ EX_DATAERR, 452, "4.5.3", "RCPT TO" },
	{ EX_NOUSER, 550, "5.1.1", "RCPT TO" },
	{ EX_NOHOST, 550, "5.1.2", "RCPT TO" },
	{ EX_DATAERR, 501, "5.1.3", "RCPT TO" },
	{ EX_DATAERR, 552, "5.3.4", "end of data" },
	{ EX_DATAERR, 0, "5.3.4", "EHLO" },
	{ EX_NOPERM, 550, "5.7.1", "MAIL FROM" },
	{ EX_CONFIG, 554, "5.3.5", "RCPT TO" },
	{ EX_DATAERR, 554, "5.6.0", "end of data" },
	{ EX_UNAVAILABLE, 554, "5.0.0", "end of data" },
	{ EX_UNAVAILABLE, 554, "5.4.6", "end of data" },
};

static void
test_exit_codes(void **state)
{
	struct submit_refusal both[2];
	struct submit_result result = { .refusals = both, .refusal_count = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		both[0].step = refusals[i].step;
		both[0].status = refusals[i].reply == 0 ? status_local(refusals[i].enhanced, "x") :
		    status_reply(refusals[i].reply, refusals[i].enhanced, "x");
		if (submit_exit_code(&result) != refusals[i].exit_code)
			fail_msg("%u %s: %d", refusals[i].reply, refusals[i].enhanced,
			    submit_exit_code(&result));
	}
	/* Refused for ever by one is refused for ever. */
	both[0].status = status_reply(451, "4.3.0", "x");
	both[1].status = status_reply(550, "5.1.1", "x");
	both[1].step = "RCPT TO";
	result.refusal_count = 2;
	assert_int_equal(submit_exit_code(&result), EX_NOUSER);
	result.refusal_count = 0;
	assert_int_equal(submit_exit_code(&result), EX_TEMPFAIL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_folded_field_is_told),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_a_hundred_thousand),
		cmocka_unit_test(test_sender),
		cmocka_unit_test(test_from_field),
		cmocka_unit_test(test_from_field_of_a_long_name),
		cmocka_unit_test(test_envelopes),
		cmocka_unit_test(test_logins),
		cmocka_unit_test(test_dsn),
		cmocka_unit_test(test_exit_codes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
