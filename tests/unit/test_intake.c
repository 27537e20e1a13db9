/* test_intake.c - the submission service over real sockets, before a queue that can wait. */
#include "intake/smtp_listener.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "conf/config.h"
#include "fake_queue.h"
#include "net/loop.h"
#include "net/socket.h"

#include <crypt.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#define GREETING	"220 web1.example.org ESMTP herald\r\n"
#define EHLO_REPLY	"250-web1.example.org\r\n250-PIPELINING\r\n250-SIZE 1000\r\n" \
			"250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n" \
			"250-CHUNKING\r\n250 ENHANCEDSTATUSCODES\r\n"
#define DATA_REPLY	"354 End data with <CR><LF>.<CR><LF>\r\n"
#define ENVELOPE	"EHLO a\r\nMAIL FROM:<ann@example.org>\r\n" \
			"RCPT TO:<bob@example.net>\r\nDATA\r\n"
#define ENVELOPE_REPLY	GREETING EHLO_REPLY "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n" DATA_REPLY

/* The references of a config that the test owns; stands in for those of config.c. */
const struct config *
config_ref(const struct config *config)
{
	return config;
}

void
config_unref(const struct config *config)
{
	(void)config;
}

struct fixture {
	struct loop *loop;
	struct socket_pool *pool;
	struct queue queue;
	struct intake *intake;
	struct config config;
	struct submission_config section;
	char directory[64], path[80], users[80];
};

static void
apply(struct fixture *fixture, const struct config *config)
{
	struct error err;
	void *prepared = intake_service.prepare(fixture->intake, config, &err);

	if (prepared == NULL)
		fail_msg("%s", err.text);
	intake_service.commit(fixture->intake, prepared, config);
}

static int
setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	const char *tmp = getenv("TMPDIR");
	char *listen_text;
	struct error err;

	if (fixture == NULL)
		return -1;
	snprintf(fixture->directory, sizeof(fixture->directory), "%s/herald-XXXXXX",
	    tmp != NULL && strlen(tmp) < 40 ? tmp : "/tmp");
	if (mkdtemp(fixture->directory) == NULL)
		return -1;
	snprintf(fixture->path, sizeof(fixture->path), "%s/s", fixture->directory);
	fixture->config = (struct config){
		.hostname = "web1.example.org",
		.submissions = &fixture->section,
		.submission_count = 1,
		.queue = { .state_directory = fixture->directory, .max_message_size = 1000,
		    .max_hops = 50, .lifetime = 1000, .bounce_lifetime = 100 },
	};
	fixture->section = (struct submission_config){
		.name = "local", .max_connections = 4, .max_connections_per_client = 3,
		.max_recipients = 2, .max_errors = 20, .timeout = 60,
	};
	if (asprintf(&listen_text, "unix:%s", fixture->path) == -1 ||
	    !endpoint_parse_listen(&fixture->section.listen, listen_text, "/", &err))
		return -1;
	free(listen_text);
	log_set_level(LOG_LEVEL_CRITICAL);
	fixture->loop = loop_new(&err);
	fixture->pool = socket_pool_new();
	fixture->intake = intake_new(fixture->loop, &fixture->queue, fixture->pool);
	apply(fixture, &fixture->config);
	*state = fixture;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fixture = *state;

	if (fixture->intake != NULL)
		intake_service.destroy(fixture->intake);
	fake_queue_drop(&fixture->queue);
	socket_pool_free(fixture->pool);
	loop_free(fixture->loop);
	endpoint_list_free(&fixture->section.listen);
	network_list_free(&fixture->section.allow);
	rmdir(fixture->directory);
	free(fixture);
	return 0;
}

static void
turns(struct fixture *fixture)
{
	for (unsigned i = 0; i < 20; i++)
		loop_turn(fixture->loop, 0);
}

static int
dial(struct fixture *fixture)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", fixture->path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	turns(fixture);
	return fd;
}

static void
say(struct fixture *fixture, int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	turns(fixture);
}

/* All that is there; "EOF" follows where the server has closed. */
static void
hear(int fd, const char *expected)
{
	static char got[65536];
	size_t len = 0;
	ssize_t some;

	while ((some = read(fd, got + len, sizeof(got) - len - 8)) > 0)
		len += (size_t)some;
	got[len] = '\0';
	if (some == 0)
		memcpy(got + len, "EOF", 4);
	assert_string_equal(got, expected);
}

static void
test_a_message(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);
	char expected[64];

	say(fixture, fd, ENVELOPE);
	hear(fd, ENVELOPE_REPLY);
	say(fixture, fd, "Subject: x\r\n\r\n..\r\n.\r\nQUIT\r\n");
	/* Nothing is said, and nothing read, before the store has answered. */
	hear(fd, "");
	assert_int_equal(fixture->queue.submits, 1);
	snprintf(expected, sizeof(expected), "local socket, uid %u)", (unsigned)geteuid());
	assert_non_null(strstr(content_octets(fixture->queue.content), expected));
	fake_queue_answer(&fixture->queue, NULL);
	turns(fixture);
	hear(fd, "250 2.0.0 queued as ABC001\r\n221 2.0.0 web1.example.org closes\r\nEOF");
	close(fd);
}

static void
test_store_says_no(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	say(fixture, fd, ENVELOPE);
	say(fixture, fd, "x\r\n.\r\n");
	hear(fd, ENVELOPE_REPLY);
	fake_queue_answer(&fixture->queue, "disk I/O error");
	turns(fixture);
	hear(fd, "451 4.3.0 cannot store the message, try again later\r\n");
	say(fixture, fd, "RCPT TO:<a@b>\r\n");
	hear(fd, "503 5.5.1 send MAIL first\r\n");
	close(fd);
}

static void
test_no_room(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	fixture->queue.is_full = true;
	say(fixture, fd, "HELO a\r\nMAIL FROM:<ann@example.org>\r\n");
	hear(fd, GREETING "250 web1.example.org\r\n452 4.3.1 disk full\r\n");
	fixture->queue.is_full = false;
	say(fixture, fd, "MAIL FROM:<ann@example.org>\r\n");
	hear(fd, "250 2.1.0 Ok\r\n");
	close(fd);
}

static void
test_client_limit(void **state)
{
	struct fixture *fixture = *state;
	int fd[3], refused;

	for (size_t i = 0; i < 3; i++) {
		fd[i] = dial(fixture);
		hear(fd[i], GREETING);
	}
	refused = dial(fixture);
	hear(refused, "421 4.7.0 web1.example.org too many connections from you\r\nEOF");
	close(refused);
	close(fd[0]);
	turns(fixture);
	fd[0] = dial(fixture);
	hear(fd[0], GREETING);
	for (size_t i = 0; i < 3; i++)
		close(fd[i]);
}

/* Those who are one too many hold no descriptor of ours, though they do not close. */
static void
test_refused_is_closed_at_once(void **state)
{
	struct fixture *fixture = *state;
	int fd[3], refused[20];

	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < 3; i++)
		fd[i] = dial(fixture);
	for (size_t i = 0; i < 20; i++) {
		refused[i] = dial(fixture);
		hear(refused[i], "421 4.7.0 web1.example.org too many connections from you\r\nEOF");
		assert_int_equal(write(refused[i], "x", 1), -1);
		assert_int_equal(errno, EPIPE);
	}
	for (size_t i = 0; i < 20; i++)
		close(refused[i]);
	for (size_t i = 0; i < 3; i++)
		close(fd[i]);
}

static void
test_timeout(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	fixture->section.timeout = 1;
	fd = dial(fixture);
	hear(fd, GREETING);
	for (unsigned i = 0; i < 150; i++)
		loop_turn(fixture->loop, 10);
	hear(fd, "421 4.4.2 web1.example.org timeout exceeded\r\nEOF");
	close(fd);
}

/* One octet now and then is no command (RULES S2). */
static void
test_timeout_of_a_trickle(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	fixture->section.timeout = 1;
	fd = dial(fixture);
	hear(fd, GREETING);
	for (unsigned i = 0; i < 15; i++) {
		ssize_t some = write(fd, "N", 1);

		assert_true(some == 1 || i >= 10);
		for (unsigned j = 0; j < 10; j++)
			loop_turn(fixture->loop, 10);
	}
	hear(fd, "421 4.4.2 web1.example.org timeout exceeded\r\nEOF");
	close(fd);
}

/* An octet now and then is not silence, and yet it does not hold the session; the hour that a
 * session may last begins anew with each message. */
static void
test_slow_data(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	clock_set(0);
	fd = dial(fixture);
	clock_set(3590000000);
	say(fixture, fd, ENVELOPE "x\r\n.\r\n");
	fake_queue_answer(&fixture->queue, NULL);
	say(fixture, fd, "MAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
	clock_set(3650000000);
	say(fixture, fd, "x");
	hear(fd, ENVELOPE_REPLY "250 2.0.0 queued as ABC001\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n"
	    DATA_REPLY);
	clock_set(3651000000);
	say(fixture, fd, "x");
	hear(fd, "421 4.4.2 web1.example.org mail data too slow\r\nEOF");
	assert_true(intake_service.drain(fixture->intake));
	clock_set(-1);
	close(fd);
}

/* The store takes longer than the client is given: that is not the client's fault. */
static void
test_no_timeout_while_storing(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	fixture->section.timeout = 1;
	fd = dial(fixture);
	say(fixture, fd, ENVELOPE);
	say(fixture, fd, "x\r\n.\r\n");
	for (unsigned i = 0; i < 150; i++)
		loop_turn(fixture->loop, 10);
	fake_queue_answer(&fixture->queue, NULL);
	turns(fixture);
	hear(fd, ENVELOPE_REPLY "250 2.0.0 queued as ABC001\r\n");
	close(fd);
}

static void
test_client_gone_while_storing(void **state)
{
	struct fixture *fixture = *state;
	int fd = dial(fixture);

	say(fixture, fd, ENVELOPE);
	say(fixture, fd, "x\r\n.\r\n");
	close(fd);
	turns(fixture);
	fake_queue_answer(&fixture->queue, NULL);
	turns(fixture);
	assert_true(intake_service.drain(fixture->intake));
}

/* RULES D8 in short: cut off anywhere, nothing is handed to the queue. */
static void
test_client_gone_at_each_octet(void **state)
{
	static const char whole[] = ENVELOPE "Subject: x\r\n\r\nx\r\n.\r";
	struct fixture *fixture = *state;

	for (size_t len = 0; len < sizeof(whole); len++) {
		int fd = dial(fixture);

		assert_int_equal(write(fd, whole, len), len);
		for (unsigned i = 0; i < 3; i++)
			loop_turn(fixture->loop, 0);
		close(fd);
		for (unsigned i = 0; i < 3; i++)
			loop_turn(fixture->loop, 0);
	}
	turns(fixture);
	assert_int_equal(fixture->queue.submits, 0);
	assert_true(intake_service.drain(fixture->intake));
}

static void
test_relay_denied(void **state)
{
	struct fixture *fixture = *state;
	struct submission_config sections[2] = { fixture->section, fixture->section };
	struct config next = fixture->config;
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct error err;
	socklen_t len = sizeof(to);
	char text[64];
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* A port that was free a moment ago. */
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
	close(fd);
	sections[1].name = "tcp";
	sections[1].listen = (struct endpoint_list){ .items = NULL };
	snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(to.sin_port));
	assert_true(endpoint_parse_listen(&sections[1].listen, text, "/", &err));
	next.submissions = sections;
	next.submission_count = 2;
	apply(fixture, &next);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	turns(fixture);
	say(fixture, fd, "HELO a\r\nMAIL FROM:<ann@example.org>\r\nRCPT TO:<x@y>\r\nDATA\r\n");
	hear(fd, GREETING "250 web1.example.org\r\n250 2.1.0 Ok\r\n"
	    "554 5.7.1 <x@y>: Relay access denied\r\n554 5.5.1 no valid recipients\r\n");
	close(fd);
	turns(fixture);
	intake_service.destroy(fixture->intake);
	fixture->intake = NULL;
	endpoint_list_free(&sections[1].listen);
}

/* A session keeps what it began with; the socket stays the same one. */
static void
test_reload(void **state)
{
	struct fixture *fixture = *state;
	struct submission_config section = fixture->section;
	struct config next = fixture->config;
	int before = dial(fixture), after;

	hear(before, GREETING);
	section.max_recipients = 1;
	next.hostname = "web2.example.org";
	next.submissions = &section;
	apply(fixture, &next);
	after = dial(fixture);
	hear(after, "220 web2.example.org ESMTP herald\r\n");
	say(fixture, before, "HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nRCPT TO:<a@b>\r\n");
	hear(before, "250 web1.example.org\r\n250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.1.5 Ok\r\n");
	close(before);
	close(after);
	turns(fixture);
	intake_service.destroy(fixture->intake);
	fixture->intake = NULL;
}

static void
test_abandoned_reload(void **state)
{
	struct fixture *fixture = *state;
	struct submission_config sections[2] = { fixture->section, fixture->section };
	struct config next = fixture->config;
	struct error err;
	void *prepared;
	int fd;

	next.submissions = sections;
	prepared = intake_service.prepare(fixture->intake, &next, &err);
	assert_non_null(prepared);
	intake_service.abandon(fixture->intake, prepared);
	sections[1].name = "other";
	sections[1].listen = (struct endpoint_list){ .items = NULL };
	assert_true(endpoint_parse_listen(&sections[1].listen, "unix:/nonexistent/s", "/", &err));
	next.submission_count = 2;
	assert_null(intake_service.prepare(fixture->intake, &next, &err));
	assert_non_null(strstr(err.text, "submission other"));
	endpoint_list_free(&sections[1].listen);
	fd = dial(fixture);
	hear(fd, GREETING);
	close(fd);
}

static void
test_drain(void **state)
{
	struct fixture *fixture = *state;
	int idle = dial(fixture), busy = dial(fixture);

	say(fixture, busy, ENVELOPE);
	hear(busy, ENVELOPE_REPLY);
	hear(idle, GREETING);
	assert_false(intake_service.drain(fixture->intake));
	turns(fixture);
	hear(idle, "421 4.3.2 web1.example.org is shutting down\r\nEOF");
	say(fixture, busy, "x\r\n.\r\n");
	assert_false(intake_service.drain(fixture->intake));
	fake_queue_answer(&fixture->queue, NULL);
	assert_true(intake_service.drain(fixture->intake));
	turns(fixture);
	hear(busy, "250 2.0.0 queued as ABC001\r\n"
	    "421 4.3.2 web1.example.org is shutting down\r\nEOF");
	close(idle);
	close(busy);
}

/* A client that writes and never reads is not listened to for long; once it reads, all
 * that was its due comes. */
static void
test_slow_reader(void **state)
{
	static const char command[] = "RCPT TO:<aaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.net>\r\n";
	struct fixture *fixture = *state;
	size_t sent = 0, got = 0, stalls = 0;
	static char replies[65536];
	ssize_t some;
	int fd;

	fixture->section.max_recipients = 40000;
	fd = dial(fixture);
	say(fixture, fd, "HELO a\r\nMAIL FROM:<>\r\n");
	while (sent < 40000 && stalls < 20) {
		some = write(fd, command, sizeof(command) - 1);
		if (some == -1) {
			turns(fixture);
			stalls++;
			continue;
		}
		/* A stream socket takes a small write whole or not at all. */
		assert_int_equal(some, sizeof(command) - 1);
		sent++;
		stalls = 0;
	}
	assert_true(sent < 40000);
	for (unsigned i = 0; i < 200; i++) {
		turns(fixture);
		while ((some = read(fd, replies, sizeof(replies))) > 0)
			for (ssize_t at = 0; at < some; at++)
				got += replies[at] == '\n';
	}
	assert_int_equal(got, sent + 3);
	close(fd);
}

static void
test_status(void **state)
{
	struct fixture *fixture = *state;
	json_t *status;
	int fd = dial(fixture);

	say(fixture, fd, ENVELOPE);
	say(fixture, fd, "x\r\n.\r\n");
	fake_queue_answer(&fixture->queue, NULL);
	say(fixture, fd, "MAIL FROM:<> SIZE=2000\r\n");
	status = intake_service.status(fixture->intake);
	assert_int_equal(json_integer_value(json_object_get(status, "sessions")), 1);
	assert_int_equal(json_integer_value(json_object_get(status, "connections")), 1);
	assert_int_equal(json_integer_value(json_object_get(status, "accepted")), 1);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(status, "refused"),
	    "too_large")), 1);
	json_decref(status);
	close(fd);
}

static void
test_destroyed_with_sessions(void **state)
{
	struct fixture *fixture = *state;
	int idle = dial(fixture), waiting = dial(fixture);

	say(fixture, waiting, ENVELOPE);
	say(fixture, waiting, "x\r\n.\r\n");
	intake_service.destroy(fixture->intake);
	fixture->intake = NULL;
	assert_int_equal(fixture->queue.forgets, 1);
	fake_queue_answer(&fixture->queue, NULL);
	turns(fixture);
	hear(waiting, ENVELOPE_REPLY "EOF");
	close(idle);
	close(waiting);
}

/* Takes the users anew: ann has the password "secret". */
static void
offer_auth(struct fixture *fixture)
{
	struct crypt_data data = { .initialized = 0 };
	FILE *file;

	snprintf(fixture->users, sizeof(fixture->users), "%s/users", fixture->directory);
	file = fopen(fixture->users, "w");
	assert_non_null(file);
	fprintf(file, "ann:%s\n", crypt_r("secret", "$y$j75$saltsaltsaltsalt$", &data));
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(fixture->users, 0600), 0);
	fixture->section.users = fixture->users;
	apply(fixture, &fixture->config);
	unlink(fixture->users);
}

#define AUTH_REPLY	"250-web1.example.org\r\n250-PIPELINING\r\n250-SIZE 1000\r\n" \
			"250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n" \
			"250-CHUNKING\r\n250-AUTH PLAIN LOGIN\r\n" \
			"250 ENHANCEDSTATUSCODES\r\n"
#define AUTH_RIGHT	"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n"
#define AUTH_WRONG	"AUTH PLAIN AGFubgBzZWNyZVQ=\r\n"

/* While the password is compared nothing is said, and what was sent behind waits. */
static void
test_auth(void **state)
{
	struct fixture *fixture = *state;
	int fd;

	offer_auth(fixture);
	fd = dial(fixture);
	say(fixture, fd, "EHLO a\r\n");
	hear(fd, GREETING AUTH_REPLY);
	say(fixture, fd, AUTH_WRONG "NOOP\r\n");
	while (recv(fd, &(char){ 0 }, 1, MSG_PEEK) != 1)
		loop_turn(fixture->loop, 1000);
	turns(fixture);
	hear(fd, "535 5.7.8 user or password is wrong\r\n250 2.0.0 Ok\r\n");
	say(fixture, fd, AUTH_RIGHT);
	while (recv(fd, &(char){ 0 }, 1, MSG_PEEK) != 1)
		loop_turn(fixture->loop, 1000);
	hear(fd, "235 2.7.0 authenticated\r\n");
	/* Whoever has authenticated is no program of this machine: its bare names are nobody's. */
	say(fixture, fd, "MAIL FROM:<root>\r\nMAIL FROM:<>\r\nRCPT TO:<root>\r\n"
	    "RCPT TO:<Postmaster>\r\n");
	hear(fd, "501 5.1.7 the address needs a domain\r\n250 2.1.0 Ok\r\n"
	    "501 5.1.3 the address needs a domain\r\n250 2.1.5 Ok\r\n");
	close(fd);
}

/* One is compared and the others wait when the clients go, and the service after them. */
static void
test_client_gone_while_comparing(void **state)
{
	struct fixture *fixture = *state;
	int fd[3];

	offer_auth(fixture);
	for (size_t i = 0; i < 3; i++) {
		fd[i] = dial(fixture);
		say(fixture, fd[i], "EHLO a\r\n" AUTH_RIGHT);
	}
	close(fd[0]);
	shutdown(fd[1], SHUT_RDWR);
	turns(fixture);
	assert_true(intake_service.drain(fixture->intake));
	intake_service.destroy(fixture->intake);
	fixture->intake = NULL;
	close(fd[1]);
	close(fd[2]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_message),
		TEST(test_store_says_no),
		TEST(test_no_room),
		TEST(test_client_limit),
		TEST(test_refused_is_closed_at_once),
		TEST(test_timeout),
		TEST(test_timeout_of_a_trickle),
		TEST(test_slow_data),
		TEST(test_no_timeout_while_storing),
		TEST(test_client_gone_while_storing),
		TEST(test_client_gone_at_each_octet),
		TEST(test_relay_denied),
		TEST(test_reload),
		TEST(test_abandoned_reload),
		TEST(test_drain),
		TEST(test_slow_reader),
		TEST(test_status),
		TEST(test_destroyed_with_sessions),
		TEST(test_auth),
		TEST(test_client_gone_while_comparing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
