/* test_fetch_session.c - RULES K6: a server holds nobody forever, by silence or by drips. */
#include "client/client_account.h"
#include "client/fetch_print.h"
#include "client/fetch_session.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MILLISECOND	INT64_C(1000)
#define SECOND		INT64_C(1000000)

/* Where the server stops being one. */
struct server {
	int listener;
	uint16_t port;
	pthread_t thread;
	const char *step;	/* "" is the greeting */
	const char *first;	/* what is said there at once */
	const char *drip;	/* and then again and again */
	long pause;		/* milliseconds between two drips */
	unsigned drips;		/* then the reply goes on as it should; 0: never */
	const char *rest;
};

static const struct {
	const char *command, *reply;
} replies[] = {
	{ "CAPA", "+OK\r\nUIDL\r\nUSER\r\n.\r\n" },
	{ "USER", "+OK\r\n" },
	{ "PASS", "+OK\r\n" },
	{ "STAT", "+OK 2 100\r\n" },
	{ "LIST", "+OK\r\n1 50\r\n2 50\r\n.\r\n" },
	{ "UIDL", "+OK\r\n1 a\r\n2 b\r\n.\r\n" },
	{ "RETR", "+OK\r\nSubject: x\r\n\r\nhello\r\n.\r\n" },
	{ "DELE", "+OK\r\n" },
	{ "QUIT", "+OK\r\n" },
};

static bool
say(int fd, const char *text)
{
	return send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text);
}

/* Until the client has had enough. */
static bool
stall(const struct server *server, int fd)
{
	const struct timespec pause = { server->pause / 1000, server->pause % 1000 * 1000000 };
	char octet;

	if (!say(fd, server->first))
		return false;
	for (unsigned i = 0; server->drips == 0 || i < server->drips; i++) {
		nanosleep(&pause, NULL);
		if (recv(fd, &octet, 1, MSG_DONTWAIT | MSG_PEEK) == 0 || !say(fd, server->drip))
			return false;
	}
	return say(fd, server->rest);
}

static bool
answer(const struct server *server, int fd, const char *line)
{
	for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++)
		if (strncmp(line, replies[i].command, 4) == 0)
			return strcmp(server->step, replies[i].command) == 0
			    ? stall(server, fd)
			    : say(fd, replies[i].reply);
	return false;
}

static void *
serve(void *owner)
{
	const struct server *server = owner;
	const int fd = accept(server->listener, NULL, NULL);
	FILE *in = fdopen(fd, "r");
	char line[1000];

	if (server->step[0] == '\0' ? stall(server, fd) : say(fd, "+OK ready\r\n"))
		while (fgets(line, sizeof(line), in) != NULL && answer(server, fd, line))
			continue;
	fclose(in);
	return NULL;
}

static void
server_start(struct server *server)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(server->listener, 1), 0);
	assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
	server->port = ntohs(address.sin_port);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void
server_stop(struct server *server)
{
	pthread_join(server->thread, NULL);
	close(server->listener);
}

/* Runs a session with it, printing to `out`, and says how many files it left. */
static int
visit_printing(
    struct server *server, struct fetch_limits limits, FILE *out, unsigned *files)
{
	static const struct client_scheme scheme = { "pop3", 110, CLIENT_TLS_NONE };
	struct client_account account = { .scheme = &scheme, .user = "ann", .host = "127.0.0.1" };
	char directory[] = "/tmp/test_fetch_session.XXXXXX", path[300];
	struct fetch_params params = { .account = &account,
		.tls = POP3_TLS_NONE,
		.password = "secret",
		.save_message = true,
		.limits = limits };
	DIR *dir;
	int exit_code;

	assert_non_null(mkdtemp(directory));
	server_start(server);
	account.port = server->port;
	params.directory = directory;
	params.printer = fetch_printer_new(out, NULL, false);
	exit_code = fetch_session_run(&params);
	server_stop(server);
	fetch_printer_free(params.printer);
	*files = 0;
	dir = opendir(directory);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (strncmp(entry->d_name, "message-", 8) == 0)
			(*files)++;
		snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
		unlink(path);
	}
	closedir(dir);
	rmdir(directory);
	return exit_code;
}

static int
visit(struct server *server, struct fetch_limits limits, unsigned *files)
{
	FILE *out = fopen("/dev/null", "w");
	const int exit_code = visit_printing(server, limits, out, files);

	fclose(out);
	return exit_code;
}

static struct fetch_limits
tight(void)
{
	return (struct fetch_limits){
		.session = 60 * SECOND, .grace = 200 * MILLISECOND, .rate = 500,
		.reply = 200 * MILLISECOND
	};
}

/* Where a session is to go well the machine may be slow. */
static struct fetch_limits
ample(void)
{
	return (struct fetch_limits){
		.session = 60 * SECOND, .grace = 2 * SECOND, .rate = 500, .reply = 2 * SECOND
	};
}

static void
assert_late(struct server server)
{
	unsigned files;

	assert_int_equal(visit(&server, tight(), &files), EX_TEMPFAIL);
	assert_int_equal(files, 0);
}

static void
test_silence(void **state)
{
	static const char *const steps[] = { "", "CAPA", "USER", "PASS", "STAT", "LIST", "RETR" };

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		assert_late((struct server){
		    .step = steps[i], .first = "", .drip = "", .pause = 5, .rest = "" });
}

/* An octet now and then is no answer, wherever it drips. */
static void
test_drips(void **state)
{
	(void)state;
	assert_late((struct server){ .step = "", .first = "+OK ", .drip = "x", .pause = 20 });
	assert_late((struct server){ .step = "STAT", .first = "+OK 2", .drip = "2", .pause = 50 });
	assert_late((struct server){
	    .step = "CAPA", .first = "+OK\r\n", .drip = "x", .pause = 20 });
	assert_late((struct server){
	    .step = "LIST", .first = "+OK\r\n", .drip = " ", .pause = 20 });
	assert_late((struct server){
	    .step = "RETR", .first = "+OK\r\nA: ", .drip = "x", .pause = 20 });
	assert_late((struct server){
	    .step = "RETR", .first = "+OK\r\n\r\n", .drip = "x\r\n", .pause = 20 });
}

/* What came quickly before does not pay for dripping after it. */
static void
test_drip_after_much(void **state)
{
	char *much = malloc(1000001);

	(void)state;
	memset(much, 'x', 1000000);
	memcpy(much, "+OK\r\n\r\n", 7);
	much[1000000] = '\0';
	assert_late((struct server){ .step = "RETR", .first = much, .drip = "x", .pause = 20 });
	free(much);
}

/* Slower than a reply may be, but it goes on. */
static void
test_slow_and_steady(void **state)
{
	char line[1001];
	unsigned files;
	struct server server = { .step = "RETR", .first = "+OK\r\n\r\n", .drip = line, .pause = 100,
		.drips = 25, .rest = ".\r\n" };

	(void)state;
	memset(line, 'x', 998);
	memcpy(line + 998, "\r\n", 3);
	assert_int_equal(visit(&server, ample(), &files), 0);
	assert_int_equal(files, 2);
}

/* As a pager that stands at its first page. */
static void *
read_late(void *owner)
{
	const struct timespec pause = { 2, 500000000 };
	const int *fd = owner;
	char block[65536];

	nanosleep(&pause, NULL);
	while (read(*fd, block, sizeof(block)) > 0)
		continue;
	return NULL;
}

/* What takes time is on our side: the server is not blamed. */
static void
test_reader_that_waits(void **state)
{
	char *much = malloc(1000001);
	unsigned files;
	int fds[2];
	pthread_t reader;
	FILE *out;
	struct server server = { .step = "RETR", .drip = "", .drips = 1, .rest = "\r\n.\r\n" };

	(void)state;
	memset(much, 'x', 1000000);
	memcpy(much, "+OK\r\n\r\n", 7);
	much[1000000] = '\0';
	server.first = much;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(pthread_create(&reader, NULL, read_late, fds), 0);
	out = fdopen(fds[1], "w");
	assert_int_equal(visit_printing(&server, ample(), out, &files), 0);
	assert_int_equal(files, 2);
	fclose(out);
	pthread_join(reader, NULL);
	close(fds[0]);
	free(much);
}

/* The whole of it has a bound, too. */
static void
test_session_bound(void **state)
{
	struct fetch_limits limits = tight();
	struct server server = { .step = "RETR",
		.first = "+OK\r\n\r\n",
		.drip = "xxxxxxxxxxxxxxxxxxxx\r\n",
		.pause = 1 };
	unsigned files;

	(void)state;
	limits.session = 500 * MILLISECOND;
	limits.rate = 1;
	limits.grace = 60 * SECOND;
	assert_int_equal(visit(&server, limits, &files), EX_TEMPFAIL);
	assert_int_equal(files, 0);
}

/* Everything is saved, and nothing was to be deleted: no fault. */
static void
test_silent_quit(void **state)
{
	struct server server = { .step = "QUIT", .first = "", .drip = "", .pause = 5 };
	unsigned files;

	(void)state;
	assert_int_equal(visit(&server, ample(), &files), 0);
	assert_int_equal(files, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_drips),
		cmocka_unit_test(test_drip_after_much),
		cmocka_unit_test(test_slow_and_steady),
		cmocka_unit_test(test_reader_that_waits),
		cmocka_unit_test(test_session_bound),
		cmocka_unit_test(test_silent_quit),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
