/* delivery.h - takes from the queue what is due, and has relays deliver it. */
#ifndef HERALD_RELAY_DELIVERY_H
#define HERALD_RELAY_DELIVERY_H

#include "base/service.h"

struct content;
struct delivery;
struct envelope;
struct loop;
struct queue;
struct resolver;

struct delivery *delivery_new(struct loop *loop, struct queue *queue, struct resolver *resolver);
/* self: the delivery.  A reload: new mail and what waits follow the new relay, sessions in
 * flight end under the old one. */
extern const struct service_ops delivery_service;

/* For queue_handlers.dispatch: `delivery` is a struct delivery. */
void delivery_dispatch(void *delivery, struct envelope *batch, struct content *content);

#endif
