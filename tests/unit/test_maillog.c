/* test_maillog.c - the exact text of every line, as it arrives at stderr. */
#include "mail/maillog.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

static int saved_stderr, lines_fd;

static int
divert_stderr(void **state)
{
	int ends[2];

	(void)state;
	if (pipe(ends) == -1)
		return -1;
	saved_stderr = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	lines_fd = ends[0];
	return 0;
}

static int
restore_stderr(void **state)
{
	(void)state;
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	close(lines_fd);
	return 0;
}

/* Everything behind the time stamp, with the process id replaced by PID. */
static void
assert_line(const char *expected)
{
	char got[8192], tag[32], *pid;
	ssize_t len = read(lines_fd, got, sizeof(got) - 1);
	const char *from;
	char seen[8192];

	assert_true(len > 0);
	got[len] = '\0';
	assert_ptr_equal(strchr(got, '\n'), got + len - 1);
	got[len - 1] = '\0';
	from = strstr(got, "herald/");
	assert_non_null(from);
	snprintf(tag, sizeof(tag), "[%ld]: ", (long)getpid());
	pid = strstr(got, tag);
	assert_non_null(pid);
	snprintf(seen, sizeof(seen), "%.*s[PID]: %s", (int)(pid - from), from, pid + strlen(tag));
	assert_string_equal(seen, expected);
}

static struct address
mailbox(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(&address, text, strlen(text)), ADDRESS_OK);
	return address;
}

static struct envelope *
make_envelope(const char *reverse_path, const char *forward_path)
{
	struct address path = mailbox(reverse_path);
	struct envelope *envelope = envelope_new(&path);

	snprintf(envelope->queue_id, sizeof(envelope->queue_id), "4F1A2B3C4D5E");
	envelope->size = 2579;
	path = mailbox(forward_path);
	envelope_add(envelope, &path);
	return envelope;
}

static void
test_client(void **state)
{
	(void)state;
	maillog_client("4F1A2B3C4D5E", "localhost[127.0.0.1]", NULL);
	assert_line("herald/smtpd[PID]: 4F1A2B3C4D5E: client=localhost[127.0.0.1]");
	maillog_client("4F1A2B3C4D5E", "localhost[::1]", "sasl_method=PLAIN, sasl_username=ann");
	assert_line("herald/smtpd[PID]: 4F1A2B3C4D5E: client=localhost[::1], sasl_method=PLAIN, "
	    "sasl_username=ann");
}

static void
test_pickup(void **state)
{
	struct address path = mailbox("ann@example.org");

	(void)state;
	maillog_pickup("4F1A2B3C4D5E", 1000, &path);
	assert_line("herald/pickup[PID]: 4F1A2B3C4D5E: uid=1000 from=<ann@example.org>");
}

static void
test_message_id(void **state)
{
	static const char nasty[] = "<a\nherald/smtpd[1]: fake\x1b[31m%n%s\0b>";
	char long_id[3000];

	(void)state;
	maillog_message_id("4F1A2B3C4D5E", "<1@example.org>trailing", 15);
	assert_line("herald/cleanup[PID]: 4F1A2B3C4D5E: message-id=<1@example.org>");
	maillog_message_id("4F1A2B3C4D5E", nasty, sizeof(nasty) - 1);
	assert_line("herald/cleanup[PID]: 4F1A2B3C4D5E: message-id="
	    "<a\\x0aherald/smtpd[1]: fake\\x1b[31m%n%s\\x00b>");
	maillog_message_id("4F1A2B3C4D5E", "", 0);
	assert_line("herald/cleanup[PID]: 4F1A2B3C4D5E: message-id=");
	memset(long_id, 'a', sizeof(long_id));
	maillog_message_id("4F1A2B3C4D5E", long_id, sizeof(long_id));
	/* Cut and counted; the rest of the shape is that of text_printable(). */
	{
		char got[8192];
		ssize_t len = read(lines_fd, got, sizeof(got) - 1);

		assert_true(len > 0 && len < 512);
		got[len] = '\0';
		assert_non_null(strstr(got, " more)\n"));
	}
}

static void
test_active(void **state)
{
	struct envelope *envelope = make_envelope("ann@example.org", "bob@example.net");

	(void)state;
	maillog_active(envelope);
	assert_line("herald/qmgr[PID]: 4F1A2B3C4D5E: from=<ann@example.org>, size=2579, nrcpt=1 "
	    "(queue active)");
	envelope_free(envelope);
	envelope = make_envelope("", "bob@example.net");
	maillog_active(envelope);
	assert_line("herald/qmgr[PID]: 4F1A2B3C4D5E: from=<>, size=2579, nrcpt=1 (queue active)");
	envelope_free(envelope);
	maillog_removed("4F1A2B3C4D5E");
	assert_line("herald/qmgr[PID]: 4F1A2B3C4D5E: removed");
}

static void
attempt(enum maillog_fate fate, const struct status *status, const char *tls, unsigned conn_use,
    const int64_t delays[4])
{
	struct envelope *envelope = make_envelope("ann@example.org", "bob@example.net");
	struct maillog_attempt event = {
		.envelope = envelope,
		.recipient = &envelope->recipients[0],
		.relay = "smtp.example.net[192.0.2.7]:465",
		.conn_use = conn_use,
		.tls = tls,
		.status = status,
		.fate = fate,
	};

	memcpy(event.delays, delays, sizeof(event.delays));
	maillog_attempt(&event);
	envelope_free(envelope);
}

static void
test_attempts(void **state)
{
	static const int64_t delays[4] = { 100000, 0, 500000, 600000 };
	struct status sent = status_parse(250, "2.0.0 Ok", 8);
	struct status later = status_local("4.4.1", "connect to 192.0.2.7:465: Connection refused");
	struct status no = status_parse(550, "5.1.1 no such user", 18);
	struct status late = status_local("4.4.7", "delivery time expired");

	(void)state;
	attempt(MAILLOG_SENT, &sent, "TLSv1.3/verified", 2, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, conn_use=2, delay=1.2, delays=0.1/0/0.5/0.6, "
	    "tls=TLSv1.3/verified, dsn=2.0.0, status=sent (250 2.0.0 Ok)");
	attempt(MAILLOG_SENT, &sent, "none", 1, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, delay=1.2, delays=0.1/0/0.5/0.6, "
	    "dsn=2.0.0, status=sent (250 2.0.0 Ok)");
	attempt(MAILLOG_SENT, &sent, "", 100, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, conn_use=100, delay=1.2, "
	    "delays=0.1/0/0.5/0.6, dsn=2.0.0, status=sent (250 2.0.0 Ok)");
	attempt(MAILLOG_DEFERRED, &later, NULL, 0, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, delay=1.2, delays=0.1/0/0.5/0.6, "
	    "dsn=4.4.1, status=deferred (connect to 192.0.2.7:465: Connection refused)");
	attempt(MAILLOG_BOUNCED, &no, NULL, 0, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, delay=1.2, delays=0.1/0/0.5/0.6, "
	    "dsn=5.1.1, status=bounced (550 5.1.1 no such user)");
	attempt(MAILLOG_EXPIRED, &late, NULL, 0, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, delay=1.2, delays=0.1/0/0.5/0.6, "
	    "dsn=4.4.7, status=expired (delivery time expired)");
}

/* pflogsumm and its like expect dsn= behind delays=. */
/* Whom the sender named, where another gets it (SPEC 5: orig_to). */
static void
test_original_recipient(void **state)
{
	static const struct {
		const char *orcpt, *logged;
	} rows[] = {
		{ NULL, "" },
		{ "rfc822;root@web1.example.org", "orig_to=<root@web1.example.org>, " },
		{ "rfc822;root+2Bcron@web1.example.org", "orig_to=<root+cron@web1.example.org>, " },
		{ "rfc822;bob@example.net", "" },
		{ "rfc822;Bob@EXAMPLE.net", "" },
		{ "rfc822;a+20<b>", "orig_to=<a <b>>, " },
		{ "utf-8;\\x{FC}@example.org", "orig_to=<\\xc3\\xbc@example.org>, " },
		{ "rfc822;+00", "" },
		{ "nothing", "" },
	};
	struct status sent = status_parse(250, "2.0.0 Ok", 8);
	char expected[300];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct envelope *envelope = make_envelope("ann@example.org", "bob@example.net");
		const struct maillog_attempt event = { .envelope = envelope,
			.recipient = &envelope->recipients[0], .relay = "none", .status = &sent,
			.fate = MAILLOG_SENT };

		envelope->recipients[0].orcpt = rows[i].orcpt;
		maillog_attempt(&event);
		snprintf(expected, sizeof(expected), "herald/smtp[PID]: 4F1A2B3C4D5E: "
		    "to=<bob@example.net>, %srelay=none, delay=0, delays=0/0/0/0, dsn=2.0.0, "
		    "status=sent (250 2.0.0 Ok)", rows[i].logged);
		assert_line(expected);
		envelope_free(envelope);
	}
}

static void
test_attempt_as_postfix(void **state)
{
	static const int64_t delays[4] = { 0, 0, 0, 0 };
	struct log_settings settings = { LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_MAIL, "postfix" };
	struct status sent = status_parse(250, "2.0.0 Ok", 8);
	char got[1024];
	ssize_t len;

	(void)state;
	log_configure(&settings);
	attempt(MAILLOG_SENT, &sent, "TLSv1.3/verified", 1, delays);
	snprintf(settings.ident, sizeof(settings.ident), "herald");
	log_configure(&settings);
	len = read(lines_fd, got, sizeof(got) - 1);
	assert_true(len > 0);
	got[len] = '\0';
	assert_non_null(strstr(got, " postfix/smtp["));
	assert_non_null(strstr(got, "delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 Ok), "
	    "tls=TLSv1.3/verified\n"));
}

static void
test_delays(void **state)
{
	static const struct {
		int64_t delays[4];
		const char *text;
	} rows[] = {
		{ { 0, 0, 0, 0 }, "delay=0, delays=0/0/0/0" },
		{ { 4999, 5000, 14999, 15000 }, "delay=0.04, delays=0/0.01/0.01/0.02" },
		{ { 100000, 120000, 990000, 994999 }, "delay=2.2, delays=0.1/0.12/0.99/0.99" },
		{ { 995000, 1000000, 1049999, 1050000 }, "delay=4.1, delays=1/1/1/1.1" },
		{ { 9949999, 9950000, 10000000, 10499999 }, "delay=40, delays=9.9/10/10/10" },
		{ { 99500000, 3600000000, -5, 0 }, "delay=3700, delays=100/3600/0/0" },
	};
	struct status sent = status_parse(250, "2.0.0 Ok", 8);
	char expected[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		attempt(MAILLOG_SENT, &sent, NULL, 0, rows[i].delays);
		snprintf(expected, sizeof(expected), "herald/smtp[PID]: 4F1A2B3C4D5E: "
		    "to=<bob@example.net>, relay=smtp.example.net[192.0.2.7]:465, %s, dsn=2.0.0, "
		    "status=sent (250 2.0.0 Ok)", rows[i].text);
		assert_line(expected);
	}
}

static void
test_bounce_lines(void **state)
{
	struct envelope *envelope = make_envelope("", "bob@example.net");

	(void)state;
	maillog_report("4F1A2B3C4D5E", "4F1A2B3C4D5F");
	assert_line("herald/bounce[PID]: 4F1A2B3C4D5E: sender non-delivery notification: "
	    "4F1A2B3C4D5F");
	maillog_delay_report("4F1A2B3C4D5E", "4F1A2B3C4D5F");
	assert_line("herald/bounce[PID]: 4F1A2B3C4D5E: sender delay notification: 4F1A2B3C4D5F");
	maillog_success_report("4F1A2B3C4D5E", "4F1A2B3C4D5F");
	assert_line("herald/bounce[PID]: 4F1A2B3C4D5E: sender delivery status notification: "
	    "4F1A2B3C4D5F");
	maillog_parked(envelope, &envelope->recipients[0], "the report\nfailed");
	assert_line("herald/bounce[PID]: 4F1A2B3C4D5E: to=<bob@example.net>: parked: "
	    "the report\\x0afailed");
	envelope_free(envelope);
}

static void
test_rejects(void **state)
{
	struct status denied = status_reply(554, "5.7.1", "<x@y>: Relay access denied");
	struct maillog_reject whole = {
		.verb = "RCPT", .client = "unknown[192.0.2.9]", .status = &denied,
		.reverse_path = "ann@example.org", .forward_path = "x@y", .protocol = "ESMTP",
		.helo = "client\x1b.example",
	};
	struct maillog_reject bare = { .queue_id = "4F1A2B3C4D5E", .verb = "END-OF-MESSAGE",
		.client = "local[unix]", .status = &denied };

	(void)state;
	maillog_reject(&whole);
	assert_line("herald/smtpd[PID]: NOQUEUE: reject: RCPT from unknown[192.0.2.9]: "
	    "554 5.7.1 <x@y>: Relay access denied; from=<ann@example.org> to=<x@y> proto=ESMTP "
	    "helo=<client\\x1b.example>");
	maillog_reject(&bare);
	assert_line("herald/smtpd[PID]: 4F1A2B3C4D5E: reject: END-OF-MESSAGE from local[unix]: "
	    "554 5.7.1 <x@y>: Relay access denied;");
}

/* The level says who must act: with only errors wanted, a deferral is silent. */
static void
test_levels(void **state)
{
	static const int64_t delays[4] = { 0 };
	struct status later = status_local("4.4.1", "no answer");
	struct envelope *envelope = make_envelope("", "bob@example.net");

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	attempt(MAILLOG_SENT, &later, NULL, 0, delays);
	attempt(MAILLOG_DEFERRED, &later, NULL, 0, delays);
	maillog_removed("4F1A2B3C4D5E");
	attempt(MAILLOG_BOUNCED, &later, NULL, 0, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, delay=0, delays=0/0/0/0, dsn=4.4.1, "
	    "status=bounced (no answer)");
	log_set_level(LOG_LEVEL_CRITICAL);
	attempt(MAILLOG_EXPIRED, &later, NULL, 0, delays);
	maillog_parked(envelope, &envelope->recipients[0], "why");
	assert_line("herald/bounce[PID]: 4F1A2B3C4D5E: to=<bob@example.net>: parked: why");
	log_set_level(LOG_LEVEL_WARNING);
	attempt(MAILLOG_DEFERRED, &later, NULL, 0, delays);
	assert_line("herald/smtp[PID]: 4F1A2B3C4D5E: to=<bob@example.net>, "
	    "relay=smtp.example.net[192.0.2.7]:465, delay=0, delays=0/0/0/0, dsn=4.4.1, "
	    "status=deferred (no answer)");
	log_set_level(LOG_LEVEL_INFO);
	envelope_free(envelope);
}

static void
test_relay_lines(void **state)
{
	(void)state;
	maillog_suspended("smarthost", "smtp.example.net[192.0.2.7]:465",
	    "AUTH: refused: 535 5.7.8 no\nherald/smtp[1]: forged");
	assert_line("herald/smtp[PID]: relay smarthost: suspended, mail stays queued: "
	    "smtp.example.net[192.0.2.7]:465: AUTH: refused: 535 5.7.8 no\\x0a"
	    "herald/smtp[1]: forged");
	maillog_recovered("smarthost");
	assert_line("herald/smtp[PID]: relay smarthost: takes mail again");
	log_set_level(LOG_LEVEL_WARNING);
	maillog_recovered("smarthost");
	maillog_suspended("smarthost", "none", "no address");
	assert_line("herald/smtp[PID]: relay smarthost: suspended, mail stays queued: none: "
	    "no address");
	log_set_level(LOG_LEVEL_INFO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_client, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_pickup, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_message_id, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_active, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_attempts, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(
		    test_attempt_as_postfix, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(
		    test_original_recipient, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_delays, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_bounce_lines, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_rejects, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_relay_lines, divert_stderr, restore_stderr),
		cmocka_unit_test_setup_teardown(test_levels, divert_stderr, restore_stderr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
