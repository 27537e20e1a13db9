/* test_router.c - patterns of addresses, and which route takes a recipient. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/error.h"
#include "conf/config.h"
#include "conf/pattern.h"
#include "relay/router.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct address
address_of(const char *text)
{
	struct address address = { .local = "", .domain = "" };

	if (text[0] != '\0' && address_parse(&address, text, strlen(text)) != ADDRESS_OK)
		fail_msg("not an address: %s", text);
	return address;
}

static bool
matches(const char *pattern, const char *text)
{
	const struct address address = address_of(text);
	struct pattern_subject subject;
	char parsed[PATTERN_MAX + 1];
	struct error err;

	if (!pattern_parse(pattern, parsed, &err))
		fail_msg("%s", err.text);
	pattern_subject(&subject, &address);
	return pattern_match(parsed, &subject);
}

static void
patterns_match_as_they_read(void **state)
{
	static const struct {
		const char *pattern, *address;
		bool match;
	} rows[] = {
		{ "ann@example.org", "ann@example.org", true },
		{ "ann@example.org", "Ann@EXAMPLE.org", true },
		{ "ANN@Example.ORG", "ann@example.org", true },
		{ "ann@example.org", "joann@example.org", false },
		{ "ann@example.org", "ann@example.org.net", false },
		{ "ann@example.org", "ann@mail.example.org", false },
		{ "ann@example.org", "anne@example.org", false },
		{ "ann@example.org", "an@example.org", false },
		{ "ann@example.org", "", false },
		{ "ann@example.org", "postmaster", false },
		/* A whole domain, and none below it or beside it. */
		{ "*@work.example", "ann@work.example", true },
		{ "*@work.example", "\"a b@c\"@work.example", true },
		{ "*@work.example", "ann@mail.work.example", false },
		{ "*@work.example", "ann@homework.example", false },
		{ "*@work.example", "", false },
		/* All below a domain, but not the domain. */
		{ "*@*.example.org", "ann@a.example.org", true },
		{ "*@*.example.org", "ann@a.b.example.org", true },
		{ "*@*.example.org", "ann@example.org", false },
		{ "*@*.example.org", "ann@badexample.org", false },
		{ "*@*example.org", "ann@badexample.org", true },
		{ "*@*example.org", "ann@example.org", true },
		{ "*@mail*.example.org", "ann@mail.example.org", true },
		{ "*@mail*.example.org", "ann@mail17.example.org", true },
		{ "*@mail*.example.org", "ann@mail17.b.example.org", true },
		{ "*@mail*.example.org", "ann@amail.example.org", false },
		/* Extensions of an address. */
		{ "ann+*@example.org", "ann+lists@example.org", true },
		{ "ann+*@example.org", "ann+@example.org", true },
		{ "ann+*@example.org", "ann+a+b@example.org", true },
		{ "ann+*@example.org", "ann@example.org", false },
		{ "ann*@example.org", "ann@example.org", true },
		{ "*-bounces@example.org", "lists-bounces@example.org", true },
		{ "*-bounces@example.org", "-bounces@example.org", true },
		{ "*-bounces@example.org", "lists-bounces2@example.org", false },
		{ "*+*@example.org", "a+b@example.org", true },
		{ "*+*@example.org", "ab@example.org", false },
		{ "a*b*c@example.org", "abc@example.org", true },
		{ "a*b*c@example.org", "abcbc@example.org", true },
		{ "a*b*c@example.org", "axxbxxcxxc@example.org", true },
		{ "a*b*c@example.org", "acb@example.org", false },
		{ "**@example.org", "a@example.org", true },
		{ "*ab@example.org", "aab@example.org", true },
		{ "*ab@example.org", "abab@example.org", true },
		{ "*ab@example.org", "aba@example.org", false },
		{ "*@*", "ann@example.org", true },
		{ "*@*", "postmaster", false },
		{ "*@*", "", false },
		/* A star stays in its part. */
		{ "a*g@example.org", "a@b.g", false },
		{ "\"*@example.org", "\"a@example.net\"@example.org", true },
		{ "\"*@example.net", "\"a@example.net\"@example.org", false },
		/* What has no domain. */
		{ "*", "ann@example.org", true },
		{ "*", "postmaster", true },
		{ "*", "", true },
		{ "<>", "", true },
		{ "<>", "ann@example.org", false },
		{ "<>", "postmaster", false },
		{ "Postmaster", "POSTMASTER", true },
		{ "postmaster", "postmaster@example.org", false },
		{ "postmaster", "", false },
		/* Literals. */
		{ "*@[192.0.2.1]", "ann@[192.0.2.1]", true },
		{ "*@[192.0.2.*]", "ann@[192.0.2.77]", true },
		{ "*@[192.0.2.1]", "ann@[192.0.2.11]", false },
		{ "*@[IPv6:2001:DB8::*]", "ann@[IPv6:2001:db8::7]", true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (matches(rows[i].pattern, rows[i].address) != rows[i].match)
			fail_msg("%s and %s: expected is %s", rows[i].pattern, rows[i].address,
			    rows[i].match ? "a match" : "no match");
}

/* U-labels and A-labels are the same name, RFC 5890 2.3.2.1. */
static void
international_names_are_compared_as_a_labels(void **state)
{
	static const struct {
		const char *pattern, *address;
		bool match;
	} rows[] = {
		{ "*@b\303\274cher.example", "ann@xn--bcher-kva.example", true },
		{ "*@xn--bcher-kva.example", "ann@b\303\274cher.example", true },
		{ "*@XN--BCHER-KVA.example", "ann@B\303\234CHER.example", true },
		{ "*@*.b\303\274cher.example", "ann@a.b\303\274cher.example", true },
		{ "*@*.b\303\274cher.example", "ann@b\303\274cher.example", false },
		{ "j\303\274rg@example.org", "j\303\274rg@example.org", true },
		{ "j*@example.org", "j\303\274rg@example.org", true },
		{ "j\303\274rg@example.org", "jorg@example.org", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (matches(rows[i].pattern, rows[i].address) != rows[i].match)
			fail_msg("%s and %s: expected is %s", rows[i].pattern, rows[i].address,
			    rows[i].match ? "a match" : "no match");
}

static void
patterns_that_cannot_be_are_refused(void **state)
{
	static const char *const bad[] = { "", "ann", "work.example", "*.example.org", "@", "@x",
		"a@", "a@.", "a@.x", "a@x.", "a@x..y", "<ann@x>", "<", "> ", "a b@x", "a@x y",
		" a@x", "a@x ", "a,b@x", "a@b@x", "a@x,b@y", "a@x;b", "(a)@x", "a\tb@x", "a\n@x",
		"a@x\177", "a@\377", "****@x", "*@*.*.*", "a@x/y", "a@[1 2]", "a@[1@2",
		"a@\xc3\xbc*.example", "**", "***" };
	char out[PATTERN_MAX + 1], longer[1024];
	struct error err;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++)
		if (pattern_parse(bad[i], out, &err))
			fail_msg("taken: \"%s\" as \"%s\"", bad[i], out);
	memset(longer, 'a', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	assert_false(pattern_parse(longer, out, &err));
	memcpy(longer + ADDRESS_LOCAL_MAX + PATTERN_STARS + 1, "@x", 3);
	assert_false(pattern_parse(longer, out, &err));
	memcpy(longer + ADDRESS_LOCAL_MAX, "@x", 3);
	assert_true(pattern_parse(longer, out, &err));
}

/* The longest that there are fit, and what is printed reads as itself. */
static void
patterns_read_as_themselves(void **state)
{
	static const char *const good[] = { "*", "<>", "postmaster", "*@*", "ann+*@x.example",
		"*@*.b\303\274cher.example", "\"a b\"@x", "*@[ipv6:2001:db8::1]" };
	char once[PATTERN_MAX + 1], twice[PATTERN_MAX + 1], text[1024];
	struct error err;

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		assert_true(pattern_parse(good[i], once, &err));
		assert_true(pattern_parse(once, twice, &err));
		assert_string_equal(once, twice);
	}
	for (size_t len = 200; len <= 300; len++) {
		bool fits = len <= ADDRESS_DOMAIN_MAX;

		memcpy(text, "a@", 2);
		for (size_t i = 0; i < len; i++)
			text[2 + i] = i % 40 == 39 ? '.' : 'b';
		text[2 + len - 1] = 'c';
		text[2 + len] = '\0';
		assert_int_equal(pattern_parse(text, once, &err), fits);
		if (fits)
			assert_string_equal(once, text);
	}
	/* A-labels are longer than their U-labels. */
	for (size_t labels = 1; labels < 60; labels++) {
		memcpy(text, "a@", 3);
		for (size_t i = 0; i < labels; i++)
			strcat(text, i == 0 ? "\303\274" : ".\303\274");
		if (pattern_parse(text, once, &err))
			assert_true(strlen(once) <= PATTERN_MAX);
	}
}

/* A second matcher, slow and plain. */
static bool
slow_glob(const char *pattern, const char *text)
{
	if (*pattern == '\0')
		return *text == '\0';
	if (*pattern == '*')
		return slow_glob(pattern + 1, text) ||
		    (*text != '\0' && slow_glob(pattern, text + 1));
	return *pattern == *text && slow_glob(pattern + 1, text + 1);
}

static uint32_t seed = 1;

static uint32_t
next_random(void)
{
	seed = seed * 1664525u + 1013904223u;
	return seed >> 8;
}

static void
random_text(char *out, size_t max, const char *letters)
{
	size_t len = 1 + next_random() % max;

	for (size_t i = 0; i < len; i++)
		out[i] = letters[next_random() % strlen(letters)];
	out[len] = '\0';
}

static void
matching_is_that_of_a_plain_matcher(void **state)
{
	unsigned hits = 0;

	(void)state;
	for (unsigned i = 0; i < 200000; i++) {
		char local[12], domain[12], part[12], name[12], pattern[32],
		    parsed[PATTERN_MAX + 1];
		struct pattern_subject subject;
		struct error err;
		bool expected;

		random_text(part, 6, "ab*");
		random_text(name, 6, "ab*");
		random_text(local, 8, "ab");
		random_text(domain, 8, "ab");
		snprintf(pattern, sizeof(pattern), "%s@%s", part, name);
		if (!pattern_parse(pattern, parsed, &err))
			continue;
		snprintf(subject.local, sizeof(subject.local), "%s", local);
		snprintf(subject.domain, sizeof(subject.domain), "%s", domain);
		expected = slow_glob(part, local) && slow_glob(name, domain);
		hits += expected;
		if (pattern_match(parsed, &subject) != expected)
			fail_msg("%s and %s@%s", pattern, local, domain);
	}
	assert_true(hits > 1000);
}

/* ---- routes */

static struct relay_config relays[] = {
	{ .name = "smarthost" },
	{ .name = "work" },
	{ .name = "lists" },
	{ .name = "reports" },
};

static const char *work_senders[] = { "*@work.example", "ann@example.org" };
static const char *list_recipients[] = { "*@lists.example.org", "*@*.lists.example.org" };
static const char *null_sender[] = { "<>" };
static const char *ann[] = { "ann@example.org" };
static const char *bob[] = { "bob@example.net" };

static struct route_config routes[] = {
	{ .line = 1,
	    .senders = ann,
	    .sender_count = 1,
	    .recipients = bob,
	    .recipient_count = 1,
	    .target = &relays[2] },
	{ .line = 2, .senders = work_senders, .sender_count = 2, .target = &relays[1] },
	{ .line = 3, .recipients = list_recipients, .recipient_count = 2, .target = &relays[2] },
	{ .line = 4, .senders = null_sender, .sender_count = 1, .target = &relays[3] },
};

static void
the_first_route_that_matches_wins(void **state)
{
	static const struct {
		const char *sender, *recipient, *relay;
		unsigned line;
	} rows[] = {
		{ "ann@work.example", "x@example.net", "work", 2 },
		{ "ANN@Work.Example", "x@lists.example.org", "work", 2 },
		{ "ann@example.org", "bob@example.net", "lists", 1 },
		{ "ann@example.org", "rob@example.net", "work", 2 },
		{ "eve@example.org", "bob@example.net", "smarthost", 0 },
		{ "eve@example.org", "a@lists.example.org", "lists", 3 },
		{ "eve@example.org", "a@b.lists.example.org", "lists", 3 },
		{ "", "a@b.lists.example.org", "lists", 3 },
		{ "", "ann@example.org", "reports", 4 },
		{ "", "postmaster", "reports", 4 },
		{ "eve@example.org", "postmaster", "smarthost", 0 },
	};
	const struct config config = { .relays = relays,
		.relay_count = COUNT(relays),
		.routes = routes,
		.route_count = COUNT(routes),
		.relay = &relays[0] };

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct address sender = address_of(rows[i].sender);
		const struct address recipient = address_of(rows[i].recipient);
		const struct route_config *rule = &routes[0];
		const struct relay_config *relay;

		relay = router_find(&config, &sender, &recipient, &rule);
		assert_string_equal(relay->name, rows[i].relay);
		assert_int_equal(rule != NULL ? rule->line : 0, rows[i].line);
		assert_ptr_equal(router_find(&config, &sender, &recipient, NULL), relay);
	}
}

/* Every order of the routes that match: the first is the one. */
static void
the_order_alone_decides(void **state)
{
	const struct address sender = address_of("ann@example.org");
	const struct address recipient = address_of("bob@example.net");

	(void)state;
	for (unsigned mask = 0; mask < 256; mask++) {
		struct route_config list[4];
		struct config config = { .routes = list, .route_count = COUNT(list) };
		const struct relay_config *expected = NULL;

		for (unsigned i = 0; i < 4; i++) {
			bool sender_fits = (mask >> (2 * i) & 1) != 0;
			bool recipient_fits = (mask >> (2 * i + 1) & 1) != 0;

			list[i] = (struct route_config){ .senders = sender_fits ? ann : null_sender,
				.sender_count = 1,
				.recipients = recipient_fits ? bob : ann,
				.recipient_count = 1,
				.target = &relays[i] };
			if (expected == NULL && sender_fits && recipient_fits)
				expected = &relays[i];
		}
		assert_ptr_equal(router_find(&config, &sender, &recipient, NULL), expected);
		config.relay = &relays[3];
		assert_ptr_equal(router_find(&config, &sender, &recipient, NULL),
		    expected != NULL ? expected : &relays[3]);
	}
}

static void
relays_are_found_by_name(void **state)
{
	const struct config config = { .relays = relays, .relay_count = COUNT(relays) };

	(void)state;
	assert_ptr_equal(router_relay(&config, "lists"), &relays[2]);
	assert_null(router_relay(&config, "Lists"));
	assert_null(router_relay(&config, ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_as_they_read),
		cmocka_unit_test(international_names_are_compared_as_a_labels),
		cmocka_unit_test(patterns_that_cannot_be_are_refused),
		cmocka_unit_test(patterns_read_as_themselves),
		cmocka_unit_test(matching_is_that_of_a_plain_matcher),
		cmocka_unit_test(the_first_route_that_matches_wins),
		cmocka_unit_test(the_order_alone_decides),
		cmocka_unit_test(relays_are_found_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
