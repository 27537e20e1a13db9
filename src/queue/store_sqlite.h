/* store_sqlite.h - what the parts of the SQLite driver share; nobody else includes it. */
#ifndef HERALD_QUEUE_STORE_SQLITE_H
#define HERALD_QUEUE_STORE_SQLITE_H

#include <openssl/evp.h>
#include <sqlite3.h>

#include "queue/store_driver.h"

#define SQLITE_DIGEST_SIZE	32	/* SHA-256, of a message */
#define SQLITE_ROW_DIGEST_SIZE	8	/* its first octets, of a recipient: against flipped bits */
#define SQLITE_PIECE		(64 * 1024)	/* octets of content in a row; ARCHITECTURE 6 */

enum sqlite_statement {
	SQL_BEGIN, SQL_COMMIT, SQL_ROLLBACK, SQL_READ_TOTALS, SQL_WRITE_TOTALS, SQL_OLDEST,
	SQL_ADD_MESSAGE, SQL_SET_DIGEST, SQL_ADD_CONTENT, SQL_ADD_RECIPIENT,
	SQL_DROP_RECIPIENT, SQL_SET_RECIPIENT, SQL_OWES, SQL_DROP_CONTENT, SQL_DROP_MESSAGE,
	SQL_ADD_ATTEMPT, SQL_TRIM_ATTEMPTS, SQL_DROP_ATTEMPTS, SQL_FINISH, SQL_FINISH_ROW,
	SQL_ROW_STATUS, SQL_HISTORY_ENDS, SQL_HISTORY_DUE, SQL_PURGE_ATTEMPTS, SQL_PURGE_HISTORY,
	SQL_DUE, SQL_NEXT_DUE, SQL_LEFT_IN_HAND, SQL_GIVE_BACK_ACTIVE, SQL_GIVE_BACK_OWED,
	SQL_PULL_IN, SQL_MESSAGE, SQL_CONTENT, SQL_DUE_RECIPIENTS, SQL_TAKE_ACTIVE,
	SQL_TAKE_OWED, SQL_PARK, SQL_PUT_OFF, SQL_LIST, SQL_SET_STATE, SQL_BOUNCE, SQL_ATTEMPTS,
	SQL_TRACE_BOUND, SQL_TRACE_QUEUED, SQL_TRACE_FINISHED, SQL_TRACE_ID, SQL_KEEP, SQL_FORGET,
	SQL_KEPT, SQL_COUNT
};

/* How a recipient ended, as the history keeps it. */
enum sqlite_fate {
	FATE_SENT = 1, FATE_RELAYED, FATE_BOUNCED, FATE_EXPIRED, FATE_REMOVED
};

struct sqlite_db {
	sqlite3 *handle;
	sqlite3_stmt *statements[SQL_COUNT];
	struct store_totals totals, committed;
	bool dirty;			/* totals differ from what is written */
	bool broken;			/* told BROKEN once: to be checked when opened again */
	bool checked;
	int wal_pages;
	unsigned history;		/* seconds; 0: nothing is remembered */
	int64_t now;			/* Unix seconds, as of the transaction's beginning */
	int64_t purge_at;		/* milliseconds, monotonic; -1: the history is empty */
	unsigned finished;		/* rows that were added to it since it was looked at */
	EVP_MD *sha256;
	EVP_MD_CTX *digest;
	char *path, *directory;
};

/* Refuses what is not a database file of ours on a local disk (RULES F1, S1), makes an
 * empty one where there is none.  The result, freed by the caller, has no symbolic link. */
char *sqlite_file_prepare(const char *path, struct error *err);
/* A file beside the database that says: it was in trouble. */
void sqlite_file_mark(const char *path, bool trouble);
bool sqlite_file_marked(const char *path);

/* The name of a VFS that gathers the writes of SQLite, made when it is asked for first. */
const char *sqlite_vfs(void);

/* Sets the pragmas and asks them back, makes the tables where there are none or brings old
 * ones to the present schema, and prepares the statements. */
bool sqlite_prepare(struct sqlite_db *db, struct error *err);
bool sqlite_prepare_all(struct sqlite_db *db, struct error *err);
/* The first column of the first row as text, "" where there is none; a result code. */
int sqlite_ask(struct sqlite_db *db, const char *query, char *out, size_t size);
/* As sqlite_judge(), while opening; false. */
bool sqlite_refuse(struct sqlite_db *db, int code, const char *what, struct error *err);

/* Turns a result code other than OK, ROW and DONE into words and a judgement. */
enum store_result sqlite_judge(struct sqlite_db *db, int code, const char *what,
    struct error *err);
/* Steps a statement that gives no row, and resets it. */
enum store_result sqlite_run(struct sqlite_db *db, enum sqlite_statement which,
    struct error *err);
enum store_result sqlite_begin(void *db, struct error *err);
enum store_result sqlite_commit(void *db, struct error *err);
void sqlite_bind_octets(sqlite3_stmt *statement, int column, const void *octets, size_t len);
void sqlite_bind_words(sqlite3_stmt *statement, int column, const char *text);	/* NULL: NULL */
void sqlite_bind_key(sqlite3_stmt *statement, int64_t message_id, int64_t recipient_id,
    int64_t third);
/* reply_code, enhanced, text, relay from this column on; what they point to stays. */
void sqlite_bind_said(sqlite3_stmt *statement, int column, const struct status *status,
    const char *relay);
/* at, what sqlite_bind_said() binds, tls, step: seven columns. */
void sqlite_bind_attempt(sqlite3_stmt *statement, int column, const struct attempt *attempt);

/* Deletes the messages of `ids` that owe nothing any more; the others are taken out. */
enum store_result sqlite_drop_settled(struct sqlite_db *db, struct store_ids *ids,
    struct error *err);
void sqlite_ids_add(struct store_ids *ids, int64_t id);
/* Counts `count` recipients over from one state to another; DONE is nowhere. */
void sqlite_count(struct sqlite_db *db, enum recipient_state from, enum recipient_state into,
    uint64_t count);
/* Takes a recipient out of the queue and into the history, with what stands in its row. */
enum store_result sqlite_finish_row(struct sqlite_db *db, const struct store_key *key,
    enum recipient_state was, enum sqlite_fate fate, bool *changed, struct error *err);
enum store_result sqlite_apply(struct sqlite_db *db, const struct store_outcome *outcome,
    struct error *err);

/* What the digest of a message covers before its content, and of a recipient in all.  What
 * came with a later schema enters only where it is set: older digests stay valid. */
void sqlite_digest_begin(struct sqlite_db *db, const struct envelope *envelope, int64_t size,
    const char *header_id);
void sqlite_digest_add(struct sqlite_db *db, const void *octets, size_t len);
void sqlite_digest_end(struct sqlite_db *db, unsigned char out[SQLITE_DIGEST_SIZE]);
void sqlite_digest_recipient(struct sqlite_db *db, int64_t message_id,
    const struct recipient *recipient, unsigned char out[SQLITE_ROW_DIGEST_SIZE]);

enum store_result sqlite_insert(void *db, struct store_insert *insert, struct error *err);
enum store_result sqlite_claim(void *db, struct store_claim *claim, struct error *err);
enum store_result sqlite_list(void *db, struct store_list *list, struct error *err);
enum store_result sqlite_act(void *db, struct store_act *act, struct error *err);
enum store_result sqlite_load(void *db, struct store_load *load, struct error *err);
enum store_result sqlite_show(void *db, struct store_show *show, struct error *err);
enum store_result sqlite_trace(void *db, struct store_trace *trace, struct error *err);
enum store_result sqlite_keep(void *db, struct store_keep *keep, struct error *err);
struct store_kept *sqlite_kept(void *db, size_t *count);
/* A slice of the history goes, if it is time.  *again as store_driver.tidy. */
enum store_result sqlite_purge(struct sqlite_db *db, int64_t *again, struct error *err);

/* Reads one message but its recipients, and checks it against its digest.  REFUSED, with
 * both NULL: it is damaged, or there is none. */
enum store_result sqlite_read_message(struct sqlite_db *db, int64_t id,
    struct envelope **envelope, struct content **content, struct error *err);

/* Rows are untrusted input: length, range and characters are checked (RULES Q). */
bool sqlite_column_address(sqlite3_stmt *statement, int column, struct address *out);
bool sqlite_column_unsigned(sqlite3_stmt *statement, int column, int64_t max, int64_t *out);
bool sqlite_column_printable(sqlite3_stmt *statement, int column, char *out, size_t size);
/* One line of UTF-8, for what envelope_keep() keeps: what the writer takes, and no other. */
bool sqlite_fits(const char *text, size_t len, size_t max);
bool sqlite_column_line(sqlite3_stmt *statement, int column, char *out, size_t size);
/* A new envelope in any case, with what bears reading; false: not all of it did. */
bool sqlite_column_message(sqlite3_stmt *statement, int column, int64_t id,
    struct envelope **out);
bool sqlite_column_fate(sqlite3_stmt *statement, int column, struct envelope *envelope,
    struct recipient *out);
#define SQLITE_FATE_COLUMNS	10
bool sqlite_column_attempt(sqlite3_stmt *statement, int column, struct attempt *out);

#endif
