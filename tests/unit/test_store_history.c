/* test_store_history.c - what a recipient went through: attempts, actions, its end, and after. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include "store_db.h"

static enum store_result
try_insert(void *db, struct envelope *envelope)
{
	struct store_insert request = { .envelope = envelope,
	    .content = content_of(place.directory, 100, 1) };
	struct error err;
	enum store_result result = driver->insert(db, &request, &err);

	content_unref(request.content);
	return result;
}

static struct store_show
show(void *db, int64_t id)
{
	struct store_show request = { .message_id = id };
	struct error err;

	assert_int_equal(driver->show(db, &request, &err), STORE_OK);
	return request;
}

static void
drop_shown(struct store_show *request)
{
	envelope_free(request->envelope);
	free(request->attempts);
}

static uint64_t
act(void *db, enum store_action action, size_t removed)
{
	struct store_act request = { .action = action, .filter = { .state = -1 },
	    .examine = 100, .now = 1700001000, .relay = "backup",
	    .status = status_local("5.7.0", "returned by the administrator") };
	struct error err;

	assert_int_equal(driver->act(db, &request, &err), STORE_OK);
	assert_int_equal(request.removed.count, removed);
	free(request.removed.ids);
	return request.changed;
}

/* --- what is new in the rows --- */

static void
test_all_fields(void **state)
{
	struct envelope *envelope = envelope_of(5, "ann@example.org", 2);
	struct store_outcome outcomes[] = { outcome(5, 1, RECIPIENT_DEFERRED, 1700000900),
	    outcome(5, 2, RECIPIENT_DEFERRED, 1700000900) };
	struct store_claim request = { .now = 1700000900, .limit = 10, .octets = 1 << 20 };
	const struct recipient *recipient;
	struct store_show shown;
	void *db = open_db();

	(void)state;
	envelope->smtputf8 = true;
	envelope->ret = RET_FULL;
	envelope->envid = "QQ+2B314159";
	envelope->message_id = "<J\xc3\xb6rg.1@example.org>";
	envelope->recipients[1].orcpt = "utf-8;J\\x{F6}rg@example.net";
	envelope->recipients[1].notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	outcomes[1].warned = true;
	begin(db);
	assert_int_equal(try_insert(db, envelope), STORE_OK);
	tell(db, outcomes, 2, 0);
	commit(db);
	driver->close(db);
	db = open_db();
	begin(db);
	claim(db, &request);
	assert_int_equal(request.damaged_count, 0);
	assert_int_equal(request.count, 1);
	assert_true(request.claimed[0].envelope->smtputf8);
	assert_int_equal(request.claimed[0].envelope->ret, RET_FULL);
	assert_string_equal(request.claimed[0].envelope->envid, envelope->envid);
	assert_string_equal(request.claimed[0].envelope->message_id, envelope->message_id);
	recipient = request.claimed[0].envelope->recipients;
	assert_null(recipient[0].orcpt);
	assert_false(recipient[0].warned);
	assert_int_equal(recipient[0].last_at, 1700000050);
	assert_string_equal(recipient[1].orcpt, envelope->recipients[1].orcpt);
	assert_true(recipient[1].warned);
	drop_claimed(&request);
	shown = show(db, 5);
	assert_string_equal(shown.envelope->envid, envelope->envid);
	assert_string_equal(shown.envelope->recipients[1].orcpt, envelope->recipients[1].orcpt);
	assert_true(shown.envelope->recipients[1].warned);
	assert_int_equal(shown.count, 0);
	drop_shown(&shown);
	commit(db);
	driver->close(db);
	envelope_free(envelope);
}

/* RULES H: no line ends get in, neither by the driver nor beside it. */
static void
test_no_line_ends(void **state)
{
	static const char *const beside[] = {
		"UPDATE message SET envid = 'a' || char(13) || 'b'",
		"UPDATE message SET envid = CAST(x'610062' AS TEXT)",
		"UPDATE message SET envid = printf('%.101c', 'x')",
		"UPDATE message SET ret = 3",
		"UPDATE message SET smtputf8 = 2",
		"UPDATE recipient SET orcpt = 'a' || char(10) || 'b'",
		"UPDATE recipient SET orcpt = printf('%.501c', 'x')",
		"UPDATE recipient SET chosen_relay = 'a' || char(10)",
		"UPDATE recipient SET chosen_relay = printf('%.33c', 'x')",
		"INSERT INTO kept VALUES ('a', 'b' || char(10))",
	};
	static const char *const refused[] = { "a\r\nRCPT TO:<x@example.org>", "a\tb", "a\x7f",
		"\xff\xfe" };
	struct envelope *envelope = envelope_of(1, "a@example.org", 1);
	struct store_show shown;
	void *db = open_db();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		envelope->message_id = refused[i];
		envelope->envid = refused[i];
		begin(db);
		assert_int_equal(try_insert(db, envelope), STORE_REFUSED);
		driver->rollback(db);
		envelope->envid = NULL;
		envelope->recipients[0].orcpt = refused[i];
		begin(db);
		assert_int_equal(try_insert(db, envelope), STORE_REFUSED);
		driver->rollback(db);
		envelope->recipients[0].orcpt = NULL;
	}
	/* A Message-ID only names it: left out, and the mail is taken. */
	begin(db);
	assert_int_equal(try_insert(db, envelope), STORE_OK);
	shown = show(db, 1);
	assert_null(shown.envelope->message_id);
	drop_shown(&shown);
	commit(db);
	driver->close(db);
	for (i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
		sqlite3 *handle;

		assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
		if (sqlite3_exec(handle, beside[i], NULL, NULL, NULL) != SQLITE_CONSTRAINT)
			fail_msg("%s", beside[i]);
		sqlite3_close(handle);
	}
	envelope_free(envelope);
}

static void
test_digests_cover_them(void **state)
{
	static const char *const damages[] = {
		"UPDATE message SET envid = 'QQ2'", "UPDATE message SET envid = NULL",
		"UPDATE message SET ret = 1", "UPDATE message SET smtputf8 = 1",
		"UPDATE message SET header_id = '<2@example.org>'",
		"UPDATE message SET header_id = NULL, envid = '<1@example.org>'",
		"UPDATE recipient SET orcpt = 'rfc822;b@example.org'",
		"UPDATE recipient SET orcpt = NULL",
		"PRAGMA ignore_check_constraints = 1; UPDATE recipient SET warned = 7",
		"PRAGMA ignore_check_constraints = 1; UPDATE recipient SET chosen_relay = char(10)",
		"PRAGMA ignore_check_constraints = 1; UPDATE message SET ret = 9",
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
		struct envelope *envelope = envelope_of(1, "a@example.org", 1);
		struct store_claim request = recovery(1700000100);
		void *db;

		unlink(place.path);
		db = open_db();
		envelope->envid = "QQ1";
		envelope->message_id = "<1@example.org>";
		envelope->recipients[0].orcpt = "rfc822;a@example.org";
		begin(db);
		assert_int_equal(try_insert(db, envelope), STORE_OK);
		commit(db);
		driver->close(db);
		tamper(place.path, damages[i]);
		db = open_db();
		begin(db);
		claim(db, &request);
		commit(db);
		if (request.count != 0 || request.damaged_count != 1)
			fail_msg("%s", damages[i]);
		drop_claimed(&request);
		driver->close(db);
		envelope_free(envelope);
	}
}

/* --- attempts --- */

static struct store_outcome
attempt(uint32_t number, enum recipient_state state)
{
	struct store_outcome out = outcome(7, 1, state, 1700000000);

	out.attempts = number;
	out.keep_attempt = true;
	out.attempt.at = 1700000000 + number;
	out.attempt.charged = number % 2 == 0;
	out.attempt.peer_does_dsn = number % 3 == 0;
	snprintf(out.attempt.tls, sizeof(out.attempt.tls), "TLSv1.3/verified");
	snprintf(out.attempt.step, sizeof(out.attempt.step), "end of data");
	return out;
}

static void
take(void *db)
{
	struct store_claim request = { .now = 1700000000, .limit = 10, .octets = 1 << 20 };

	claim(db, &request);
	assert_int_equal(request.count, 1);
	drop_claimed(&request);
}

static void
test_attempts(void **state)
{
	struct store_outcome one;
	struct store_show shown;
	void *db = open_db();
	uint32_t i;

	(void)state;
	begin(db);
	insert(db, 7, "a@example.org", 2, 100);
	insert(db, 8, "a@example.org", 1, 100);
	for (i = 1; i <= 60; i++) {
		one = attempt(i, RECIPIENT_DEFERRED);
		tell(db, &one, 1, 0);
		tell(db, &one, 1, 0);	/* told again: nothing is kept twice */
		take(db);
	}
	shown = show(db, 7);
	assert_int_equal(shown.envelope->recipient_count, 2);
	assert_int_equal(shown.count, STORE_ATTEMPTS_MAX);
	for (i = 0; i < shown.count; i++) {
		uint32_t number = i == 0 ? 1 : i + 11;
		const struct attempt *kept = &shown.attempts[i].attempt;

		assert_int_equal(shown.attempts[i].recipient_id, 1);
		assert_int_equal(shown.attempts[i].number, number);
		assert_int_equal(kept->at, 1700000000 + number);
		assert_int_equal(kept->charged, number % 2 == 0);
		assert_int_equal(kept->peer_does_dsn, number % 3 == 0);
		assert_int_equal(kept->status.reply_code, 451);
		assert_int_equal(kept->status.enhanced.subject, 3);
		assert_string_equal(kept->status.text, "try later");
		assert_string_equal(kept->relay, "mx[192.0.2.7]:25");
		assert_string_equal(kept->tls, "TLSv1.3/verified");
		assert_string_equal(kept->step, "end of data");
	}
	drop_shown(&shown);
	/* At its end they stay, as long as the history knows the recipient. */
	one = attempt(61, RECIPIENT_DONE);
	tell(db, &one, 1, 0);
	one.recipient_id = 2;
	one.keep_attempt = false;
	tell(db, &one, 1, 1);
	shown = show(db, 7);
	assert_null(shown.envelope);
	assert_int_equal(shown.count, STORE_ATTEMPTS_MAX);
	assert_int_equal(shown.attempts[49].number, 61);
	drop_shown(&shown);
	shown = show(db, 99);
	assert_null(shown.envelope);
	assert_int_equal(shown.count, 0);
	commit(db);
	driver->close(db);
}

/* A report put off comes again at its time, and a recipient that is owed one can be parked. */
static void
test_owed_again(void **state)
{
	struct store_outcome owed = attempt(1, RECIPIENT_OWED);
	struct store_claim request = { .now = 1700005000, .limit = 10, .octets = 1 << 20 };
	struct store_show shown;
	void *db = open_db();

	(void)state;
	begin(db);
	insert(db, 7, "a@example.org", 1, 100);
	owed.next_attempt = STORE_IN_HAND;
	tell(db, &owed, 1, 0);
	owed.next_attempt = 1700005000;
	owed.warned = true;
	tell(db, &owed, 1, 0);
	assert_int_equal(totals(db).recipients[RECIPIENT_OWED], 0);	/* not yet committed */
	request.now--;
	claim(db, &request);
	assert_int_equal(request.count, 0);
	assert_int_equal(request.next_due, 1700005000);
	drop_claimed(&request);
	request.now++;
	claim(db, &request);
	assert_int_equal(request.count, 1);
	assert_int_equal(request.claimed[0].envelope->recipients[0].state, RECIPIENT_OWED);
	assert_true(request.claimed[0].envelope->recipients[0].warned);
	drop_claimed(&request);
	shown = show(db, 7);
	assert_int_equal(shown.count, 1);
	drop_shown(&shown);
	commit(db);
	assert_int_equal(totals(db).recipients[RECIPIENT_OWED], 1);
	driver->close(db);
}

/* --- actions --- */

/* Five recipients: active, deferred, held, owed, parked. */
static void *
one_of_each(void)
{
	struct store_outcome outcomes[] = { outcome(1, 2, RECIPIENT_DEFERRED, 1700009000),
	    outcome(1, 3, RECIPIENT_DEFERRED, 1700009000),
	    outcome(1, 4, RECIPIENT_OWED, STORE_IN_HAND), outcome(1, 5, RECIPIENT_PARKED, 0) };
	struct store_act hold = { .action = STORE_HOLD, .examine = 100,
	    .filter = { .state = -1, .recipient = (char[]){ "user2@example.net" } } };
	void *db;
	struct error err;

	unlink(place.path);
	db = open_db();
	begin(db);
	insert(db, 1, "a@example.org", 5, 100);
	tell(db, outcomes, 4, 0);
	assert_int_equal(driver->act(db, &hold, &err), STORE_OK);
	assert_int_equal(hold.changed, 1);
	return db;
}

static void
assert_states(void *db, const enum recipient_state wanted[5])
{
	struct store_show shown = show(db, 1);
	size_t i;

	for (i = 0; i < 5; i++)
		assert_int_equal(shown.envelope->recipients[i].state, wanted[i]);
	drop_shown(&shown);
}

static void
test_actions(void **state)
{
	static const struct {
		enum store_action action;
		uint64_t changed;
		enum recipient_state wanted[5];
	} rows[] = {
		{ STORE_RETRY, 2, { RECIPIENT_ACTIVE, RECIPIENT_DEFERRED, RECIPIENT_HELD,
		    RECIPIENT_OWED, RECIPIENT_DEFERRED } },
		{ STORE_HOLD, 2, { RECIPIENT_ACTIVE, RECIPIENT_HELD, RECIPIENT_HELD,
		    RECIPIENT_OWED, RECIPIENT_HELD } },
		{ STORE_RELEASE, 1, { RECIPIENT_ACTIVE, RECIPIENT_DEFERRED, RECIPIENT_DEFERRED,
		    RECIPIENT_OWED, RECIPIENT_PARKED } },
		{ STORE_BOUNCE, 3, { RECIPIENT_ACTIVE, RECIPIENT_OWED, RECIPIENT_OWED,
		    RECIPIENT_OWED, RECIPIENT_OWED } },
		{ STORE_REROUTE, 3, { RECIPIENT_ACTIVE, RECIPIENT_DEFERRED, RECIPIENT_HELD,
		    RECIPIENT_OWED, RECIPIENT_DEFERRED } },
	};
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t counted[RECIPIENT_DONE] = { 0 };
		void *db = one_of_each();

		assert_int_equal(act(db, rows[i].action, 0), rows[i].changed);
		assert_states(db, rows[i].wanted);
		commit(db);
		for (k = 0; k < 5; k++)
			counted[rows[i].wanted[k]]++;
		for (k = 0; k < RECIPIENT_DONE; k++)
			assert_int_equal(totals(db).recipients[k], counted[k]);
		driver->close(db);
	}
}

/* What the actions leave in the rows: statuses, times, the chosen relay. */
static void
test_bounce_and_reroute(void **state)
{
	struct store_claim request = { .now = 1700001000, .limit = 10, .octets = 1 << 20 };
	const struct recipient *recipient;
	void *db = one_of_each();

	(void)state;
	assert_int_equal(act(db, STORE_REROUTE, 0), 3);
	claim(db, &request);
	assert_int_equal(request.count, 1);
	assert_int_equal(request.claimed[0].envelope->recipient_count, 2);
	recipient = request.claimed[0].envelope->recipients;
	assert_int_equal(recipient[0].id, 2);
	assert_string_equal(recipient[0].chosen_relay, "backup");
	assert_string_equal(recipient[1].chosen_relay, "backup");
	assert_string_equal(recipient[0].last.text, "try later");
	drop_claimed(&request);
	assert_int_equal(act(db, STORE_BOUNCE, 0), 1);	/* the held one */
	claim(db, &request);
	assert_int_equal(request.count, 1);
	recipient = request.claimed[0].envelope->recipients;
	assert_int_equal(recipient[0].id, 3);
	assert_int_equal(recipient[0].state, RECIPIENT_OWED);
	assert_int_equal(recipient[0].attempts, 1);
	assert_int_equal(recipient[0].last.reply_code, 0);
	assert_int_equal(recipient[0].last.enhanced.class, 5);
	assert_string_equal(recipient[0].last.text, "returned by the administrator");
	assert_string_equal(recipient[0].relay, "");
	assert_string_equal(recipient[0].chosen_relay, "backup");
	assert_int_equal(recipient[0].last_at, 1700001000);
	drop_claimed(&request);
	commit(db);
	driver->close(db);
}

static void
test_remove(void **state)
{
	struct store_outcome rest[] = { outcome(1, 1, RECIPIENT_DONE, 0),
	    outcome(1, 4, RECIPIENT_DONE, 0) };
	void *db = one_of_each();

	(void)state;
	assert_int_equal(act(db, STORE_REMOVE, 0), 3);
	tell(db, rest, 2, 1);
	commit(db);
	assert_int_equal(totals(db).messages, 0);
	driver->close(db);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM history"), 5);
}

/* --- the history's end --- */

static size_t
purge(void *db, size_t calls)
{
	struct error err;
	int64_t again = 0;
	size_t slices = 0;

	while (again >= 0 && again <= 20 && slices++ < calls) {
		struct timespec pause = { .tv_nsec = 21000000 };

		assert_int_equal(driver->tidy(db, &again, &err), STORE_OK);
		nanosleep(&pause, NULL);
	}
	return slices;
}

static int64_t
history_left(void)
{
	return tamper(place.path, "SELECT count(*) FROM history");
}

#define MANY(count, finished) \
	"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " count ")" \
	" INSERT INTO history (message_id, recipient_id, arrived, finished, size, reverse_path," \
	" forward_path, fate, attempts, at, reply_code, enhanced, text, relay, tls, step)" \
	" SELECT i, 1, 1, " finished ", 1, 'a@example.org', 'b@example.net', 1, 1, 1, 250," \
	" '2.0.0', 'ok', '', '', '' FROM n"

static void
test_purge_by_age(void **state)
{
	struct store_outcome done = attempt(2, RECIPIENT_DONE);
	void *db = open_db();

	(void)state;
	driver->close(db);
	tamper(place.path, MANY("1000", NOW " - 86401"));
	tamper(place.path, "INSERT INTO attempt SELECT message_id, 1, 1, 1, 0, 1, 451, '', '', '',"
	    " '', '' FROM history");
	db = open_db();
	begin(db);
	insert(db, 7, "a@example.org", 1, 100);
	insert(db, 2000, "a@example.org", 1, 100);
	done.message_id = 2000;
	tell(db, &done, 1, 1);
	commit(db);
	assert_in_range(purge(db, 100), 4, 8);	/* in slices */
	driver->close(db);
	assert_int_equal(history_left(), 1);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM attempt"), 1);
	/* Young ones are looked at when they are due, and not before. */
	db = open_db();
	assert_in_range(purge(db, 100), 1, 1);
	driver->close(db);
	assert_int_equal(history_left(), 1);
}

static void
test_purge_by_count(void **state)
{
	void *db = open_db();

	(void)state;
	driver->close(db);
	tamper(place.path, MANY("200600", NOW));
	db = open_db();
	purge(db, 100);
	driver->close(db);
	assert_int_equal(history_left(), STORE_HISTORY_MAX);
	assert_int_equal(tamper(place.path, "SELECT min(seq) FROM history"), 601);
}

static void
test_no_history(void **state)
{
	struct store_outcome deferred = attempt(1, RECIPIENT_DEFERRED);
	struct store_outcome done = attempt(2, RECIPIENT_DONE);
	void *db = open_db();

	(void)state;
	driver->close(db);
	tamper(place.path, MANY("600", NOW));
	db = open_db();
	driver->set_history(db, 0);
	begin(db);
	insert(db, 7, "a@example.org", 1, 100);
	tell(db, &deferred, 1, 0);
	take(db);
	tell(db, &done, 1, 1);
	commit(db);
	purge(db, 100);
	driver->close(db);
	assert_int_equal(history_left(), 0);
	assert_int_equal(tamper(place.path, "SELECT count(*) FROM attempt"), 0);
}

/* --- kept values --- */

static enum store_result
keep(void *db, const char *name, const char *text)
{
	struct store_keep request = { mem_strdup(name), mem_strdup(text) };
	struct error err;
	enum store_result result = driver->keep(db, &request, &err);

	free(request.name);
	free(request.text);
	return result;
}

static void
test_kept(void **state)
{
	struct store_kept *kept;
	char *large = mem_zalloc(STORE_TEXT_MAX + 2);
	void *db = open_db();
	size_t count, i;

	(void)state;
	memset(large, 'x', STORE_TEXT_MAX);
	kept = driver->kept(db, &count);
	assert_null(kept);
	begin(db);
	assert_int_equal(keep(db, "paused:backup", "1"), STORE_OK);
	assert_int_equal(keep(db, "rate:smarthost", "1700000000 5"), STORE_OK);
	assert_int_equal(keep(db, "rate:smarthost", large), STORE_OK);
	assert_int_equal(keep(db, "gone", "x"), STORE_OK);
	assert_int_equal(keep(db, "gone", ""), STORE_OK);
	commit(db);
	large[STORE_TEXT_MAX] = 'x';
	assert_int_equal(keep(db, "a", large), STORE_REFUSED);
	assert_int_equal(keep(db, "a", "b\nc"), STORE_REFUSED);
	driver->close(db);
	tamper(place.path, "PRAGMA ignore_check_constraints = 1;"
	    " INSERT INTO kept VALUES ('bad', 'a' || char(10))");
	db = open_db();
	kept = driver->kept(db, &count);
	assert_int_equal(count, 2);
	assert_string_equal(kept[0].name, "paused:backup");
	assert_string_equal(kept[0].text, "1");
	assert_int_equal(strlen(kept[1].text), STORE_TEXT_MAX);
	for (i = 0; i < count; i++) {
		free(kept[i].name);
		free(kept[i].text);
	}
	free(kept);
	free(large);
	driver->close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(test_all_fields),
		TEST(test_no_line_ends),
		TEST(test_digests_cover_them),
		TEST(test_attempts),
		TEST(test_owed_again),
		TEST(test_actions),
		TEST(test_bounce_and_reroute),
		TEST(test_remove),
		TEST(test_purge_by_age),
		TEST(test_purge_by_count),
		TEST(test_no_history),
		TEST(test_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
