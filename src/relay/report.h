/* report.h - a report to a sender as a message of its own, ready for the queue. */
#ifndef HERALD_RELAY_REPORT_H
#define HERALD_RELAY_REPORT_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct content;
struct envelope;
struct error;
struct queue;

struct report {
	struct envelope *envelope;	/* for queue_reported(), which consumes it */
	struct content *content;	/* a reference of the caller's */
};

/* About one message.  original: its mail data; what cannot be read of it is left out. */
bool report_make(struct report *out, struct queue *queue, const struct config *config,
    const struct envelope *about, struct content *original, struct error *err)
    __attribute__((warn_unused_result));

/* About several of one sender, in one. */
bool report_make_digest(struct report *out, struct queue *queue, const struct config *config,
    struct envelope *const *about, size_t count, struct error *err)
    __attribute__((warn_unused_result));

#endif
