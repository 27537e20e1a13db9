/* queue.h - takes mail over, hands what is due to the relay, and keeps its fate. */
#ifndef HERALD_QUEUE_QUEUE_H
#define HERALD_QUEUE_QUEUE_H

#include "base/service.h"
#include "mail/envelope.h"

#include <stdint.h>

struct config;
struct content;
struct error;
struct loop;
struct memory_budget;
struct queue;
struct store_attempt;
struct store_trace_row;

/* Opens the store named by config->queue (SQLite; one writer thread) and checks it as
 * RULES S1.  Nothing is dispatched before queue_start(). */
struct queue *queue_new(struct loop *loop, const struct config *config, struct error *err);
extern const struct service_ops queue_service;		/* self: the queue; destroy frees it */

/* Upward calls, wired in daemon.c before queue_start(). */
struct queue_handlers {
	/* One message's due recipients (`batch` belongs to the queue until the last of
	 * them has its queue_result(), queue_postpone() or queue_return(), of which each gets
	 * exactly one, never from inside this call).  `content` is borrowed and lives as long
	 * as the batch. */
	void (*dispatch)(void *relay, struct envelope *batch, struct content *content);
	void *relay;
	/* The sender has to be told of each recipient of the batch, and nobody else is in it.
	 * RECIPIENT_OWED: failed for good or, where `last` is a success, relayed to a host
	 * that tells no more.  DEFERRED with `warning_owed`: delayed.  Must be ended by
	 * exactly one queue_reported(), queue_reported_many(), queue_report_later() or
	 * queue_park(), inside this call or later. */
	void (*report)(void *bounce, struct envelope *batch, struct content *content);
	void *bounce;
};
void queue_set_handlers(struct queue *queue, const struct queue_handlers *handlers);
void queue_start(struct queue *queue);

/* --- intake --- */

/* A new queue id, never given before (SPEC 4); for the Received field and the log. */
void queue_new_id(struct queue *queue, char out[QUEUE_ID_MAX + 1]);
/* Whether a message of `size` octets (0: not said) could be taken now; else a 452 or 451
 * in *why: disk floor (min_free_space), store in trouble, nine tenths of max_memory in use.
 * Asked at MAIL. */
bool queue_has_room(struct queue *queue, uint64_t size, struct status *why);
/* Whether a message that was begun may still grow by recipients; else a 452 in *why. */
bool queue_has_memory(const struct queue *queue, struct status *why);
/* What mail and its clients take, counted against max_memory: for envelope_charge() and
 * content_charge(), which queue_submit() does where the caller did not. */
struct memory_budget *queue_memory(struct queue *queue);
/* The 4xx for what queue_submit() could not store. */
struct status queue_refusal(const struct error *err);

typedef void queue_submitted(void *arg, const char *queue_id, const struct error *err);

/* Takes over responsibility (RFC 5321 6.1).  The envelope has its queue_id; it is
 * consumed, the content gets a reference of the queue's own.  `done` comes from the
 * loop, after COMMIT and sync: the caller may say 250 only when err == NULL; on error
 * it says 451 and has lost nothing.  `done` may be told not to come: queue_forget(). */
void queue_submit(struct queue *queue, struct envelope *envelope, struct content *content,
    queue_submitted *done, void *arg);
void queue_forget(struct queue *queue, void *arg);	/* the client of that submit is gone */

/* --- relay --- */

/* A charged attempt.  success: done, or owed a report where NOTIFY=SUCCESS asks for one and
 * the peer does not make it.  permanent: failed, a report if wanted.  transient: next attempt
 * by schedule_next(), or failed with 4.4.7 once the message has expired.  The attempt is
 * kept for queue_show(), and its status and relay as the recipient's `last` and `relay`.
 * Returns what became of it, for the log. */
enum queue_fate { QUEUE_SENT, QUEUE_DEFERRED, QUEUE_BOUNCED, QUEUE_EXPIRED };
enum queue_fate queue_result(struct queue *queue, struct envelope *batch, size_t index,
    const struct attempt *attempt);
/* Not charged, and never the end of the recipient: it waits in the store until `when` (Unix
 * seconds; a time that is further away than retry_max, but at least an hour, comes then).
 * `attempt`: what is told about it; it goes to the history of attempts where its `at` is not
 * 0 and its status is not what is known already.  NULL: nothing new. */
void queue_postpone(struct queue *queue, struct envelope *batch, size_t index,
    const struct attempt *attempt, int64_t when);
/* At stop: gives the recipient back untouched, not charged an attempt. */
void queue_return(struct queue *queue, struct envelope *batch, size_t index);
/* No relay takes mail: until then (Unix seconds, bounded as in queue_postpone()) nothing is
 * dispatched, and fresh mail goes to the store alone.  Reports and warnings of delay go on,
 * but for what queue_report_later() has put off.  INT64_MAX: until told otherwise.  0: what
 * is due is dispatched at once.  When the time has come only a few messages are, until some
 * message has its queue_result(), or for ten seconds. */
void queue_hold_back(struct queue *queue, int64_t until);

/* --- bounce --- */

/* Queues the report (consumed as by queue_submit) and, in the same transaction, settles
 * the batch: what is owed is done, and who was warned is deferred with `warned` set.
 * report == NULL: nobody wanted one (NOTIFY=NEVER). */
void queue_reported(struct queue *queue, struct envelope *batch, struct envelope *report,
    struct content *content);
/* The same for one report, never NULL, about several messages. */
void queue_reported_many(struct queue *queue, struct envelope *const *batches, size_t count,
    struct envelope *report, struct content *content);
/* What is owed comes again at `when` (bounded as in queue_postpone()); a warning does not:
 * its recipient counts as warned. */
void queue_report_later(struct queue *queue, struct envelope *batch, int64_t when);
/* They can not be reported: kept as parked, LOG_CRIT by maillog_parked().  Nothing is lost
 * where only a success or a delay was to be told: these are as if reported. */
void queue_park(struct queue *queue, struct envelope *batch, const char *why);

/* --- control --- */

/* Each answer comes exactly once, from the loop or at the latest from queue_free(). */

struct queue_counts {
	uint64_t messages, active, deferred, held, parked;	/* recipients but the first */
	uint64_t oldest_seconds;
	uint64_t accepted, delivered, bounced, expired;		/* since the start */
};
struct queue_filter {
	const char *queue_id;		/* NULL: any */
	/* NULL: any; addresses whole, "@domain" or "<>"; relay: its name, or how
	 * that of its host begins */
	const char *state, *sender, *recipient, *relay;
	bool by_uid;			/* only what this user gave over a UNIX socket: */
	unsigned uid;
	int64_t older;			/* seconds; 0: any */
	size_t limit;			/* messages; 0: 1000 */
};
/* `messages` are borrowed for the call. */
typedef void queue_listed(void *arg, struct envelope *const *messages, size_t count,
    const struct error *err);

void queue_count(const struct queue *queue, struct queue_counts *out);
bool queue_healthy(const struct queue *queue);
void queue_list(struct queue *queue, const struct queue_filter *filter, queue_listed *done,
    void *arg);
/* What is in hand at this moment, being sent or reported, is not changed and not counted; what
 * waits for a suspended relay is not in hand.  `changed` counts recipients. */
enum queue_action {
	QUEUE_RETRY,			/* deferred, parked: due now */
	QUEUE_REMOVE,			/* deferred, held, parked: gone, without a report */
	QUEUE_HOLD,			/* deferred, parked: held */
	QUEUE_RELEASE,			/* held: due now */
	QUEUE_BOUNCE,			/* deferred, held, parked: failed, 5.7.0, and reported */
	QUEUE_REROUTE,			/* these by `relay`; held ones stay so, others: due now */
};
typedef void queue_acted(void *arg, uint64_t changed, const struct error *err);
/* `relay`: of REROUTE, a name that the caller has checked; else NULL. */
void queue_act(struct queue *queue, enum queue_action action, const struct queue_filter *filter,
    const char *relay, queue_acted *done, void *arg);
/* One message with all its recipients, and the attempts that are kept: by recipient, the
 * oldest first.  Borrowed for the call.  NULL and no error: it is not queued; if it was and
 * is remembered, its attempts come alone. */
typedef void queue_shown(void *arg, const struct envelope *envelope,
    const struct store_attempt *attempts, size_t count, const struct error *err);
void queue_show(struct queue *queue, const char *queue_id, queue_shown *done, void *arg);
/* What became of mail: what is queued first, the latest before others.  `what`: a queue id,
 * an address, or a Message-ID.  `limit`: rows; 0: 100; 10,000 at most. */
typedef void queue_traced(void *arg, const struct store_trace_row *rows, size_t count,
    const struct error *err);
void queue_trace(struct queue *queue, const char *what, size_t limit, queue_traced *done,
    void *arg);
/* Mail data of one message, for --content; NULL and *err when there is none. */
typedef void queue_loaded(void *arg, struct content *content, const struct error *err);
void queue_load(struct queue *queue, const char *queue_id, queue_loaded *done, void *arg);

void queue_flush(struct queue *queue);	/* every deferred recipient is due now (SIGUSR1) */

/* --- small values that survive a restart --- */

/* "" removes it.  Each is written at most once a second, and at queue_free(). */
void queue_keep(struct queue *queue, const char *name, const char *text);
/* A copy for the caller to free, or NULL; known from queue_new() on. */
char *queue_kept(const struct queue *queue, const char *name);

void queue_free(struct queue *queue);	/* waits for the store; active ones go back to deferred */

#endif
