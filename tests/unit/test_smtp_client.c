/* test_smtp_client.c - the client's engine against servers that say anything at any time. */
#include "proto/smtp_client.h"

#include "base/mem.h"
#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { RECIPIENTS_MAX = 5, ROUNDS = 60000, REPLIES_MAX = 60 };

struct run {
	struct smtp_client *client;
	struct envelope *envelope;
	unsigned fates[RECIPIENTS_MAX];
	bool ready, sending, started_tls, finished;
	bool content_is_out;		/* the whole of this mail was sent, with its end */
	bool secret_in_clear;
	bool secured;
	unsigned delivered;
};

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_true(len >= 2);
	assert_memory_equal(octets + len - 2, "\r\n", 2);
	if (!run->secured && (secret || strncmp(octets, "AUTH", 4) == 0))
		run->secret_in_clear = true;
	/* Before the handshake of a session that has to have one nothing of a mail is said. */
	if (!run->secured)
		assert_int_not_equal(strncmp(octets, "MAIL", 4), 0);
}

static void
on_start_tls(void *owner)
{
	((struct run *)owner)->started_tls = true;
}

static void
on_send_data(void *owner)
{
	((struct run *)owner)->sending = true;
}

static void
on_ready(void *owner)
{
	((struct run *)owner)->ready = true;
}

static void
on_recipient(void *owner, size_t index, const struct status *status)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_true(index < run->envelope->recipient_count);
	assert_int_equal(++run->fates[index], 1);
	if (status_class(status) == STATUS_SUCCESS) {
		assert_true(run->content_is_out);
		run->delivered++;
	}
}

static void
on_finished(void *owner, const struct status *status)
{
	struct run *run = owner;

	assert_false(run->finished);
	run->finished = true;
	assert_int_not_equal(status_class(status), STATUS_PERMANENT);
}

static const struct smtp_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .send_data = on_send_data, .on_ready = on_ready,
	.on_recipient = on_recipient, .on_finished = on_finished,
};

static unsigned
any(unsigned count)
{
	return (unsigned)rand() % count;
}

/* Mostly what is due, so that the runs get far; sometimes anything. */
static const char *
choose_reply(const struct run *run)
{
	static const char *const odd[] = { "250 ok\r\n", "354 go\r\n", "421 bye\r\n", "451 no\r\n",
	    "550 5.1.1 no\r\n", "552 full\r\n", "221 x\r\n", "220 x\r\n", "334 \r\n", "334 !\r\n",
	    "235 ok\r\n", "250-a\r\n250-b\r\n", "250", "\r\n", "x", "250-PIPELINING\r\n",
	    "999 x\r\n", "250 ok\r\n250 ok\r\n", "250 x\n", "535 5.7.8 no\r\n" };
	const char *step = smtp_client_step(run->client);
	const struct { const char *step, *reply; } due[] = {
		{ "greeting", "220 x\r\n" }, { "STARTTLS", "220 go\r\n" }, { "AUTH", "235 ok\r\n" },
		{ "EHLO", any(2) ?
		    "250-x\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n" :
		    "250-x\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 AUTH LOGIN\r\n" },
		{ "DATA", "354 go\r\n" },
	};

	if (any(25) == 0)
		return odd[any(sizeof(odd) / sizeof(odd[0]))];
	for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++)
		if (strcmp(step, due[i].step) == 0)
			return due[i].reply;
	return any(5) == 0 ? "550 5.1.1 no\r\n" : "250 ok\r\n";
}

static void
check_fates(const struct run *run)
{
	for (size_t i = 0; run->envelope != NULL && i < run->envelope->recipient_count; i++)
		assert_int_equal(run->fates[i], 1);
}

static void
give_mail(struct run *run)
{
	const struct address address = { "bob", "example.net" };
	struct smtp_client_mail mail = { .eight_bit = any(20) == 0 };

	check_fates(run);
	run->ready = run->content_is_out = false;
	if (any(10) == 0) {
		smtp_client_quit(run->client);
		return;
	}
	envelope_free(run->envelope);
	run->envelope = envelope_new(&address);
	run->envelope->size = any(10) == 0 ? 5000 : 500;
	memset(run->fates, 0, sizeof(run->fates));
	mail.count = 1 + any(RECIPIENTS_MAX);
	for (size_t i = 0; i < mail.count; i++)
		envelope_add(run->envelope, &address);
	mail.envelope = run->envelope;
	smtp_client_mail(run->client, &mail);
}

/* What the owner owes the engine, at a time of its own choice. */
static void
answer_engine(struct run *run)
{
	if (run->finished)
		return;
	if (run->started_tls) {
		run->started_tls = false;
		run->secured = true;
		smtp_client_secured(run->client);
	} else if (run->ready) {
		give_mail(run);
	} else if (run->sending && any(3) > 0) {
		run->sending = false;
		run->content_is_out = true;
		smtp_client_data_sent(run->client);
	}
}

static void
play(struct run *run)
{
	char input[4096];
	size_t len = 0, used, give;

	for (int i = 0; i < REPLIES_MAX && !run->finished; i++) {
		/* What was only given in part comes whole before more is said, as a rule. */
		const char *reply = len > 0 && any(20) > 0 ? "" : choose_reply(run);

		if (len + strlen(reply) > sizeof(input))
			break;
		memcpy(input + len, reply, strlen(reply));
		len += strlen(reply);
		give = any(4) == 0 ? any((unsigned)len + 1) : len;
		if (run->sending && any(20) > 0)
			give = 0;	/* the content is still on its way */
		used = smtp_client_input(run->client, input, give);
		assert_true(used <= give);
		memmove(input, input + used, len - used);
		len -= used;
		answer_engine(run);
	}
	smtp_client_lost(run->client, "end");
	assert_true(run->finished);
	check_fates(run);
}

static void
test_random_servers(void **state)
{
	const struct smtp_client_params params = { .helo = "relay.example.org",
	    .tls = SMTP_CLIENT_TLS_STARTTLS, .username = "ann", .password = "secret" };
	unsigned seed = (unsigned)time(NULL), delivered = 0;

	(void)state;
	printf("# seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < ROUNDS; round++) {
		struct run *run = mem_zalloc(sizeof(*run));

		run->client = smtp_client_new(&params, &events, run);
		play(run);
		assert_false(run->secret_in_clear);
		delivered += run->delivered;
		smtp_client_free(run->client);
		envelope_free(run->envelope);
		free(run);
	}
	printf("# delivered %u\n", delivered);
	assert_true(delivered > ROUNDS / 10);	/* else the servers were too odd to test anything */
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random_servers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
