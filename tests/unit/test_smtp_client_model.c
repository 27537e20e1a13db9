/* test_smtp_client_model.c - the client's engine with a strict server of random moods. */
#include "proto/smtp_client.h"

#include "base/buf.h"
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

/* The server takes what it is sent at its own pace, answers as RFC 5321, 2920 and 3030 allow,
 * refuses and goes at random, and knows exactly what it took.  It never drops a transaction
 * that the client could have left open: a client that forgets RSET mixes two mails here. */
enum { MAILS = 5, RECIPIENTS = 4, CONTENT_MAX = 64, STEPS_MAX = 100000 };
#if defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 30000 };
#else
enum { ROUNDS = 100000 };
#endif

struct run;

struct mail {
	struct run *run;
	unsigned number;
	struct envelope *envelope;	/* NULL once all have their fate */
	size_t count;
	char content[CONTENT_MAX];
	size_t content_len;
	unsigned told, fates[RECIPIENTS];
	bool delivered[RECIPIENTS];	/* as the client says */
	bool written;			/* all of the content */
	bool in_bdat;
	/* As the server knows: */
	bool is_taken, taken[RECIPIENTS];
	size_t taken_at;		/* where in server.said the 2xx ends */
	bool taken_was_read;		/* by a client that was still there */
};

struct server {
	bool pipelining, chunking;
	struct buf in, out;
	size_t said;			/* octets ever put out */
	size_t read;			/* of them, by the client */
	unsigned unanswered;		/* commands whose replies the client has not read */
	bool open;			/* a transaction */
	struct mail *mail;		/* whose sender it has */
	bool accepted[RECIPIENTS];
	unsigned accepted_count;
	bool in_data;
	uint64_t chunk;			/* octets of a BDAT still to come */
	bool in_chunk;
	struct buf content;
	const char *reply;		/* the last one judged */
	size_t odd_at;			/* where the first that ends a session begins; 0: none */
	bool gone;			/* answers no more */
};

struct run {
	uint64_t random;
	struct smtp_client *client;
	struct server server;
	struct mail mails[MAILS];
	unsigned given;
	bool asked, finished, in_lost;
	struct mail *uploading;
	bool uploading_bdat;
	size_t uploaded;
	struct buf input;		/* given to the client in part */
};

static unsigned
any(struct run *run, unsigned count)
{
	run->random ^= run->random << 13;
	run->random ^= run->random >> 7;
	run->random ^= run->random << 17;
	return (unsigned)(run->random >> 33) % count;
}

/* --- the server --- */

static void
say(struct run *run, const char *reply)
{
	struct server *server = &run->server;

	buf_append_text(&server->out, reply);
	server->said += strlen(reply);
	if (strncmp(reply, "421", 3) == 0)
		server->gone = true;
}

/* Whether the session is refused, and yet what has been written is heard to its end: a mail
 * whose data is out may be taken all the same. */
static bool
is_heard_out(const struct run *run)
{
	if (strncmp(run->server.reply, "530", 3) != 0 && strncmp(run->server.reply, "535", 3) != 0)
		return false;
	for (unsigned i = 0; i < run->given; i++)
		if (!run->mails[i].in_bdat)
			return false;
	return true;
}

/* Mostly `good`; returns whether it was. */
static bool
judge(struct run *run, const char *good)
{
	static const char *const refusals[] = { "451 4.3.0 later\r\n", "450 x\r\n",
	    "550 5.1.1 no\r\n", "552 5.2.2 full\r\n", "452 4.5.3 many\r\n",
	    "554-5.7.1 no\r\n554 5.7.1 never\r\n", "550 no\r\n" };
	static const char *const odd[] = { "421 4.3.2 bye\r\n", "354 go\r\n", "530 5.7.0 auth\r\n",
	    "503 5.5.1 order\r\n", "535 5.7.8 who\r\n", "334 x\r\n", "999 x\r\n", "x\r\n",
	    "421 x\r\n", "220 x\r\n", "454 4.7.0 x\r\n" };

	struct server *server = &run->server;

	server->reply = good;
	if (any(run, 100) == 0) {
		server->reply = odd[any(run, sizeof(odd) / sizeof(odd[0]))];
		if (server->odd_at == 0 && !is_heard_out(run))
			server->odd_at = server->said;
	} else if (any(run, 10) == 0) {
		server->reply = refusals[any(run, sizeof(refusals) / sizeof(refusals[0]))];
	}
	say(run, server->reply);
	return server->reply == good;
}

static void
close_transaction(struct server *server)
{
	server->open = false;
	server->mail = NULL;
	server->accepted_count = 0;
	memset(server->accepted, 0, sizeof(server->accepted));
}

static void
on_content_end(struct run *run, bool bdat)
{
	struct server *server = &run->server;
	struct mail *mail = server->mail;

	if (server->accepted_count == 0) {
		say(run, any(run, 2) ? "554 5.5.1 no recipients\r\n" : "503 5.5.1 RCPT first\r\n");
		if (!bdat)
			close_transaction(server);
		return;
	}
	assert_non_null(mail);
	assert_int_equal(server->content.len, mail->content_len);
	assert_memory_equal(buf_octets(&server->content), mail->content, mail->content_len);
	if (!judge(run, "250 2.0.0 queued\r\n")) {
		/* A BDAT that fails leaves an indeterminate state, RFC 3030 2. */
		if (!bdat)
			close_transaction(server);
		return;
	}
	assert_false(mail->is_taken);	/* never twice */
	mail->is_taken = true;
	mail->taken_at = server->said;
	memcpy(mail->taken, server->accepted, sizeof(mail->taken));
	close_transaction(server);
}

static void
on_mail(struct run *run, const char *line)
{
	struct server *server = &run->server;
	unsigned number;

	assert_int_equal(sscanf(line, "MAIL FROM:<m%u@", &number), 1);
	assert_in_range(number, 0, MAILS - 1);
	assert_false(server->open);	/* else the mail would go to those of the one before */
	if (!judge(run, "250 2.1.0 ok\r\n"))
		return;
	server->open = true;
	server->mail = &run->mails[number];
}

static void
on_rcpt(struct run *run, const char *line)
{
	struct server *server = &run->server;
	unsigned number, i;

	assert_int_equal(sscanf(line, "RCPT TO:<r%u.%u@", &number, &i), 2);
	if (!server->open) {
		say(run, "503 5.5.1 MAIL first\r\n");
		return;
	}
	assert_int_equal(number, server->mail->number);
	assert_false(server->accepted[i]);
	if (!judge(run, any(run, 5) ? "250 2.1.5 ok\r\n" : "251 forwards\r\n"))
		return;
	server->accepted[i] = true;
	server->accepted_count++;
}

static void
on_data(struct run *run)
{
	struct server *server = &run->server;

	/* RFC 2920 3.1: 354 though there is nobody to send it to. */
	if (server->accepted_count == 0 && any(run, 2) == 0) {
		say(run, server->open ? "554 5.5.1 no recipients\r\n" : "503 5.5.1 MAIL\r\n");
		return;
	}
	judge(run, "354 go\r\n");
	server->in_data = strncmp(server->reply, "354", 3) == 0;
	buf_clear(&server->content);
}

static void
on_bdat(struct run *run, const char *line)
{
	unsigned long long size;
	char last[8];

	assert_int_equal(sscanf(line, "BDAT %llu %7s", &size, last), 2);
	assert_string_equal(last, "LAST");
	assert_true(run->server.chunking && run->server.pipelining);
	run->server.chunk = size;
	run->server.in_chunk = true;
	buf_clear(&run->server.content);
}

static void
on_command(struct run *run, const char *line)
{
	struct server *server = &run->server;

	if (strncmp(line, "EHLO ", 5) == 0) {
		say(run, "250-mail.example.net\r\n");
		if (server->pipelining)
			say(run, "250-PIPELINING\r\n");
		say(run, server->chunking ? "250 CHUNKING\r\n" : "250 8BITMIME\r\n");
	} else if (strncmp(line, "MAIL ", 5) == 0) {
		on_mail(run, line);
	} else if (strncmp(line, "RCPT ", 5) == 0) {
		on_rcpt(run, line);
	} else if (strcmp(line, "DATA") == 0) {
		on_data(run);
	} else if (strncmp(line, "BDAT ", 5) == 0) {
		on_bdat(run, line);
	} else if (strcmp(line, "RSET") == 0) {
		close_transaction(server);
		/* RFC 5321 4.2.2 knows nothing but 250. */
		if (!judge(run, "250 2.0.0 reset\r\n") && server->odd_at == 0)
			server->odd_at = server->said;
	} else if (strcmp(line, "QUIT") == 0) {
		say(run, "221 2.0.0 bye\r\n");
		server->gone = true;
	} else {
		fail_msg("the server does not know: %s", line);
	}
}

/* One line of commands or content, or some of a chunk. */
static bool
serve(struct run *run)
{
	struct server *server = &run->server;
	struct buf *in = &server->in;
	const char *end = memchr(buf_octets(in), '\n', in->len);
	size_t len = end == NULL ? 0 : (size_t)(end + 1 - buf_octets(in));
	char line[256];

	if (server->gone)
		return false;
	if (server->in_chunk) {
		len = in->len < server->chunk ? in->len : (size_t)server->chunk;
		buf_append(&server->content, buf_octets(in), len);
		buf_consume(in, len);
		server->chunk -= len;
		server->in_chunk = server->chunk > 0;
		if (!server->in_chunk)
			on_content_end(run, true);
		return len > 0 || !server->in_chunk;
	}
	if (len == 0)
		return false;
	if (server->in_data && strncmp(buf_octets(in), ".\r\n", 3) != 0) {
		buf_append(&server->content, buf_octets(in), len);
		buf_consume(in, len);
		return true;
	}
	assert_in_range(len, 2, sizeof(line) - 1);
	memcpy(line, buf_octets(in), len - 2);
	line[len - 2] = '\0';
	buf_consume(in, len);
	if (server->in_data) {
		server->in_data = false;
		on_content_end(run, false);
	} else {
		on_command(run, line);
	}
	return true;
}

/* --- the owner --- */

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_false(secret);
	assert_null(run->uploading);	/* a command within mail data would be mail data */
	if (!run->server.pipelining) {
		assert_ptr_equal(memchr(octets, '\n', len), octets + len - 1);
		/* RFC 5321 4.5.4: all before has been answered, and read. */
		assert_int_equal(run->server.in.len, 0);
		assert_int_equal(run->server.out.len, 0);
	}
	buf_append(&run->server.in, octets, len);
}

static void
on_start_tls(void *owner)
{
	(void)owner;
	fail();
}

static void
upload(struct run *run, size_t len)
{
	struct mail *mail = run->uploading;
	size_t left = mail->content_len - run->uploaded;

	if (len < left) {
		buf_append(&run->server.in, mail->content + run->uploaded, len);
		run->uploaded += len;
		return;
	}
	buf_append(&run->server.in, mail->content + run->uploaded, left);
	if (!run->uploading_bdat)
		buf_append_text(&run->server.in, ".\r\n");
	run->uploading = NULL;
	mail->written = true;
	smtp_client_data_sent(run->client);
}

static void
on_send_data(void *owner, void *cookie, bool bdat)
{
	struct run *run = owner;
	struct mail *mail = cookie;

	assert_false(run->finished);
	assert_null(run->uploading);
	assert_non_null(mail->envelope);
	/* No octet of it but behind 354, to those that were accepted. */
	if (!bdat) {
		assert_true(run->server.in_data && run->server.mail == mail);
		assert_true(run->server.accepted_count > 0);
	}
	run->uploading = mail;
	run->uploading_bdat = mail->in_bdat = bdat;
	run->uploaded = 0;
	if (any(run, 2))
		upload(run, mail->content_len);
}

static void
give_mail(struct run *run)
{
	struct mail *mail = &run->mails[run->given];
	struct smtp_client_mail what = { .in_memory = any(run, 3) > 0, .cookie = mail };
	struct address address = { "", "example.net" };

	run->asked = false;
	if (run->given == MAILS || any(run, 20) == 0) {
		smtp_client_quit(run->client);
		return;
	}
	run->given++;
	snprintf(address.local, sizeof(address.local), "m%u", mail->number);
	mail->envelope = envelope_new(&address);
	mail->count = what.count = 1 + any(run, RECIPIENTS);
	for (unsigned i = 0; i < mail->count; i++) {
		snprintf(address.local, sizeof(address.local), "r%u.%u", mail->number, i);
		envelope_add(mail->envelope, &address);
	}
	mail->content_len = (size_t)snprintf(mail->content, sizeof(mail->content),
	    "Subject: %u\r\n\r\n%.*s\r\n", mail->number, (int)any(run, 40),
	    "RSET QUIT MAIL FROM:<m0@example.net> RCPT");
	mail->envelope->size = mail->content_len;
	what.envelope = mail->envelope;
	smtp_client_mail(run->client, &what);
}

static void
on_ready(void *owner)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_false(run->asked);
	assert_null(run->uploading);
	run->asked = true;
	if (any(run, 4) == 0)
		give_mail(run);
}

static void
on_recipient(void *owner, void *cookie, size_t index, const struct status *status)
{
	struct run *run = owner;
	struct mail *mail = cookie;

	assert_false(run->finished);
	assert_true(index < mail->count);
	assert_int_equal(++mail->fates[index], 1);
	assert_true(smtp_client_mail_was_sent(run->client) ||
	    smtp_client_session_refused(run->client));
	/* The content of a BDAT is not asked back in the middle. */
	assert_false(run->uploading == mail && run->uploading_bdat && !run->in_lost);
	if (status_class(status) == STATUS_SUCCESS) {
		assert_true(mail->written);
		assert_true(mail->taken[index]);
		assert_string_equal(smtp_client_reply_step(run->client), "end of data");
		mail->delivered[index] = true;
	}
	if (smtp_client_is_untouched(run->client) && !mail->in_bdat)
		assert_false(mail->is_taken);
	if (++mail->told < mail->count)
		return;
	/* "Borrowed until its last on_recipient()": the sanitizer sees who still looks. */
	envelope_free(mail->envelope);
	mail->envelope = NULL;
}

static void
on_finished(void *owner, const struct status *status)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_int_not_equal(status_class(status), STATUS_PERMANENT);
	for (unsigned i = 0; i < run->given; i++)
		assert_int_equal(run->mails[i].told, run->mails[i].count);
	run->finished = true;
}

static const struct smtp_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .send_data = on_send_data, .on_ready = on_ready,
	.on_recipient = on_recipient, .on_finished = on_finished,
};

/* --- one run --- */

/* Some octets of what the server has said. */
static bool
read_some(struct run *run)
{
	struct server *server = &run->server;
	size_t len = server->out.len;
	size_t used;

	if (len == 0)
		return false;
	if (any(run, 3) == 0)
		len = 1 + any(run, (unsigned)len);
	buf_append(&run->input, buf_octets(&server->out), len);
	buf_consume(&server->out, len);
	server->read += len;
	for (unsigned i = 0; i < run->given; i++) {
		struct mail *mail = &run->mails[i];

		if (mail->is_taken && !mail->taken_was_read && server->read >= mail->taken_at)
			mail->taken_was_read = !run->finished;
	}
	used = smtp_client_input(run->client, buf_octets(&run->input), run->input.len);
	buf_consume(&run->input, used);
	assert_true(run->input.len < 100);
	return true;
}

static bool
own(struct run *run)
{
	if (run->uploading != NULL)
		upload(run, 1 + any(run, CONTENT_MAX));
	else if (run->asked)
		give_mail(run);
	else
		return false;
	return true;
}

/* Each in its turn at random; false when none of the three can do anything more. */
static bool
step(struct run *run)
{
	static bool (*const actors[])(struct run *) = { serve, read_some, own };
	unsigned first = any(run, 3);

	for (unsigned i = 0; i < 3; i++)
		if (actors[(first + i) % 3](run))
			return true;
	return false;
}

static void
check(const struct run *run)
{
	const size_t odd_at = run->server.odd_at;

	for (unsigned n = 0; n < run->given; n++) {
		const struct mail *mail = &run->mails[n];

		assert_int_equal(mail->told, mail->count);
		for (size_t i = 0; i < mail->count; i++) {
			/* Delivered is what was taken, and heard of before all ended. */
			if (mail->delivered[i])
				assert_true(mail->taken[i]);
			if (mail->taken[i] && mail->taken_was_read &&
			    (odd_at == 0 || odd_at >= mail->taken_at))
				assert_true(mail->delivered[i]);
		}
	}
}

static void
free_run(struct run *run)
{
	smtp_client_free(run->client);
	for (unsigned i = 0; i < MAILS; i++)
		envelope_free(run->mails[i].envelope);
	buf_free(&run->server.in);
	buf_free(&run->server.out);
	buf_free(&run->server.content);
	buf_free(&run->input);
	free(run);
}

/* Returns the recipients that were delivered. */
static unsigned
play(uint64_t run_seed)
{
	const struct smtp_client_params params = { .helo = "relay.example.org" };
	struct run *run = mem_zalloc(sizeof(*run));
	unsigned delivered = 0, steps = 0, closes_at;

	run->random = run_seed * 0x9e3779b97f4a7c15u | 1;
	for (unsigned i = 0; i < 10; i++)
		any(run, 2);
	for (unsigned i = 0; i < MAILS; i++)
		run->mails[i] = (struct mail){ .run = run, .number = i };
	run->server.pipelining = any(run, 4) > 0;
	run->server.chunking = any(run, 2) > 0;
	closes_at = any(run, 3) > 0 ? STEPS_MAX : any(run, 200);
	run->client = smtp_client_new(&params, &events, run);
	say(run, "220 mail.example.net\r\n");
	while (!run->finished && steps < closes_at && step(run))
		assert_true(++steps < STEPS_MAX);
	/* Nobody waits for ever: the dialogue has ended, or the peer has gone. */
	assert_true(run->finished || run->server.gone || steps == closes_at);
	run->in_lost = true;
	smtp_client_lost(run->client, "closed");
	assert_true(run->finished);
	check(run);
	for (unsigned n = 0; n < MAILS; n++)
		for (unsigned i = 0; i < RECIPIENTS; i++)
			delivered += run->mails[n].delivered[i];
	free_run(run);
	return delivered;
}

static uint64_t seed;

static void
test_model(void **state)
{
	const char *given = getenv("HERALD_SEED");
	unsigned rounds = given != NULL ? 1 : ROUNDS;
	unsigned long delivered = 0;

	(void)state;
	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * ROUNDS;
	printf("# %u seeds from %llu on\n", rounds, (unsigned long long)seed);
	fflush(stdout);
	for (; rounds > 0; rounds--, seed++)
		delivered += play(seed);
	printf("# delivered %lu\n", delivered);
	assert_true(given != NULL || delivered > ROUNDS);
}

static int
say_seed(void **state)
{
	(void)state;
	printf("# last: HERALD_SEED=%llu\n", (unsigned long long)seed);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test_teardown(test_model, say_seed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
