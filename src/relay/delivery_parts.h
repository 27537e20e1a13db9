/* delivery_parts.h - what the parts of the delivery share; nobody else includes it. */
#ifndef HERALD_RELAY_DELIVERY_PARTS_H
#define HERALD_RELAY_DELIVERY_PARTS_H

#include "net/loop.h"
#include "relay/delivery.h"
#include "relay/job.h"
#include "relay/relay.h"

struct delivery {
	struct relay_house house;
	const struct config *config;	/* a reference; NULL before the first commit */
	struct relay **relays;		/* in the order of the conffile */
	size_t relay_count;
	struct relay **retired;		/* of earlier configurations, until their sessions end */
	size_t retired_count;
	struct relay_record **records;	/* of every relay since the start, by name */
	size_t record_count;
	bool draining;
	int64_t held_until;		/* what the queue was told last */
	struct job_list homeless;	/* came while there is no relay, or at stop */
	struct loop_task end_homeless;
	struct loop_task weigh;		/* whether any relay takes mail */
	struct job_counts homeless_counts;
};

/* The index of the relay, or SIZE_MAX. */
size_t delivery_find(const struct delivery *delivery, const char *name);

/* delivery_routes.c: each job to the relay that its recipients go by. */

/* Consumes the job, whose recipients are sorted into one job for each relay and domain. */
void delivery_place(struct delivery *delivery, struct job *job);

#endif
