/* test_pop3_client.c - POP3 content to its one true end, exhaustively; bounds of the engine. */
#include "proto/pop3_client.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "every_string.h"

/* Longer strings are played whole and octet by octet alone, to save time. */
enum { CONTENT_MAX = EVERY_STRING_LENGTH + 8, SPLIT_MAX = 7 };

struct run {
	struct pop3_client *client;
	char content[CONTENT_MAX];
	size_t len;
	uint64_t total;			/* octets, where the content is not kept */
	bool counts_only, gives_next, loses;
	unsigned done, good, ready, messages, sends, last_number;
	size_t sent_max;
	bool finished;
	enum pop3_end end;
};

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct run *run = owner;

	(void)octets;
	(void)secret;
	assert_false(run->finished);
	run->sends++;
	if (len > run->sent_max)
		run->sent_max = len;
}

static void
on_start_tls(void *owner)
{
	(void)owner;
}

static void
on_welcome(void *owner, const char *text, size_t len)
{
	(void)owner;
	(void)text;
	(void)len;
}

static void
on_ready(void *owner)
{
	struct run *run = owner;

	run->ready++;
	if (run->gives_next)
		pop3_client_list(run->client);
}

static void
on_mailbox(void *owner, uint64_t count, uint64_t octets)
{
	(void)owner;
	(void)count;
	(void)octets;
}

static void
on_message(void *owner, unsigned number, uint64_t octets)
{
	struct run *run = owner;

	(void)octets;
	run->messages++;
	if (run->gives_next)
		pop3_client_retrieve(run->client, number);
}

static void
on_uidl(void *owner, unsigned number, const char *uidl)
{
	(void)owner;
	(void)number;
	assert_in_range(strlen(uidl), 1, POP3_UIDL_MAX);
}

static void
on_listed(void *owner, bool has_uidl)
{
	(void)owner;
	(void)has_uidl;
}

static void
on_content(void *owner, unsigned number, const char *octets, size_t len)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_true(len > 0);
	run->last_number = number;
	run->total += len;
	if (run->loses)
		pop3_client_lost(run->client, "disk full");
	if (run->counts_only)
		return;
	assert_true(run->len + len <= sizeof(run->content));
	memcpy(run->content + run->len, octets, len);
	run->len += len;
}

static void
on_done(void *owner, enum pop3_command command, unsigned number, bool good, const char *text,
    size_t len)
{
	struct run *run = owner;

	(void)text;
	(void)len;
	run->done++;
	run->good += good;
	if (!run->gives_next)
		return;
	if (command == POP3_RETR)
		pop3_client_delete(run->client, number);
	else if (number == run->messages)
		pop3_client_quit(run->client);
}

static void
on_finished(void *owner, enum pop3_end end, const char *text)
{
	struct run *run = owner;

	assert_false(run->finished);
	assert_non_null(text);
	run->finished = true;
	run->end = end;
}

static const struct pop3_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .on_welcome = on_welcome,
	.on_ready = on_ready, .on_mailbox = on_mailbox, .on_message = on_message,
	.on_uidl = on_uidl, .on_listed = on_listed, .on_content = on_content,
	.on_done = on_done, .on_finished = on_finished,
};

static const struct pop3_client_params params = { .username = "ann", .password = "secret" };

static void
say(struct run *run, const char *text)
{
	assert_int_equal(pop3_client_input(run->client, text, strlen(text)), strlen(text));
}

static void
begin(struct run *run, bool pipelining)
{
	const char *offers = pipelining ? "+OK\r\nPIPELINING\r\n.\r\n" : "-ERR\r\n";

	run->finished = false;
	run->client = pop3_client_new(&params, &events, run);
	say(run, "+OK\r\n");
	say(run, offers);
	say(run, "+OK\r\n");
	say(run, "+OK\r\n");
	if (pipelining)
		say(run, offers);
	assert_true(run->ready > 0);
}

static void
end(struct run *run)
{
	pop3_client_lost(run->client, "end of the test");
	assert_true(run->finished);
	pop3_client_free(run->client);
	run->client = NULL;
}

/* --- every string: RULES E27 and R6 --- */

struct outcome {
	char content[CONTENT_MAX];
	size_t len, used;
	bool end;
};

/* Looks at the whole string, keeps no state. */
static struct outcome
reference(const char *in, size_t len)
{
	static const char mark[] = "\r\n.\r\n";
	struct outcome out = { .used = len };
	size_t body = len;

	if (len >= 3 && memcmp(in, ".\r\n", 3) == 0) {
		out.end = true;
		out.used = 3;
		body = 0;
	}
	for (size_t i = 0; !out.end && i + 5 <= len; i++) {
		if (memcmp(in + i, mark, 5) != 0)
			continue;
		out.end = true;
		out.used = i + 5;
		body = i + 2;
	}
	for (size_t i = 0; i < body; i++) {
		bool at_start = i == 0 || (i >= 2 && memcmp(in + i - 2, "\r\n", 2) == 0);

		if (in[i] != '.' || !at_start)
			out.content[out.len++] = in[i];
	}
	return out;
}

static void
wrong(const char *in, size_t len, size_t block, const char *what)
{
	print_error("%s, in blocks of %zu:", what, block);
	for (size_t i = 0; i < len; i++)
		print_error(" %02x", (unsigned char)in[i]);
	print_error("\n");
	fail();
}

/* Gives `in` in two blocks, or octet by octet where the first is empty; what is behind the end
 * of the message must end the session, and until there nothing may. */
static void
check(struct run *run, const char *in, size_t len, size_t first, const struct outcome *expected)
{
	size_t at = 0, block = first > 0 ? first : 1;

	run->len = run->done = 0;
	pop3_client_retrieve(run->client, 1);
	say(run, "+OK\r\n");
	while (at < len) {
		size_t some = block < len - at ? block : len - at;

		if (pop3_client_input(run->client, in + at, some) != some)
			wrong(in, len, first, "octets are left");
		at += some;
		block = first > 0 ? len : 1;
		if (run->done != (expected->end && at >= expected->used))
			wrong(in, len, first, "the end is not where it should be");
		if (run->finished != (expected->end && at > expected->used))
			wrong(in, len, first, "the session ends, or should have");
	}
	if (!expected->end)
		return;
	if (run->len != expected->len ||
	    memcmp(run->content, expected->content, expected->len) != 0)
		wrong(in, len, first, "another content");
	if (run->finished) {
		assert_int_equal(run->end, POP3_END_PROTOCOL);
		pop3_client_free(run->client);
		begin(run, false);
	}
}

static void
check_cut(struct run *run, const char *in, size_t len, size_t first)
{
	/* No end may begin in what stands before it: behind an x there is nothing to go on. */
	static const char tail[] = "x\r\n.\r\n";
	const struct outcome expected = reference(in, len);
	struct outcome closed;
	char with_tail[EVERY_STRING_LENGTH + sizeof(tail)];

	if (expected.end) {
		check(run, in, len, first, &expected);
		return;
	}
	memcpy(with_tail, in, len);
	memcpy(with_tail + len, tail, sizeof(tail) - 1);
	closed = reference(with_tail, len + sizeof(tail) - 1);
	assert_true(closed.end);
	assert_int_equal(closed.used, len + sizeof(tail) - 1);
	check(run, with_tail, closed.used, first, &closed);
}

static void
check_string(void *arg, const char *in, size_t len)
{
	struct run *run = arg;

	check_cut(run, in, len, len + 6);	/* whole */
	check_cut(run, in, len, 0);		/* octet by octet */
	for (size_t split = 1; split < len && len <= SPLIT_MAX; split++)
		check_cut(run, in, len, split);
}

static void
test_every_string(void **state)
{
	struct run run = { .done = 0 };

	(void)state;
	begin(&run, false);
	assert_int_equal(for_every_string(check_string, &run), EVERY_STRING_COUNT);
	print_message("%d strings, whole and octet by octet; up to %d split at every place\n",
	    EVERY_STRING_COUNT, SPLIT_MAX);
	end(&run);
}

/* --- bounds --- */

/* RULES K3: a stream of 1 GiB is passed on, and nothing of it kept. */
static void
test_endless_content(void **state)
{
	enum { BLOCK = 1 << 20, BLOCKS = 1024 };
	struct run run = { .counts_only = true };
	char *block = mem_alloc(BLOCK);

	(void)state;
	memset(block, 'x', BLOCK);
	begin(&run, false);
	pop3_client_retrieve(run.client, 7);
	say(&run, "+OK\r\n");
	for (int i = 0; i < BLOCKS; i++)
		assert_int_equal(pop3_client_input(run.client, block, BLOCK), BLOCK);
	assert_true(run.total == (uint64_t)BLOCK * BLOCKS);
	assert_int_equal(run.last_number, 7);
	assert_int_equal(run.done, 0);
	assert_true(pop3_client_is_in_lines(run.client));
	say(&run, "\r\n.\r\n");
	assert_int_equal(run.good, 1);
	end(&run);
	free(block);
}

/* RULES K6: who drips octets gets no more time: a step is counted as a whole. */
static void
test_drip_is_no_progress(void **state)
{
	struct run run = { .done = 0 };
	char line[POP3_LINE_MAX] = "-ERR ";
	unsigned before;

	(void)state;
	memset(line + 5, 'a', sizeof(line) - 5);
	begin(&run, false);
	pop3_client_delete(run.client, 1);
	before = pop3_client_progress(run.client);
	for (size_t len = 1; len < sizeof(line); len++) {
		assert_int_equal(pop3_client_input(run.client, line, len), 0);
		assert_int_equal(pop3_client_progress(run.client), before);
		assert_int_equal(pop3_client_timeout(run.client), 60);
	}
	end(&run);
}

/* Pipelined, the time of each step begins with the reply before. */
static void
test_replies_are_progress(void **state)
{
	struct run run = { .done = 0 };
	unsigned before;

	(void)state;
	begin(&run, true);
	before = pop3_client_progress(run.client);
	pop3_client_delete(run.client, 1);
	assert_int_not_equal(pop3_client_progress(run.client), before);
	before = pop3_client_progress(run.client);
	pop3_client_delete(run.client, 2);
	assert_int_equal(pop3_client_progress(run.client), before);
	say(&run, "+OK\r\n");
	assert_int_not_equal(pop3_client_progress(run.client), before);
	end(&run);
}

/* The lines of a list are no progress either: there the owner's rate holds. */
static void
test_lines_are_no_progress(void **state)
{
	struct run run = { .done = 0 };
	unsigned before;

	(void)state;
	begin(&run, false);
	pop3_client_list(run.client);
	say(&run, "+OK 3 3\r\n");
	before = pop3_client_progress(run.client);
	say(&run, "+OK\r\n");
	assert_int_not_equal(pop3_client_progress(run.client), before);
	before = pop3_client_progress(run.client);
	say(&run, "1 1\r\n");
	say(&run, "2 1\r\n");
	assert_int_equal(pop3_client_progress(run.client), before);
	assert_true(pop3_client_is_in_lines(run.client));
	assert_int_equal(pop3_client_timeout(run.client), 0);
	say(&run, ".\r\n");
	assert_int_not_equal(pop3_client_progress(run.client), before);
	assert_false(pop3_client_is_in_lines(run.client));
	assert_int_equal(run.messages, 2);
	end(&run);
}

/* A mailbox of the largest size, all of it asked for at once, within the events. */
static void
play_largest(bool pipelining)
{
	enum { COUNT = POP3_MESSAGES_MAX };
	struct run run = { .gives_next = true, .counts_only = true };
	char line[64];

	begin(&run, pipelining);
	snprintf(line, sizeof(line), "+OK %u 5\r\n", COUNT);
	say(&run, line);
	say(&run, "+OK\r\n");
	for (unsigned i = 1; i <= COUNT; i++) {
		snprintf(line, sizeof(line), "%u 5\r\n", i);
		say(&run, line);
	}
	say(&run, ".\r\n");
	say(&run, "+OK\r\n.\r\n");
	for (unsigned i = 1; i <= COUNT; i++) {
		say(&run, "+OK\r\na\r\n.\r\n");
		assert_int_equal(run.last_number, i);
	}
	for (unsigned i = 1; i <= COUNT; i++)
		say(&run, "+OK\r\n");
	assert_int_equal(run.good, 2 * COUNT);
	assert_false(run.finished);
	say(&run, "+OK\r\n");
	assert_true(run.finished);
	assert_int_equal(run.end, POP3_END_QUIT);
	assert_true(run.sent_max <= 16 * 16);
	end(&run);
}

static void
test_largest_mailbox(void **state)
{
	(void)state;
	play_largest(false);
	play_largest(true);
}

/* The owner may end it from within an event: nothing comes behind on_finished(). */
static void
test_lost_within_content(void **state)
{
	struct run run = { .loses = true };

	(void)state;
	begin(&run, true);
	pop3_client_retrieve(run.client, 1);
	pop3_client_retrieve(run.client, 2);
	say(&run, "+OK\r\n..a\r\n..b\r\n.\r\n+OK\r\nc\r\n.\r\n");
	assert_true(run.finished);
	assert_int_equal(run.end, POP3_END_LOST);
	assert_int_equal(run.done, 0);
	assert_int_equal(run.len, 4);
	pop3_client_delete(run.client, 1);
	pop3_client_free(NULL);
	pop3_client_secured(run.client);
	say(&run, "+OK\r\n");
	end(&run);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endless_content),
		cmocka_unit_test(test_drip_is_no_progress),
		cmocka_unit_test(test_replies_are_progress),
		cmocka_unit_test(test_lines_are_no_progress),
		cmocka_unit_test(test_largest_mailbox),
		cmocka_unit_test(test_lost_within_content),
		cmocka_unit_test(test_every_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
