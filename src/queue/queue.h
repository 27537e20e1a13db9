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
struct queue;

/* Opens the store named by config->queue (SQLite; one writer thread) and checks it as
 * RULES S1.  Nothing is dispatched before queue_start(). */
struct queue *queue_new(struct loop *loop, const struct config *config, struct error *err);
extern const struct service_ops queue_service;		/* self: the queue; destroy frees it */

/* Upward calls, wired in daemon.c before queue_start(). */
struct queue_handlers {
	/* One message's due recipients (`batch` belongs to the queue until the last of
	 * them has its queue_result(), which each gets exactly once, never from inside
	 * this call).  `content` is borrowed and lives as long as the batch. */
	void (*dispatch)(void *relay, struct envelope *batch, struct content *content);
	void *relay;
	/* Recipients that failed for good and whose sender has to be told: must be
	 * ended by exactly one queue_reported() or queue_park(), inside this call or later. */
	void (*report)(void *bounce, struct envelope *failed, struct content *content);
	void *bounce;
};
void queue_set_handlers(struct queue *queue, const struct queue_handlers *handlers);
void queue_start(struct queue *queue);

/* --- intake --- */

/* A new queue id, never given before (SPEC 4); for the Received field and the log. */
void queue_new_id(struct queue *queue, char out[QUEUE_ID_MAX + 1]);
/* Whether a message of `size` octets (0: not said) could be taken now; else a 452 or 451
 * in *why: disk floor (min_free_space), store in trouble, memory.  Asked at MAIL. */
bool queue_has_room(struct queue *queue, uint64_t size, struct status *why);

typedef void queue_submitted(void *arg, const char *queue_id, const struct error *err);

/* Takes over responsibility (RFC 5321 6.1).  The envelope has its queue_id; it is
 * consumed, the content gets a reference of the queue's own.  `done` comes from the
 * loop, after COMMIT and sync: the caller may say 250 only when err == NULL; on error
 * it says 451 and has lost nothing.  `done` may be told not to come: queue_forget(). */
void queue_submit(struct queue *queue, struct envelope *envelope, struct content *content,
    queue_submitted *done, void *arg);
void queue_forget(struct queue *queue, void *arg);	/* the client of that submit is gone */

/* --- relay --- */

/* success: done.  permanent: failed, a report if wanted.  transient: next attempt by
 * schedule_next(), or failed with 4.4.7 once the message has expired.  `relay`: the text
 * of the log's relay=, kept for `queue show`.  Returns what became of it, for the log. */
enum queue_fate { QUEUE_SENT, QUEUE_DEFERRED, QUEUE_BOUNCED, QUEUE_EXPIRED };
enum queue_fate queue_result(struct queue *queue, struct envelope *batch, size_t index,
    const struct status *status, const char *relay);
/* At stop: gives the recipient back untouched, not charged an attempt. */
void queue_return(struct queue *queue, struct envelope *batch, size_t index);

/* --- bounce --- */

/* Queues the report (consumed as by queue_submit) and, in the same transaction, settles
 * the failed recipients.  report == NULL: nobody wanted one (NOTIFY=NEVER). */
void queue_reported(struct queue *queue, struct envelope *failed, struct envelope *report,
    struct content *content);
/* They can not be reported: kept as parked, LOG_CRIT by maillog_parked(). */
void queue_park(struct queue *queue, struct envelope *failed, const char *why);

/* --- control --- */

/* Each answer comes exactly once, from the loop or at the latest from queue_free(). */

struct queue_counts {
	uint64_t messages, active, deferred, held, parked;	/* recipients but the first */
	uint64_t oldest_seconds;
	uint64_t accepted, delivered, bounced, expired;		/* since the start */
};
struct queue_filter {
	const char *queue_id;		/* NULL: any */
	/* NULL: any; addresses whole, "@domain" or "<>"; relay: how its name begins */
	const char *state, *sender, *recipient, *relay;
	int64_t older;			/* seconds; 0: any */
	size_t limit;			/* messages; 0: 1000 */
};
/* `messages` are borrowed for the call. */
typedef void queue_listed(void *arg, struct envelope *const *messages, size_t count,
    const struct error *err);
typedef void queue_acted(void *arg, uint64_t changed, const struct error *err);
enum queue_action { QUEUE_RETRY, QUEUE_REMOVE };

void queue_count(const struct queue *queue, struct queue_counts *out);
bool queue_healthy(const struct queue *queue);
void queue_list(struct queue *queue, const struct queue_filter *filter, queue_listed *done,
    void *arg);
/* RETRY: due now, parked ones too.  REMOVE: gone, without a report; what is being sent at
 * this moment is not removed and not counted. */
void queue_act(struct queue *queue, enum queue_action action, const struct queue_filter *filter,
    queue_acted *done, void *arg);
/* Mail data of one message, for --content; NULL and *err when there is none. */
typedef void queue_loaded(void *arg, struct content *content, const struct error *err);
void queue_load(struct queue *queue, const char *queue_id, queue_loaded *done, void *arg);

void queue_flush(struct queue *queue);	/* every deferred recipient is due now (SIGUSR1) */
void queue_free(struct queue *queue);	/* waits for the store; active ones go back to deferred */

#endif
