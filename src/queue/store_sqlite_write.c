/* store_sqlite_write.c - what the SQLite driver writes: new messages, and what became of old. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/content.h"
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

/* --- new messages --- */

static enum store_result
add_piece(struct sqlite_db *db, int64_t id, int64_t seq, const void *octets, size_t len,
    struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_ADD_CONTENT];

	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, seq);
	sqlite_bind_octets(statement, 3, octets, len);
	return sqlite_run(db, SQL_ADD_CONTENT, err);
}

/* Fills a piece, however many reads that takes. */
static bool
read_piece(const struct content *content, uint64_t offset, char *piece, size_t *len,
    struct error *err)
{
	size_t got;

	*len = 0;
	do {
		if (!content_read(content, offset + *len, piece + *len, SQLITE_PIECE - *len, &got,
		    err))
			return false;
		*len += got;
	} while (got > 0 && *len < SQLITE_PIECE);
	return true;
}

static enum store_result
add_pieces(struct sqlite_db *db, int64_t id, const struct content *content, struct error *err)
{
	enum store_result result = STORE_OK;
	char *piece = mem_alloc(SQLITE_PIECE);
	uint64_t offset = 0;
	int64_t seq = 0;
	size_t len = 0;

	while (result == STORE_OK && offset < content_size(content)) {
		if (!read_piece(content, offset, piece, &len, err)) {
			result = STORE_REFUSED;
			break;
		}
		sqlite_digest_add(db, piece, len);
		result = add_piece(db, id, seq++, piece, len, err);
		offset += len;
	}
	free(piece);
	return result;
}

/* The rows of content name their message, so the digest over them is written last. */
static enum store_result
add_large_content(struct sqlite_db *db, int64_t id, const struct content *content,
    struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_SET_DIGEST];
	unsigned char digest[SQLITE_DIGEST_SIZE];
	enum store_result result = add_pieces(db, id, content, err);

	if (result != STORE_OK)
		return result;
	sqlite_digest_end(db, digest);
	sqlite3_bind_int64(statement, 1, id);
	sqlite_bind_octets(statement, 2, digest, sizeof(digest));
	return sqlite_run(db, SQL_SET_DIGEST, err);
}

static enum store_result
add_message(struct sqlite_db *db, const struct envelope *envelope, const struct content *content,
    struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_ADD_MESSAGE];
	unsigned char digest[SQLITE_DIGEST_SIZE] = { 0 };
	char path[ADDRESS_TEXT_MAX + 1];
	enum store_result result;
	int64_t size = (int64_t)content_size(content);

	address_text(&envelope->reverse_path, path);
	sqlite_digest_begin(db, envelope->id, path, size, envelope->arrived, envelope->body_8bit);
	sqlite3_bind_null(statement, 8);
	if (content_in_memory(content)) {
		sqlite_digest_add(db, content_octets(content), (size_t)size);
		sqlite_digest_end(db, digest);
		sqlite_bind_octets(statement, 8, content_octets(content), (size_t)size);
	}
	sqlite3_bind_int64(statement, 1, envelope->id);
	sqlite_bind_words(statement, 2, path);
	sqlite3_bind_int(statement, 3, envelope->body_8bit);
	sqlite3_bind_int64(statement, 4, size);
	sqlite3_bind_int64(statement, 5, envelope->arrived);
	sqlite3_bind_int64(statement, 6, envelope->expires);
	sqlite_bind_octets(statement, 7, digest, sizeof(digest));
	result = sqlite_run(db, SQL_ADD_MESSAGE, err);
	if (result == STORE_OK && !content_in_memory(content))
		result = add_large_content(db, envelope->id, content, err);
	return result;
}

static enum store_result
add_recipient(struct sqlite_db *db, int64_t message_id, const struct recipient *recipient,
    struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_ADD_RECIPIENT];
	unsigned char digest[SQLITE_ROW_DIGEST_SIZE];
	char path[ADDRESS_TEXT_MAX + 1];

	address_text(&recipient->forward_path, path);
	sqlite_digest_recipient(db, message_id, recipient->id, path, recipient->notify, digest);
	sqlite3_bind_int64(statement, 1, message_id);
	sqlite3_bind_int64(statement, 2, recipient->id);
	sqlite_bind_words(statement, 3, path);
	sqlite3_bind_int64(statement, 4, recipient->notify);
	sqlite_bind_octets(statement, 5, digest, sizeof(digest));
	sqlite3_bind_int64(statement, 6, recipient->state);
	sqlite3_bind_int64(statement, 7, recipient->attempts);
	sqlite3_bind_int64(statement, 8, recipient->next_attempt);
	return sqlite_run(db, SQL_ADD_RECIPIENT, err);
}

static enum store_result
add_envelope(struct sqlite_db *db, struct envelope *envelope, const struct content *content,
    struct error *err)
{
	enum store_result result = add_message(db, envelope, content, err);
	size_t i;

	for (i = 0; result == STORE_OK && i < envelope->recipient_count; i++) {
		envelope->recipients[i].id = (int64_t)i + 1;
		result = add_recipient(db, envelope->id, &envelope->recipients[i], err);
		if (result == STORE_OK)
			sqlite_count(db, RECIPIENT_DONE, envelope->recipients[i].state, 1);
	}
	if (result != STORE_OK)
		return result;
	db->totals.messages++;
	if (db->totals.last_id < envelope->id)
		db->totals.last_id = envelope->id;
	return STORE_OK;
}

/* An id is never given twice: a message that has it is this one, from a commit whose
 * answer was lost. */
static enum store_result
is_there(struct sqlite_db *db, int64_t id, bool *there, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_MESSAGE];
	enum store_result result = STORE_OK;
	int code;

	sqlite3_bind_int64(statement, 1, id);
	code = sqlite3_step(statement);
	*there = code == SQLITE_ROW;
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		result = sqlite_judge(db, code, "message", err);
	sqlite3_reset(statement);
	return result;
}

static enum store_result
add_once(struct sqlite_db *db, const struct store_insert *insert, struct error *err)
{
	struct envelope *envelope = insert->envelope;
	bool there = false;
	size_t i;

	if (insert->again) {
		enum store_result result = is_there(db, envelope->id, &there, err);

		if (result != STORE_OK)
			return result;
	}
	if (!there)
		return add_envelope(db, envelope, insert->content, err);
	for (i = 0; i < envelope->recipient_count; i++)
		envelope->recipients[i].id = (int64_t)i + 1;
	return STORE_OK;
}

/* --- what became of them --- */

static enum store_result
drop_recipient(struct sqlite_db *db, const struct store_outcome *outcome,
    enum recipient_state was, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_DROP_RECIPIENT];

	sqlite3_bind_int64(statement, 1, outcome->message_id);
	sqlite3_bind_int64(statement, 2, outcome->recipient_id);
	sqlite3_bind_int64(statement, 3, was);
	return sqlite_run(db, SQL_DROP_RECIPIENT, err);
}

static enum store_result
set_recipient(struct sqlite_db *db, const struct store_outcome *outcome,
    enum recipient_state was, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_SET_RECIPIENT];
	const struct enhanced_code *code = &outcome->last.enhanced;
	char enhanced[STATUS_DSN_MAX] = "";

	if (code->class != 0)
		sqlite3_snprintf(sizeof(enhanced), enhanced, "%d.%d.%d", code->class,
		    code->subject, code->detail);
	sqlite3_bind_int64(statement, 1, outcome->message_id);
	sqlite3_bind_int64(statement, 2, outcome->recipient_id);
	sqlite3_bind_int64(statement, 3, was);
	sqlite3_bind_int64(statement, 4, outcome->state);
	sqlite3_bind_int64(statement, 5, outcome->attempts);
	sqlite3_bind_int64(statement, 6, outcome->next_attempt);
	sqlite3_bind_int64(statement, 7, outcome->last.reply_code);
	sqlite_bind_words(statement, 8, enhanced);
	sqlite_bind_words(statement, 9, outcome->last.text);
	sqlite_bind_words(statement, 10, outcome->relay);
	return sqlite_run(db, SQL_SET_RECIPIENT, err);
}

/* Who is in hand is active, or failed with the report still owed. */
static enum store_result
apply(struct sqlite_db *db, const struct store_outcome *outcome, struct error *err)
{
	static const enum recipient_state held[] = { RECIPIENT_ACTIVE, RECIPIENT_FAILED };
	bool ends = outcome->state == RECIPIENT_DONE || outcome->state == RECIPIENT_PARKED;
	enum store_result result;
	size_t i;

	for (i = 0; i < (ends ? 2 : 1); i++) {
		if (outcome->state == RECIPIENT_DONE)
			result = drop_recipient(db, outcome, held[i], err);
		else
			result = set_recipient(db, outcome, held[i], err);
		if (result != STORE_OK)
			return result;
		if (sqlite3_changes(db->handle) > 0) {
			sqlite_count(db, held[i], outcome->state, 1);
			break;
		}
	}
	return STORE_OK;
}

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

enum store_result
sqlite_insert(void *arg, struct store_insert *insert, struct error *err)
{
	struct sqlite_db *db = arg;
	enum store_result result = STORE_OK;
	size_t i;

	if (insert->envelope != NULL)
		result = add_once(db, insert, err);
	for (i = 0; result == STORE_OK && i < insert->count; i++) {
		result = apply(db, &insert->outcomes[i], err);
		if (insert->outcomes[i].state == RECIPIENT_DONE)
			sqlite_ids_add(&insert->removed, insert->outcomes[i].message_id);
	}
	if (result != STORE_OK || insert->removed.count == 0)
		return result;
	return sqlite_drop_settled(db, &insert->removed, err);
}
