/* store_sqlite_show.c - one message with all that was tried, and the small values kept. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "queue/store_sqlite.h"

#define ATTEMPTS_SHOWN	10000		/* 8 MiB; a message may have a thousand recipients */
#define KEPT_MAX	4096		/* values */

/* --- show --- */

static void
add_attempt(sqlite3_stmt *statement, struct store_show *show)
{
	struct store_attempt *attempt;
	int64_t number = 0;

	/* The room is the next power of two. */
	if ((show->count & (show->count - 1)) == 0)
		show->attempts = mem_grow(show->attempts, show->count > 0 ? show->count * 2 : 1,
		    sizeof(*show->attempts));
	attempt = &show->attempts[show->count++];
	memset(attempt, 0, sizeof(*attempt));
	attempt->recipient_id = sqlite3_column_int64(statement, 0);
	if (sqlite_column_unsigned(statement, 1, UINT32_MAX, &number))
		attempt->number = (uint32_t)number;
	/* What does not bear reading stays empty. */
	(void)sqlite_column_attempt(statement, 4, &attempt->attempt);
	attempt->attempt.charged = sqlite3_column_int(statement, 2) == 1;
	attempt->attempt.peer_does_dsn = sqlite3_column_int(statement, 3) == 1;
}

static enum store_result
read_attempts(struct sqlite_db *db, struct store_show *show, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_ATTEMPTS];
	enum store_result result = STORE_OK;
	int code;

	sqlite3_bind_int64(statement, 1, show->message_id);
	sqlite3_bind_int64(statement, 2, ATTEMPTS_SHOWN);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW)
		add_attempt(statement, show);
	if (code != SQLITE_DONE)
		result = sqlite_judge(db, code, "attempts", err);
	sqlite3_reset(statement);
	return result;
}

enum store_result
sqlite_show(void *arg, struct store_show *show, struct error *err)
{
	struct store_list list = { .filter = { .message_id = show->message_id, .state = -1 },
	    .examine = 1, .limit = 1 };
	enum store_result result = sqlite_list(arg, &list, err);

	if (list.count > 0)
		show->envelope = list.messages[0];
	free(list.messages);
	return result == STORE_OK ? read_attempts(arg, show, err) : result;
}

/* --- keep --- */

enum store_result
sqlite_keep(void *arg, struct store_keep *keep, struct error *err)
{
	struct sqlite_db *db = arg;
	enum sqlite_statement which = keep->text[0] != '\0' ? SQL_KEEP : SQL_FORGET;

	if (!sqlite_fits(keep->name, strlen(keep->name), STORE_NAME_MAX) ||
	    !sqlite_fits(keep->text, strlen(keep->text), STORE_TEXT_MAX)) {
		error_set(err, ERROR_STORE, "a value does not bear keeping");
		return STORE_REFUSED;
	}
	sqlite_bind_words(db->statements[which], 1, keep->name);
	if (which == SQL_KEEP)
		sqlite_bind_words(db->statements[which], 2, keep->text);
	return sqlite_run(db, which, err);
}

/* A row that does not bear reading is as if it were not there, and so is what an error
 * hides: these values make herald remember, they never make it lose. */
struct store_kept *
sqlite_kept(void *arg, size_t *count)
{
	struct sqlite_db *db = arg;
	sqlite3_stmt *statement = db->statements[SQL_KEPT];
	struct store_kept *kept = NULL;
	char name[STORE_NAME_MAX + 1], *text = mem_alloc(STORE_TEXT_MAX + 1);

	*count = 0;
	sqlite3_bind_int64(statement, 1, KEPT_MAX);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		if (!sqlite_column_line(statement, 0, name, sizeof(name)) ||
		    !sqlite_column_line(statement, 1, text, STORE_TEXT_MAX + 1))
			continue;
		kept = mem_grow(kept, *count + 1, sizeof(*kept));
		kept[(*count)++] = (struct store_kept){ mem_strdup(name), mem_strdup(text) };
	}
	sqlite3_reset(statement);
	free(text);
	return kept;
}
