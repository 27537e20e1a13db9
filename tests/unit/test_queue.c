/* test_queue.c - the queue with a real store: takes over, retries, reports, loses none. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <jansson.h>

#include "base/map.h"
#include "base/memory_budget.h"
#include "queue_fixture.h"

/* --- tests --- */

static void
test_delivered(void **state)
{
	(void)state;
	submit(2, 5000);
	assert_int_equal(submitted, 0);
	assert_int_equal(batch_count, 0);
	AWAIT(batch_count == 1);
	assert_int_equal(submitted, 1);	/* 250 is said before delivery starts */
	assert_int_equal(refused, 0);
	assert_int_equal(batches[0]->recipient_count, 2);
	assert_int_equal(batches[0]->expires, START + 432000);
	assert_int_equal(content_size(contents[0]), 5000);
	assert_int_equal(counts().active, 2);
	assert_int_equal(answer(0, 1, 250, "2.0.0"), QUEUE_SENT);
	settle();
	assert_int_equal(counts().messages, 1);
	assert_int_equal(answer(0, 0, 250, "2.0.0"), QUEUE_SENT);
	/* The relay may look at the batch until the end of the turn. */
	assert_int_equal(batches[0]->recipients[0].state, RECIPIENT_DONE);
	AWAIT(counts().messages == 0);
	assert_int_equal(counts().accepted, 1);
	assert_int_equal(counts().delivered, 2);
	assert_int_equal(counts().active, 0);
}

static void
test_ids_never_come_again(void **state)
{
	char first[QUEUE_ID_MAX + 1], second[QUEUE_ID_MAX + 1];

	(void)state;
	queue_new_id(queue, first);
	queue_new_id(queue, second);
	assert_true(strlen(first) <= QUEUE_ID_MAX && strcmp(first, second) < 0);
	submit(1, 100);
	AWAIT(submitted == 1);
	snprintf(first, sizeof(first), "%s", batches[0]->queue_id);
	(void)answer(0, 0, 250, "2.0.0");
	AWAIT(counts().messages == 0);
	clock_set((START - 86400) * 1000000);	/* the clock is set back, and the queue empty */
	reopen(true);
	queue_new_id(queue, second);
	assert_true(strcmp(first, second) < 0);
}

static void
test_retry_and_grouping(void **state)
{
	size_t i;

	(void)state;
	submit(3, 100000);
	AWAIT(batch_count == 1);
	assert_int_equal(answer(0, 0, 451, "4.3.0"), QUEUE_DEFERRED);
	assert_int_equal(answer(0, 1, 250, "2.0.0"), QUEUE_SENT);
	assert_int_equal(answer(0, 2, 421, "4.3.2"), QUEUE_DEFERRED);
	AWAIT(counts().deferred == 2);
	advance(269);
	AWAIT(batch_count == 2);
	settle();
	assert_int_equal(batch_count, 2);	/* the new one alone */
	(void)answer(1, 0, 250, "2.0.0");
	advance(62);
	AWAIT(batch_count == 4);
	i = batches[2]->recipient_count == 2 ? 2 : 3;
	assert_int_equal(batches[i]->recipient_count, 2);	/* together again */
	assert_int_equal(content_size(contents[i]), 100000);
	assert_int_equal(batches[i]->recipients[0].attempts, 1);
	assert_string_equal(batches[i]->recipients[0].last.text, "said the peer");
	assert_string_equal(batches[i]->recipients[0].relay, "mx[192.0.2.7]:25");
	assert_int_equal(answer(i, 0, 250, "2.0.0"), QUEUE_SENT);
	assert_int_equal(answer(i, 1, 250, "2.0.0"), QUEUE_SENT);
	(void)answer(5 - i, 0, 250, "2.0.0");
	AWAIT(counts().messages == 0);
}

static void
test_timer_wakes(void **state)
{
	(void)state;
	config.queue.retry_min = config.queue.retry_max = 1;
	clock_set(-1);
	reopen(true);
	submit(1, 100);
	AWAIT(batch_count == 1);
	(void)answer(0, 0, 451, "4.3.0");
	AWAIT(batch_count == 2);
	(void)answer(1, 0, 250, "2.0.0");
	AWAIT(counts().messages == 0);
}

static void
test_failed_and_reported(void **state)
{
	struct content *content = content_of(place.directory, 700, 2);
	struct envelope *report;

	(void)state;
	submit(3, 5000);
	AWAIT(batch_count == 1);
	assert_int_equal(answer(0, 0, 550, "5.1.1"), QUEUE_BOUNCED);
	assert_int_equal(answer(0, 1, 250, "2.0.0"), QUEUE_SENT);
	settle();
	assert_int_equal(report_count, 0);	/* the batch has not ended */
	assert_int_equal(answer(0, 2, 554, "5.7.1"), QUEUE_BOUNCED);
	AWAIT(report_count == 1);
	assert_int_equal(reports[0]->recipient_count, 2);
	assert_int_equal(reports[0]->recipients[1].last.reply_code, 554);
	report = fresh("", 1);
	queue_reported(queue, reports[0], report, content);
	content_unref(content);
	AWAIT(batch_count == 2);
	assert_int_equal(batches[1]->expires, START + 86400);
	AWAIT(counts().messages == 1);	/* the report alone */
	assert_int_equal(counts().accepted, 1);
	/* A report that fails too is parked. */
	assert_int_equal(answer(1, 0, 550, "5.1.1"), QUEUE_BOUNCED);
	AWAIT(report_count == 2);
	queue_park(queue, reports[1], "a report cannot be reported");
	AWAIT(counts().parked == 1);
	reopen(true);
	settle();
	assert_int_equal(counts().parked, 1);
	assert_int_equal(batch_count + report_count, 0);
}

static void
test_nobody_wants_a_report(void **state)
{
	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	(void)answer(0, 0, 550, "5.1.1");
	AWAIT(report_count == 1);
	queue_reported(queue, reports[0], NULL, NULL);
	AWAIT(counts().messages == 0);
}

static void
test_report_owed_survives(void **state)
{
	(void)state;
	submit(2, 500);
	AWAIT(batch_count == 1);
	(void)answer(0, 0, 550, "5.1.1");
	(void)answer(0, 1, 451, "4.3.0");
	AWAIT(report_count == 1);
	AWAIT(counts().deferred == 1);
	reopen(true);	/* before the report was written */
	AWAIT(report_count == 1);
	assert_int_equal(batch_count, 0);
	assert_int_equal(reports[0]->recipient_count, 1);
	assert_int_equal(reports[0]->recipients[0].last.reply_code, 550);
	assert_string_equal(reports[0]->recipients[0].last.text, "said the peer");
	queue_reported(queue, reports[0], NULL, NULL);
	settle();
	assert_int_equal(counts().messages, 1);
	reopen(true);
	settle();
	assert_int_equal(report_count, 0);
}

static void
test_expired(void **state)
{
	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	/* Never after one attempt alone, however late that comes. */
	clock_set((START + 432000) * 1000000);
	assert_int_equal(answer(0, 0, 451, "4.3.0"), QUEUE_DEFERRED);
	AWAIT(counts().deferred == 1);
	clock_set((START + 432000 + 330) * 1000000);
	reopen(true);
	AWAIT(batch_count == 1);
	assert_int_equal(answer(0, 0, 451, "4.3.0"), QUEUE_EXPIRED);
	AWAIT(report_count == 1);
	assert_int_equal(reports[0]->recipients[0].last.enhanced.detail, 7);
	assert_non_null(strstr(reports[0]->recipients[0].last.text, "said the peer"));
	assert_int_equal(counts().expired, 1);
	queue_reported(queue, reports[0], NULL, NULL);
	AWAIT(counts().messages == 0);
}

/* Deferred while the clock ran years ahead: due when it is right again. */
static void
test_clock_set_back(void **state)
{
	const int64_t ahead = 10 * 365 * 86400LL;

	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	clock_set((START + ahead) * 1000000);
	assert_int_equal(answer(0, 0, 451, "4.3.0"), QUEUE_DEFERRED);
	AWAIT(counts().deferred == 1);
	clock_set(START * 1000000);
	pass(1);
	AWAIT(batch_count == 3);	/* with the one that pass() submits */
	assert_int_equal(counts().deferred, 0);
	(void)answer(2, 0, 451, "4.3.0");
	AWAIT(counts().deferred == 1);
	settle();
	assert_int_equal(batch_count, 3);	/* an ordinary time is waited for */
}

/* What was in hand at the end comes back at the start, and was charged no attempt. */
static void
test_stop_and_start(void **state)
{
	(void)state;
	submit(2, 500);
	submit(1, 200000);
	AWAIT(batch_count == 2);
	queue_return(queue, batches[0], 0);
	assert_false(queue_service.drain(queue));
	AWAIT(queue_service.drain(queue));
	reopen(false);
	assert_int_equal(counts().active, 0);
	assert_int_equal(counts().deferred, 3);
	settle();
	assert_int_equal(batch_count, 0);	/* not before queue_start() */
	queue_start(queue);
	AWAIT(batch_count == 2);
	assert_int_equal(batches[0]->recipient_count + batches[1]->recipient_count, 3);
	assert_int_equal(batches[0]->recipients[0].attempts, 0);
}

static void
test_submitted_before_start(void **state)
{
	(void)state;
	reopen(false);
	submit(1, 500);
	AWAIT(submitted == 1);
	assert_int_equal(counts().deferred, 1);
	queue_start(queue);
	AWAIT(batch_count == 1);
}

static void
test_forgotten_client(void **state)
{
	struct content *content = content_of(place.directory, 100, 1);
	int client;

	(void)state;
	queue_submit(queue, fresh("a@example.org", 1), content, on_submitted, &client);
	content_unref(content);
	queue_forget(queue, &client);
	AWAIT(batch_count == 1);
	assert_int_equal(submitted, 0);
}

/* More than is held in memory: the rest waits in the store and comes when there is room. */
static void
test_more_than_memory(void **state)
{
	size_t i, done = 0;

	(void)state;
	for (i = 0; i < 1500; i++)
		submit(1, 60000);
	AWAIT(submitted == 1500);
	assert_true(counts().deferred > 200);
	while (done < 1500) {
		AWAIT(batch_count > done);
		assert_int_equal(content_size(contents[done]), 60000);
		(void)answer(done++, 0, 250, "2.0.0");
	}
	AWAIT(counts().messages == 0);
	assert_int_equal(batch_count, 1500);
}

static void
test_has_room(void **state)
{
	struct status why;

	(void)state;
	assert_true(queue_has_room(queue, 0, &why));
	assert_false(queue_has_room(queue, UINT64_MAX / 3, &why));
	assert_int_equal(why.reply_code, 452);
	config.queue.min_free_space = UINT64_MAX / 2;
	queue_service.commit(queue, queue_service.prepare(queue, &config, NULL), &config);
	assert_false(queue_has_room(queue, 0, &why));
	assert_int_equal(why.reply_code, 452);
	assert_string_equal(status_dsn(&why, (char[STATUS_DSN_MAX]){ 0 }), "4.3.1");
	queue_service.abandon(queue, queue_service.prepare(queue, &config, NULL));
}

/* Nine tenths of max_memory: no more mail is begun; all of it: nor does what was begun grow.
 * What the queue keeps for the relay is no more than its share. */
static void
test_has_memory(void **state)
{
	struct memory_budget *memory = queue_memory(queue);
	struct status why;
	uint64_t used;

	(void)state;
	config.queue.max_memory = 8 << 20;
	queue_service.commit(queue, queue_service.prepare(queue, &config, NULL), &config);
	assert_int_equal(memory->limit, 8 << 20);
	for (int i = 0; i < 200; i++)
		submit(1, 60000);
	AWAIT(submitted == 200);
	used = memory->used;
	assert_in_range(used, 1 << 20, 6 << 20);
	assert_true(queue_has_room(queue, 0, &why));
	memory->used = (8 << 20) - (8 << 20) / 10;
	assert_false(queue_has_room(queue, 0, &why));
	assert_int_equal(why.reply_code, 452);
	assert_string_equal(status_dsn(&why, (char[STATUS_DSN_MAX]){ 0 }), "4.3.1");
	assert_true(queue_has_memory(queue, &why));
	memory->used = 8 << 20;
	assert_false(queue_has_memory(queue, &why));
	assert_int_equal(why.reply_code, 452);
	memory->used = used;
	assert_true(queue_has_room(queue, 0, &why));
	for (size_t done = 0; done < 200; done++) {
		AWAIT(batch_count > done);
		(void)answer(done, 0, 250, "2.0.0");
	}
	AWAIT(counts().messages == 0);
	assert_true(memory->used < 65536);
}

static void
test_refusals(void **state)
{
	struct error err = { .kind = ERROR_SYSTEM };

	(void)state;
	assert_int_equal(queue_refusal(&err).reply_code, 452);
	err.kind = ERROR_STORE;
	assert_int_equal(queue_refusal(&err).reply_code, 451);
}

static void
set_file_limit(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Results and reports that a sick store did not take are told again when it is well. */
static void
test_trouble(void **state)
{
	struct content *content = content_of(place.directory, 700, 2);
	struct status why;

	(void)state;
	submit(1, 500);
	submit(2, 500);
	submit(1, 500);
	AWAIT(batch_count == 3);
	(void)answer(1, 0, 550, "5.1.1");
	(void)answer(1, 1, 550, "5.1.1");
	AWAIT(report_count == 1);
	settle();
	set_file_limit(4096);
	submit(1, 60000);
	AWAIT(submitted == 4);
	assert_int_equal(refused, 1);
	assert_false(queue_healthy(queue));
	assert_false(queue_has_room(queue, 0, &why));
	assert_int_equal(why.reply_code, 451);
	(void)answer(0, 0, 250, "2.0.0");
	(void)answer(2, 0, 451, "4.3.0");
	queue_reported(queue, reports[0], fresh("", 1), content);
	content_unref(content);
	settle();
	assert_int_equal(counts().messages, 3);
	assert_false(queue_service.drain(queue));
	set_file_limit(RLIM_INFINITY);
	AWAIT(queue_healthy(queue));
	AWAIT(counts().messages == 2);	/* deferred, and the report */
	assert_int_equal(counts().deferred + counts().active, 2);
	reopen(true);
	AWAIT(batch_count >= 1);
	settle();
	assert_int_equal(batch_count, 1);	/* the report; the other waits for its time */
	assert_int_equal(report_count, 0);
	assert_string_equal(batches[0]->reverse_path.local, "");
}

/* Puts a trigger into the closed database that refuses what a healthy one takes. */
static void
reopen_with(const char *trigger)
{
	queue_free(queue);
	batch_count = report_count = submitted = refused = 0;
	(void)tamper(place.path, trigger);
	open_queue(true);
}

static void
test_refused_claim(void **state)
{
	(void)state;
	submit(1, 500);
	AWAIT(batch_count == 1);
	(void)answer(0, 0, 451, "4.3.0");
	AWAIT(counts().deferred == 1);
	reopen_with("CREATE TRIGGER no BEFORE UPDATE OF state ON recipient WHEN NEW.state = 0 "
	    "AND (SELECT last_id FROM totals) - OLD.message_id < 361000000 "
	    "BEGIN SELECT RAISE(ABORT, 'no'); END");
	settle();
	pass(331);
	assert_int_equal(batch_count, 1);	/* the claim was refused */
	pass(50);
	assert_int_equal(batch_count, 2);	/* and is not sent again at once */
	pass(11);
	AWAIT(batch_count == 4);
}

/* The row is given back, but late: the peer may have the mail already. */
static void
test_refused_outcome(void **state)
{
	(void)state;
	reopen_with("CREATE TRIGGER no BEFORE DELETE ON recipient WHEN OLD.id = 2 "
	    "AND (SELECT last_id FROM totals) = OLD.message_id "
	    "BEGIN SELECT RAISE(ABORT, 'no'); END");
	submit(2, 500);
	AWAIT(batch_count == 1);
	(void)answer(0, 0, 250, "2.0.0");
	(void)answer(0, 1, 250, "2.0.0");
	AWAIT(counts().active == 1);
	settle();
	assert_int_equal(batch_count, 1);
	pass(14400);
	AWAIT(batch_count == 3);
	assert_int_equal(batches[2]->recipient_count, 1);
	assert_int_equal(batches[2]->recipients[0].attempts, 0);
	(void)answer(2, 0, 250, "2.0.0");
	AWAIT(counts().messages == 0);
}

/* What trouble kept from the store is told in the order in which it happened. */
static void
test_outcomes_keep_their_order(void **state)
{
	int64_t ids[3], seen[3];
	size_t i;

	(void)state;
	reopen_with("CREATE TABLE seen (id INTEGER PRIMARY KEY, message_id INTEGER); "
	    "CREATE TRIGGER see AFTER DELETE ON recipient "
	    "BEGIN INSERT INTO seen (message_id) VALUES (OLD.message_id); END");
	for (i = 0; i < 3; i++)
		submit(1, 500);
	AWAIT(batch_count == 3);
	settle();
	set_file_limit(4096);
	for (i = 0; i < 3; i++) {
		ids[i] = batches[i]->id;
		(void)answer(i, 0, 250, "2.0.0");
		loop_turn(loop, 0);	/* a request of its own */
	}
	AWAIT(!queue_healthy(queue));
	set_file_limit(RLIM_INFINITY);
	AWAIT(queue_healthy(queue));
	AWAIT(counts().messages == 0);
	queue_free(queue);
	for (i = 0; i < 3; i++) {
		char *query = mem_printf("SELECT message_id FROM seen WHERE id = %zu", i + 1);

		seen[i] = tamper(place.path, query);
		free(query);
	}
	open_queue(false);
	assert_memory_equal(seen, ids, sizeof(ids));
}

/* --- control --- */

static void
test_control(void **state)
{
	char queue_id[QUEUE_ID_MAX + 1];

	(void)state;
	submit(1, 500);
	submit(1, 500);
	AWAIT(batch_count == 2);
	snprintf(queue_id, sizeof(queue_id), "%s", batches[0]->queue_id);
	(void)answer(0, 0, 451, "4.3.0");
	AWAIT(counts().deferred == 1);
	assert_int_equal(list((struct queue_filter){ 0 }), 2);
	assert_string_equal(seen_state, "deferred");
	assert_int_equal(list((struct queue_filter){ .limit = 1 }), 1);
	assert_int_equal(list((struct queue_filter){ .state = "active" }), 1);
	assert_int_equal(list((struct queue_filter){ .queue_id = queue_id }), 1);
	assert_int_equal(list((struct queue_filter){ .relay = "mx[192.0.2.7]" }), 1);
	assert_int_equal(list((struct queue_filter){ .older = 10 }), 0);
	assert_int_equal(list((struct queue_filter){ .queue_id = "no id" }), 0);
	assert_true(control_failed);
	assert_int_equal(list((struct queue_filter){ .state = "lost" }), 0);
	assert_true(control_failed);
	assert_int_equal(act(QUEUE_RETRY, (struct queue_filter){ 0 }), 1);
	AWAIT(batch_count == 3);
	assert_string_equal(batches[2]->queue_id, queue_id);
	/* In delivery: not removed, not counted. */
	assert_int_equal(act(QUEUE_REMOVE, (struct queue_filter){ 0 }), 0);
	assert_int_equal(counts().messages, 2);
	(void)answer(2, 0, 451, "4.3.0");
	assert_int_equal(act(QUEUE_REMOVE, (struct queue_filter){ .queue_id = queue_id }), 1);
	AWAIT(counts().messages == 1);
	(void)answer(1, 0, 451, "4.3.0");
	AWAIT(counts().deferred == 1);
	queue_flush(queue);
	AWAIT(batch_count == 4);
}

static struct content *loaded;

static void
on_loaded(void *arg, struct content *content, const struct error *err)
{
	(void)arg;
	assert_true((content == NULL) == (err != NULL));
	loaded = content != NULL ? content_ref(content) : NULL;
	submitted++;
}

static void
test_load_and_status(void **state)
{
	struct content *wanted = content_of(place.directory, 70000, 1);
	json_t *status;

	(void)state;
	submit(1, 70000);
	AWAIT(batch_count == 1);
	submitted = 0;
	queue_load(queue, batches[0]->queue_id, on_loaded, NULL);
	AWAIT(submitted == 1);
	assert_true(content_equal(loaded, wanted));
	content_unref(loaded);
	queue_load(queue, "FFF", on_loaded, NULL);
	queue_load(queue, "-1", on_loaded, NULL);
	AWAIT(submitted == 3);
	assert_null(loaded);
	content_unref(wanted);
	status = queue_service.status(queue);
	assert_int_equal(json_integer_value(json_object_get(status, "messages")), 1);
	assert_int_equal(json_integer_value(json_object_get(status, "active")), 1);
	assert_true(json_is_true(json_object_get(status, "healthy")));
	json_decref(status);
}

/* Many messages: lists and actions go in pieces, and mail goes on in between. */
static void
test_large_queue(void **state)
{
	size_t i, held;

	(void)state;
	reopen(false);
	for (i = 0; i < 5000; i++)
		submit(1, 20);
	AWAIT(submitted == 5000);
	assert_int_equal(counts().deferred, 5000);
	assert_int_equal(list((struct queue_filter){ .limit = 4500 }), 4500);
	assert_int_equal(list((struct queue_filter){ .sender = "nobody@example.org" }), 0);
	assert_int_equal(act(QUEUE_RETRY, (struct queue_filter){ 0 }), 5000);
	queue_start(queue);
	AWAIT(batch_count >= 1000);
	settle();
	held = batch_count;
	assert_in_range(held, 1000, 2000);	/* in hand is bounded */
	for (i = 0; i < held; i++)
		(void)answer(i, 0, 451, "4.3.0");
	AWAIT(batch_count >= held + 1000);
}

/* --- kills --- */

static void
on_child_submitted(void *arg, const char *queue_id, const struct error *err)
{
	char line[QUEUE_ID_MAX + 2];
	const int *out = arg;
	int len = snprintf(line, sizeof(line), "%s\n", queue_id);

	if (err != NULL || write(*out, line, (size_t)len) != len)
		_exit(1);
}

static void
on_child_dispatch(void *relay, struct envelope *batch, struct content *content)
{
	(void)relay;
	(void)content;
	batches[batch_count++ % 4096] = batch;
}

/* Takes mail, delivers most of it, writes D before each delivered id, and dies some day. */
static void
child(int out)
{
	const struct queue_handlers handlers = { .dispatch = on_child_dispatch,
	    .report = on_report, .bounce = &reports };
	struct error err;
	size_t done = 0;

	clock_set(-1);
	batch_count = 0;
	loop = loop_new(&err);
	queue = queue_new(loop, &config, &err);
	queue_set_handlers(queue, &handlers);
	queue_start(queue);
	for (;;) {
		struct content *content = content_of(place.directory, 2000, 1);

		queue_submit(queue, fresh("a@example.org", 1), content, on_child_submitted, &out);
		content_unref(content);
		loop_turn(loop, 1);
		for (; done < batch_count; done++) {
			bool sent = done % 5 != 0;
			char line[QUEUE_ID_MAX + 3];
			int len = snprintf(line, sizeof(line), "D%s\n",
			    batches[done % 4096]->queue_id);

			if (sent && write(out, line, (size_t)len) != len)
				_exit(1);
			(void)answer(done % 4096, 0, sent ? 250 : 451, sent ? "2.0.0" : "4.3.0");
		}
	}
}

static char delivered_mark;
static long accepted, delivered;
static sqlite3_stmt *find_message;

static void
read_child(int fd, struct map *ids)
{
	char line[QUEUE_ID_MAX + 3];
	FILE *in = fdopen(fd, "r");

	while (fgets(line, sizeof(line), in) != NULL) {
		if (strchr(line, '\n') == NULL)
			break;
		line[strlen(line) - 1] = '\0';
		if (line[0] == 'D') {
			map_put(ids, line + 1, &delivered_mark);
			delivered++;
		} else if (map_get(ids, line) == NULL) {
			map_put(ids, line, ids);
			accepted++;
		}
	}
	fclose(in);
}

static void
find_in_store(void *arg, const char *queue_id, void *value)
{
	size_t *missing = arg;

	if (value == &delivered_mark)
		return;
	sqlite3_reset(find_message);
	sqlite3_bind_int64(find_message, 1, strtoll(queue_id, NULL, 16));
	*missing += sqlite3_step(find_message) != SQLITE_ROW;
}

/* What was accepted and was not delivered is in the store. */
static void
assert_none_lost(struct map *ids)
{
	size_t missing = 0;
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT 1 FROM recipient WHERE message_id = ?1",
	    -1, &find_message, NULL), SQLITE_OK);
	map_each(ids, find_in_store, &missing);
	sqlite3_finalize(find_message);
	sqlite3_close(handle);
	assert_int_equal(missing, 0);
}

static void
test_kill(void **state)
{
	unsigned short seed[3] = { 0x330e, (unsigned short)getpid(), 5 };
	struct map *ids = map_new();
	int round, status, ends[2];
	pid_t pid;

	(void)state;
	queue_free(queue);
	print_message("seed %u\n", seed[1]);
	for (round = 0; round < 20; round++) {
		assert_int_equal(pipe(ends), 0);
		pid = fork();
		if (pid == 0) {
			close(ends[0]);
			child(ends[1]);
		}
		close(ends[1]);
		poll(NULL, 0, 20 + (int)(nrand48(seed) % 80));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		read_child(ends[0], ids);
		assert_none_lost(ids);
	}
	print_message("20 kills, %ld accepted, %ld delivered, none lost\n", accepted, delivered);
	map_free(ids);
	open_queue(false);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_delivered),
		TEST(test_ids_never_come_again),
		TEST(test_retry_and_grouping),
		TEST(test_timer_wakes),
		TEST(test_failed_and_reported),
		TEST(test_nobody_wants_a_report),
		TEST(test_report_owed_survives),
		TEST(test_expired),
		TEST(test_clock_set_back),
		TEST(test_stop_and_start),
		TEST(test_submitted_before_start),
		TEST(test_forgotten_client),
		TEST(test_more_than_memory),
		TEST(test_has_room),
		TEST(test_has_memory),
		TEST(test_refusals),
		TEST(test_trouble),
		TEST(test_refused_claim),
		TEST(test_refused_outcome),
		TEST(test_outcomes_keep_their_order),
		TEST(test_control),
		TEST(test_load_and_status),
		TEST(test_large_queue),
		TEST(test_kill),
	};

	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
