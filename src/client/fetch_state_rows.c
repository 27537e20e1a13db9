/* fetch_state_rows.c - rows of messages whose files are getting their names. */
#include "base/error.h"
#include "base/mem.h"
#include "client/fetch_save_file.h"
#include "client/fetch_state_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* --- writing --- */

static int
state_after(enum fetch_after after)
{
	return after == FETCH_AFTER_DELETE ? 3 : 2;
}

static sqlite3_stmt *
bind_message(struct fetch_state *state, enum fetch_sql which, const char *uidl, uint64_t size,
    enum fetch_after after)
{
	sqlite3_stmt *statement = state->statements[which];

	fetch_state_bind_text(statement, 1, state->account);
	fetch_state_bind_octets(statement, 2, uidl);
	sqlite3_bind_int(statement, 3, state_after(after));
	sqlite3_bind_int64(statement, 4, (int64_t)size);
	return statement;
}

static bool
add_saved(struct fetch_state *state, const char *uidl, uint64_t size, enum fetch_after after,
    struct error *err)
{
	bind_message(state, FETCH_SQL_ADD_SAVED, uidl, size, after);
	return fetch_state_run(state, FETCH_SQL_ADD_SAVED, err);
}

static bool
add_message(struct fetch_state *state, const char *uidl, uint64_t size, enum fetch_after after,
    const char *directory, int64_t *id, struct error *err)
{
	sqlite3_stmt *statement = bind_message(state, FETCH_SQL_ADD_SAVING, uidl, size, after);
	int code;

	fetch_state_bind_octets(statement, 5, directory);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		*id = sqlite3_column_int64(statement, 0);
		code = sqlite3_step(statement);
	}
	if (code != SQLITE_DONE)
		fetch_state_refuse(state, code, sqlite3_sql(statement), err);
	sqlite3_reset(statement);
	if (code != SQLITE_DONE || *id != 0)
		return code == SQLITE_DONE;
	/* Two messages of one UIDL in a run, of which the first could not be ended. */
	state->exit_code = EX_TEMPFAIL;
	return error_set(err, ERROR_STORE, "%s: this message is unfinished since before",
	    state->path);
}

static bool
add_part(struct fetch_state *state, int64_t id, int64_t number,
    const struct fetch_save_file *file, struct error *err)
{
	sqlite3_stmt *statement = state->statements[FETCH_SQL_ADD_PART];

	sqlite3_bind_int64(statement, 1, id);
	sqlite3_bind_int64(statement, 2, number);
	fetch_state_bind_text(statement, 3, file->temp);
	fetch_state_bind_octets(statement, 4, file->name);
	sqlite3_bind_int64(statement, 5, (int64_t)file->inode);
	sqlite3_bind_int64(statement, 6, (int64_t)file->size);
	return fetch_state_run(state, FETCH_SQL_ADD_PART, err);
}

bool
fetch_state_add(struct fetch_state *state, const char *uidl, uint64_t size,
    enum fetch_after after, const char *directory, const struct fetch_save_file *const *files,
    size_t count, int64_t *id, struct error *err)
{
	bool good;

	*id = 0;
	if (!fetch_state_begin(state, err))
		return false;
	good = count > 0 ? add_message(state, uidl, size, after, directory, id, err) :
	    add_saved(state, uidl, size, after, err);
	for (size_t i = 0; good && i < count; i++)
		good = add_part(state, *id, (int64_t)i + 1, files[i], err);
	return fetch_state_end(state, good, err);
}

static bool
run_for(struct fetch_state *state, enum fetch_sql which, int64_t id, struct error *err)
{
	sqlite3_bind_int64(state->statements[which], 1, id);
	return fetch_state_run(state, which, err);
}

bool
fetch_state_finish(struct fetch_state *state, int64_t id, struct error *err)
{
	bool good;

	if (!fetch_state_begin(state, err))
		return false;
	good = run_for(state, FETCH_SQL_FINISH, id, err) &&
	    run_for(state, FETCH_SQL_DROP_PARTS, id, err);
	return fetch_state_end(state, good, err);
}

bool
fetch_state_drop(struct fetch_state *state, int64_t id, struct error *err)
{
	bool good;

	if (!fetch_state_begin(state, err))
		return false;
	good = run_for(state, FETCH_SQL_DROP_PARTS, id, err) &&
	    run_for(state, FETCH_SQL_RESTORE, id, err) && run_for(state, FETCH_SQL_DROP, id, err);
	return fetch_state_end(state, good, err);
}

/* --- reading --- */

bool
fetch_state_has_temp(struct fetch_state *state, const char *temp, bool *out, struct error *err)
{
	sqlite3_stmt *statement = state->statements[FETCH_SQL_HAS_TEMP];
	int code;

	fetch_state_bind_text(statement, 1, temp);
	code = sqlite3_step(statement);
	*out = code == SQLITE_ROW;
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		fetch_state_refuse(state, code, sqlite3_sql(statement), err);
	sqlite3_reset(statement);
	return code == SQLITE_ROW || code == SQLITE_DONE;
}

/* Rows are untrusted input (RULES Q): a length that fits, no NUL. */
static bool
column_text(sqlite3_stmt *statement, int column, char *out, size_t size)
{
	const void *octets = sqlite3_column_blob(statement, column);
	int len = sqlite3_column_bytes(statement, column);

	if (octets == NULL || len <= 0 || (size_t)len >= size ||
	    memchr(octets, '\0', (size_t)len) != NULL)
		return false;
	memcpy(out, octets, (size_t)len);
	out[len] = '\0';
	return true;
}

static bool
column_file(const struct fetch_state *state, sqlite3_stmt *statement,
    struct fetch_save_file *out)
{
	int64_t size = sqlite3_column_int64(statement, 3);

	if (!column_text(statement, 0, out->temp, sizeof(out->temp)) ||
	    !fetch_save_file_is_temp(out->temp, state->tag) ||
	    !column_text(statement, 1, out->name, sizeof(out->name)) ||
	    !fetch_save_file_is_name(out->name) || size < 0)
		return false;
	out->inode = (uint64_t)sqlite3_column_int64(statement, 2);
	out->size = (uint64_t)size;
	return true;
}

static int
read_files(struct fetch_state *state, struct fetch_saving *out, bool *is_sound)
{
	sqlite3_stmt *statement = state->statements[FETCH_SQL_PARTS];
	size_t capacity = 0;
	int code;

	sqlite3_bind_int64(statement, 1, out->id);
	sqlite3_bind_int64(statement, 2, FETCH_PARTS_MAX);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		if (out->count == capacity) {
			capacity = capacity == 0 ? 16 : capacity * 2;
			out->files = mem_grow(out->files, capacity, sizeof(*out->files));
		}
		memset(&out->files[out->count], 0, sizeof(*out->files));
		*is_sound = column_file(state, statement, &out->files[out->count]) && *is_sound;
		out->count++;
	}
	sqlite3_reset(statement);
	return code;
}

static int
read_unfinished(struct fetch_state *state, int64_t after_id, struct fetch_saving *out)
{
	sqlite3_stmt *statement = state->statements[FETCH_SQL_UNFINISHED];
	char directory[PATH_MAX + 1];
	bool is_sound = false;
	int code;

	fetch_state_bind_text(statement, 1, state->account);
	sqlite3_bind_int64(statement, 2, after_id);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW) {
		out->id = sqlite3_column_int64(statement, 0);
		is_sound = column_text(statement, 1, directory, sizeof(directory)) &&
		    directory[0] == '/';
	}
	sqlite3_reset(statement);
	if (code != SQLITE_ROW)
		return code;
	code = read_files(state, out, &is_sound);
	if (is_sound && out->count > 0)
		out->directory = mem_strdup(directory);
	return code;
}

bool
fetch_state_unfinished(struct fetch_state *state, int64_t after_id, struct fetch_saving *out,
    struct error *err)
{
	int code;

	memset(out, 0, sizeof(*out));
	code = read_unfinished(state, after_id, out);
	if (code == SQLITE_DONE)
		return true;
	fetch_saving_free(out);
	return fetch_state_refuse(state, code, "unfinished messages", err);
}

void
fetch_saving_free(struct fetch_saving *saving)
{
	free(saving->directory);
	free(saving->files);
	memset(saving, 0, sizeof(*saving));
}
