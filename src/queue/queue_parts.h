/* queue_parts.h - what the parts of the queue share; nobody else includes it. */
#ifndef HERALD_QUEUE_QUEUE_PARTS_H
#define HERALD_QUEUE_QUEUE_PARTS_H

#include <sys/queue.h>

#include "net/loop.h"
#include "queue/queue.h"
#include "queue/schedule.h"
#include "queue/store.h"

struct event;

/* Octets of fresh mail that goes to the relay without being read back (ARCHITECTURE 7). */
#define QUEUE_FRESH_MAX		(64ULL << 20)
/* What was claimed from the store and waits for the relay: enough to keep a thousand
 * sessions busy while the next claim is answered. */
#define QUEUE_CLAIMED_MAX	2000		/* messages */
#define QUEUE_CLAIMED_OCTETS	(16ULL << 20)
/* Recipients of one claim.  In a large queue each is read from, and marked on, pages of its
 * own: ten milliseconds or so, in which fresh mail waits. */
#define QUEUE_CLAIM_LIMIT	250
/* Mail that waits for its commit; more means that the disk does not keep up. */
#define QUEUE_WAITING_MAX	(64ULL << 20)	/* octets */
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

/* A message on its way into the store, and the report's failed recipients with it. */
struct arrival {
	struct queue *queue;
	struct envelope *envelope;
	struct content *content;
	uint64_t cost;
	bool direct;			/* goes to the relay as soon as it is stored */
	bool again, sent;
	queue_submitted *done;		/* NULL: nobody waits any more, or a report */
	void *arg;
	struct flight *settles;		/* NULL: not a report */
	TAILQ_ENTRY(arrival) entry;
};
TAILQ_HEAD(arrival_list, arrival);

struct queue {
	struct loop *loop;
	struct store *store;
	struct queue_handlers handlers;
	char *state_directory;
	uint64_t min_free_space;
	struct schedule schedule;
	unsigned lifetime, bounce_lifetime;
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

	struct store_outcome *outcomes;	/* not yet sent to the store */
	size_t outcome_count, outcome_room, recording;
	size_t put_back_count;		/* the first of them were sent once, in vain */
	struct loop_task task;		/* end of the turn: outcomes, ended flights, claims */
	uint64_t accepted, delivered, bounced, expired;
};

/* queue.c */
int64_t queue_id_number(const char *queue_id);		/* 0: it is none */
void queue_send_arrival(struct queue *queue, struct arrival *arrival);
void queue_log_removed(const struct store_ids *removed);

/* queue_flight.c: what is in hand, and what is claimed. */
uint64_t queue_cost(const struct envelope *envelope, const struct content *content);
/* Consumes the envelope, takes a reference of the content; calls the relay. */
void queue_launch(struct queue *queue, struct envelope *envelope, struct content *content,
    bool claimed);
struct flight *queue_find_flight(struct queue *queue, const struct envelope *envelope);
void queue_end_flight(struct queue *queue, struct flight *flight);	/* at the turn's end */
void queue_free_flights(struct queue *queue);
void queue_give_back_all(struct queue *queue);
void queue_due(struct queue *queue, int64_t when);	/* something is due then */
/* What is left in hand in the store, and not in hand here, is given back at `when`. */
void queue_recover(struct queue *queue, int64_t when);
void queue_pump(struct queue *queue);			/* claims what is due, if there is room */
void queue_on_health(void *owner, bool healthy, const struct error *why);
void queue_on_timer(int fd, short what, void *arg);
void queue_end_turn(void *owner);

/* queue_results.c: what became of recipients. */
void queue_add_outcome(struct queue *queue, const struct envelope *envelope,
    const struct recipient *recipient);
void queue_flush_outcomes(struct queue *queue);
void queue_ask_report(struct queue *queue, struct flight *flight);
void queue_on_reported(struct queue *queue, struct arrival *arrival,
    const struct store_request *request);

#endif
