/* store_sqlite_list.c - the administrator looks into the queue, and acts on what is there. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "queue/store_sqlite.h"

/* --- filters --- */

static bool
matches_address(const char *wanted, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];

	if (wanted == NULL)
		return true;
	if (wanted[0] == '@')
		return text_equal(wanted + 1, address->domain);
	if (strcmp(wanted, "<>") == 0)
		return address_is_null(address);
	return text_equal(wanted, address_text(address, text));
}

/* "smarthost" of "smarthost/smtp.example.net[192.0.2.7]:465", or the host's part. */
static bool
matches_relay(const char *wanted, const struct recipient *recipient)
{
	size_t len = strlen(wanted);

	return (text_has_prefix(recipient->relay, wanted) && recipient->relay[len] == '/') ||
	    text_has_prefix(recipient_host(recipient), wanted);
}

static bool
matches_recipient(const struct store_filter *filter, const struct recipient *recipient)
{
	if (filter->state >= 0 && filter->state != (int)recipient->state)
		return false;
	if (filter->relay != NULL && !matches_relay(filter->relay, recipient))
		return false;
	return matches_address(filter->recipient, &recipient->forward_path);
}

static bool
matches_message(const struct store_filter *filter, const struct envelope *envelope)
{
	if (filter->message_id != 0 && filter->message_id != envelope->id)
		return false;
	if (filter->arrived_before != 0 && envelope->arrived > filter->arrived_before)
		return false;
	if (filter->by_uid && filter->uid != envelope->uid)
		return false;
	return matches_address(filter->sender, &envelope->reverse_path);
}

static bool
matches(const struct store_filter *filter, const struct envelope *envelope)
{
	size_t i;

	if (!matches_message(filter, envelope))
		return false;
	for (i = 0; i < envelope->recipient_count; i++)
		if (matches_recipient(filter, &envelope->recipients[i]))
			return true;
	return false;
}

/* --- the walk --- */

/* The row is shown, not hidden, where it does not bear reading. */
static void
add_row_recipient(sqlite3_stmt *statement, struct envelope *envelope)
{
	static const struct address unreadable = { .local = "(damaged)" };
	struct recipient *recipient;
	struct address address;
	int64_t state, notify;

	if (!sqlite_column_address(statement, 2, &address))
		address = unreadable;
	recipient = envelope_add(envelope, &address);
	recipient->id = sqlite3_column_int64(statement, 1);
	if (sqlite_column_unsigned(statement, 3, 15, &notify))
		recipient->notify = (unsigned)notify;
	if (sqlite_column_unsigned(statement, 4, RECIPIENT_PARKED, &state))
		recipient->state = (enum recipient_state)state;
	else
		recipient->state = RECIPIENT_PARKED;
	(void)sqlite_column_fate(statement, 5, envelope, recipient);
}

struct walk {
	struct sqlite_db *db;
	const struct store_filter *filter;
	int64_t after;
	size_t examine;
	int64_t next;
	/* Gets each message that matches; true: it was enough. */
	bool (*found)(void *owner, struct envelope *envelope);	/* takes the envelope */
	void *owner;
};

/* The message is whole: passes it on or drops it. */
static bool
end_message(struct walk *walk, struct envelope *envelope)
{
	bool enough = false;

	if (envelope == NULL)
		return false;
	walk->next = envelope->id;
	if (matches(walk->filter, envelope))
		enough = walk->found(walk->owner, envelope);
	else
		envelope_free(envelope);
	return enough || walk->filter->message_id != 0;
}

static enum store_result
walk_messages(struct walk *walk, struct error *err)
{
	sqlite3_stmt *statement = walk->db->statements[SQL_LIST];
	enum store_result result = STORE_OK;
	struct envelope *envelope = NULL;
	size_t examined = 0;
	bool enough = false;
	int code;

	walk->next = -1;
	sqlite3_bind_int64(statement, 1, walk->after);
	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		int64_t id = sqlite3_column_int64(statement, 0);

		if (envelope == NULL || envelope->id != id) {
			enough = end_message(walk, envelope) || examined >= walk->examine;
			envelope = NULL;
			if (enough)
				break;
			(void)sqlite_column_message(statement, 5 + SQLITE_FATE_COLUMNS, id,
			    &envelope);
			examined++;
		}
		add_row_recipient(statement, envelope);
	}
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		result = sqlite_judge(walk->db, code, "list", err);
	sqlite3_reset(statement);
	/* At the end of the table there is nothing to go on after. */
	(void)end_message(walk, envelope);
	if (!enough || walk->filter->message_id != 0)
		walk->next = -1;
	return result;
}

static int64_t
walk_start(const struct store_filter *filter, int64_t after)
{
	return filter->message_id != 0 ? filter->message_id - 1 : after;
}

/* --- list --- */

static bool
found_listed(void *owner, struct envelope *envelope)
{
	struct store_list *list = owner;

	list->messages[list->count++] = envelope;
	return list->count >= list->limit;
}

enum store_result
sqlite_list(void *arg, struct store_list *list, struct error *err)
{
	struct walk walk = { .db = arg, .filter = &list->filter, .examine = list->examine,
	    .after = walk_start(&list->filter, list->after), .found = found_listed,
	    .owner = list };
	enum store_result result;

	if (list->limit > list->examine)
		list->limit = list->examine;
	list->messages = mem_array(list->limit > 0 ? list->limit : 1, sizeof(*list->messages));
	result = walk_messages(&walk, err);
	list->next = walk.next;
	return result;
}

/* --- act --- */

struct matched { int64_t message_id, recipient_id; enum recipient_state state; };
struct matches { const struct store_act *act; struct matched *rows; size_t count, room; };

#define STATE(state)	(1u << (state))
#define WAITING		(STATE(RECIPIENT_DEFERRED) | STATE(RECIPIENT_PARKED))
#define ALL		(WAITING | STATE(RECIPIENT_HELD))

static const struct {
	unsigned states;		/* of these the action is */
	enum recipient_state into;
} actions[] = {
	[STORE_RETRY] = { WAITING, RECIPIENT_DEFERRED },
	[STORE_REMOVE] = { ALL, RECIPIENT_DONE },
	[STORE_HOLD] = { WAITING, RECIPIENT_HELD },
	[STORE_RELEASE] = { STATE(RECIPIENT_HELD), RECIPIENT_DEFERRED },
	[STORE_BOUNCE] = { ALL, RECIPIENT_OWED },
	[STORE_REROUTE] = { ALL, RECIPIENT_DEFERRED },
};

static bool
found_matched(void *owner, struct envelope *envelope)
{
	struct matches *found = owner;
	size_t i;

	for (i = 0; i < envelope->recipient_count; i++) {
		const struct recipient *recipient = &envelope->recipients[i];

		if ((actions[found->act->action].states & STATE(recipient->state)) == 0 ||
		    !matches_recipient(&found->act->filter, recipient))
			continue;
		if (found->count == found->room) {
			found->room = found->room > 0 ? found->room * 2 : 64;
			found->rows = mem_grow(found->rows, found->room, sizeof(*found->rows));
		}
		found->rows[found->count++] = (struct matched){ envelope->id, recipient->id,
		    recipient->state };
	}
	envelope_free(envelope);
	return false;
}

static enum store_result
bounce(struct sqlite_db *db, const struct store_act *act, const struct matched *row,
    struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_BOUNCE];

	sqlite_bind_key(statement, row->message_id, row->recipient_id, row->state);
	sqlite3_bind_int64(statement, 4, act->now);
	sqlite_bind_said(statement, 5, &act->status, "");
	return sqlite_run(db, SQL_BOUNCE, err);
}

static enum store_result
set_state(struct sqlite_db *db, const struct store_act *act, const struct matched *row,
    enum recipient_state into, struct error *err)
{
	sqlite3_stmt *statement = db->statements[SQL_SET_STATE];

	sqlite_bind_key(statement, row->message_id, row->recipient_id, row->state);
	sqlite3_bind_int64(statement, 4, into);
	if (into == RECIPIENT_HELD)
		sqlite3_bind_null(statement, 5);
	else
		sqlite3_bind_int64(statement, 5, act->now);
	sqlite_bind_words(statement, 6, act->action == STORE_REROUTE ? act->relay : NULL);
	return sqlite_run(db, SQL_SET_STATE, err);
}

static enum store_result
act_on(struct sqlite_db *db, struct store_act *act, const struct matched *row, struct error *err)
{
	const struct store_key key = { row->message_id, row->recipient_id };
	enum recipient_state into = actions[act->action].into;
	enum store_result result;
	bool changed;

	/* Another way does not end what the administrator holds. */
	if (act->action == STORE_REROUTE && row->state == RECIPIENT_HELD)
		into = RECIPIENT_HELD;
	if (act->action == STORE_REMOVE)
		result = sqlite_finish_row(db, &key, row->state, FATE_REMOVED, &changed, err);
	else {
		result = act->action == STORE_BOUNCE ? bounce(db, act, row, err) :
		    set_state(db, act, row, into, err);
		changed = sqlite3_changes(db->handle) > 0;
	}
	if (result != STORE_OK || !changed)
		return result;
	act->changed++;
	sqlite_count(db, row->state, into, 1);
	if (act->action == STORE_REMOVE)
		sqlite_ids_add(&act->removed, row->message_id);
	return STORE_OK;
}

enum store_result
sqlite_act(void *arg, struct store_act *act, struct error *err)
{
	struct matches found = { .act = act };
	struct walk walk = { .db = arg, .filter = &act->filter, .examine = act->examine,
	    .after = walk_start(&act->filter, act->after), .found = found_matched,
	    .owner = &found };
	enum store_result result = walk_messages(&walk, err);
	size_t i;

	act->next = walk.next;
	for (i = 0; result == STORE_OK && i < found.count; i++)
		result = act_on(arg, act, &found.rows[i], err);
	free(found.rows);
	if (result == STORE_OK && act->removed.count > 0)
		result = sqlite_drop_settled(arg, &act->removed, err);
	return result;
}
