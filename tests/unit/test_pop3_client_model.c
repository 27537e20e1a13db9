/* test_pop3_client_model.c - the POP3 engine with a strict server of random moods. */
#include "proto/pop3_client.h"

#include "base/buf.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* The server knows what is in its mailbox and takes commands at its own pace, as RFC 1939, 2449,
 * 2595 and 5034 allow them.  It refuses, speaks nonsense and goes at random; what it says comes
 * cut anywhere.  The owner asks for what it likes.  In the end both must have the same messages,
 * and the client must not believe in a deletion that was not. */
enum { MESSAGES = 6, CONTENT_MAX = 200, STEPS_MAX = 100000, WINDOW = 16 };
#if defined(__SANITIZE_ADDRESS__)
enum { ROUNDS = 30000 };
#else
enum { ROUNDS = 100000 };
#endif

struct message {
	char content[CONTENT_MAX];
	size_t len;
	bool marked, gone;		/* by DELE, by QUIT */
};

struct asked {
	enum pop3_command command;
	unsigned number, lines;
};

struct server {
	bool knows_capa, stls, plain, pipelining, has_uidl;
	bool secure, in, gone, spoke_nonsense;
	struct message messages[MESSAGES];
	unsigned count;
	struct buf input, output;
	unsigned commands;		/* taken, and their replies not read to the end */
};

struct run {
	uint64_t random;
	struct pop3_client *client;
	struct server server;
	struct buf input;		/* given to the client in part */
	enum pop3_tls tls;
	bool handshake, ready, listing, listed, quit, finished;
	enum pop3_end end;
	unsigned listed_count, uidl_count;
	struct asked asked[64];
	unsigned asked_count, done_count;
	struct buf content;		/* of the message that comes */
	bool deleted[MESSAGES];		/* as the client says */
	unsigned long retrieved;
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
say(struct run *run, const char *text)
{
	buf_append_text(&run->server.output, text);
}

/* Mostly `good`; returns whether it was. */
static bool
judge(struct run *run, const char *good)
{
	static const char *const refusals[] = { "-ERR\r\n", "-ERR no\r\n",
	    "-ERR [SYS/TEMP] x\r\n" };
	static const char *const odd[] = { "OK\r\n", "\r\n", "+ok\r\n", "1 120\r\n", "+OKAY\r\n",
	    ".\r\n", "+OK\n", "\r+OK\r\n" };

	if (any(run, 200) == 0) {
		say(run, odd[any(run, sizeof(odd) / sizeof(odd[0]))]);
		run->server.spoke_nonsense = true;
		return false;
	}
	if (any(run, 15) == 0) {
		say(run, refusals[any(run, sizeof(refusals) / sizeof(refusals[0]))]);
		return false;
	}
	say(run, good);
	return true;
}

/* Line by line, dots doubled (RFC 1939 3); TOP: the header and so many lines. */
static void
say_content(struct run *run, const struct message *message, bool whole, unsigned lines)
{
	struct buf *out = &run->server.output;
	bool in_body = false;
	size_t at = 0;

	while (at < message->len && (whole || !in_body || lines > 0)) {
		const char *line = message->content + at;
		const char *end = memmem(line, message->len - at, "\r\n", 2);
		size_t len = (size_t)(end + 2 - line);

		if (line[0] == '.')
			buf_append(out, ".", 1);
		buf_append(out, line, len);
		at += len;
		lines -= in_body && lines > 0;
		in_body = in_body || len == 2;
	}
	say(run, ".\r\n");
}

static void
on_capa(struct run *run)
{
	if (!run->server.knows_capa) {
		say(run, "-ERR unknown command\r\n");
		return;
	}
	say(run, "+OK\r\nUSER\r\n");
	if (run->server.stls && !run->server.secure)
		say(run, "STLS\r\n");
	if (run->server.plain)
		say(run, "SASL CRAM-MD5 PLAIN\r\n");
	if (run->server.pipelining)
		say(run, "PIPELINING\r\n");
	say(run, any(run, 2) ? "TOP\r\n.\r\n" : "UIDL\r\nIMPLEMENTATION x\r\n.\r\n");
}

static void
on_list(struct run *run, const char *verb)
{
	struct server *server = &run->server;

	if (strcmp(verb, "STAT") == 0) {
		buf_appendf(&server->output, "+OK %u 1000\r\n", server->count);
		return;
	}
	if (strcmp(verb, "UIDL") == 0 && !server->has_uidl) {
		say(run, "-ERR unknown command\r\n");
		return;
	}
	say(run, "+OK\r\n");
	for (unsigned i = 1; i <= server->count; i++) {
		if (strcmp(verb, "LIST") == 0)
			buf_appendf(&server->output, "%u %zu\r\n", i, server->messages[i - 1].len);
		else
			buf_appendf(&server->output, "%u u%u\r\n", i, i);
	}
	say(run, ".\r\n");
}

static void
on_message_command(struct run *run, const char *line)
{
	char verb[8];
	unsigned number, lines = 0;
	struct message *message;

	assert_true(sscanf(line, "%7s %u %u", verb, &number, &lines) >= 2);
	assert_in_range(number, 1, run->server.count);
	message = &run->server.messages[number - 1];
	if (message->marked) {
		say(run, "-ERR it is deleted\r\n");
	} else if (judge(run, "+OK message follows\r\n")) {
		if (strcmp(verb, "DELE") == 0)
			message->marked = true;
		else
			say_content(run, message, strcmp(verb, "RETR") == 0, lines);
	}
}

static void
on_quit(struct run *run)
{
	struct server *server = &run->server;

	server->gone = true;
	if (!server->in) {
		say(run, "+OK\r\n");
		return;
	}
	assert_true(run->quit);
	/* What was asked before is answered, and read: the client knows what it deletes. */
	assert_int_equal(server->commands, 1);
	if (!judge(run, "+OK bye\r\n"))
		return;
	for (unsigned i = 0; i < server->count; i++)
		server->messages[i].gone = server->messages[i].marked;
}

static void
on_login(struct run *run, const char *line)
{
	struct server *server = &run->server;

	assert_true(server->secure || run->tls == POP3_TLS_NONE);
	if (strcmp(line, "USER ann") == 0) {
		assert_false(server->plain && server->knows_capa);
		judge(run, "+OK\r\n");
		return;
	}
	if (strncmp(line, "AUTH ", 5) == 0)
		assert_string_equal(line, "AUTH PLAIN AGFubgBzZWNyZXQ=");
	else
		assert_string_equal(line, "PASS secret");
	server->in = judge(run, "+OK\r\n");
}

static void
on_command(struct run *run, const char *line)
{
	struct server *server = &run->server;

	if (strcmp(line, "CAPA") == 0) {
		on_capa(run);
	} else if (strcmp(line, "QUIT") == 0) {
		on_quit(run);
	} else if (strcmp(line, "STLS") == 0) {
		assert_false(server->secure || server->in);
		if (server->stls)
			judge(run, "+OK\r\n");
		else
			say(run, "-ERR\r\n");
	} else if (!server->in) {
		on_login(run, line);
	} else if (strcmp(line, "STAT") == 0 || strcmp(line, "LIST") == 0 ||
	    strcmp(line, "UIDL") == 0) {
		on_list(run, line);
	} else {
		on_message_command(run, line);
	}
}

static bool
serve(struct run *run)
{
	struct buf *in = &run->server.input;
	const char *end = memchr(buf_octets(in), '\n', in->len);
	size_t len = end == NULL ? 0 : (size_t)(end + 1 - buf_octets(in));
	char line[256];

	if (len == 0 || run->server.gone)
		return false;
	assert_in_range(len, 2, sizeof(line) - 1);
	memcpy(line, buf_octets(in), len - 2);
	line[len - 2] = '\0';
	buf_consume(in, len);
	on_command(run, line);
	return true;
}

/* --- the owner --- */

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct run *run = owner;
	unsigned lines = 0;

	assert_false(run->finished);
	for (size_t i = 0; i < len; i++)
		lines += octets[i] == '\n';
	assert_int_equal(secret,
	    memcmp(octets, "PASS ", 5) == 0 || memcmp(octets, "AUTH ", 5) == 0);
	run->server.commands += lines;
	if (run->ready && run->server.pipelining && run->server.knows_capa) {
		/* The end of LIST is not told of before that of UIDL. */
		assert_in_range(run->server.commands, 1, WINDOW + 1);
	} else {
		assert_int_equal(lines, 1);
		assert_int_equal(run->server.input.len, 0);
		assert_int_equal(run->server.output.len, 0);
	}
	buf_append(&run->server.input, octets, len);
}

static void
on_start_tls(void *owner)
{
	struct run *run = owner;

	assert_int_equal(run->tls, POP3_TLS_STLS);
	run->handshake = true;
}

/* A reply has been read. */
static void
answered(struct run *run)
{
	assert_true(run->server.commands > 0);
	run->server.commands--;
}

static void
on_welcome(void *owner, const char *text, size_t len)
{
	(void)owner;
	assert_int_equal(len, 7);
	assert_memory_equal(text, "welcome", 7);
}

static void
on_ready(void *owner)
{
	struct run *run = owner;

	assert_true(run->server.in);
	run->ready = true;
	/* Those of the login have all been answered. */
	run->server.commands = 0;
}

static void
on_mailbox(void *owner, uint64_t count, uint64_t octets)
{
	struct run *run = owner;

	answered(run);
	assert_int_equal(count, run->server.count);
	assert_int_equal(octets, 1000);
}

static void
on_message(void *owner, unsigned number, uint64_t octets)
{
	struct run *run = owner;

	assert_int_equal(number, ++run->listed_count);
	assert_int_equal(octets, run->server.messages[number - 1].len);
}

static void
on_uidl(void *owner, unsigned number, const char *uidl)
{
	struct run *run = owner;
	char expected[16];

	assert_int_equal(number, ++run->uidl_count);
	snprintf(expected, sizeof(expected), "u%u", number);
	assert_string_equal(uidl, expected);
}

static void
on_listed(void *owner, bool has_uidl)
{
	struct run *run = owner;

	answered(run);
	answered(run);
	assert_int_equal(run->listed_count, run->server.count);
	assert_int_equal(has_uidl, run->server.has_uidl);
	run->listed = true;
}

static void
on_content(void *owner, unsigned number, const char *octets, size_t len)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_true(run->done_count < run->asked_count);
	assert_int_equal(number, run->asked[run->done_count].number);
	buf_append(&run->content, octets, len);
}

/* Octets of the header, the empty line, and so many lines. */
static size_t
top_len(const struct message *message, unsigned lines)
{
	const char *end = message->content + message->len, *at = message->content;
	bool in_body = false;

	while (at < end && (!in_body || lines > 0)) {
		bool empty = at[0] == '\r' && at[1] == '\n';

		if (in_body)
			lines--;
		at = (const char *)memmem(at, (size_t)(end - at), "\r\n", 2) + 2;
		in_body = in_body || empty;
	}
	return (size_t)(at - message->content);
}

static void
on_done(void *owner, enum pop3_command command, unsigned number, bool good, const char *text,
    size_t len)
{
	struct run *run = owner;
	const struct asked *asked = &run->asked[run->done_count++];
	const struct message *message = &run->server.messages[number - 1];
	size_t expected = command == POP3_TOP ? top_len(message, asked->lines) : message->len;

	(void)text;
	(void)len;
	assert_false(run->finished);
	assert_true(run->done_count <= run->asked_count);
	assert_int_equal(command, asked->command);
	assert_int_equal(number, asked->number);
	answered(run);
	if (command == POP3_DELE) {
		assert_true(!good || message->marked);
		run->deleted[number - 1] |= good;
	} else {
		assert_int_equal(run->content.len, good ? expected : 0);
		assert_memory_equal(buf_octets(&run->content), message->content, run->content.len);
		run->retrieved += good;
	}
	buf_clear(&run->content);
}

static void
on_finished(void *owner, enum pop3_end end, const char *text)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_true(strlen(text) > 0);
	assert_null(strstr(text, "secret"));
	run->finished = true;
	run->end = end;
}

static const struct pop3_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .on_welcome = on_welcome,
	.on_ready = on_ready, .on_mailbox = on_mailbox, .on_message = on_message,
	.on_uidl = on_uidl, .on_listed = on_listed, .on_content = on_content,
	.on_done = on_done, .on_finished = on_finished,
};

static void
ask(struct run *run)
{
	struct asked *asked = &run->asked[run->asked_count];

	asked->number = 1 + any(run, run->server.count);
	asked->lines = any(run, 4);
	asked->command = (enum pop3_command[]){ POP3_RETR, POP3_TOP, POP3_DELE }[any(run, 3)];
	run->asked_count++;
	if (asked->command == POP3_RETR)
		pop3_client_retrieve(run->client, asked->number);
	else if (asked->command == POP3_TOP)
		pop3_client_top(run->client, asked->number, asked->lines);
	else
		pop3_client_delete(run->client, asked->number);
}

static bool
own(struct run *run)
{
	if (run->handshake) {
		run->handshake = false;
		run->server.secure = true;
		pop3_client_secured(run->client);
		return true;
	}
	if (!run->ready || run->quit)
		return false;
	if (!run->listing && any(run, 2) == 0) {
		run->listing = true;
		pop3_client_list(run->client);
	}
	for (unsigned n = any(run, 24); n > 0 && run->server.count > 0; n--)
		if (run->asked_count < sizeof(run->asked) / sizeof(run->asked[0]))
			ask(run);
	if (any(run, 3) == 0) {
		run->quit = true;
		pop3_client_quit(run->client);
	}
	return true;
}

/* Some of what the server said; returns whether there was any. */
static bool
bring(struct run *run)
{
	struct buf *out = &run->server.output;
	size_t len = out->len, used;

	if (len == 0)
		return false;
	if (any(run, 3) > 0)
		len = 1 + any(run, (unsigned)(len < 40 ? len : 40));
	buf_append(&run->input, buf_octets(out), len);
	buf_consume(out, len);
	used = pop3_client_input(run->client, buf_octets(&run->input), run->input.len);
	buf_consume(&run->input, used);
	assert_true(run->input.len < POP3_LINE_MAX);
	return true;
}

/* --- a round --- */

static void
fill_mailbox(struct run *run)
{
	static const char *const pieces[] = { "A: b\r\n", "\r\n", ".\r\n", "..\r\n", ".a\r\n",
	    "text\r\n", "a\r.\r\n", "a\n.\r\n", "\n.\nx\r\n", "\r\r\n", "-ERR\r\n", "+OK\r\n" };
	struct server *server = &run->server;

	server->count = any(run, MESSAGES + 1);
	for (unsigned i = 0; i < server->count; i++) {
		struct message *message = &server->messages[i];

		for (unsigned n = any(run, 12); n > 0; n--) {
			const char *piece = pieces[any(run, sizeof(pieces) / sizeof(pieces[0]))];

			memcpy(message->content + message->len, piece, strlen(piece));
			message->len += strlen(piece);
		}
		for (size_t at = 0; at < message->len; at++)
			if (message->content[at] == 'x' && any(run, 2) == 0)
				message->content[at] = '\0';
	}
}

static void
check(struct run *run)
{
	const struct server *server = &run->server;

	for (unsigned i = 0; i < server->count; i++) {
		if (run->end == POP3_END_QUIT)
			assert_int_equal(run->deleted[i], server->messages[i].gone);
		else if (run->deleted[i])
			assert_true(server->messages[i].marked);
		/* Nothing is deleted that was not asked for. */
		if (server->messages[i].gone)
			assert_true(run->deleted[i] && run->quit);
	}
	if (run->end == POP3_END_QUIT) {
		assert_int_equal(run->done_count, run->asked_count);
		assert_int_equal(run->listed, run->listing);
		assert_false(server->spoke_nonsense);
	}
	assert_true(run->end != POP3_END_PROTOCOL || server->spoke_nonsense);
	assert_true(run->end != POP3_END_LIMIT);
	assert_true(run->end != POP3_END_NO_TLS || run->tls == POP3_TLS_STLS);
}

static bool
step(struct run *run)
{
	switch (any(run, 3)) {
	case 0:
		return serve(run) || bring(run) || own(run);
	case 1:
		return bring(run) || own(run) || serve(run);
	default:
		return own(run) || serve(run) || bring(run);
	}
}

static unsigned long
play(uint64_t run_seed, unsigned *quits)
{
	struct run *run = mem_zalloc(sizeof(*run));
	struct server *server = &run->server;
	struct pop3_client_params params = { .username = "ann", .password = "secret" };
	unsigned steps = 0, closes_at;
	unsigned long retrieved;

	run->random = run_seed * 0x9e3779b97f4a7c15u | 1;
	for (unsigned i = 0; i < 10; i++)
		any(run, 2);
	fill_mailbox(run);
	params.tls = run->tls = any(run, 2) ? POP3_TLS_NONE : POP3_TLS_STLS;
	server->knows_capa = any(run, 4) > 0;
	server->stls = any(run, 8) > 0;
	server->plain = any(run, 2) > 0;
	server->pipelining = any(run, 3) > 0;
	server->has_uidl = any(run, 4) > 0;
	closes_at = any(run, 3) > 0 ? STEPS_MAX : any(run, 200);
	run->client = pop3_client_new(&params, &events, run);
	say(run, "+OK welcome\r\n");
	while (!run->finished && steps < closes_at && step(run))
		assert_true(++steps < STEPS_MAX);
	/* Nobody waits for ever. */
	assert_true(run->finished || steps == closes_at);
	pop3_client_lost(run->client, "closed");
	assert_true(run->finished);
	check(run);
	*quits += run->end == POP3_END_QUIT;
	retrieved = run->retrieved;
	pop3_client_free(run->client);
	buf_free(&server->input);
	buf_free(&server->output);
	buf_free(&run->input);
	buf_free(&run->content);
	free(run);
	return retrieved;
}

static uint64_t seed;

static void
test_model(void **state)
{
	const char *given = getenv("HERALD_SEED");
	unsigned rounds = given != NULL ? 1 : ROUNDS, quits = 0;
	unsigned long retrieved = 0;

	(void)state;
	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * ROUNDS;
	printf("# %u seeds from %llu on\n", rounds, (unsigned long long)seed);
	fflush(stdout);
	for (; rounds > 0; rounds--, seed++)
		retrieved += play(seed, &quits);
	printf("# retrieved %lu, good ends %u\n", retrieved, quits);
	assert_true(given != NULL || (retrieved > ROUNDS && quits > ROUNDS / 10));
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
