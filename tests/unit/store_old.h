/* store_old.h - queues as earlier releases made them, for the tests of what becomes of them. */
#ifndef HERALD_TESTS_UNIT_STORE_OLD_H
#define HERALD_TESTS_UNIT_STORE_OLD_H

#include <openssl/evp.h>

#include "store_db.h"

/* As the first release of herald made them. */
static const char schema_1[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), last_id INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, active INTEGER NOT NULL, deferred INTEGER NOT NULL,"
    " held INTEGER NOT NULL, failed INTEGER NOT NULL, parked INTEGER NOT NULL) STRICT;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY CHECK (id > 0), reverse_path TEXT NOT NULL"
    " CHECK (length(reverse_path) <= 320 AND instr(reverse_path, char(13)) = 0"
    " AND instr(reverse_path, char(10)) = 0 AND instr(CAST(reverse_path AS BLOB), x'00') = 0),"
    " body INTEGER NOT NULL CHECK (body IN (0, 1)), size INTEGER NOT NULL CHECK (size >= 0),"
    " arrived INTEGER NOT NULL, expires INTEGER NOT NULL, digest BLOB NOT NULL, head BLOB)"
    " STRICT;"
    "CREATE TABLE recipient (message_id INTEGER NOT NULL REFERENCES message (id),"
    " id INTEGER NOT NULL CHECK (id > 0), forward_path TEXT NOT NULL"
    " CHECK (length(forward_path) <= 320 AND instr(forward_path, char(13)) = 0"
    " AND instr(forward_path, char(10)) = 0 AND instr(CAST(forward_path AS BLOB), x'00') = 0),"
    " notify INTEGER NOT NULL CHECK (notify BETWEEN 0 AND 15), digest BLOB NOT NULL,"
    " state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),"
    " attempts INTEGER NOT NULL CHECK (attempts >= 0), next_attempt INTEGER NOT NULL,"
    " reply_code INTEGER NOT NULL DEFAULT 0, enhanced TEXT NOT NULL DEFAULT '',"
    " text TEXT NOT NULL DEFAULT '', relay TEXT NOT NULL DEFAULT '',"
    " PRIMARY KEY (message_id, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX recipient_due ON recipient (state, next_attempt);"
    "CREATE TABLE content (message_id INTEGER NOT NULL REFERENCES message (id),"
    " seq INTEGER NOT NULL, octets BLOB NOT NULL, PRIMARY KEY (message_id, seq)) STRICT;"
    "INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0);"
    "INSERT INTO meta VALUES ('schema', 1);";

/* As a heraldd of schema 2 made them. */
static const char schema_2[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), last_id INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, active INTEGER NOT NULL, deferred INTEGER NOT NULL, held"
    " INTEGER NOT NULL, failed INTEGER NOT NULL, parked INTEGER NOT NULL) STRICT;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY CHECK (id > 0), reverse_path TEXT NOT NULL"
    " CHECK ((length(reverse_path) <= 320 AND instr(reverse_path, char(13)) = 0 AND"
    " instr(reverse_path, char(10)) = 0 AND instr(CAST(reverse_path AS BLOB), x'00') = 0)),"
    " body INTEGER NOT NULL CHECK (body IN (0, 1)), size INTEGER NOT NULL CHECK (size >= 0),"
    " arrived INTEGER NOT NULL, expires INTEGER NOT NULL, digest BLOB NOT NULL, smtputf8"
    " INTEGER NOT NULL DEFAULT 0 CHECK (smtputf8 IN (0, 1)), ret INTEGER NOT NULL DEFAULT 0"
    " CHECK (ret BETWEEN 0 AND 2), envid TEXT CHECK (coalesce(envid, '') = '' OR"
    " (length(envid) <= 100 AND instr(envid, char(13)) = 0 AND instr(envid, char(10)) = 0 AND"
    " instr(CAST(envid AS BLOB), x'00') = 0)), header_id TEXT CHECK (length(header_id) <="
    " 255), head BLOB) STRICT;"
    "CREATE TABLE recipient (message_id INTEGER NOT NULL REFERENCES message (id), id INTEGER"
    " NOT NULL CHECK (id > 0), forward_path TEXT NOT NULL CHECK ((length(forward_path) <= 320"
    " AND instr(forward_path, char(13)) = 0 AND instr(forward_path, char(10)) = 0 AND"
    " instr(CAST(forward_path AS BLOB), x'00') = 0)), notify INTEGER NOT NULL CHECK (notify"
    " BETWEEN 0 AND 15), digest BLOB NOT NULL, state INTEGER NOT NULL CHECK (state BETWEEN 0"
    " AND 4), attempts INTEGER NOT NULL CHECK (attempts >= 0), next_attempt INTEGER NOT NULL,"
    " reply_code INTEGER NOT NULL DEFAULT 0, enhanced TEXT NOT NULL DEFAULT '', text TEXT NOT"
    " NULL DEFAULT '', relay TEXT NOT NULL DEFAULT '', last_at INTEGER NOT NULL DEFAULT 0,"
    " warned INTEGER NOT NULL DEFAULT 0 CHECK (warned IN (0, 1)), chosen_relay TEXT NOT NULL"
    " DEFAULT '' CHECK (coalesce(chosen_relay, '') = '' OR (length(chosen_relay) <= 32 AND"
    " instr(chosen_relay, char(13)) = 0 AND instr(chosen_relay, char(10)) = 0 AND"
    " instr(CAST(chosen_relay AS BLOB), x'00') = 0)), orcpt TEXT CHECK (coalesce(orcpt, '') ="
    " '' OR (length(orcpt) <= 500 AND instr(orcpt, char(13)) = 0 AND instr(orcpt, char(10)) ="
    " 0 AND instr(CAST(orcpt AS BLOB), x'00') = 0)), PRIMARY KEY (message_id, id)) STRICT,"
    " WITHOUT ROWID;"
    "CREATE INDEX recipient_due ON recipient (state, next_attempt);"
    "CREATE TABLE content (message_id INTEGER NOT NULL REFERENCES message (id), seq INTEGER"
    " NOT NULL, octets BLOB NOT NULL, PRIMARY KEY (message_id, seq)) STRICT;"
    "CREATE TABLE attempt (message_id INTEGER NOT NULL, recipient_id INTEGER NOT NULL, number"
    " INTEGER NOT NULL CHECK (number > 0), charged INTEGER NOT NULL, peer_does_dsn INTEGER NOT"
    " NULL, at INTEGER NOT NULL, reply_code INTEGER NOT NULL, enhanced TEXT NOT NULL, text"
    " TEXT NOT NULL, relay TEXT NOT NULL, tls TEXT NOT NULL, step TEXT NOT NULL, CHECK"
    " ((length(text) <= 511 AND instr(text, char(13)) = 0 AND instr(text, char(10)) = 0 AND"
    " instr(CAST(text AS BLOB), x'00') = 0)), CHECK ((length(relay) <= 191 AND instr(relay,"
    " char(13)) = 0 AND instr(relay, char(10)) = 0 AND instr(CAST(relay AS BLOB), x'00') ="
    " 0)), CHECK ((length(tls) <= 39 AND instr(tls, char(13)) = 0 AND instr(tls, char(10)) = 0"
    " AND instr(CAST(tls AS BLOB), x'00') = 0)), CHECK ((length(step) <= 15 AND instr(step,"
    " char(13)) = 0 AND instr(step, char(10)) = 0 AND instr(CAST(step AS BLOB), x'00') = 0)),"
    " PRIMARY KEY (message_id, recipient_id, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE history (seq INTEGER PRIMARY KEY, message_id INTEGER NOT NULL, recipient_id"
    " INTEGER NOT NULL, arrived INTEGER NOT NULL, finished INTEGER NOT NULL, size INTEGER NOT"
    " NULL, reverse_path TEXT NOT NULL, forward_path TEXT NOT NULL, header_id TEXT, fate"
    " INTEGER NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL, reply_code INTEGER NOT"
    " NULL, enhanced TEXT NOT NULL, text TEXT NOT NULL, relay TEXT NOT NULL, tls TEXT NOT"
    " NULL, step TEXT NOT NULL) STRICT;"
    "CREATE INDEX history_message ON history (message_id);"
    "CREATE TABLE kept (name TEXT PRIMARY KEY CHECK ((length(name) <= 64 AND instr(name,"
    " char(13)) = 0 AND instr(name, char(10)) = 0 AND instr(CAST(name AS BLOB), x'00') = 0)),"
    " value TEXT NOT NULL CHECK ((length(value) <= 16384 AND instr(value, char(13)) = 0 AND"
    " instr(value, char(10)) = 0 AND instr(CAST(value AS BLOB), x'00') = 0))) STRICT, WITHOUT"
    " ROWID;"
    "INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0);"
    "INSERT INTO meta VALUES ('schema', 2);";

/* What brought a queue of schema 1 to 2 left the new columns behind the mail data. */
static const char from_1_to_2[] =
    "ALTER TABLE message ADD COLUMN smtputf8 INTEGER NOT NULL DEFAULT 0"
    " CHECK (smtputf8 IN (0, 1));"
    "ALTER TABLE message ADD COLUMN ret INTEGER NOT NULL DEFAULT 0 CHECK (ret BETWEEN 0 AND 2);"
    "ALTER TABLE message ADD COLUMN envid TEXT;"
    "ALTER TABLE message ADD COLUMN header_id TEXT CHECK (length(header_id) <= 255);"
    "ALTER TABLE recipient ADD COLUMN last_at INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE recipient ADD COLUMN warned INTEGER NOT NULL DEFAULT 0;"
    "ALTER TABLE recipient ADD COLUMN chosen_relay TEXT NOT NULL DEFAULT '';"
    "ALTER TABLE recipient ADD COLUMN orcpt TEXT;"
    "CREATE TABLE attempt (message_id INTEGER NOT NULL, recipient_id INTEGER NOT NULL, number"
    " INTEGER NOT NULL CHECK (number > 0), charged INTEGER NOT NULL, peer_does_dsn INTEGER NOT"
    " NULL, at INTEGER NOT NULL, reply_code INTEGER NOT NULL, enhanced TEXT NOT NULL, text"
    " TEXT NOT NULL, relay TEXT NOT NULL, tls TEXT NOT NULL, step TEXT NOT NULL, CHECK"
    " ((length(text) <= 511 AND instr(text, char(13)) = 0 AND instr(text, char(10)) = 0 AND"
    " instr(CAST(text AS BLOB), x'00') = 0)), CHECK ((length(relay) <= 191 AND instr(relay,"
    " char(13)) = 0 AND instr(relay, char(10)) = 0 AND instr(CAST(relay AS BLOB), x'00') ="
    " 0)), CHECK ((length(tls) <= 39 AND instr(tls, char(13)) = 0 AND instr(tls, char(10)) = 0"
    " AND instr(CAST(tls AS BLOB), x'00') = 0)), CHECK ((length(step) <= 15 AND instr(step,"
    " char(13)) = 0 AND instr(step, char(10)) = 0 AND instr(CAST(step AS BLOB), x'00') = 0)),"
    " PRIMARY KEY (message_id, recipient_id, number)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE history (seq INTEGER PRIMARY KEY, message_id INTEGER NOT NULL, recipient_id"
    " INTEGER NOT NULL, arrived INTEGER NOT NULL, finished INTEGER NOT NULL, size INTEGER NOT"
    " NULL, reverse_path TEXT NOT NULL, forward_path TEXT NOT NULL, header_id TEXT, fate"
    " INTEGER NOT NULL, attempts INTEGER NOT NULL, at INTEGER NOT NULL, reply_code INTEGER NOT"
    " NULL, enhanced TEXT NOT NULL, text TEXT NOT NULL, relay TEXT NOT NULL, tls TEXT NOT"
    " NULL, step TEXT NOT NULL) STRICT;"
    "CREATE INDEX history_message ON history (message_id);"
    "CREATE TABLE kept (name TEXT PRIMARY KEY CHECK ((length(name) <= 64 AND instr(name,"
    " char(13)) = 0 AND instr(name, char(10)) = 0 AND instr(CAST(name AS BLOB), x'00') = 0)),"
    " value TEXT NOT NULL CHECK ((length(value) <= 16384 AND instr(value, char(13)) = 0 AND"
    " instr(value, char(10)) = 0 AND instr(CAST(value AS BLOB), x'00') = 0))) STRICT, WITHOUT"
    " ROWID;"
    "UPDATE meta SET value = 2 WHERE name = 'schema';";

#define OLD_COLUMNS	"id, reverse_path, body, size, arrived, expires, digest, head"
#define OLD_VALUES	" VALUES (?1, 'ann@example.org', 1, ?2, 1700000000, 1700432000, ?3, ?4"

static inline void
add_number(EVP_MD_CTX *digest, int64_t number)
{
	unsigned char octets[8];
	int i;

	for (i = 0; i < 8; i++)
		octets[i] = (unsigned char)((uint64_t)number >> (56 - 8 * i));
	EVP_DigestUpdate(digest, octets, sizeof(octets));
}

static inline sqlite3 *
make_old(const char *schema)
{
	sqlite3 *handle;

	assert_int_equal(sqlite3_open(place.path, &handle), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "PRAGMA journal_mode = WAL", NULL, NULL, NULL),
	    SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, schema, NULL, NULL, NULL), SQLITE_OK);
	return handle;
}

/* Content of up to 64 KiB beside the envelope, more in pieces.  `header_id`: of schema 2;
 * NULL: none. */
static inline void
old_message(sqlite3 *handle, int64_t id, size_t size, const char *header_id)
{
	struct content *content = content_of(place.directory, size, (unsigned)id);
	unsigned char digest[32];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	sqlite3_stmt *statement, *piece;
	char octets[65536];
	struct error err;
	size_t got, at, seq = 0;

	EVP_DigestInit_ex2(context, EVP_sha256(), NULL);
	add_number(context, id);
	add_number(context, (int64_t)size);
	add_number(context, 1700000000);
	add_number(context, 1 | (header_id != NULL) << 5);
	EVP_DigestUpdate(context, "ann@example.org", 16);
	if (header_id != NULL)
		EVP_DigestUpdate(context, header_id, strlen(header_id) + 1);
	sqlite3_prepare_v2(handle, "INSERT INTO content VALUES (?1, ?2, ?3)", -1, &piece, NULL);
	sqlite3_prepare_v2(handle, header_id != NULL ? "INSERT INTO message (" OLD_COLUMNS
	    ", header_id)" OLD_VALUES ", ?5)" : "INSERT INTO message (" OLD_COLUMNS ")" OLD_VALUES
	    ")", -1, &statement, NULL);
	for (at = 0; at < size; at += got) {
		assert_true(content_read(content, at, octets, sizeof(octets), &got, &err));
		EVP_DigestUpdate(context, octets, got);
		sqlite3_bind_int64(piece, 1, id);
		sqlite3_bind_int64(piece, 2, (int64_t)seq++);
		sqlite3_bind_blob(piece, 3, octets, (int)got, SQLITE_TRANSIENT);
		if (size > sizeof(octets))
			assert_int_equal(sqlite3_step(piece), SQLITE_DONE);
		else
			sqlite3_bind_blob(statement, 4, octets, (int)got, SQLITE_TRANSIENT);
		sqlite3_reset(piece);
	}
	EVP_DigestFinal_ex(context, digest, NULL);
	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, (int64_t)size);
	sqlite3_bind_blob(statement, 3, digest, sizeof(digest), SQLITE_STATIC);
	if (header_id != NULL)
		sqlite3_bind_text(statement, 5, header_id, -1, SQLITE_STATIC);
	assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
	sqlite3_finalize(statement);
	sqlite3_finalize(piece);
	EVP_MD_CTX_free(context);
	content_unref(content);
}

static inline void
old_recipient(sqlite3 *handle, int64_t message, int64_t id, int state, int64_t next)
{
	unsigned char digest[32];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	sqlite3_stmt *statement;

	EVP_DigestInit_ex2(context, EVP_sha256(), NULL);
	add_number(context, message);
	add_number(context, id);
	add_number(context, NOTIFY_FAILURE);
	EVP_DigestUpdate(context, "bob@example.net", 15);
	EVP_DigestFinal_ex(context, digest, NULL);
	sqlite3_prepare_v2(handle, "INSERT INTO recipient (message_id, id, forward_path,"
	    " notify, digest, state, attempts, next_attempt, reply_code, enhanced, text, relay)"
	    " VALUES (?1, ?2, 'bob@example.net', 4, ?3,"
	    " ?4, 3, ?5, 451, '4.3.0', 'try later', 'smarthost/mx[192.0.2.7]:25')", -1, &statement,
	    NULL);
	sqlite3_bind_int64(statement, 1, message);
	sqlite3_bind_int64(statement, 2, id);
	sqlite3_bind_blob(statement, 3, digest, 8, SQLITE_STATIC);
	sqlite3_bind_int(statement, 4, state);
	sqlite3_bind_int64(statement, 5, next);
	assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
	sqlite3_finalize(statement);
	EVP_MD_CTX_free(context);
}

#endif
