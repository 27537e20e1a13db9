/* test_delivery.c - relay/ over real sockets: a scripted server, and a queue that counts. */
#include "relay/delivery.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/config.h"
#include "mail/envelope.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "queue/content.h"
#include "queue/queue.h"

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* --- the queue's side, instead of queue/ --- */

enum { BATCHES_MAX = 400 };

static struct {
	struct envelope *batches[BATCHES_MAX];
	size_t batch_count, ended, returned, by_class[6];
	struct status last;
	char relay[256];
	bool inside;			/* delivery_dispatch() runs */
} seen;

enum queue_fate
queue_result(struct queue *queue, struct envelope *batch, size_t index, const struct status *status,
    const char *relay)
{
	(void)queue;
	assert_false(seen.inside);
	assert_int_equal(batch->recipients[index].state, RECIPIENT_ACTIVE);
	batch->recipients[index].state = RECIPIENT_DONE;
	seen.ended++;
	seen.by_class[status_class(status)]++;
	seen.last = *status;
	snprintf(seen.relay, sizeof(seen.relay), "%s", relay);
	return status_class(status) == STATUS_SUCCESS ? QUEUE_SENT :
	    status_class(status) == STATUS_TRANSIENT ? QUEUE_DEFERRED : QUEUE_BOUNCED;
}

void
queue_return(struct queue *queue, struct envelope *batch, size_t index)
{
	(void)queue;
	assert_false(seen.inside);
	assert_int_equal(batch->recipients[index].state, RECIPIENT_ACTIVE);
	batch->recipients[index].state = RECIPIENT_DONE;
	seen.ended++;
	seen.returned++;
}

/* --- a server on a thread of its own --- */

struct server {
	const char *greeting, *ehlo, *mail, *rcpt, *data, *dot;	/* replies; NULL: close */
	unsigned connections, mails, quits, recipients;
	struct buf content;		/* of the last mail, as it came */
	int fd;
	uint16_t port;
	pthread_t thread;
	unsigned mails_per_session;	/* 0: any; beyond, MAIL gets `over` */
	unsigned session_mails;
	unsigned recipients_per_mail, mail_recipients;	/* 0: any; beyond, RCPT gets 452 */
	const char *over;
	bool slow;			/* reads the mail data with pauses */
};

/* Written past stdio: on a socket a FILE cannot change from reading to writing. */
static void
reply(FILE *peer, const char *text)
{
	dprintf(fileno(peer), "%s\r\n", text);
}

static bool
take_content(struct server *server, FILE *peer, char *line, int size)
{
	buf_clear(&server->content);
	while (fgets(line, size, peer) != NULL) {
		if (strcmp(line, ".\r\n") == 0)
			return true;
		buf_append_text(&server->content, line);
		if (server->slow && server->content.len % 4096 < 80)
			usleep(1000);
	}
	return false;
}

/* Returns false when the connection is to be closed. */
static bool
serve_command(struct server *server, FILE *peer, char *line, int size)
{
	const char *answer = "500 what";

	if (strncmp(line, "EHLO", 4) == 0) {
		answer = server->ehlo;
	} else if (strncmp(line, "MAIL", 4) == 0) {
		answer = server->mail;
		server->mail_recipients = 0;
		if (server->mails_per_session > 0 &&
		    server->session_mails++ >= server->mails_per_session)
			answer = server->over;
	} else if (strncmp(line, "RCPT", 4) == 0) {
		server->recipients++;
		answer = server->rcpt;
		if (server->recipients_per_mail > 0 &&
		    server->mail_recipients++ >= server->recipients_per_mail)
			answer = "452 4.5.3 too many recipients";
	} else if (strncmp(line, "DATA", 4) == 0) {
		answer = server->data;
		if (answer != NULL && strncmp(answer, "354", 3) == 0) {
			reply(peer, answer);
			if (!take_content(server, peer, line, size))
				return false;
			server->mails++;
			answer = server->dot;
		}
	} else if (strncmp(line, "RSET", 4) == 0) {
		answer = "250 ok";
	} else if (strncmp(line, "QUIT", 4) == 0) {
		server->quits++;
		answer = "221 bye";
	}
	if (answer == NULL)
		return false;
	reply(peer, answer);
	return strncmp(line, "QUIT", 4) != 0 && strncmp(answer, "421", 3) != 0;
}

static void *
serve(void *arg)
{
	struct server *server = arg;
	char line[2048];
	int fd;

	while ((fd = accept(server->fd, NULL, NULL)) != -1) {
		FILE *peer = fdopen(fd, "r");

		server->connections++;
		server->session_mails = 0;
		if (server->greeting != NULL) {
			reply(peer, server->greeting);
			while (fgets(line, sizeof(line), peer) != NULL &&
			    serve_command(server, peer, line, sizeof(line)))
				;
		}
		fclose(peer);
	}
	return NULL;
}

static uint16_t
bind_any(int *fd)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(getsockname(*fd, (struct sockaddr *)&address, &len), 0);
	return ntohs(address.sin_port);
}

static struct server *
server_start(void)
{
	struct server *server = mem_zalloc(sizeof(*server));

	server->greeting = "220 test";
	server->ehlo = "250-test\r\n250-SIZE 60000000\r\n250 PIPELINING";
	server->mail = server->rcpt = "250 ok";
	server->data = "354 go";
	server->dot = "250 2.0.0 Ok";
	server->port = bind_any(&server->fd);
	assert_int_equal(listen(server->fd, 64), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve, server), 0);
	return server;
}

static void
server_stop(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
	buf_free(&server->content);
	free(server);
}

/* --- what stands around the delivery --- */

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct delivery *delivery;
	struct server *server;
	struct config_host hosts[3];
	struct relay_config relay;
	struct config config;
};

/* config.c counts references; these configurations stand in the tests' own memory. */
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

static void
use_host(struct world *world, size_t i, uint16_t port)
{
	strcpy(world->hosts[i].name, "127.0.0.1");
	world->hosts[i].port = port;
	if (world->relay.host_count <= i)
		world->relay.host_count = i + 1;
}

static void
configure(struct world *world)
{
	struct error err;
	void *prepared = delivery_service.prepare(world->delivery, &world->config, &err);

	assert_non_null(prepared);
	delivery_service.commit(world->delivery, prepared, &world->config);
}

static int
set_up(void **state)
{
	struct world *world = mem_zalloc(sizeof(*world));
	struct error err;

	memset(&seen, 0, sizeof(seen));
	world->loop = loop_new(&err);
	world->resolver = resolver_new(world->loop, &err);
	world->delivery = delivery_new(world->loop, NULL, world->resolver);
	world->server = server_start();
	world->relay = (struct relay_config){ .name = "smarthost", .hosts = world->hosts,
	    .tls_ca_file = "", .username = "", .password = "", .helo = "relay.example.org",
	    .max_connections = 10, .max_messages_per_connection = 100, .idle_timeout = 10,
	    .connect_timeout = 5 };
	use_host(world, 0, world->server->port);
	world->config = (struct config){ .path = "herald.conf", .relay = &world->relay };
	*state = world;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *world = *state;

	delivery_service.destroy(world->delivery);
	resolver_free(world->resolver);
	loop_free(world->loop);
	server_stop(world->server);
	for (size_t i = 0; i < seen.batch_count; i++)
		envelope_free(seen.batches[i]);
	free(world);
	return 0;
}

static struct content *
make_content(size_t size)
{
	struct content *content = content_new("/tmp");
	struct error err;

	assert_true(content_append(content, "Subject: t\r\n\r\n.dot\r\n", 20, &err));
	for (size_t i = 20; i < size; i += 32)
		assert_true(content_append(content, "012345678901234567890123456789\r\n", 32,
		    &err));
	return content;
}

static void
send_mail(struct world *world, size_t recipients, size_t size)
{
	const struct address sender = { "ann", "example.org" };
	struct envelope *batch = envelope_new(&sender);
	struct content *content = make_content(size);

	for (size_t i = 0; i < recipients; i++) {
		struct address address = { .domain = "example.net" };

		snprintf(address.local, sizeof(address.local), "bob%zu", i);
		envelope_add(batch, &address);
	}
	snprintf(batch->queue_id, sizeof(batch->queue_id), "%08zX", seen.batch_count);
	batch->size = content_size(content);
	assert_true(seen.batch_count < BATCHES_MAX);
	seen.batches[seen.batch_count++] = batch;
	seen.inside = true;
	delivery_dispatch(world->delivery, batch, content);
	seen.inside = false;
	content_unref(content);
}

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void
run_until_ended(struct world *world, size_t ended)
{
	double limit = now() + 20;

	while (seen.ended < ended && now() < limit)
		loop_turn(world->loop, 50);
	assert_int_equal(seen.ended, ended);
}

static void
run_for(struct world *world, double seconds)
{
	double limit = now() + seconds;

	while (now() < limit)
		loop_turn(world->loop, 20);
}

static json_int_t
state_of(struct world *world, const char *key)
{
	json_t *status = delivery_service.status(world->delivery);
	json_t *relay = json_object_get(status, "smarthost");
	json_int_t value = json_integer_value(json_object_get(relay, key));

	json_decref(status);
	return value;
}

/* --- tests --- */

static void
test_one_mail(void **state)
{
	struct world *world = *state;
	char relay[64];

	configure(world);
	send_mail(world, 3, 1000);
	run_until_ended(world, 3);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 3);
	assert_int_equal(world->server->mails, 1);
	assert_non_null(strstr(buf_text(&world->server->content), "\r\n\r\n..dot\r\n"));
	snprintf(relay, sizeof(relay), "smarthost/127.0.0.1[127.0.0.1]:%u",
	    world->server->port);
	assert_string_equal(seen.relay, relay);
	assert_string_equal(seen.last.text, "Ok");
	assert_int_equal(state_of(world, "delivered"), 3);
	run_for(world, 0.1);
	assert_int_equal(state_of(world, "idle"), 1);
}

static void
test_reuse(void **state)
{
	struct world *world = *state;

	world->relay.max_connections = 1;
	world->relay.max_messages_per_connection = 10;
	configure(world);
	for (int i = 0; i < 25; i++)
		send_mail(world, 1, 100);
	run_until_ended(world, 25);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 25);
	assert_int_equal(world->server->connections, 3);
	assert_int_equal(world->server->quits, 2);
}

static void
test_large_mail_is_streamed(void **state)
{
	struct world *world = *state;

	world->server->slow = true;
	configure(world);
	send_mail(world, 1, 3 * 1024 * 1024);
	run_until_ended(world, 1);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	/* With the dot that its one line begins with doubled. */
	assert_int_equal(world->server->content.len, seen.batches[0]->size + 1);
}

static void
test_many_recipients(void **state)
{
	struct world *world = *state;

	world->relay.max_connections = 1;
	configure(world);
	send_mail(world, 250, 100);
	run_until_ended(world, 250);
	assert_int_equal(world->server->mails, 3);
	assert_int_equal(world->server->recipients, 250);
}

static void
test_refusals(void **state)
{
	struct world *world = *state;

	configure(world);
	world->server->rcpt = "550 5.1.1 no such user";
	world->server->data = "554 5.5.1 no recipients";
	send_mail(world, 2, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.by_class[STATUS_PERMANENT], 2);
	assert_string_equal(seen.last.text, "no such user");
	world->server->rcpt = "250 ok";
	world->server->data = "354 go";
	world->server->dot = "451 4.3.0 later";
	send_mail(world, 1, 100);
	run_until_ended(world, 3);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 1);
	assert_int_equal(world->server->connections, 1);
	assert_int_equal(state_of(world, "failed"), 2);
	assert_int_equal(state_of(world, "deferred"), 1);
}

/* One attempt serves all that wait; the next comes after a pause, and then it works. */
static void
test_greeting_refused(void **state)
{
	struct world *world = *state;

	world->server->greeting = "554 5.7.1 not you";
	configure(world);
	for (int i = 0; i < 100; i++)
		send_mail(world, 2, 100);
	run_until_ended(world, 200);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 200);
	assert_int_equal(world->server->connections, 1);
	assert_non_null(strstr(seen.last.text, "greeting: refused: 554 5.7.1 not you"));
	world->server->greeting = "220 welcome";
	send_mail(world, 1, 100);
	run_for(world, 0.3);
	assert_int_equal(world->server->connections, 1);
	run_until_ended(world, 201);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
}

/* A relay that wants AUTH at MAIL: like a set-up that failed, though each session is ready. */
static void
test_session_refused(void **state)
{
	struct world *world = *state;

	world->relay.max_connections = 1;
	world->server->mail = world->server->rcpt = world->server->data =
	    "530 5.7.0 Authentication required";
	configure(world);
	for (int i = 0; i < 100; i++)
		send_mail(world, 2, 100);
	run_until_ended(world, 200);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 200);
	assert_int_equal(world->server->connections, 1);
	assert_non_null(strstr(seen.last.text, "MAIL FROM: refused: 530 5.7.0 Authentication"));
	send_mail(world, 1, 100);
	run_for(world, 0.3);
	assert_int_equal(world->server->connections, 1);
	/* Being ready is no proof: the pause doubles. */
	run_until_ended(world, 201);
	assert_int_equal(state_of(world, "suspended_seconds"), 2);
	world->server->mail = world->server->rcpt = "250 ok";
	world->server->data = "354 go";
	send_mail(world, 1, 100);
	run_until_ended(world, 202);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_int_equal(world->server->connections, 3);
	assert_int_equal(state_of(world, "suspended_seconds"), 0);
}

/* The account is locked while sessions are in use: nothing bounces, and it goes on later. */
static void
test_session_refused_later(void **state)
{
	struct world *world = *state;

	world->relay.max_connections = 1;
	world->server->mails_per_session = 2;
	world->server->over = "530 5.7.0 Authentication required";
	configure(world);
	for (int i = 0; i < 5; i++)
		send_mail(world, 1, 100);
	run_until_ended(world, 5);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 2);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 3);
	assert_int_equal(world->server->connections, 1);
	send_mail(world, 1, 100);
	run_until_ended(world, 6);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 3);
	assert_int_equal(world->server->connections, 2);
}

static void
test_connection_refused(void **state)
{
	struct world *world = *state;
	uint16_t closed;
	int fd;

	closed = bind_any(&fd);
	close(fd);
	use_host(world, 0, closed);
	configure(world);
	send_mail(world, 2, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 2);
	assert_int_equal(seen.last.enhanced.subject, 4);
	assert_non_null(strstr(seen.last.text, "connect to 127.0.0.1[127.0.0.1]:"));
	assert_non_null(strstr(seen.last.text, "refused"));
}

/* Hosts are tried in order: one refuses the connection, one greets with 554. */
static void
test_failover(void **state)
{
	struct world *world = *state;
	struct server *refuses = server_start();
	uint16_t closed;
	int fd;

	closed = bind_any(&fd);
	close(fd);
	refuses->greeting = "554 5.3.2 no";
	use_host(world, 0, closed);
	use_host(world, 1, refuses->port);
	use_host(world, 2, world->server->port);
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_int_equal(refuses->connections, 1);
	assert_int_equal(world->server->mails, 1);
	server_stop(refuses);
}

static void
test_lost_in_transaction(void **state)
{
	struct world *world = *state;

	world->server->dot = NULL;
	configure(world);
	send_mail(world, 1, 100);
	send_mail(world, 1, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 2);
	assert_non_null(strstr(seen.last.text, "end of data: "));
	world->server->dot = "250 ok";
	send_mail(world, 1, 100);
	run_until_ended(world, 3);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
}

/* A server that ends the session after so many mails, with 421 or without a word: the next
 * mail goes over another connection, at once. */
static void
test_limit_of_the_peer(void **state)
{
	struct world *world = *state;

	world->relay.max_connections = 1;
	world->server->mails_per_session = 3;
	world->server->over = "421 4.7.0 too many mails";
	configure(world);
	for (int i = 0; i < 10; i++)
		send_mail(world, 2, 100);
	run_until_ended(world, 20);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 20);
	assert_int_equal(world->server->mails, 10);
	world->server->over = NULL;
	for (int i = 0; i < 10; i++)
		send_mail(world, 2, 100);
	run_until_ended(world, 40);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 40);
	assert_int_equal(world->server->mails, 20);
}

/* A server that takes only so many recipients at once gets them in several transactions. */
static void
test_few_recipients_at_once(void **state)
{
	struct world *world = *state;

	world->server->recipients_per_mail = 7;
	configure(world);
	send_mail(world, 30, 100);
	run_until_ended(world, 30);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 30);
	assert_int_equal(world->server->mails, 5);
	assert_int_equal(world->server->connections, 1);
}

static void
test_drain(void **state)
{
	struct world *world = *state;

	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	world->server->slow = true;
	send_mail(world, 1, 1024 * 1024);
	for (int i = 0; i < 5; i++)
		send_mail(world, 1, 100);
	world->relay.max_connections = 1;
	for (int i = 0; i < 3; i++)
		loop_turn(world->loop, 20);
	while (!delivery_service.drain(world->delivery))
		loop_turn(world->loop, 20);
	send_mail(world, 1, 100);
	run_until_ended(world, 8);
	assert_true(seen.returned >= 1);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 0);
	assert_int_equal(seen.by_class[STATUS_SUCCESS] + seen.returned, 8);
}

static void
test_no_relay(void **state)
{
	struct world *world = *state;

	world->config.relay = NULL;
	configure(world);
	send_mail(world, 150, 100);
	run_until_ended(world, 150);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 150);
	assert_string_equal(seen.relay, "none");
}

/* What waits follows the new relay; the session of the old one ends by itself. */
static void
test_reload(void **state)
{
	struct world *world = *state;
	struct server *other = server_start();
	struct relay_config relay = world->relay;
	struct config_host host = { .name = "127.0.0.1" };
	struct config next = world->config;

	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 2);
	assert_int_equal(world->server->connections, 1);
	host.port = other->port;
	relay.hosts = &host;
	relay.host_count = 1;
	next.relay = &relay;
	world->config = next;
	send_mail(world, 1, 100);
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 4);
	run_for(world, 0.2);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 4);
	assert_int_equal(world->server->mails, 2);
	assert_int_equal(world->server->quits, 1);
	assert_int_equal(other->mails, 2);
	assert_int_equal(state_of(world, "delivered"), 4);
	delivery_service.destroy(world->delivery);
	world->delivery = delivery_new(world->loop, NULL, world->resolver);
	server_stop(other);
}

static void
test_idle_session_quits(void **state)
{
	struct world *world = *state;

	world->relay.idle_timeout = 1;
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	run_for(world, 1.5);
	assert_int_equal(world->server->quits, 1);
	assert_int_equal(state_of(world, "sessions"), 0);
}

static void
test_secret_is_required(void **state)
{
	struct world *world = *state;
	struct error err;

	world->relay.username = "ann";
	world->relay.password = "file:/nonexistent/secret";
	world->relay.line = 7;
	assert_null(delivery_service.prepare(world->delivery, &world->config, &err));
	assert_string_equal(err.text,
	    "herald.conf:7: relay smarthost: /nonexistent/secret: No such file or directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_mail), TEST(reuse), TEST(large_mail_is_streamed), TEST(many_recipients),
		TEST(refusals), TEST(greeting_refused), TEST(session_refused),
		TEST(session_refused_later), TEST(connection_refused), TEST(failover),
		TEST(lost_in_transaction), TEST(limit_of_the_peer),
		TEST(few_recipients_at_once), TEST(drain), TEST(no_relay), TEST(reload),
		TEST(idle_session_quits), TEST(secret_is_required),
	};
	const struct log_settings settings = { .target = LOG_TARGET_STDERR,
	    .level = getenv("HERALD_DEBUG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_CRITICAL,
	    .ident = "herald" };

	signal(SIGPIPE, SIG_IGN);	/* a client may have closed */
	log_configure(&settings);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
