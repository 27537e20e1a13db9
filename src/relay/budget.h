/* budget.h - what all destinations share: descriptors for sessions, and room for mail. */
#ifndef HERALD_RELAY_BUDGET_H
#define HERALD_RELAY_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct budget;
struct loop;

/* Mail that may wait, in all, for destinations that deliver nothing, in places of
 * JOB_PLACE octets: less than half of what the queue claims, in messages and in octets, so
 * that the rest goes to those that do. */
#define BUDGET_UNPROVEN_MAX	400
/* While mail for several waits, each may have its share of so many jobs, and more where it
 * flows: the queue claims more only while it has no more than that in hand. */
#define BUDGET_SHARED		1000

/* Embedded in a destination that could not open a session; woken in its turn. */
struct budget_wish {
	void (*wake)(void *owner);
	void *owner;
	bool waits;
	bool first;			/* it has no session at all */
	TAILQ_ENTRY(budget_wish) entry;
};

/* Embedded in a session that is idle: its descriptor may be wanted elsewhere. */
struct budget_idle {
	void (*end)(void *owner);
	void *owner;
	bool listed;
	TAILQ_ENTRY(budget_idle) entry;
};

/* sessions_max 0: by RLIMIT_NOFILE, half of what is there beyond a reserve; the other half
 * is for those who bring mail. */
struct budget *budget_new(struct loop *loop, size_t sessions_max);
void budget_free(struct budget *budget);		/* NULL is allowed */

/* Whether a destination with `open` sessions may open one more, which is counted then.
 * Else it waits, and whoever is idle longest is asked to go. */
bool budget_open(struct budget *budget, struct budget_wish *wish, size_t open);
void budget_close(struct budget *budget);		/* a session has ended */
void budget_forget(struct budget *budget, struct budget_wish *wish);
void budget_list_idle(struct budget *budget, struct budget_idle *idle);
void budget_unlist_idle(struct budget *budget, struct budget_idle *idle);

/* Destinations that have mail waiting; places of it for those that deliver nothing. */
void budget_add_waiting(struct budget *budget, size_t destinations, size_t unproven);
void budget_sub_waiting(struct budget *budget, size_t destinations, size_t unproven);
bool budget_is_alone(const struct budget *budget);	/* one destination at most has mail */
size_t budget_share(const struct budget *budget);	/* of BUDGET_SHARED, for each of them */
bool budget_has_room(const struct budget *budget);
size_t budget_sessions(const struct budget *budget);

#endif
