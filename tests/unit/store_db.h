/* store_db.h - an open database, and short words for what the tests of the driver ask of it. */
#ifndef HERALD_TESTS_UNIT_STORE_DB_H
#define HERALD_TESTS_UNIT_STORE_DB_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/stat.h>

#include "queue/store_driver.h"
#include "store_fixture.h"

#define HISTORY	86400		/* seconds that open_db() asks for */
#define NOW	"CAST(strftime('%s', 'now') AS INTEGER)"

static struct place place;
static const struct store_driver *const driver = &store_sqlite;

static inline int
set_up(void **state)
{
	(void)state;
	place_make(&place);
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	place_remove(&place);
	return 0;
}

static inline void *
open_db(void)
{
	const struct store_options options = { place.path, place.directory, HISTORY };
	struct error err;
	void *db = driver->open(&options, &err);

	if (db == NULL)
		print_message("%s\n", err.text);
	assert_non_null(db);
	return db;
}

static inline void
assert_refused(const char *words)
{
	const struct store_options options = { place.path, place.directory, HISTORY };
	struct error err;

	assert_null(driver->open(&options, &err));
	if (strstr(err.text, words) == NULL)
		print_message("%s\n", err.text);
	assert_non_null(strstr(err.text, words));
}

static inline void
begin(void *db)
{
	struct error err;

	assert_int_equal(driver->begin(db, &err), STORE_OK);
}

static inline void
commit(void *db)
{
	struct error err;

	assert_int_equal(driver->commit(db, &err), STORE_OK);
}

static inline void
insert(void *db, int64_t id, const char *reverse_path, size_t recipients, size_t size)
{
	struct store_insert request = { .envelope = envelope_of(id, reverse_path, recipients),
	    .content = content_of(place.directory, size, (unsigned)id) };
	struct error err;

	assert_int_equal(driver->insert(db, &request, &err), STORE_OK);
	envelope_free(request.envelope);
	content_unref(request.content);
}

static inline void
tell(void *db, struct store_outcome *outcomes, size_t count, size_t removed)
{
	struct store_insert request = { .outcomes = outcomes, .count = count };
	struct error err;

	assert_int_equal(driver->insert(db, &request, &err), STORE_OK);
	assert_int_equal(request.removed.count, removed);
	free(request.removed.ids);
}

static inline void
claim(void *db, struct store_claim *request)
{
	struct error err;

	assert_int_equal(driver->claim(db, request, &err), STORE_OK);
}

static inline void
drop_claimed(struct store_claim *request)
{
	size_t i;

	for (i = 0; i < request->count; i++) {
		envelope_free(request->claimed[i].envelope);
		content_unref(request->claimed[i].content);
	}
	free(request->claimed);
	free(request->damaged);
	request->claimed = NULL;
	request->damaged = NULL;
	request->count = request->damaged_count = 0;
}

static inline struct store_totals
totals(void *db)
{
	struct store_totals out;

	driver->totals(db, &out);
	return out;
}

static inline struct store_claim
recovery(int64_t now)
{
	return (struct store_claim){ .now = now, .limit = 1000, .octets = 64 << 20,
	    .recover = true };
}

static inline struct store_outcome
outcome(int64_t message, int64_t recipient, enum recipient_state state, int64_t next)
{
	struct store_outcome out = { .message_id = message, .recipient_id = recipient,
	    .state = state, .attempts = 1, .next_attempt = next,
	    .attempt = { .at = 1700000050, .relay = "mx[192.0.2.7]:25", .charged = true } };

	out.attempt.status = status_reply(451, "4.3.0", "try later");
	return out;
}

#endif
