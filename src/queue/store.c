/* store.c - where the queue survives a power cut: one writer thread before a database. */
#include "queue/store.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "queue/store_parts.h"

/* Results wait this long for an insert whose sync they can share.  A sync takes less than
 * a millisecond on good disks and ten on poor ones: with this a queue that only delivers
 * makes at most fifty syncs a second.  What a crash in between costs are duplicates, no
 * more than are delivered in this time. */
#define STORE_PATIENCE_US	20000

/* --- requests --- */

struct store_request *
store_request_new(enum store_verb verb, void (*done)(void *owner, struct store_request *request),
    void *owner)
{
	struct store_request *request = mem_zalloc(sizeof(*request));

	request->verb = verb;
	request->done = done;
	request->owner = owner;
	return request;
}

static void
free_filter(struct store_filter *filter)
{
	free(filter->sender);
	free(filter->recipient);
	free(filter->relay);
}

static void
free_request(struct store_request *request)
{
	store_drop_answer(request);
	if (request->verb == STORE_INSERT || request->verb == STORE_RECORD)
		free(request->insert.outcomes);
	else if (request->verb == STORE_CLAIM)
		free(request->claim.keep);
	else if (request->verb == STORE_LIST)
		free_filter(&request->list.filter);
	else if (request->verb == STORE_ACT)
		free_filter(&request->act.filter);
	else if (request->verb == STORE_TRACE)
		free(request->trace.what);
	else if (request->verb == STORE_KEEP) {
		free(request->keep.name);
		free(request->keep.text);
	}
	free(request);
}

/* One lock, one wake-up, one transaction. */
static void
hand_over(struct store *store)
{
	pthread_mutex_lock(&store->mutex);
	TAILQ_CONCAT(&store->requests, &store->outgoing, entry);
	pthread_mutex_unlock(&store->mutex);
	/* Not before: the thread would wake only to wait for the lock. */
	pthread_cond_signal(&store->wake);
}

static bool
may_wait(const struct store *store)
{
	const struct store_request *request;

	TAILQ_FOREACH(request, &store->outgoing, entry)
		if (request->verb != STORE_RECORD && request->verb != STORE_KEEP)
			return false;
	return true;
}

/* The requests of this turn go, with those that have waited for company; or all of them wait. */
static void
flush(void *owner)
{
	static const struct timeval patience = { .tv_usec = STORE_PATIENCE_US };
	struct store *store = owner;

	if (!may_wait(store))
		hand_over(store);
	else if (!evtimer_pending(store->patience, NULL))
		evtimer_add(store->patience, &patience);
}

static void
on_patience_over(int fd, short what, void *arg)
{
	struct store *store = arg;

	(void)fd;
	(void)what;
	if (!TAILQ_EMPTY(&store->outgoing))
		hand_over(store);
}

/* --- kept values --- */

static struct store_kept *
find_kept(const struct store *store, const char *name)
{
	size_t i;

	for (i = 0; i < store->kept_count; i++)
		if (strcmp(store->kept[i].name, name) == 0)
			return &store->kept[i];
	return NULL;
}

/* Removed ones keep their place: their names come again, and they are few. */
static void
remember(struct store *store, const struct store_keep *keep)
{
	struct store_kept *kept = find_kept(store, keep->name);

	if (kept == NULL) {
		store->kept = mem_grow(store->kept, store->kept_count + 1, sizeof(*kept));
		kept = &store->kept[store->kept_count++];
		*kept = (struct store_kept){ .name = mem_strdup(keep->name) };
	}
	free(kept->text);
	kept->text = mem_strdup(keep->text);
}

const char *
store_kept(const struct store *store, const char *name)
{
	const struct store_kept *kept = find_kept(store, name);

	return kept != NULL && kept->text[0] != '\0' ? kept->text : NULL;
}

static void
free_kept(struct store *store)
{
	size_t i;

	for (i = 0; i < store->kept_count; i++) {
		free(store->kept[i].name);
		free(store->kept[i].text);
	}
	free(store->kept);
}

/* --- the loop --- */

void
store_send(struct store *store, struct store_request *request)
{
	if (request->verb == STORE_KEEP)
		remember(store, &request->keep);
	TAILQ_INSERT_TAIL(&store->outgoing, request, entry);
	loop_defer(store->loop, &store->flush);
}

static void
take_answers(struct store *store)
{
	struct store_requests answers = TAILQ_HEAD_INITIALIZER(answers);
	struct store_request *request;
	struct error trouble;
	bool healthy, troubled;

	pthread_mutex_lock(&store->mutex);
	TAILQ_CONCAT(&answers, &store->answers, entry);
	store->known_totals = store->totals;
	store->known_commits = store->commits;
	healthy = store->healthy;
	troubled = store->troubles != store->known_troubles;
	store->known_troubles = store->troubles;
	trouble = store->trouble;
	pthread_mutex_unlock(&store->mutex);
	/* Failed answers come after the word of trouble, so that who gets one knows, even
	 * where it is over already; word of health comes last, when all is known that has
	 * to be done again. */
	if (troubled && store->known_healthy) {
		store->known_healthy = false;
		if (store->health != NULL)
			store->health(store->health_owner, false, &trouble);
	}
	while ((request = TAILQ_FIRST(&answers)) != NULL) {
		TAILQ_REMOVE(&answers, request, entry);
		request->done(request->owner, request);
		free_request(request);
	}
	if (healthy && !store->known_healthy) {
		store->known_healthy = true;
		if (store->health != NULL)
			store->health(store->health_owner, true, NULL);
	}
}

static void
on_answered(int fd, short what, void *arg)
{
	uint64_t count;
	ssize_t got;

	(void)what;
	do
		got = read(fd, &count, sizeof(count));
	while (got == -1 && errno == EINTR);
	take_answers(arg);
}

static bool
start_thread(struct store *store, struct error *err)
{
	sigset_t all, old;
	int code;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&store->thread, NULL, store_work, store);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code != 0)
		return error_set(err, ERROR_SYSTEM, "cannot start the store's thread: %s",
		    strerror(code));
	return true;
}

static void
init_locks(struct store *store)
{
	pthread_condattr_t attributes;

	pthread_mutex_init(&store->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&store->wake, &attributes);
	pthread_condattr_destroy(&attributes);
}

static void
free_store(struct store *store)
{
	loop_cancel(store->loop, &store->flush);
	if (store->answered != NULL)
		event_free(store->answered);
	if (store->patience != NULL)
		event_free(store->patience);
	if (store->eventfd != -1)
		close(store->eventfd);
	if (store->db != NULL)
		store->driver->close(store->db);
	pthread_cond_destroy(&store->wake);
	pthread_mutex_destroy(&store->mutex);
	free(store->path);
	free(store->directory);
	free_kept(store);
	free(store);
}

static struct store *
new_store(struct loop *loop, const struct store_driver *driver,
    const struct store_options *options)
{
	struct store *store = mem_zalloc(sizeof(*store));

	store->loop = loop;
	store->driver = driver;
	store->path = mem_strdup(options->path);
	store->directory = mem_strdup(options->directory);
	store->history = options->history;
	store->options = (struct store_options){ store->path, store->directory,
	    options->history };
	store->flush = (struct loop_task){ .run = flush, .owner = store };
	store->retry_after = STORE_RETRY_MIN_NS;
	store->healthy = store->known_healthy = true;
	TAILQ_INIT(&store->outgoing);
	TAILQ_INIT(&store->requests);
	TAILQ_INIT(&store->answers);
	init_locks(store);
	store->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return store;
}

struct store *
store_open(struct loop *loop, const struct store_driver *driver,
    const struct store_options *options, struct error *err)
{
	struct store *store = new_store(loop, driver, options);

	if (store->eventfd == -1) {
		error_set(err, ERROR_SYSTEM, "eventfd: %s", strerror(errno));
		goto fail;
	}
	store->answered = event_new(loop_base(loop), store->eventfd, EV_READ | EV_PERSIST,
	    on_answered, store);
	store->patience = evtimer_new(loop_base(loop), on_patience_over, store);
	if (store->answered == NULL || store->patience == NULL ||
	    event_add(store->answered, NULL) == -1) {
		error_set(err, ERROR_SYSTEM, "cannot watch the store");
		goto fail;
	}
	store->db = driver->open(&store->options, err);
	if (store->db == NULL)
		goto fail;
	driver->totals(store->db, &store->totals);
	store->known_totals = store->totals;
	store->kept = driver->kept(store->db, &store->kept_count);
	if (!start_thread(store, err))
		goto fail;
	return store;
fail:
	free_store(store);
	return NULL;
}

void
store_close(struct store *store)
{
	if (store == NULL)
		return;
	hand_over(store);
	pthread_mutex_lock(&store->mutex);
	store->stopping = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->mutex);
	pthread_join(store->thread, NULL);
	store->health = NULL;
	take_answers(store);
	/* An answer must not ask for more: nobody is there to do it. */
	assert(TAILQ_EMPTY(&store->outgoing));
	free_store(store);
}

void
store_on_health(struct store *store,
    void (*health)(void *owner, bool healthy, const struct error *why), void *owner)
{
	store->health = health;
	store->health_owner = owner;
}

void
store_set_history(struct store *store, unsigned seconds)
{
	pthread_mutex_lock(&store->mutex);
	store->history = seconds;
	store->history_told = true;
	pthread_cond_signal(&store->wake);
	pthread_mutex_unlock(&store->mutex);
}

bool
store_healthy(const struct store *store)
{
	return store->known_healthy;
}

const struct store_totals *
store_totals(const struct store *store)
{
	return &store->known_totals;
}

uint64_t
store_commits(const struct store *store)
{
	return store->known_commits;
}
