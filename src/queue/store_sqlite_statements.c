/* store_sqlite_statements.c - every statement that is run on the queue's tables. */
#include "queue/store_sqlite.h"

/* As sqlite_column_message(), _fate() and _attempt() read them. */
#define MESSAGE(m) \
	m "reverse_path, " m "body, " m "size, " m "arrived, " m "expires, " m "smtputf8, " \
	m "ret, " m "envid, " m "header_id, " m "uid"
#define FATE(r) \
	r "attempts, " r "next_attempt, " r "reply_code, " r "enhanced, " r "text, " r "relay, " \
	r "last_at, " r "warned, " r "chosen_relay, " r "orcpt"
#define ATTEMPT	"at, reply_code, enhanced, text, relay, tls, step"
#define HISTORY	"message_id, recipient_id, arrived, finished, size, reverse_path, forward_path," \
	" header_id, fate, attempts, " ATTEMPT

/* Of one recipient, found by its key. */
#define THIS	" WHERE message_id = ?1 AND id = ?2 AND state = ?3"
#define OF_THIS	" FROM recipient AS r CROSS JOIN message AS m ON m.id = r.message_id" \
	" WHERE r.message_id = ?1 AND r.id = ?2 AND +r.state = ?3"

/* A plus keeps a column out of the choice of index: what concerns one message is found by
 * its key, not among all that is due. */
static const char *const sql[SQL_COUNT] = {
	[SQL_BEGIN] = "BEGIN IMMEDIATE",
	[SQL_COMMIT] = "COMMIT",
	[SQL_ROLLBACK] = "ROLLBACK",
	[SQL_READ_TOTALS] = "SELECT last_id, messages, active, deferred, held, failed, parked"
	    " FROM totals WHERE id = 1",
	[SQL_WRITE_TOTALS] = "UPDATE totals SET last_id = ?1, messages = ?2, active = ?3,"
	    " deferred = ?4, held = ?5, failed = ?6, parked = ?7 WHERE id = 1",
	[SQL_OLDEST] = "SELECT arrived FROM message ORDER BY id LIMIT 1",
	[SQL_ADD_MESSAGE] = "INSERT INTO message (id, reverse_path, body, size, arrived, expires,"
	    " digest, smtputf8, ret, envid, header_id, uid, head)"
	    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
	[SQL_SET_DIGEST] = "UPDATE message SET digest = ?2 WHERE id = ?1",
	[SQL_ADD_CONTENT] = "INSERT INTO content (message_id, seq, octets) VALUES (?1, ?2, ?3)",
	[SQL_ADD_RECIPIENT] = "INSERT INTO recipient (message_id, id, forward_path, notify, digest,"
	    " state, attempts, next_attempt, orcpt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
	[SQL_DROP_RECIPIENT] = "DELETE FROM recipient" THIS,
	[SQL_SET_RECIPIENT] = "UPDATE recipient SET state = ?4, attempts = ?5, next_attempt = ?6,"
	    " warned = ?7, last_at = ?8, reply_code = ?9, enhanced = ?10, text = ?11, relay = ?12"
	    THIS,
	[SQL_OWES] = "SELECT 1 FROM recipient WHERE message_id = ?1 LIMIT 1",
	[SQL_DROP_CONTENT] = "DELETE FROM content WHERE message_id = ?1",
	[SQL_DROP_MESSAGE] = "DELETE FROM message WHERE id = ?1",

	[SQL_ADD_ATTEMPT] = "INSERT INTO attempt (message_id, recipient_id, charged,"
	    " peer_does_dsn, " ATTEMPT ", number) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10,"
	    " ?11, 1 + coalesce((SELECT number FROM attempt WHERE message_id = ?1"
	    " AND recipient_id = ?2 ORDER BY number DESC LIMIT 1), 0)",
	[SQL_TRIM_ATTEMPTS] = "DELETE FROM attempt WHERE message_id = ?1 AND recipient_id = ?2"
	    " AND number > 1 AND number <= (SELECT max(number) FROM attempt"
	    " WHERE message_id = ?1 AND recipient_id = ?2) - ?3",
	[SQL_DROP_ATTEMPTS] = "DELETE FROM attempt WHERE message_id = ?1 AND recipient_id = ?2",
	/* With what the outcome tells, or with what stands in the row. */
	[SQL_FINISH] = "INSERT INTO history (" HISTORY ") SELECT m.id, r.id, m.arrived, ?4, m.size,"
	    " m.reverse_path, r.forward_path, m.header_id, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13"
	    OF_THIS,
	[SQL_FINISH_ROW] = "INSERT INTO history (" HISTORY ") SELECT m.id, r.id, m.arrived, ?4,"
	    " m.size, m.reverse_path, r.forward_path, m.header_id, ?5, r.attempts, r.last_at,"
	    " r.reply_code, r.enhanced, r.text, r.relay, '', ''" OF_THIS,
	[SQL_ROW_STATUS] = "SELECT reply_code, enhanced FROM recipient" THIS,
	[SQL_HISTORY_ENDS] = "SELECT (SELECT min(seq) FROM history),"
	    " (SELECT max(seq) FROM history),"
	    " (SELECT finished FROM history ORDER BY seq LIMIT 1)",
	[SQL_HISTORY_DUE] = "SELECT max(seq) FROM (SELECT seq, finished FROM history"
	    " ORDER BY seq LIMIT ?1) WHERE finished <= ?2",
	[SQL_PURGE_ATTEMPTS] = "DELETE FROM attempt WHERE (message_id, recipient_id) IN"
	    " (SELECT message_id, recipient_id FROM history WHERE seq <= ?1)",
	[SQL_PURGE_HISTORY] = "DELETE FROM history WHERE seq <= ?1",

	[SQL_DUE] = "SELECT message_id FROM recipient INDEXED BY recipient_due"
	    " WHERE state = ?1 AND next_attempt <= ?2 ORDER BY next_attempt LIMIT ?3",
	[SQL_NEXT_DUE] = "SELECT min(next_attempt) FROM recipient INDEXED BY recipient_due"
	    " WHERE state = ?1",
	[SQL_LEFT_IN_HAND] = "SELECT message_id, id FROM recipient INDEXED BY recipient_due"
	    " WHERE state = ?1",
	[SQL_GIVE_BACK_ACTIVE] = "UPDATE recipient SET state = 1, next_attempt = ?3"
	    " WHERE message_id = ?1 AND id = ?2 AND +state = 0",
	[SQL_GIVE_BACK_OWED] = "UPDATE recipient SET next_attempt = ?3"
	    " WHERE message_id = ?1 AND id = ?2 AND +state = 3",
	[SQL_PULL_IN] = "UPDATE recipient SET next_attempt = ?2 WHERE (message_id, id) IN"
	    " (SELECT message_id, id FROM recipient INDEXED BY recipient_due WHERE state = ?1"
	    " AND next_attempt > ?3 AND next_attempt < 9223372036854775807"
	    " ORDER BY next_attempt DESC LIMIT ?4)",
	[SQL_MESSAGE] = "SELECT " MESSAGE("") ", digest, head FROM message WHERE id = ?1",
	[SQL_CONTENT] = "SELECT seq, octets FROM content WHERE message_id = ?1 ORDER BY seq",
	[SQL_DUE_RECIPIENTS] = "SELECT id, forward_path, notify, digest, " FATE("")
	    " FROM recipient WHERE message_id = ?1 AND +state = ?2 AND +next_attempt <= ?3"
	    " ORDER BY id",
	[SQL_TAKE_ACTIVE] = "UPDATE recipient SET state = 0"
	    " WHERE message_id = ?1 AND +state = 1 AND +next_attempt <= ?2",
	[SQL_TAKE_OWED] = "UPDATE recipient SET next_attempt = 9223372036854775807"
	    " WHERE message_id = ?1 AND +state = 3 AND +next_attempt <= ?2",
	[SQL_PARK] = "UPDATE recipient SET state = 4, reply_code = 0, enhanced = '5.3.0', text = ?4"
	    " WHERE message_id = ?1 AND +state = ?2 AND +next_attempt <= ?3",
	[SQL_PUT_OFF] = "UPDATE recipient SET next_attempt = ?4"
	    " WHERE message_id = ?1 AND +state = ?2 AND +next_attempt <= ?3",

	/* The order is that of the keys: rows come one by one, nothing is sorted. */
	[SQL_LIST] = "SELECT m.id, r.id, r.forward_path, r.notify, r.state, " FATE("r.") ", "
	    MESSAGE("m.") " FROM message AS m CROSS JOIN recipient AS r"
	    " ON r.message_id = m.id WHERE m.id > ?1 ORDER BY m.id, r.id",
	[SQL_SET_STATE] = "UPDATE recipient SET state = ?4, next_attempt = coalesce(?5,"
	    " next_attempt), chosen_relay = coalesce(?6, chosen_relay)" THIS,
	[SQL_BOUNCE] = "UPDATE recipient SET state = 3, next_attempt = ?4, last_at = ?4,"
	    " reply_code = ?5, enhanced = ?6, text = ?7, relay = ?8" THIS,

	[SQL_ATTEMPTS] = "SELECT recipient_id, number, charged, peer_does_dsn, " ATTEMPT
	    " FROM attempt WHERE message_id = ?1 ORDER BY recipient_id, number LIMIT ?2",
	/* Where a part ends, of those still queued. */
	[SQL_TRACE_BOUND] = "SELECT min(id) FROM (SELECT id FROM message WHERE id < ?1"
	    " ORDER BY id DESC LIMIT ?2)",
	[SQL_TRACE_QUEUED] = "SELECT m.id, r.id, m.arrived, 0, m.size, m.reverse_path,"
	    " r.forward_path, m.header_id, r.state, r.attempts, r.last_at, r.reply_code,"
	    " r.enhanced, r.text, r.relay, '', '' FROM message AS m CROSS JOIN recipient AS r"
	    " ON r.message_id = m.id WHERE m.id >= ?1 AND m.id < ?2 AND (?4 IS NULL"
	    " OR m.reverse_path = ?4 COLLATE NOCASE OR r.forward_path = ?4 COLLATE NOCASE"
	    " OR m.header_id = ?5) ORDER BY m.id DESC, r.id LIMIT ?3",
	[SQL_TRACE_FINISHED] = "SELECT " HISTORY " FROM history WHERE seq >= ?1 AND seq < ?2"
	    " AND (reverse_path = ?4 COLLATE NOCASE OR forward_path = ?4 COLLATE NOCASE"
	    " OR header_id = ?5) ORDER BY seq DESC LIMIT ?3",
	[SQL_TRACE_ID] = "SELECT " HISTORY " FROM history WHERE message_id = ?1"
	    " ORDER BY seq DESC LIMIT ?3",

	[SQL_KEEP] = "INSERT INTO kept (name, value) VALUES (?1, ?2)"
	    " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
	[SQL_FORGET] = "DELETE FROM kept WHERE name = ?1",
	[SQL_KEPT] = "SELECT name, value FROM kept ORDER BY name LIMIT ?1",
};

bool
sqlite_prepare_all(struct sqlite_db *db, struct error *err)
{
	int i, code;

	for (i = 0; i < SQL_COUNT; i++) {
		code = sqlite3_prepare_v3(db->handle, sql[i], -1, SQLITE_PREPARE_PERSISTENT,
		    &db->statements[i], NULL);
		if (code != SQLITE_OK)
			return sqlite_refuse(db, code, sql[i], err);
	}
	return true;
}
