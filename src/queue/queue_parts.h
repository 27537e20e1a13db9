/* queue_parts.h - what the parts of the queue share; nobody else includes it. */
#ifndef HERALD_QUEUE_QUEUE_PARTS_H
#define HERALD_QUEUE_QUEUE_PARTS_H

#include <sys/queue.h>

#include "net/loop.h"
#include "queue/queue.h"
#include "queue/schedule.h"
#include "queue/store.h"

struct event;
struct map;

/* Octets of fresh mail that goes to the relay without being read back (ARCHITECTURE 7), of mail
 * that was claimed, and of mail that waits for its commit: if there is more of that, the disk
 * does not keep up.  Together they leave room for the clients in max_memory, so that slow
 * relays alone never make it short. */
#define QUEUE_FRESH_MAX		(64ULL << 20)
#define QUEUE_FRESH_SHARE	2		/* of max_memory the n-th part at most */
#define QUEUE_CLAIMED_OCTETS	(32ULL << 20)
#define QUEUE_CLAIMED_SHARE	5
#define QUEUE_WAITING_MAX	(64ULL << 20)
#define QUEUE_WAITING_SHARE	2
/* What was claimed from the store and waits for the relay: enough to keep a thousand
 * sessions busy while the next claim is answered. */
#define QUEUE_CLAIMED_MAX	2000		/* messages */
/* Recipients of one claim.  In a large queue each is read from, and marked on, pages of its
 * own: ten milliseconds or so, in which fresh mail waits. */
#define QUEUE_CLAIM_LIMIT	250
/* After the relays were held back: so many are tried until one of them has a result. */
#define QUEUE_PROBES		50		/* messages */
#define QUEUE_BUCKETS		4096		/* a power of two */

/* One message in hand: with the relay, or with the bounce writer. */
struct flight {
	struct envelope *envelope;
	struct content *content;
	size_t open;			/* recipients without a result */
	uint64_t cost;			/* octets, as counted in the budget */
	bool claimed;			/* which budget; else fresh */
	bool reporting, ended;
	LIST_ENTRY(flight) bucket;
	TAILQ_ENTRY(flight) entry;	/* of the ended ones */
};
LIST_HEAD(flight_bucket, flight);
TAILQ_HEAD(flight_list, flight);

/* A message on its way into the store; with a report, the recipients that it speaks of. */
struct arrival {
	struct queue *queue;
	struct envelope *envelope;
	struct content *content;
	uint64_t cost;
	bool direct;			/* goes to the relay as soon as it is stored */
	bool again, sent;
	queue_submitted *done;		/* NULL: nobody waits any more, or a report */
	void *arg;
	struct flight **settles;	/* NULL: not a report */
	size_t settle_count;
	TAILQ_ENTRY(arrival) entry;
};
TAILQ_HEAD(arrival_list, arrival);

struct queue {
	struct loop *loop;
	struct store *store;
	struct queue_handlers handlers;
	char *state_directory;
	struct memory_budget *memory;	/* the loop's */
	uint64_t min_free_space;
	uint64_t fresh_max, claimed_max, waiting_max;	/* octets */
	bool disk_full;			/* why the store is in trouble */
	struct schedule schedule;
	unsigned lifetime, bounce_lifetime, delay_warning;
	bool started, draining, closing;

	int64_t last_id;
	struct arrival_list arrivals;
	uint64_t waiting_octets;
	uint64_t space_free;		/* as of space_checked */
	int64_t space_checked;		/* microseconds, monotonic; 0: never */

	struct flight_bucket buckets[QUEUE_BUCKETS];
	struct flight_list ended;
	size_t flights, claimed_flights;
	uint64_t fresh_octets, claimed_octets;

	bool claiming;
	int64_t next_due;		/* Unix seconds; -1: nothing waits */
	int64_t recover_at;		/* when to give back what was left in hand; -1: never */
	struct event *timer;
	int64_t held_until;		/* Unix seconds; 0: not held back; INT64_MAX: for good */
	int64_t held_end;		/* the same for a clock that is set back; monotonic, us */
	bool probing;			/* held back until lately, and no result since */
	int64_t probing_since, probe_second;	/* Unix seconds */
	size_t probe_count;		/* messages asked for in that second */

	struct map *kept;		/* of struct queue_value by name */
	struct event *keep_timer;

	struct store_outcome *outcomes;	/* not yet sent to the store */
	size_t outcome_count, outcome_room, recording;
	size_t put_back_count;		/* the first of them were sent once, in vain */
	struct loop_task task;		/* end of the turn: outcomes, ended flights, claims */
	uint64_t accepted, delivered, bounced, expired;
};

/* queue.c */
int64_t queue_id_number(const char *queue_id);		/* 0: it is none */
struct arrival *queue_new_arrival(struct queue *queue, struct envelope *envelope,
    struct content *content);
void queue_send_arrival(struct queue *queue, struct arrival *arrival);
void queue_log_removed(const struct store_ids *removed);

/* queue_flight.c: what is in hand. */
uint64_t queue_cost(const struct envelope *envelope, const struct content *content);
/* Consumes the envelope, takes a reference of the content; calls the relay. */
void queue_launch(struct queue *queue, struct envelope *envelope, struct content *content,
    bool claimed);
struct flight *queue_find_flight(struct queue *queue, const struct envelope *envelope);
void queue_end_flight(struct queue *queue, struct flight *flight);	/* at the turn's end */
void queue_free_flights(struct queue *queue);
void queue_give_back_all(struct queue *queue);
/* Whose rows are rightly in hand, for a claim that recovers the others. */
void queue_list_kept(struct queue *queue, struct store_claim *claim);
void queue_on_health(void *owner, bool healthy, const struct error *why);
void queue_end_turn(void *owner);

/* queue_claim.c: what is due, and whether it is dispatched. */
void queue_due(struct queue *queue, int64_t when);	/* something is due then */
/* What is left in hand in the store, and not in hand here, is given back at `when`. */
void queue_recover(struct queue *queue, int64_t when);
void queue_pump(struct queue *queue);			/* claims what is due, if there is room */
void queue_on_timer(int fd, short what, void *arg);
/* The same time, or the last one for which anything may be put off. */
int64_t queue_bound(const struct queue *queue, int64_t when);
/* Whether mail waits in the store rather than with the relay. */
bool queue_is_held_back(const struct queue *queue);
bool queue_takes_fresh(struct queue *queue);		/* or else it waits there at once */
/* When mail that comes into hand while it is so may be looked at again. */
int64_t queue_held_next(const struct queue *queue, int64_t next_attempt);
void queue_has_result(struct queue *queue);		/* some relay takes mail */

/* queue_results.c: what became of recipients. */
/* attempt: NULL where there was none; else `keep` says whether the history is to have it. */
void queue_add_outcome(struct queue *queue, const struct envelope *envelope,
    const struct recipient *recipient, const struct attempt *attempt, bool keep);
struct store_outcome queue_outcome(const struct envelope *envelope,
    const struct recipient *recipient);
void queue_flush_outcomes(struct queue *queue);

/* queue_reports.c: what senders are told, and what they were not. */
bool queue_is_told(const struct recipient *recipient);	/* is to be: failed, relayed, delayed */
/* Its sender is to be told of the delay, once: sets `warned` and `warning_owed`. */
void queue_warn(struct queue *queue, const struct envelope *envelope,
    struct recipient *recipient);
void queue_ask_report(struct queue *queue, struct flight *flight);
/* The outcomes that are stored with the report. */
void queue_fill_settled(const struct arrival *arrival, struct store_insert *insert);
void queue_on_reported(struct queue *queue, struct arrival *arrival,
    const struct store_request *request);

/* queue_kept.c: small values. */
bool queue_kept_open(struct queue *queue, struct error *err)
    __attribute__((warn_unused_result));
void queue_kept_write(struct queue *queue);		/* what is not yet stored */
void queue_kept_free(struct queue *queue);

#endif
