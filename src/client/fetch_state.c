/* fetch_state.c - what herald fetch remembers of an account: opening, questions, forgetting. */
#include "client/fetch_state.h"

#include "base/error.h"
#include "base/mem.h"
#include "client/fetch_state_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BUSY_MS 30000 /* for the commits of other accounts */

/* --- statements --- */

bool
fetch_state_refuse(struct fetch_state *state, int code, const char *what, struct error *err)
{
	int kind = code & 0xff;

	state->exit_code = kind == SQLITE_BUSY ? EX_TEMPFAIL :
	    kind == SQLITE_CANTOPEN || kind == SQLITE_READONLY ? EX_CANTCREAT : EX_IOERR;
	if (kind == SQLITE_NOTADB || kind == SQLITE_CORRUPT)
		return error_set(err, ERROR_STORE, "%s is damaged (%s): move it away, and what "
		    "was fetched counts as new", state->path, sqlite3_errstr(code));
	return error_set(err, ERROR_STORE, "%s: %s: %s (%d)", state->path, what,
	    state->handle != NULL ? sqlite3_errmsg(state->handle) : sqlite3_errstr(code), code);
}

bool
fetch_state_run(struct fetch_state *state, enum fetch_sql which, struct error *err)
{
	sqlite3_stmt *statement = state->statements[which];
	int code = sqlite3_step(statement);
	bool fine = code == SQLITE_DONE ||
	    fetch_state_refuse(state, code, sqlite3_sql(statement), err);

	sqlite3_reset(statement);
	return fine;
}

void
fetch_state_bind_text(sqlite3_stmt *statement, int column, const char *text)
{
	sqlite3_bind_text64(statement, column, text, strlen(text), SQLITE_STATIC, SQLITE_UTF8);
}

void
fetch_state_bind_octets(sqlite3_stmt *statement, int column, const char *text)
{
	sqlite3_bind_blob64(statement, column, text, strlen(text), SQLITE_STATIC);
}

bool
fetch_state_begin(struct fetch_state *state, struct error *err)
{
	return fetch_state_run(state, FETCH_SQL_BEGIN, err);
}

bool
fetch_state_end(struct fetch_state *state, bool good, struct error *err)
{
	struct error ignored;
	int exit_code;

	if (good && fetch_state_run(state, FETCH_SQL_COMMIT, err))
		return true;
	exit_code = state->exit_code;
	/* Some failures have rolled back already. */
	if (!sqlite3_get_autocommit(state->handle))
		(void)fetch_state_run(state, FETCH_SQL_ROLLBACK, &ignored);
	state->exit_code = exit_code;
	return false;
}

bool
fetch_state_uidl_fits(const char *uidl)
{
	return uidl[0] != '\0' && strlen(uidl) <= FETCH_UIDL_MAX;
}

int
fetch_state_exit_code(const struct fetch_state *state)
{
	return state->exit_code;
}

/* --- opening --- */

static bool
open_handle(struct fetch_state *state, struct error *err)
{
	int code = sqlite3_open_v2(state->path, &state->handle,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);

	if (code != SQLITE_OK)
		return fetch_state_refuse(state, code, "cannot open it", err);
	sqlite3_extended_result_codes(state->handle, 1);
	sqlite3_busy_timeout(state->handle, BUSY_MS);
	return fetch_state_prepare_tables(state, err);
}

/* To open is to recover what a dead process left, and to close is to copy the log: SQLite lets
 * others wait for neither in all cases, so they wait here. */
static bool
open_locked(struct fetch_state *state, struct error *err)
{
	bool fine;

	if (!fetch_state_lock_account(state, err))
		return error_prefix(err, "%s", state->account);
	if (!fetch_state_lock_opening(state, err))
		return false;
	state->exit_code = EX_IOERR;
	fine = open_handle(state, err);
	fetch_state_unlock_opening(state);
	return fine;
}

struct fetch_state *
fetch_state_open(const char *path, const char *account, int *exit_code, struct error *err)
{
	struct fetch_state *state;
	char *real;
	int lock;

	*exit_code = EX_USAGE;
	if (account[0] == '\0' || strlen(account) > FETCH_ACCOUNT_MAX) {
		error_set(err, ERROR_CONFIG, "the account's name is empty or too long");
		return NULL;
	}
	real = fetch_state_prepare(path, &lock, exit_code, err);
	if (real == NULL)
		return NULL;
	state = mem_zalloc(sizeof(*state));
	state->path = real;
	state->account = mem_strdup(account);
	state->lock = lock;
	if (open_locked(state, err))
		return state;
	*exit_code = state->exit_code;
	fetch_state_free(state);
	return NULL;
}

void
fetch_state_free(struct fetch_state *state)
{
	struct error ignored;
	bool is_locked;

	if (state == NULL)
		return;
	is_locked = state->handle != NULL && fetch_state_lock_opening(state, &ignored);
	for (int i = 0; i < FETCH_SQL_COUNT; i++)
		sqlite3_finalize(state->statements[i]);
	sqlite3_close(state->handle);
	if (is_locked)
		fetch_state_unlock_opening(state);
	close(state->lock);
	buf_free(&state->deleted);
	free(state->path);
	free(state->account);
	free(state);
}

/* --- questions and forgetting --- */

static sqlite3_stmt *
bind_message(struct fetch_state *state, enum fetch_sql which, const char *uidl)
{
	sqlite3_stmt *statement = state->statements[which];

	fetch_state_bind_text(statement, 1, state->account);
	fetch_state_bind_octets(statement, 2, uidl);
	return statement;
}

bool
fetch_state_lookup(struct fetch_state *state, const char *uidl, uint64_t size,
    enum fetch_known *out, struct error *err)
{
	sqlite3_stmt *statement;
	int code, found;

	*out = FETCH_UNSEEN;
	if (!fetch_state_uidl_fits(uidl))
		return true;
	statement = bind_message(state, FETCH_SQL_LOOKUP, uidl);
	code = sqlite3_step(statement);
	if (code != SQLITE_ROW && code != SQLITE_DONE) {
		fetch_state_refuse(state, code, sqlite3_sql(statement), err);
		sqlite3_reset(statement);
		return false;
	}
	/* Whatever else stands there counts as nothing: to fetch again loses nothing. */
	found = code == SQLITE_ROW ? sqlite3_column_int(statement, 0) : 0;
	if (found == 2)
		*out = FETCH_SAVED;
	else if (found == 3 && (uint64_t)sqlite3_column_int64(statement, 1) == size)
		*out = FETCH_DELETE_OWED;
	sqlite3_reset(statement);
	return true;
}

void
fetch_state_note_deleted(struct fetch_state *state, const char *uidl)
{
	if (fetch_state_uidl_fits(uidl))
		buf_append(&state->deleted, uidl, strlen(uidl) + 1);
}

bool
fetch_state_forget(struct fetch_state *state, const char *uidl, struct error *err)
{
	bind_message(state, FETCH_SQL_FORGET, uidl);
	return fetch_state_run(state, FETCH_SQL_FORGET, err);
}

bool
fetch_state_forget_deleted(struct fetch_state *state, struct error *err)
{
	const char *at = buf_octets(&state->deleted), *end = at + state->deleted.len;
	bool good = true;

	if (state->deleted.len == 0)
		return true;
	if (!fetch_state_begin(state, err))
		return false;
	for (; good && at < end; at += strlen(at) + 1)
		good = fetch_state_forget(state, at, err);
	if (!fetch_state_end(state, good, err))
		return false;
	buf_clear(&state->deleted);
	return true;
}

static bool
remember_present(struct fetch_state *state, const char *const *uidls, size_t count,
    struct error *err)
{
	if (!fetch_state_run(state, FETCH_SQL_CLEAR_PRESENT, err))
		return false;
	for (size_t i = 0; i < count; i++) {
		if (uidls[i] == NULL)
			continue;
		fetch_state_bind_octets(state->statements[FETCH_SQL_ADD_PRESENT], 1, uidls[i]);
		if (!fetch_state_run(state, FETCH_SQL_ADD_PRESENT, err))
			return false;
	}
	return true;
}

bool
fetch_state_prune(struct fetch_state *state, const char *const *uidls, size_t count,
    struct error *err)
{
	bool good;

	if (!fetch_state_begin(state, err))
		return false;
	good = remember_present(state, uidls, count, err);
	if (good) {
		fetch_state_bind_text(state->statements[FETCH_SQL_PRUNE], 1, state->account);
		good = fetch_state_run(state, FETCH_SQL_PRUNE, err);
	}
	return fetch_state_end(state, good, err);
}
