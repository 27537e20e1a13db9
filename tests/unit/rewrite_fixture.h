/* rewrite_fixture.h - an identity with aliases, and messages that go through it in pieces. */
#ifndef HERALD_TESTS_REWRITE_FIXTURE_H
#define HERALD_TESTS_REWRITE_FIXTURE_H

#include "base/buf.h"
#include "base/error.h"
#include "mail/aliases.h"
#include "mail/identity.h"
#include "mail/rewrite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const fixture_names[] = { "localhost", "localhost.localdomain" };

static const char fixture_aliases[] =
    "root: admin@example.org\n"
    "www-data: root\n"
    "ops: ann@example.org, bob@example.net\n"
    "\"the boss\": chief@example.org\n"
    "self: \\self, copy@example.net\n"
    "wide: ann@b\303\274cher.example\n"
    "pi: nobody-here\n";

/* from: "" for none. */
static inline void
fixture_identity(struct identity *out, const char *from)
{
	struct error err;

	*out = (struct identity){ .hostname = "web1.example.org", .domain = "mail.example.org",
		.local_names = fixture_names, .local_name_count = 2 };
	out->aliases = aliases_parse("aliases", fixture_aliases, strlen(fixture_aliases),
	    identity_is_local_name, out, &err);
	if (out->aliases == NULL ||
	    address_parse(&out->from, from, strlen(from)) != ADDRESS_OK) {
		fprintf(stderr, "fixture: %s\n", err.text);
		abort();
	}
}

static inline void
fixture_free(struct identity *identity)
{
	aliases_free((struct aliases *)(uintptr_t)identity->aliases);
}

static inline void
fixture_sink(void *arg, const char *octets, size_t len)
{
	buf_append(arg, octets, len);
}

/* `cut` says how many octets come next; NULL: all at once.  The result is the caller's. */
static inline enum rewrite_fault
fixture_rewrite(const struct identity *identity, const char *reverse_path, const char *message,
    size_t len, size_t (*cut)(void), struct buf *out)
{
	struct address sender;
	struct rewrite_params params = { .identity = identity, .reverse_path = &sender,
		.hostname = "web1.example.org", .queue_id = "ABC001", .now = 1795410367 };
	struct rewrite *rewrite;
	enum rewrite_fault fault;
	size_t at = 0;

	if (address_parse(&sender, reverse_path, strlen(reverse_path)) != ADDRESS_OK)
		abort();
	rewrite = rewrite_new(&params, fixture_sink, out);
	while (at < len) {
		size_t step = cut != NULL ? cut() : len;

		if (step > len - at)
			step = len - at;
		rewrite_write(rewrite, message + at, step);
		at += step;
	}
	fault = rewrite_end(rewrite);
	rewrite_free(rewrite);
	return fault;
}

#endif
