/* service.h - what the daemon needs of each of its parts: start, reload, stop. */
#ifndef HERALD_BASE_SERVICE_H
#define HERALD_BASE_SERVICE_H

#include <stdbool.h>

struct config;
struct error;
struct json_t;

/* Start and reload are the same path: prepare() of every service; if all agree,
 * each gets commit(), else those that had prepared get abandon() and nothing has
 * changed. */
struct service_ops {
	const char *name;		/* "greeting" */
	/* Does all that can fail: bind, read certificates and books.  Leaves the
	 * running part alone.  NULL and *err on failure.  `next` lives at least
	 * until commit() or abandon(); who keeps it takes a reference. */
	void *(*prepare)(void *self, const struct config *next, struct error *err);
	/* Cannot fail and does not block; consumes `prepared`. */
	void (*commit)(void *self, void *prepared, const struct config *next);
	void (*abandon)(void *self, void *prepared);
	/* Takes no new work; true once nothing is in flight.  Asked again until
	 * the stop deadline. */
	bool (*drain)(void *self);
	/* Its counters and state as a JSON object for heraldctl status: a new
	 * reference.  The member itself may be NULL. */
	struct json_t *(*status)(void *self);
	void (*destroy)(void *self);
};

#endif
