/* bounce.h - tells senders that their mail failed. */
#ifndef HERALD_RELAY_BOUNCE_H
#define HERALD_RELAY_BOUNCE_H

#include "base/service.h"

struct bounce;
struct content;
struct envelope;
struct loop;
struct queue;

struct bounce *bounce_new(struct loop *loop, struct queue *queue);
extern const struct service_ops bounce_service;		/* self: the bounce */

/* For queue_handlers.report: `bounce` is a struct bounce.  Ends `failed` within the call, by
 * queue_reported() or, where nobody can be told, by queue_park(). */
void bounce_report(void *bounce, struct envelope *failed, struct content *content);

#endif
