/* destination_parts.h - what the parts of a destination share; nobody else includes it. */
#ifndef HERALD_RELAY_DESTINATION_PARTS_H
#define HERALD_RELAY_DESTINATION_PARTS_H

#include "mail/status.h"
#include "net/loop.h"
#include "relay/budget.h"
#include "relay/destination.h"
#include "relay/job.h"
#include "relay/route.h"
#include "relay/tempo.h"

#include <event2/event_struct.h>

/* Places that are given mail in clear, the latest: a domain has few hosts. */
#define DESTINATION_CLEAR_MAX	8

struct destination {
	struct relay *relay;
	char *domain;			/* NULL: the hosts of the relay */
	struct job_list waiting;
	size_t waiting_count, waiting_places;
	bool counted;			/* in the budget, with so many places: */
	size_t counted_unproven;
	struct session **sessions;
	size_t session_count;
	struct tempo tempo;
	struct route_memory *memory;
	bool ready_is_no_proof;		/* the fault was of a session that was ready */
	unsigned refused_wait;		/* seconds for mail that a session ended over */
	int64_t recovered_at;		/* from such a fault, the last time; monotonic; 0: never */
	bool secret_renewed;		/* after a refused login, and no session was ready since */
	bool retired;			/* no new session, no new mail */
	bool forgoes_bdat;

	struct status fault;		/* the latest; text empty: none so far */
	char fault_place[ROUTE_TEXT_MAX], fault_tls[40];
	const char *fault_step;
	int64_t fault_setup_us;		/* of the session that found it */
	int64_t fault_at;		/* Unix seconds */
	int64_t slot_us;		/* when the last mail put off is due; monotonic */

	struct {
		char place[ROUTE_TEXT_MAX];
		int64_t until;
	} clear[DESTINATION_CLEAR_MAX];
	size_t next_clear;

	struct budget_wish wish;
	struct loop_task schedule;
	struct event timer;		/* the next look at what waits */
};

/* destination.c */
void destination_remove(struct destination *destination, struct job *job);	/* from `waiting` */
void destination_schedule_soon(struct destination *destination);
/* Sessions that take mail or could. */
size_t destination_working(const struct destination *destination);
void destination_recount(struct destination *destination);	/* in the budget */

/* destination_faults.c: what is given back to the queue, and why. */

enum destination_delay {
	DESTINATION_SUSPENDED,
	DESTINATION_PAUSED,
	DESTINATION_RATE,
	DESTINATION_BUSY,		/* others shall have their turn */
};
void destination_postpone_all(struct destination *destination, enum destination_delay why);
/* Of what waits, what must not stay in memory. */
void destination_trim(struct destination *destination);

#endif
