/* store_sqlite_read.c - rows of the SQLite driver made into mail again, none of them trusted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
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

bool
sqlite_column_printable(sqlite3_stmt *statement, int column, char *out, size_t size)
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
sqlite_fits(const char *text, size_t len, size_t max)
{
	size_t i;

	if (len > max || !text_utf8_valid(text, len))
		return false;
	for (i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return false;
	return true;
}

bool
sqlite_column_line(sqlite3_stmt *statement, int column, char *out, size_t size)
{
	size_t len;
	const char *text = column_text(statement, column, &len);

	out[0] = '\0';
	if (!sqlite_fits(text, len, size - 1))
		return false;
	memcpy(out, text, len);
	out[len] = '\0';
	return true;
}

/* NULL stays NULL. */
static bool
column_kept(sqlite3_stmt *statement, int column, size_t max, struct envelope *envelope,
    const char **out)
{
	size_t len;
	const char *text = column_text(statement, column, &len);

	*out = NULL;
	if (sqlite3_column_type(statement, column) == SQLITE_NULL)
		return true;
	if (!sqlite_fits(text, len, max))
		return false;
	*out = envelope_keep(envelope, text, len);
	return true;
}

/* reply_code, enhanced, text, relay. */
static bool
column_said(sqlite3_stmt *statement, int column, struct status *status, char *relay, size_t size)
{
	int64_t reply_code;
	char enhanced[STATUS_DSN_MAX];

	if (!sqlite_column_unsigned(statement, column, 599, &reply_code) ||
	    !sqlite_column_printable(statement, column + 1, enhanced, sizeof(enhanced)) ||
	    !sqlite_column_printable(statement, column + 2, status->text,
	    sizeof(status->text)) ||
	    !sqlite_column_printable(statement, column + 3, relay, size))
		return false;
	status->reply_code = (uint16_t)reply_code;
	return enhanced[0] == '\0' ||
	    enhanced_code_parse(&status->enhanced, enhanced, strlen(enhanced)) ==
	    strlen(enhanced);
}

bool
sqlite_column_fate(sqlite3_stmt *statement, int column, struct envelope *envelope,
    struct recipient *out)
{
	int64_t attempts, warned;

	out->next_attempt = sqlite3_column_int64(statement, column + 1);
	if (!sqlite_column_unsigned(statement, column, UINT32_MAX, &attempts) ||
	    !column_said(statement, column + 2, &out->last, out->relay, sizeof(out->relay)) ||
	    !sqlite_column_unsigned(statement, column + 6, INT64_MAX, &out->last_at) ||
	    !sqlite_column_unsigned(statement, column + 7, 1, &warned) ||
	    !sqlite_column_printable(statement, column + 8, out->chosen_relay,
	    sizeof(out->chosen_relay)) ||
	    !column_kept(statement, column + 9, ENVELOPE_ORCPT_MAX, envelope, &out->orcpt))
		return false;
	out->attempts = (uint32_t)attempts;
	out->warned = warned == 1;
	return true;
}

bool
sqlite_column_attempt(sqlite3_stmt *statement, int column, struct attempt *out)
{
	memset(out, 0, sizeof(*out));
	return sqlite_column_unsigned(statement, column, INT64_MAX, &out->at) &&
	    column_said(statement, column + 1, &out->status, out->relay, sizeof(out->relay)) &&
	    sqlite_column_printable(statement, column + 5, out->tls, sizeof(out->tls)) &&
	    sqlite_column_printable(statement, column + 6, out->step, sizeof(out->step));
}

/* --- messages --- */

/* NULL: nobody of this machine's users. */
static bool
column_uid(sqlite3_stmt *statement, int column, unsigned *out)
{
	int64_t uid;

	if (sqlite3_column_type(statement, column) == SQLITE_NULL)
		return true;
	if (!sqlite_column_unsigned(statement, column, ENVELOPE_NO_UID - 1, &uid))
		return false;
	*out = (unsigned)uid;
	return true;
}

/* What stands where an address does not bear reading: the row is shown, not hidden. */
static const struct address unreadable = { .local = "(damaged)" };

bool
sqlite_column_message(sqlite3_stmt *statement, int column, int64_t id, struct envelope **out)
{
	int64_t body = 0, size = 0, smtputf8 = 0, ret = 0;
	struct envelope *envelope;
	struct address address;
	bool sound = sqlite_column_address(statement, column, &address);

	envelope = envelope_new(sound ? &address : &unreadable);
	envelope->id = id;
	snprintf(envelope->queue_id, sizeof(envelope->queue_id), "%llX", (unsigned long long)id);
	sound = sqlite_column_unsigned(statement, column + 1, 1, &body) && sound;
	sound = sqlite_column_unsigned(statement, column + 2, INT64_MAX, &size) && sound;
	sound = sqlite_column_unsigned(statement, column + 3, INT64_MAX, &envelope->arrived) &&
	    sound;
	sound = sqlite_column_unsigned(statement, column + 4, INT64_MAX, &envelope->expires) &&
	    sound;
	sound = sqlite_column_unsigned(statement, column + 5, 1, &smtputf8) && sound;
	sound = sqlite_column_unsigned(statement, column + 6, RET_HDRS, &ret) && sound;
	sound = column_kept(statement, column + 7, ENVELOPE_ENVID_MAX, envelope,
	    &envelope->envid) && sound;
	sound = column_kept(statement, column + 8, ENVELOPE_MESSAGE_ID_MAX, envelope,
	    &envelope->message_id) && sound;
	sound = column_uid(statement, column + 9, &envelope->uid) && sound;
	envelope->body_8bit = body == 1;
	envelope->size = size > 0 ? (uint64_t)size : 0;
	envelope->smtputf8 = smtputf8 == 1;
	envelope->ret = ret == RET_FULL || ret == RET_HDRS ? (enum envelope_ret)ret : RET_UNSET;
	*out = envelope;
	return sound;
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

#define DIGEST	10		/* columns of SQL_MESSAGE */
#define HEAD	11

static enum store_result
read_content(struct sqlite_db *db, sqlite3_stmt *statement, const struct envelope *envelope,
    struct content *content, struct error *err)
{
	unsigned char wanted[SQLITE_DIGEST_SIZE], digest[SQLITE_DIGEST_SIZE];
	enum store_result result;

	memcpy(wanted, sqlite3_column_blob(statement, DIGEST), sizeof(wanted));
	sqlite_digest_begin(db, envelope, (int64_t)envelope->size, envelope->message_id);
	if (sqlite3_column_type(statement, HEAD) == SQLITE_NULL)
		result = read_pieces(db, envelope->id, content, err);
	else
		result = append(db, statement, HEAD, content, err);
	if (result != STORE_OK)
		return result;
	sqlite_digest_end(db, digest);
	if (memcmp(digest, wanted, sizeof(digest)) == 0)
		return STORE_OK;
	error_set(err, ERROR_STORE, "the mail data is damaged: its digest differs");
	return STORE_REFUSED;
}

static enum store_result
read_message(struct sqlite_db *db, int64_t id, sqlite3_stmt *statement, struct envelope **envelope,
    struct content **content, struct error *err)
{
	if (!sqlite_column_message(statement, 0, id, envelope) ||
	    sqlite3_column_bytes(statement, DIGEST) != SQLITE_DIGEST_SIZE) {
		error_set(err, ERROR_STORE, "the message's row is damaged");
		return STORE_REFUSED;
	}
	*content = content_new(db->directory);
	return read_content(db, statement, *envelope, *content, err);
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
		envelope_free(*envelope);
		content_unref(*content);
		*envelope = NULL;
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
