/* test_store_schema.c - a queue of schema 1 becomes one of schema 2, whole or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "store_db.h"

/* As the first release of herald made them. */
static const char schema_1[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), last_id INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, active INTEGER NOT NULL, deferred INTEGER NOT NULL,"
    " held INTEGER NOT NULL, failed INTEGER NOT NULL, parked INTEGER NOT NULL) STRICT;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY CHECK (id > 0), reverse_path TEXT NOT NULL"
    " CHECK (length(reverse_path) <= 320 AND instr(reverse_path, char(13)) = 0"
    " AND instr(reverse_path, char(10)) = 0 AND instr(CAST(reverse_path AS BLOB), x'00') = 0),"
    " body INTEGER NOT NULL CHECK (body IN (0, 1)), size INTEGER NOT NULL CHECK (size >= 0),"
    " arrived INTEGER NOT NULL, expires INTEGER NOT NULL, digest BLOB NOT NULL, head BLOB)"
    " STRICT;"
    "CREATE TABLE recipient (message_id INTEGER NOT NULL REFERENCES message (id),"
    " id INTEGER NOT NULL CHECK (id > 0), forward_path TEXT NOT NULL"
    " CHECK (length(forward_path) <= 320 AND instr(forward_path, char(13)) = 0"
    " AND instr(forward_path, char(10)) = 0 AND instr(CAST(forward_path AS BLOB), x'00') = 0),"
    " notify INTEGER NOT NULL CHECK (notify BETWEEN 0 AND 15), digest BLOB NOT NULL,"
    " state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),"
    " attempts INTEGER NOT NULL CHECK (attempts >= 0), next_attempt INTEGER NOT NULL,"
    " reply_code INTEGER NOT NULL DEFAULT 0, enhanced TEXT NOT NULL DEFAULT '',"
    " text TEXT NOT NULL DEFAULT '', relay TEXT NOT NULL DEFAULT '',"
    " PRIMARY KEY (message_id, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX recipient_due ON recipient (state, next_attempt);"
    "CREATE TABLE content (message_id INTEGER NOT NULL REFERENCES message (id),"
    " seq INTEGER NOT NULL, octets BLOB NOT NULL, PRIMARY KEY (message_id, seq)) STRICT;"
    "INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0);"
    "INSERT INTO meta VALUES ('schema', 1);";

static void
add_number(EVP_MD_CTX *digest, int64_t number)
{
	unsigned char octets[8];
	int i;

	for (i = 0; i < 8; i++)
		octets[i] = (unsigned char)((uint64_t)number >> (56 - 8 * i));
	EVP_DigestUpdate(digest, octets, sizeof(octets));
}

static sqlite3 *
make_old(void)
{
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, schema_1, NULL, NULL, NULL), SQLITE_OK);
	return handle;
}

/* Content of up to 64 KiB beside the envelope, more in pieces, as schema 1 had it. */
static void
old_message(sqlite3 *handle, int64_t id, size_t size)
{
	struct content *content = content_of(place.directory, size, (unsigned)id);
	unsigned char digest[32];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	sqlite3_stmt *statement, *piece;
	char octets[65536];
	struct error err;
	size_t got, at, seq = 0;

	EVP_DigestInit_ex2(context, EVP_sha256(), NULL);
	add_number(context, id);
	add_number(context, (int64_t)size);
	add_number(context, 1700000000);
	add_number(context, 1);
	EVP_DigestUpdate(context, "ann@example.org", 16);
	sqlite3_prepare_v2(handle, "INSERT INTO content VALUES (?1, ?2, ?3)", -1, &piece, NULL);
	sqlite3_prepare_v2(handle, "INSERT INTO message VALUES (?1, 'ann@example.org', 1, ?2,"
	    " 1700000000, 1700432000, ?3, ?4)", -1, &statement, NULL);
	for (at = 0; at < size; at += got) {
		assert_true(content_read(content, at, octets, sizeof(octets), &got, &err));
		EVP_DigestUpdate(context, octets, got);
		sqlite3_bind_int64(piece, 1, id);
		sqlite3_bind_int64(piece, 2, (int64_t)seq++);
		sqlite3_bind_blob(piece, 3, octets, (int)got, SQLITE_TRANSIENT);
		if (size > sizeof(octets))
			assert_int_equal(sqlite3_step(piece), SQLITE_DONE);
		else
			sqlite3_bind_blob(statement, 4, octets, (int)got, SQLITE_TRANSIENT);
		sqlite3_reset(piece);
	}
	EVP_DigestFinal_ex(context, digest, NULL);
	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, (int64_t)size);
	sqlite3_bind_blob(statement, 3, digest, sizeof(digest), SQLITE_STATIC);
	assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
	sqlite3_finalize(statement);
	sqlite3_finalize(piece);
	EVP_MD_CTX_free(context);
	content_unref(content);
}

static void
old_recipient(sqlite3 *handle, int64_t message, int64_t id, int state, int64_t next)
{
	unsigned char digest[32];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	sqlite3_stmt *statement;

	EVP_DigestInit_ex2(context, EVP_sha256(), NULL);
	add_number(context, message);
	add_number(context, id);
	add_number(context, NOTIFY_FAILURE);
	EVP_DigestUpdate(context, "bob@example.net", 15);
	EVP_DigestFinal_ex(context, digest, NULL);
	sqlite3_prepare_v2(handle, "INSERT INTO recipient VALUES (?1, ?2, 'bob@example.net', 4, ?3,"
	    " ?4, 3, ?5, 451, '4.3.0', 'try later', 'smarthost/mx[192.0.2.7]:25')", -1, &statement,
	    NULL);
	sqlite3_bind_int64(statement, 1, message);
	sqlite3_bind_int64(statement, 2, id);
	sqlite3_bind_blob(statement, 3, digest, 8, SQLITE_STATIC);
	sqlite3_bind_int(statement, 4, state);
	sqlite3_bind_int64(statement, 5, next);
	assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
	sqlite3_finalize(statement);
	EVP_MD_CTX_free(context);
}

/* Message 1 in memory, deferred and failed; 2 in pieces, active and parked. */
static void
make_old_queue(void)
{
	sqlite3 *handle = make_old();

	old_message(handle, 1, 3000);
	old_recipient(handle, 1, 1, 1, 1700000900);
	old_recipient(handle, 1, 2, 3, INT64_MAX);
	old_message(handle, 2, 150000);
	old_recipient(handle, 2, 1, 0, 0);
	old_recipient(handle, 2, 2, 4, 0);
	assert_int_equal(sqlite3_exec(handle, "UPDATE totals SET last_id = 2, messages = 2,"
	    " active = 1, deferred = 1, failed = 1, parked = 1", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(handle);
}

static int64_t
schema_of(void)
{
	return tamper(place.path, "SELECT value FROM meta WHERE name = 'schema'");
}

static void
test_becomes_schema_2(void **state)
{
	struct store_claim request = recovery(1700000900);
	const struct recipient *recipient;
	struct content *wanted;
	size_t i;
	void *db;

	(void)state;
	make_old_queue();
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
		assert_null(envelope->message_id);
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
	assert_int_equal(schema_of(), 2);
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
test_same_as_a_new_one(void **state)
{
	struct store_claim request = recovery(1700000100);
	struct envelope *envelope = envelope_of(3, "cy@example.org", 1);
	struct store_insert new = { .envelope = envelope,
	    .content = content_of(place.directory, 50000, 3) };
	char *old_columns, *new_columns;
	struct error err;
	void *db;

	(void)state;
	make_old_queue();
	db = open_db();
	envelope->ret = RET_HDRS;
	envelope->envid = "QQ314159";
	envelope->recipients[0].orcpt = "rfc822;cy@example.org";
	begin(db);
	assert_int_equal(driver->insert(db, &new, &err), STORE_OK);
	claim(db, &request);
	commit(db);
	assert_int_equal(request.damaged_count, 0);
	assert_int_equal(request.count, 3);
	assert_string_equal(request.claimed[2].envelope->envid, "QQ314159");
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

/* What cannot be brought to its end leaves no trace of its beginning. */
static void
test_failure_changes_nothing(void **state)
{
	char *before, *after;

	(void)state;
	make_old_queue();
	tamper(place.path, "CREATE TABLE history (somebody TEXT)");
	before = columns_of(place.path);
	assert_refused("cannot bring it from schema 1 to 2");
	after = columns_of(place.path);
	assert_string_equal(before, after);
	assert_int_equal(schema_of(), 1);
	tamper(place.path, "DROP TABLE history");
	driver->close(open_db());
	assert_int_equal(schema_of(), 2);
	free(before);
	free(after);
}

/* In the middle of it, wherever that is, the file is of the one schema or of the other. */
static void
test_killed_on_the_way(void **state)
{
	unsigned short seed[3] = { 0x330e, (unsigned short)getpid(), 7 };
	const struct store_options options = { place.path, place.directory, HISTORY };
	int rounds, found[3] = { 0 };

	(void)state;
	print_message("seed %u\n", seed[1]);
	for (rounds = 0; rounds < 40; rounds++) {
		struct timespec pause = { .tv_nsec = nrand48(seed) % 25000000 };
		struct error err;
		sqlite3 *handle;
		int64_t id, schema;
		pid_t child;

		place_remove(&place);
		mkdir(place.directory, 0700);
		handle = make_old();
		sqlite3_exec(handle, "BEGIN", NULL, NULL, NULL);
		for (id = 1; id <= 300; id++) {
			old_message(handle, id, 1000);
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
		assert_in_range(schema, 1, 2);
		found[schema]++;
		assert_int_equal(tamper(place.path, "SELECT count(*) FROM sqlite_schema WHERE name"
		    " IN ('attempt', 'history', 'kept')"), schema == 1 ? 0 : 3);
		assert_int_equal(tamper(place.path, "SELECT count(*) FROM message"), 300);
		driver->close(open_db());
		assert_int_equal(schema_of(), 2);
	}
	print_message("40 kills: %d before, %d after\n", found[1], found[2]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_becomes_schema_2),
		TEST(test_same_as_a_new_one),
		TEST(test_failure_changes_nothing),
		TEST(test_killed_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
