/* test_smtp_client.c - the client's engine against hostile servers, and SCRAM with honest ones. */
#include "proto/smtp_client.h"

#include "base/buf.h"
#include "base/mem.h"
#include "mail/envelope.h"
#include "proto/sasl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <cmocka.h>

enum { RECIPIENTS_MAX = 5, ROUNDS = 60000, REPLIES_MAX = 60, OPEN_MAX = 2 };

struct mail {
	struct envelope *envelope;	/* NULL: none is open here */
	size_t told;
	unsigned fates[RECIPIENTS_MAX];
	bool content_is_out;		/* the whole of this mail was sent, with its end */
};

struct run {
	struct smtp_client_params params;
	struct smtp_client *client;
	struct mail mails[OPEN_MAX];
	struct mail *sending;
	bool bdat;
	bool ready, started_tls, finished;
	bool secured;
	unsigned delivered;
};

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct run *run = owner;
	bool is_auth = strncmp(octets, "AUTH", 4) == 0;

	assert_false(run->finished);
	assert_null(run->sending);
	assert_true(len >= 2);
	assert_memory_equal(octets + len - 2, "\r\n", 2);
	if (run->secured)
		return;
	/* In clear there is nothing but SCRAM, and not even that where TLS was hoped for. */
	if (is_auth)
		assert_true(strncmp(octets, "AUTH SCRAM-SHA-256 ", 19) == 0);
	if (run->params.tls != SMTP_CLIENT_TLS_NONE)
		assert_false(is_auth || secret);
	/* Before the handshake of a session that has to have one nothing of a mail is said. */
	if (run->params.tls == SMTP_CLIENT_TLS_STARTTLS)
		assert_int_not_equal(strncmp(octets, "MAIL", 4), 0);
}

static void
on_start_tls(void *owner)
{
	((struct run *)owner)->started_tls = true;
}

static void
on_send_data(void *owner, void *cookie, bool bdat)
{
	struct run *run = owner;

	assert_null(run->sending);
	run->sending = cookie;
	run->bdat = bdat;
}

static void
on_ready(void *owner)
{
	((struct run *)owner)->ready = true;
}

static void
on_recipient(void *owner, void *cookie, size_t index, const struct status *status)
{
	struct run *run = owner;
	struct mail *mail = cookie;

	assert_false(run->finished);
	assert_non_null(mail->envelope);
	assert_true(index < mail->envelope->recipient_count);
	assert_int_equal(++mail->fates[index], 1);
	if (status_class(status) == STATUS_SUCCESS) {
		assert_true(mail->content_is_out);
		run->delivered++;
	}
	if (++mail->told < mail->envelope->recipient_count)
		return;
	envelope_free(mail->envelope);
	mail->envelope = NULL;
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
	static const char *const offers[] = {
		"250-x\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n",
		"250-x\r\n250-SIZE 1000\r\n250-STARTTLS\r\n250 AUTH LOGIN CRAM-MD5\r\n",
		"250-x\r\n250-STARTTLS\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN\r\n",
		"250-x\r\n250-PIPELINING\r\n250-DSN\r\n250 AUTH PLAIN SCRAM-SHA-256\r\n",
	};
	const struct { const char *step, *reply; } due[] = {
		{ "greeting", "220 x\r\n" }, { "STARTTLS", "220 go\r\n" },
		{ "AUTH", any(4) ? "235 ok\r\n" : "504 5.5.4 no\r\n" },
		{ "EHLO", offers[any(4)] }, { "DATA", "354 go\r\n" },
	};

	if (any(25) == 0)
		return odd[any(sizeof(odd) / sizeof(odd[0]))];
	for (size_t i = 0; i < sizeof(due) / sizeof(due[0]); i++)
		if (strcmp(step, due[i].step) == 0)
			return due[i].reply;
	return any(5) == 0 ? "550 5.1.1 no\r\n" : "250 ok\r\n";
}

static void
give_mail(struct run *run)
{
	const struct address address = { "bob", "example.net" };
	struct smtp_client_mail mail = { .eight_bit = any(20) == 0, .in_memory = any(2) == 0 };
	struct mail *slot = run->mails[0].envelope == NULL ? &run->mails[0] : &run->mails[1];

	assert_null(slot->envelope);	/* more than two are never open */
	run->ready = false;
	if (any(10) == 0) {
		smtp_client_quit(run->client);
		return;
	}
	*slot = (struct mail){ .envelope = envelope_new(&address) };
	slot->envelope->size = any(10) == 0 ? 5000 : 500;
	mail.count = 1 + any(RECIPIENTS_MAX);
	for (size_t i = 0; i < mail.count; i++)
		envelope_add(slot->envelope, &address);
	mail.envelope = slot->envelope;
	mail.cookie = slot;
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
	} else if (run->sending != NULL && any(3) > 0) {
		run->sending->content_is_out = true;
		run->sending = NULL;
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
		if (run->sending != NULL && any(20) > 0)
			give = 0;	/* the content is still on its way */
		used = smtp_client_input(run->client, input, give);
		assert_true(used <= give);
		memmove(input, input + used, len - used);
		len -= used;
		answer_engine(run);
	}
	smtp_client_lost(run->client, "end");
	assert_true(run->finished);
	for (size_t i = 0; i < OPEN_MAX; i++)
		assert_null(run->mails[i].envelope);
}

static void
test_random_servers(void **state)
{
	static const enum smtp_client_tls policies[] = { SMTP_CLIENT_TLS_NONE,
	    SMTP_CLIENT_TLS_OPPORTUNISTIC, SMTP_CLIENT_TLS_STARTTLS, SMTP_CLIENT_TLS_STARTTLS };
	unsigned seed = (unsigned)time(NULL), delivered = 0;

	(void)state;
	printf("# seed %u\n", seed);
	srand(seed);
	for (int round = 0; round < ROUNDS; round++) {
		struct run *run = mem_zalloc(sizeof(*run));

		run->params = (struct smtp_client_params){ .helo = "relay.example.org",
		    .tls = policies[any(4)], .password = "secret",
		    .username = any(4) ? "ann" : NULL };
		run->client = smtp_client_new(&run->params, &events, run);
		play(run);
		delivered += run->delivered;
		smtp_client_free(run->client);
		free(run);
	}
	printf("# delivered %u\n", delivered);
	assert_true(delivered > ROUNDS / 10);	/* else the servers were too odd to test anything */
}

/* All replies to a mail in BDAT may come when the server is done with its data, and not
 * before: nobody is given up, and sent the mail again, while it is at that. */
static void
test_time_for_bdat(void **state)
{
	static const char hello[] = "220 x\r\n250-x\r\n250-PIPELINING\r\n250 CHUNKING\r\n";
	const struct address address = { "bob", "example.net" };
	struct mail mail = { .envelope = envelope_new(&address) };
	struct smtp_client_mail sent = { .envelope = mail.envelope, .count = 1, .in_memory = true,
	    .cookie = &mail };
	struct run run = { .params = { .helo = "relay.example.org" } };

	(void)state;
	envelope_add(mail.envelope, &address);
	run.client = smtp_client_new(&run.params, &events, &run);
	smtp_client_input(run.client, hello, 7);
	smtp_client_input(run.client, hello + 7, sizeof(hello) - 8);
	assert_true(run.ready);
	smtp_client_mail(run.client, &sent);
	assert_true(run.bdat);
	assert_int_equal(smtp_client_timeout(run.client), 180);
	run.sending = NULL;
	mail.content_is_out = true;
	smtp_client_data_sent(run.client);
	assert_string_equal(smtp_client_step(run.client), "MAIL FROM");
	assert_int_equal(smtp_client_timeout(run.client), 600);
	smtp_client_input(run.client, "250 ok\r\n", 8);
	assert_string_equal(smtp_client_step(run.client), "RCPT TO");
	assert_int_equal(smtp_client_timeout(run.client), 600);
	smtp_client_input(run.client, "250 ok\r\n250 ok\r\n", 16);
	assert_int_equal(run.delivered, 1);
	smtp_client_free(run.client);
}

/* --- SCRAM-SHA-256: a server that knows the password, RFC 5802 3 --- */

struct scram {
	struct smtp_client *client;
	struct buf sent;		/* the last line of the client, base64 decoded */
	bool ready, finished;
	struct status fault;
};

static void
scram_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct scram *scram = owner;
	size_t start = strncmp(octets, "AUTH SCRAM-SHA-256 ", 19) == 0 ? 19 : 0;

	buf_clear(&scram->sent);
	if (secret)
		assert_true(base64_decode(&scram->sent, octets + start, len - start - 2));
}

static void
scram_ready(void *owner)
{
	((struct scram *)owner)->ready = true;
}

static void
scram_finished(void *owner, const struct status *status)
{
	((struct scram *)owner)->finished = true;
	((struct scram *)owner)->fault = *status;
}

static const struct smtp_client_events scram_events = {
	.send = scram_send, .on_ready = scram_ready, .on_finished = scram_finished,
};

static void
answer(struct scram *scram, const char *code, const char *text)
{
	struct buf line = { 0 };

	buf_append_text(&line, code);
	base64_encode(&line, text, strlen(text));
	buf_append_text(&line, "\r\n");
	assert_int_equal(smtp_client_input(scram->client, buf_octets(&line), line.len), line.len);
	buf_free(&line);
}

static void
hmac(const unsigned char key[32], const char *text, size_t len, unsigned char out[32])
{
	unsigned out_len;

	assert_non_null(HMAC(EVP_sha256(), key, 32, (const unsigned char *)text, len, out,
	    &out_len));
}

/* Returns "v=..." of a server whose user has this password. */
static char *
prove(const char *password, const struct buf *exchange)
{
	unsigned char salted[32], key[32], signature[32];
	struct buf text = { 0 };
	char *out;

	assert_int_equal(PKCS5_PBKDF2_HMAC(password, (int)strlen(password),
	    (const unsigned char *)"salt", 4, 4096, EVP_sha256(), 32, salted), 1);
	hmac(salted, "Server Key", 10, key);
	hmac(key, buf_octets(exchange), exchange->len, signature);
	buf_append_text(&text, "v=");
	base64_encode(&text, signature, sizeof(signature));
	out = mem_strdup(buf_text(&text));
	buf_free(&text);
	return out;
}

/* Plays up to the server's proof; its password may be another than ours. */
static void
play_scram(struct scram *scram, const char *password, bool says_proof)
{
	static const struct smtp_client_params params = { .helo = "relay.example.org",
	    .username = "ann", .password = "secret" };
	static const char hello[] = "220 x\r\n", offers[] = "250-x\r\n250 AUTH SCRAM-SHA-256\r\n";
	struct buf exchange = { 0 };
	char *first, *proof;
	const char *end;

	scram->client = smtp_client_new(&params, &scram_events, scram);
	smtp_client_input(scram->client, hello, strlen(hello));
	smtp_client_input(scram->client, offers, strlen(offers));
	/* "n,,n=ann,r=NONCE" */
	assert_memory_equal(buf_octets(&scram->sent), "n,,n=ann,r=", 11);
	buf_append(&exchange, buf_octets(&scram->sent) + 3, scram->sent.len - 3);
	first = mem_printf("r=%.*sOURS,s=c2FsdA==,i=4096", (int)(scram->sent.len - 11),
	    buf_octets(&scram->sent) + 11);
	buf_appendf(&exchange, ",%s,", first);
	answer(scram, "334 ", first);
	/* "c=biws,r=NONCEOURS,p=PROOF": the proof is judged by tests of SASL. */
	end = memmem(buf_octets(&scram->sent), scram->sent.len, ",p=", 3);
	assert_non_null(end);
	buf_append(&exchange, buf_octets(&scram->sent), (size_t)(end - buf_octets(&scram->sent)));
	proof = prove(password, &exchange);
	if (says_proof)
		answer(scram, "334 ", proof);
	if (!scram->finished)
		smtp_client_input(scram->client, "235 ok\r\n", 8);
	free(first);
	free(proof);
	buf_free(&exchange);
}

static void
end_scram(struct scram *scram)
{
	smtp_client_free(scram->client);
	buf_free(&scram->sent);
}

static void
test_scram_proved(void **state)
{
	struct scram scram = { 0 };

	(void)state;
	play_scram(&scram, "secret", true);
	assert_true(scram.ready);
	assert_int_equal(scram.sent.len, 0);	/* an empty line answered the proof */
	end_scram(&scram);
}

static void
test_scram_false_proof(void **state)
{
	struct scram scram = { 0 };

	(void)state;
	play_scram(&scram, "another", true);
	assert_true(scram.finished && !scram.ready);
	assert_int_equal(status_class(&scram.fault), STATUS_TRANSIENT);
	end_scram(&scram);
}

static void
test_scram_no_proof(void **state)
{
	struct scram scram = { 0 };

	(void)state;
	play_scram(&scram, "secret", false);
	assert_true(scram.finished && !scram.ready);
	assert_non_null(strstr(scram.fault.text, "not proved"));
	end_scram(&scram);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_servers),
		cmocka_unit_test(test_time_for_bdat),
		cmocka_unit_test(test_scram_proved),
		cmocka_unit_test(test_scram_false_proof),
		cmocka_unit_test(test_scram_no_proof),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
