/* store_parts.h - what the store's two sides share: the loop, and the writer thread. */
#ifndef HERALD_QUEUE_STORE_PARTS_H
#define HERALD_QUEUE_STORE_PARTS_H

#include <pthread.h>

#include "net/loop.h"
#include "queue/store.h"

struct event;

/* From trouble to the next try to open the database; doubled up to the limit, so that
 * mail is taken again at most this long after the trouble has ended. */
#define STORE_RETRY_MIN_NS	(100 * 1000000LL)
#define STORE_RETRY_MAX_NS	(5000 * 1000000LL)

TAILQ_HEAD(store_requests, store_request);

struct store {
	struct loop *loop;
	const struct store_driver *driver;
	struct store_options options;
	char *path, *directory;			/* what the options point to */
	struct event *answered, *patience;
	int eventfd;
	pthread_t thread;

	/* The loop's alone. */
	struct store_requests outgoing;		/* of this turn, or waiting for others */
	struct loop_task flush;
	void (*health)(void *owner, bool healthy, const struct error *why);
	void *health_owner;
	bool known_healthy;
	struct store_totals known_totals;
	uint64_t known_commits, known_troubles;
	struct store_kept *kept;
	size_t kept_count;

	/* Shared: guarded by the mutex. */
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct store_requests requests, answers;
	bool stopping, healthy;
	unsigned history;			/* seconds, as last told */
	bool history_told;
	struct store_totals totals;
	uint64_t commits, troubles;
	struct error trouble;

	/* The thread's alone. */
	void *db;				/* NULL while it is in trouble */
	int64_t retry_at, retry_after;		/* nanoseconds */
	int64_t tidy_at;			/* nanoseconds; 0: after the next answers */
};

/* The thread: takes requests until `stopping`; calls nothing of the loop. */
void *store_work(void *store);
/* The clocks of base/clock.h are the loop's; the thread reads its own. */
int64_t store_monotonic_ns(void);
/* What an answer brought and nobody took, and what a try that was rolled back made. */
void store_drop_answer(struct store_request *request);

#endif
