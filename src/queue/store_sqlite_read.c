/* store_sqlite_read.c - rows of the SQLite driver made into mail again, none of them trusted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/content.h"
#include "queue/store_sqlite.h"

/* --- columns --- */

static const char *
column_text(sqlite3_stmt *statement, int column, size_t *len)
{
	const unsigned char *text = sqlite3_column_text(statement, column);

	*len = (size_t)sqlite3_column_bytes(statement, column);
	return text != NULL ? (const char *)text : "";
}

bool
sqlite_column_address(sqlite3_stmt *statement, int column, struct address *out)
{
	size_t len;
	const char *text = column_text(statement, column, &len);

	memset(out, 0, sizeof(*out));
	return len <= ADDRESS_TEXT_MAX && memchr(text, '\0', len) == NULL &&
	    address_parse(out, text, len) == ADDRESS_OK;
}

bool
sqlite_column_unsigned(sqlite3_stmt *statement, int column, int64_t max, int64_t *out)
{
	*out = sqlite3_column_int64(statement, column);
	return sqlite3_column_type(statement, column) == SQLITE_INTEGER && *out >= 0 && *out <= max;
}

static bool
column_printable(sqlite3_stmt *statement, int column, char *out, size_t size)
{
	size_t len, i;
	const char *text = column_text(statement, column, &len);

	out[0] = '\0';
	if (len >= size)
		return false;
	for (i = 0; i < len; i++)
		if (text[i] < 0x20 || text[i] > 0x7e)
			return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

bool
sqlite_column_fate(sqlite3_stmt *statement, int column, struct recipient *out)
{
	int64_t attempts, reply_code;
	char enhanced[STATUS_DSN_MAX];

	out->next_attempt = sqlite3_column_int64(statement, column + 1);
	if (!sqlite_column_unsigned(statement, column, UINT32_MAX, &attempts) ||
	    !sqlite_column_unsigned(statement, column + 2, 599, &reply_code) ||
	    !column_printable(statement, column + 3, enhanced, sizeof(enhanced)) ||
	    !column_printable(statement, column + 4, out->last.text, sizeof(out->last.text)) ||
	    !column_printable(statement, column + 5, out->relay, sizeof(out->relay)))
		return false;
	out->attempts = (uint32_t)attempts;
	out->last.reply_code = (uint16_t)reply_code;
	return enhanced[0] == '\0' ||
	    enhanced_code_parse(&out->last.enhanced, enhanced, strlen(enhanced)) ==
	    strlen(enhanced);
}

/* --- messages --- */

struct message_row {
	struct address reverse_path;
	int64_t body, size, arrived, expires;
	unsigned char digest[SQLITE_DIGEST_SIZE];
};

static bool
read_row(sqlite3_stmt *statement, struct message_row *row)
{
	if (!sqlite_column_address(statement, 0, &row->reverse_path) ||
	    !sqlite_column_unsigned(statement, 1, 1, &row->body) ||
	    !sqlite_column_unsigned(statement, 2, INT64_MAX, &row->size) ||
	    !sqlite_column_unsigned(statement, 3, INT64_MAX, &row->arrived) ||
	    !sqlite_column_unsigned(statement, 4, INT64_MAX, &row->expires) ||
	    sqlite3_column_bytes(statement, 5) != SQLITE_DIGEST_SIZE)
		return false;
	memcpy(row->digest, sqlite3_column_blob(statement, 5), SQLITE_DIGEST_SIZE);
	return true;
}

/* An error of the temporary file is not the database's: REFUSED. */
static enum store_result
append(struct sqlite_db *db, sqlite3_stmt *statement, int column, struct content *content,
    struct error *err)
{
	const void *octets = sqlite3_column_blob(statement, column);
	size_t len = (size_t)sqlite3_column_bytes(statement, column);

	if (len == 0)
		return STORE_OK;
	if (octets == NULL)
		return sqlite_judge(db, SQLITE_NOMEM, "content", err);
	sqlite_digest_add(db, octets, len);
	return content_append(content, octets, len, err) ? STORE_OK : STORE_REFUSED;
}

static enum store_result
read_pieces(struct sqlite_db *db, int64_t message_id, struct content *content, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_CONTENT];
	enum store_result result = STORE_OK;
	int64_t seq = 0;
	int code;

	sqlite3_bind_int64(statement, 1, message_id);
	while (result == STORE_OK && (code = sqlite3_step(statement)) != SQLITE_DONE) {
		if (code != SQLITE_ROW)
			result = sqlite_judge(db, code, "content", err);
		else if (sqlite3_column_int64(statement, 0) != seq++) {
			error_set(err, ERROR_STORE, "a piece of the content is missing");
			result = STORE_REFUSED;
		} else
			result = append(db, statement, 1, content, err);
	}
	sqlite3_reset(statement);
	return result;
}

static enum store_result
read_message(struct sqlite_db *db, int64_t id, sqlite3_stmt *statement, struct envelope **envelope,
    struct content **content, struct error *err)
{
	unsigned char digest[SQLITE_DIGEST_SIZE];
	char path[ADDRESS_TEXT_MAX + 1];
	struct message_row row;
	enum store_result result;

	if (!read_row(statement, &row)) {
		error_set(err, ERROR_STORE, "the message's row is damaged");
		return STORE_REFUSED;
	}
	*content = content_new(db->directory);
	sqlite_digest_begin(db, id, address_text(&row.reverse_path, path), row.size, row.arrived,
	    row.body == 1);
	if (sqlite3_column_type(statement, 6) == SQLITE_NULL)
		result = read_pieces(db, id, *content, err);
	else
		result = append(db, statement, 6, *content, err);
	if (result != STORE_OK)
		return result;
	sqlite_digest_end(db, digest);
	if (memcmp(digest, row.digest, sizeof(digest)) != 0) {
		error_set(err, ERROR_STORE, "the mail data is damaged: its digest differs");
		return STORE_REFUSED;
	}
	*envelope = envelope_new(&row.reverse_path);
	(*envelope)->id = id;
	snprintf((*envelope)->queue_id, sizeof((*envelope)->queue_id), "%llX",
	    (unsigned long long)id);
	(*envelope)->body_8bit = row.body == 1;
	(*envelope)->size = (uint64_t)row.size;
	(*envelope)->arrived = row.arrived;
	(*envelope)->expires = row.expires;
	return STORE_OK;
}

enum store_result
sqlite_read_message(struct sqlite_db *db, int64_t id, struct envelope **envelope,
    struct content **content, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_MESSAGE];
	enum store_result result;
	int code;

	*envelope = NULL;
	*content = NULL;
	sqlite3_bind_int64(statement, 1, id);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		result = read_message(db, id, statement, envelope, content, err);
	else if (code == SQLITE_DONE) {
		error_set(err, ERROR_STORE, "there is no message %llX", (unsigned long long)id);
		result = STORE_REFUSED;
	} else
		result = sqlite_judge(db, code, "message", err);
	sqlite3_reset(statement);
	if (result != STORE_OK) {
		content_unref(*content);
		*content = NULL;
	}
	return result;
}

enum store_result
sqlite_load(void *arg, struct store_load *load, struct error *err)
{
	struct envelope *envelope;
	enum store_result result;

	result = sqlite_read_message(arg, load->message_id, &envelope, &load->content, err);
	envelope_free(envelope);
	return result;
}
