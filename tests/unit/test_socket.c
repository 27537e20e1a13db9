/* test_socket.c - the pool of bound sockets, and the listener that accepts on them. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory_budget.h"
#include "net/endpoint.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/socket.h"

#define CLIENTS_MAX	200

struct fixture {
	struct loop *loop;
	struct socket_pool *pool;
	struct endpoint_list endpoints;
	struct socket_list sockets;
	struct listener *listener;
	char directory[32], path[64];
	int accepted;
	int fds[CLIENTS_MAX];
	struct endpoint peer, local;
	bool frees;
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct error err;

	snprintf(f->directory, sizeof(f->directory), "/tmp/herald.XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->path, sizeof(f->path), "%s/socket", f->directory);
	f->loop = loop_new(&err);
	f->pool = socket_pool_new();
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	listener_free(f->listener);
	socket_release(f->pool, &f->sockets);
	socket_pool_free(f->pool);
	loop_free(f->loop);
	endpoint_list_free(&f->endpoints);
	for (int i = 0; i < f->accepted; i++)
		close(f->fds[i]);
	unlink(f->path);
	rmdir(f->directory);
	free(f);
	return 0;
}

static void
want_unix(struct fixture *f)
{
	struct error err;

	endpoint_list_free(&f->endpoints);
	assert_true(endpoint_parse_listen(&f->endpoints, "unix:socket", f->directory, &err));
}

/* Port 0: the kernel's choice. */
static void
want_inet(struct fixture *f, const char *address)
{
	struct endpoint *endpoint = malloc(sizeof(*endpoint));

	assert_true(endpoint_from_literal(endpoint, address, 0));
	endpoint_list_free(&f->endpoints);
	f->endpoints = (struct endpoint_list){ .items = endpoint, .count = 1 };
}

static bool
acquire(struct fixture *f, int type, struct error *err)
{
	return socket_acquire(f->pool, &f->endpoints, type, 0666, "greeting test", &f->sockets,
	    err);
}

static void
refused(struct fixture *f, const char *words)
{
	struct error err;

	assert_false(acquire(f, SOCK_STREAM, &err));
	assert_null(f->sockets.items);
	assert_non_null(strstr(err.text, "greeting test: "));
	if (strstr(err.text, words) == NULL)
		fail_msg("\"%s\" says nothing of \"%s\"", err.text, words);
}

static void
test_second_acquire_shares(void **state)
{
	struct fixture *f = *state;
	struct socket_list again = { .items = NULL };
	struct error err;
	int fd;

	want_inet(f, "127.0.0.1");
	assert_true(acquire(f, SOCK_STREAM, &err));
	assert_int_equal(f->sockets.count, 1);
	fd = f->sockets.items[0]->fd;
	assert_true(f->sockets.items[0]->port != 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(socket_acquire(f->pool, &f->endpoints, SOCK_STREAM, 0, "x", &again, &err));
	assert_ptr_equal(again.items[0], f->sockets.items[0]);
	socket_release(f->pool, &again);
	assert_true(fcntl(fd, F_GETFD) != -1);
	socket_release(f->pool, &f->sockets);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void
test_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct error err;
	struct socket_list first = { .items = NULL };

	want_inet(f, "127.0.0.1");
	assert_true(acquire(f, SOCK_STREAM, &err));
	first = f->sockets;
	f->sockets = (struct socket_list){ .items = NULL };
	/* A second pool is another process: the port is taken. */
	{
		struct socket_pool *other = socket_pool_new();
		char text[64];

		endpoint_list_free(&f->endpoints);
		want_unix(f);
		snprintf(text, sizeof(text), "127.0.0.1:%u", first.items[0]->port);
		assert_true(endpoint_parse_listen(&f->endpoints, text, "", &err));
		assert_false(socket_acquire(other, &f->endpoints, SOCK_STREAM, 0600, "smtp",
		    &f->sockets, &err));
		assert_non_null(strstr(err.text, "Address already in use"));
		assert_int_equal(access(f->path, F_OK), -1);
		socket_pool_free(other);
	}
	socket_release(f->pool, &first);
}

static void
test_unix_path(void **state)
{
	struct fixture *f = *state;
	struct error err;
	struct stat status;

	want_unix(f);
	assert_true(acquire(f, SOCK_STREAM, &err));
	assert_int_equal(stat(f->path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0666);
	assert_int_equal(f->sockets.items[0]->family, AF_UNIX);
	socket_release(f->pool, &f->sockets);
	assert_int_equal(access(f->path, F_OK), -1);
}

static void
test_unix_path_in_use(void **state)
{
	struct fixture *f = *state;
	struct socket_pool *other = socket_pool_new();
	struct socket_list theirs = { .items = NULL };
	struct error err;

	want_unix(f);
	assert_true(socket_acquire(other, &f->endpoints, SOCK_STREAM, 0600, "x", &theirs, &err));
	refused(f, "another process listens at unix:");
	assert_int_equal(access(f->path, F_OK), 0);
	socket_release(other, &theirs);
	socket_pool_free(other);
}

static void
test_stale_unix_path(void **state)
{
	struct fixture *f = *state;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct error err;

	want_unix(f);
	assert_int_equal(bind(fd, &f->endpoints.items[0].address.any,
	    f->endpoints.items[0].address_len), 0);
	close(fd);
	assert_int_equal(access(f->path, F_OK), 0);
	assert_true(acquire(f, SOCK_STREAM, &err));
}

static void
test_other_things_at_the_path(void **state)
{
	struct fixture *f = *state;
	char target[80];
	int fd;

	want_unix(f);
	snprintf(target, sizeof(target), "%s.target", f->path);
	fd = open(f->path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	refused(f, "is no socket");
	assert_int_equal(access(f->path, F_OK), 0);
	unlink(f->path);
	assert_int_equal(symlink(target, f->path), 0);
	refused(f, "is no socket");
	unlink(f->path);
	assert_int_equal(mkfifo(f->path, 0600), 0);
	refused(f, "is no socket");
	unlink(f->path);
	assert_int_equal(mkdir(f->path, 0700), 0);
	refused(f, "is no socket");
	rmdir(f->path);
	assert_int_equal(access(target, F_OK), -1);
}

static void
test_udp(void **state)
{
	struct fixture *f = *state;
	struct error err;
	int on = 0;
	socklen_t len = sizeof(on);
	uint16_t port;

	want_inet(f, "127.0.0.1");
	assert_true(acquire(f, SOCK_DGRAM, &err));
	assert_int_equal(getsockopt(f->sockets.items[0]->fd, IPPROTO_IP, IP_PKTINFO, &on, &len), 0);
	assert_int_equal(on, 1);
	port = f->sockets.items[0]->port;
	assert_true(socket_pool_has_udp_port(f->pool, port));
	assert_false(socket_pool_has_udp_port(f->pool, 0));
	socket_release(f->pool, &f->sockets);
	assert_false(socket_pool_has_udp_port(f->pool, port));
	want_inet(f, "::1");
	assert_true(acquire(f, SOCK_DGRAM, &err));
	assert_int_equal(getsockopt(f->sockets.items[0]->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, &len),
	    0);
	assert_int_equal(on, 1);
}

/* In a child, for the descriptors are 3 and up; 0 when all is as it should be. */
static int
act_as_passed(void)
{
	struct endpoint_list list = { .items = NULL };
	struct endpoint_list none = { .items = NULL }, wrong = { .items = NULL };
	struct socket_list sockets = { .items = NULL }, nothing = { .items = NULL };
	struct socket_pool *pool;
	struct error err;
	char pid[32];
	int bad = 0;

	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_INET, i == 2 ? SOCK_DGRAM : SOCK_STREAM, 0);
		struct sockaddr_in any = { .sin_family = AF_INET };

		if (bind(fd, (struct sockaddr *)&any, sizeof(any)) == -1 ||
		    (i < 2 && listen(fd, 4) == -1) || dup2(fd, 100 + i) == -1)
			return 1;
	}
	for (int i = 0; i < 3; i++)
		dup2(100 + i, 3 + i);
	close(6);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "4", 1);		/* the fourth is no descriptor */
	setenv("LISTEN_FDNAMES", "greeting:greeting:quotes:none", 1);
	pool = socket_pool_new();
	bad |= getenv("LISTEN_FDS") != NULL;
	if (!endpoint_parse_listen(&list, "systemd:greeting", "", &err) ||
	    !endpoint_parse_listen(&wrong, "systemd:quotes", "", &err) ||
	    !endpoint_parse_listen(&none, "systemd:none", "", &err))
		return 1;
	bad |= !socket_acquire(pool, &list, SOCK_STREAM, 0, "g", &sockets, &err);
	bad |= sockets.count != 2 || sockets.items[0]->fd != 3 || sockets.items[1]->fd != 4;
	bad |= fcntl(3, F_GETFD) != FD_CLOEXEC;
	socket_release(pool, &sockets);
	bad |= fcntl(3, F_GETFD) == -1;		/* stays open for the next reload */
	bad |= socket_acquire(pool, &wrong, SOCK_STREAM, 0, "g", &nothing, &err);
	bad |= strstr(err.text, "datagram") == NULL;
	bad |= !socket_acquire(pool, &wrong, SOCK_DGRAM, 0, "q", &sockets, &err);
	socket_release(pool, &sockets);
	bad |= socket_acquire(pool, &none, SOCK_STREAM, 0, "g", &nothing, &err);
	bad |= strstr(err.text, "passed no socket") == NULL;
	socket_pool_free(pool);
	endpoint_list_free(&list);
	endpoint_list_free(&none);
	endpoint_list_free(&wrong);
	return bad;
}

static void
test_passed_by_systemd(void **state)
{
	pid_t child = fork();
	int status = 0;

	(void)state;
	if (child == 0)
		_exit(act_as_passed());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void
test_passed_to_another_process(void **state)
{
	struct fixture *f = *state;
	struct error err;

	socket_pool_free(f->pool);
	setenv("LISTEN_PID", "1", 1);
	setenv("LISTEN_FDS", "1", 1);
	setenv("LISTEN_FDNAMES", "greeting", 1);
	f->pool = socket_pool_new();
	assert_null(getenv("LISTEN_PID"));
	assert_true(endpoint_parse_listen(&f->endpoints, "systemd:greeting", "", &err));
	refused(f, "systemd passed no socket");
}

static void
on_accepted(void *owner, int fd, const struct endpoint *peer, const struct endpoint *local)
{
	struct fixture *f = owner;

	assert_true(f->accepted < CLIENTS_MAX);
	f->fds[f->accepted++] = fd;
	f->peer = *peer;
	f->local = *local;
	if (f->frees) {
		listener_free(f->listener);
		f->listener = NULL;
	}
}

static int
dial(const struct fixture *f)
{
	struct sockaddr_storage where;
	socklen_t len = sizeof(where);
	int fd = socket(f->sockets.items[0]->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	getsockname(f->sockets.items[0]->fd, (struct sockaddr *)&where, &len);
	assert_int_equal(connect(fd, (struct sockaddr *)&where, len), 0);
	return fd;
}

static void
listen_there(struct fixture *f)
{
	struct error err;

	assert_true(acquire(f, SOCK_STREAM, &err));
	f->listener = listener_new(f->loop, &f->sockets, "test", on_accepted, f);
}

static void
test_accepts_in_batches(void **state)
{
	struct fixture *f = *state;
	int clients[100];
	char host[ENDPOINT_ADDRESS_MAX];

	want_inet(f, "0.0.0.0");
	listen_there(f);
	for (int i = 0; i < 100; i++)
		clients[i] = dial(f);
	loop_turn(f->loop, 1000);
	assert_int_equal(f->accepted, 64);
	loop_turn(f->loop, 1000);
	assert_int_equal(f->accepted, 100);
	assert_string_equal(endpoint_host(&f->peer, host), "127.0.0.1");
	assert_string_equal(endpoint_host(&f->local, host), "127.0.0.1");
	assert_int_equal(endpoint_port(&f->local), f->sockets.items[0]->port);
	assert_int_equal(fcntl(f->fds[0], F_GETFD), FD_CLOEXEC);
	assert_true(fcntl(f->fds[0], F_GETFL) & O_NONBLOCK);
	for (int i = 0; i < 100; i++)
		close(clients[i]);
}

static void
test_unix_clients(void **state)
{
	struct fixture *f = *state;
	int client;

	want_unix(f);
	listen_there(f);
	client = dial(f);
	loop_turn(f->loop, 1000);
	assert_int_equal(f->accepted, 1);
	assert_int_equal(f->peer.kind, ENDPOINT_UNIX);
	assert_string_equal(f->peer.text, "unix:");
	assert_int_equal(f->local.kind, ENDPOINT_UNIX);
	assert_int_equal(socket_peer_uid(f->fds[0]), getuid());
	close(client);
}

static void
test_freed_while_accepting(void **state)
{
	struct fixture *f = *state;
	int clients[3];

	want_inet(f, "127.0.0.1");
	listen_there(f);
	f->frees = true;
	for (int i = 0; i < 3; i++)
		clients[i] = dial(f);
	loop_turn(f->loop, 1000);
	loop_turn(f->loop, 20);
	assert_int_equal(f->accepted, 1);
	for (int i = 0; i < 3; i++)
		close(clients[i]);
}

static size_t
read_end(int fd, char *out, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while ((got = recv(fd, out + len, size - len, 0)) > 0)
		len += (size_t)got;
	assert_int_equal(got, 0);
	return len;
}

/* Out of memory: who says farewell does so to every client, and takes them again later; who does
 * not, takes them all the while. */
static void
test_out_of_memory(void **state)
{
	struct fixture *f = *state;
	struct memory_budget *memory = loop_memory(f->loop);
	char said[64];
	int clients[10];

	want_inet(f, "127.0.0.1");
	listen_there(f);
	log_set_level(LOG_LEVEL_CRITICAL);
	*memory = (struct memory_budget){ .used = 1000, .limit = 1000 };
	clients[0] = dial(f);
	loop_turn(f->loop, 1000);
	assert_int_equal(f->accepted, 1);
	listener_set_farewell(f->listener, "421 not now\r\n");
	for (int i = 1; i < 5; i++)
		clients[i] = dial(f);
	loop_turn(f->loop, 1000);
	assert_int_equal(f->accepted, 1);
	for (int i = 1; i < 5; i++)
		assert_int_equal(read_end(clients[i], said, sizeof(said)), 13);
	assert_memory_equal(said, "421 not now\r\n", 13);
	/* Meanwhile it pauses. */
	memory->used = 999;
	clients[5] = dial(f);
	loop_turn(f->loop, 0);
	assert_int_equal(f->accepted, 1);
	while (f->accepted < 2)
		loop_turn(f->loop, 100);
	listener_set_farewell(f->listener, "");
	memory->used = 1000;
	clients[6] = dial(f);
	loop_turn(f->loop, 1000);
	assert_int_equal(read_end(clients[6], said, sizeof(said)), 0);
	for (int i = 0; i < 7; i++)
		close(clients[i]);
	memory->used = 0;
}

/* Out of descriptors: no spin, the client is sent away, and it goes on afterwards. */
static void
test_out_of_descriptors(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, low;
	int clients[5], turns = 0;
	int64_t start;
	char octet;

	want_inet(f, "127.0.0.1");
	listen_there(f);
	for (int i = 0; i < 5; i++)
		clients[i] = dial(f);
	log_set_level(LOG_LEVEL_CRITICAL);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = (rlim_t)clients[4] + 2;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	start = clock_monotonic_us();
	while (clock_monotonic_us() - start < 500000) {
		loop_turn(f->loop, 50);
		turns++;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(f->accepted < 5);
	assert_true(turns < 40);
	/* One of those sent away sees the end of file. */
	assert_true(recv(clients[f->accepted], &octet, 1, MSG_DONTWAIT) == 0 || errno != EAGAIN);
	for (int i = 0; i < 5; i++)
		close(clients[i]);
	turns = f->accepted;
	clients[0] = dial(f);
	start = clock_monotonic_us();
	while (f->accepted == turns && clock_monotonic_us() - start < 2000000)
		loop_turn(f->loop, 50);
	assert_true(f->accepted > turns);
	close(clients[0]);
	log_set_level(LOG_LEVEL_INFO);
}

/* A hundred clients come while 200 descriptors are allowed: those of the accepted stay below
 * the number `last`. */
static void
fill_up(struct fixture *f, int last)
{
	struct rlimit before, low;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = before;
	low.rlim_cur = 200;
	log_set_level(LOG_LEVEL_CRITICAL);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	for (int i = 0; i < 100; i++) {
		int client = dial(f);

		loop_turn(f->loop, 0);
		close(client);
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	log_set_level(LOG_LEVEL_INFO);
	assert_true(f->accepted > 20);
	for (int i = 0; i < f->accepted; i++)
		assert_true(f->fds[i] < last);
}

/* A quarter of few descriptors is not for clients: the store and deliveries want some. */
static void
test_reserve_of_descriptors(void **state)
{
	struct fixture *f = *state;
	int filler[100];

	for (int i = 0; i < 100; i++)
		filler[i] = dup(STDERR_FILENO);
	want_inet(f, "127.0.0.1");
	listen_there(f);
	fill_up(f, 150);
	for (int i = 0; i < 100; i++)
		close(filler[i]);
}

/* Users of the machine come in where the network no longer does, and the administrator where
 * they no longer do. */
static void
fill_up_unix(struct fixture *f, const char *farewell, int least, int last)
{
	int filler[100];

	for (int i = 0; i < 100; i++)
		filler[i] = dup(STDERR_FILENO);
	want_unix(f);
	listen_there(f);
	if (farewell != NULL)
		listener_set_farewell(f->listener, farewell);
	fill_up(f, last);
	assert_true(f->fds[f->accepted - 1] > least);
	for (int i = 0; i < 100; i++)
		close(filler[i]);
}

static void
test_reserve_for_unix_clients(void **state)
{
	fill_up_unix(*state, "421 4.3.2 later\r\n", 150, 175);
}

static void
test_reserve_for_the_administrator(void **state)
{
	fill_up_unix(*state, NULL, 175, 194);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_second_acquire_shares),
		TEST(test_all_or_nothing),
		TEST(test_unix_path),
		TEST(test_unix_path_in_use),
		TEST(test_stale_unix_path),
		TEST(test_other_things_at_the_path),
		TEST(test_udp),
		TEST(test_passed_by_systemd),
		TEST(test_passed_to_another_process),
		TEST(test_accepts_in_batches),
		TEST(test_unix_clients),
		TEST(test_freed_while_accepting),
		TEST(test_out_of_memory),
		TEST(test_out_of_descriptors),
		TEST(test_reserve_of_descriptors),
		TEST(test_reserve_for_unix_clients),
		TEST(test_reserve_for_the_administrator),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
