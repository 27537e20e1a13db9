/* store_driver.h - the work a store does, and what a database has to offer for it. */
#ifndef HERALD_QUEUE_STORE_DRIVER_H
#define HERALD_QUEUE_STORE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "mail/envelope.h"

struct content;

/* next_attempt of a recipient that is owed a report which is in the hands of this run. */
#define STORE_IN_HAND	INT64_MAX
#define STORE_ATTEMPTS_MAX	50	/* kept of a recipient: the first, and the latest */
#define STORE_HISTORY_MAX	200000	/* recipients that are remembered: about 60 MiB */
#define STORE_NAME_MAX	64		/* octets of the name of a kept value */
#define STORE_TEXT_MAX	16384		/* octets of the value: one line */

/* What became of one recipient.  The row must be active or, for DONE, PARKED and OWED, may
 * be owed; where it is neither (it was told before, in a commit whose answer was lost)
 * nothing happens: telling twice is safe. */
struct store_outcome {
	int64_t message_id, recipient_id;
	enum recipient_state state;	/* DONE: the row goes, into the history */
	uint32_t attempts;
	int64_t next_attempt;		/* Unix seconds; OWED: STORE_IN_HAND, or when again */
	bool warned;
	bool keep_attempt;		/* `attempt` is new, and worth telling of */
	struct attempt attempt;		/* the latest: recipient.last, relay and last_at */
};

/* One that was kept; numbers rise with time, and may have a gap after the first. */
struct store_attempt { int64_t recipient_id; uint32_t number; struct attempt attempt; };

/* Made by the driver, freed with the request. */
struct store_ids { int64_t *ids; size_t count; };

/* The envelope's ids and its recipients' are filled in.  A message, and what it settles:
 * recipients that a report speaks of. */
struct store_insert {
	struct envelope *envelope;	/* NULL: only settles */
	struct content *content;
	bool again;			/* was tried, and may be there without our knowing */
	struct store_outcome *outcomes;	/* owned by the request */
	size_t count;
	struct store_ids removed;	/* messages that owe nothing any more */
};

struct store_claimed {
	struct envelope *envelope;	/* all ACTIVE, or all OWED: reports to be written */
	struct content *content;
};

/* A message that could not be read: parked because its rows are damaged, or, where there
 * was no room to read it into, put off. */
struct store_damage { int64_t message_id; bool parked; char text[128]; };

/* recipient_id 0: all of the message. */
struct store_key { int64_t message_id, recipient_id; };

struct store_claim {
	int64_t now;			/* Unix seconds */
	/* No schedule says a later time: what does was put off while the clock ran ahead,
	 * and is due.  0: any time is right. */
	int64_t latest;
	size_t limit;			/* recipients; the last message is taken whole */
	uint64_t octets;		/* of content, as content_cost() counts; about */
	/* What an earlier run, or a commit without an answer, left in hand is given back
	 * first, but for the recipients in `keep` (ascending). */
	bool recover;
	struct store_key *keep;		/* owned by the request */
	size_t keep_count;
	struct store_claimed *claimed;	/* what the caller takes it sets to NULL */
	size_t count;
	int64_t next_due;		/* of what is left; -1: none */
	struct store_damage *damaged;
	size_t damaged_count;
};

/* Texts are NULL for any; addresses are whole or "@domain".  Owned by the request. */
struct store_filter {
	int64_t message_id;		/* 0: any */
	int state;			/* enum recipient_state; -1: any */
	char *sender, *recipient, *relay;
	bool by_uid;
	unsigned uid;			/* with by_uid: who gave it over a UNIX socket */
	int64_t arrived_before;		/* Unix seconds; 0: any */
};

/* Looks at no more than `examine` messages after `after`: what takes long is asked again
 * from where it ended, so that mail is not kept waiting. */
struct store_list {
	struct store_filter filter;
	int64_t after;			/* message id */
	size_t examine, limit;		/* messages */
	struct envelope **messages;	/* taken by setting it to NULL */
	size_t count;
	int64_t next;			/* to go on after; -1: that was all */
};

/* Who is in the hands of this run is left alone. */
enum store_action {
	STORE_RETRY,			/* deferred, parked: due now */
	STORE_REMOVE,			/* deferred, held, parked: gone, into the history */
	STORE_HOLD,			/* deferred, parked: held */
	STORE_RELEASE,			/* held: due now */
	STORE_BOUNCE,			/* deferred, held, parked: owed, with `status`, due now */
	STORE_REROUTE,			/* the same: by `relay`; due now but for the held */
};

struct store_act {
	enum store_action action;
	struct store_filter filter;
	int64_t after, now;
	size_t examine;
	struct status status;		/* BOUNCE */
	char relay[RELAY_NAME_MAX + 1];	/* REROUTE */
	uint64_t changed;		/* recipients */
	struct store_ids removed;
	int64_t next;
};

struct store_load {
	int64_t message_id;
	struct content *content;	/* NULL: there is no such message; taken by NULL */
};

/* Of a message that is gone the attempts alone, as long as the history knows it. */
struct store_show {
	int64_t message_id;
	struct envelope *envelope;	/* what is left of it; NULL: not queued; taken by NULL */
	/* By recipient_id and then number, 10,000 at most; taken by NULL. */
	struct store_attempt *attempts;
	size_t count;
};

/* One recipient, still queued or of the history. */
struct store_trace_row {
	char queue_id[QUEUE_ID_MAX + 1];
	int64_t recipient_id;
	int64_t arrived, finished;	/* Unix seconds; finished 0: still queued */
	char sender[ADDRESS_TEXT_MAX + 1], recipient[ADDRESS_TEXT_MAX + 1];
	char message_id[ENVELOPE_MESSAGE_ID_MAX + 1];	/* of the header; "": none */
	uint64_t size;			/* octets */
	enum recipient_state state;	/* DONE: finished */
	char fate[12];			/* queued, sent, relayed, bounced, expired or removed */
	uint32_t attempts;
	/* at 0: there was none.  Whether it was charged stands with the attempts alone. */
	struct attempt last;
};

/* A queue id; or an address (sender or recipient, case does not count) or Message-ID (exact),
 * with < and > or without.  Those still queued come first, the newest message before
 * others; then the finished, the latest before others.  Looks at a bounded part in one go;
 * who is finished between two parts may come twice. */
struct store_trace {
	char *what;			/* owned by the request */
	int64_t after;			/* 0: from the start; else `next` of the part before */
	size_t limit;			/* rows */
	struct store_trace_row *rows;	/* taken by NULL */
	size_t count;
	int64_t next;			/* 0: that was all, or the limit is reached */
};

/* A small value that outlives the run.  Both owned by the request. */
struct store_keep { char *name, *text; };	/* text "": removed */
struct store_kept { char *name, *text; };

/* Kept by the driver in the transactions that change them. */
struct store_totals {
	uint64_t messages, recipients[RECIPIENT_PARKED + 1];
	int64_t last_id;		/* the highest message id that was ever stored */
	int64_t oldest;			/* arrival of the oldest message; 0: none */
};

/* Errors are of kind ERROR_SYSTEM where the disk is full, else ERROR_STORE.
 * OK.  REFUSED: this request cannot be done, and alone bears the blame.  BROKEN: the
 * database is in trouble; nothing of the transaction counts. */
enum store_result { STORE_OK, STORE_REFUSED, STORE_BROKEN };

struct store_options {
	const char *path;		/* of the database */
	const char *directory;		/* for content that does not fit into memory */
	unsigned history;		/* seconds that the finished are remembered; 0: none */
};

/* Synchronous and simple: one thread calls it.  After REFUSED or BROKEN the caller rolls
 * back; after BROKEN it closes as well. */
struct store_driver {
	const char *name;
	/* Checks the file and makes the tables where there are none.  NULL and *err. */
	void *(*open)(const struct store_options *options, struct error *err);
	void (*close)(void *db);
	/* After trouble: that it can be read and written.  Takes a few seconds at most. */
	enum store_result (*check)(void *db, struct error *err);
	enum store_result (*begin)(void *db, struct error *err);
	enum store_result (*commit)(void *db, struct error *err);	/* OK: it is on the disk */
	void (*rollback)(void *db);
	/* After the answers are out: what may take time and nobody waits for.  *again:
	 * milliseconds until it wants to be called once more; -1: after the next answers. */
	enum store_result (*tidy)(void *db, int64_t *again, struct error *err);
	void (*set_history)(void *db, unsigned seconds);
	void (*totals)(void *db, struct store_totals *out);
	enum store_result (*insert)(void *db, struct store_insert *insert, struct error *err);
	enum store_result (*claim)(void *db, struct store_claim *claim, struct error *err);
	enum store_result (*list)(void *db, struct store_list *list, struct error *err);
	enum store_result (*act)(void *db, struct store_act *act, struct error *err);
	enum store_result (*load)(void *db, struct store_load *load, struct error *err);
	enum store_result (*show)(void *db, struct store_show *show, struct error *err);
	enum store_result (*trace)(void *db, struct store_trace *trace, struct error *err);
	enum store_result (*keep)(void *db, struct store_keep *keep, struct error *err);
	/* All that is kept, freed by the caller, the texts too.  NULL where there is none. */
	struct store_kept *(*kept)(void *db, size_t *count);
};

extern const struct store_driver store_sqlite;

#endif
