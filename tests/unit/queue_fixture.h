/* queue_fixture.h - a queue with a real store, and a relay and bounce writer to answer for. */
#ifndef HERALD_TESTS_UNIT_QUEUE_FIXTURE_H
#define HERALD_TESTS_UNIT_QUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "conf/config.h"
#include "net/loop.h"
#include "queue/queue.h"
#include "store_fixture.h"

#define START	1700000000LL	/* Unix seconds at which the clock stands */

static struct place place;
static struct config config;
static struct loop *loop;
static struct queue *queue;

/* What the relay and the bounce writer were given. */
static struct envelope *batches[4096], *reports[64];
static struct content *contents[4096];
static size_t batch_count, report_count, submitted, refused;

static inline void
on_dispatch(void *relay, struct envelope *batch, struct content *content)
{
	assert_ptr_equal(relay, &batches);
	assert_true(batch_count < 4096);
	contents[batch_count] = content;
	batches[batch_count++] = batch;
}

static inline void
on_report(void *bounce, struct envelope *failed, struct content *content)
{
	assert_ptr_equal(bounce, &reports);
	assert_non_null(content);
	reports[report_count++] = failed;
}

static inline void
on_submitted(void *arg, const char *queue_id, const struct error *err)
{
	(void)arg;
	assert_true(queue_id[0] != '\0');
	submitted++;
	refused += err != NULL;
}

static inline void
open_queue(bool start)
{
	const struct queue_handlers handlers = { .dispatch = on_dispatch, .relay = &batches,
	    .report = on_report, .bounce = &reports };
	struct error err;

	queue = queue_new(loop, &config, &err);
	if (queue == NULL)
		print_message("%s\n", err.text);
	assert_non_null(queue);
	queue_set_handlers(queue, &handlers);
	if (start)
		queue_start(queue);
}

static inline void
reopen(bool start)
{
	queue_free(queue);
	batch_count = report_count = submitted = refused = 0;
	open_queue(start);
}

static inline int
set_up(void **state)
{
	const struct log_settings quiet = { .level = LOG_LEVEL_CRITICAL, .ident = "herald" };
	struct error err;

	(void)state;
	log_configure(&quiet);
	place_make(&place);
	config.queue = (struct queue_config){ .store = place.path,
	    .state_directory = place.directory, .max_message_size = 35 << 20,
	    .retry_min = 300, .retry_max = 14400, .lifetime = 432000, .bounce_lifetime = 86400 };
	clock_set(START * 1000000);
	loop = loop_new(&err);
	batch_count = report_count = submitted = refused = 0;
	open_queue(true);
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	queue_free(queue);
	loop_free(loop);
	clock_set(-1);
	place_remove(&place);
	return 0;
}

/* --- steps --- */

#define AWAIT(condition) do { \
	int turns_; \
	for (turns_ = 0; !(condition) && turns_ < 3000; turns_++) \
		loop_turn(loop, 5); \
	assert_true(condition); \
} while (0)

/* Long enough for the thread to have done what it would do. */
static inline void
settle(void)
{
	int turns;

	for (turns = 0; turns < 15; turns++)
		loop_turn(loop, 5);
}

static inline struct envelope *
fresh(const char *reverse_path, size_t recipients)
{
	struct envelope *envelope = envelope_of(0, reverse_path, recipients);

	envelope->arrived = envelope->expires = 0;
	queue_new_id(queue, envelope->queue_id);
	return envelope;
}

static inline void
submit_envelope(struct envelope *envelope, size_t size)
{
	struct content *content = content_of(place.directory, size, 1);

	queue_submit(queue, envelope, content, on_submitted, NULL);
	content_unref(content);
}

static inline void
submit(size_t recipients, size_t size)
{
	submit_envelope(fresh("a@example.org", recipients), size);
}

static inline enum queue_fate
answer(size_t batch, size_t index, uint16_t reply_code, const char *enhanced)
{
	struct attempt attempt = { .at = clock_now(), .relay = "mx[192.0.2.7]:25" };

	attempt.status = status_reply(reply_code, enhanced, "said the peer");
	return queue_result(queue, batches[batch], index, &attempt);
}

static inline struct queue_counts
counts(void)
{
	struct queue_counts out;

	queue_count(queue, &out);
	return out;
}

/* The timer of the loop runs by the real clock: waking it is the test's business. */
static inline void
advance(int64_t seconds)
{
	clock_set((clock_now() + seconds) * 1000000);
	submit(1, 10);	/* any event makes the queue look at the clock */
}

/* Without: the queue looks because its settings are set anew. */
static inline void
wait_for(int64_t seconds)
{
	clock_set((clock_now() + seconds) * 1000000);
	queue_service.commit(queue, queue_service.prepare(queue, &config, NULL), &config);
}

/* The same as advance(), with the message that it submits delivered: it is the next of the
 * batches. */
static inline void
pass(int64_t seconds)
{
	size_t before = batch_count;

	advance(seconds);
	AWAIT(batch_count == before + 1);
	(void)answer(before, 0, 250, "2.0.0");
	settle();
}

/* --- control --- */

static uint64_t changed, listed;
static bool control_failed;
static char seen_state[32];
static struct recipient shown_first;	/* the first of the first message */

static inline void
on_acted(void *arg, uint64_t count, const struct error *err)
{
	(void)arg;
	changed = err == NULL ? count : 0;
	control_failed = err != NULL;
	submitted++;
}

static inline void
on_listed(void *arg, struct envelope *const *messages, size_t count, const struct error *err)
{
	(void)arg;
	listed = count;
	control_failed = err != NULL;
	if (count > 0) {
		shown_first = messages[0]->recipients[0];
		shown_first.orcpt = NULL;
		snprintf(seen_state, sizeof(seen_state), "%s",
		    recipient_state_name(shown_first.state));
	}
	submitted++;
}

static inline uint64_t
act_by(enum queue_action action, struct queue_filter filter, const char *relay)
{
	submitted = 0;
	queue_act(queue, action, &filter, relay, on_acted, NULL);
	assert_int_equal(submitted, 0);
	AWAIT(submitted == 1);
	return changed;
}

static inline uint64_t
act(enum queue_action action, struct queue_filter filter)
{
	return act_by(action, filter, NULL);
}

static inline uint64_t
list(struct queue_filter filter)
{
	submitted = 0;
	queue_list(queue, &filter, on_listed, NULL);
	assert_int_equal(submitted, 0);
	AWAIT(submitted == 1);
	return listed;
}

#endif
