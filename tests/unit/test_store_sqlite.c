/* test_store_sqlite.c - the SQLite driver: tables, refusals, claims, results, damage. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/text.h"
#include "store_db.h"

static void
test_new_file(void **state)
{
	struct stat st;
	void *db;

	(void)state;
	chmod(place.directory, 0755);
	db = open_db();
	assert_int_equal(totals(db).messages, 0);
	assert_int_equal(stat(place.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(place.directory, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	driver->close(db);
	db = open_db();
	driver->close(db);
	assert_int_equal(tamper(place.path, "SELECT value FROM meta WHERE name = 'schema'"), 3);
}

/* In a process of its own, which knows nothing of the locks of this one. */
static void
test_one_instance(void **state)
{
	const struct store_options options = { place.path, place.directory, HISTORY };
	struct error err;
	int status, ends[2];
	char octet;
	pid_t child;
	void *db;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		if (read(ends[0], &octet, 1) != 1)
			_exit(2);
		db = driver->open(&options, &err);
		_exit(db == NULL && strstr(err.text, "another heraldd uses") != NULL ? 0 : 1);
	}
	db = open_db();
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	close(ends[0]);
	close(ends[1]);
	driver->close(db);
}

static void
test_refuses_what_is_not_its_file(void **state)
{
	char other[128];
	int fd;

	(void)state;
	snprintf(other, sizeof(other), "%s/other", place.directory);
	fd = open(other, O_WRONLY | O_CREAT | O_EXCL, 0600);
	close(fd);
	assert_int_equal(symlink(other, place.path), 0);
	assert_refused("symbolic link");
	unlink(place.path);
	assert_int_equal(link(other, place.path), 0);
	assert_refused("hard link");
	unlink(place.path);
	assert_int_equal(mkfifo(place.path, 0600), 0);
	assert_refused("not a regular file");
	unlink(place.path);
	assert_int_equal(mkdir(place.path, 0700), 0);
	assert_refused("not a regular file");
	rmdir(place.path);
	snprintf(other, sizeof(other), "%s-wal", place.path);
	assert_int_equal(symlink("/dev/null", other), 0);
	assert_refused("-wal is a symbolic link");
	unlink(other);
	assert_int_equal(access(place.path, F_OK), -1);
}

static void
test_refuses_what_it_does_not_know(void **state)
{
	int fd;

	(void)state;
	fd = open(place.path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, "This is no database, but a text of some length.", 47), 47);
	close(fd);
	assert_refused("not a database");
	unlink(place.path);
	tamper(place.path, "CREATE TABLE a (b);");
	assert_refused("not a queue of herald");
	unlink(place.path);
	driver->close(open_db());
	tamper(place.path, "UPDATE meta SET value = 4 WHERE name = 'schema';");
	assert_refused("of another release (schema 4");
}

/* Every size class survives closing, and comes back octet for octet. */
static void
test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 5120, 65536, 65537, 1000000 };
	const size_t count = sizeof(sizes) / sizeof(sizes[0]);
	struct store_claim request = recovery(1700000500);
	void *db = open_db();
	size_t i;

	(void)state;
	begin(db);
	for (i = 0; i < count; i++)
		insert(db, (int64_t)i + 100, i == 1 ? "" : "\"a b'--\"@example.org", 3, sizes[i]);
	commit(db);
	assert_int_equal(totals(db).recipients[RECIPIENT_ACTIVE], 3 * count);
	driver->close(db);
	db = open_db();
	assert_int_equal(totals(db).messages, count);
	assert_int_equal(totals(db).last_id, 100 + (int64_t)count - 1);
	assert_int_equal(totals(db).oldest, 1700000000);
	begin(db);
	claim(db, &request);
	commit(db);
	assert_int_equal(request.count, count);
	assert_int_equal(request.damaged_count, 0);
	assert_int_equal(request.next_due, -1);
	for (i = 0; i < count; i++) {
		const struct envelope *envelope = request.claimed[i].envelope;
		struct content *wanted = content_of(place.directory, sizes[i], 100 + (unsigned)i);

		assert_int_equal(envelope->id, 100 + i);
		assert_int_equal(envelope->size, sizes[i]);
		assert_int_equal(envelope->recipient_count, 3);
		assert_string_equal(envelope->reverse_path.local, i == 1 ? "" : "\"a b'--\"");
		assert_string_equal(envelope->recipients[2].forward_path.local, "user2");
		assert_int_equal(envelope->recipients[2].state, RECIPIENT_ACTIVE);
		assert_true(content_equal(request.claimed[i].content, wanted));
		content_unref(wanted);
	}
	drop_claimed(&request);
	driver->close(db);
}

static void
test_results(void **state)
{
	struct store_outcome first[] = { outcome(7, 1, RECIPIENT_DONE, 0),
	    outcome(7, 2, RECIPIENT_DEFERRED, 1700000900),
	    outcome(7, 3, RECIPIENT_OWED, STORE_IN_HAND), outcome(8, 1, RECIPIENT_DONE, 0) };
	struct store_claim request = { .now = 1700000899, .limit = 10, .octets = 1 << 20 };
	void *db = open_db();

	(void)state;
	begin(db);
	insert(db, 7, "a@example.org", 3, 100);
	insert(db, 8, "a@example.org", 1, 100000);
	tell(db, first, 4, 1);
	/* Told again: nothing changes. */
	tell(db, first, 4, 0);
	claim(db, &request);
	commit(db);
	assert_int_equal(request.count, 0);
	assert_int_equal(request.next_due, 1700000900);
	assert_int_equal(totals(db).messages, 1);
	assert_int_equal(totals(db).recipients[RECIPIENT_ACTIVE], 0);
	assert_int_equal(totals(db).recipients[RECIPIENT_DEFERRED], 1);
	assert_int_equal(totals(db).recipients[RECIPIENT_OWED], 1);
	drop_claimed(&request);
	begin(db);
	request.now = 1700000900;
	claim(db, &request);
	commit(db);
	assert_int_equal(request.count, 1);
	assert_int_equal(request.claimed[0].envelope->recipient_count, 1);
	assert_int_equal(request.claimed[0].envelope->recipients[0].id, 2);
	assert_int_equal(request.claimed[0].envelope->recipients[0].attempts, 1);
	assert_int_equal(request.claimed[0].envelope->recipients[0].last.reply_code, 451);
	assert_string_equal(request.claimed[0].envelope->recipients[0].last.text, "try later");
	assert_int_equal(request.claimed[0].envelope->recipients[0].last.enhanced.subject, 3);
	assert_string_equal(request.claimed[0].envelope->recipients[0].relay, "mx[192.0.2.7]:25");
	drop_claimed(&request);
	first[1].state = RECIPIENT_PARKED;
	first[2].state = RECIPIENT_DONE;
	begin(db);
	tell(db, first + 1, 2, 0);
	commit(db);
	assert_int_equal(totals(db).recipients[RECIPIENT_PARKED], 1);
	assert_int_equal(totals(db).recipients[RECIPIENT_OWED], 0);
	driver->close(db);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM content"), 0);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM message"), 1);
}

/* What was in hand comes back, but for what still is; failed recipients as reports. */
static void
test_recovery(void **state)
{
	struct store_outcome failed[] = { outcome(11, 1, RECIPIENT_OWED, STORE_IN_HAND),
	    outcome(12, 1, RECIPIENT_OWED, STORE_IN_HAND) };
	struct store_claim request = recovery(1700000100);
	/* All of 10, and one of the two of 12. */
	struct store_key keep[] = { { 10, 0 }, { 12, 1 } };
	void *db = open_db();
	int64_t id;

	(void)state;
	begin(db);
	for (id = 9; id <= 12; id++)
		insert(db, id, "a@example.org", 2, 50);
	tell(db, failed, 2, 0);
	commit(db);
	request.keep = keep;
	request.keep_count = 2;
	begin(db);
	claim(db, &request);
	commit(db);
	assert_int_equal(request.count, 4);
	assert_int_equal(request.claimed[0].envelope->id, 11);
	assert_int_equal(request.claimed[0].envelope->recipients[0].state, RECIPIENT_OWED);
	assert_int_equal(request.claimed[0].envelope->recipient_count, 1);
	assert_int_equal(request.claimed[1].envelope->id, 9);
	assert_int_equal(request.claimed[1].envelope->recipient_count, 2);
	assert_int_equal(request.claimed[2].envelope->id, 11);
	assert_int_equal(request.claimed[2].envelope->recipient_count, 1);
	assert_int_equal(request.claimed[3].envelope->id, 12);
	assert_int_equal(request.claimed[3].envelope->recipient_count, 1);
	assert_int_equal(request.claimed[3].envelope->recipients[0].id, 2);
	assert_int_equal(totals(db).recipients[RECIPIENT_ACTIVE], 6);
	assert_int_equal(totals(db).recipients[RECIPIENT_DEFERRED], 0);
	drop_claimed(&request);
	driver->close(db);
}

/* Later than any schedule says: a clock ran ahead.  Reports in hand are no such thing. */
static void
test_too_far_ahead(void **state)
{
	struct store_outcome outcomes[] = { outcome(1, 1, RECIPIENT_DEFERRED, 1700001000),
	    outcome(1, 2, RECIPIENT_DEFERRED, 1700001001),
	    outcome(1, 3, RECIPIENT_DEFERRED, 2000000000),
	    outcome(1, 4, RECIPIENT_OWED, STORE_IN_HAND) };
	struct store_claim request = { .now = 1700000000, .limit = 1, .octets = 1 << 20,
	    .latest = 1700001000 };
	void *db = open_db();

	(void)state;
	begin(db);
	insert(db, 1, "a@example.org", 4, 50);
	tell(db, outcomes, 4, 0);
	claim(db, &request);
	assert_int_equal(request.count, 1);	/* no more at once than the limit */
	assert_int_equal(request.claimed[0].envelope->recipients[0].id, 3);
	drop_claimed(&request);
	claim(db, &request);
	assert_int_equal(request.claimed[0].envelope->recipients[0].id, 2);
	drop_claimed(&request);
	claim(db, &request);
	assert_int_equal(request.count, 0);
	assert_int_equal(request.next_due, 1700001000);
	drop_claimed(&request);
	commit(db);
	driver->close(db);
}

static void
test_claim_limits(void **state)
{
	struct store_claim request = recovery(1700000100);
	void *db = open_db();
	int64_t id;

	(void)state;
	begin(db);
	for (id = 1; id <= 20; id++)
		insert(db, id, "a@example.org", 5, 1000);
	request.limit = 12;
	claim(db, &request);
	assert_int_equal(request.count, 3);	/* whole messages */
	assert_int_equal(request.next_due, 1700000100);
	drop_claimed(&request);
	request.recover = false;
	request.limit = 1000;
	request.octets = 15000;		/* a page of memory each, and what goes with it */
	claim(db, &request);
	assert_int_equal(request.count, 4);
	drop_claimed(&request);
	request.octets = 1 << 20;
	claim(db, &request);
	assert_int_equal(request.count, 13);
	drop_claimed(&request);
	commit(db);
	driver->close(db);
}

static void
test_constraints_refuse(void **state)
{
	struct store_insert request = { .envelope = envelope_of(5, "a@example.org", 1),
	    .content = content_of(place.directory, 10, 1) };
	void *db = open_db();
	struct error err;

	(void)state;
	begin(db);
	insert(db, 5, "a@example.org", 1, 10);
	assert_int_equal(driver->insert(db, &request, &err), STORE_REFUSED);
	request.envelope->id = 6;
	memcpy(request.envelope->reverse_path.local, "a\r\nb", 5);
	assert_int_equal(driver->insert(db, &request, &err), STORE_REFUSED);
	driver->rollback(db);
	assert_int_equal(totals(db).messages, 0);
	assert_int_equal(totals(db).last_id, 0);
	envelope_free(request.envelope);
	content_unref(request.content);
	driver->close(db);
}

/* Damaged rows are parked and told of; sound ones beside them go on. */
static void
test_damage(void **state)
{
	static const char *const damages[] = {
		"UPDATE message SET head = CAST(replace(CAST(head AS TEXT), 'a', 'b') AS BLOB)",
		"UPDATE message SET head = zeroblob(3)",
		"UPDATE message SET head = NULL",
		"UPDATE message SET size = size + 1",
		"UPDATE message SET reverse_path = 'x@example.org'",
		"UPDATE message SET reverse_path = 'no address at all'",
		"UPDATE message SET digest = x'00'",
		"UPDATE message SET body = 1",
		"UPDATE message SET uid = 7",
		"PRAGMA ignore_check_constraints = 1; UPDATE message SET uid = -1",
		"PRAGMA ignore_check_constraints = 1; UPDATE message SET uid = 4294967295",
		"UPDATE recipient SET forward_path = 'evil@example.org'",
		"UPDATE recipient SET forward_path = ''",
		"UPDATE recipient SET notify = 1",
		"UPDATE recipient SET digest = x'0102030405060708'",
		"UPDATE recipient SET reply_code = -1",
		"UPDATE recipient SET enhanced = 'x.y.z'",
		"UPDATE recipient SET text = 'a' || char(10) || 'b'",
		"PRAGMA ignore_check_constraints = 1; UPDATE recipient SET attempts = -5",
		"PRAGMA ignore_check_constraints = 1; UPDATE recipient SET notify = -2",
	};
	struct store_claim request;
	size_t i;
	void *db;

	(void)state;
	for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		char *statement = mem_printf("%s WHERE %s = 1", damages[i],
		    strstr(damages[i], "recipient") != NULL ? "message_id" : "id");

		unlink(place.path);
		db = open_db();
		begin(db);
		insert(db, 1, "a@example.org", 2, 500);
		insert(db, 2, "a@example.org", 2, 500);
		commit(db);
		driver->close(db);
		tamper(place.path, statement);
		db = open_db();
		request = recovery(1700000100);
		begin(db);
		claim(db, &request);
		commit(db);
		if (request.count != 1)
			print_message("%s\n", statement);
		assert_int_equal(request.count, 1);
		assert_int_equal(request.claimed[0].envelope->id, 2);
		assert_int_equal(request.damaged_count, 1);
		assert_int_equal(request.damaged[0].message_id, 1);
		assert_true(request.damaged[0].parked);
		assert_int_equal(totals(db).recipients[RECIPIENT_PARKED], 2);
		drop_claimed(&request);
		driver->close(db);
		free(statement);
	}
}

static void
test_missing_piece(void **state)
{
	struct store_claim request = recovery(1700000100);
	struct store_load load = { .message_id = 1 };
	struct error err;
	void *db = open_db();

	(void)state;
	begin(db);
	insert(db, 1, "a@example.org", 1, 300000);
	commit(db);
	assert_int_equal(driver->load(db, &load, &err), STORE_OK);
	assert_int_equal(content_size(load.content), 300000);
	content_unref(load.content);
	driver->close(db);
	tamper(place.path, "DELETE FROM content WHERE seq = 2");
	db = open_db();
	begin(db);
	assert_int_equal(driver->load(db, &load, &err), STORE_REFUSED);
	assert_null(load.content);
	claim(db, &request);
	assert_int_equal(request.count, 0);
	assert_int_equal(request.damaged_count, 1);
	load.message_id = 99;
	assert_int_equal(driver->load(db, &load, &err), STORE_REFUSED);
	commit(db);
	drop_claimed(&request);
	driver->close(db);
}

/* No room to read a large message into: it is put off, and neither lost nor parked. */
static void
test_no_room_to_read(void **state)
{
	const struct store_options options = { place.path, "/nonexistent/herald", HISTORY };
	struct store_claim request = recovery(1700000100);
	struct error err;
	void *db = open_db();

	(void)state;
	begin(db);
	insert(db, 1, "a@example.org", 1, 300000);
	insert(db, 2, "a@example.org", 1, 300);
	commit(db);
	driver->close(db);
	db = driver->open(&options, &err);
	begin(db);
	claim(db, &request);
	assert_int_equal(request.count, 1);
	assert_int_equal(request.claimed[0].envelope->id, 2);
	assert_int_equal(request.damaged_count, 1);
	assert_false(request.damaged[0].parked);
	assert_int_equal(request.next_due, 1700000160);
	commit(db);
	assert_int_equal(totals(db).recipients[RECIPIENT_PARKED], 0);
	assert_int_equal(totals(db).recipients[RECIPIENT_DEFERRED], 1);
	drop_claimed(&request);
	driver->close(db);
}

/* A report whose commit was not answered is sent again, and is there once. */
static void
test_insert_again(void **state)
{
	struct store_outcome failed = outcome(7, 1, RECIPIENT_OWED, STORE_IN_HAND);
	struct store_outcome done = outcome(7, 1, RECIPIENT_DONE, 0);
	struct store_insert report = { .envelope = envelope_of(9, "", 1), .again = true,
	    .content = content_of(place.directory, 10, 1), .outcomes = &done, .count = 1 };
	void *db = open_db();
	struct error err;
	int round;

	(void)state;
	begin(db);
	insert(db, 7, "a@example.org", 1, 100);
	tell(db, &failed, 1, 0);
	for (round = 0; round < 2; round++) {
		report.envelope->recipients[0].id = 0;
		assert_int_equal(driver->insert(db, &report, &err), STORE_OK);
		assert_int_equal(report.removed.count, round == 0);
		assert_int_equal(report.envelope->recipients[0].id, 1);
		free(report.removed.ids);
		report.removed = (struct store_ids){ 0 };
	}
	commit(db);
	assert_int_equal(totals(db).messages, 1);
	assert_int_equal(totals(db).recipients[RECIPIENT_ACTIVE], 1);
	assert_int_equal(totals(db).recipients[RECIPIENT_OWED], 0);
	envelope_free(report.envelope);
	content_unref(report.content);
	driver->close(db);
}

/* After trouble in an earlier run the file is looked at before it is used. */
static void
test_checked_after_trouble(void **state)
{
	char mark[128], ones[4096];
	struct stat st;
	void *db = open_db();
	int64_t id;
	off_t at;
	int fd;

	(void)state;
	begin(db);
	for (id = 1; id <= 50; id++)
		insert(db, id, "a@example.org", 2, 3000);
	commit(db);
	driver->close(db);
	snprintf(mark, sizeof(mark), "%s-trouble", place.path);
	fd = open(mark, O_WRONLY | O_CREAT, 0600);
	close(fd);
	driver->close(open_db());
	assert_int_equal(access(mark, F_OK), -1);	/* all is well: forgotten */
	memset(ones, 0xff, sizeof(ones));
	fd = open(place.path, O_RDWR);
	fstat(fd, &st);
	for (at = st.st_size / 2; at < st.st_size; at += (off_t)sizeof(ones))
		assert_int_equal(pwrite(fd, ones, sizeof(ones), at), sizeof(ones));
	close(fd);
	fd = open(mark, O_WRONLY | O_CREAT, 0600);
	close(fd);
	assert_refused("damaged");
	assert_int_equal(access(mark, F_OK), 0);
	assert_refused("damaged");
}

/* The pages themselves are hit: whatever the answer is, no content comes out changed. */
static void
test_flipped_octets(void **state)
{
	unsigned short seed[3] = { 0x330e, (unsigned short)getpid(), 7 };
	struct content *wanted[3];
	struct stat st;
	int round, fd, i;
	size_t k, sent = 0, stopped = 0;

	(void)state;
	print_message("seed %u\n", seed[1]);
	for (i = 0; i < 3; i++)
		wanted[i] = content_of(place.directory, 3000, (unsigned)i + 1);
	for (round = 0; round < 150; round++) {
		const struct store_options options = { place.path, place.directory, HISTORY };
		struct store_claim request = recovery(1700000100);
		struct error err;
		void *db;
		char octet;
		off_t at;

		place_remove(&place);
		mkdir(place.directory, 0700);
		db = open_db();
		begin(db);
		for (i = 0; i < 3; i++)
			insert(db, i + 1, "a@example.org", 2, 3000);
		commit(db);
		driver->close(db);
		fd = open(place.path, O_RDWR);
		fstat(fd, &st);
		for (i = 0; i < 4; i++) {
			at = nrand48(seed) % st.st_size;
			assert_int_equal(pread(fd, &octet, 1, at), 1);
			octet = (char)(octet ^ (1 << nrand48(seed) % 8));
			assert_int_equal(pwrite(fd, &octet, 1, at), 1);
		}
		close(fd);
		db = driver->open(&options, &err);
		if (db == NULL) {
			stopped++;
			continue;
		}
		if (driver->begin(db, &err) != STORE_OK ||
		    driver->claim(db, &request, &err) != STORE_OK)
			stopped++;
		for (k = 0; k < request.count; k++) {
			int64_t id = request.claimed[k].envelope->id;

			assert_in_range(id, 1, 3);
			assert_true(content_equal(request.claimed[k].content, wanted[id - 1]));
			assert_string_equal(request.claimed[k].envelope->reverse_path.local, "a");
			sent++;
		}
		drop_claimed(&request);
		driver->rollback(db);
		driver->close(db);
	}
	for (i = 0; i < 3; i++)
		content_unref(wanted[i]);
	print_message("150 rounds: %zu messages whole, %zu rounds stopped\n", sent, stopped);
}

static void
test_list_and_act(void **state)
{
	struct store_outcome deferred = outcome(3, 1, RECIPIENT_DEFERRED, 1700009999);
	struct store_list list = { .filter = { .state = -1 }, .examine = 4, .limit = 100 };
	struct store_act act = { .filter = { .state = -1 }, .examine = 100, .now = 1700000001 };
	struct error err;
	size_t seen = 0, calls = 0, i;
	void *db = open_db();
	int64_t id;

	(void)state;
	begin(db);
	for (id = 1; id <= 10; id++)
		insert(db, id, id % 2 ? "odd@example.org" : "even@example.com", 2, 100);
	tell(db, &deferred, 1, 0);
	do {
		assert_int_equal(driver->list(db, &list, &err), STORE_OK);
		for (i = 0; i < list.count; i++)
			envelope_free(list.messages[i]);
		free(list.messages);
		seen += list.count;
		list.count = 0;
		list.after = list.next;
		calls++;
	} while (list.next >= 0);
	assert_int_equal(seen, 10);
	assert_int_equal(calls, 3);
	/* Only what is not in hand can be acted on. */
	act.action = STORE_REMOVE;
	assert_int_equal(driver->act(db, &act, &err), STORE_OK);
	assert_int_equal(act.changed, 1);
	assert_int_equal(act.removed.count, 0);
	free(act.removed.ids);
	commit(db);
	assert_int_equal(totals(db).messages, 10);
	assert_int_equal(totals(db).recipients[RECIPIENT_DEFERRED], 0);
	assert_int_equal(totals(db).recipients[RECIPIENT_ACTIVE], 19);
	driver->close(db);
}

static size_t
count_listed(void *db, struct store_filter filter)
{
	struct store_list list = { .filter = filter, .examine = 100, .limit = 100 };
	struct error err;
	size_t count, i;

	assert_int_equal(driver->list(db, &list, &err), STORE_OK);
	assert_int_equal(list.next, -1);
	count = list.count;
	for (i = 0; i < count; i++)
		envelope_free(list.messages[i]);
	free(list.messages);
	return count;
}

/* From users of this machine, the last from root. */
static void
test_by_user(void **state)
{
	static const unsigned uids[] = { ENVELOPE_NO_UID, 1000, ENVELOPE_NO_UID - 1, 0 };
	struct store_insert new = { .content = content_of(place.directory, 10, 1) };
	struct store_claim request = recovery(1700000100);
	void *db = open_db();
	struct error err;

	(void)state;
	begin(db);
	for (int64_t id = 1; id <= 4; id++) {
		new.envelope = envelope_of(id, "ann@example.org", 1);
		new.envelope->uid = uids[id - 1];
		assert_int_equal(driver->insert(db, &new, &err), STORE_OK);
		envelope_free(new.envelope);
	}
#define OF(user) count_listed(db, (struct store_filter){ .state = -1, .by_uid = true, .uid = user })
	assert_int_equal(OF(1000), 1);
	assert_int_equal(OF(0), 1);
	assert_int_equal(OF(1001), 0);
	assert_int_equal(count_listed(db, (struct store_filter){ .state = -1 }), 4);
	assert_int_equal(count_listed(db, (struct store_filter){ .state = -1, .message_id = 4,
	    .by_uid = true, .uid = 1000 }), 0);
	claim(db, &request);
	commit(db);
	assert_int_equal(request.count, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(request.claimed[i].envelope->uid, uids[i]);
	drop_claimed(&request);
	driver->close(db);
	content_unref(new.content);
}

static void
test_filters(void **state)
{
	struct store_outcome deferred = outcome(3, 1, RECIPIENT_DEFERRED, 1700009999);
	void *db = open_db();

	(void)state;
	begin(db);
	insert(db, 1, "ann@example.org", 1, 10);
	insert(db, 2, "bob@example.com", 2, 10);
	insert(db, 3, "", 3, 10);
	tell(db, &deferred, 1, 0);
	assert_int_equal(count_listed(db, (struct store_filter){ .state = -1 }), 3);
#define LISTED(...) count_listed(db, (struct store_filter){ .state = -1, __VA_ARGS__ })
#define TEXT(literal) (char[]){ literal }
	assert_int_equal(LISTED(.message_id = 2), 1);
	assert_int_equal(LISTED(.message_id = 4), 0);
	assert_int_equal(LISTED(.sender = TEXT("Ann@example.org")), 1);
	assert_int_equal(LISTED(.sender = TEXT("@example.com")), 1);
	assert_int_equal(LISTED(.sender = TEXT("<>")), 1);
	assert_int_equal(LISTED(.recipient = TEXT("user1@example.net")), 2);
	assert_int_equal(LISTED(.recipient = TEXT("@example.net")), 3);
	assert_int_equal(LISTED(.recipient = TEXT("@example.org")), 0);
	assert_int_equal(LISTED(.relay = TEXT("mx[")), 1);
	assert_int_equal(LISTED(.arrived_before = 1699999999), 0);
	assert_int_equal(LISTED(.arrived_before = 1700000000), 3);
	assert_int_equal(count_listed(db, (struct store_filter){ .state = RECIPIENT_DEFERRED }), 1);
	assert_int_equal(count_listed(db, (struct store_filter){ .state = RECIPIENT_ACTIVE }), 3);
	assert_int_equal(count_listed(db, (struct store_filter){ .state = RECIPIENT_HELD }), 0);
	commit(db);
	driver->close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_new_file),
		TEST(test_one_instance),
		TEST(test_refuses_what_is_not_its_file),
		TEST(test_refuses_what_it_does_not_know),
		TEST(test_round_trip),
		TEST(test_results),
		TEST(test_recovery),
		TEST(test_too_far_ahead),
		TEST(test_claim_limits),
		TEST(test_constraints_refuse),
		TEST(test_damage),
		TEST(test_missing_piece),
		TEST(test_no_room_to_read),
		TEST(test_insert_again),
		TEST(test_checked_after_trouble),
		TEST(test_flipped_octets),
		TEST(test_list_and_act),
		TEST(test_filters),
		TEST(test_by_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
