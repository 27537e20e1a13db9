/* bounce.h - tells senders what became of their mail. */
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

/* For queue_handlers.report: `bounce` is a struct bounce.  Tells the sender of what was asked
 * for (RFC 3461 4.1): a failure, a delay, or that the mail was passed on.  Ends `batch` within
 * the call; where there are too many reports to its sender, within a few seconds, or it is to
 * come again later. */
void bounce_report(void *bounce, struct envelope *batch, struct content *content);

#endif
