/* test_digest.c - a storm of failures through a real queue: sixty reports, then one digest. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue_fixture.h"
#include "relay/bounce.h"

#define STORM	190	/* messages that fail: 60 are reported at once */

/* The configuration is of this file; it is counted by nobody. */
const struct config *
config_ref(const struct config *referred)
{
	return referred;
}

void
config_unref(const struct config *referred)
{
	(void)referred;
}

static struct bounce *bounce;
static size_t told, digests, listed_lines;
static char latest[256 * 1024];

/* Reports are delivered, all else fails. */
static void
relay(void *owner, struct envelope *batch, struct content *content)
{
	struct error err;
	size_t got;

	(void)owner;
	assert_true(batch_count < 4096);
	batches[batch_count++] = batch;
	if (!address_is_null(&batch->reverse_path))
		return;
	assert_true(content_read(content, 0, latest, sizeof(latest) - 1, &got, &err));
	latest[got] = '\0';
	assert_int_equal(got, content_size(content));
	assert_true(strstr(latest, "To: <a@example.org>\r\n") != NULL);
	told++;
	digests += strstr(latest, "Subject: Undelivered Mail: ") != NULL;
}

static void
answer_all(void)
{
	for (size_t i = 0; i < batch_count; i++)
		for (size_t k = 0; k < batches[i]->recipient_count; k++)
			(void)answer(i, k, address_is_null(&batches[i]->reverse_path) ? 250 : 550,
			    address_is_null(&batches[i]->reverse_path) ? "2.0.0" : "5.1.1");
	batch_count = 0;
}

#define RUN_UNTIL(condition) do { \
	int turns_; \
	for (turns_ = 0; !(condition) && turns_ < 4000; turns_++) { \
		loop_turn(loop, 5); \
		answer_all(); \
	} \
	assert_true(condition); \
} while (0)

static void
open_all(void)
{
	const struct queue_handlers handlers = { .dispatch = relay, .report = bounce_report };
	struct queue_handlers wired = handlers;

	bounce = bounce_new(loop, queue);
	bounce_service.commit(bounce, bounce, &config);
	wired.bounce = bounce;
	queue_set_handlers(queue, &wired);
}

static int
set_up_storm(void **state)
{
	set_up(state);
	config.hostname = "web1.example.org";
	told = digests = listed_lines = 0;
	open_all();
	return 0;
}

static int
tear_down_storm(void **state)
{
	int result;

	assert_true(bounce_service.drain(bounce));
	result = tear_down(state);
	bounce_service.destroy(bounce);
	return result;
}

static void
test_storm(void **state)
{
	(void)state;
	for (size_t i = 0; i < STORM; i++)
		submit(1, 400);
	RUN_UNTIL(told == 60 && counts().messages == STORM - 60);
	settle();
	assert_int_equal(digests, 0);
	/* Nothing happens before its time. */
	clock_set((START + 3500) * 1000000);
	submit_envelope(fresh("a@example.org", 1), 10);
	RUN_UNTIL(counts().messages == STORM - 60 + 1);
	settle();
	answer_all();
	settle();
	assert_int_equal(told, 60);
	/* The hour is over: one for all of them, which leaves the queue empty. */
	wait_for(START + 3601 - clock_now());
	RUN_UNTIL(counts().messages == 0);
	assert_int_equal(digests, 1);
	assert_int_equal(told, 61);
	assert_non_null(strstr(latest, "Subject: Undelivered Mail: 131 Messages\r\n"));
	for (const char *at = latest; (at = strstr(at, "550 5.1.1 said the peer")) != NULL; at++)
		listed_lines++;
	assert_int_equal(listed_lines, 131);
	assert_int_equal(counts().parked, 0);
}

/* What is owed is in the store: a restart forgets who was told, and loses nothing. */
static void
test_restart(void **state)
{
	(void)state;
	for (size_t i = 0; i < 100; i++)
		submit(1, 400);
	RUN_UNTIL(told == 60 && counts().messages == 40);
	settle();
	queue_free(queue);
	bounce_service.destroy(bounce);
	batch_count = 0;
	open_queue(false);
	open_all();
	queue_start(queue);
	settle();
	assert_int_equal(counts().messages, 40);
	wait_for(START + 3601 - clock_now());
	RUN_UNTIL(counts().messages == 0);
	assert_int_equal(told, 100);
	assert_int_equal(digests, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_storm, set_up_storm, tear_down_storm),
		cmocka_unit_test_setup_teardown(test_restart, set_up_storm, tear_down_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
