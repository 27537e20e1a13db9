/* store_sqlite_fate.c - what became of recipients, as the SQLite driver records it. */
#include <string.h>

#include "base/mem.h"
#include "queue/store_sqlite.h"

void
sqlite_ids_add(struct store_ids *ids, int64_t id)
{
	/* Recipients of one message come together. */
	if (ids->count > 0 && ids->ids[ids->count - 1] == id)
		return;
	if ((ids->count & (ids->count - 1)) == 0)
		ids->ids = mem_grow(ids->ids, ids->count > 0 ? ids->count * 2 : 1,
		    sizeof(*ids->ids));
	ids->ids[ids->count++] = id;
}

void
sqlite_count(struct sqlite_db *db, enum recipient_state from, enum recipient_state into,
    uint64_t count)
{
	uint64_t *counts = db->totals.recipients;

	if (from != RECIPIENT_DONE)
		counts[from] -= counts[from] < count ? counts[from] : count;
	if (into != RECIPIENT_DONE)
		counts[into] += count;
	db->dirty |= count > 0;
}

/* --- the end of a recipient --- */

static enum sqlite_fate
fate_of(const struct status *status, enum recipient_state was)
{
	const struct enhanced_code *code = &status->enhanced;

	if (status_class(status) == STATUS_SUCCESS)
		return was == RECIPIENT_OWED ? FATE_RELAYED : FATE_SENT;
	/* RFC 3463 3.5, X.4.7: said by herald itself when the lifetime is over. */
	if (status->reply_code == 0 && code->subject == 4 && code->detail == 7)
		return FATE_EXPIRED;
	return FATE_BOUNCED;
}

static enum store_result
drop_recipient(struct sqlite_db *db, const struct store_key *key, enum recipient_state was,
    bool *changed, struct error *err)
{
	enum store_result result;

	sqlite_bind_key(db->statements[SQL_DROP_RECIPIENT], key->message_id, key->recipient_id,
	    was);
	result = sqlite_run(db, SQL_DROP_RECIPIENT, err);
	*changed = sqlite3_changes(db->handle) > 0;
	if (result != STORE_OK || !*changed || db->history > 0)
		return result;
	/* Where a row of the history stays, they go with it. */
	sqlite3_bind_int64(db->statements[SQL_DROP_ATTEMPTS], 1, key->message_id);
	sqlite3_bind_int64(db->statements[SQL_DROP_ATTEMPTS], 2, key->recipient_id);
	return sqlite_run(db, SQL_DROP_ATTEMPTS, err);
}

/* The statement is bound but for the key, the time and the fate. */
static enum store_result
append_history(struct sqlite_db *db, enum sqlite_statement which, const struct store_key *key,
    enum recipient_state was, enum sqlite_fate fate, struct error *err)
{
	sqlite3_stmt *statement = db->statements[which];

	sqlite_bind_key(statement, key->message_id, key->recipient_id, was);
	sqlite3_bind_int64(statement, 4, db->now);
	sqlite3_bind_int64(statement, 5, fate);
	db->finished++;
	return sqlite_run(db, which, err);
}

enum store_result
sqlite_finish_row(struct sqlite_db *db, const struct store_key *key, enum recipient_state was,
    enum sqlite_fate fate, bool *changed, struct error *err)
{
	enum store_result result = STORE_OK;

	if (db->history > 0)
		result = append_history(db, SQL_FINISH_ROW, key, was, fate, err);
	return result == STORE_OK ? drop_recipient(db, key, was, changed, err) : result;
}

/* A report is on its way: the row tells what of, the outcome only that it is settled. */
static enum store_result
finish_owed(struct sqlite_db *db, const struct store_key *key, bool *changed, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_ROW_STATUS];
	enum store_result result = STORE_OK;
	struct status status = { 0 };
	char enhanced[STATUS_DSN_MAX];
	int code;

	sqlite_bind_key(statement, key->message_id, key->recipient_id, RECIPIENT_OWED);
	code = sqlite3_step(statement);
	*changed = code == SQLITE_ROW;
	if (code == SQLITE_ROW) {
		status.reply_code = (uint16_t)sqlite3_column_int(statement, 0);
		if (sqlite_column_printable(statement, 1, enhanced, sizeof(enhanced)))
			(void)enhanced_code_parse(&status.enhanced, enhanced, strlen(enhanced));
	} else if (code != SQLITE_DONE)
		result = sqlite_judge(db, code, "what was owed", err);
	sqlite3_reset(statement);
	if (result != STORE_OK || !*changed)
		return result;
	return sqlite_finish_row(db, key, RECIPIENT_OWED, fate_of(&status, RECIPIENT_OWED),
	    changed, err);
}

static enum store_result
finish(struct sqlite_db *db, const struct store_outcome *outcome, enum recipient_state was,
    bool *changed, struct error *err)
{
	const struct store_key key = { outcome->message_id, outcome->recipient_id };
	sqlite3_stmt *statement = db->statements[SQL_FINISH];
	enum store_result result = STORE_OK;

	if (was == RECIPIENT_OWED)
		return finish_owed(db, &key, changed, err);
	if (db->history > 0) {
		sqlite3_bind_int64(statement, 6, outcome->attempts);
		sqlite_bind_attempt(statement, 7, &outcome->attempt);
		result = append_history(db, SQL_FINISH, &key, was,
		    fate_of(&outcome->attempt.status, was), err);
	}
	return result == STORE_OK ? drop_recipient(db, &key, was, changed, err) : result;
}

/* --- outcomes --- */

static enum store_result
keep_attempt(struct sqlite_db *db, const struct store_outcome *outcome, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_ADD_ATTEMPT];
	enum store_result result;

	sqlite_bind_key(statement, outcome->message_id, outcome->recipient_id,
	    outcome->attempt.charged);
	sqlite3_bind_int(statement, 4, outcome->attempt.peer_does_dsn);
	sqlite_bind_attempt(statement, 5, &outcome->attempt);
	result = sqlite_run(db, SQL_ADD_ATTEMPT, err);
	if (result != STORE_OK)
		return result;
	/* The first stays, for it tells how the trouble began. */
	sqlite_bind_key(db->statements[SQL_TRIM_ATTEMPTS], outcome->message_id,
	    outcome->recipient_id, STORE_ATTEMPTS_MAX - 1);
	return sqlite_run(db, SQL_TRIM_ATTEMPTS, err);
}

static enum store_result
set_recipient(struct sqlite_db *db, const struct store_outcome *outcome,
    enum recipient_state was, bool *changed, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_SET_RECIPIENT];
	enum store_result result;

	sqlite_bind_key(statement, outcome->message_id, outcome->recipient_id, was);
	sqlite3_bind_int64(statement, 4, outcome->state);
	sqlite3_bind_int64(statement, 5, outcome->attempts);
	sqlite3_bind_int64(statement, 6, outcome->next_attempt);
	sqlite3_bind_int(statement, 7, outcome->warned);
	sqlite3_bind_int64(statement, 8, outcome->attempt.at);
	sqlite_bind_said(statement, 9, &outcome->attempt.status, outcome->attempt.relay);
	result = sqlite_run(db, SQL_SET_RECIPIENT, err);
	*changed = sqlite3_changes(db->handle) > 0;
	return result;
}

static enum store_result
apply_to(struct sqlite_db *db, const struct store_outcome *outcome, enum recipient_state was,
    bool *changed, struct error *err)
{
	enum store_result result;
	bool keep;

	if (outcome->state == RECIPIENT_DONE)
		result = finish(db, outcome, was, changed, err);
	else
		result = set_recipient(db, outcome, was, changed, err);
	if (result != STORE_OK || !*changed)
		return result;
	sqlite_count(db, was, outcome->state, 1);
	/* What is owed was attempted before it was: it is told a second time. */
	keep = outcome->keep_attempt && was == RECIPIENT_ACTIVE &&
	    (outcome->state != RECIPIENT_DONE || db->history > 0);
	return keep ? keep_attempt(db, outcome, err) : STORE_OK;
}

/* Who is in hand is active, or decided with the report still owed. */
enum store_result
sqlite_apply(struct sqlite_db *db, const struct store_outcome *outcome, struct error *err)
{
	enum store_result result;
	bool changed;

	result = apply_to(db, outcome, RECIPIENT_ACTIVE, &changed, err);
	if (result != STORE_OK || changed)
		return result;
	if (outcome->state == RECIPIENT_ACTIVE || outcome->state == RECIPIENT_DEFERRED)
		return STORE_OK;
	return apply_to(db, outcome, RECIPIENT_OWED, &changed, err);
}

/* --- messages that owe nothing any more --- */

static enum store_result
run_for(struct sqlite_db *db, enum sqlite_statement which, int64_t message_id, struct error *err)
{
	sqlite3_bind_int64(db->statements[which], 1, message_id);
	return sqlite_run(db, which, err);
}

static enum store_result
still_owes(struct sqlite_db *db, int64_t message_id, bool *owes, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_OWES];
	enum store_result result = STORE_OK;
	int code;

	sqlite3_bind_int64(statement, 1, message_id);
	code = sqlite3_step(statement);
	*owes = code == SQLITE_ROW;
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		result = sqlite_judge(db, code, "what is owed", err);
	sqlite3_reset(statement);
	return result;
}

enum store_result
sqlite_drop_settled(struct sqlite_db *db, struct store_ids *ids, struct error *err)
{
	enum store_result result = STORE_OK;
	size_t i, kept = 0;
	bool owes;

	for (i = 0; i < ids->count; i++) {
		result = still_owes(db, ids->ids[i], &owes, err);
		if (result == STORE_OK && owes)
			continue;
		if (result == STORE_OK)
			result = run_for(db, SQL_DROP_CONTENT, ids->ids[i], err);
		if (result == STORE_OK)
			result = run_for(db, SQL_DROP_MESSAGE, ids->ids[i], err);
		if (result != STORE_OK)
			return result;
		if (sqlite3_changes(db->handle) == 0)
			continue;
		if (db->totals.messages > 0)
			db->totals.messages--;
		db->dirty = true;
		ids->ids[kept++] = ids->ids[i];
	}
	ids->count = kept;
	return result;
}
