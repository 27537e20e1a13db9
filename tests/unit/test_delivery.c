/* test_delivery.c - mail to one relay: sessions, refusals, faults, reload, stop. */
#include "delivery_fixture.h"

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
	assert_string_equal(seen.last.relay, relay);
	assert_string_equal(seen.last.status.text, "Ok");
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
	assert_string_equal(seen.last.status.text, "no such user");
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

/* A relay that cannot be had is no attempt of the mail: all that waits is given back. */
static void
test_greeting_refused(void **state)
{
	struct world *world = *state;
	int64_t now;

	world->server->greeting = "554 5.7.1 not you";
	configure(world);
	for (int i = 0; i < 100; i++)
		send_mail(world, 2, 100);
	run_until_ended(world, 200);
	now = clock_now();
	assert_int_equal(seen.postponed, 200);
	assert_int_equal(world->server->connections, 1);
	assert_non_null(strstr(seen.last.status.text, "greeting: refused: 554 5.7.1 not you"));
	assert_string_equal(seen.last.step, "greeting");
	assert_true(seen.until > now - 2 && seen.until <= now + 2);
	run_for(world, 0.05);
	assert_true(seen.held_until > now - 2 && seen.held_until <= now + 2);
	world->server->greeting = "220 welcome";
	send_mail(world, 1, 100);
	run_until_ended(world, 201);
	assert_int_equal(seen.postponed, 201);
	assert_int_equal(world->server->connections, 1);
	run_for(world, 1.1);
	send_mail(world, 1, 100);
	run_until_ended(world, 202);
	run_for(world, 0.05);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_int_equal(seen.held_until, 0);
}

/* The administrator does not wait for the end of a suspension. */
static void
test_flush_ends_suspension(void **state)
{
	struct world *world = *state;

	world->server->greeting = "554 5.7.1 not you";
	configure(world);
	for (int i = 0; i < 3; i++) {
		send_mail(world, 1, 100);
		run_until_ended(world, (size_t)i + 1);
		delivery_flush(world->delivery);
	}
	assert_int_equal(world->server->connections, 3);
	world->server->greeting = "220 welcome";
	send_mail(world, 1, 100);
	run_until_ended(world, 4);
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
	assert_int_equal(seen.postponed, 200);
	assert_int_equal(world->server->connections, 1);
	assert_non_null(strstr(seen.last.status.text, "MAIL FROM: refused: 530 5.7.0 Auth"));
	run_for(world, 1.1);
	send_mail(world, 1, 100);
	run_until_ended(world, 201);
	/* Being ready is no proof: the pause doubles. */
	assert_int_equal(state_of(world, "suspended_seconds"), 2);
	world->server->mail = world->server->rcpt = "250 ok";
	world->server->data = "354 go";
	run_for(world, 2.1);
	send_mail(world, 1, 100);
	run_until_ended(world, 202);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_int_equal(world->server->connections, 3);
	assert_int_equal(state_of(world, "suspended_seconds"), 0);
}

/* The account is locked while sessions are in use: nothing is charged, and it goes on later. */
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
	assert_int_equal(seen.postponed, 3);
	assert_int_equal(world->server->connections, 1);
	run_for(world, 1.1);
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
	assert_int_equal(seen.postponed, 2);
	assert_int_equal(seen.last.status.enhanced.subject, 4);
	assert_string_equal(seen.last.step, "");
	assert_non_null(strstr(seen.last.status.text, "connect to 127.0.0.1[127.0.0.1]:"));
	assert_non_null(strstr(seen.last.status.text, "refused"));
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
	assert_non_null(strstr(seen.last.status.text, "end of data: "));
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
	world->config.relay_count = 0;
	configure(world);
	send_mail(world, 150, 100);
	run_until_ended(world, 150);
	assert_int_equal(seen.postponed, 150);
	assert_true(seen.held_until == INT64_MAX);
	assert_string_equal(seen.last.relay, "none");
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
	next.relay = next.relays = &relay;
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_mail), TEST(reuse), TEST(large_mail_is_streamed), TEST(many_recipients),
		TEST(refusals), TEST(greeting_refused),
		TEST(flush_ends_suspension), TEST(session_refused),
		TEST(session_refused_later), TEST(connection_refused), TEST(failover),
		TEST(lost_in_transaction), TEST(limit_of_the_peer),
		TEST(few_recipients_at_once), TEST(drain), TEST(no_relay), TEST(reload),
		TEST(idle_session_quits), TEST(secret_is_required),
	};

	start_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
