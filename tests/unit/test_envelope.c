/* test_envelope.c - envelopes grow, copy and name their states. */
#include "mail/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct address
mailbox(const char *text)
{
	struct address address;

	assert_int_equal(address_parse(&address, text, strlen(text)), ADDRESS_OK);
	return address;
}

static void
test_thousand_recipients(void **state)
{
	struct address sender = mailbox("ann@example.org");
	struct envelope *envelope = envelope_new(&sender), *copy;

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		char text[64];
		struct address address;

		snprintf(text, sizeof(text), "r%u@example.net", i);
		address = mailbox(text);
		envelope_add(envelope, &address)->attempts = i;
	}
	snprintf(envelope->queue_id, sizeof(envelope->queue_id), "%s", "0123456789ABCDEF");
	copy = envelope_copy(envelope);
	envelope_free(envelope);
	assert_int_equal(copy->recipient_count, 1000);
	assert_string_equal(copy->queue_id, "0123456789ABCDEF");
	assert_true(address_equal(&copy->reverse_path, &sender));
	for (unsigned i = 0; i < 1000; i++) {
		assert_int_equal(copy->recipients[i].attempts, i);
		assert_int_equal(copy->recipients[i].state, RECIPIENT_ACTIVE);
	}
	envelope_free(copy);
	envelope_free(NULL);
}

/* A count made smaller from outside must not make the next add write beyond the room. */
static void
test_add_after_shrink(void **state)
{
	struct address address = mailbox("ann@example.org");

	(void)state;
	for (size_t fill = 0; fill < 20; fill++) {
		for (size_t left = 0; left <= fill; left++) {
			struct envelope *envelope = envelope_new(&address);

			for (size_t i = 0; i < fill; i++)
				envelope_add(envelope, &address);
			envelope->recipient_count = left;
			for (size_t i = 0; i < 20; i++)
				envelope_add(envelope, &address);
			assert_int_equal(envelope->recipient_count, left + 20);
			envelope_free(envelope);
		}
	}
}

static void
test_empty_copy(void **state)
{
	struct address null_path = { .local = "" };
	struct envelope *envelope = envelope_new(&null_path), *copy = envelope_copy(envelope);

	(void)state;
	assert_true(address_is_null(&copy->reverse_path));
	assert_int_equal(copy->recipient_count, 0);
	assert_null(copy->recipients);
	envelope_free(envelope);
	envelope_free(copy);
}

static void
test_state_names(void **state)
{
	static const struct {
		enum recipient_state state;
		const char *name;
	} rows[] = {
		{ RECIPIENT_ACTIVE, "active" },
		{ RECIPIENT_DEFERRED, "deferred" },
		{ RECIPIENT_HELD, "held" },
		{ RECIPIENT_OWED, "owed" },
		{ RECIPIENT_PARKED, "parked" },
		{ RECIPIENT_DONE, "done" },
	};
	enum recipient_state found;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(recipient_state_name(rows[i].state), rows[i].name);
		assert_true(recipient_state_parse(rows[i].name, &found));
		assert_int_equal(found, rows[i].state);
	}
	assert_false(recipient_state_parse("Active", &found));
	assert_false(recipient_state_parse("", &found));
}

/* Each copy owns its texts: the other may go first. */
static void
test_texts_are_copied(void **state)
{
	struct address address = mailbox("ann@example.org");
	struct envelope *envelope = envelope_new(&address), *copy;

	(void)state;
	envelope->envid = envelope_keep(envelope, "QQ314159 and more", 8);
	envelope->message_id = envelope_keep(envelope, "<1@example.org>", 15);
	envelope_add(envelope, &address);
	envelope_add(envelope, &address)->orcpt = envelope_keep(envelope, "rfc822;a", 8);
	copy = envelope_copy(envelope);
	envelope_free(envelope);
	assert_string_equal(copy->envid, "QQ314159");
	assert_string_equal(copy->message_id, "<1@example.org>");
	assert_null(copy->recipients[0].orcpt);
	assert_string_equal(copy->recipients[1].orcpt, "rfc822;a");
	envelope_free(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_thousand_recipients),
		cmocka_unit_test(test_add_after_shrink),
		cmocka_unit_test(test_texts_are_copied),
		cmocka_unit_test(test_empty_copy),
		cmocka_unit_test(test_state_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
