/* test_smtp_server.c - the session's state against a small model, for every short dialogue. */
#include "proto/smtp_server.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH_MAX	5		/* RULES D9: 14 verbs, 579,194 sequences */
#define RANDOM_COUNT	100000
#define RANDOM_LENGTH	40
#define CODES_MAX	(RANDOM_LENGTH * 3 + 8)

enum symbol {
	EHLO, HELO, MAIL_OK, MAIL_BAD, RCPT_OK, RCPT_BAD, DATA_OK, DATA_REJECT, BDAT, RSET, NOOP,
	STARTTLS, AUTH, JUNK,
	D9_COUNT, MAIL_LATER = D9_COUNT, SYMBOLS,	/* the last one in random sequences only */
};

static const struct {
	const char *command;
	size_t len;
	const char *content;		/* behind DATA */
	size_t content_len;
} symbols[] = {
#define SYMBOL(text) { text, sizeof(text) - 1, "", 0 }
	[EHLO] = SYMBOL("EHLO a\r\n"),
	[HELO] = SYMBOL("HELO a\r\n"),
	[MAIL_OK] = SYMBOL("MAIL FROM:<a@b>\r\n"),
	[MAIL_BAD] = SYMBOL("MAIL FROM:<a\r\n"),
	[RCPT_OK] = SYMBOL("RCPT TO:<c@d>\r\n"),
	[RCPT_BAD] = SYMBOL("RCPT TO:<no@d>\r\n"),
	[DATA_OK] = { "DATA\r\n", 6, "x\r\n.\r\n", 6 },
	[DATA_REJECT] = { "DATA\r\n", 6, "a\0\r\n.\r\n", 7 },
	[BDAT] = SYMBOL("BDAT 5 LAST\r\n"),
	[RSET] = SYMBOL("RSET\r\n"),
	[NOOP] = SYMBOL("NOOP\r\n"),
	[STARTTLS] = SYMBOL("STARTTLS\r\n"),
	[AUTH] = SYMBOL("AUTH PLAIN AGEAYg==\r\n"),
	[JUNK] = SYMBOL("JUNK\r\n"),
	[MAIL_LATER] = SYMBOL("MAIL FROM:<later@b>\r\n"),
#undef SYMBOL
};

/* What a session came to: reply codes in order, and how many recipients each mail had. */
struct result {
	unsigned codes[CODES_MAX];
	size_t code_count;
	unsigned mails[RANDOM_LENGTH];
	size_t mail_count;
};

/* --- the model: RFC 5321 4.1.4 in three variables --- */

struct model {
	bool greeted, has_sender;
	bool later;			/* the last MAIL was refused with 452 */
	unsigned recipients;
};

static void
say(struct result *result, unsigned code)
{
	result->codes[result->code_count++] = code;
}

static void
model_data(struct model *model, struct result *result, bool good, bool pipelined)
{
	unsigned refusal = model->later ? 452 : !model->has_sender ? 503 : 554;

	if (model->recipients > 0) {
		say(result, 354);
		say(result, good ? 250 : 550);
		if (good)
			result->mails[result->mail_count++] = model->recipients;
		model->has_sender = false;
		model->recipients = 0;
		return;
	}
	say(result, refusal);
	/* A client that did not wait has its two lines read as commands. */
	if (pipelined) {
		say(result, 500);
		say(result, 500);
	}
}

static void
model_hello(struct model *model, struct result *result)
{
	*model = (struct model){ .greeted = true };
	say(result, 250);
}

static void
model_mail(struct model *model, struct result *result, enum symbol symbol)
{
	if (!model->greeted || model->has_sender) {
		say(result, 503);
		return;
	}
	say(result, symbol == MAIL_OK ? 250 : symbol == MAIL_BAD ? 501 : 452);
	model->has_sender = symbol == MAIL_OK;
	model->later = symbol == MAIL_LATER;
}

static void
model_rcpt(struct model *model, struct result *result, bool good)
{
	if (!model->has_sender)
		say(result, model->later ? 452 : 503);
	else
		say(result, good ? 250 : 554);
	if (model->has_sender && good)
		model->recipients++;
}

static void
model_step(struct model *model, struct result *result, enum symbol symbol, bool pipelined)
{
	switch (symbol) {
	case EHLO:
	case HELO:
		model_hello(model, result);
		break;
	case MAIL_OK:
	case MAIL_BAD:
	case MAIL_LATER:
		model_mail(model, result, symbol);
		break;
	case RCPT_OK:
	case RCPT_BAD:
		model_rcpt(model, result, symbol == RCPT_OK);
		break;
	case DATA_OK:
	case DATA_REJECT:
		model_data(model, result, symbol == DATA_OK, pipelined);
		break;
	case RSET:
		*model = (struct model){ .greeted = model->greeted };
		say(result, 250);
		break;
	case NOOP:
		say(result, 250);
		break;
	case BDAT:
	case STARTTLS:
	case AUTH:
		say(result, 502);
		break;
	case JUNK:
		say(result, 500);
		break;
	case SYMBOLS:
		fail();
	}
}

/* --- the engine, and an owner that checks the order of its calls --- */

struct session {
	struct smtp_server *server;
	struct result result;
	char reply[600];
	size_t reply_len;
	bool open, in_data;
	unsigned recipients, content, resets, quits, refusals;
	char last_line[600];
	char last_verb[32];
};

static void
take_reply_line(struct session *session)
{
	session->reply[session->reply_len] = '\0';
	if (session->reply[3] != '-')
		say(&session->result, (unsigned)strtoul(session->reply, NULL, 10));
	memcpy(session->last_line, session->reply, session->reply_len + 1);
	session->reply_len = 0;
}

static void
on_output(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;

	for (size_t i = 0; i < len; i++) {
		assert_true(session->reply_len < 511);
		session->reply[session->reply_len++] = octets[i];
		if (octets[i] == '\n') {
			assert_int_equal(session->reply[session->reply_len - 2], '\r');
			take_reply_line(session);
		}
	}
}

static struct status
on_mail(void *owner, const struct address *reverse_path, const struct smtp_mail_params *params)
{
	struct session *session = owner;

	(void)params;
	assert_false(session->open);
	if (strcmp(reverse_path->local, "later") == 0)
		return status_reply(452, "4.3.1", "later");
	session->open = true;
	session->recipients = 0;
	return status_reply(250, "2.1.0", "Ok");
}

static struct status
on_rcpt(void *owner, const struct address *forward_path, const struct smtp_rcpt_params *params)
{
	struct session *session = owner;

	(void)params;
	assert_true(session->open && !session->in_data);
	if (strcmp(forward_path->local, "no") == 0)
		return status_reply(554, "5.7.1", "no");
	session->recipients++;
	return status_reply(250, "2.1.5", "Ok");
}

static struct status
on_data(void *owner)
{
	struct session *session = owner;

	assert_true(session->open && session->recipients > 0);
	session->in_data = true;
	session->content = 0;
	return status_reply(354, "", "go");
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;

	(void)octets;
	assert_true(session->in_data);
	session->content += (unsigned)len;
}

static void
on_end(void *owner)
{
	struct session *session = owner;
	struct status status = status_reply(250, "2.0.0", "queued");

	assert_true(session->in_data);
	session->result.mails[session->result.mail_count++] = session->recipients;
	session->open = session->in_data = false;
	smtp_server_answer(session->server, &status);
}

static void
on_reset(void *owner)
{
	struct session *session = owner;

	assert_true(session->open);
	session->open = session->in_data = false;
	session->resets++;
}

static void
on_refused(void *owner, const struct smtp_refusal *refusal)
{
	struct session *session = owner;

	session->refusals++;
	snprintf(session->last_verb, sizeof(session->last_verb), "%s", refusal->verb);
}

static void
on_quit(void *owner)
{
	struct session *session = owner;

	session->quits++;
}

static const struct smtp_server_events events = {
	.on_output = on_output,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_refused = on_refused,
	.on_quit = on_quit,
};

static struct session *
open_session(unsigned max_errors)
{
	const struct smtp_server_settings settings = {
		.hostname = "h.example", .max_message_size = 1000, .max_recipients = 1000,
		.max_errors = max_errors,
	};
	struct session *session = mem_zalloc(sizeof(*session));

	session->server = smtp_server_new(&settings, &events, session);
	return session;
}

static void
close_session(struct session *session)
{
	smtp_server_free(session->server);
	free(session);
}

static void
send_octets(struct session *session, const char *octets, size_t len)
{
	assert_int_equal(smtp_server_input(session->server, octets, len), len);
}

static void
send_text(struct session *session, const char *text)
{
	send_octets(session, text, strlen(text));
}

/* --- both, for one sequence --- */

static void
disagree(const unsigned char *sequence, size_t len, bool pipelined, const struct result *expected,
    const struct result *got)
{
	print_error("%s:", pipelined ? "pipelined" : "stepwise");
	for (size_t i = 0; i < len; i++)
		print_error(" %.*s", (int)symbols[sequence[i]].len - 2,
		    symbols[sequence[i]].command);
	print_error("\nexpected:");
	for (size_t i = 0; i < expected->code_count; i++)
		print_error(" %u", expected->codes[i]);
	print_error("\ngot:");
	for (size_t i = 0; i < got->code_count; i++)
		print_error(" %u", got->codes[i]);
	fail();
}

static void
compare(const unsigned char *sequence, size_t len, bool pipelined, const struct result *got)
{
	struct result expected = { .code_count = 0 };
	struct model model = { .greeted = false };

	for (size_t i = 0; i < len; i++)
		model_step(&model, &expected, (enum symbol)sequence[i], pipelined);
	if (expected.code_count != got->code_count || expected.mail_count != got->mail_count ||
	    memcmp(expected.codes, got->codes, got->code_count * sizeof(got->codes[0])) != 0 ||
	    memcmp(expected.mails, got->mails, got->mail_count * sizeof(got->mails[0])) != 0)
		disagree(sequence, len, pipelined, &expected, got);
}

static void
run_stepwise(const unsigned char *sequence, size_t len)
{
	struct session *session = open_session(0);

	for (size_t i = 0; i < len; i++) {
		enum symbol symbol = (enum symbol)sequence[i];

		send_octets(session, symbols[symbol].command, symbols[symbol].len);
		if (smtp_server_in_data(session->server))
			send_octets(session, symbols[symbol].content, symbols[symbol].content_len);
	}
	compare(sequence, len, false, &session->result);
	close_session(session);
}

static void
run_pipelined(const unsigned char *sequence, size_t len)
{
	struct session *session = open_session(0);
	char stream[RANDOM_LENGTH * 32];
	size_t used = 0;

	for (size_t i = 0; i < len; i++) {
		enum symbol symbol = (enum symbol)sequence[i];

		memcpy(stream + used, symbols[symbol].command, symbols[symbol].len);
		used += symbols[symbol].len;
		memcpy(stream + used, symbols[symbol].content, symbols[symbol].content_len);
		used += symbols[symbol].content_len;
	}
	send_octets(session, stream, used);
	compare(sequence, len, true, &session->result);
	close_session(session);
}

static void
test_every_sequence(void **state)
{
	unsigned char sequence[LENGTH_MAX];
	unsigned long count = 0;

	(void)state;
	for (size_t len = 1; len <= LENGTH_MAX; len++) {
		size_t place = 0;

		memset(sequence, 0, sizeof(sequence));
		while (place < len) {
			run_stepwise(sequence, len);
			run_pipelined(sequence, len);
			count++;
			for (place = 0; place < len; place++) {
				sequence[place] = (unsigned char)((sequence[place] + 1) % D9_COUNT);
				if (sequence[place] != 0)
					break;
			}
		}
	}
	print_message("%lu sequences, stepwise and pipelined\n", count);
	assert_int_equal(count, 579194);
}

static void
test_random_sequences(void **state)
{
	unsigned long long seed = 20261123;

	(void)state;
	print_message("seed %llu\n", seed);
	for (unsigned round = 0; round < RANDOM_COUNT; round++) {
		unsigned char sequence[RANDOM_LENGTH];
		size_t len;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		len = 6 + (seed >> 33) % (RANDOM_LENGTH - 5);
		for (size_t i = 0; i < len; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			sequence[i] = (unsigned char)((seed >> 33) % SYMBOLS);
		}
		run_stepwise(sequence, len);
		run_pipelined(sequence, len);
	}
}

/* --- what the model leaves out --- */

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
	assert_int_equal(session->result.mails[0], 1000);
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
		cmocka_unit_test(test_every_sequence),
		cmocka_unit_test(test_random_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
