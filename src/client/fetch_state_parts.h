/* fetch_state_parts.h - what the parts of fetch_state.c and fetch_save.c share; nobody else. */
#ifndef HERALD_CLIENT_FETCH_STATE_PARTS_H
#define HERALD_CLIENT_FETCH_STATE_PARTS_H

#include "base/buf.h"
#include "client/fetch_save.h"

#include <limits.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct fetch_state;
struct fetch_save_file;

#define FETCH_UIDL_MAX	  70   /* octets; RFC 1939 7 */
#define FETCH_ACCOUNT_MAX 1024 /* octets: a user, a host, a port */
#define FETCH_PARTS_MAX	  20000 /* of one message: those that MIME gives, and itself */
#define FETCH_TAG_MAX	  8    /* characters that mark temporary files as of this database */

enum fetch_sql {
	FETCH_SQL_BEGIN, FETCH_SQL_COMMIT, FETCH_SQL_ROLLBACK, FETCH_SQL_LOOKUP,
	FETCH_SQL_ADD_SAVING, FETCH_SQL_ADD_SAVED, FETCH_SQL_ADD_PART, FETCH_SQL_FINISH,
	FETCH_SQL_DROP_PARTS, FETCH_SQL_RESTORE, FETCH_SQL_DROP, FETCH_SQL_UNFINISHED,
	FETCH_SQL_PARTS, FETCH_SQL_HAS_TEMP, FETCH_SQL_FORGET, FETCH_SQL_CLEAR_PRESENT,
	FETCH_SQL_ADD_PRESENT, FETCH_SQL_PRUNE, FETCH_SQL_COUNT
};

struct fetch_state {
	sqlite3 *handle;
	sqlite3_stmt *statements[FETCH_SQL_COUNT];
	char *path, *account;
	char tag[FETCH_TAG_MAX + 1];
	int lock;	    /* descriptor of the file beside the database */
	int exit_code;
	struct buf deleted; /* UIDLs that the server took DELE for, each with its NUL */
};

/* A row of the state "saving". */
struct fetch_saving {
	int64_t id;
	char *directory; /* absolute; NULL: the row is damaged */
	struct fetch_save_file *files;
	size_t count;
};

/* The file and its place: fetch_state_file.c.  The path is to be freed; none of what stands
 * there is a link or another's. */
char *fetch_state_prepare(const char *path, int *lock, int *exit_code, struct error *err);
/* While databases are opened and closed one waits for the other. */
bool fetch_state_lock_opening(struct fetch_state *state, struct error *err);
void fetch_state_unlock_opening(struct fetch_state *state);
/* False with EX_TEMPFAIL: another process has the account. */
bool fetch_state_lock_account(struct fetch_state *state, struct error *err);

/* Settings, tables, prepared statements: fetch_state_schema.c. */
bool fetch_state_prepare_tables(struct fetch_state *state, struct error *err);

/* fetch_state.c */
bool fetch_state_refuse(struct fetch_state *state, int code, const char *what,
    struct error *err);
bool fetch_state_run(struct fetch_state *state, enum fetch_sql which, struct error *err);
void fetch_state_bind_text(sqlite3_stmt *statement, int column, const char *text);
void fetch_state_bind_octets(sqlite3_stmt *statement, int column, const char *text);
bool fetch_state_begin(struct fetch_state *state, struct error *err);
/* COMMIT where `good`, else ROLLBACK and false. */
bool fetch_state_end(struct fetch_state *state, bool good, struct error *err);
bool fetch_state_uidl_fits(const char *uidl);

/* Rows of messages whose files get their names: fetch_state_rows.c.  With no files the message
 * is saved at once, and *id 0. */
bool fetch_state_add(struct fetch_state *state, const char *uidl, uint64_t size,
    enum fetch_after after, const char *directory, const struct fetch_save_file *const *files,
    size_t count, int64_t *id, struct error *err);
bool fetch_state_finish(struct fetch_state *state, int64_t id, struct error *err);
/* As if it had never been added. */
bool fetch_state_drop(struct fetch_state *state, int64_t id, struct error *err);
bool fetch_state_has_temp(struct fetch_state *state, const char *temp, bool *out,
    struct error *err);
/* The first unfinished one after this id; *id is 0 where there is none. */
bool fetch_state_unfinished(struct fetch_state *state, int64_t after_id,
    struct fetch_saving *out, struct error *err);
void fetch_saving_free(struct fetch_saving *saving);

/* fetch_save_tidy.c: each run holds a shared lock of the directory it saves in.  Who is alone
 * there removes the temporary files that no row speaks of; all of them are dead runs'. */
bool fetch_save_tidy(int directory, const char *path, struct fetch_state *state, int *exit_code,
    struct error *err);

#endif
