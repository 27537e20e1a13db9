/* store_thread.c - the store's one writer: batches into transactions, trouble into patience. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "queue/content.h"
#include "queue/store_parts.h"

int64_t
store_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void
store_drop_answer(struct store_request *request)
{
	size_t i;

	switch (request->verb) {
	case STORE_INSERT:
	case STORE_RECORD:
		free(request->insert.removed.ids);
		request->insert.removed = (struct store_ids){ 0 };
		break;
	case STORE_CLAIM:
		for (i = 0; i < request->claim.count; i++) {
			envelope_free(request->claim.claimed[i].envelope);
			content_unref(request->claim.claimed[i].content);
		}
		free(request->claim.claimed);
		free(request->claim.damaged);
		request->claim.claimed = NULL;
		request->claim.damaged = NULL;
		request->claim.count = request->claim.damaged_count = 0;
		break;
	case STORE_LIST:
		for (i = 0; request->list.messages != NULL && i < request->list.count; i++)
			envelope_free(request->list.messages[i]);
		free(request->list.messages);
		request->list.messages = NULL;
		request->list.count = 0;
		break;
	case STORE_ACT:
		free(request->act.removed.ids);
		request->act.removed = (struct store_ids){ 0 };
		request->act.changed = 0;
		break;
	case STORE_LOAD:
		content_unref(request->load.content);
		request->load.content = NULL;
		break;
	case STORE_SHOW:
		envelope_free(request->show.envelope);
		free(request->show.attempts);
		request->show.envelope = NULL;
		request->show.attempts = NULL;
		request->show.count = 0;
		break;
	case STORE_TRACE:
		free(request->trace.rows);
		request->trace.rows = NULL;
		request->trace.count = 0;
		break;
	case STORE_KEEP:
		break;
	}
}

static enum store_result
perform(struct store *store, struct store_request *request)
{
	const struct store_driver *driver = store->driver;
	struct error *err = &request->error;

	switch (request->verb) {
	case STORE_INSERT:
	case STORE_RECORD:
		return driver->insert(store->db, &request->insert, err);
	case STORE_CLAIM:
		return driver->claim(store->db, &request->claim, err);
	case STORE_LIST:
		return driver->list(store->db, &request->list, err);
	case STORE_ACT:
		return driver->act(store->db, &request->act, err);
	case STORE_LOAD:
		return driver->load(store->db, &request->load, err);
	case STORE_SHOW:
		return driver->show(store->db, &request->show, err);
	case STORE_TRACE:
		return driver->trace(store->db, &request->trace, err);
	case STORE_KEEP:
		return driver->keep(store->db, &request->keep, err);
	}
	return STORE_REFUSED;
}

static void
fail(struct store_request *request, const struct error *err, bool refused)
{
	store_drop_answer(request);
	request->failed = true;
	request->refused = refused;
	if (err != &request->error)
		request->error = *err;
}

static void
fail_all(struct store_requests *batch, const struct error *err)
{
	struct store_request *request;

	TAILQ_FOREACH(request, batch, entry)
		fail(request, err, false);
}

/* RULES S1: whatever it was, the connection is not trusted any more. */
static void
enter_trouble(struct store *store, const struct error *err)
{
	store->driver->rollback(store->db);
	store->driver->close(store->db);
	store->db = NULL;
	store->retry_at = store_monotonic_ns() + store->retry_after;
	pthread_mutex_lock(&store->mutex);
	store->healthy = false;
	store->troubles++;
	store->trouble = *err;
	pthread_mutex_unlock(&store->mutex);
}

/* One transaction for all of the batch.  REFUSED: rolled back, one of them was refused. */
static enum store_result
transact(struct store *store, struct store_requests *batch, struct error *err)
{
	struct store_request *request;
	enum store_result result = store->driver->begin(store->db, err);

	if (result != STORE_OK)
		return STORE_BROKEN;
	TAILQ_FOREACH(request, batch, entry) {
		result = perform(store, request);
		if (result == STORE_OK)
			continue;
		*err = request->error;
		if (result == STORE_REFUSED)
			store->driver->rollback(store->db);
		return result;
	}
	return store->driver->commit(store->db, err) == STORE_OK ? STORE_OK : STORE_BROKEN;
}

/* After a refusal: each on its own, so that it hits only the one that earned it.  What is
 * refused was checked before it was sent, so this is rare. */
static bool
transact_singly(struct store *store, struct store_requests *batch, struct error *err)
{
	struct store_requests done = TAILQ_HEAD_INITIALIZER(done), single;
	struct store_request *request;
	enum store_result result = STORE_OK;

	while (result != STORE_BROKEN && (request = TAILQ_FIRST(batch)) != NULL) {
		TAILQ_INIT(&single);
		TAILQ_REMOVE(batch, request, entry);
		TAILQ_INSERT_TAIL(&single, request, entry);
		store_drop_answer(request);
		result = transact(store, &single, err);
		if (result != STORE_OK)
			fail(request, err, result == STORE_REFUSED);
		TAILQ_CONCAT(&done, &single, entry);
	}
	/* Those before the break are committed; those after it fail with it. */
	fail_all(batch, err);
	TAILQ_CONCAT(&done, batch, entry);
	TAILQ_CONCAT(batch, &done, entry);
	return result != STORE_BROKEN;
}

static void
serve(struct store *store, struct store_requests *batch)
{
	struct error err;
	bool fine;

	switch (transact(store, batch, &err)) {
	case STORE_OK:
		fine = true;
		break;
	case STORE_REFUSED:
		fine = transact_singly(store, batch, &err);
		break;
	case STORE_BROKEN:
	default:
		fine = false;
		fail_all(batch, &err);
		break;
	}
	if (fine)
		store->retry_after = STORE_RETRY_MIN_NS;
	else
		enter_trouble(store, &err);
}

static void
ring(const struct store *store)
{
	uint64_t one = 1;
	ssize_t written;

	do
		written = write(store->eventfd, &one, sizeof(one));
	while (written == -1 && errno == EINTR);
}

static void
post(struct store *store, struct store_requests *batch, bool committed)
{
	struct store_totals totals = { 0 };

	if (store->db != NULL)
		store->driver->totals(store->db, &totals);
	pthread_mutex_lock(&store->mutex);
	TAILQ_CONCAT(&store->answers, batch, entry);
	if (store->db != NULL)
		store->totals = totals;
	if (committed)
		store->commits++;
	pthread_mutex_unlock(&store->mutex);
	ring(store);
}

static void
open_again(struct store *store)
{
	struct error err;
	struct store_requests none = TAILQ_HEAD_INITIALIZER(none);

	store->retry_after *= 2;
	if (store->retry_after > STORE_RETRY_MAX_NS)
		store->retry_after = STORE_RETRY_MAX_NS;
	store->db = store->driver->open(&store->options, &err);
	if (store->db == NULL) {
		store->retry_at = store_monotonic_ns() + store->retry_after;
		return;
	}
	if (store->driver->check(store->db, &err) != STORE_OK) {
		enter_trouble(store, &err);
		return;
	}
	pthread_mutex_lock(&store->mutex);
	store->healthy = true;
	pthread_mutex_unlock(&store->mutex);
	post(store, &none, false);
}

static void
wait_until(struct store *store, int64_t when)
{
	struct timespec deadline = { .tv_sec = when / 1000000000, .tv_nsec = when % 1000000000 };

	pthread_cond_timedwait(&store->wake, &store->mutex, &deadline);
}

/* Returns, with the mutex held, when something is to be done. */
static void
wait_for_work(struct store *store)
{
	for (;;) {
		/* When something is to be done though nobody asks; 0: never. */
		int64_t deadline = store->db == NULL ? store->retry_at : store->tidy_at;

		if (store->stopping || store->history_told || !TAILQ_EMPTY(&store->requests))
			return;
		if (deadline == 0)
			pthread_cond_wait(&store->wake, &store->mutex);
		else if (store_monotonic_ns() >= deadline)
			return;
		else
			wait_until(store, deadline);
	}
}

static void
tidy(struct store *store)
{
	struct error err;
	int64_t again = -1;

	if (store->driver->tidy(store->db, &again, &err) != STORE_OK) {
		enter_trouble(store, &err);
		ring(store);
		again = -1;
	}
	store->tidy_at = again < 0 ? 0 : store_monotonic_ns() + again * 1000000;
}

static void
serve_or_mend(struct store *store, struct store_requests *batch)
{
	if (store->db == NULL) {
		fail_all(batch, &store->trouble);
		if (!TAILQ_EMPTY(batch))
			post(store, batch, false);
		if (store_monotonic_ns() >= store->retry_at)
			open_again(store);
		return;
	}
	if (!TAILQ_EMPTY(batch)) {
		serve(store, batch);
		post(store, batch, store->db != NULL);
	}
	if (store->db != NULL)
		tidy(store);
}

void *
store_work(void *arg)
{
	struct store *store = arg;
	struct store_requests batch = TAILQ_HEAD_INITIALIZER(batch);
	bool stopping = false, told;

	while (!stopping) {
		pthread_mutex_lock(&store->mutex);
		wait_for_work(store);
		TAILQ_CONCAT(&batch, &store->requests, entry);
		stopping = store->stopping;
		told = store->history_told;
		store->history_told = false;
		store->options.history = store->history;
		pthread_mutex_unlock(&store->mutex);
		if (told && store->db != NULL)
			store->driver->set_history(store->db, store->options.history);
		serve_or_mend(store, &batch);
	}
	return NULL;
}
