/* test_store.c - the writer thread: shared commits, order, trouble and recovery, kills. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "net/loop.h"
#include "queue/store.h"
#include "store_fixture.h"

static struct place place;
static struct loop *loop;
static struct store *store;
static size_t answered, failed, refused;
static int64_t order[64];

static void
open_store(void)
{
	const struct store_options options = { place.path, place.directory, 86400 };
	struct error err;

	store = store_open(loop, &store_sqlite, &options, &err);
	if (store == NULL)
		print_message("%s\n", err.text);
	assert_non_null(store);
}

static int
set_up(void **state)
{
	struct error err;

	(void)state;
	place_make(&place);
	loop = loop_new(&err);
	open_store();
	answered = failed = refused = 0;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	store_close(store);
	loop_free(loop);
	place_remove(&place);
	return 0;
}

static void
on_inserted(void *owner, struct store_request *request)
{
	(void)owner;
	if (answered < 64)
		order[answered] = request->insert.envelope->id;
	answered++;
	failed += request->failed;
	refused += request->refused;
	envelope_free(request->insert.envelope);
	content_unref(request->insert.content);
}

static void
send_insert(int64_t id, size_t size)
{
	struct store_request *request = store_request_new(STORE_INSERT, on_inserted, NULL);

	request->insert.envelope = envelope_of(id, "a@example.org", 1);
	request->insert.content = content_of(place.directory, size, (unsigned)id);
	store_send(store, request);
}

/* Turns the loop until `count` answers are there, or ten seconds have passed. */
static void
await(size_t count)
{
	int turns;

	for (turns = 0; answered < count && turns < 10000; turns++)
		loop_turn(loop, 10);
	assert_int_equal(answered, count);
}

static int64_t
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
test_group_commit(void **state)
{
	int64_t id;

	(void)state;
	for (id = 1; id <= 50; id++)
		send_insert(id, 1000);
	assert_int_equal(answered, 0);	/* never inside the call */
	await(50);
	assert_int_equal(failed, 0);
	assert_in_range(store_commits(store), 1, 2);
	for (id = 1; id <= 50; id++)
		assert_int_equal(order[id - 1], id);
	assert_int_equal(store_totals(store)->messages, 50);
	assert_int_equal(store_totals(store)->recipients[RECIPIENT_ACTIVE], 50);
}

/* One that is refused does not take the others along. */
static void
test_refusal_is_alone(void **state)
{
	int64_t id;

	(void)state;
	for (id = 1; id <= 5; id++)
		send_insert(id, 100);
	send_insert(3, 100);
	send_insert(6, 100);
	await(7);
	assert_int_equal(failed, 1);
	assert_int_equal(refused, 1);
	assert_true(store_healthy(store));
	assert_int_equal(store_totals(store)->messages, 6);
}

static void
on_recorded(void *owner, struct store_request *request)
{
	size_t *removed = owner;

	answered++;
	failed += request->failed;
	*removed += request->insert.removed.count;
}

static struct store_request *
record_done(int64_t id, size_t *removed)
{
	struct store_request *request = store_request_new(STORE_RECORD, on_recorded, removed);

	request->insert.count = 1;
	request->insert.outcomes = mem_zalloc(sizeof(*request->insert.outcomes));
	request->insert.outcomes[0].message_id = id;
	request->insert.outcomes[0].recipient_id = 1;
	request->insert.outcomes[0].state = RECIPIENT_DONE;
	return request;
}

/* Results wait for company, but not for long. */
static void
test_records_are_lazy(void **state)
{
	size_t removed = 0;
	int64_t start;

	(void)state;
	send_insert(1, 100);
	send_insert(2, 100);
	await(2);
	start = now_us();
	store_send(store, record_done(1, &removed));
	await(3);
	assert_int_equal(removed, 1);
	assert_true(now_us() - start >= 15000);
	store_send(store, record_done(2, &removed));
	send_insert(3, 100);
	start = now_us();
	await(5);
	assert_int_equal(removed, 2);
	assert_int_equal(store_commits(store), 3);
	assert_int_equal(store_totals(store)->messages, 1);
}

/* What was sent before the end is done before the end. */
static void
test_close_answers(void **state)
{
	size_t removed = 0;
	int64_t id;

	(void)state;
	for (id = 1; id <= 10; id++)
		send_insert(id, 100000);
	store_send(store, record_done(4, &removed));
	store_close(store);
	assert_int_equal(answered, 11);
	assert_int_equal(failed, 0);
	assert_int_equal(removed, 1);
	open_store();
	assert_int_equal(store_totals(store)->messages, 9);
	assert_int_equal(store_totals(store)->last_id, 10);
}

static unsigned well, ill;

static void
on_health(void *owner, bool healthy, const struct error *why)
{
	(void)owner;
	if (healthy)
		well++;
	else
		ill++;
	assert_true(healthy || why->text[0] != '\0');
}

static void
set_file_limit(rlim_t size)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = size;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* The disk is full in the middle of the work: everything fails, nothing is half done, and
 * it goes on by itself when there is room again. */
static void
test_disk_full_and_recovery(void **state)
{
	size_t removed = 0;
	int64_t id;
	int turns;

	(void)state;
	well = ill = 0;
	store_on_health(store, on_health, NULL);
	send_insert(1, 1000);
	await(1);
	set_file_limit(200000);
	for (id = 2; id <= 101; id++)
		send_insert(id, 60000);
	store_send(store, record_done(1, &removed));
	await(102);
	set_file_limit(RLIM_INFINITY);
	assert_int_equal(failed, 101);
	assert_int_equal(refused, 0);
	assert_int_equal(removed, 0);
	assert_int_equal(ill, 1);
	for (turns = 0; !store_healthy(store) && turns < 1000; turns++)
		loop_turn(loop, 10);
	assert_true(store_healthy(store));
	assert_int_equal(well, 1);
	assert_int_equal(store_totals(store)->messages, 1);
	answered = failed = 0;
	store_send(store, record_done(1, &removed));
	send_insert(200, 60000);
	await(2);
	assert_int_equal(failed, 0);
	assert_int_equal(removed, 1);
}

/* While the trouble lasts nothing is acknowledged, and every request is answered soon. */
static void
test_lasting_trouble(void **state)
{
	size_t round, before;
	int turns;

	(void)state;
	set_file_limit(4096);
	for (round = 1; round <= 20; round++) {
		before = answered;
		send_insert((int64_t)round, 50000);
		await(before + 1);
	}
	assert_int_equal(failed, 20);
	assert_false(store_healthy(store));
	set_file_limit(RLIM_INFINITY);
	for (turns = 0; !store_healthy(store) && turns < 1000; turns++)
		loop_turn(loop, 10);
	assert_true(store_healthy(store));
	assert_int_equal(store_totals(store)->messages, 0);
	send_insert(100, 50000);
	await(21);
	assert_int_equal(failed, 20);
}

/* The options may go as soon as the store is open: a reload frees where they came from. */
static void
test_options_are_copied(void **state)
{
	char *path = mem_strdup(place.path), *directory = mem_strdup(place.directory);
	const struct store_options options = { path, directory, 86400 };
	struct error err;
	int turns;

	(void)state;
	store_close(store);
	store = store_open(loop, &store_sqlite, &options, &err);
	assert_non_null(store);
	memset(path, 'x', strlen(path));
	memset(directory, 'x', strlen(directory));
	free(path);
	free(directory);
	set_file_limit(4096);
	send_insert(1, 50000);
	await(1);
	assert_int_equal(failed, 1);
	set_file_limit(RLIM_INFINITY);
	for (turns = 0; !store_healthy(store) && turns < 300; turns++)
		loop_turn(loop, 10);
	assert_true(store_healthy(store));
}

static void
on_answer(void *owner, struct store_request *request)
{
	struct store_request *copy = owner;

	answered++;
	failed += request->failed;
	if (copy != NULL)
		*copy = *request;
	if (request->verb == STORE_SHOW) {
		request->show.envelope = NULL;
		request->show.attempts = NULL;
	} else if (request->verb == STORE_TRACE)
		request->trace.rows = NULL;
}

static void
send_keep(const char *name, const char *text)
{
	struct store_request *request = store_request_new(STORE_KEEP, on_answer, NULL);

	request->keep.name = mem_strdup(name);
	request->keep.text = mem_strdup(text);
	store_send(store, request);
}

/* Known as soon as they are sent, and again when the store is opened. */
static void
test_kept_values(void **state)
{
	(void)state;
	assert_null(store_kept(store, "paused:backup"));
	send_keep("paused:backup", "1");
	send_keep("rate:backup", "1700000000 4");
	send_keep("rate:backup", "1700000000 5");
	send_keep("paused:other", "1");
	send_keep("paused:other", "");
	assert_string_equal(store_kept(store, "paused:backup"), "1");
	assert_string_equal(store_kept(store, "rate:backup"), "1700000000 5");
	assert_null(store_kept(store, "paused:other"));
	await(5);
	assert_int_equal(failed, 0);
	assert_int_equal(store_commits(store), 1);
	store_close(store);
	open_store();
	assert_string_equal(store_kept(store, "rate:backup"), "1700000000 5");
	assert_null(store_kept(store, "paused:other"));
	send_keep("paused:backup", "");
	await(6);
	assert_null(store_kept(store, "paused:backup"));
}

static void
test_show_and_trace(void **state)
{
	struct store_request *request, copy;
	size_t removed = 0;

	(void)state;
	send_insert(1, 100);
	send_insert(2, 100);
	store_send(store, record_done(1, &removed));
	request = store_request_new(STORE_SHOW, on_answer, &copy);
	request->show.message_id = 2;
	store_send(store, request);
	await(4);
	assert_int_equal(copy.show.envelope->id, 2);
	assert_int_equal(copy.show.count, 0);
	envelope_free(copy.show.envelope);
	request = store_request_new(STORE_TRACE, on_answer, &copy);
	request->trace.what = mem_strdup("1");
	request->trace.limit = 10;
	store_send(store, request);
	await(5);
	assert_int_equal(copy.trace.count, 1);
	assert_int_equal(copy.trace.rows[0].state, RECIPIENT_DONE);
	free(copy.trace.rows);
	/* Nobody takes it: it is freed with the request. */
	request = store_request_new(STORE_SHOW, on_answer, NULL);
	request->show.message_id = 3;
	store_send(store, request);
	await(6);
	assert_int_equal(failed, 0);
}

static void
pass_time(int64_t us)
{
	int64_t end = now_us() + us;

	while (now_us() < end)
		loop_turn(loop, 10);
}

/* Nobody asks for anything, and what is remembered goes when its time is over. */
static void
test_history_ends_while_idle(void **state)
{
	size_t removed = 0;
	int64_t id;

	(void)state;
	store_set_history(store, 1);
	for (id = 1; id <= 600; id++) {
		send_insert(id, 100);
		store_send(store, record_done(id, &removed));
	}
	await(1200);
	assert_int_equal(removed, 600);
	pass_time(3500000);
	store_close(store);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM history"), 0);
	open_store();
	for (id = 601; id <= 1200; id++) {
		send_insert(id, 100);
		store_send(store, record_done(id, &removed));
	}
	await(2400);
	store_close(store);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM history"), 600);
	open_store();
	store_set_history(store, 0);
	pass_time(500000);
	store_close(store);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM history"), 0);
	open_store();
}

/* A child takes mail over and tells each id when it is on the disk, until it is killed. */
static void
on_child_inserted(void *owner, struct store_request *request)
{
	const int *out = owner;

	if (!request->failed &&
	    write(*out, &request->insert.envelope->id, sizeof(int64_t)) != sizeof(int64_t))
		_exit(1);
	answered++;
	envelope_free(request->insert.envelope);
	content_unref(request->insert.content);
}

static void
child(int out)
{
	struct store_request *request;
	int64_t id = 0;
	struct error err;

	loop = loop_new(&err);
	open_store();
	id = store_totals(store)->last_id;
	for (;;) {
		while (id - store_totals(store)->last_id < 20) {
			request = store_request_new(STORE_INSERT, on_child_inserted, &out);
			request->insert.envelope = envelope_of(++id, "a@example.org", 1);
			request->insert.content = content_of(place.directory,
			    id % 7 == 0 ? 100000 : 3000, (unsigned)id);
			store_send(store, request);
		}
		loop_turn(loop, 100);
	}
}

static size_t
count_ids(int in, int64_t *last)
{
	int64_t id;
	size_t count = 0;

	while (read(in, &id, sizeof(id)) == sizeof(id)) {
		assert_true(id > *last);
		*last = id;
		count++;
	}
	return count;
}

/* R1 in small: after a kill at any instant, whatever was told to be stored is there. */
static void
test_kill(void **state)
{
	unsigned short seed[3] = { 0x330e, (unsigned short)getpid(), 3 };
	size_t told = 0;
	int64_t last = 0;
	int round, status, ends[2];
	pid_t pid;

	(void)state;
	store_close(store);
	print_message("seed %u\n", seed[1]);
	for (round = 0; round < 30; round++) {
		assert_int_equal(pipe(ends), 0);
		pid = fork();
		if (pid == 0) {
			close(ends[0]);
			child(ends[1]);
		}
		close(ends[1]);
		poll(NULL, 0, (int)(nrand48(seed) % 60));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		told += count_ids(ends[0], &last);
		close(ends[0]);
		open_store();
		assert_true(store_totals(store)->messages >= told);
		assert_true(store_totals(store)->last_id >= last);
		assert_int_equal(store_totals(store)->messages,
		    store_totals(store)->recipients[RECIPIENT_ACTIVE]);
		assert_int_equal(store_totals(store)->messages, store_totals(store)->last_id);
		store_close(store);
	}
	print_message("30 kills, %zu stored, none lost\n", told);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM message"),
	    tamper(place.path, "SELECT messages FROM totals"));
	open_store();
}

static void
test_rate(void **state)
{
	const size_t count = 10000;
	int64_t start = now_us(), id = 0;

	(void)state;
	/* As many sessions as send at once. */
	while (answered < count) {
		while ((size_t)id < count && (size_t)id - answered < 50)
			send_insert(++id, 5120);
		loop_turn(loop, 100);
	}
	assert_int_equal(failed, 0);
	print_message("%zu messages of 5 KiB in %.3f s: %.0f/s, %llu commits\n", count,
	    (double)(now_us() - start) / 1e6, (double)count * 1e6 / (double)(now_us() - start),
	    (unsigned long long)store_commits(store));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_group_commit),
		TEST(test_refusal_is_alone),
		TEST(test_records_are_lazy),
		TEST(test_close_answers),
		TEST(test_disk_full_and_recovery),
		TEST(test_lasting_trouble),
		TEST(test_options_are_copied),
		TEST(test_kept_values),
		TEST(test_show_and_trace),
		TEST(test_history_ends_while_idle),
		TEST(test_kill),
		TEST(test_rate),
	};

	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
