/* store_sqlite_schema.c - the tables of the queue, how old ones become new, how SQLite is set. */
#include <stdlib.h>
#include <string.h>

#include "queue/store_sqlite.h"

#define SCHEMA_VERSION	3
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

/* Nothing that a peer or an administrator wrote may hold what ends a line of SMTP (RULES H),
 * whoever writes the row.  The lengths are those of mail/envelope.h. */
#define ONE_LINE(column, max) \
	"CHECK (" LINE(column, max) ")"
#define LINE(column, max) \
	"(length(" column ") <= " max " AND instr(" column ", char(13)) = 0 " \
	"AND instr(" column ", char(10)) = 0 AND instr(CAST(" column " AS BLOB), x'00') = 0)"
/* For what is seldom there: the many rows without it are not looked at so closely. */
#define NO_OR_ONE_LINE(column, max) \
	"CHECK (coalesce(" column ", '') = '' OR " LINE(column, max) ")"

/* The columns of schema 2, which an older table gets behind its last one.  The Message-ID
 * goes into no command; reading checks it. */
#define MESSAGE_2(separator) \
	"smtputf8 INTEGER NOT NULL DEFAULT 0 CHECK (smtputf8 IN (0, 1))" separator \
	"ret INTEGER NOT NULL DEFAULT 0 CHECK (ret BETWEEN 0 AND 2)" separator \
	"envid TEXT " NO_OR_ONE_LINE("envid", "100") separator \
	"header_id TEXT CHECK (length(header_id) <= 255)"
#define RECIPIENT_2(separator) \
	"last_at INTEGER NOT NULL DEFAULT 0" separator \
	"warned INTEGER NOT NULL DEFAULT 0 CHECK (warned IN (0, 1))" separator \
	"chosen_relay TEXT NOT NULL DEFAULT '' " NO_OR_ONE_LINE("chosen_relay", "32") separator \
	"orcpt TEXT " NO_OR_ONE_LINE("orcpt", "500")

/* Of schema 3: the user who gave the message over a UNIX socket. */
#define MESSAGE_3 \
	"uid INTEGER CHECK (uid BETWEEN 0 AND 4294967294)"

/* What an attempt, and the end of a recipient, tell. */
#define SAID \
	" at INTEGER NOT NULL, reply_code INTEGER NOT NULL, enhanced TEXT NOT NULL," \
	" text TEXT NOT NULL, relay TEXT NOT NULL, tls TEXT NOT NULL, step TEXT NOT NULL"

/* Rows of history stand in the order of their making, so that the oldest are the first ones;
 * their texts come from rows that were checked. */
#define TABLES_2 \
	"CREATE TABLE attempt (message_id INTEGER NOT NULL, recipient_id INTEGER NOT NULL," \
	" number INTEGER NOT NULL CHECK (number > 0), charged INTEGER NOT NULL," \
	" peer_does_dsn INTEGER NOT NULL," SAID ", " ONE_LINE("text", "511") "," \
	" " ONE_LINE("relay", "191") ", " ONE_LINE("tls", "39") ", " ONE_LINE("step", "15") "," \
	" PRIMARY KEY (message_id, recipient_id, number)) STRICT, WITHOUT ROWID;" \
	"CREATE TABLE history (seq INTEGER PRIMARY KEY, message_id INTEGER NOT NULL," \
	" recipient_id INTEGER NOT NULL, arrived INTEGER NOT NULL, finished INTEGER NOT NULL," \
	" size INTEGER NOT NULL, reverse_path TEXT NOT NULL, forward_path TEXT NOT NULL," \
	" header_id TEXT, fate INTEGER NOT NULL, attempts INTEGER NOT NULL," SAID ") STRICT;" \
	"CREATE INDEX history_message ON history (message_id);" \
	"CREATE TABLE kept (name TEXT PRIMARY KEY " ONE_LINE("name", "64") "," \
	" value TEXT NOT NULL " ONE_LINE("value", "16384") ") STRICT, WITHOUT ROWID;"

/* The message's id is its queue id as a number.  `head` holds content of up to 64 KiB and
 * stands last, so that what is before it is read without it. */
static const char schema[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE totals (id INTEGER PRIMARY KEY CHECK (id = 1), last_id INTEGER NOT NULL,"
    " messages INTEGER NOT NULL, active INTEGER NOT NULL, deferred INTEGER NOT NULL,"
    " held INTEGER NOT NULL, failed INTEGER NOT NULL, parked INTEGER NOT NULL) STRICT;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY CHECK (id > 0),"
    " reverse_path TEXT NOT NULL " ONE_LINE("reverse_path", "320") ","
    " body INTEGER NOT NULL CHECK (body IN (0, 1)), size INTEGER NOT NULL CHECK (size >= 0),"
    " arrived INTEGER NOT NULL, expires INTEGER NOT NULL, digest BLOB NOT NULL,"
    " " MESSAGE_2(", ") ", " MESSAGE_3 ", head BLOB) STRICT;"
    "CREATE TABLE recipient (message_id INTEGER NOT NULL REFERENCES message (id),"
    " id INTEGER NOT NULL CHECK (id > 0),"
    " forward_path TEXT NOT NULL " ONE_LINE("forward_path", "320") ","
    " notify INTEGER NOT NULL CHECK (notify BETWEEN 0 AND 15), digest BLOB NOT NULL,"
    " state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),"
    " attempts INTEGER NOT NULL CHECK (attempts >= 0), next_attempt INTEGER NOT NULL,"
    " reply_code INTEGER NOT NULL DEFAULT 0, enhanced TEXT NOT NULL DEFAULT '',"
    " text TEXT NOT NULL DEFAULT '', relay TEXT NOT NULL DEFAULT '',"
    " " RECIPIENT_2(", ") ", PRIMARY KEY (message_id, id)) STRICT, WITHOUT ROWID;"
    "CREATE INDEX recipient_due ON recipient (state, next_attempt);"
    "CREATE TABLE content (message_id INTEGER NOT NULL REFERENCES message (id),"
    " seq INTEGER NOT NULL, octets BLOB NOT NULL, PRIMARY KEY (message_id, seq)) STRICT;"
    TABLES_2
    "INSERT INTO totals VALUES (1, 0, 0, 0, 0, 0, 0, 0);"
    "INSERT INTO meta VALUES ('schema', 3);";

/* The mail stays where it is: in a large queue, to write it anew would take minutes and as
 * much room again.  In such a table the new columns stand behind `head`. */
#define FROM_1_TO_2 \
	"ALTER TABLE message ADD COLUMN " MESSAGE_2("; ALTER TABLE message ADD COLUMN ") ";" \
	"ALTER TABLE recipient ADD COLUMN " \
	RECIPIENT_2("; ALTER TABLE recipient ADD COLUMN ") ";" TABLES_2
#define FROM_2_TO_3 \
	"ALTER TABLE message ADD COLUMN " MESSAGE_3 ";" \
	"UPDATE meta SET value = 3 WHERE name = 'schema';"

static const char from_1_to_3[] = FROM_1_TO_2 FROM_2_TO_3;
static const char from_2_to_3[] = FROM_2_TO_3;

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

/* From that schema to the present one, 0 being none at all: all of it or, whatever happens on
 * the way, nothing. */
static bool
change_tables(struct sqlite_db *db, long version, struct error *err)
{
	int code = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	char what[64] = "cannot make the tables";

	if (version > 0)
		sqlite3_snprintf(sizeof(what), what, "cannot bring it from schema %d to %d",
		    (int)version, SCHEMA_VERSION);
	if (code == SQLITE_OK && version == 0)
		code = sqlite3_exec(db->handle, schema, NULL, NULL, NULL);
	else if (code == SQLITE_OK && version == 1)
		code = sqlite3_exec(db->handle, from_1_to_3, NULL, NULL, NULL);
	else if (code == SQLITE_OK)
		code = sqlite3_exec(db->handle, from_2_to_3, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL);
	return code == SQLITE_OK || sqlite_refuse(db, code, what, err);
}

static bool
check_schema(struct sqlite_db *db, struct error *err)
{
	char value[64];
	int code = sqlite_ask(db, "SELECT count(*) FROM sqlite_schema", value, sizeof(value));
	long version;

	if (code != SQLITE_OK)
		return sqlite_refuse(db, code, "cannot read it", err);
	if (strcmp(value, "0") == 0)
		return change_tables(db, 0, err);
	code = sqlite_ask(db, "SELECT value FROM meta WHERE name = 'schema'", value, sizeof(value));
	if (code != SQLITE_OK || value[0] == '\0')
		return error_set(err, ERROR_STORE, "%s is not a queue of herald", db->path);
	version = strtol(value, NULL, 10);
	if (version == 1 || version == 2)
		return change_tables(db, version, err);
	if (version != SCHEMA_VERSION)
		return error_set(err, ERROR_STORE, "%s is of another release (schema %s, this "
		    "heraldd knows %d)", db->path, value, SCHEMA_VERSION);
	return true;
}

bool
sqlite_prepare(struct sqlite_db *db, struct error *err)
{
	return set_pragmas(db, err) && check_schema(db, err) && sqlite_prepare_all(db, err);
}
