/* store_driver.h - the work a store does, and what a database has to offer for it. */
#ifndef HERALD_QUEUE_STORE_DRIVER_H
#define HERALD_QUEUE_STORE_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "mail/envelope.h"

struct content;

/* next_attempt of a failed recipient whose report is in the hands of this run. */
#define STORE_IN_HAND	INT64_MAX

/* What became of one recipient.  The row must be active or, for DONE and PARKED, may be
 * failed; where it is neither (it was told before, in a commit whose answer was lost)
 * nothing happens: telling twice is safe. */
struct store_outcome {
	int64_t message_id, recipient_id;
	enum recipient_state state;	/* DONE: the row goes */
	uint32_t attempts;
	int64_t next_attempt;		/* Unix seconds; FAILED: STORE_IN_HAND */
	struct status last;
	char relay[128];
};

/* Made by the driver, freed with the request. */
struct store_ids { int64_t *ids; size_t count; };

/* The envelope's ids and its recipients' are filled in.  A message, and what it settles:
 * failed recipients that a report speaks of. */
struct store_insert {
	struct envelope *envelope;	/* NULL: only settles */
	struct content *content;
	bool again;			/* was tried, and may be there without our knowing */
	struct store_outcome *outcomes;	/* owned by the request */
	size_t count;
	struct store_ids removed;	/* messages that owe nothing any more */
};

struct store_claimed {
	struct envelope *envelope;	/* all ACTIVE, or all FAILED: reports that are owed */
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

struct store_act {
	struct store_filter filter;
	int64_t after, now;
	size_t examine;
	bool remove;			/* else: due now */
	uint64_t changed;
	struct store_ids removed;
	int64_t next;
};

struct store_load {
	int64_t message_id;
	struct content *content;	/* NULL: there is no such message; taken by NULL */
};

/* Kept by the driver in the transactions that change them. */
struct store_totals {
	uint64_t messages, recipients[RECIPIENT_PARKED + 1];
	int64_t last_id;		/* the highest message id that was ever stored */
	int64_t oldest;			/* arrival of the oldest message; 0: none */
};

/* OK.  REFUSED: this request cannot be done, and alone bears the blame.  BROKEN: the
 * database is in trouble; nothing of the transaction counts. */
enum store_result { STORE_OK, STORE_REFUSED, STORE_BROKEN };

struct store_options {
	const char *path;		/* of the database */
	const char *directory;		/* for content that does not fit into memory */
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
	/* After the answers are out: what may take time and nobody waits for. */
	enum store_result (*tidy)(void *db, struct error *err);
	void (*totals)(void *db, struct store_totals *out);
	enum store_result (*insert)(void *db, struct store_insert *insert, struct error *err);
	enum store_result (*claim)(void *db, struct store_claim *claim, struct error *err);
	enum store_result (*list)(void *db, struct store_list *list, struct error *err);
	enum store_result (*act)(void *db, struct store_act *act, struct error *err);
	enum store_result (*load)(void *db, struct store_load *load, struct error *err);
};

extern const struct store_driver store_sqlite;

#endif
