/* store_sqlite_history.c - what became of mail: found again for a while, then forgotten. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/text.h"
#include "queue/store_sqlite.h"

/* One slice is some milliseconds, in which fresh mail waits: deleted in one transaction;
 * looked through in one request. */
#define PURGE_ROWS	250
#define TRACE_ROWS	5000		/* of the history */
#define TRACE_MESSAGES	500		/* that are queued: each may have many recipients */

/* Between slices, so that the disk is left to the mail; and between looks. */
#define PURGE_PAUSE	20		/* milliseconds */
#define PURGE_LOOK	1000		/* milliseconds */
#define PURGE_SLEEP	3600000		/* milliseconds: a clock may be set meanwhile */

/* --- forgotten --- */

static int64_t
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Without rows `last` is 0. */
struct ends { int64_t first, last, oldest; };

static enum store_result
read_ends(struct sqlite_db *db, struct ends *ends, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_HISTORY_ENDS];
	enum store_result result = STORE_OK;
	int code = sqlite3_step(statement);

	if (code == SQLITE_ROW) {
		ends->first = sqlite3_column_int64(statement, 0);
		ends->last = sqlite3_column_int64(statement, 1);
		ends->oldest = sqlite3_column_int64(statement, 2);
	} else
		result = sqlite_judge(db, code, "history", err);
	sqlite3_reset(statement);
	return result;
}

/* The last row, of the first PURGE_ROWS, whose time is over; 0: none. */
static enum store_result
find_aged(struct sqlite_db *db, int64_t *seq, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_HISTORY_DUE];
	enum store_result result = STORE_OK;
	int code;

	sqlite3_bind_int64(statement, 1, PURGE_ROWS);
	sqlite3_bind_int64(statement, 2, (int64_t)time(NULL) - db->history);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		*seq = sqlite3_column_int64(statement, 0);
	else
		result = sqlite_judge(db, code, "history", err);
	sqlite3_reset(statement);
	return result;
}

static enum store_result
delete_up_to(struct sqlite_db *db, int64_t seq, struct error *err)
{
	enum store_result result = sqlite_begin(db, err);

	if (result != STORE_OK)
		return result;
	sqlite3_bind_int64(db->statements[SQL_PURGE_ATTEMPTS], 1, seq);
	sqlite3_bind_int64(db->statements[SQL_PURGE_HISTORY], 1, seq);
	result = sqlite_run(db, SQL_PURGE_ATTEMPTS, err);
	if (result == STORE_OK)
		result = sqlite_run(db, SQL_PURGE_HISTORY, err);
	return result == STORE_OK ? sqlite_commit(db, err) : result;
}

/* The first rows are the oldest, so both bounds cut at the same end. */
static enum store_result
purge_slice(struct sqlite_db *db, int64_t *pause, struct error *err)
{
	struct ends ends;
	int64_t seq = 0, excess, until;
	enum store_result result = read_ends(db, &ends, err);

	*pause = -1;
	if (result != STORE_OK || ends.last == 0)
		return result;
	result = find_aged(db, &seq, err);
	if (result != STORE_OK)
		return result;
	excess = ends.last - ends.first + 1 - STORE_HISTORY_MAX;
	if (excess > PURGE_ROWS)
		excess = PURGE_ROWS;
	if (excess > 0 && seq < ends.first + excess - 1)
		seq = ends.first + excess - 1;
	if (seq > 0) {
		*pause = PURGE_PAUSE;
		return delete_up_to(db, seq, err);
	}
	until = (ends.oldest + (int64_t)db->history - (int64_t)time(NULL)) * 1000;
	*pause = until < PURGE_LOOK ? PURGE_LOOK : until > PURGE_SLEEP ? PURGE_SLEEP : until;
	return STORE_OK;
}

enum store_result
sqlite_purge(struct sqlite_db *db, int64_t *again, struct error *err)
{
	enum store_result result;
	int64_t pause, now = monotonic_ms();

	/* What was added may be one too many: looked at as soon as a slice is full. */
	if ((db->finished > 0 && db->purge_at < 0) ||
	    (db->finished >= PURGE_ROWS && db->purge_at > now + PURGE_PAUSE))
		db->purge_at = now + PURGE_PAUSE;
	*again = db->purge_at < 0 ? -1 : db->purge_at - now;
	if (*again > 0 || db->purge_at < 0)
		return STORE_OK;
	db->finished = 0;
	result = purge_slice(db, &pause, err);
	db->purge_at = pause < 0 ? -1 : now + pause;
	*again = pause;
	return result;
}

/* --- found again --- */

static const char *const fates[] = {
	[FATE_SENT] = "sent", [FATE_RELAYED] = "relayed", [FATE_BOUNCED] = "bounced",
	[FATE_EXPIRED] = "expired", [FATE_REMOVED] = "removed",
};

/* Columns of every trace statement. */
enum {
	MESSAGE_ID, RECIPIENT_ID, ARRIVED, FINISHED, SIZE, REVERSE_PATH, FORWARD_PATH, HEADER_ID,
	FATE, ATTEMPTS, ATTEMPT
};

static void
read_fate(sqlite3_stmt *statement, struct store_trace_row *row)
{
	int64_t number;

	if (row->finished == 0) {
		if (!sqlite_column_unsigned(statement, FATE, RECIPIENT_PARKED, &number))
			number = RECIPIENT_PARKED;
		row->state = (enum recipient_state)number;
		text_copy(row->fate, sizeof(row->fate), "queued");
		return;
	}
	row->state = RECIPIENT_DONE;
	if (sqlite_column_unsigned(statement, FATE, FATE_REMOVED, &number) && number > 0)
		text_copy(row->fate, sizeof(row->fate), fates[number]);
}

/* What does not bear reading stays empty. */
static void
read_row(sqlite3_stmt *statement, struct store_trace_row *row)
{
	int64_t number;

	memset(row, 0, sizeof(*row));
	snprintf(row->queue_id, sizeof(row->queue_id), "%llX",
	    (unsigned long long)sqlite3_column_int64(statement, MESSAGE_ID));
	row->recipient_id = sqlite3_column_int64(statement, RECIPIENT_ID);
	row->arrived = sqlite3_column_int64(statement, ARRIVED);
	row->finished = sqlite3_column_int64(statement, FINISHED);
	if (sqlite_column_unsigned(statement, SIZE, INT64_MAX, &number))
		row->size = (uint64_t)number;
	(void)sqlite_column_line(statement, REVERSE_PATH, row->sender, sizeof(row->sender));
	(void)sqlite_column_line(statement, FORWARD_PATH, row->recipient,
	    sizeof(row->recipient));
	(void)sqlite_column_line(statement, HEADER_ID, row->message_id, sizeof(row->message_id));
	if (sqlite_column_unsigned(statement, ATTEMPTS, UINT32_MAX, &number))
		row->attempts = (uint32_t)number;
	(void)sqlite_column_attempt(statement, ATTEMPT, &row->last);
	read_fate(statement, row);
}

/* One walk through a part: rows from..below, no more than the limit leaves room for. */
static enum store_result
collect(struct sqlite_db *db, enum sqlite_statement which, struct store_trace *trace, int64_t from,
    int64_t below, struct error *err)
{
	sqlite3_stmt *statement = db->statements[which];
	enum store_result result = STORE_OK;
	int code;

	if (trace->count >= trace->limit)
		return STORE_OK;
	sqlite3_bind_int64(statement, 1, from);
	sqlite3_bind_int64(statement, 2, below);
	sqlite3_bind_int64(statement, 3, (int64_t)(trace->limit - trace->count));
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		/* The room is the next power of two. */
		if ((trace->count & (trace->count - 1)) == 0)
			trace->rows = mem_grow(trace->rows,
			    trace->count > 0 ? trace->count * 2 : 1, sizeof(*trace->rows));
		read_row(statement, &trace->rows[trace->count++]);
	}
	if (code != SQLITE_DONE)
		result = sqlite_judge(db, code, "trace", err);
	sqlite3_reset(statement);
	return result;
}

/* Behind the queued, a negative number, come the finished: 0 where there are none. */
static enum store_result
go_to_history(struct sqlite_db *db, struct store_trace *trace, struct error *err)
{
	struct ends ends = { 0 };
	enum store_result result = read_ends(db, &ends, err);

	trace->next = ends.last > 0 ? -(ends.last + 1) : 0;
	return result;
}

static enum store_result
trace_queued(struct sqlite_db *db, struct store_trace *trace, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_TRACE_BOUND];
	int64_t below = trace->after > 0 ? trace->after : INT64_MAX, from = 0;
	enum store_result result = STORE_OK;
	int code;

	sqlite3_bind_int64(statement, 1, below);
	sqlite3_bind_int64(statement, 2, TRACE_MESSAGES);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW)
		from = sqlite3_column_int64(statement, 0);
	else
		result = sqlite_judge(db, code, "trace", err);
	sqlite3_reset(statement);
	if (result == STORE_OK && from > 0)
		result = collect(db, SQL_TRACE_QUEUED, trace, from, below, err);
	trace->next = from;
	if (result == STORE_OK && from <= 0)
		result = go_to_history(db, trace, err);
	return result;
}

static enum store_result
trace_finished(struct sqlite_db *db, struct store_trace *trace, struct error *err)
{
	int64_t below = -trace->after, from = below > TRACE_ROWS ? below - TRACE_ROWS : 1;
	struct ends ends = { 0 };
	enum store_result result = read_ends(db, &ends, err);

	if (result == STORE_OK)
		result = collect(db, SQL_TRACE_FINISHED, trace, from, below, err);
	trace->next = from > ends.first ? -from : 0;
	return result;
}

/* As it stands between < and >. */
static void
bind_wanted(struct sqlite_db *db, const char *bare, const char *header_id)
{
	static const enum sqlite_statement both[] = { SQL_TRACE_QUEUED, SQL_TRACE_FINISHED };
	size_t i;

	for (i = 0; i < 2; i++) {
		sqlite_bind_words(db->statements[both[i]], 4, bare);
		sqlite_bind_words(db->statements[both[i]], 5, header_id);
	}
}

static enum store_result
trace_text(struct sqlite_db *db, struct store_trace *trace, struct error *err)
{
	size_t len = strlen(trace->what);
	bool brackets = len >= 2 && trace->what[0] == '<' && trace->what[len - 1] == '>';
	char *bare = mem_printf("%.*s", (int)(brackets ? len - 2 : len),
	    trace->what + (brackets ? 1 : 0));
	char *header_id = mem_printf("<%s>", bare);
	enum store_result result;

	bind_wanted(db, bare, header_id);
	result = trace->after < 0 ? trace_finished(db, trace, err) : trace_queued(db, trace, err);
	bind_wanted(db, NULL, NULL);
	free(bare);
	free(header_id);
	return result;
}

static int64_t
queue_id_of(const char *what)
{
	size_t len = strlen(what);
	unsigned long long number;

	if (len == 0 || len > QUEUE_ID_MAX || strspn(what, "0123456789ABCDEFabcdef") != len)
		return 0;
	number = strtoull(what, NULL, 16);
	return number < INT64_MAX ? (int64_t)number : 0;
}

enum store_result
sqlite_trace(void *arg, struct store_trace *trace, struct error *err)
{
	struct sqlite_db *db = arg;
	enum store_result result;
	int64_t id = queue_id_of(trace->what);

	trace->next = 0;
	if (strlen(trace->what) > ADDRESS_TEXT_MAX + 2) {
		error_set(err, ERROR_STORE, "that is too long for an address or a Message-ID");
		return STORE_REFUSED;
	}
	if (id != 0) {
		result = collect(db, SQL_TRACE_QUEUED, trace, id, id + 1, err);
		if (result == STORE_OK)
			result = collect(db, SQL_TRACE_ID, trace, id, 0, err);
	} else
		result = trace_text(db, trace, err);
	if (trace->count >= trace->limit)
		trace->next = 0;
	return result;
}
