/* store.h - where the queue survives a power cut: one writer thread before a database. */
#ifndef HERALD_QUEUE_STORE_H
#define HERALD_QUEUE_STORE_H

#include <sys/queue.h>

#include "queue/store_driver.h"

struct loop;
struct store;

enum store_verb {
	STORE_INSERT, STORE_RECORD, STORE_CLAIM, STORE_LIST, STORE_ACT, STORE_LOAD, STORE_SHOW,
	STORE_TRACE, STORE_KEEP
};

/* One request, and its answer.  RECORD is an insert without an envelope; it and KEEP may
 * wait a little for others to share their sync. */
struct store_request {
	enum store_verb verb;
	union {
		struct store_insert insert;	/* INSERT and RECORD */
		struct store_claim claim;
		struct store_list list;
		struct store_act act;
		struct store_load load;
		struct store_show show;
		struct store_trace trace;
		struct store_keep keep;
	};
	/* The answer.  Comes from the loop, never inside store_send(), and after COMMIT and
	 * sync where it is not `failed`.  The request is freed when `done` returns. */
	void (*done)(void *owner, struct store_request *request);
	void *owner;
	bool failed;
	bool refused;			/* failed, and would fail again */
	struct error error;		/* why */
	TAILQ_ENTRY(store_request) entry;
};

/* All zero but the verb. */
struct store_request *store_request_new(enum store_verb verb,
    void (*done)(void *owner, struct store_request *request), void *owner);

/* Opens and checks the database at once; *err says what is wrong with it.  The options are
 * copied. */
struct store *store_open(struct loop *loop, const struct store_driver *driver,
    const struct store_options *options, struct error *err);
/* Answers what waits, then ends the thread: every `done` comes before it returns. */
void store_close(struct store *store);

/* Consumes the request.  Requests are done in the order of their sending, and those of
 * one turn of the loop in one transaction.  What the request points to and does not own
 * (envelope, content) the caller keeps alive and unchanged until the answer. */
void store_send(struct store *store, struct store_request *request);

/* While the database is in trouble every request fails at once; the store opens it again
 * by itself.  `health` comes from the loop when that changes, `why` with trouble only. */
void store_on_health(struct store *store,
    void (*health)(void *owner, bool healthy, const struct error *why), void *owner);
bool store_healthy(const struct store *store);
/* As of the latest answer. */
const struct store_totals *store_totals(const struct store *store);
/* What KEEP left under that name, by an earlier run or this one (as of its sending); NULL:
 * nothing.  Valid until the next KEEP is sent. */
const char *store_kept(const struct store *store, const char *name);
/* For how many seconds the finished are remembered from now on; 0: not at all. */
void store_set_history(struct store *store, unsigned seconds);
uint64_t store_commits(const struct store *store);	/* transactions since the start */

#endif
