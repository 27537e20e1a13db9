/* test_submit_client.c - one mail and a server that follows a script: its time, its end. */
#include "base/clock.h"
#include "base/error.h"
#include "client/client_stream.h"
#include "client/submit_client.h"
#include "client/submit_result.h"
#include "mail/envelope.h"
#include "net/tls.h"
#include "proto/smtp_client.h"
#include "queue/content.h"

#include <fcntl.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include <cmocka.h>

#define BEGIN		INT64_C(1000000000000)	/* the time at which the clocks stand */
#define SECOND		CLIENT_STREAM_SECOND
#define LULL		200			/* milliseconds: a client looks at the clock */
#define PATIENCE	30000			/* milliseconds that a busy machine may take */

enum hang { ANSWERS, HANGS, HANGS_UNREAD, CLOSES };

/* The server says a line, waits for the end of what is answered, says the next. */
struct script {
	const char *lines[8];
	enum hang hang;			/* what it does then */
	unsigned limit;			/* seconds that the client waits there */
	int fd;
	bool too_early, too_late;
};

static bool
is_closed(int fd, int milliseconds)
{
	struct pollfd poll_fd = { .fd = fd, .events = 0 };

	return poll(&poll_fd, 1, milliseconds) == 1;
}

static void
hang(struct script *script)
{
	(void)is_closed(script->fd, LULL);	/* the client has begun to wait */
	clock_set(BEGIN + (script->limit - 1) * SECOND);
	script->too_early = is_closed(script->fd, LULL);
	/* On a busy machine the client may have looked at the clock later than that. */
	for (int waited = 0; waited < PATIENCE && !is_closed(script->fd, LULL); waited += LULL) {
		script->too_late = waited + 2 * LULL >= PATIENCE;
		clock_set(clock_monotonic_us() + 2 * SECOND);
	}
}

/* Up to a line's end; of what is behind 354 up to its dot. */
static bool
read_answer(int fd, bool is_content)
{
	const char *end = is_content ? "\r\n.\r\n" : "\r\n";
	char tail[6] = "";
	size_t len = strlen(end);
	char octet;

	while (read(fd, &octet, 1) == 1) {
		memmove(tail, tail + 1, 4);
		tail[4] = octet;
		if (memcmp(tail + 5 - len, end, len) == 0)
			return true;
	}
	return false;
}

static void *
serve(void *owner)
{
	struct script *script = owner;
	bool is_content = false;

	for (size_t i = 0; script->lines[i] != NULL; i++) {
		const char *line = script->lines[i];

		if (i > 0 && !read_answer(script->fd, is_content))
			return NULL;
		is_content = strncmp(line, "354", 3) == 0;
		if (write(script->fd, line, strlen(line)) == -1)
			return NULL;
	}
	if (script->hang != HANGS_UNREAD && script->lines[0] != NULL)
		(void)read_answer(script->fd, is_content);
	if (script->hang == HANGS || script->hang == HANGS_UNREAD)
		hang(script);
	close(script->fd);
	return NULL;
}

static struct content *
content_of(size_t size)
{
	struct content *content = content_new("/tmp");
	struct error err;

	for (size_t done = 0; done < size; done += 64)
		assert_true(content_append(content,
		    "Subject: 678901234567890123456789012345678901234567890123456789\r\n", 64,
		    &err));
	return content;
}

static struct envelope *
envelope_of(const struct content *content)
{
	struct address ann, bob;
	struct envelope *envelope;

	assert_int_equal(address_parse(&ann, "ann@example.org", 15), ADDRESS_OK);
	assert_int_equal(address_parse(&bob, "bob@example.net", 15), ADDRESS_OK);
	envelope = envelope_new(&ann);
	envelope_add(envelope, &bob);
	envelope->size = content_size(content);
	return envelope;
}

static void
run(struct script *script, enum smtp_client_tls how, size_t size, struct submit_result *result)
{
	const struct smtp_client_params params = { .helo = "client", .tls = how };
	const struct tls_client_params tls = { .min_version = TLS1_2_VERSION };
	struct submit_session session = { .params = &params, .tls = &tls, .host = "localhost" };
	struct content *content = content_of(size);
	struct envelope *envelope = envelope_of(content);
	pthread_t thread;
	int pair[2];

	clock_set(BEGIN);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	script->fd = pair[1];
	assert_int_equal(pthread_create(&thread, NULL, serve, script), 0);
	session.stream = client_stream_adopt(pair[0]);
	submit_mail(&session, envelope, content, result);
	client_stream_close(session.stream);
	pthread_join(thread, NULL);
	clock_set(-1);
	envelope_free(envelope);
	content_unref(content);
}

#define GREETING	"220 x\r\n"
#define OFFERS		"250 x\r\n"
#define OK		"250 ok\r\n"
#define GO		"354 go\r\n"

/* RFC 5321 4.5.3.2: the client waits as long as that and no longer. */
static void
test_hangs(void **state)
{
	struct script scripts[] = {
		{ .lines = { NULL }, .hang = HANGS, .limit = 300 },
		{ .lines = { GREETING }, .hang = HANGS, .limit = 300 },
		{ .lines = { GREETING, "250-x\r\n250" }, .hang = HANGS_UNREAD, .limit = 300 },
		{ .lines = { GREETING, OFFERS }, .hang = HANGS, .limit = 300 },
		{ .lines = { GREETING, OFFERS, OK }, .hang = HANGS, .limit = 300 },
		{ .lines = { GREETING, OFFERS, OK, OK }, .hang = HANGS, .limit = 120 },
		{ .lines = { GREETING, OFFERS, OK, OK, GO }, .hang = HANGS, .limit = 600 },
		{ .lines = { GREETING, OFFERS, OK, OK, GO }, .hang = HANGS_UNREAD, .limit = 180 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		struct submit_result result;
		char text[STATUS_TEXT_MAX + 32];

		run(&scripts[i], SMTP_CLIENT_TLS_NONE,
		    scripts[i].hang == HANGS_UNREAD ? 4 * 1024 * 1024 : 640, &result);
		if (scripts[i].too_early || scripts[i].too_late)
			fail_msg("script %zu: %s", i, scripts[i].too_early ? "too early" :
			    "too late");
		assert_false(result.taken);
		assert_int_equal(result.began ? submit_exit_code(&result) : result.session_exit,
		    EX_TEMPFAIL);
		status_text(result.refusal_count > 0 ? &result.refusals[0].status : &result.status,
		    text, sizeof(text));
		assert_non_null(strstr(text, "no answer in time"));
		submit_result_clear(&result);
	}
}

/* RULES T11: nothing behind the 220 of STARTTLS. */
static void
test_handshake_hangs(void **state)
{
	struct script script = {
		.lines = { GREETING, "250-x\r\n250 STARTTLS\r\n", "220 go\r\n" },
		.hang = HANGS_UNREAD, .limit = 30,
	};
	struct submit_result result;

	(void)state;
	run(&script, SMTP_CLIENT_TLS_STARTTLS, 640, &result);
	assert_false(script.too_early);
	assert_false(script.too_late);
	assert_false(result.taken || result.began);
	assert_int_equal(result.session_exit, EX_TEMPFAIL);
	submit_result_clear(&result);
}

/* The mail is taken: what becomes of QUIT is waited for one second alone. */
static void
test_quit_hangs(void **state)
{
	struct script script = {
		.lines = { GREETING, OFFERS, OK, OK, GO, "250 taken\r\n" }, .hang = HANGS,
		.limit = 1,
	};
	struct submit_result result;

	(void)state;
	run(&script, SMTP_CLIENT_TLS_NONE, 640, &result);
	assert_false(script.too_early);
	assert_false(script.too_late);
	assert_true(result.taken);
	assert_string_equal(result.status.text, "taken");
	submit_result_clear(&result);
}

/* RULES R10: the end of the connection at each stage. */
static void
test_closes(void **state)
{
	const char *const lines[] = { GREETING, OFFERS, OK, OK, GO, "250 taken\r\n" };

	(void)state;
	for (size_t count = 0; count <= sizeof(lines) / sizeof(lines[0]); count++) {
		struct script script = { .hang = CLOSES };
		struct submit_result result;

		memcpy(script.lines, lines, count * sizeof(lines[0]));
		run(&script, SMTP_CLIENT_TLS_NONE, 640, &result);
		assert_int_equal(result.taken, count == sizeof(lines) / sizeof(lines[0]));
		if (!result.taken)
			assert_int_equal(result.began ? submit_exit_code(&result) :
			    result.session_exit, EX_TEMPFAIL);
		submit_result_clear(&result);
	}
}

struct seen {
	char text[4096];
	uint64_t done;
};

static void
on_client(void *owner, const char *octets, size_t len, bool is_secret)
{
	struct seen *seen = owner;
	const size_t used = strlen(seen->text);

	assert_false(is_secret);
	snprintf(seen->text + used, sizeof(seen->text) - used, "C: %.*s", (int)len, octets);
}

static void
on_server(void *owner, const char *octets, size_t len, bool is_secret)
{
	struct seen *seen = owner;
	const size_t used = strlen(seen->text);

	assert_false(is_secret);
	snprintf(seen->text + used, sizeof(seen->text) - used, "S: %.*s", (int)len, octets);
}

static void
on_content(void *owner, uint64_t done)
{
	struct seen *seen = owner;

	assert_true(done >= seen->done);
	seen->done = done;
}

/* Who watches hears all of it, in order, and the content's size at the end. */
static void
test_watch(void **state)
{
	const struct smtp_client_params params = { .helo = "client" };
	struct seen seen = { .text = "" };
	const struct submit_watch watch = {
		.owner = &seen, .on_client = on_client, .on_server = on_server,
		.on_content = on_content,
	};
	struct submit_session session = { .params = &params, .watch = &watch };
	struct script script = {
		.lines = { GREETING, OFFERS, OK, OK, GO, "250 taken\r\n", "221 bye\r\n" },
	};
	struct content *content = content_of(1024 * 1024);
	struct envelope *envelope = envelope_of(content);
	struct submit_result result;
	pthread_t thread;
	int pair[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(fcntl(pair[0], F_SETFL, O_NONBLOCK), 0);
	script.fd = pair[1];
	assert_int_equal(pthread_create(&thread, NULL, serve, &script), 0);
	session.stream = client_stream_adopt(pair[0]);
	submit_mail(&session, envelope, content, &result);
	client_stream_close(session.stream);
	pthread_join(thread, NULL);
	assert_true(result.taken);
	assert_string_equal(seen.text, "S: 220 x\r\nC: EHLO client\r\nS: 250 x\r\n"
	    "C: MAIL FROM:<ann@example.org>\r\nS: 250 ok\r\nC: RCPT TO:<bob@example.net>\r\n"
	    "S: 250 ok\r\nC: DATA\r\nS: 354 go\r\nS: 250 taken\r\nC: QUIT\r\nS: 221 bye\r\n");
	assert_int_equal(seen.done, content_size(content));
	submit_result_clear(&result);
	envelope_free(envelope);
	content_unref(content);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hangs),
		cmocka_unit_test(test_handshake_hangs),
		cmocka_unit_test(test_quit_hangs),
		cmocka_unit_test(test_closes),
		cmocka_unit_test(test_watch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
