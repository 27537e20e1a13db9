/* store_sqlite.c - the queue in one SQLite file: opening, digests, transactions. */
#include "queue/store_sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

/* Pages of 4 KiB in the write-ahead log before it is copied into the database: large
 * enough that mail delivered at once is overwritten in the log and never copied. */
#define WAL_PAGES	4000
#define CHECK_SECONDS	2		/* of quick_check: a large queue is checked in part */

/* --- results --- */

/* A full disk is nobody's fault but the disk's: ERROR_SYSTEM.  A quota says so with EDQUOT. */
static bool
is_disk_full(struct sqlite_db *db, int code)
{
	int failure = sqlite3_system_errno(db->handle);

	return (code & 0xff) == SQLITE_FULL ||
	    ((code & 0xff) == SQLITE_IOERR && (failure == ENOSPC || failure == EDQUOT));
}

enum store_result
sqlite_judge(struct sqlite_db *db, int code, const char *what, struct error *err)
{
	int kind = code & 0xff;

	error_set(err, is_disk_full(db, code) ? ERROR_SYSTEM : ERROR_STORE, "%s: %s: %s (%d)",
	    db->path, what, sqlite3_errmsg(db->handle), code);
	if (kind == SQLITE_CONSTRAINT || kind == SQLITE_TOOBIG || kind == SQLITE_MISMATCH)
		return STORE_REFUSED;
	db->broken = true;
	return STORE_BROKEN;
}

enum store_result
sqlite_run(struct sqlite_db *db, enum sqlite_statement which, struct error *err)
{
	sqlite3_stmt *statement = db->statements[which];
	enum store_result result = STORE_OK;
	int code;

	do
		code = sqlite3_step(statement);
	while (code == SQLITE_ROW);
	if (code != SQLITE_DONE)
		result = sqlite_judge(db, code, sqlite3_sql(statement), err);
	sqlite3_reset(statement);
	return result;
}

void
sqlite_bind_octets(sqlite3_stmt *statement, int column, const void *octets, size_t len)
{
	sqlite3_bind_blob64(statement, column, octets, len, SQLITE_STATIC);
}

void
sqlite_bind_words(sqlite3_stmt *statement, int column, const char *text)
{
	if (text == NULL)
		sqlite3_bind_null(statement, column);
	else
		sqlite3_bind_text64(statement, column, text, strlen(text), SQLITE_STATIC,
		    SQLITE_UTF8);
}

void
sqlite_bind_key(sqlite3_stmt *statement, int64_t message_id, int64_t recipient_id, int64_t third)
{
	sqlite3_bind_int64(statement, 1, message_id);
	sqlite3_bind_int64(statement, 2, recipient_id);
	sqlite3_bind_int64(statement, 3, third);
}

void
sqlite_bind_said(sqlite3_stmt *statement, int column, const struct status *status,
    const char *relay)
{
	const struct enhanced_code *code = &status->enhanced;
	char enhanced[STATUS_DSN_MAX] = "";

	if (code->class != 0)
		sqlite3_snprintf(sizeof(enhanced), enhanced, "%d.%d.%d", code->class,
		    code->subject, code->detail);
	sqlite3_bind_int64(statement, column, status->reply_code);
	sqlite3_bind_text(statement, column + 1, enhanced, -1, SQLITE_TRANSIENT);
	sqlite_bind_words(statement, column + 2, status->text);
	sqlite_bind_words(statement, column + 3, relay);
}

void
sqlite_bind_attempt(sqlite3_stmt *statement, int column, const struct attempt *attempt)
{
	sqlite3_bind_int64(statement, column, attempt->at);
	sqlite_bind_said(statement, column + 1, &attempt->status, attempt->relay);
	sqlite_bind_words(statement, column + 5, attempt->tls);
	sqlite_bind_words(statement, column + 6, attempt->step);
}

/* --- digests --- */

static void
add_number(struct sqlite_db *db, int64_t number)
{
	unsigned char octets[8];
	int i;

	for (i = 0; i < 8; i++)
		octets[i] = (unsigned char)((uint64_t)number >> (56 - 8 * i));
	sqlite_digest_add(db, octets, sizeof(octets));
}

static void
digest_start(struct sqlite_db *db)
{
	if (EVP_DigestInit_ex2(db->digest, db->sha256, NULL) != 1)
		abort();
}

/* With its NUL, so that texts cannot run into each other. */
static void
add_words(struct sqlite_db *db, const char *text)
{
	if (text != NULL)
		sqlite_digest_add(db, text, strlen(text) + 1);
}

void
sqlite_digest_begin(struct sqlite_db *db, const struct envelope *envelope, int64_t size,
    const char *header_id)
{
	char path[ADDRESS_TEXT_MAX + 1];

	digest_start(db);
	add_number(db, envelope->id);
	add_number(db, size);
	add_number(db, envelope->arrived);
	add_number(db, envelope->body_8bit | envelope->smtputf8 << 1 | (int)envelope->ret << 2 |
	    (envelope->envid != NULL) << 4 | (header_id != NULL) << 5 |
	    (envelope->uid != ENVELOPE_NO_UID) << 6);
	add_words(db, address_text(&envelope->reverse_path, path));
	add_words(db, envelope->envid);
	add_words(db, header_id);
	if (envelope->uid != ENVELOPE_NO_UID)
		add_number(db, envelope->uid);
}

void
sqlite_digest_add(struct sqlite_db *db, const void *octets, size_t len)
{
	if (EVP_DigestUpdate(db->digest, octets, len) != 1)
		abort();
}

void
sqlite_digest_end(struct sqlite_db *db, unsigned char out[SQLITE_DIGEST_SIZE])
{
	if (EVP_DigestFinal_ex(db->digest, out, NULL) != 1)
		abort();
}

#define DIGEST_ORCPT	16	/* beside the bits of notify */

void
sqlite_digest_recipient(struct sqlite_db *db, int64_t message_id,
    const struct recipient *recipient, unsigned char out[SQLITE_ROW_DIGEST_SIZE])
{
	unsigned char whole[SQLITE_DIGEST_SIZE];
	char path[ADDRESS_TEXT_MAX + 1];

	address_text(&recipient->forward_path, path);
	digest_start(db);
	add_number(db, message_id);
	add_number(db, recipient->id);
	add_number(db, recipient->notify | (recipient->orcpt != NULL ? DIGEST_ORCPT : 0));
	sqlite_digest_add(db, path, strlen(path) + (recipient->orcpt != NULL));
	add_words(db, recipient->orcpt);
	sqlite_digest_end(db, whole);
	memcpy(out, whole, SQLITE_ROW_DIGEST_SIZE);
}

/* --- opening --- */

static uint64_t
column_count(sqlite3_stmt *statement, int column)
{
	int64_t value = sqlite3_column_int64(statement, column);

	return value > 0 ? (uint64_t)value : 0;
}

static enum store_result
read_oldest(struct sqlite_db *db, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_OLDEST];
	int code = sqlite3_step(statement);

	db->totals.oldest = code == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
	sqlite3_reset(statement);
	if (code == SQLITE_ROW || code == SQLITE_DONE)
		return STORE_OK;
	return sqlite_judge(db, code, sqlite3_sql(statement), err);
}

static bool
read_totals(struct sqlite_db *db, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_READ_TOTALS];
	int code = sqlite3_step(statement), state;

	if (code == SQLITE_ROW) {
		db->totals.last_id = sqlite3_column_int64(statement, 0);
		db->totals.messages = column_count(statement, 1);
		for (state = RECIPIENT_ACTIVE; state <= RECIPIENT_PARKED; state++)
			db->totals.recipients[state] = column_count(statement, 2 + state);
	}
	sqlite3_reset(statement);
	if (code != SQLITE_ROW)
		return sqlite_refuse(db, code, "totals", err);
	if (read_oldest(db, err) != STORE_OK)
		return false;
	db->committed = db->totals;
	return true;
}

static int
on_progress(void *arg)
{
	struct timespec now;
	const time_t *deadline = arg;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec >= *deadline;
}

/* What is not reached in time counts as sound: its rows are checked when they are read. */
static bool
quick_check(struct sqlite_db *db, struct error *err)
{
	char value[256];
	struct timespec now;
	time_t deadline;
	int code;

	clock_gettime(CLOCK_MONOTONIC, &now);
	deadline = now.tv_sec + CHECK_SECONDS;
	sqlite3_progress_handler(db->handle, 10000, on_progress, &deadline);
	code = sqlite_ask(db, "PRAGMA quick_check(1)", value, sizeof(value));
	sqlite3_progress_handler(db->handle, 0, NULL, NULL);
	if ((code & 0xff) == SQLITE_INTERRUPT || (code == SQLITE_OK && strcmp(value, "ok") == 0))
		return true;
	if (code != SQLITE_OK)
		return sqlite_refuse(db, code, "quick_check", err);
	db->broken = true;
	return error_set(err, ERROR_STORE, "%s is damaged: %s", db->path, value);
}

static int
on_wal(void *arg, sqlite3 *handle, const char *name, int pages)
{
	struct sqlite_db *db = arg;

	(void)handle;
	(void)name;
	db->wal_pages = pages;
	return SQLITE_OK;
}

static bool
open_handle(struct sqlite_db *db, struct error *err)
{
	int code = sqlite3_open_v2(db->path, &db->handle,
	    SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, sqlite_vfs());

	if (code != SQLITE_OK)
		return sqlite_refuse(db, code, "cannot open it", err);
	sqlite3_extended_result_codes(db->handle, 1);
	if (!sqlite_prepare(db, err))
		return false;
	sqlite3_wal_hook(db->handle, on_wal, db);
	if (sqlite_file_marked(db->path)) {
		if (!quick_check(db, err))
			return false;
		db->checked = true;
		sqlite_file_mark(db->path, false);
	}
	return read_totals(db, err);
}

static void
close_db(void *arg)
{
	struct sqlite_db *db = arg;
	int i;

	if (db->broken)
		sqlite_file_mark(db->path, true);
	for (i = 0; i < SQL_COUNT; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->handle);
	EVP_MD_CTX_free(db->digest);
	EVP_MD_free(db->sha256);
	free(db->path);
	free(db->directory);
	free(db);
}

static void *
open_db(const struct store_options *options, struct error *err)
{
	struct sqlite_db *db;
	char *path = sqlite_file_prepare(options->path, err);

	if (path == NULL)
		return NULL;
	db = mem_zalloc(sizeof(*db));
	db->path = path;
	db->directory = mem_strdup(options->directory);
	db->history = options->history;
	/* Counts of memory that nobody asks for cost a lock with each piece of it.  Has no
	 * effect, and does no harm, once the library is in use. */
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	db->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	db->digest = EVP_MD_CTX_new();
	if (db->sha256 == NULL || db->digest == NULL)
		error_set(err, ERROR_SYSTEM, "OpenSSL has no SHA-256");
	else if (open_handle(db, err))
		return db;
	close_db(db);
	return NULL;
}

/* --- transactions --- */

/* Whole ones, no savepoints: where one is rolled back after pages went to the log early,
 * SQLite 3.40 leaves a wrong checksum there, and a crash loses what was committed behind it. */
enum store_result
sqlite_begin(void *arg, struct error *err)
{
	struct sqlite_db *db = arg;

	db->now = time(NULL);
	return sqlite_run(db, SQL_BEGIN, err);
}

static enum store_result
write_totals(struct sqlite_db *db, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_WRITE_TOTALS];
	int state;

	if (read_oldest(db, err) != STORE_OK)
		return STORE_BROKEN;
	sqlite3_bind_int64(statement, 1, db->totals.last_id);
	sqlite3_bind_int64(statement, 2, (int64_t)db->totals.messages);
	for (state = RECIPIENT_ACTIVE; state <= RECIPIENT_PARKED; state++)
		sqlite3_bind_int64(statement, 3 + state, (int64_t)db->totals.recipients[state]);
	return sqlite_run(db, SQL_WRITE_TOTALS, err);
}

static bool
totals_differ(const struct sqlite_db *db)
{
	return memcmp(&db->totals, &db->committed, sizeof(db->totals)) != 0;
}

enum store_result
sqlite_commit(void *arg, struct error *err)
{
	struct sqlite_db *db = arg;

	if ((db->dirty || totals_differ(db)) && write_totals(db, err) != STORE_OK)
		return STORE_BROKEN;
	if (sqlite_run(db, SQL_COMMIT, err) != STORE_OK)
		return STORE_BROKEN;
	db->committed = db->totals;
	db->dirty = false;
	return STORE_OK;
}

static void
rollback(void *arg)
{
	struct sqlite_db *db = arg;
	struct error ignored;

	/* Some failures have rolled back already. */
	if (!sqlite3_get_autocommit(db->handle))
		(void)sqlite_run(db, SQL_ROLLBACK, &ignored);
	db->totals = db->committed;
	db->dirty = false;
}

/* A write goes all the way to the disk, or the disk is still full. */
static enum store_result
check(void *arg, struct error *err)
{
	struct sqlite_db *db = arg;

	int code;

	if (!db->checked && !quick_check(db, err))
		return STORE_BROKEN;
	/* Where the disk is full the log may be what fills it. */
	code = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	if (code != SQLITE_OK)
		return sqlite_judge(db, code, "checkpoint", err);
	if (sqlite_begin(db, err) != STORE_OK)
		return STORE_BROKEN;
	db->dirty = true;
	if (sqlite_commit(db, err) != STORE_OK)
		return STORE_BROKEN;
	sqlite_file_mark(db->path, false);
	return STORE_OK;
}

/* Checkpoints come from here alone: after the answers, so that no client waits for one. */
static enum store_result
tidy(void *arg, int64_t *again, struct error *err)
{
	struct sqlite_db *db = arg;
	enum store_result result = sqlite_purge(db, again, err);
	int code;

	if (result != STORE_OK || db->wal_pages < WAL_PAGES)
		return result;
	code = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	if (code != SQLITE_OK)
		return sqlite_judge(db, code, "checkpoint", err);
	db->wal_pages = 0;
	return STORE_OK;
}

static void
set_history(void *arg, unsigned seconds)
{
	struct sqlite_db *db = arg;

	db->history = seconds;
	db->purge_at = 0;
}

static void
totals(void *arg, struct store_totals *out)
{
	const struct sqlite_db *db = arg;

	*out = db->committed;
}

const struct store_driver store_sqlite = {
	.name = "sqlite",
	.open = open_db,
	.close = close_db,
	.check = check,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = rollback,
	.tidy = tidy,
	.set_history = set_history,
	.totals = totals,
	.insert = sqlite_insert,
	.claim = sqlite_claim,
	.list = sqlite_list,
	.act = sqlite_act,
	.load = sqlite_load,
	.show = sqlite_show,
	.trace = sqlite_trace,
	.keep = sqlite_keep,
	.kept = sqlite_kept,
};
