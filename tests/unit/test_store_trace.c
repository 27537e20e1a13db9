/* test_store_trace.c - what became of mail is found by queue id, address and Message-ID. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "store_db.h"

struct found { struct store_trace_row *rows; size_t count, parts; };

/* Asks part after part, as the queue does. */
static struct found
trace(void *db, const char *what, size_t limit)
{
	struct found found = { 0 };
	struct store_trace request = { 0 };
	struct error err;

	do {
		request.what = mem_strdup(what);
		request.after = request.next;
		request.limit = limit - found.count;
		request.rows = NULL;
		request.count = 0;
		assert_int_equal(driver->trace(db, &request, &err), STORE_OK);
		found.rows = mem_grow(found.rows, found.count + request.count + 1,
		    sizeof(*found.rows));
		if (request.count > 0)
			memcpy(found.rows + found.count, request.rows,
			    request.count * sizeof(*found.rows));
		found.count += request.count;
		found.parts++;
		free(request.rows);
		free(request.what);
		assert_true(found.parts < 1000);
	} while (request.next != 0 && found.count < limit);
	return found;
}

static size_t
count_found(void *db, const char *what)
{
	struct found found = trace(db, what, 1000);

	free(found.rows);
	return found.count;
}

static void
add(void *db, int64_t id, const char *reverse_path, const char *message_id)
{
	struct store_insert request = { .envelope = envelope_of(id, reverse_path, 2),
	    .content = content_of(place.directory, 5000, 1) };
	struct error err;

	request.envelope->message_id = message_id;
	request.envelope->arrived += id;
	assert_int_equal(driver->insert(db, &request, &err), STORE_OK);
	envelope_free(request.envelope);
	content_unref(request.content);
}

/* Tells one recipient's end; `removed` when the message goes with it. */
static void
end(void *db, int64_t id, int64_t recipient, struct status status, size_t removed)
{
	struct store_outcome one = outcome(id, recipient, RECIPIENT_DONE, 0);

	one.attempt.status = status;
	one.attempts = 2;
	snprintf(one.attempt.tls, sizeof(one.attempt.tls), "TLSv1.3/verified");
	snprintf(one.attempt.step, sizeof(one.attempt.step), "end of data");
	tell(db, &one, 1, removed);
}

static void
owe(void *db, int64_t id, int64_t recipient, struct status status)
{
	struct store_outcome one = outcome(id, recipient, RECIPIENT_OWED, STORE_IN_HAND);

	one.attempt.status = status;
	tell(db, &one, 1, 0);
}

static void
test_by_queue_id(void **state)
{
	struct found found;
	void *db = open_db();

	(void)state;
	begin(db);
	add(db, 0xab01, "ann@example.org", "<1@example.org>");
	add(db, 0xab02, "ann@example.org", "<2@example.org>");
	end(db, 0xab01, 2, status_reply(250, "2.0.0", "Ok: queued as 77"), 0);
	found = trace(db, "AB01", 10);
	assert_int_equal(found.count, 2);
	assert_string_equal(found.rows[0].queue_id, "AB01");
	assert_string_equal(found.rows[0].fate, "queued");
	assert_int_equal(found.rows[0].state, RECIPIENT_ACTIVE);
	assert_int_equal(found.rows[0].finished, 0);
	assert_int_equal(found.rows[0].recipient_id, 1);
	assert_string_equal(found.rows[0].recipient, "user0@example.net");
	assert_string_equal(found.rows[1].queue_id, "AB01");
	assert_string_equal(found.rows[1].fate, "sent");
	assert_int_equal(found.rows[1].state, RECIPIENT_DONE);
	assert_int_equal(found.rows[1].recipient_id, 2);
	assert_in_range(found.rows[1].finished, time(NULL) - 5, time(NULL));
	assert_int_equal(found.rows[1].arrived, 1700000000 + 0xab01);
	assert_string_equal(found.rows[1].sender, "ann@example.org");
	assert_string_equal(found.rows[1].recipient, "user1@example.net");
	assert_string_equal(found.rows[1].message_id, "<1@example.org>");
	assert_int_equal(found.rows[1].size, 5000);
	assert_int_equal(found.rows[1].attempts, 2);
	assert_int_equal(found.rows[1].last.at, 1700000050);
	assert_int_equal(found.rows[1].last.status.reply_code, 250);
	assert_string_equal(found.rows[1].last.status.text, "Ok: queued as 77");
	assert_string_equal(found.rows[1].last.relay, "mx[192.0.2.7]:25");
	assert_string_equal(found.rows[1].last.tls, "TLSv1.3/verified");
	assert_string_equal(found.rows[1].last.step, "end of data");
	free(found.rows);
	assert_int_equal(count_found(db, "ab02"), 2);
	assert_int_equal(count_found(db, "AB03"), 0);
	assert_int_equal(count_found(db, "FFFFFFFFFFFFFFFF"), 0);
	commit(db);
	driver->close(db);
}

/* Each way to end has its word. */
static void
test_fates(void **state)
{
	static const char *const wanted[] = { "removed", "expired", "relayed", "bounced", "sent",
		"bounced" };
	struct store_act remove = { .action = STORE_REMOVE, .examine = 100,
	    .filter = { .state = -1 } };
	struct store_outcome deferred = outcome(3, 2, RECIPIENT_DEFERRED, 1700009000);
	struct found found;
	struct error err;
	void *db = open_db();
	size_t i;

	(void)state;
	begin(db);
	for (i = 1; i <= 3; i++)
		add(db, (int64_t)i, "ann@example.org", NULL);
	end(db, 1, 1, status_reply(550, "5.1.1", "no such user"), 0);
	end(db, 1, 2, status_reply(250, "2.0.0", "Ok"), 1);
	owe(db, 2, 1, status_reply(550, "5.1.1", "no such user"));
	owe(db, 2, 2, status_reply(250, "2.0.0", "Ok"));
	owe(db, 3, 1, status_local("4.4.7", "delivery time expired"));
	tell(db, &deferred, 1, 0);
	/* The report says nothing of what it is about: that stands in the row. */
	end(db, 2, 1, status_local("2.0.0", "reported"), 0);
	end(db, 2, 2, status_local("2.0.0", "reported"), 1);
	end(db, 3, 1, status_local("2.0.0", "reported"), 0);
	assert_int_equal(driver->act(db, &remove, &err), STORE_OK);
	assert_int_equal(remove.changed, 1);
	free(remove.removed.ids);
	found = trace(db, "ann@example.org", 100);
	assert_int_equal(found.count, 6);
	for (i = 0; i < 6; i++)
		assert_string_equal(found.rows[i].fate, wanted[i]);
	assert_string_equal(found.rows[3].last.status.text, "no such user");
	assert_string_equal(found.rows[0].last.status.text, "try later");
	free(found.rows);
	commit(db);
	driver->close(db);
}

static void
test_by_text(void **state)
{
	struct store_trace long_one = { .what = mem_zalloc(400), .limit = 1 };
	struct error err;
	void *db = open_db();

	(void)state;
	begin(db);
	add(db, 1, "Ann@example.org", "<One.1@example.org>");
	add(db, 2, "", "<two.2@example.org>");
	add(db, 3, "bob@example.org", NULL);
	end(db, 1, 1, status_reply(250, "2.0.0", "Ok"), 0);
	end(db, 1, 2, status_reply(250, "2.0.0", "Ok"), 1);
	end(db, 3, 2, status_reply(250, "2.0.0", "Ok"), 0);
	assert_int_equal(count_found(db, "ann@EXAMPLE.org"), 2);
	assert_int_equal(count_found(db, "<ann@example.org>"), 2);
	assert_int_equal(count_found(db, "user1@example.net"), 3);
	assert_int_equal(count_found(db, "<>"), 2);
	/* Of a Message-ID the case counts. */
	assert_int_equal(count_found(db, "<One.1@example.org>"), 2);
	assert_int_equal(count_found(db, "One.1@example.org"), 2);
	assert_int_equal(count_found(db, "one.1@example.org"), 0);
	assert_int_equal(count_found(db, "two.2@example.org"), 2);
	assert_int_equal(count_found(db, "x' OR '1'='1"), 0);
	assert_int_equal(count_found(db, "%"), 0);
	assert_int_equal(count_found(db, "*@example.org"), 0);
	memset(long_one.what, 'x', 399);
	assert_int_equal(driver->trace(db, &long_one, &err), STORE_REFUSED);
	free(long_one.what);
	commit(db);
	driver->close(db);
}

#define FINISHED(count, who) \
	"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " count ")" \
	" INSERT INTO history (message_id, recipient_id, arrived, finished, size, reverse_path," \
	" forward_path, header_id, fate, attempts, at, reply_code, enhanced, text, relay, tls," \
	" step) SELECT i, 1, 1, " NOW ", 1, 'a@example.org', " who ", '<' || i || '@x>', 1," \
	" 1, 1, 250, '2.0.0', 'ok', '', '', '' FROM n"

/* A long history is looked through in parts, none of which takes long. */
static void
test_in_parts(void **state)
{
	struct timespec before, after;
	struct found found;
	void *db = open_db();
	int64_t id, us;

	(void)state;
	driver->close(db);
	tamper(place.path, FINISHED("60000", "'b' || (i % 1000) || '@example.net'"));
	db = open_db();
	begin(db);
	for (id = 60001; id <= 61200; id++)
		add(db, id, id % 300 == 1 ? "b7@example.net" : "c@example.org", NULL);
	commit(db);
	clock_gettime(CLOCK_MONOTONIC, &before);
	found = trace(db, "b7@example.net", 1000);
	clock_gettime(CLOCK_MONOTONIC, &after);
	us = ((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec) / 1000;
	print_message("%zu parts, %lld us each\n", found.parts,
	    (long long)(us / (int64_t)found.parts));
	/* 3 of the queue, the way over, 12 of the history. */
	assert_in_range(found.parts, 14, 17);
	assert_int_equal(found.count, 8 + 60);
	assert_string_equal(found.rows[0].queue_id, "EDE5");	/* 60901 */
	assert_string_equal(found.rows[8].queue_id, "E67F");	/* 59007 */
	assert_string_equal(found.rows[67].queue_id, "7");
	free(found.rows);
	found = trace(db, "b7@example.net", 10);
	assert_int_equal(found.count, 10);
	free(found.rows);
	assert_int_equal(count_found(db, "59007@x"), 1);
	assert_int_equal(count_found(db, "nobody@example.org"), 0);
	driver->close(db);
}

/* Rows that somebody wrote over are shown without what does not bear reading. */
static void
test_damage(void **state)
{
	static const char *const damages[] = {
		"UPDATE history SET fate = 77", "UPDATE history SET fate = -1",
		"UPDATE history SET reply_code = 99999", "UPDATE history SET enhanced = 'x'",
		"UPDATE history SET forward_path = CAST(zeroblob(9000) AS TEXT)",
		"UPDATE history SET header_id = printf('%.9000c', 'x')",
		"UPDATE history SET text = char(27) || '[2J'",
		"UPDATE history SET relay = printf('%.9000c', 'x')",
		"UPDATE history SET tls = printf('%.9000c', 'x')",
		"UPDATE history SET step = 'a' || char(10)", "UPDATE history SET at = -5",
		"UPDATE history SET size = -5, attempts = -5, finished = -5, arrived = -5",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct found found;
		void *db;

		unlink(place.path);
		db = open_db();
		begin(db);
		add(db, 1, "ann@example.org", "<1@example.org>");
		end(db, 1, 1, status_reply(250, "2.0.0", "Ok"), 0);
		commit(db);
		driver->close(db);
		tamper(place.path, damages[i]);
		db = open_db();
		found = trace(db, "ann@example.org", 10);
		assert_int_equal(found.count, 2);
		assert_int_equal(strspn(found.rows[1].last.status.text, "Ok"),
		    strlen(found.rows[1].last.status.text));
		free(found.rows);
		driver->close(db);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_by_queue_id),
		TEST(test_fates),
		TEST(test_by_text),
		TEST(test_in_parts),
		TEST(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
