/* delivery_fixture.h - relay/ over real sockets: a scripted server, and a queue that counts. */
#ifndef HERALD_TESTS_DELIVERY_FIXTURE_H
#define HERALD_TESTS_DELIVERY_FIXTURE_H

#include "relay/delivery.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf/config.h"
#include "mail/envelope.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "queue/content.h"
#include "queue/queue.h"
#include "relay/rate.h"

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

/* Include it in one file of a program only: it defines the functions of queue.h that the
 * relay calls, so that the linker leaves those of the library alone. */

/* --- the queue's side, instead of queue/ --- */

enum { BATCHES_MAX = 400 };

static struct {
	struct envelope *batches[BATCHES_MAX];
	size_t batch_count, ended, returned, postponed, by_class[6];
	struct attempt last;		/* told to the queue, charged or not */
	struct attempt put_off;		/* not charged */
	int64_t until, held_until;
	char kept[4][2][RATE_TEXT_MAX];	/* name, text */
	unsigned retries;
	bool inside;			/* delivery_dispatch() runs */
} seen;

static inline struct recipient *
end_recipient(struct envelope *batch, size_t index)
{
	assert_false(seen.inside);
	assert_true(index < batch->recipient_count);
	assert_int_equal(batch->recipients[index].state, RECIPIENT_ACTIVE);
	batch->recipients[index].state = RECIPIENT_DONE;
	seen.ended++;
	return &batch->recipients[index];
}

enum queue_fate
queue_result(struct queue *queue, struct envelope *batch, size_t index,
    const struct attempt *attempt)
{
	enum status_class class = status_class(&attempt->status);

	(void)queue;
	assert_true(attempt->charged);
	end_recipient(batch, index);
	seen.by_class[class]++;
	seen.last = *attempt;
	return class == STATUS_SUCCESS ? QUEUE_SENT :
	    class == STATUS_TRANSIENT ? QUEUE_DEFERRED : QUEUE_BOUNCED;
}

void
queue_postpone(struct queue *queue, struct envelope *batch, size_t index,
    const struct attempt *attempt, int64_t when)
{
	(void)queue;
	end_recipient(batch, index);
	seen.postponed++;
	seen.until = when;
	if (attempt == NULL)
		return;
	assert_false(attempt->charged);
	seen.last = seen.put_off = *attempt;
}

void
queue_return(struct queue *queue, struct envelope *batch, size_t index)
{
	(void)queue;
	end_recipient(batch, index);
	seen.returned++;
}

void
queue_hold_back(struct queue *queue, int64_t until)
{
	(void)queue;
	seen.held_until = until;
}

void
queue_keep(struct queue *queue, const char *name, const char *text)
{
	(void)queue;
	for (size_t i = 0; i < 4; i++) {
		if (seen.kept[i][0][0] != '\0' && strcmp(seen.kept[i][0], name) != 0)
			continue;
		snprintf(seen.kept[i][0], sizeof(seen.kept[i][0]), "%s", name);
		snprintf(seen.kept[i][1], sizeof(seen.kept[i][1]), "%s", text);
		return;
	}
	fail();
}

char *
queue_kept(const struct queue *queue, const char *name)
{
	(void)queue;
	for (size_t i = 0; i < 4; i++)
		if (strcmp(seen.kept[i][0], name) == 0 && seen.kept[i][1][0] != '\0')
			return mem_strdup(seen.kept[i][1]);
	return NULL;
}

void
queue_act(struct queue *queue, enum queue_action action, const struct queue_filter *filter,
    const char *relay, queue_acted *done, void *arg)
{
	(void)queue;
	(void)done;
	(void)arg;
	assert_int_equal(action, QUEUE_RETRY);
	assert_string_equal(filter->relay, "smarthost");
	assert_null(relay);
	seen.retries++;
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
	unsigned refuse_every;		/* 2: each second RCPT gets 550; 0: none */
	bool slow;			/* reads the mail data with pauses */
	unsigned dot_delay;		/* microseconds before the reply to the end of data */
	const char *login;		/* what AUTH PLAIN must bring, in base64; NULL: any */
	unsigned logins, starttls;	/* times that it was tried */
	char client[INET_ADDRSTRLEN];	/* who connected last */
};

/* Written past stdio: on a socket a FILE cannot change from reading to writing. */
static inline void
reply(FILE *peer, const char *text)
{
	dprintf(fileno(peer), "%s\r\n", text);
}

static inline bool
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
static inline bool
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
		if (server->refuse_every > 0 && server->recipients % server->refuse_every == 0)
			answer = "550 5.1.1 no such user";
	} else if (strncmp(line, "DATA", 4) == 0) {
		answer = server->data;
		if (answer != NULL && strncmp(answer, "354", 3) == 0) {
			reply(peer, answer);
			if (!take_content(server, peer, line, size))
				return false;
			server->mails++;
			usleep(server->dot_delay);
			answer = server->dot;
		}
	} else if (strncmp(line, "AUTH PLAIN ", 11) == 0) {
		server->logins++;
		answer = server->login == NULL ||
		    strncmp(line + 11, server->login, strlen(server->login)) == 0 ?
		    "235 2.7.0 welcome" : "535 5.7.8 no";
	} else if (strncmp(line, "STARTTLS", 8) == 0) {
		/* And nothing that TLS could be made of. */
		server->starttls++;
		reply(peer, "220 go ahead");
		return false;
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

static inline void *
serve(void *arg)
{
	struct server *server = arg;
	struct sockaddr_in client;
	socklen_t len = sizeof(client);
	char line[2048];
	int fd;

	while ((fd = accept(server->fd, (struct sockaddr *)&client, &len)) != -1) {
		FILE *peer = fdopen(fd, "r");

		inet_ntop(AF_INET, &client.sin_addr, server->client, sizeof(server->client));
		len = sizeof(client);

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

static inline uint16_t
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

static inline struct server *
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

static inline void
server_stop(struct server *server)
{
	shutdown(server->fd, SHUT_RDWR);
	pthread_join(server->thread, NULL);
	close(server->fd);
	buf_free(&server->content);
	free(server);
}

/* --- what stands around the delivery --- */

enum { SNAPSHOTS_MAX = 8, RELAYS_MAX = 2 };

struct snapshot {
	struct config config;
	struct relay_config relays[RELAYS_MAX];
	struct config_host hosts[RELAYS_MAX][3];
};

struct world {
	struct snapshot snapshots[SNAPSHOTS_MAX];
	size_t snapshot_count;
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

static inline void
use_host(struct world *world, size_t i, uint16_t port)
{
	strcpy(world->hosts[i].name, "127.0.0.1");
	world->hosts[i].port = port;
	if (world->relay.host_count <= i)
		world->relay.host_count = i + 1;
}

/* A copy, so that the next one may differ. */
static inline void
configure(struct world *world)
{
	struct snapshot *copy = &world->snapshots[world->snapshot_count++];
	struct error err;
	void *prepared;

	assert_true(world->snapshot_count <= SNAPSHOTS_MAX);
	copy->config = world->config;
	for (size_t i = 0; i < world->config.relay_count; i++) {
		copy->relays[i] = world->config.relays[i];
		memcpy(copy->hosts[i], copy->relays[i].hosts,
		    copy->relays[i].host_count * sizeof(copy->hosts[i][0]));
		copy->relays[i].hosts = copy->hosts[i];
		if (world->config.relay == &world->config.relays[i])
			copy->config.relay = &copy->relays[i];
	}
	copy->config.relays = copy->relays;
	prepared = delivery_service.prepare(world->delivery, &copy->config, &err);
	if (prepared == NULL)
		fail_msg("%s", err.text);
	delivery_service.commit(world->delivery, prepared, &copy->config);
}

static inline int
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
	    .tls_ca_file = "", .tls_fingerprint = "", .certificate = "", .private_key = "",
	    .username = "", .password = "", .source_address = "", .helo = "relay.example.org",
	    .max_connections = 10, .max_messages_per_connection = 100, .idle_timeout = 10,
	    .connect_timeout = 5 };
	use_host(world, 0, world->server->port);
	world->config = (struct config){ .path = "herald.conf", .hostname = "relay.example.org",
	    .relay = &world->relay, .relays = &world->relay, .relay_count = 1 };
	*state = world;
	return 0;
}

static inline int
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

static inline struct content *
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

static inline struct envelope *
make_batch(void)
{
	const struct address sender = { "ann", "example.org" };
	struct envelope *batch = envelope_new(&sender);

	snprintf(batch->queue_id, sizeof(batch->queue_id), "%08zX", seen.batch_count);
	assert_true(seen.batch_count < BATCHES_MAX);
	seen.batches[seen.batch_count++] = batch;
	return batch;
}

/* Takes over the reference of the content. */
static inline void
dispatch(struct world *world, struct envelope *batch, struct content *content)
{
	batch->size = content_size(content);
	seen.inside = true;
	delivery_dispatch(world->delivery, batch, content);
	seen.inside = false;
	content_unref(content);
}

static inline void
send_mail(struct world *world, size_t recipients, size_t size)
{
	struct envelope *batch = make_batch();

	for (size_t i = 0; i < recipients; i++) {
		struct address address = { .domain = "example.net" };

		snprintf(address.local, sizeof(address.local), "bob%zu", i);
		envelope_add(batch, &address);
	}
	dispatch(world, batch, make_content(size));
}

static inline double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static inline void
run_until_ended(struct world *world, size_t ended)
{
	double limit = now() + 20;

	while (seen.ended < ended && now() < limit)
		loop_turn(world->loop, 50);
	assert_int_equal(seen.ended, ended);
}

static inline void
run_for(struct world *world, double seconds)
{
	double limit = now() + seconds;

	while (now() < limit)
		loop_turn(world->loop, 20);
}

static inline json_int_t
state_of(struct world *world, const char *key)
{
	json_t *status = delivery_service.status(world->delivery);
	json_t *relay = json_object_get(status, "smarthost");
	json_int_t value = json_integer_value(json_object_get(relay, key));

	json_decref(status);
	return value;
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

static inline void
start_log(void)
{
	const struct log_settings settings = { .target = LOG_TARGET_STDERR,
	    .level = getenv("HERALD_DEBUG") != NULL ? LOG_LEVEL_DEBUG : LOG_LEVEL_CRITICAL,
	    .ident = "herald" };

	signal(SIGPIPE, SIG_IGN);	/* a client may have closed */
	log_configure(&settings);
}

#endif
