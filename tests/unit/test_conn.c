/* test_conn.c - plain connections on loopback: input, output, pauses, and every way to end. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "net/conn.h"
#include "net/endpoint.h"
#include "net/loop.h"

enum step { STEP_NONE, STEP_OPEN, STEP_INPUT, STEP_DRAINED, STEP_CLOSED };

struct side {
	struct loop *loop;
	struct conn *conn;
	int peer;			/* the raw socket at the other end */
	struct buf got;
	size_t consume;			/* at most so many octets in a call */
	bool pauses;			/* after each input */
	bool echoes;
	enum step close_at, finish_at;
	int opened, inputs, drained, closed;
	enum conn_end end;
	char text[256];
	size_t to_send;			/* written from on_drained() */
};

static void
react(struct side *s, enum step step)
{
	if (s->close_at == step)
		conn_close(s->conn);
	if (s->finish_at == step) {
		conn_write(s->conn, "bye", 3);
		conn_finish(s->conn);
	}
}

static void
on_open(void *owner)
{
	struct side *s = owner;

	s->opened++;
	react(s, STEP_OPEN);
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct side *s = owner;

	s->inputs++;
	if (len > s->consume)
		len = s->consume;
	buf_append(&s->got, octets, len);
	if (s->echoes)
		conn_write(s->conn, octets, len);
	if (s->pauses)
		conn_pause(s->conn);
	react(s, STEP_INPUT);
	return len;
}

static void
send_more(struct side *s)
{
	static const char block[8000] = "block";

	while (s->to_send > 0 && conn_unsent(s->conn) < 2 * CONN_DRAINED) {
		size_t len = s->to_send < sizeof(block) ? s->to_send : sizeof(block);

		conn_write(s->conn, block, len);
		s->to_send -= len;
	}
}

static void
on_drained(void *owner)
{
	struct side *s = owner;

	s->drained++;
	send_more(s);
	react(s, STEP_DRAINED);
}

static void
on_closed(void *owner, enum conn_end end, const char *text)
{
	struct side *s = owner;

	s->closed++;
	s->end = end;
	snprintf(s->text, sizeof(s->text), "%s", text);
	react(s, STEP_CLOSED);
}

static const struct conn_events events = {
	.on_open = on_open, .on_input = on_input, .on_drained = on_drained,
	.on_closed = on_closed,
};

/* A listening socket on loopback; fills in where. */
static int
listen_somewhere(struct endpoint *where)
{
	struct sockaddr_storage bound;
	socklen_t len = sizeof(bound);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(endpoint_from_literal(where, "127.0.0.1", 0));
	assert_int_equal(bind(fd, &where->address.any, where->address_len), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&bound, &len), 0);
	endpoint_from_sockaddr(where, (struct sockaddr *)&bound, len);
	return fd;
}

static int
set_up(void **state)
{
	struct side *s = calloc(1, sizeof(*s));
	struct endpoint where;
	struct error err;
	int listening = listen_somewhere(&where), fd;

	s->loop = loop_new(&err);
	s->consume = SIZE_MAX;
	s->peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(s->peer, &where.address.any, where.address_len), 0);
	fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	close(listening);
	fcntl(s->peer, F_SETFL, O_NONBLOCK);
	s->conn = conn_adopt(s->loop, fd, &events, s);
	*state = s;
	return 0;
}

static int
tear_down(void **state)
{
	struct side *s = *state;

	if (s->conn != NULL && s->closed == 0)
		conn_close(s->conn);
	loop_free(s->loop);
	if (s->peer != -1)
		close(s->peer);
	buf_free(&s->got);
	free(s);
	return 0;
}

/* Turns until `*counter` is at least `wanted`, or 10 s. */
static void
turn_until(struct side *s, const int *counter, int wanted)
{
	int64_t deadline = clock_monotonic_us() + 10000000;

	while (*counter < wanted && clock_monotonic_us() < deadline)
		loop_turn(s->loop, 20);
	assert_true(*counter >= wanted);
}

static void
turns(struct side *s, int count)
{
	for (int i = 0; i < count; i++)
		loop_turn(s->loop, 2);
}

static void
say(struct side *s, const char *text)
{
	assert_int_equal(write(s->peer, text, strlen(text)), strlen(text));
}

/* What the peer has by now; -1 at a reset. */
static ssize_t
hear(struct side *s, char *out, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while ((got = read(s->peer, out + len, size - 1 - len)) > 0)
		len += (size_t)got;
	out[len] = '\0';
	return got == -1 && errno != EAGAIN ? -1 : (ssize_t)len;
}

static void
test_unconsumed_comes_again(void **state)
{
	struct side *s = *state;

	s->consume = 3;
	say(s, "abcdef");
	turn_until(s, &s->inputs, 1);
	turns(s, 3);
	assert_int_equal(s->inputs, 1);		/* not before there is more */
	say(s, "gh");
	turn_until(s, &s->inputs, 2);
	assert_memory_equal(buf_octets(&s->got), "abcdef", 6);
	assert_int_equal(s->got.len, 6);
}

static void
test_pause_and_resume(void **state)
{
	struct side *s = *state;

	s->pauses = true;
	s->consume = 1;
	say(s, "abc");
	turn_until(s, &s->inputs, 1);
	say(s, "def");
	turns(s, 5);
	assert_int_equal(s->inputs, 1);
	s->consume = SIZE_MAX;
	s->pauses = false;
	conn_resume(s->conn);
	assert_int_equal(s->inputs, 1);		/* never inside the call */
	turn_until(s, &s->inputs, 3);
	assert_memory_equal(buf_octets(&s->got), "abcdef", 6);
}

static void
test_one_write_for_a_turn(void **state)
{
	struct side *s = *state;
	char heard[64];

	conn_write(s->conn, "220 ", 4);
	conn_write(s->conn, "hello\r\n", 7);
	assert_int_equal(hear(s, heard, sizeof(heard)), 0);
	assert_int_equal(conn_unsent(s->conn), 11);
	turns(s, 2);
	assert_int_equal(hear(s, heard, sizeof(heard)), 11);
	assert_string_equal(heard, "220 hello\r\n");
	assert_int_equal(conn_unsent(s->conn), 0);
}

static void
test_input_full(void **state)
{
	struct side *s = *state;
	char block[4096];

	memset(block, 'x', sizeof(block));
	s->consume = 0;
	for (int i = 0; i < 40 && s->closed == 0; i++) {
		(void)!write(s->peer, block, sizeof(block));
		turns(s, 2);
	}
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->end, CONN_INPUT_FULL);
	assert_string_equal(s->text, "input too long");
}

static void
test_full_while_paused_is_no_fault(void **state)
{
	struct side *s = *state;
	static char block[CONN_INPUT_MAX * 2];
	size_t sent = 0;

	s->consume = 0;
	s->pauses = true;
	for (int i = 0; i < 100 && sent < sizeof(block); i++) {
		ssize_t len = write(s->peer, block + sent, sizeof(block) - sent);

		sent += len > 0 ? (size_t)len : 0;
		turns(s, 1);
	}
	turns(s, 10);
	assert_int_equal(s->closed, 0);
	s->consume = SIZE_MAX;
	s->pauses = false;
	conn_resume(s->conn);
	for (int i = 0; i < 2000 && s->got.len < sent; i++)
		turns(s, 1);
	assert_int_equal(s->got.len, sent);
	assert_int_equal(s->closed, 0);
}

static void
test_eof_behind_input(void **state)
{
	struct side *s = *state;

	s->consume = 2;
	say(s, "abc");
	shutdown(s->peer, SHUT_WR);
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->inputs, 1);
	assert_int_equal(s->end, CONN_EOF);
	assert_string_equal(s->text, "connection closed by peer");
}

static void
test_reply_written_before_eof_arrives(void **state)
{
	struct side *s = *state;
	char heard[64];

	s->echoes = true;
	say(s, "QUIT");
	shutdown(s->peer, SHUT_WR);
	turn_until(s, &s->closed, 1);
	turns(s, 2);
	assert_int_equal(hear(s, heard, sizeof(heard)), 4);
}

static void
test_reset(void **state)
{
	struct side *s = *state;
	const struct linger now = { 1, 0 };

	setsockopt(s->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(s->peer);
	s->peer = -1;
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->end, CONN_RESET);
	assert_string_equal(s->text, "connection reset by peer");
}

static void
test_last_words_before_a_failed_write(void **state)
{
	struct side *s = *state;
	char block[64];

	/* The peer says why and closes with our octets unread: that is a reset for us. */
	conn_write(s->conn, "DATA", 4);
	turns(s, 2);
	say(s, "421 go away\r\n");
	close(s->peer);
	s->peer = -1;
	usleep(20000);
	memset(block, 'x', sizeof(block));
	conn_write(s->conn, block, sizeof(block));
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->got.len, 13);
	assert_memory_equal(buf_octets(&s->got), "421", 3);
}

static void
test_close_in_input(void **state)
{
	struct side *s = *state;

	s->close_at = STEP_INPUT;
	say(s, "abc");
	turn_until(s, &s->inputs, 1);
	turns(s, 3);
	assert_int_equal(s->closed, 0);
	s->conn = NULL;
}

static void
test_close_in_drained(void **state)
{
	struct side *s = *state;
	static char block[CONN_DRAINED + 1];

	s->close_at = STEP_DRAINED;
	conn_write(s->conn, block, sizeof(block));
	turn_until(s, &s->drained, 1);
	turns(s, 3);
	assert_int_equal(s->closed, 0);
	s->conn = NULL;
}

static void
test_close_in_closed(void **state)
{
	struct side *s = *state;

	s->close_at = STEP_CLOSED;
	close(s->peer);
	s->peer = -1;
	turn_until(s, &s->closed, 1);
	turns(s, 3);
	assert_int_equal(s->closed, 1);
}

static void
test_finish_in_input(void **state)
{
	struct side *s = *state;
	char heard[64];

	s->finish_at = STEP_INPUT;
	say(s, "abc");
	turn_until(s, &s->inputs, 1);
	turns(s, 3);
	assert_int_equal(hear(s, heard, sizeof(heard)), 3);
	assert_string_equal(heard, "bye");
	assert_int_equal(s->closed, 0);
	s->conn = NULL;				/* left to loop_free() */
}

/* The words and the end of file arrive although the peer sent much that nobody read. */
static void
test_finish_sends_no_reset(void **state)
{
	struct side *s = *state;
	static char block[150 * 1024];
	size_t sent = 0;
	char heard[64];

	conn_pause(s->conn);
	for (int i = 0; i < 200 && sent < sizeof(block); i++) {
		ssize_t len = write(s->peer, block + sent, sizeof(block) - sent);

		if (len > 0)
			sent += (size_t)len;
		else if (i == 100)
			break;
	}
	conn_write(s->conn, "554 no", 6);
	conn_finish(s->conn);
	s->conn = NULL;
	for (int i = 0; i < 20; i++) {
		turns(s, 1);
		(void)!write(s->peer, block, 1000);
	}
	shutdown(s->peer, SHUT_WR);
	turns(s, 5);
	assert_int_equal(hear(s, heard, sizeof(heard)), 6);
	assert_int_equal(read(s->peer, heard, 1), 0);
}

static void
test_finish_ends_by_itself(void **state)
{
	struct side *s = *state;
	int64_t start = clock_monotonic_us();
	struct pollfd gone = { .fd = s->peer, .events = 0 };

	conn_finish(s->conn);
	s->conn = NULL;
	turns(s, 2);
	/* A peer that neither sends nor closes is left after five seconds. */
	while (clock_monotonic_us() - start < 8000000) {
		loop_turn(s->loop, 50);
		usleep(10000);		/* fewer octets than end it sooner */
		(void)!write(s->peer, "x", 1);
		if (poll(&gone, 1, 0) == 1 && (gone.revents & (POLLERR | POLLHUP)) != 0)
			break;
	}
	assert_in_range(clock_monotonic_us() - start, 4500000, 7500000);
}

static void
test_finish_with_stuck_output(void **state)
{
	struct side *s = *state;
	static char block[8 * 1024 * 1024];
	int64_t start = clock_monotonic_us();
	ssize_t len = 1;
	size_t heard = 0;

	conn_set_timeout(s->conn, 1);
	conn_write(s->conn, block, sizeof(block));
	conn_finish(s->conn);
	s->conn = NULL;
	while (clock_monotonic_us() - start < 2000000)
		loop_turn(s->loop, 50);
	for (int i = 0; i < 10000 && len > 0; i++) {
		len = read(s->peer, block, sizeof(block));
		heard += len > 0 ? (size_t)len : 0;
	}
	/* Closed: the peer sees an end and not the rest. */
	assert_true(len == 0 || errno != EAGAIN);
	assert_true(heard < sizeof(block));
}

static void
test_timeout(void **state)
{
	struct side *s = *state;
	int64_t start = clock_monotonic_us();

	conn_set_timeout(s->conn, 1);
	while (clock_monotonic_us() - start < 500000)
		loop_turn(s->loop, 20);
	say(s, "progress");
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->end, CONN_TIMEOUT);
	assert_string_equal(s->text, "timed out");
	assert_in_range(clock_monotonic_us() - start, 1400000, 3000000);
}

static void
test_peer_that_never_reads(void **state)
{
	struct side *s = *state;
	static char block[8 * 1024 * 1024];

	conn_set_timeout(s->conn, 1);
	conn_write(s->conn, block, sizeof(block));
	assert_true(conn_unsent(s->conn) > CONN_DRAINED);
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->end, CONN_TIMEOUT);
	assert_int_equal(s->drained, 0);
}

/* Ten megabytes each way, with pauses, through small steps. */
static void
test_large_both_ways(void **state)
{
	struct side *s = *state;
	const size_t total = 10 * 1024 * 1024;
	static char block[50000];
	size_t sent = 0, heard = 0;
	int64_t deadline = clock_monotonic_us() + 60000000;

	s->to_send = total;
	send_more(s);
	for (int i = 0; (sent < total || heard < total || s->got.len < total) &&
	    clock_monotonic_us() < deadline; i++) {
		size_t want = total - sent < sizeof(block) ? total - sent : sizeof(block);
		ssize_t len = want > 0 ? write(s->peer, block, want) : 0;

		sent += len > 0 ? (size_t)len : 0;
		len = read(s->peer, block, sizeof(block));
		heard += len > 0 ? (size_t)len : 0;
		if (i % 7 == 0)
			conn_pause(s->conn);
		loop_turn(s->loop, 1);
		if (i % 7 == 3)
			conn_resume(s->conn);
		if (i % 7 == 3)
			loop_turn(s->loop, 0);
	}
	assert_int_equal(heard, total);
	assert_int_equal(s->got.len, total);
	assert_true(s->drained > 10);
	assert_int_equal(s->closed, 0);
}

static void
test_connect(void **state)
{
	struct side *s = *state;
	struct endpoint where;
	struct error err;
	int listening = listen_somewhere(&where);

	conn_close(s->conn);
	s->conn = conn_connect(s->loop, &where, &events, s, &err);
	assert_non_null(s->conn);
	conn_set_timeout(s->conn, 5);
	conn_write(s->conn, "early", 5);
	assert_int_equal(s->opened, 0);
	turn_until(s, &s->opened, 1);
	turns(s, 2);
	close(s->peer);
	s->peer = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(listening);
	{
		char heard[16];

		assert_int_equal(hear(s, heard, sizeof(heard)), 5);
	}
	assert_string_equal(conn_tls_text(s->conn), "none");
}

/* 127.0.0.0/8 is all ours. */
static void
test_connect_from(void **state)
{
	struct side *s = *state;
	struct sockaddr_in peer;
	socklen_t len = sizeof(peer);
	struct endpoint where, from, foreign;
	struct error err;
	int listening = listen_somewhere(&where);
	char host[ENDPOINT_ADDRESS_MAX];

	conn_close(s->conn);
	assert_true(endpoint_from_literal(&from, "127.0.0.9", 0));
	assert_true(endpoint_from_literal(&foreign, "192.0.2.1", 0));
	assert_null(conn_connect_from(s->loop, &where, &foreign, &events, s, &err));
	assert_non_null(strstr(err.text, "cannot send from 192.0.2.1:0"));
	s->conn = conn_connect_from(s->loop, &where, &from, &events, s, &err);
	assert_non_null(s->conn);
	turn_until(s, &s->opened, 1);
	close(s->peer);
	s->peer = accept4(listening, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	close(listening);
	endpoint_from_sockaddr(&from, (struct sockaddr *)&peer, len);
	assert_string_equal(endpoint_host(&from, host), "127.0.0.9");
	assert_int_not_equal(endpoint_port(&from), 0);
}

static void
test_connect_refused(void **state)
{
	struct side *s = *state;
	struct endpoint where;
	struct error err;

	close(listen_somewhere(&where));
	conn_close(s->conn);
	s->conn = conn_connect(s->loop, &where, &events, s, &err);
	assert_non_null(s->conn);
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->opened, 0);
	assert_int_equal(s->end, CONN_REFUSED);
	assert_string_equal(s->text, "connection refused");
}

static void
test_close_in_open(void **state)
{
	struct side *s = *state;
	struct endpoint where;
	struct error err;
	int listening = listen_somewhere(&where);

	conn_close(s->conn);
	s->close_at = STEP_OPEN;
	s->conn = conn_connect(s->loop, &where, &events, s, &err);
	turn_until(s, &s->opened, 1);
	turns(s, 2);
	assert_int_equal(s->closed, 0);
	s->conn = NULL;
	close(listening);
}

static void
test_unix_peer(void **state)
{
	struct side *s = *state;
	int fds[2];

	conn_close(s->conn);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	s->conn = conn_adopt(s->loop, fds[0], &events, s);
	close(fds[1]);
	turn_until(s, &s->closed, 1);
	assert_int_equal(s->end, CONN_EOF);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_unconsumed_comes_again),
		TEST(test_pause_and_resume),
		TEST(test_one_write_for_a_turn),
		TEST(test_input_full),
		TEST(test_full_while_paused_is_no_fault),
		TEST(test_eof_behind_input),
		TEST(test_reply_written_before_eof_arrives),
		TEST(test_reset),
		TEST(test_last_words_before_a_failed_write),
		TEST(test_close_in_input),
		TEST(test_close_in_drained),
		TEST(test_close_in_closed),
		TEST(test_finish_in_input),
		TEST(test_finish_sends_no_reset),
		TEST(test_finish_ends_by_itself),
		TEST(test_finish_with_stuck_output),
		TEST(test_timeout),
		TEST(test_peer_that_never_reads),
		TEST(test_large_both_ways),
		TEST(test_connect),
		TEST(test_connect_from),
		TEST(test_connect_refused),
		TEST(test_close_in_open),
		TEST(test_unix_peer),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
