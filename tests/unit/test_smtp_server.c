/* test_smtp_server.c - the SMTP server: its limits, its names, and what its owner is told. */
#include "smtp_server_fixture.h"

static void
test_idle_limit(void **state)
{
	struct session *session = open_session(20);

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		session->result.code_count = 0;
		send_text(session, i % 2 == 0 ? "NOOP\r\n" : "RSET\r\n");
		assert_int_equal(session->quits, i < 999 ? 0 : 1);
	}
	assert_string_equal(session->last_line,
	    "421 4.7.0 h.example too many commands without mail\r\n");
	close_session(session);
}

/* Recipients above the limit: as many again are an honest client's, not any number. */
static void
test_surplus_limit(void **state)
{
	struct session *session = open_session(20);
	unsigned sent = 0;

	(void)state;
	send_text(session, "EHLO a\r\nMAIL FROM:<a@b.example>\r\n");
	for (; sent < 5000 && session->quits == 0; sent++) {
		session->result.code_count = 0;
		send_text(session, "RCPT TO:<a@b.example>\r\n");
	}
	assert_int_equal(sent, 1000 + 1 + 1000 + 1000);
	assert_string_equal(session->last_line,
	    "421 4.7.0 h.example too many commands without mail\r\n");
	close_session(session);
}

/* A transaction with as many recipients as are allowed is no idling. */
static void
test_thousand_recipients(void **state)
{
	struct session *session = open_session(20);

	(void)state;
	send_text(session, "EHLO a\r\nMAIL FROM:<a@b>\r\n");
	for (unsigned i = 0; i < 1000; i++) {
		session->result.code_count = 0;
		send_text(session, "RCPT TO:<c@d>\r\n");
		assert_int_equal(session->result.codes[0], 250);
	}
	session->result.code_count = 0;
	send_text(session, "RCPT TO:<c@d>\r\n");
	assert_int_equal(session->result.codes[0], 452);
	send_text(session, "DATA\r\nx\r\n.\r\n");
	assert_int_equal(session->result.mails[0].recipients, 1000);
	assert_int_equal(session->quits, 0);
	close_session(session);
}

/* A line without an end: dropped as it comes, and its sender shown out (RULES P1). */
static void
test_endless_line(void **state)
{
	struct session *session = open_session(20);
	char line[8192];
	size_t sent = 0, kept = 0;

	(void)state;
	memset(line, 'a', sizeof(line));
	send_text(session, "EHLO a\r\n");
	for (; session->quits == 0 && sent < 1024 * 1024; sent += 1024) {
		kept += 1024;
		kept -= smtp_server_input(session->server, line, kept);
		assert_true(kept <= SMTP_SERVER_LINE_MAX);
	}
	assert_true(sent > SMTP_SERVER_DISCARD_MAX && sent < SMTP_SERVER_DISCARD_MAX + 4096);
	assert_string_equal(session->last_line, "421 4.7.0 h.example too many errors\r\n");
	close_session(session);
}

static void
test_close_from_outside(void **state)
{
	struct status status = status_reply(421, "4.3.2", "h.example is shutting down");
	struct session *session = open_session(20);

	(void)state;
	send_text(session, "EHLO a\r\nMAIL FROM:<a@b>\r\n");
	smtp_server_close(session->server, &status);
	assert_string_equal(session->last_line, "421 4.3.2 h.example is shutting down\r\n");
	assert_int_equal(session->resets, 1);
	assert_int_equal(session->quits, 1);
	smtp_server_close(session->server, &status);
	assert_int_equal(session->quits, 1);
	send_text(session, "NOOP\r\nthese octets are dropped\r\n");
	assert_int_equal(session->result.code_count, 3);
	close_session(session);
}

static void
test_refusals_are_told(void **state)
{
	static const struct {
		const char *octets, *verb;
	} rows[] = {
		{ "MAIL FROM:<a@b>\r\n", "MAIL" },
		{ "XYZZY\r\n", "COMMAND" },
		{ "STARTTLS\r\n", "STARTTLS" },
		{ "EHLO a\r\nMAIL FROM:<later@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n", "MAIL" },
		{ "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<no@d>\r\n", "RCPT" },
		{ "DATA\r\n", "DATA" },
		{ "RCPT TO:<c@d>\r\nDATA\r\n\n.\r\n\r\n.\r\n", "END-OF-MESSAGE" },
		{ "BDAT 1 LAST\r\nx", "BDAT" },
		{ "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 1 LAST\r\n\n", "END-OF-MESSAGE" },
		{ "AUTH PLAIN AGEAYw==\r\n", "AUTH" },
		{ "AUTH PLAIN\r\n*\r\n", "AUTH" },
	};
	struct session *session = open_session(20);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		send_text(session, rows[i].octets);
		assert_int_equal(session->refusals, i + 1);
		assert_string_equal(session->last_verb, rows[i].verb);
	}
	close_session(session);
}

/* RULES P9.  The engine keeps nothing of a chunk, and the client is shown out soon. */
static void
test_tiny_chunks(void **state)
{
	struct session *session = open_session(20);

	(void)state;
	send_text(session, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
	for (unsigned i = 0; i < 100000; i++) {
		session->result.code_count = 0;
		send_text(session, "BDAT 1\r\nx");
	}
	assert_string_equal(session->last_line,
	    "421 4.7.0 h.example too many commands without mail\r\n");
	assert_in_range(session->content, 900, 1000);
	assert_int_equal(session->quits, 1);
	assert_int_equal(session->resets, 1);
	close_session(session);
}

/* Chunks of a fair size are no idling, however many a message has. */
static void
test_many_chunks(void **state)
{
	struct session *session = open_session(20);
	struct status status = status_reply(421, "4.3.2", "h.example is shutting down");
	char chunk[1024 + 11] = "BDAT 1024\r\n";

	(void)state;
	memset(chunk + 11, 'x', 1024);
	smtp_server_free(session->server);
	session->server = smtp_server_new(&(struct smtp_server_settings){
	    .hostname = "h.example", .max_recipients = 10, .max_errors = 20 }, &events, session);
	send_text(session, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
	for (unsigned i = 0; i < 3000; i++) {
		session->result.code_count = 0;
		send_octets(session, chunk, sizeof(chunk));
		assert_string_equal(session->last_line, "250 2.0.0 1024 octets received\r\n");
		assert_true(smtp_server_in_data(session->server));
	}
	assert_int_equal(session->content, 3000 * 1024);
	smtp_server_close(session->server, &status);
	assert_int_equal(session->resets, 1);
	close_session(session);
}

/* Of a chunk that is refused nothing is kept, and nothing is said before its end. */
static void
test_huge_chunk(void **state)
{
	struct session *session = open_session(20);
	char octets[4096] = "QUIT\r\n";

	(void)state;
	send_text(session, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n");
	send_text(session, "BDAT 9223372036854775808 LAST\r\n");
	for (unsigned i = 0; i < 1000; i++)
		send_octets(session, octets, sizeof(octets));
	assert_false(smtp_server_in_data(session->server));
	assert_int_equal(session->result.code_count, 3);
	assert_int_equal(session->content, 0);
	close_session(session);

	session = open_session(20);
	send_text(session, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 3\r\nx\r\n");
	assert_true(smtp_server_in_data(session->server));
	send_text(session, "BDAT 18446744073709551615 LAST\r\n");
	assert_false(smtp_server_in_data(session->server));
	close_session(session);
}

static void
test_auth_awaits(void **state)
{
	struct status status = status_reply(421, "4.3.2", "h.example is shutting down");
	struct session *session = open_session(20);
	const char input[] = "EHLO a\r\nAUTH PLAIN AGEAYg==\r\nNOOP\r\n";

	(void)state;
	session->is_late = true;
	assert_int_equal(smtp_server_input(session->server, input, sizeof(input) - 1),
	    sizeof(input) - 1 - 6);
	assert_true(smtp_server_awaits_answer(session->server));
	assert_false(smtp_server_in_data(session->server));
	assert_int_equal(smtp_server_input(session->server, "NOOP\r\n", 6), 0);
	assert_string_equal(smtp_server_username(session->server), "");
	assert_string_equal(smtp_server_auth_method(session->server), "");
	settle(session);
	assert_false(smtp_server_awaits_answer(session->server));
	assert_string_equal(smtp_server_username(session->server), "a");
	assert_string_equal(smtp_server_auth_method(session->server), "PLAIN");
	close_session(session);

	/* What was claimed only is not believed at the end either. */
	session = open_session(20);
	session->is_late = true;
	send_text(session, "EHLO a\r\nAUTH PLAIN AGEAYg==\r\n");
	smtp_server_close(session->server, &status);
	assert_string_equal(smtp_server_username(session->server), "");
	close_session(session);
}

/* Sessions end anywhere: what they held is wiped and freed. */
static void
test_free_in_between(void **state)
{
	static const char *const inputs[] = {
		"AUTH LOGIN\r\nYQ==\r\n", "AUTH PLAIN AGEAYg==\r\n", "BDAT 10 LAST\r\nx",
		"STARTTLS\r\n", "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nBDAT 9\r\nx\r",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
		struct session *session = open_session(20);

		session->is_late = true;
		send_text(session, "EHLO a\r\n");
		send_text(session, inputs[i]);
		close_session(session);
	}
	smtp_server_free(NULL);
}

static void
test_starttls(void **state)
{
	struct session *session = open_session(20);

	(void)state;
	session->is_late = true;
	send_text(session, "EHLO a\r\nSTARTTLS\r\n");
	assert_string_equal(session->last_line, "220 2.0.0 Ready to start TLS\r\n");
	assert_false(session->more_input);
	assert_false(smtp_server_awaits_answer(session->server));
	assert_int_equal(smtp_server_input(session->server, "NOOP\r\n", 6), 0);
	settle(session);
	assert_string_equal(smtp_server_helo(session->server), "");
	assert_string_equal(smtp_server_protocol(session->server), "SMTP");
	close_session(session);

	session = open_session(20);
	send_text(session, "EHLO a\r\nSTARTTLS\r\nN");
	assert_true(session->more_input);
	assert_int_equal(session->quits, 1);
	close_session(session);
}

/* RFC 3848, RFC 6531 4.3. */
static void
test_protocols(void **state)
{
	static const struct {
		bool is_secure;
		const char *input, *protocol;
	} rows[] = {
		{ false, "", "SMTP" },
		{ true, "HELO a\r\n", "SMTP" },
		{ false, "EHLO a\r\n", "ESMTP" },
		{ true, "EHLO a\r\n", "ESMTPS" },
		{ false, "EHLO a\r\nAUTH PLAIN AGEAYg==\r\n", "ESMTPA" },
		{ true, "EHLO a\r\nAUTH PLAIN AGEAYg==\r\n", "ESMTPSA" },
		{ false, "EHLO a\r\nMAIL FROM:<a@b> SMTPUTF8\r\n", "UTF8SMTP" },
		{ true, "EHLO a\r\nMAIL FROM:<a@b> SMTPUTF8\r\n", "UTF8SMTPS" },
		{ false, "EHLO a\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b> SMTPUTF8\r\n",
		    "UTF8SMTPA" },
		{ true, "EHLO a\r\nAUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b> SMTPUTF8\r\n",
		    "UTF8SMTPSA" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct session *session = open_session(20);

		if (rows[i].is_secure) {
			send_text(session, "EHLO a\r\nSTARTTLS\r\n");
			assert_int_equal(session->result.codes[1], 220);
		}
		send_text(session, rows[i].input);
		assert_string_equal(smtp_server_protocol(session->server), rows[i].protocol);
		close_session(session);
	}
}

static void
test_names(void **state)
{
	struct session *session = open_session(20);

	(void)state;
	assert_string_equal(smtp_server_helo(session->server), "");
	send_text(session, "HELO one.example\r\n");
	assert_string_equal(smtp_server_helo(session->server), "one.example");
	assert_string_equal(smtp_server_protocol(session->server), "SMTP");
	send_text(session, "EHLO [192.0.2.1]\r\n");
	assert_string_equal(smtp_server_helo(session->server), "[192.0.2.1]");
	assert_string_equal(smtp_server_protocol(session->server), "ESMTP");
	close_session(session);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_refusals_are_told),
		cmocka_unit_test(test_close_from_outside),
		cmocka_unit_test(test_idle_limit),
		cmocka_unit_test(test_surplus_limit),
		cmocka_unit_test(test_thousand_recipients),
		cmocka_unit_test(test_endless_line),
		cmocka_unit_test(test_tiny_chunks),
		cmocka_unit_test(test_many_chunks),
		cmocka_unit_test(test_huge_chunk),
		cmocka_unit_test(test_auth_awaits),
		cmocka_unit_test(test_free_in_between),
		cmocka_unit_test(test_starttls),
		cmocka_unit_test(test_protocols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
