/* test_queue_wait.c - mail that waits: not charged, held back, its sender warned and told. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <jansson.h>

#include "queue_fixture.h"
#include "queue/store_driver.h"

#ifndef __has_feature
#define __has_feature(feature)	0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
size_t __sanitizer_get_current_allocated_bytes(void);	/* its header is not always there */
#define ALLOCATED()	__sanitizer_get_current_allocated_bytes()
#else
#define ALLOCATED()	mallinfo2().uordblks
#endif

/* --- steps --- */

static int
set_up_warnings(void **state)
{
	(void)set_up(state);
	config.queue.delay_warning = 1000;
	config.queue.history = 86400;
	reopen(true);
	return 0;
}

static struct attempt
attempt_of(uint16_t reply_code, const char *enhanced, const char *text)
{
	struct attempt attempt = { .at = clock_now(), .relay = "hub/mx[192.0.2.7]:25",
	    .tls = "TLSv1.3/verified", .step = "RCPT TO" };

	attempt.status = reply_code != 0 ? status_reply(reply_code, enhanced, "%s", text) :
	    status_local(enhanced, "%s", text);
	return attempt;
}

static void
postpone(size_t batch, size_t index, const char *text, int64_t seconds)
{
	const struct attempt attempt = attempt_of(0, "4.4.1", text);

	queue_postpone(queue, batches[batch], index, &attempt, clock_now() + seconds);
}

static void
submit_asking(const char *reverse_path, unsigned notify)
{
	struct envelope *envelope = fresh(reverse_path, 1);

	envelope->recipients[0].notify = notify;
	submit_envelope(envelope, 500);
}

/* Stores a report about reports[index] and delivers it: it is the next of the batches. */
static void
tell(size_t index)
{
	struct content *content = content_of(place.directory, 300, 3);
	size_t before = batch_count;

	queue_reported(queue, reports[index], fresh("", 1), content);
	content_unref(content);
	AWAIT(batch_count == before + 1);
	assert_string_equal(batches[before]->reverse_path.local, "");
	(void)answer(before, 0, 250, "2.0.0");
	settle();
}

/* What the queue says of its first message. */
static const struct recipient *
look(void)
{
	(void)list((struct queue_filter){ 0 });
	return &shown_first;
}

static struct store_attempt shown[64];
static size_t shown_count;
static bool shown_queued;
static struct store_trace_row rows[16];
static size_t row_count;
static unsigned answers;

static void
on_shown(void *arg, const struct envelope *envelope, const struct store_attempt *attempts,
    size_t count, const struct error *err)
{
	(void)arg;
	answers++;
	control_failed = err != NULL;
	shown_queued = envelope != NULL;
	shown_count = count;
	assert_true(count <= 64);
	if (count > 0)
		memcpy(shown, attempts, count * sizeof(*attempts));
}

static size_t
show(const char *queue_id)
{
	answers = 0;
	queue_show(queue, queue_id, on_shown, NULL);
	assert_int_equal(answers, 0);
	AWAIT(answers == 1);
	return shown_count;
}

static void
on_traced(void *arg, const struct store_trace_row *traced, size_t count, const struct error *err)
{
	(void)arg;
	answers++;
	control_failed = err != NULL;
	row_count = count;
	assert_true(count <= 16);
	if (count > 0)
		memcpy(rows, traced, count * sizeof(*traced));
}

static size_t
trace(const char *what, size_t limit)
{
	answers = 0;
	queue_trace(queue, what, limit, on_traced, NULL);
	assert_int_equal(answers, 0);
	AWAIT(answers == 1);
	return row_count;
}

/* --- not charged --- */

static void
test_postponed_is_not_charged(void **state)
{
	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	postpone(0, 0, "connection refused", 60);
	AWAIT(counts().deferred == 1);
	assert_int_equal(look()->attempts, 0);
	assert_int_equal(look()->next_attempt, START + 60);
	assert_int_equal(look()->last_at, START);
	assert_string_equal(look()->last.text, "connection refused");
	assert_string_equal(look()->relay, "hub/mx[192.0.2.7]:25");
	pass(59);
	assert_int_equal(batch_count, 2);
	pass(2);
	AWAIT(batch_count == 4);
	assert_int_equal(batches[3]->recipients[0].attempts, 0);
	/* Nothing new is told: what is known stays. */
	queue_postpone(queue, batches[3], 0, NULL, clock_now() + 30);
	AWAIT(counts().deferred == 1);
	assert_string_equal(look()->last.text, "connection refused");
	assert_int_equal(look()->last_at, START);
	assert_int_equal(look()->next_attempt, START + 91);
}

/* A clock that jumps, or a relay that is paused for good, must not lose a message. */
static void
test_postponed_is_bounded(void **state)
{
	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	queue_postpone(queue, batches[0], 0, NULL, INT64_MAX);
	AWAIT(counts().deferred == 1);
	assert_int_equal(look()->next_attempt, START + 14400 + 60);
	settle();
	assert_int_equal(batch_count, 1);
	/* However short the schedule is, an hour is no clock that was set back. */
	config.queue.retry_min = config.queue.retry_max = 1;
	reopen(true);
	(void)act(QUEUE_RETRY, (struct queue_filter){ 0 });
	AWAIT(batch_count == 1);
	queue_postpone(queue, batches[0], 0, NULL, START + 3600);
	AWAIT(counts().deferred == 1);
	settle();
	assert_int_equal(batch_count, 1);
	assert_int_equal(look()->next_attempt, START + 3600);
}

static void
test_history_of_attempts(void **state)
{
	char queue_id[QUEUE_ID_MAX + 1];

	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	snprintf(queue_id, sizeof(queue_id), "%s", batches[0]->queue_id);
	postpone(0, 0, "connection refused", 10);
	AWAIT(counts().deferred == 1);
	pass(11);
	AWAIT(batch_count == 3);
	postpone(2, 0, "connection refused", 10);	/* the same again: not kept */
	AWAIT(counts().deferred == 1);
	pass(11);
	AWAIT(batch_count == 5);
	postpone(4, 0, "certificate has expired", 10);
	AWAIT(counts().deferred == 1);
	pass(11);
	AWAIT(batch_count == 7);
	(void)answer(6, 0, 451, "4.3.0");
	assert_int_equal(show(queue_id), 3);
	assert_true(shown_queued);
	assert_false(shown[0].attempt.charged);
	assert_int_equal(shown[0].attempt.at, START);
	assert_string_equal(shown[0].attempt.status.text, "connection refused");
	assert_string_equal(shown[0].attempt.tls, "TLSv1.3/verified");
	assert_string_equal(shown[0].attempt.step, "RCPT TO");
	assert_string_equal(shown[1].attempt.status.text, "certificate has expired");
	assert_int_equal(shown[1].attempt.at, START + 22);
	assert_true(shown[2].attempt.charged);
	assert_int_equal(shown[2].attempt.status.reply_code, 451);
	assert_int_equal(show("FFF"), 0);
	assert_false(shown_queued || control_failed);
	(void)show("no id");
	assert_true(control_failed);
}

static void
test_trace(void **state)
{
	char queue_id[QUEUE_ID_MAX + 1];

	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	snprintf(queue_id, sizeof(queue_id), "%s", batches[0]->queue_id);
	assert_int_equal(trace(queue_id, 0), 1);
	assert_string_equal(rows[0].fate, "queued");
	(void)answer(0, 0, 250, "2.0.0");
	AWAIT(counts().messages == 0);
	assert_int_equal(trace(queue_id, 0), 1);
	assert_string_equal(rows[0].fate, "sent");
	assert_int_equal(rows[0].attempts, 1);
	assert_true(rows[0].finished > START);
	assert_string_equal(rows[0].last.relay, "mx[192.0.2.7]:25");
	assert_int_equal(show(queue_id), 0);	/* the happy path: nothing but its row */
	submit(2, 500);
	AWAIT(batch_count == 2);
	assert_int_equal(trace("user0@example.net", 0), 2);
	assert_int_equal(trace("a@example.org", 2), 2);
	assert_int_equal(trace("nobody@example.org", 0), 0);
	assert_false(control_failed);
	/* Forgotten from now on. */
	config.queue.history = 0;
	wait_for(0);
	(void)answer(1, 0, 250, "2.0.0");
	(void)answer(1, 1, 550, "5.1.1");
	AWAIT(report_count == 1);
	queue_reported(queue, reports[0], NULL, NULL);
	AWAIT(counts().messages == 0);
	assert_int_equal(trace("user1@example.net", 0), 0);
}

static void
assert_fate(const char *queue_id, const char *fate, uint32_t attempts, size_t kept)
{
	assert_int_equal(trace(queue_id, 0), 1);
	assert_string_equal(rows[0].fate, fate);
	assert_int_equal(rows[0].attempts, attempts);
	assert_int_equal(show(queue_id), kept);
	assert_false(shown_queued);
}

/* The end of each is remembered, and what led to it. */
static void
test_trace_of_fates(void **state)
{
	struct attempt sent = attempt_of(250, "2.0.0", "Ok");
	char ids[4][QUEUE_ID_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < 4; i++)
		submit_asking("a@example.org", i == 2 ? NOTIFY_SUCCESS : 0);
	AWAIT(batch_count == 4);
	for (i = 0; i < 4; i++)
		snprintf(ids[i], sizeof(ids[i]), "%s", batches[i]->queue_id);
	(void)answer(0, 0, 451, "4.3.0");
	(void)answer(1, 0, 550, "5.1.1");
	(void)queue_result(queue, batches[2], 0, &sent);
	postpone(3, 0, "connection refused", 60);
	AWAIT(report_count == 2);
	for (i = 0; i < 2; i++)
		queue_reported(queue, reports[i], NULL, NULL);
	AWAIT(counts().messages == 2);
	assert_int_equal(act(QUEUE_REMOVE, (struct queue_filter){ .queue_id = ids[3] }), 1);
	assert_int_equal(act(QUEUE_RETRY, (struct queue_filter){ 0 }), 1);
	AWAIT(batch_count == 5);
	(void)answer(4, 0, 250, "2.0.0");
	AWAIT(counts().messages == 0);
	assert_fate(ids[0], "sent", 2, 2);
	assert_fate(ids[1], "bounced", 1, 1);
	assert_fate(ids[2], "relayed", 1, 1);
	assert_fate(ids[3], "removed", 0, 1);
}

/* Its relay was away for longer than the message lives: it is tried once it is back. */
static void
test_waiting_does_not_expire(void **state)
{
	(void)state;
	config.queue.delay_warning = 0;
	reopen(true);
	submit(1, 500);
	AWAIT(batch_count == 1);
	(void)answer(0, 0, 451, "4.3.0");
	AWAIT(counts().deferred == 1);
	clock_set((START + 400) * 1000000);
	reopen(true);
	AWAIT(batch_count == 1);
	clock_set((START + 2 * 432000) * 1000000);
	postpone(0, 0, "connection refused", 60);
	AWAIT(counts().deferred == 1);
	assert_int_equal(report_count, 0);
	assert_int_equal(look()->attempts, 1);
	clock_set((START + 3 * 432000) * 1000000);
	reopen(true);
	AWAIT(batch_count == 1);
	assert_int_equal(answer(0, 0, 451, "4.3.0"), QUEUE_EXPIRED);
	AWAIT(report_count == 1);
	assert_int_equal(reports[0]->recipients[0].last.enhanced.detail, 7);
}

/* --- held back --- */

static void
test_memory_is_flat(void **state)
{
	size_t i, before, during;

	(void)state;
	config.queue.delay_warning = 0;
	reopen(true);
	queue_hold_back(queue, INT64_MAX);
	for (i = 0; i < 2000; i++)
		submit(1, 3000);
	AWAIT(submitted == 2000);
	settle();
	before = ALLOCATED();
	for (; i < 20000; i++) {
		submit(1, 3000);
		if (i % 500 == 0)
			AWAIT(submitted == i + 1);
	}
	AWAIT(submitted == 20000);
	settle();
	during = ALLOCATED();
	print_message("20,000 messages: %zu octets in memory, after 2,000: %zu\n", during, before);
	assert_true(during < before + (1 << 20));
	assert_int_equal(batch_count, 0);
	assert_int_equal(counts().deferred, 20000);
	queue_hold_back(queue, 0);
	AWAIT(batch_count >= 1000);
	for (i = 1; i < batch_count; i++)
		assert_true(batches[i - 1]->id < batches[i]->id);
}

/* A few find out whether the relay is well; the others follow its first answer. */
static void
test_probes(void **state)
{
	size_t i;

	(void)state;
	queue_hold_back(queue, START + 60);
	for (i = 0; i < 300; i++)
		submit(1, 100);
	AWAIT(submitted == 300);
	settle();
	assert_int_equal(batch_count, 0);
	wait_for(61);
	AWAIT(batch_count == 50);
	settle();
	assert_int_equal(batch_count, 50);
	/* It is not: they wait with the others, and none is charged. */
	queue_hold_back(queue, START + 121);
	for (i = 0; i < 50; i++)
		postpone(i, 0, "connection refused", 60);
	AWAIT(counts().deferred == 300);
	settle();
	assert_int_equal(batch_count, 50);
	wait_for(61);
	AWAIT(batch_count == 100);
	settle();
	assert_int_equal(batch_count, 100);
	(void)answer(50, 0, 250, "2.0.0");
	AWAIT(batch_count == 300 + 50);	/* the first fifty came twice */
	assert_int_equal(batches[349]->recipients[0].attempts, 0);
	submit(1, 100);	/* and fresh mail is not put off any more */
	AWAIT(batch_count == 351);
}

/* The relay layer, which reads another clock, puts them off a little longer at once: all that
 * waits must not be read and put off in that moment. */
static void
test_probes_put_off_at_once(void **state)
{
	size_t i;

	(void)state;
	queue_hold_back(queue, START + 60);
	for (i = 0; i < 300; i++)
		submit(1, 100);
	AWAIT(submitted == 300);
	wait_for(60);
	AWAIT(batch_count == 50);
	for (i = 0; i < 50; i++)
		queue_postpone(queue, batches[i], 0, NULL, clock_now());
	AWAIT(counts().deferred == 300);
	settle();
	assert_int_equal(batch_count, 50);
	clock_set((clock_now() + 1) * 1000000);
	AWAIT(batch_count == 100);	/* the next second, by its timer */
	assert_true(batches[50]->id < batches[99]->id);
	(void)answer(50, 0, 250, "2.0.0");
	AWAIT(batch_count == 350);
}

/* One that hangs does not keep others from what they could take. */
static void
test_probes_that_hang(void **state)
{
	size_t i;

	(void)state;
	queue_hold_back(queue, START + 60);
	for (i = 0; i < 300; i++)
		submit(1, 100);
	AWAIT(submitted == 300);
	wait_for(60);
	AWAIT(batch_count == 50);
	wait_for(9);
	settle();
	assert_int_equal(batch_count, 50);
	clock_set((clock_now() + 1) * 1000000);
	AWAIT(batch_count == 300);	/* by its timer */
	submit(1, 100);
	AWAIT(batch_count == 301);
}

static void
test_hold_back_in_mid_flight(void **state)
{
	size_t i;

	(void)state;
	reopen(false);
	for (i = 0; i < 600; i++)
		submit(1, 100);
	AWAIT(submitted == 600);
	queue_start(queue);
	AWAIT(batch_count >= 1);
	submit(1, 100);	/* on its way to the relay */
	queue_hold_back(queue, INT64_MAX);
	i = batch_count;
	settle();
	settle();
	assert_int_equal(batch_count, i);	/* the claims in between were put back */
	assert_int_equal(counts().deferred + i, 601);
	queue_hold_back(queue, 0);
	AWAIT(batch_count == 601);
	assert_true(batches[i]->id < batches[i + 1]->id);
	/* Ended by its time although the clock was set back by years. */
	queue_hold_back(queue, START + 60);
	clock_set((START - 100000000) * 1000000);
	submit(1, 100);
	settle();
	assert_int_equal(batch_count, 601);	/* as many as are tried at once are in hand */
	(void)answer(0, 0, 250, "2.0.0");
	AWAIT(batch_count == 602);
}

/* The reports of what an administrator returns do not wait for a relay. */
static void
test_reports_go_on(void **state)
{
	(void)state;
	queue_hold_back(queue, INT64_MAX);
	submit(1, 500);
	AWAIT(submitted == 1);
	assert_int_equal(act(QUEUE_BOUNCE, (struct queue_filter){ 0 }), 1);
	AWAIT(report_count == 1);
	assert_string_equal(reports[0]->recipients[0].last.text, "returned by the administrator");
	assert_int_equal(reports[0]->recipients[0].last.enhanced.subject, 7);
	assert_int_equal(reports[0]->recipients[0].attempts, 0);
	assert_int_equal(counts().bounced, 1);
	queue_reported(queue, reports[0], NULL, NULL);
	AWAIT(counts().messages == 0);
	assert_int_equal(batch_count, 0);
}

static void
test_warned_while_held_back(void **state)
{
	size_t i;

	(void)state;
	queue_hold_back(queue, INT64_MAX);
	for (i = 0; i < 3; i++)
		submit(1, 500);
	submit_asking("a@example.org", NOTIFY_FAILURE);
	AWAIT(submitted == 4);
	wait_for(999);
	settle();
	assert_int_equal(report_count, 0);
	wait_for(1);
	AWAIT(report_count == 3);
	for (i = 0; i < 3; i++) {
		assert_true(reports[i]->recipients[0].warning_owed);
		queue_reported(queue, reports[i], NULL, NULL);
	}
	AWAIT(counts().deferred == 4);
	submit(1, 500);
	settle();
	assert_int_equal(report_count, 3);
	/* What came later in its turn, the others no more. */
	wait_for(1000);
	AWAIT(report_count == 4);
	settle();
	assert_int_equal(report_count, 4);
	assert_int_equal(batch_count, 0);
}

/* --- warnings --- */

static void
test_warned_once(void **state)
{
	char queue_id[QUEUE_ID_MAX + 1];

	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	assert_int_equal(answer(0, 0, 451, "4.3.0"), QUEUE_DEFERRED);
	AWAIT(counts().deferred == 1);
	assert_int_equal(report_count, 0);
	pass(1000);
	AWAIT(batch_count == 3);
	assert_int_equal(answer(2, 0, 451, "4.3.0"), QUEUE_DEFERRED);
	AWAIT(report_count == 1);
	assert_int_equal(reports[0]->recipient_count, 1);
	assert_true(reports[0]->recipients[0].warning_owed);
	assert_int_equal(reports[0]->recipients[0].state, RECIPIENT_DEFERRED);
	assert_true(reports[0]->recipients[0].next_attempt > START + 1000);
	tell(0);
	assert_int_equal(counts().deferred, 1);
	assert_true(look()->warned);
	assert_int_equal(look()->attempts, 2);
	pass(1000);
	AWAIT(batch_count == 6);
	snprintf(queue_id, sizeof(queue_id), "%s", batches[5]->queue_id);
	assert_int_equal(answer(5, 0, 451, "4.3.0"), QUEUE_DEFERRED);
	AWAIT(counts().deferred == 1);
	settle();
	assert_int_equal(report_count, 1);
	assert_int_equal(show(queue_id), 3);
}

/* NOTIFY without DELAY, NEVER, and the null sender; and where warnings are off. */
static void
test_not_warned(void **state)
{
	static const unsigned asked[] = { NOTIFY_FAILURE, NOTIFY_SUCCESS | NOTIFY_FAILURE,
	    NOTIFY_NEVER };
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		submit_asking("a@example.org", asked[i]);
	submit_asking("", 0);
	submit_asking("a@example.org", NOTIFY_DELAY);
	AWAIT(batch_count == 5);
	clock_set((START + 5000) * 1000000);
	for (i = 0; i < 4; i++)
		assert_int_equal(answer(i, 0, 451, "4.3.0"), QUEUE_DEFERRED);
	AWAIT(counts().deferred == 4);
	settle();
	assert_int_equal(report_count, 0);
	config.queue.delay_warning = 0;
	wait_for(0);
	postpone(4, 0, "connection refused", 0);
	AWAIT(batch_count == 6);
	assert_int_equal(report_count, 0);
	config.queue.delay_warning = 5000;
	wait_for(0);
	postpone(5, 0, "connection refused", 60);
	AWAIT(report_count == 1);
}

/* Neither a warning that is lost, nor two, nor an attempt that is forgotten. */
static void
test_warning_survives(void **state)
{
	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	clock_set((START + 2000) * 1000000);
	(void)answer(0, 0, 451, "4.3.0");
	AWAIT(report_count == 1);
	assert_int_equal(counts().active, 1);
	reopen(true);	/* before the report was written */
	assert_int_equal(counts().deferred, 1);
	assert_int_equal(look()->attempts, 1);
	assert_false(look()->warned);
	assert_true(look()->next_attempt > START + 2000);
	assert_int_equal(act(QUEUE_RETRY, (struct queue_filter){ 0 }), 1);
	AWAIT(batch_count == 1);
	postpone(0, 0, "connection refused", 60);
	AWAIT(report_count == 1);
	tell(0);
	reopen(true);
	assert_true(look()->warned);
	assert_int_equal(look()->next_attempt, START + 2060);
	assert_int_equal(act(QUEUE_RETRY, (struct queue_filter){ 0 }), 1);
	AWAIT(batch_count == 1);
	postpone(0, 0, "certificate has expired", 60);
	AWAIT(counts().deferred == 1);
	settle();
	assert_int_equal(report_count, 0);
}

/* One report for all: failed, delayed and relayed recipients of one message. */
static void
test_mixed_report(void **state)
{
	struct envelope *envelope = fresh("a@example.org", 4);
	struct attempt sent;

	(void)state;
	envelope->recipients[2].notify = NOTIFY_SUCCESS;
	submit_envelope(envelope, 500);
	AWAIT(batch_count == 1);
	clock_set((START + 2000) * 1000000);
	sent = attempt_of(250, "2.0.0", "Ok");
	(void)answer(0, 0, 550, "5.1.1");
	(void)answer(0, 1, 451, "4.3.0");
	assert_int_equal(queue_result(queue, batches[0], 2, &sent), QUEUE_SENT);
	(void)answer(0, 3, 250, "2.0.0");
	AWAIT(report_count == 1);
	assert_int_equal(reports[0]->recipient_count, 3);
	assert_int_equal(reports[0]->recipients[0].state, RECIPIENT_OWED);
	assert_true(reports[0]->recipients[1].warning_owed);
	assert_int_equal(reports[0]->recipients[2].state, RECIPIENT_OWED);
	assert_int_equal(reports[0]->recipients[2].last.reply_code, 250);
	tell(0);
	assert_int_equal(counts().messages, 1);
	assert_int_equal(counts().deferred, 1);
	assert_true(look()->warned);
	assert_string_equal(shown_first.forward_path.local, "user1");
}

static void
test_relayed(void **state)
{
	struct attempt sent = attempt_of(250, "2.0.0", "Ok");

	(void)state;
	submit_asking("a@example.org", NOTIFY_SUCCESS);
	submit_asking("a@example.org", NOTIFY_SUCCESS);
	submit_asking("", NOTIFY_SUCCESS);
	submit_asking("a@example.org", NOTIFY_FAILURE | NOTIFY_DELAY);
	AWAIT(batch_count == 4);
	sent.peer_does_dsn = true;
	(void)queue_result(queue, batches[0], 0, &sent);
	sent.peer_does_dsn = false;
	(void)queue_result(queue, batches[2], 0, &sent);
	(void)queue_result(queue, batches[3], 0, &sent);
	AWAIT(counts().messages == 1);
	assert_int_equal(report_count, 0);
	assert_int_equal(queue_result(queue, batches[1], 0, &sent), QUEUE_SENT);
	AWAIT(report_count == 1);
	assert_int_equal(counts().delivered, 4);
	reopen(true);	/* it is owed, and the mail is not sent again */
	AWAIT(report_count == 1);
	assert_int_equal(batch_count, 0);
	assert_int_equal(reports[0]->recipients[0].last.reply_code, 250);
	/* It was delivered: nothing is kept for want of a report. */
	queue_park(queue, reports[0], "no room");
	AWAIT(counts().messages == 0);
	assert_int_equal(counts().parked, 0);
}

/* --- reports --- */

static void
test_digest(void **state)
{
	struct content *content = content_of(place.directory, 300, 3);
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++)
		submit(2, 500);
	AWAIT(batch_count == 3);
	for (i = 0; i < 3; i++) {
		(void)answer(i, 0, 550, "5.1.1");
		(void)answer(i, 1, 551, "5.1.6");
	}
	AWAIT(report_count == 3);
	queue_reported_many(queue, reports, 3, fresh("", 1), content);
	content_unref(content);
	AWAIT(batch_count == 4);
	assert_int_equal(counts().messages, 1);
	assert_string_equal(batches[3]->reverse_path.local, "");
	reopen(true);
	AWAIT(batch_count == 1);
	settle();
	assert_int_equal(report_count, 0);
}

static void
test_report_later(void **state)
{
	(void)state;
	submit(2, 500);
	AWAIT(batch_count == 1);
	clock_set((START + 2000) * 1000000);
	(void)answer(0, 0, 550, "5.1.1");
	(void)answer(0, 1, 451, "4.3.0");
	AWAIT(report_count == 1);
	queue_report_later(queue, reports[0], START + 2100);
	AWAIT(counts().deferred == 1);
	pass(99);
	assert_int_equal(report_count, 1);
	reopen(true);
	pass(2);
	AWAIT(report_count == 1);
	assert_int_equal(reports[0]->recipient_count, 1);
	assert_int_equal(reports[0]->recipients[0].last.reply_code, 550);
	queue_reported(queue, reports[0], NULL, NULL);
	AWAIT(counts().active == 0);
	assert_true(look()->warned);	/* the warning is dropped */
	assert_int_equal(act(QUEUE_RETRY, (struct queue_filter){ 0 }), 1);
	AWAIT(batch_count == 2);
	(void)answer(1, 0, 451, "4.3.0");
	settle();
	assert_int_equal(report_count, 1);
}

static void
set_file_limit(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A sick store did not take a digest with a warning in it: it does when it is well. */
static void
test_trouble_with_reports(void **state)
{
	struct content *content = content_of(place.directory, 60000, 3);

	(void)state;
	submit(1, 500);
	submit(1, 500);
	AWAIT(batch_count == 2);
	clock_set((START + 2000) * 1000000);
	(void)answer(0, 0, 550, "5.1.1");
	postpone(1, 0, "connection refused", 60);
	AWAIT(report_count == 2);
	settle();
	set_file_limit(4096);
	queue_keep(queue, "rate:hub", "12");
	queue_reported_many(queue, reports, 2, fresh("", 1), content);
	content_unref(content);
	AWAIT(!queue_healthy(queue));
	settle();
	assert_int_equal(counts().messages, 2);
	set_file_limit(RLIM_INFINITY);
	AWAIT(queue_healthy(queue));
	AWAIT(batch_count == 3);
	AWAIT(counts().deferred == 1);
	(void)answer(2, 0, 250, "2.0.0");
	AWAIT(counts().messages == 1);
	assert_true(look()->warned);
	assert_int_equal(look()->next_attempt, START + 2060);
	settle();
	reopen(false);
	assert_int_equal(report_count, 0);
}

/* --- kills --- */

static struct envelope *to_report;

static void
on_child_dispatch(void *relay, struct envelope *batch, struct content *content)
{
	(void)relay;
	(void)content;
	batches[batch_count++ % 4096] = batch;
}

/* To an address that names the message, so that the test can tell them apart. */
static void
on_child_report(void *bounce, struct envelope *batch, struct content *content)
{
	char *text = mem_printf("r%s@example.net", batch->queue_id);
	const struct address null_path = { .local = "" }, about = address_of(text);

	(void)bounce;
	to_report = envelope_new(&null_path);
	envelope_add(to_report, &about);
	queue_new_id(queue, to_report->queue_id);
	queue_reported(queue, batch, to_report, content);
	free(text);
}

static void
on_child_submitted(void *arg, const char *queue_id, const struct error *err)
{
	char line[32];
	const int *out = arg;
	int len = snprintf(line, sizeof(line), "%lld,", strtoll(queue_id, NULL, 16));

	if (err != NULL || write(*out, line, (size_t)len) != len)
		_exit(1);
}

/* Mail that is old enough for a warning: half of it fails, half waits.  Reports wait. */
static void
child(int out)
{
	const struct queue_handlers handlers = { .dispatch = on_child_dispatch,
	    .report = on_child_report };
	struct envelope *envelope;
	struct error err;
	size_t done = 0;

	clock_set(-1);
	batch_count = 0;
	loop = loop_new(&err);
	queue = queue_new(loop, &config, &err);
	queue_set_handlers(queue, &handlers);
	queue_start(queue);
	for (;;) {
		struct content *content = content_of(place.directory, 500, 1);

		envelope = fresh("a@example.org", 1);
		envelope->arrived = clock_now() - 2000;
		queue_submit(queue, envelope, content, on_child_submitted, &out);
		content_unref(content);
		loop_turn(loop, 1);
		for (; done < batch_count; done++) {
			struct envelope *batch = batches[done % 4096];

			if (address_is_null(&batch->reverse_path) || batch->id % 2 == 0)
				postpone(done % 4096, 0, "connection refused", 3000);
			else
				(void)answer(done % 4096, 0, 550, "5.1.1");
		}
	}
}

#define REPORTS		"(SELECT forward_path FROM recipient)"
#define REPORT_OF(id)	"'r' || printf('%X', " id ") || '@example.net'"

/* Each is in the store or a report of it is; a warning and its report are both or neither. */
static size_t
assert_all_told(int fd)
{
	static char ids[1 << 20];
	char *query;
	size_t i, count = 0, used = 0;
	ssize_t got;

	while ((got = read(fd, ids + used, sizeof(ids) - 1 - used)) > 0)
		used += (size_t)got;
	close(fd);
	ids[used] = '\0';
	for (i = 0; i < used; i++)
		count += ids[i] == ',';
	query = mem_printf("%s%s%s", "SELECT count(*) FROM json_each('[", ids, "0]') WHERE "
	    "value <> 0 AND value NOT IN (SELECT id FROM message) AND "
	    REPORT_OF("value") " NOT IN " REPORTS);
	assert_int_equal(tamper(place.path, query), 0);
	free(query);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM recipient WHERE warned <> ("
	    REPORT_OF("message_id") " IN " REPORTS ")"), 0);
	assert_int_equal(tamper(place.path, "SELECT count(*) - count(DISTINCT forward_path) "
	    "FROM recipient WHERE forward_path LIKE 'r%'"), 0);
	return count;
}

static void
test_kill(void **state)
{
	unsigned short seed[3] = { 0x330e, (unsigned short)getpid(), 5 };
	int round, status, ends[2];
	struct pollfd waiting;
	size_t accepted = 0;
	int64_t warned = 0;
	pid_t pid;

	(void)state;
	queue_free(queue);
	print_message("seed %u\n", seed[1]);
	/* More where the machine is slow: some have to come as far as a warning. */
	for (round = 0; round < 15 || (warned == 0 && round < 100); round++) {
		assert_int_equal(pipe(ends), 0);
		pid = fork();
		if (pid == 0) {
			close(ends[0]);
			child(ends[1]);
		}
		close(ends[1]);
		waiting = (struct pollfd){ .fd = ends[0], .events = POLLIN };
		poll(&waiting, 1, 10000);	/* for the first that is accepted */
		poll(NULL, 0, round + (int)(nrand48(seed) % 80) +
		    (round > 15 ? (round - 15) * 40 : 0));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		accepted += assert_all_told(ends[0]);
		warned = tamper(place.path, "SELECT sum(warned) FROM recipient");
	}
	print_message("%d kills, %zu accepted, %lld warned\n", round, accepted,
	    (long long)warned);
	open_queue(false);
	assert_true(warned > 0);
}

/* --- actions --- */

static void
test_actions(void **state)
{
	const struct queue_filter all = { 0 };

	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	assert_int_equal(act(QUEUE_HOLD, all), 0);	/* in hand */
	postpone(0, 0, "connection refused", 600);
	assert_int_equal(act(QUEUE_HOLD, all), 1);
	assert_int_equal(counts().held, 1);
	assert_int_equal(act(QUEUE_RETRY, all), 0);	/* held is held */
	pass(700);
	assert_int_equal(batch_count, 2);
	assert_int_equal(act_by(QUEUE_REROUTE, all, "other"), 1);
	assert_int_equal(counts().held, 1);
	assert_int_equal(act(QUEUE_RELEASE, all), 1);
	AWAIT(batch_count == 3);
	assert_string_equal(batches[2]->recipients[0].chosen_relay, "other");
	postpone(2, 0, "connection refused", 600);
	assert_int_equal(act_by(QUEUE_REROUTE, all, "third"), 1);
	AWAIT(batch_count == 4);	/* due now */
	assert_string_equal(batches[3]->recipients[0].chosen_relay, "third");
	postpone(3, 0, "connection refused", 600);
	assert_int_equal(act(QUEUE_BOUNCE, all), 1);
	AWAIT(report_count == 1);
	queue_park(queue, reports[0], "cannot be reported");
	AWAIT(counts().parked == 1);
	assert_int_equal(act(QUEUE_RETRY, all), 1);
	AWAIT(batch_count == 5);
	postpone(4, 0, "connection refused", 600);
	AWAIT(counts().deferred == 1);
	assert_int_equal(act(QUEUE_HOLD, all), 1);
	assert_int_equal(act(QUEUE_REMOVE, all), 1);
	AWAIT(counts().messages == 0);
}

/* Administrators are not kept waiting by a relay that is away. */
static void
test_actions_while_held_back(void **state)
{
	const struct queue_filter all = { 0 };
	size_t i;

	(void)state;
	queue_hold_back(queue, INT64_MAX);
	for (i = 0; i < 10; i++)
		submit(1, 500);
	AWAIT(submitted == 10);
	assert_int_equal(act(QUEUE_HOLD, all), 10);
	assert_int_equal(act(QUEUE_RELEASE, all), 10);
	assert_int_equal(act(QUEUE_REMOVE, all), 10);
	AWAIT(counts().messages == 0);
	assert_int_equal(batch_count, 0);
}

/* --- small values --- */

static void
assert_kept(const char *name, const char *wanted)
{
	char *text = queue_kept(queue, name);

	if (wanted == NULL)
		assert_null(text);
	else
		assert_string_equal(text, wanted);
	free(text);
}

static json_int_t
commits(void)
{
	json_t *status = queue_service.status(queue);
	json_int_t count = json_integer_value(json_object_get(status, "commits"));

	json_decref(status);
	return count;
}

static void
test_kept(void **state)
{
	char text[16];
	size_t i;

	(void)state;
	clock_set(-1);
	assert_kept("rate:hub", NULL);
	for (i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%zu", i);
		queue_keep(queue, "rate:hub", text);
		loop_turn(loop, 0);
	}
	queue_keep(queue, "paused:hub", "1");
	assert_kept("rate:hub", "999");	/* known at once */
	settle();
	assert_true(commits() < 20);
	reopen(true);
	assert_kept("rate:hub", "999");
	assert_kept("paused:hub", "1");
	assert_kept("paused:other", NULL);
	queue_keep(queue, "paused:hub", "");
	assert_kept("paused:hub", NULL);
	reopen(true);
	assert_kept("paused:hub", NULL);
	assert_kept("rate:hub", "999");
}

/* What came within a second of the last write is written by itself. */
static void
test_kept_in_time(void **state)
{
	json_int_t before;

	(void)state;
	clock_set(-1);
	queue_keep(queue, "rate:hub", "1");
	settle();
	before = commits();
	queue_keep(queue, "rate:hub", "2");
	settle();
	assert_int_equal(commits(), before);
	AWAIT(commits() == before + 1);
	queue_free(queue);
	assert_int_equal(tamper(place.path, "SELECT CAST(value AS INTEGER) FROM kept"), 2);
	open_queue(false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_warnings, tear_down)
		TEST(test_postponed_is_not_charged),
		TEST(test_postponed_is_bounded),
		TEST(test_history_of_attempts),
		TEST(test_trace),
		TEST(test_trace_of_fates),
		TEST(test_waiting_does_not_expire),
		TEST(test_memory_is_flat),
		TEST(test_probes),
		TEST(test_probes_put_off_at_once),
		TEST(test_probes_that_hang),
		TEST(test_hold_back_in_mid_flight),
		TEST(test_reports_go_on),
		TEST(test_warned_while_held_back),
		TEST(test_warned_once),
		TEST(test_not_warned),
		TEST(test_warning_survives),
		TEST(test_mixed_report),
		TEST(test_relayed),
		TEST(test_digest),
		TEST(test_report_later),
		TEST(test_trouble_with_reports),
		TEST(test_kill),
		TEST(test_actions),
		TEST(test_actions_while_held_back),
		TEST(test_kept),
		TEST(test_kept_in_time),
	};

	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
