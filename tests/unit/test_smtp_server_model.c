/* test_smtp_server_model.c - the session's state against a small model, every short dialogue. */
#include "smtp_server_fixture.h"

#define LENGTH_MAX	5		/* RULES D9: 14 verbs, 579,194 sequences */
#define RANDOM_COUNT	100000
#define RANDOM_LENGTH	40

enum symbol {
	EHLO, HELO, MAIL_OK, MAIL_BAD, RCPT_OK, RCPT_BAD, DATA_OK, DATA_REJECT, BDAT, RSET, NOOP,
	STARTTLS, AUTH, JUNK,
	/* The others in random sequences only. */
	D9_COUNT, MAIL_LATER = D9_COUNT, BDAT_PART, BDAT_REJECT, AUTH_BAD, SYMBOLS,
};

static const struct {
	const char *command;
	size_t len;
	const char *content;		/* behind DATA and BDAT */
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
	[BDAT] = { "BDAT 6 LAST\r\n", 13, "RSET\r\n", 6 },
	[RSET] = SYMBOL("RSET\r\n"),
	[NOOP] = SYMBOL("NOOP\r\n"),
	[STARTTLS] = SYMBOL("STARTTLS\r\n"),
	[AUTH] = SYMBOL("AUTH PLAIN AGEAYg==\r\n"),
	[JUNK] = SYMBOL("JUNK\r\n"),
	[MAIL_LATER] = SYMBOL("MAIL FROM:<later@b>\r\n"),
	[BDAT_PART] = { "BDAT 3\r\n", 8, ".\r\n", 3 },
	[BDAT_REJECT] = { "BDAT 2\r\n", 8, "\0\n", 2 },
	[AUTH_BAD] = SYMBOL("AUTH LOGIN AA==\r\n"),
#undef SYMBOL
};

/* --- the model: RFC 5321 4.1.4 and its extensions in a few variables --- */

struct model {
	bool greeted, extended, secure, authenticated, has_sender, has_chunks;
	bool later;			/* the last MAIL was refused with 452 */
	bool over;
	unsigned recipients, octets;
};

static void
model_reset(struct model *model)
{
	model->has_sender = model->has_chunks = model->later = false;
	model->recipients = model->octets = 0;
}

static void
model_mail_taken(struct model *model, struct result *result)
{
	say(result, 250);
	say_mail(result, model->recipients, model->octets);
	model_reset(model);
}

static void
model_data(struct model *model, struct result *result, bool good, bool pipelined)
{
	unsigned refusal = model->later ? 452 : !model->has_sender || model->has_chunks ? 503 : 554;

	if (model->recipients > 0 && !model->has_chunks) {
		say(result, 354);
		model->octets = 3;
		if (good)
			model_mail_taken(model, result);
		else
			say(result, 550);
		model_reset(model);
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
model_bdat(struct model *model, struct result *result, enum symbol symbol)
{
	if (model->recipients == 0) {
		if (!model->has_sender)
			say(result, model->later ? 452 : 503);
		else
			say(result, 554);
		if (model->has_sender)
			model_reset(model);
		return;
	}
	model->octets += (unsigned)symbols[symbol].content_len;
	if (symbol == BDAT) {
		model_mail_taken(model, result);
		return;
	}
	say(result, symbol == BDAT_PART ? 250 : 550);
	model->has_chunks = true;
	if (symbol == BDAT_REJECT)
		model_reset(model);
}

static void
model_hello(struct model *model, struct result *result, bool extended)
{
	model_reset(model);
	model->greeted = true;
	model->extended = extended;
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
	if (!model->has_sender || model->has_chunks) {
		say(result, model->later ? 452 : 503);
		return;
	}
	say(result, good ? 250 : 554);
	if (good)
		model->recipients++;
}

/* more: the client did not wait for the 220. */
static void
model_starttls(struct model *model, struct result *result, bool more)
{
	if (!model->greeted || model->has_sender || model->secure) {
		say(result, 503);
		return;
	}
	say(result, 220);
	*model = (struct model){ .secure = true, .over = more };
	if (more)
		say(result, 421);
}

static void
model_auth(struct model *model, struct result *result, bool good)
{
	if (!model->greeted || model->has_sender || model->authenticated) {
		say(result, 503);
		return;
	}
	say(result, good ? 235 : 501);
	model->authenticated = good;
}

static void
model_step(struct model *model, struct result *result, enum symbol symbol, bool pipelined,
    bool more)
{
	switch (symbol) {
	case EHLO:
	case HELO:
		model_hello(model, result, symbol == EHLO);
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
	case BDAT:
	case BDAT_PART:
	case BDAT_REJECT:
		model_bdat(model, result, symbol);
		break;
	case RSET:
		model_reset(model);
		say(result, 250);
		break;
	case NOOP:
		say(result, 250);
		break;
	case STARTTLS:
		model_starttls(model, result, pipelined && more);
		break;
	case AUTH:
	case AUTH_BAD:
		model_auth(model, result, symbol == AUTH);
		break;
	case JUNK:
		say(result, 500);
		break;
	case SYMBOLS:
		fail();
	}
}

static const char *
model_protocol(const struct model *model)
{
	static const char *const names[2][2] = { { "ESMTP", "ESMTPA" }, { "ESMTPS", "ESMTPSA" } };

	return model->extended ? names[model->secure][model->authenticated] : "SMTP";
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
compare(const unsigned char *sequence, size_t len, bool pipelined, const struct session *session)
{
	const struct result *got = &session->result;
	struct result expected = { .code_count = 0 };
	struct model model = { .greeted = false };

	for (size_t i = 0; i < len && !model.over; i++)
		model_step(&model, &expected, (enum symbol)sequence[i], pipelined, i + 1 < len);
	if (expected.code_count != got->code_count || expected.mail_count != got->mail_count ||
	    memcmp(expected.codes, got->codes, got->code_count * sizeof(got->codes[0])) != 0 ||
	    memcmp(expected.mails, got->mails, got->mail_count * sizeof(got->mails[0])) != 0)
		disagree(sequence, len, pipelined, &expected, got);
	if (session->open != model.has_sender || (session->quits > 0) != model.over ||
	    (!model.over &&
	    strcmp(smtp_server_protocol(session->server), model_protocol(&model)) != 0))
		disagree(sequence, len, pipelined, &expected, got);
}

static void
run_stepwise(const unsigned char *sequence, size_t len)
{
	struct session *session = open_session(0);

	session->is_late = true;
	for (size_t i = 0; i < len; i++) {
		enum symbol symbol = (enum symbol)sequence[i];
		bool is_chunk = symbols[symbol].command[0] == 'B';

		send_octets(session, symbols[symbol].command, symbols[symbol].len);
		if (is_chunk || strncmp(session->last_line, "354", 3) == 0)
			send_octets(session, symbols[symbol].content, symbols[symbol].content_len);
		settle(session);
	}
	compare(sequence, len, false, session);
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
	compare(sequence, len, true, session);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_sequence),
		cmocka_unit_test(test_random_sequences),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
