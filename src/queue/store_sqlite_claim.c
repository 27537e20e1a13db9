/* store_sqlite_claim.c - what is due is taken in hand; what was left in hand is given back. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/content.h"
#include "queue/store_sqlite.h"

#define PUT_OFF	60	/* seconds, until there may be room for a large message again */

/* --- given back --- */

static int
compare_keys(const void *wanted, const void *kept)
{
	const struct store_key *a = wanted, *b = kept;

	if (a->message_id != b->message_id)
		return a->message_id < b->message_id ? -1 : 1;
	if (b->recipient_id == 0)
		return 0;
	return (a->recipient_id > b->recipient_id) - (a->recipient_id < b->recipient_id);
}

static bool
is_kept(const struct store_claim *claim, const struct store_key *key)
{
	return claim->keep_count > 0 && bsearch(key, claim->keep, claim->keep_count,
	    sizeof(*claim->keep), compare_keys) != NULL;
}

/* All that is in hand and not kept.  Found by the index: there are never more than one run
 * had in hand. */
static enum store_result
find_left(struct sqlite_db *db, const struct store_claim *claim, enum recipient_state state,
    struct store_key **keys, size_t *count, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_LEFT_IN_HAND];
	enum store_result result = STORE_OK;
	size_t room = 0;
	int code;

	sqlite3_bind_int64(statement, 1, state);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		const struct store_key key = { sqlite3_column_int64(statement, 0),
			sqlite3_column_int64(statement, 1) };

		if (is_kept(claim, &key))
			continue;
		if (*count == room) {
			room = room > 0 ? room * 2 : 16;
			*keys = mem_grow(*keys, room, sizeof(**keys));
		}
		(*keys)[(*count)++] = key;
	}
	if (code != SQLITE_DONE)
		result = sqlite_judge(db, code, "what is in hand", err);
	sqlite3_reset(statement);
	return result;
}

static enum store_result
give_back(struct sqlite_db *db, const struct store_claim *claim, enum recipient_state state,
    struct error *err)
{
	enum sqlite_statement which = state == RECIPIENT_ACTIVE ? SQL_GIVE_BACK_ACTIVE :
	    SQL_GIVE_BACK_OWED;
	sqlite3_stmt *statement = db->statements[which];
	struct store_key *keys = NULL;
	enum store_result result;
	size_t i, count = 0;

	result = find_left(db, claim, state, &keys, &count, err);
	for (i = 0; result == STORE_OK && i < count; i++) {
		sqlite3_bind_int64(statement, 1, keys[i].message_id);
		sqlite3_bind_int64(statement, 2, keys[i].recipient_id);
		sqlite3_bind_int64(statement, 3, claim->now);
		result = sqlite_run(db, which, err);
		if (result == STORE_OK && state == RECIPIENT_ACTIVE)
			sqlite_count(db, RECIPIENT_ACTIVE, RECIPIENT_DEFERRED,
			    (uint64_t)sqlite3_changes(db->handle));
	}
	free(keys);
	return result;
}

/* What lies too far ahead, from the far end of the index, some at a time. */
static enum store_result
pull_in(struct sqlite_db *db, const struct store_claim *claim, enum recipient_state state,
    struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_PULL_IN];

	if (claim->latest == 0)
		return STORE_OK;
	sqlite3_bind_int64(statement, 1, state);
	sqlite3_bind_int64(statement, 2, claim->now);
	sqlite3_bind_int64(statement, 3, claim->latest);
	sqlite3_bind_int64(statement, 4, (int64_t)claim->limit);
	return sqlite_run(db, SQL_PULL_IN, err);
}

/* --- taken --- */

static void
add_damage(struct store_claim *claim, int64_t id, bool parked, const struct error *why)
{
	struct store_damage *damage;

	claim->damaged = mem_grow(claim->damaged, claim->damaged_count + 1, sizeof(*damage));
	damage = &claim->damaged[claim->damaged_count++];
	damage->message_id = id;
	damage->parked = parked;
	sqlite3_snprintf(sizeof(damage->text), damage->text, "%s", why->text);
}

/* Out of the way of what is sound: damaged rows for good, others for a while. */
static enum store_result
set_aside(struct sqlite_db *db, struct store_claim *claim, int64_t id,
    enum recipient_state state, const struct error *why, struct error *err)
{
	bool parked = why->kind == ERROR_STORE;
	enum sqlite_statement which = parked ? SQL_PARK : SQL_PUT_OFF;
	sqlite3_stmt *statement = db->statements[which];
	enum store_result result;

	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, state);
	sqlite3_bind_int64(statement, 3, claim->now);
	if (parked)
		sqlite_bind_words(statement, 4, why->text);
	else
		sqlite3_bind_int64(statement, 4, claim->now + PUT_OFF);
	result = sqlite_run(db, which, err);
	if (result != STORE_OK)
		return result;
	if (parked)
		sqlite_count(db, state, RECIPIENT_PARKED, (uint64_t)sqlite3_changes(db->handle));
	add_damage(claim, id, parked, why);
	return STORE_OK;
}

/* False: the row is damaged, and the envelope of no use. */
static bool
read_recipient(struct sqlite_db *db, sqlite3_stmt *statement, struct envelope *envelope)
{
	unsigned char digest[SQLITE_ROW_DIGEST_SIZE];
	struct recipient *recipient;
	struct address address;
	int64_t id, notify;

	if (!sqlite_column_address(statement, 1, &address) || address_is_null(&address) ||
	    !sqlite_column_unsigned(statement, 0, INT64_MAX, &id) ||
	    !sqlite_column_unsigned(statement, 2, 15, &notify) ||
	    sqlite3_column_bytes(statement, 3) != sizeof(digest))
		return false;
	recipient = envelope_add(envelope, &address);
	recipient->id = id;
	recipient->notify = (unsigned)notify;
	if (!sqlite_column_fate(statement, 4, envelope, recipient))
		return false;
	sqlite_digest_recipient(db, envelope->id, recipient, digest);
	return memcmp(digest, sqlite3_column_blob(statement, 3), sizeof(digest)) == 0;
}

/* REFUSED: one of them is damaged, and all stay, for what the others are is not sure. */
static enum store_result
read_recipients(struct sqlite_db *db, const struct store_claim *claim,
    enum recipient_state state, struct envelope *envelope, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_DUE_RECIPIENTS];
	enum store_result result = STORE_OK;
	int code;

	sqlite3_bind_int64(statement, 1, envelope->id);
	sqlite3_bind_int64(statement, 2, state);
	sqlite3_bind_int64(statement, 3, claim->now);
	while (result == STORE_OK && (code = sqlite3_step(statement)) != SQLITE_DONE) {
		if (code != SQLITE_ROW)
			result = sqlite_judge(db, code, "recipients", err);
		else if (!read_recipient(db, statement, envelope)) {
			error_set(err, ERROR_STORE, "a recipient's row is damaged");
			result = STORE_REFUSED;
		} else
			envelope->recipients[envelope->recipient_count - 1].state =
			    state == RECIPIENT_OWED ? RECIPIENT_OWED : RECIPIENT_ACTIVE;
	}
	sqlite3_reset(statement);
	return result;
}

static enum store_result
mark_taken(struct sqlite_db *db, const struct store_claim *claim, enum recipient_state state,
    int64_t id, struct error *err)
{
	enum sqlite_statement which = state == RECIPIENT_OWED ? SQL_TAKE_OWED :
	    SQL_TAKE_ACTIVE;
	sqlite3_stmt *statement = db->statements[which];
	enum store_result result;

	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, claim->now);
	result = sqlite_run(db, which, err);
	if (result == STORE_OK && state == RECIPIENT_DEFERRED)
		sqlite_count(db, RECIPIENT_DEFERRED, RECIPIENT_ACTIVE,
		    (uint64_t)sqlite3_changes(db->handle));
	return result;
}

static enum store_result
take(struct sqlite_db *db, struct store_claim *claim, enum recipient_state state, int64_t id,
    struct error *err)
{
	struct store_claimed taken = { 0 };
	struct error why;
	enum store_result result;

	result = sqlite_read_message(db, id, &taken.envelope, &taken.content, &why);
	if (result == STORE_OK)
		result = read_recipients(db, claim, state, taken.envelope, &why);
	if (result == STORE_REFUSED)
		result = set_aside(db, claim, id, state, &why, err);
	else if (result == STORE_BROKEN)
		*err = why;
	else if (taken.envelope->recipient_count > 0) {
		result = mark_taken(db, claim, state, id, err);
		claim->claimed[claim->count++] = taken;
		return result;
	}
	envelope_free(taken.envelope);
	content_unref(taken.content);
	return result;
}

static enum store_result
find_due(struct sqlite_db *db, const struct store_claim *claim, enum recipient_state state,
    struct store_ids *ids, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_DUE];
	enum store_result result = STORE_OK;
	int code;

	sqlite3_bind_int64(statement, 1, state);
	sqlite3_bind_int64(statement, 2, claim->now);
	sqlite3_bind_int64(statement, 3, (int64_t)claim->limit);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		sqlite_ids_add(ids, sqlite3_column_int64(statement, 0));
	if (code != SQLITE_DONE)
		result = sqlite_judge(db, code, "what is due", err);
	sqlite3_reset(statement);
	return result;
}

static enum store_result
take_all(struct sqlite_db *db, struct store_claim *claim, enum recipient_state state,
    struct error *err)
{
	struct store_ids ids = { 0 };
	enum store_result result;
	uint64_t octets = 0;
	size_t i, before, recipients = 0;

	result = find_due(db, claim, state, &ids, err);
	if (ids.count > 0)
		claim->claimed = mem_grow(claim->claimed, claim->count + ids.count,
		    sizeof(*claim->claimed));
	for (i = 0; result == STORE_OK && i < ids.count; i++) {
		if (octets >= claim->octets || recipients >= claim->limit)
			break;
		before = claim->count;
		result = take(db, claim, state, ids.ids[i], err);
		if (claim->count > before) {
			octets += content_cost(claim->claimed[before].content);
			recipients += claim->claimed[before].envelope->recipient_count;
		}
	}
	free(ids.ids);
	return result;
}

static enum store_result
look_ahead(struct sqlite_db *db, struct store_claim *claim, enum recipient_state state,
    struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_NEXT_DUE];
	enum store_result result = STORE_OK;
	int64_t due = -1;
	int code;

	sqlite3_bind_int64(statement, 1, state);
	code = sqlite3_step(statement);
	if (code != SQLITE_ROW)
		result = sqlite_judge(db, code, "what is due next", err);
	else if (sqlite3_column_type(statement, 0) == SQLITE_INTEGER)
		due = sqlite3_column_int64(statement, 0);
	sqlite3_reset(statement);
	if (due >= 0 && due != STORE_IN_HAND && (claim->next_due < 0 || due < claim->next_due))
		claim->next_due = due;
	return result;
}

/* Reports come first: a sender has waited for them longest, and they are few. */
enum store_result
sqlite_claim(void *arg, struct store_claim *claim, struct error *err)
{
	static const enum recipient_state states[] = { RECIPIENT_OWED, RECIPIENT_DEFERRED };
	struct sqlite_db *db = arg;
	enum store_result result = STORE_OK;
	size_t i;

	claim->next_due = -1;
	if (claim->recover) {
		result = give_back(db, claim, RECIPIENT_ACTIVE, err);
		if (result == STORE_OK)
			result = give_back(db, claim, RECIPIENT_OWED, err);
	}
	for (i = 0; result == STORE_OK && i < 2; i++)
		result = pull_in(db, claim, states[i], err);
	for (i = 0; result == STORE_OK && i < 2; i++)
		result = take_all(db, claim, states[i], err);
	for (i = 0; result == STORE_OK && i < 2; i++)
		result = look_ahead(db, claim, states[i], err);
	return result;
}
