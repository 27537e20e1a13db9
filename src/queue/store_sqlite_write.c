/* store_sqlite_write.c - new messages, as the SQLite driver writes them. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/content.h"
#include "queue/store_sqlite.h"

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

/* It only names the message: one that does not bear keeping is left out. */
static const char *
header_id(const struct envelope *envelope)
{
	const char *text = envelope->message_id;

	return text != NULL && sqlite_fits(text, strlen(text), ENVELOPE_MESSAGE_ID_MAX) ? text :
	    NULL;
}

/* RULES H: what came with SMTP was checked there, and is never cut or mended here. */
static bool
check_words(const char *text, size_t max, const char *what, struct error *err)
{
	return text == NULL || sqlite_fits(text, strlen(text), max) ||
	    error_set(err, ERROR_STORE, "the %s does not bear storing", what);
}

static void
bind_message(sqlite3_stmt *statement, const struct envelope *envelope, int64_t size,
    const char *path)
{
	sqlite3_bind_int64(statement, 1, envelope->id);
	sqlite_bind_words(statement, 2, path);
	sqlite3_bind_int(statement, 3, envelope->body_8bit);
	sqlite3_bind_int64(statement, 4, size);
	sqlite3_bind_int64(statement, 5, envelope->arrived);
	sqlite3_bind_int64(statement, 6, envelope->expires);
	sqlite3_bind_int(statement, 8, envelope->smtputf8);
	sqlite3_bind_int64(statement, 9, envelope->ret);
	sqlite_bind_words(statement, 10, envelope->envid);
	sqlite_bind_words(statement, 11, header_id(envelope));
	if (envelope->uid != ENVELOPE_NO_UID)
		sqlite3_bind_int64(statement, 12, envelope->uid);
	else
		sqlite3_bind_null(statement, 12);
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

	if (!check_words(envelope->envid, ENVELOPE_ENVID_MAX, "ENVID", err))
		return STORE_REFUSED;
	bind_message(statement, envelope, size, address_text(&envelope->reverse_path, path));
	sqlite_digest_begin(db, envelope, size, header_id(envelope));
	sqlite3_bind_null(statement, 13);
	if (content_in_memory(content)) {
		sqlite_digest_add(db, content_octets(content), (size_t)size);
		sqlite_digest_end(db, digest);
		sqlite_bind_octets(statement, 13, content_octets(content), (size_t)size);
	}
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

	if (!check_words(recipient->orcpt, ENVELOPE_ORCPT_MAX, "ORCPT", err))
		return STORE_REFUSED;
	sqlite_digest_recipient(db, message_id, recipient, digest);
	sqlite3_bind_int64(statement, 1, message_id);
	sqlite3_bind_int64(statement, 2, recipient->id);
	sqlite_bind_words(statement, 3, address_text(&recipient->forward_path, path));
	sqlite3_bind_int64(statement, 4, recipient->notify);
	sqlite_bind_octets(statement, 5, digest, sizeof(digest));
	sqlite3_bind_int64(statement, 6, recipient->state);
	sqlite3_bind_int64(statement, 7, recipient->attempts);
	sqlite3_bind_int64(statement, 8, recipient->next_attempt);
	sqlite_bind_words(statement, 9, recipient->orcpt);
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

enum store_result
sqlite_insert(void *arg, struct store_insert *insert, struct error *err)
{
	struct sqlite_db *db = arg;
	enum store_result result = STORE_OK;
	size_t i;

	if (insert->envelope != NULL)
		result = add_once(db, insert, err);
	for (i = 0; result == STORE_OK && i < insert->count; i++) {
		result = sqlite_apply(db, &insert->outcomes[i], err);
		if (insert->outcomes[i].state == RECIPIENT_DONE)
			sqlite_ids_add(&insert->removed, insert->outcomes[i].message_id);
	}
	if (result != STORE_OK || insert->removed.count == 0)
		return result;
	return sqlite_drop_settled(db, &insert->removed, err);
}
