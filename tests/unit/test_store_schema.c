/* test_store_schema.c - a queue of an earlier schema becomes one of schema 3, or stays as it is. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "store_old.h"

#define KILLS	40

enum shape { SCHEMA_1, SCHEMA_2, SCHEMA_2_ONCE_1 };

/* Message 1 in memory, deferred and failed; 2 in pieces, active and parked. */
static void
make_old_queue(enum shape shape)
{
	const char *header_id = shape == SCHEMA_2 ? "<1@example.org>" : NULL;
	sqlite3 *handle = make_old(shape == SCHEMA_2 ? schema_2 : schema_1);

	old_message(handle, 1, 3000, header_id);
	old_recipient(handle, 1, 1, 1, 1700000900);
	old_recipient(handle, 1, 2, 3, INT64_MAX);
	old_message(handle, 2, 150000, header_id);
	old_recipient(handle, 2, 1, 0, 0);
	old_recipient(handle, 2, 2, 4, 0);
	assert_int_equal(sqlite3_exec(handle, "UPDATE totals SET last_id = 2, messages = 2,"
	    " active = 1, deferred = 1, failed = 1, parked = 1", NULL, NULL, NULL), SQLITE_OK);
	if (shape == SCHEMA_2_ONCE_1)
		assert_int_equal(sqlite3_exec(handle, from_1_to_2, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

static int64_t
schema_of(void)
{
	return tamper(place.path, "SELECT value FROM meta WHERE name = 'schema'");
}

static void
check_becomes_schema_3(enum shape shape)
{
	struct store_claim request = recovery(1700000900);
	const struct recipient *recipient;
	struct content *wanted;
	size_t i;
	void *db;

	make_old_queue(shape);
	db = open_db();
	assert_int_equal(totals(db).messages, 2);
	assert_int_equal(totals(db).last_id, 2);
	begin(db);
	claim(db, &request);
	commit(db);
	assert_int_equal(request.damaged_count, 0);
	assert_int_equal(request.count, 3);
	for (i = 0; i < 3; i++) {
		const struct envelope *envelope = request.claimed[i].envelope;

		wanted = content_of(place.directory, envelope->size, (unsigned)envelope->id);
		assert_true(content_equal(request.claimed[i].content, wanted));
		content_unref(wanted);
		assert_true(envelope->body_8bit);
		assert_false(envelope->smtputf8);
		assert_int_equal(envelope->ret, RET_UNSET);
		assert_null(envelope->envid);
		if (shape == SCHEMA_2)
			assert_string_equal(envelope->message_id, "<1@example.org>");
		else
			assert_null(envelope->message_id);
		assert_int_equal(envelope->uid, ENVELOPE_NO_UID);
		assert_int_equal(envelope->recipient_count, 1);
		recipient = &envelope->recipients[0];
		assert_int_equal(recipient->attempts, 3);
		assert_int_equal(recipient->notify, NOTIFY_FAILURE);
		assert_int_equal(recipient->last.reply_code, 451);
		assert_string_equal(recipient->relay, "smarthost/mx[192.0.2.7]:25");
		assert_int_equal(recipient->last_at, 0);
		assert_false(recipient->warned);
		assert_string_equal(recipient->chosen_relay, "");
		assert_null(recipient->orcpt);
	}
	/* What had failed is owed a report, as before. */
	assert_int_equal(request.claimed[0].envelope->id, 1);
	assert_int_equal(request.claimed[0].envelope->recipients[0].id, 2);
	assert_int_equal(request.claimed[0].envelope->recipients[0].state, RECIPIENT_OWED);
	drop_claimed(&request);
	driver->close(db);
	assert_int_equal(schema_of(), 3);
}

static void
test_from_1(void **state)
{
	(void)state;
	check_becomes_schema_3(SCHEMA_1);
}

static void
test_from_2(void **state)
{
	(void)state;
	check_becomes_schema_3(SCHEMA_2);
}

static void
test_from_2_that_was_1(void **state)
{
	(void)state;
	check_becomes_schema_3(SCHEMA_2_ONCE_1);
}

static char *
columns_of(const char *path)
{
	sqlite3 *handle;
	sqlite3_stmt *statement;
	char *text;

	assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
	sqlite3_prepare_v2(handle, "SELECT group_concat(line, char(10)) FROM (SELECT t.name || '.'"
	    " || c.name || ' ' || c.type || c.\"notnull\" || coalesce(c.dflt_value, '-') || c.pk AS"
	    " line FROM sqlite_schema AS t, pragma_table_info(t.name) AS c ORDER BY line)", -1,
	    &statement, NULL);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	text = mem_strdup((const char *)sqlite3_column_text(statement, 0));
	sqlite3_finalize(statement);
	sqlite3_close(handle);
	return text;
}

/* Both have the same columns, and new mail with all that is new in it goes both ways. */
static void
check_same_as_a_new_one(enum shape shape)
{
	struct store_claim request = recovery(1700000100);
	struct envelope *envelope = envelope_of(3, "cy@example.org", 1);
	struct store_insert new = { .envelope = envelope,
	    .content = content_of(place.directory, 50000, 3) };
	char *old_columns, *new_columns;
	struct error err;
	void *db;

	make_old_queue(shape);
	db = open_db();
	envelope->ret = RET_HDRS;
	envelope->uid = 1000;
	envelope->envid = "QQ314159";
	envelope->recipients[0].orcpt = "rfc822;cy@example.org";
	begin(db);
	assert_int_equal(driver->insert(db, &new, &err), STORE_OK);
	claim(db, &request);
	commit(db);
	assert_int_equal(request.damaged_count, 0);
	assert_int_equal(request.count, 3);
	assert_string_equal(request.claimed[2].envelope->envid, "QQ314159");
	assert_int_equal(request.claimed[2].envelope->uid, 1000);
	assert_string_equal(request.claimed[2].envelope->recipients[0].orcpt,
	    "rfc822;cy@example.org");
	assert_true(content_equal(request.claimed[2].content, new.content));
	drop_claimed(&request);
	driver->close(db);
	old_columns = columns_of(place.path);
	place_remove(&place);
	driver->close(open_db());
	new_columns = columns_of(place.path);
	assert_string_equal(old_columns, new_columns);
	free(old_columns);
	free(new_columns);
	envelope_free(envelope);
	content_unref(new.content);
}

static void
test_same_as_a_new_one(void **state)
{
	static const enum shape shapes[] = { SCHEMA_1, SCHEMA_2, SCHEMA_2_ONCE_1 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		check_same_as_a_new_one(shapes[i]);
		place_remove(&place);
		mkdir(place.directory, 0700);
	}
}

/* What cannot be brought to its end leaves no trace of its beginning. */
static void
test_failure_changes_nothing(void **state)
{
	char *before, *after;

	(void)state;
	make_old_queue(SCHEMA_1);
	tamper(place.path, "CREATE TABLE history (somebody TEXT)");
	before = columns_of(place.path);
	assert_refused("cannot bring it from schema 1 to 3");
	after = columns_of(place.path);
	assert_string_equal(before, after);
	assert_int_equal(schema_of(), 1);
	tamper(place.path, "DROP TABLE history");
	driver->close(open_db());
	assert_int_equal(schema_of(), 3);
	free(before);
	free(after);
}

static void
test_failure_from_2_changes_nothing(void **state)
{
	char *before, *after;

	(void)state;
	make_old_queue(SCHEMA_2);
	tamper(place.path, "ALTER TABLE message ADD COLUMN uid TEXT");
	before = columns_of(place.path);
	assert_refused("cannot bring it from schema 2 to 3");
	after = columns_of(place.path);
	assert_string_equal(before, after);
	assert_int_equal(schema_of(), 2);
	free(before);
	free(after);
}

/* In the middle of it, wherever that is, the file is of the one schema or of the other. */
static void
check_killed_on_the_way(enum shape shape)
{
	const int from = shape == SCHEMA_1 ? 1 : 2;
	unsigned short seed[3] = { 0x330e, (unsigned short)getpid(), 7 };
	const struct store_options options = { place.path, place.directory, HISTORY };
	int rounds, found[4] = { 0 };

	print_message("seed %u\n", seed[1]);
	for (rounds = 0; rounds < KILLS; rounds++) {
		struct timespec pause = { .tv_nsec = nrand48(seed) % 25000000 };
		struct error err;
		sqlite3 *handle;
		int64_t id, schema;
		pid_t child;

		place_remove(&place);
		mkdir(place.directory, 0700);
		handle = make_old(shape == SCHEMA_1 ? schema_1 : schema_2);
		sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL);
		for (id = 1; id <= 300; id++) {
			old_message(handle, id, 1000, NULL);
			old_recipient(handle, id, 1, 1, 1700000000);
		}
		sqlite3_exec(handle, "COMMIT", NULL, NULL, NULL);
		sqlite3_close(handle);
		child = fork();
		if (child == 0) {
			(void)driver->open(&options, &err);
			_exit(0);
		}
		nanosleep(&pause, NULL);
		kill(child, SIGKILL);
		assert_int_equal(waitpid(child, NULL, 0), child);
		schema = schema_of();
		assert_true(schema == from || schema == 3);
		found[schema]++;
		assert_int_equal(tamper(place.path, "SELECT count(*) FROM sqlite_schema WHERE name"
		    " IN ('attempt', 'history', 'kept')"), schema == 1 ? 0 : 3);
		assert_int_equal(tamper(place.path, "SELECT count(*) FROM"
		    " pragma_table_info('message') WHERE name = 'uid'"), schema == 3);
		assert_int_equal(tamper(place.path, "SELECT count(*) FROM message"), 300);
		driver->close(open_db());
		assert_int_equal(schema_of(), 3);
	}
	print_message("%d kills: %d before, %d after\n", KILLS, found[from], found[3]);
}

static void
test_killed_from_1(void **state)
{
	(void)state;
	check_killed_on_the_way(SCHEMA_1);
}

static void
test_killed_from_2(void **state)
{
	(void)state;
	check_killed_on_the_way(SCHEMA_2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_from_1),
		TEST(test_from_2),
		TEST(test_from_2_that_was_1),
		TEST(test_same_as_a_new_one),
		TEST(test_failure_changes_nothing),
		TEST(test_failure_from_2_changes_nothing),
		TEST(test_killed_from_1),
		TEST(test_killed_from_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
