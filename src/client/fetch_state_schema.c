/* fetch_state_schema.c - the tables of herald fetch's state, and how SQLite is set for it. */
#include "base/error.h"
#include "base/mem.h"
#include "client/fetch_save_file.h"
#include "client/fetch_state_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define STATE_VERSION "1"

/* Stated once and asked back, as for the queue: WAL with FULL loses nothing in a power cut. */
static const struct {
	const char *set, *get, *value;
} pragmas[] = {
	{ "PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal" },
	{ "PRAGMA synchronous = FULL", "PRAGMA synchronous", "2" },
	{ "PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", "1" },
	{ "PRAGMA trusted_schema = OFF", "PRAGMA trusted_schema", "0" },
	{ "PRAGMA cell_size_check = ON", "PRAGMA cell_size_check", "1" },
	{ "PRAGMA mmap_size = 0", "PRAGMA mmap_size", NULL },
	{ "PRAGMA wal_autocheckpoint = 1000", "PRAGMA wal_autocheckpoint", "1000" },
	{ "PRAGMA temp_store = MEMORY", "PRAGMA temp_store", "2" },
};

/* States: 1 saving, 2 saved, 3 to be deleted.  `after` is the state that follows on saving,
 * `previous` the one before it where the message was saved once already.  The size is what the
 * server lists; what it says beyond 2^63 is negative here.  UIDLs, directories and
 * names are octets to SQLite: nothing is made of them. */
static const char tables[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE message (id INTEGER PRIMARY KEY CHECK (id > 0),"
    " account TEXT NOT NULL CHECK (length(account) BETWEEN 1 AND 1024),"
    " uidl BLOB NOT NULL CHECK (length(uidl) BETWEEN 1 AND 70), size INTEGER NOT NULL,"
    " state INTEGER NOT NULL CHECK (state IN (1, 2, 3)),"
    " after INTEGER CHECK (after IN (2, 3)), previous INTEGER CHECK (previous IN (2, 3)),"
    " directory BLOB CHECK (length(directory) BETWEEN 1 AND 4096),"
    " CHECK (state <> 1 OR (after IS NOT NULL AND directory IS NOT NULL)),"
    " UNIQUE (account, uidl)) STRICT;"
    "CREATE INDEX message_saving ON message (account) WHERE state = 1;"
    "CREATE TABLE part (message_id INTEGER NOT NULL REFERENCES message (id),"
    " number INTEGER NOT NULL CHECK (number > 0),"
    " temp TEXT NOT NULL UNIQUE CHECK (length(temp) <= 40),"
    " name BLOB NOT NULL CHECK (length(name) BETWEEN 1 AND 200),"
    " inode INTEGER NOT NULL, size INTEGER NOT NULL CHECK (size >= 0),"
    " PRIMARY KEY (message_id, number)) STRICT, WITHOUT ROWID;"
    "INSERT INTO meta VALUES ('version', '" STATE_VERSION "');";

/* What the server has, while rows of what it has no longer are removed. */
static const char present[] =
    "CREATE TEMP TABLE present (uidl BLOB PRIMARY KEY) STRICT, WITHOUT ROWID";

#define OF_THIS " WHERE account = ?1 AND uidl = ?2"

static const char *const sql[FETCH_SQL_COUNT] = {
	[FETCH_SQL_BEGIN] = "BEGIN IMMEDIATE",
	[FETCH_SQL_COMMIT] = "COMMIT",
	[FETCH_SQL_ROLLBACK] = "ROLLBACK",
	[FETCH_SQL_LOOKUP] = "SELECT state, size FROM message" OF_THIS,
	[FETCH_SQL_ADD_SAVING] = "INSERT INTO message (account, uidl, state, after, size,"
	    " directory) VALUES (?1, ?2, 1, ?3, ?4, ?5) ON CONFLICT (account, uidl) DO UPDATE"
	    " SET state = 1, after = excluded.after, previous = message.state,"
	    " size = excluded.size, directory = excluded.directory"
	    " WHERE message.state <> 1 RETURNING id",
	[FETCH_SQL_ADD_SAVED] = "INSERT INTO message (account, uidl, state, size)"
	    " VALUES (?1, ?2, ?3, ?4) ON CONFLICT (account, uidl) DO UPDATE"
	    " SET state = excluded.state, size = excluded.size WHERE message.state <> 1",
	[FETCH_SQL_ADD_PART] = "INSERT INTO part (message_id, number, temp, name, inode, size)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[FETCH_SQL_FINISH] = "UPDATE message SET state = after, after = NULL, previous = NULL,"
	    " directory = NULL WHERE id = ?1 AND state = 1",
	[FETCH_SQL_DROP_PARTS] = "DELETE FROM part WHERE message_id = ?1",
	[FETCH_SQL_RESTORE] = "UPDATE message SET state = previous, after = NULL, previous = NULL,"
	    " directory = NULL WHERE id = ?1 AND state = 1 AND previous IS NOT NULL",
	[FETCH_SQL_DROP] = "DELETE FROM message WHERE id = ?1 AND state = 1",
	[FETCH_SQL_UNFINISHED] = "SELECT id, directory FROM message"
	    " WHERE account = ?1 AND state = 1 AND id > ?2 ORDER BY id LIMIT 1",
	[FETCH_SQL_PARTS] = "SELECT temp, name, inode, size FROM part WHERE message_id = ?1"
	    " ORDER BY number LIMIT ?2",
	[FETCH_SQL_HAS_TEMP] = "SELECT 1 FROM part WHERE temp = ?1",
	[FETCH_SQL_FORGET] = "DELETE FROM message" OF_THIS " AND state <> 1",
	[FETCH_SQL_CLEAR_PRESENT] = "DELETE FROM temp.present",
	[FETCH_SQL_ADD_PRESENT] = "INSERT OR IGNORE INTO temp.present VALUES (?1)",
	[FETCH_SQL_PRUNE] = "DELETE FROM message WHERE account = ?1 AND state <> 1"
	    " AND uidl NOT IN (SELECT uidl FROM temp.present)",
};

/* The first column of the first row, "" where there is none; a result code. */
static int
ask(struct fetch_state *state, const char *query, char *out, size_t size)
{
	sqlite3_stmt *statement = NULL;
	const unsigned char *text;
	int code = sqlite3_prepare_v2(state->handle, query, -1, &statement, NULL);

	out[0] = '\0';
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
set_pragmas(struct fetch_state *state, struct error *err)
{
	char value[64];

	for (size_t i = 0; i < sizeof(pragmas) / sizeof(pragmas[0]); i++) {
		int code = ask(state, pragmas[i].set, value, sizeof(value));

		if (code == SQLITE_OK)
			code = ask(state, pragmas[i].get, value, sizeof(value));
		if (code != SQLITE_OK)
			return fetch_state_refuse(state, code, pragmas[i].set, err);
		if (pragmas[i].value != NULL && strcmp(value, pragmas[i].value) != 0)
			return error_set(err, ERROR_STORE, "%s: %s did not take: it is \"%s\"",
			    state->path, pragmas[i].set, value);
	}
	sqlite3_db_config(state->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	return true;
}

/* The tag marks temporary files as of this database: what another one has no row of is not
 * another's rubbish. */
static int
add_tag(struct fetch_state *state)
{
	char name[FETCH_TEMP_MAX + 1];
	sqlite3_stmt *statement = NULL;
	int code;

	/* The random part of such a name is what a tag is made of. */
	fetch_save_file_temp(name, "");
	code = sqlite3_prepare_v2(state->handle, "INSERT INTO meta VALUES ('tag', ?1)", -1,
	    &statement, NULL);
	if (code != SQLITE_OK)
		return code;
	sqlite3_bind_text(statement, 1, strchr(name, '-') + 1, FETCH_TAG_MAX, SQLITE_STATIC);
	code = sqlite3_step(statement);
	sqlite3_finalize(statement);
	return code == SQLITE_DONE ? SQLITE_OK : code;
}

static bool
make_tables(struct fetch_state *state, struct error *err)
{
	int code = sqlite3_exec(state->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_exec(state->handle, tables, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = add_tag(state);
	if (code == SQLITE_OK)
		code = sqlite3_exec(state->handle, "COMMIT", NULL, NULL, NULL);
	return code == SQLITE_OK ||
	    fetch_state_refuse(state, code, "cannot make the tables", err);
}

static bool
check_version(struct fetch_state *state, struct error *err)
{
	char value[64];
	int code = ask(state, "SELECT count(*) FROM sqlite_schema", value, sizeof(value));

	if (code != SQLITE_OK)
		return fetch_state_refuse(state, code, "cannot read it", err);
	if (strcmp(value, "0") == 0)
		return make_tables(state, err);
	code = ask(state, "SELECT value FROM meta WHERE name = 'version'", value, sizeof(value));
	if (code != SQLITE_OK || value[0] == '\0')
		return error_set(err, ERROR_STORE, "%s is not a state of herald fetch",
		    state->path);
	return strcmp(value, STATE_VERSION) == 0 ||
	    error_set(err, ERROR_STORE, "%s is of another release (version %s, this herald knows "
		STATE_VERSION ")", state->path, value);
}

static bool
read_tag(struct fetch_state *state, struct error *err)
{
	char value[FETCH_TAG_MAX + 2], name[FETCH_TEMP_MAX + 1];
	int code = ask(state, "SELECT value FROM meta WHERE name = 'tag'", value, sizeof(value));

	if (code != SQLITE_OK)
		return fetch_state_refuse(state, code, "cannot read it", err);
	/* It goes into names of files: no more than what add_tag() writes. */
	sqlite3_snprintf(sizeof(name), name, ".herald-%s.part", value);
	if (!fetch_save_file_is_temp(name, ""))
		return error_set(err, ERROR_STORE, "%s is damaged: its tag", state->path);
	memcpy(state->tag, value, sizeof(state->tag));
	return true;
}

bool
fetch_state_prepare_tables(struct fetch_state *state, struct error *err)
{
	int code;

	if (!set_pragmas(state, err) || !check_version(state, err) || !read_tag(state, err))
		return false;
	code = sqlite3_exec(state->handle, present, NULL, NULL, NULL);
	if (code != SQLITE_OK)
		return fetch_state_refuse(state, code, present, err);
	for (int i = 0; i < FETCH_SQL_COUNT; i++) {
		code = sqlite3_prepare_v3(state->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
		    &state->statements[i], NULL);
		if (code != SQLITE_OK)
			return fetch_state_refuse(state, code, sql[i], err);
	}
	return true;
}
