/* test_relays.c - several relays: routes, MX, pauses, rates, logins, TLS that may fail. */
#include "delivery_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>

/* A second relay, "work", with a server of its own. */
struct second {
	struct server *server;
	struct config_host host;
	struct relay_config relays[2];
	struct route_config route;
	const char *recipients[1];
};

static struct second *
add_second(struct world *world)
{
	struct second *second = mem_zalloc(sizeof(*second));

	second->server = server_start();
	strcpy(second->host.name, "127.0.0.1");
	second->host.port = second->server->port;
	second->relays[0] = second->relays[1] = world->relay;
	second->relays[1].name = "work";
	second->relays[1].hosts = &second->host;
	second->relays[1].host_count = 1;
	second->recipients[0] = "*@work.example";
	second->route = (struct route_config){ .name = "", .conffile = "herald.conf", .line = 9,
	    .recipients = second->recipients, .recipient_count = 1, .relay = "work",
	    .target = &second->relays[1] };
	world->config.relays = second->relays;
	world->config.relay_count = 2;
	world->config.relay = &second->relays[0];
	world->config.routes = &second->route;
	world->config.route_count = 1;
	return second;
}

static void
remove_second(struct world *world, struct second *second)
{
	delivery_service.destroy(world->delivery);
	world->delivery = delivery_new(world->loop, NULL, world->resolver);
	server_stop(second->server);
	free(second);
}

static void
send_to(struct world *world, const char *const *recipients, size_t count, const char *chosen)
{
	struct envelope *batch = make_batch();
	struct content *content = make_content(100);

	for (size_t i = 0; i < count; i++) {
		struct address address;
		struct recipient *recipient;

		assert_int_equal(address_parse(&address, recipients[i], strlen(recipients[i])),
		    ADDRESS_OK);
		recipient = envelope_add(batch, &address);
		snprintf(recipient->chosen_relay, sizeof(recipient->chosen_relay), "%s", chosen);
	}
	dispatch(world, batch, content);
}

static void
write_secret(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static uint16_t
closed_port(void)
{
	uint16_t port;
	int fd;

	port = bind_any(&fd);
	close(fd);
	return port;
}

/* The recipients of one message part ways, whatever their order. */
static void
test_routes(void **state)
{
	static const char *const recipients[] = { "a@example.net", "b@work.example",
	    "c@example.net", "d@work.example", "e@example.net" };
	struct world *world = *state;
	struct second *second = add_second(world);

	configure(world);
	send_to(world, recipients, 5, "");
	run_until_ended(world, 5);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 5);
	assert_int_equal(world->server->mails, 1);
	assert_int_equal(world->server->recipients, 3);
	assert_int_equal(second->server->mails, 1);
	assert_int_equal(second->server->recipients, 2);
	remove_second(world, second);
}

static void
test_chosen_relay(void **state)
{
	static const char *const recipients[] = { "a@example.net", "b@example.net" };
	struct world *world = *state;
	struct second *second = add_second(world);

	world->config.route_count = 0;
	configure(world);
	send_to(world, recipients, 2, "work");
	run_until_ended(world, 2);
	assert_int_equal(second->server->mails, 1);
	assert_int_equal(world->server->mails, 0);
	/* It is gone from the conffile: as the routes say. */
	send_to(world, recipients, 2, "other");
	run_until_ended(world, 4);
	assert_int_equal(world->server->mails, 1);
	remove_second(world, second);
}

/* One is down: its mail waits, uncharged, and the other one goes on. */
static void
test_one_relay_down(void **state)
{
	static const char *const recipients[] = { "a@example.net", "b@work.example" };
	struct world *world = *state;
	struct second *second = add_second(world);

	second->host.port = closed_port();
	configure(world);
	for (size_t i = 1; i <= 20; i++) {
		send_to(world, recipients, 2, "");
		run_until_ended(world, 2 * i);
	}
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 20);
	assert_int_equal(seen.postponed, 20);
	assert_int_equal(seen.held_until, 0);
	/* Both are: nothing is claimed until the first may be tried again. */
	use_host(world, 0, closed_port());
	configure(world);
	send_to(world, recipients, 2, "");
	run_until_ended(world, 42);
	run_for(world, 0.05);
	assert_true(seen.held_until >= clock_now());
	remove_second(world, second);
}

/* What does not fit in memory comes again the later, the longer the peer has been silent. */
static void
test_silence(void **state)
{
	static const char *const recipients[] = { "a@example.net", "b@work.example" };
	struct world *world = *state;
	struct second *second = add_second(world);
	int silent[2];

	use_host(world, 0, bind_any(&silent[0]));
	second->host.port = bind_any(&silent[1]);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(listen(silent[i], 64), 0);
	configure(world);
	for (size_t i = 0; i < 110; i++)
		send_to(world, recipients, 2, "");
	run_for(world, 0.05);
	assert_in_range(seen.postponed, 2, 20);
	assert_in_range(seen.until - clock_now(), 1, 4);
	run_for(world, 1.2);
	send_to(world, recipients, 2, "");
	run_for(world, 0.05);
	assert_in_range(seen.until - clock_now(), 6, 60);
	remove_second(world, second);
	for (size_t i = 0; i < 2; i++)
		close(silent[i]);
}

static void
test_route_is_told(void **state)
{
	struct world *world = *state;
	struct second *second = add_second(world);
	const struct address ann = { "ann", "example.org" }, work = { "b", "work.example" };
	const struct address other = { "b", "example.net" };
	char path[] = "/tmp/herald-secret-XXXXXX", where[64];
	json_t *route;

	close(mkstemp(path));
	write_secret(path, "word\n");
	snprintf(where, sizeof(where), "file:%s", path);
	second->relays[1].username = "ann";
	second->relays[1].password = where;
	configure(world);
	unlink(path);
	route = delivery_route(world->delivery, &ann, &work);
	assert_string_equal(json_string_value(json_object_get(route, "relay")), "work");
	assert_string_equal(json_string_value(json_object_get(route, "rule")), "herald.conf:9");
	assert_string_equal(json_string_value(json_object_get(route, "password")), where);
	json_decref(route);
	route = delivery_route(world->delivery, &ann, &other);
	assert_string_equal(json_string_value(json_object_get(route, "relay")), "smarthost");
	assert_string_equal(json_string_value(json_object_get(route, "rule")), "default_relay");
	json_decref(route);
	route = delivery_relays(world->delivery);
	assert_int_equal(json_array_size(route), 2);
	json_decref(route);
	remove_second(world, second);
}

/* By MX the fault is the domain's: it is the attempt of that mail, and nothing is held. */
static void
test_mx_without_domain(void **state)
{
	static const char *const recipients[] = { "a@one.invalid", "b@two.invalid",
	    "c@one.invalid" };
	struct world *world = *state;
	json_t *relays;

	world->relay.mx = true;
	world->relay.mx_port = 25;
	world->relay.host_count = 0;
	configure(world);
	send_to(world, recipients, 3, "");
	run_until_ended(world, 3);
	run_for(world, 0.05);
	assert_int_equal(seen.postponed, 0);
	assert_int_equal(seen.by_class[STATUS_PERMANENT] + seen.by_class[STATUS_TRANSIENT], 3);
	assert_int_equal(seen.held_until, 0);
	relays = delivery_relays(world->delivery);
	assert_int_equal(json_array_size(json_object_get(json_array_get(relays, 0),
	    "destinations")), 2);
	json_decref(relays);
}

static void
test_pause(void **state)
{
	struct world *world = *state;

	configure(world);
	assert_false(delivery_pause(world->delivery, "other", true));
	assert_true(delivery_pause(world->delivery, "smarthost", true));
	send_mail(world, 2, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.postponed, 2);
	assert_string_equal(seen.last.status.text, "relay smarthost is paused");
	assert_true(seen.held_until == INT64_MAX);
	/* It outlives the process. */
	delivery_service.destroy(world->delivery);
	world->delivery = delivery_new(world->loop, NULL, world->resolver);
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 3);
	assert_int_equal(seen.postponed, 3);
	assert_true(delivery_pause(world->delivery, "smarthost", false));
	assert_int_equal(seen.retries, 1);
	send_mail(world, 1, 100);
	run_until_ended(world, 4);
	run_for(world, 0.05);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_int_equal(seen.held_until, 0);
}

static void
test_rate(void **state)
{
	struct config_rate rate = { .count = 2, .seconds = 60 };
	struct world *world = *state;
	int64_t now = clock_now();

	world->relay.rates = &rate;
	world->relay.rate_count = 1;
	configure(world);
	for (int i = 0; i < 5; i++)
		send_mail(world, 1, 100);
	run_until_ended(world, 5);
	run_for(world, 0.05);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 2);
	assert_int_equal(seen.postponed, 3);
	assert_non_null(strstr(seen.put_off.status.text, "rate of relay smarthost"));
	assert_true(seen.until >= now + 50 && seen.until <= now + 130);
	assert_true(seen.held_until >= now + 50 && seen.held_until <= now + 65);
	/* What was counted is known to the next process. */
	delivery_service.destroy(world->delivery);
	world->delivery = delivery_new(world->loop, NULL, world->resolver);
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 6);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 2);
}

/* A refused login: once more, where the secret has been changed since; else a long pause. */
static void
test_login_refused(void **state)
{
	struct world *world = *state;
	char path[] = "/tmp/herald-secret-XXXXXX", where[64];

	close(mkstemp(path));
	snprintf(where, sizeof(where), "file:%s", path);
	write_secret(path, "old\n");
	world->relay.username = "ann";
	world->relay.password = where;
	world->relay.auth = CONFIG_AUTH_PLAIN;
	world->server->ehlo = "250-test\r\n250 AUTH PLAIN";
	world->server->login = "AGFubgBuZXc=";		/* ann, new */
	configure(world);
	write_secret(path, "new\n");
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_int_equal(world->server->logins, 2);
	world->server->login = "never";
	world->relay.idle_timeout = 11;			/* another session */
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.postponed, 1);
	assert_int_equal(world->server->logins, 3);
	assert_true(state_of(world, "suspended_seconds") >= 29);
	assert_string_equal(seen.last.step, "AUTH");
	unlink(path);
}

/* TLS is worth a try: a place where it fails is given mail in clear, for a while. */
static void
test_opportunistic(void **state)
{
	struct world *world = *state;

	world->relay.tls = CONFIG_TLS_OPPORTUNISTIC;
	world->relay.tls_min_version = 0x0303;
	world->relay.max_messages_per_connection = 1;
	world->server->ehlo = "250-test\r\n250 STARTTLS";
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_string_equal(seen.last.tls, "");
	send_mail(world, 1, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 2);
	assert_int_equal(world->server->starttls, 1);
	assert_int_equal(world->server->connections, 3);
}

/* Where TLS is demanded nothing goes without. */
static void
test_starttls_is_demanded(void **state)
{
	struct world *world = *state;

	world->relay.tls = CONFIG_TLS_STARTTLS;
	world->relay.tls_min_version = 0x0303;
	world->server->ehlo = "250-test\r\n250 STARTTLS";
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	assert_int_equal(seen.postponed, 1);
	assert_int_equal(world->server->mails, 0);
}

/* "Too fast": charged, and the next one comes a second later. */
static void
test_throttle(void **state)
{
	struct world *world = *state;
	double began;

	configure(world);
	world->server->mail = "450 4.7.1 not so fast";
	world->server->rcpt = "503 5.5.1 no mail";
	world->server->data = "503 5.5.1 no mail";
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 1);
	world->server->mail = world->server->rcpt = "250 ok";
	world->server->data = "354 go";
	began = now();
	send_mail(world, 1, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
	assert_true(now() - began > 0.8);
	assert_int_equal(world->server->connections, 1);
}

/* The next mail is under way while the peer thinks about the last one. */
static void
test_mail_behind_the_dot(void **state)
{
	struct world *world = *state;

	world->relay.max_connections = 1;
	world->server->dot_delay = 400000;
	configure(world);
	send_mail(world, 1, 100);
	send_mail(world, 1, 100);
	send_mail(world, 1, 100);
	run_for(world, 0.25);
	assert_int_equal(seen.ended, 0);
	assert_int_equal(state_of(world, "waiting"), 1);
	assert_int_equal(state_of(world, "busy"), 1);
	run_until_ended(world, 3);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 3);
	assert_int_equal(world->server->connections, 1);
}

/* A reload that changes nothing of a relay leaves its suspension alone; one that does ends it. */
static void
test_reload_and_suspension(void **state)
{
	struct world *world = *state;

	world->server->greeting = "554 5.7.1 not you";
	configure(world);
	for (size_t i = 1; i <= 3; i++) {
		send_mail(world, 1, 100);
		run_until_ended(world, i);
		delivery_flush(world->delivery);
	}
	send_mail(world, 1, 100);
	run_until_ended(world, 4);
	assert_true(state_of(world, "suspended_seconds") >= 4);
	configure(world);
	assert_true(state_of(world, "suspended_seconds") >= 4);
	world->server->greeting = "220 welcome";
	world->relay.helo = "other.example.org";
	configure(world);
	assert_int_equal(state_of(world, "suspended_seconds"), 0);
	send_mail(world, 1, 100);
	run_until_ended(world, 5);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 1);
}

/* What waits in memory goes by the routes of the new configuration. */
static void
test_waiting_mail_follows_routes(void **state)
{
	static const char *const recipients[] = { "b@work.example" };
	struct world *world = *state;
	struct second *second = add_second(world);

	second->relays[0].max_connections = 1;
	world->config.route_count = 0;
	world->server->dot_delay = 400000;
	configure(world);
	for (int i = 0; i < 6; i++)
		send_to(world, recipients, 1, "");
	run_for(world, 0.2);
	assert_int_equal(seen.ended, 0);
	world->config.route_count = 1;
	configure(world);
	run_until_ended(world, 6);
	assert_int_equal(seen.by_class[STATUS_SUCCESS], 6);
	assert_true(world->server->mails <= 2);
	assert_int_equal(world->server->mails + second->server->mails, 6);
	remove_second(world, second);
}

/* From the address that the conffile says. */
static void
test_source_address(void **state)
{
	struct world *world = *state;

	world->relay.source_address = "127.0.0.77";
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	assert_string_equal(world->server->client, "127.0.0.77");
	world->relay.source_address = "::1";
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 2);
	assert_int_equal(seen.postponed, 1);
	assert_non_null(strstr(seen.last.status.text, "family of source_address"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(routes), TEST(chosen_relay), TEST(one_relay_down), TEST(silence),
		TEST(route_is_told), TEST(mx_without_domain), TEST(pause), TEST(rate),
		TEST(login_refused), TEST(opportunistic), TEST(starttls_is_demanded),
		TEST(throttle), TEST(mail_behind_the_dot), TEST(reload_and_suspension),
		TEST(waiting_mail_follows_routes), TEST(source_address),
	};

	start_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
