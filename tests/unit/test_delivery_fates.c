/* test_delivery_fates.c - mail that must not wait for ever, nor be charged for what others did. */
#include "delivery_fixture.h"

#include "base/text.h"
#include "dns_fixture.h"

enum { DOMAINS = 2000 };		/* as many as a relay knows at once */

static void
add_recipient(struct envelope *batch, const char *local, const char *domain)
{
	struct address address;

	text_copy(address.local, sizeof(address.local), local);
	text_copy(address.domain, sizeof(address.domain), domain);
	envelope_add(batch, &address);
}

static void
run_long_until_ended(struct world *world, size_t ended)
{
	double limit = now() + 120;

	while (seen.ended < ended && now() < limit)
		loop_turn(world->loop, 50);
	assert_int_equal(seen.ended, ended);
}

/* Domains that answer nothing fill the table; when they are suspended no more, others have
 * their place. */
static void
test_dead_domains_keep_none_out(void **state)
{
	static struct dns_row rows[DOMAINS + 2];
	static char names[DOMAINS + 1][24];
	struct world *world = *state;
	struct dns_server dns;
	struct envelope *batch;
	struct error err;

	for (size_t i = 0; i <= DOMAINS; i++) {
		snprintf(names[i], sizeof(names[i]), "d%zu.example", i);
		rows[i] = (struct dns_row){ names[i], DNS_CODE, ns_r_servfail, NULL };
	}
	dns_start(&dns, world->loop, rows);
	assert_true(resolver_use_server(world->resolver, dns.address, &err));
	world->relay.mx = true;
	world->relay.mx_port = 25;
	world->relay.host_count = 0;
	configure(world);
	batch = make_batch();
	for (size_t i = 0; i < DOMAINS; i++)
		add_recipient(batch, "bob", names[i]);
	dispatch(world, batch, make_content(100));
	run_long_until_ended(world, DOMAINS);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], DOMAINS);
	clock_set((clock_now() + 120) * 1000000);
	batch = make_batch();
	add_recipient(batch, "bob", names[DOMAINS]);
	dispatch(world, batch, make_content(100));
	run_long_until_ended(world, DOMAINS + 1);
	clock_set(-1);
	assert_int_equal(seen.postponed, 0);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], DOMAINS + 1);
	dns_stop(&dns);
}

/* "Not so fast" is over with the next deliveries: what was put off meanwhile does not wait for
 * as long as it would have taken at that pace. */
static void
test_slots_of_a_throttle_are_near(void **state)
{
	struct world *world = *state;

	configure(world);
	world->server->mail = "450 4.7.1 not so fast";
	world->server->rcpt = world->server->data = "503 5.5.1 no mail";
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	world->server->mail = world->server->rcpt = "250 ok";
	world->server->data = "354 go";
	for (int i = 0; i < 60; i++)
		send_mail(world, 2000, 100);
	while (seen.postponed == 0)
		loop_turn(world->loop, 50);
	assert_true(seen.postponed > 100000);
	assert_in_range(seen.until - clock_now(), 0, 310);
}

/* All relays in use are away, and mail is rerouted to one that nothing else uses. */
static void
test_reroute_ends_the_hold(void **state)
{
	struct world *world = *state;
	struct relay_config relays[2];

	relays[0] = relays[1] = world->relay;
	relays[1].name = "backup";
	world->config.relays = relays;
	world->config.relay_count = 2;
	world->config.relay = &relays[0];
	world->server->greeting = "554 5.7.1 not you";
	configure(world);
	send_mail(world, 1, 100);
	run_until_ended(world, 1);
	run_for(world, 0.05);
	assert_int_not_equal(seen.held_until, 0);
	assert_true(delivery_has_relay(world->delivery, "backup"));
	run_for(world, 0.05);
	assert_int_equal(seen.held_until, 0);
}

/* The session is refused when some recipients have their fate already: none of the others is
 * charged, wherever they stand. */
static void
test_refused_between_others(void **state)
{
	struct world *world = *state;

	world->server->refuse_every = 2;
	world->server->data = "530 5.7.0 Authentication required";
	configure(world);
	send_mail(world, 6, 100);
	run_until_ended(world, 6);
	assert_int_equal(seen.by_class[STATUS_PERMANENT], 3);
	assert_int_equal(seen.by_class[STATUS_TRANSIENT], 0);
	assert_int_equal(seen.postponed, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(dead_domains_keep_none_out),
		TEST(slots_of_a_throttle_are_near),
		TEST(reroute_ends_the_hold),
		TEST(refused_between_others),
	};

	start_log();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
