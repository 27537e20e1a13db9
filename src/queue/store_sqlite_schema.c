/* store_sqlite_schema.c - the tables of the queue, every statement, and how SQLite is set. */
#include <stdlib.h>
#include <string.h>

#include "queue/store_sqlite.h"

#define SCHEMA_VERSION	1
#define WAL_KEEP	"67108864"	/* octets that a large message may leave the log with */

/* Stated once and asked back: a library built otherwise must not be found out by a loss.
 * WAL with FULL is what was seen to lose nothing in a power cut; NORMAL loses mail. */
static const struct { const char *set, *get, *value; } pragmas[] = {
	{ "PRAGMA locking_mode = EXCLUSIVE", "PRAGMA locking_mode", "exclusive" },
	{ "PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal" },
	{ "PRAGMA synchronous = FULL", "PRAGMA synchronous", "2" },
	{ "PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", "1" },
	{ "PRAGMA trusted_schema = OFF", "PRAGMA trusted_schema", "0" },
	{ "PRAGMA cell_size_check = ON", "PRAGMA cell_size_check", "1" },
	{ "PRAGMA mmap_size = 0", "PRAGMA mmap_size", NULL },
	{ "PRAGMA wal_autocheckpoint = 0", "PRAGMA wal_autocheckpoint", "0" },
	{ "PRAGMA journal_size_limit = " WAL_KEEP, "PRAGMA journal_size_limit", WAL_KEEP },
	/* Overwrites deleted mail only where that costs no further page. */
	{ "PRAGMA secure_delete = FAST", "PRAGMA secure_delete", "2" },
	{ "PRAGMA cache_size = -8192", "PRAGMA cache_size", "-8192" },	/* KiB */
	{ "PRAGMA temp_store = MEMORY", "PRAGMA temp_store", "2" },
};

/* The message's id is its queue id as a number.  `head` holds content of up to 64 KiB and
 * stands last, so that what is before it is read without it.  Neither path may hold what
 * ends a line of SMTP (RULES H), whoever writes the row. */
#define NO_LINE_END(column) \
	"CHECK (length(" column ") <= 320 AND instr(" column ", char(13)) = 0 " \
	"AND instr(" column ", char(10)) = 0 AND instr(CAST(" column " AS BLOB), x'00') = 0)"

static const char schema[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), last_id INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, active INTEGER NOT NULL, deferred INTEGER NOT NULL,"
    " held INTEGER NOT NULL, failed INTEGER NOT NULL, parked INTEGER NOT NULL) STRICT;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY CHECK (id > 0),"
    " reverse_path TEXT NOT NULL " NO_LINE_END("reverse_path") ","
    " body INTEGER NOT NULL CHECK (body IN (0, 1)), size INTEGER NOT NULL CHECK (size >= 0),"
    " arrived INTEGER NOT NULL, expires INTEGER NOT NULL, digest BLOB NOT NULL,"
    " head BLOB) STRICT;"
    "CREATE TABLE recipient (message_id INTEGER NOT NULL REFERENCES message (id),"
    " id INTEGER NOT NULL CHECK (id > 0),"
    " forward_path TEXT NOT NULL " NO_LINE_END("forward_path") ","
    " notify INTEGER NOT NULL CHECK (notify BETWEEN 0 AND 15), digest BLOB NOT NULL,"
    " state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),"
    " attempts INTEGER NOT NULL CHECK (attempts >= 0), next_attempt INTEGER NOT NULL,"
    " reply_code INTEGER NOT NULL DEFAULT 0, enhanced TEXT NOT NULL DEFAULT '',"
    " text TEXT NOT NULL DEFAULT '', relay TEXT NOT NULL DEFAULT '',"
    " PRIMARY KEY (message_id, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX recipient_due ON recipient (state, next_attempt);"
    "CREATE TABLE content (message_id INTEGER NOT NULL REFERENCES message (id),"
    " seq INTEGER NOT NULL, octets BLOB NOT NULL, PRIMARY KEY (message_id, seq)) STRICT;"
    "INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0);";

#define FATE	"attempts, next_attempt, reply_code, enhanced, text, relay"

/* A plus keeps a column out of the choice of index: what concerns one message is found by
 * its key, not among all that is due. */
static const char *const sql[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_READ_TOTALS] = "SELECT last_id, messages, active, deferred, held, failed, parked"
	    " FROM totals WHERE id = 1",
	[SQL_WRITE_TOTALS] = "UPDATE totals SET last_id = ?1, messages = ?2, active = ?3,"
	    " deferred = ?4, held = ?5, failed = ?6, parked = ?7 WHERE id = 1",
	[SQL_OLDEST] = "SELECT arrived FROM message ORDER BY id LIMIT 1",
	[SQL_ADD_MESSAGE] = "INSERT INTO message (id, reverse_path, body, size, arrived, expires,"
	    " digest, head) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SQL_SET_DIGEST] = "UPDATE message SET digest = ?2 WHERE id = ?1",
	[SQL_ADD_CONTENT] = "INSERT INTO content (message_id, seq, octets) VALUES (?1, ?2, ?3)",
	[SQL_ADD_RECIPIENT] = "INSERT INTO recipient (message_id, id, forward_path, notify, digest,"
	    " state, attempts, next_attempt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
	[SQL_DROP_RECIPIENT] = "DELETE FROM recipient WHERE message_id = ?1 AND id = ?2"
	    " AND state = ?3",
	[SQL_SET_RECIPIENT] = "UPDATE recipient SET state = ?4, attempts = ?5, next_attempt = ?6,"
	    " reply_code = ?7, enhanced = ?8, text = ?9, relay = ?10"
	    " WHERE message_id = ?1 AND id = ?2 AND state = ?3",
	[SQL_OWES] = "SELECT 1 FROM recipient WHERE message_id = ?1 LIMIT 1",
	[SQL_DROP_CONTENT] = "DELETE FROM content WHERE message_id = ?1",
	[SQL_DROP_MESSAGE] = "DELETE FROM message WHERE id = ?1",
	[SQL_DUE] = "SELECT message_id FROM recipient INDEXED BY recipient_due"
	    " WHERE state = ?1 AND next_attempt <= ?2 ORDER BY next_attempt LIMIT ?3",
	[SQL_NEXT_DUE] = "SELECT min(next_attempt) FROM recipient INDEXED BY recipient_due"
	    " WHERE state = ?1",
	[SQL_LEFT_IN_HAND] = "SELECT message_id, id FROM recipient INDEXED BY recipient_due"
	    " WHERE state = ?1",
	[SQL_GIVE_BACK_ACTIVE] = "UPDATE recipient SET state = 1, next_attempt = ?3"
	    " WHERE message_id = ?1 AND id = ?2 AND +state = 0",
	[SQL_GIVE_BACK_FAILED] = "UPDATE recipient SET next_attempt = ?3"
	    " WHERE message_id = ?1 AND id = ?2 AND +state = 3",
	[SQL_PULL_IN] = "UPDATE recipient SET next_attempt = ?2 WHERE (message_id, id) IN"
	    " (SELECT message_id, id FROM recipient INDEXED BY recipient_due WHERE state = ?1"
	    " AND next_attempt > ?3 AND next_attempt < 9223372036854775807"
	    " ORDER BY next_attempt DESC LIMIT ?4)",
	[SQL_MESSAGE] = "SELECT reverse_path, body, size, arrived, expires, digest, head"
	    " FROM message WHERE id = ?1",
	[SQL_CONTENT] = "SELECT seq, octets FROM content WHERE message_id = ?1 ORDER BY seq",
	[SQL_DUE_RECIPIENTS] = "SELECT id, forward_path, notify, digest, " FATE " FROM recipient"
	    " WHERE message_id = ?1 AND +state = ?2 AND +next_attempt <= ?3 ORDER BY id",
	[SQL_TAKE_ACTIVE] = "UPDATE recipient SET state = 0"
	    " WHERE message_id = ?1 AND +state = 1 AND +next_attempt <= ?2",
	[SQL_TAKE_FAILED] = "UPDATE recipient SET next_attempt = 9223372036854775807"
	    " WHERE message_id = ?1 AND +state = 3 AND +next_attempt <= ?2",
	[SQL_PARK] = "UPDATE recipient SET state = 4, reply_code = 0, enhanced = '5.3.0', text = ?4"
	    " WHERE message_id = ?1 AND +state = ?2 AND +next_attempt <= ?3",
	[SQL_PUT_OFF] = "UPDATE recipient SET next_attempt = ?4"
	    " WHERE message_id = ?1 AND +state = ?2 AND +next_attempt <= ?3",
	/* The order is that of the keys: rows come one by one, nothing is sorted. */
	[SQL_LIST] = "SELECT m.id, m.reverse_path, m.body, m.size, m.arrived, m.expires,"
	    " r.id, r.forward_path, r.notify, r.state, r.attempts, r.next_attempt, r.reply_code,"
	    " r.enhanced, r.text, r.relay FROM message AS m CROSS JOIN recipient AS r"
	    " ON r.message_id = m.id WHERE m.id > ?1 ORDER BY m.id, r.id",
	[SQL_RETRY] = "UPDATE recipient SET state = 1, next_attempt = ?4"
	    " WHERE message_id = ?1 AND id = ?2 AND state = ?3",
	[SQL_REMOVE] = "DELETE FROM recipient WHERE message_id = ?1 AND id = ?2 AND state = ?3",
};

bool
sqlite_refuse(struct sqlite_db *db, int code, const char *what, struct error *err)
{
	if ((code & 0xff) == SQLITE_BUSY)
		return error_set(err, ERROR_STORE, "another heraldd uses %s", db->path);
	sqlite_judge(db, code, what, err);
	return false;
}

int
sqlite_ask(struct sqlite_db *db, const char *query, char *out, size_t size)
{
	sqlite3_stmt *statement = NULL;
	const unsigned char *text;
	int code;

	out[0] = '\0';
	code = sqlite3_prepare_v2(db->handle, query, -1, &statement, NULL);
	if (code != SQLITE_OK)
		return code;
	code = sqlite3_step(statement);
	text = code == SQLITE_ROW ? sqlite3_column_text(statement, 0) : NULL;
	if (text != NULL)
		sqlite3_snprintf((int)size, out, "%s", text);
	sqlite3_finalize(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool
set_pragmas(struct sqlite_db *db, struct error *err)
{
	char value[64];
	size_t i;
	int code;

	for (i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++) {
		code = sqlite_ask(db, pragmas[i].set, value, sizeof(value));
		if (code == SQLITE_OK)
			code = sqlite_ask(db, pragmas[i].get, value, sizeof(value));
		if (code != SQLITE_OK)
			return sqlite_refuse(db, code, pragmas[i].set, err);
		if (pragmas[i].value != NULL && strcmp(value, pragmas[i].value) != 0)
			return error_set(err, ERROR_STORE, "%s: %s did not take: it is \"%s\"",
			    db->path, pragmas[i].set, value);
	}
	sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return true;
}

static bool
make_tables(struct sqlite_db *db, struct error *err)
{
	int code = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_exec(db->handle, schema, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db->handle, "INSERT INTO meta VALUES ('schema', 1); COMMIT",
		    NULL, NULL, NULL);
	return code == SQLITE_OK || sqlite_refuse(db, code, "cannot make the tables", err);
}

static bool
check_schema(struct sqlite_db *db, struct error *err)
{
	char value[64];
	int code = sqlite_ask(db, "SELECT count(*) FROM sqlite_schema", value, sizeof(value));

	if (code != SQLITE_OK)
		return sqlite_refuse(db, code, "cannot read it", err);
	if (strcmp(value, "0") == 0)
		return make_tables(db, err);
	code = sqlite_ask(db, "SELECT value FROM meta WHERE name = 'schema'", value, sizeof(value));
	if (code != SQLITE_OK || value[0] == '\0')
		return error_set(err, ERROR_STORE, "%s is not a queue of herald", db->path);
	if (strtol(value, NULL, 10) != SCHEMA_VERSION)
		return error_set(err, ERROR_STORE, "%s is of another release (schema %s, this "
		    "heraldd knows %d)", db->path, value, SCHEMA_VERSION);
	return true;
}

static bool
prepare_statements(struct sqlite_db *db, struct error *err)
{
	int i, code;

	for (i = 0; i < SQL_COUNT; i++) {
		code = sqlite3_prepare_v3(db->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
		    &db->statements[i], NULL);
		if (code != SQLITE_OK)
			return sqlite_refuse(db, code, sql[i], err);
	}
	return true;
}

bool
sqlite_prepare(struct sqlite_db *db, struct error *err)
{
	return set_pragmas(db, err) && check_schema(db, err) && prepare_statements(db, err);
}
