/* delivery.h - takes from the queue what is due, and has relays deliver it. */
#ifndef HERALD_RELAY_DELIVERY_H
#define HERALD_RELAY_DELIVERY_H

#include "base/service.h"

#include <stdbool.h>

struct address;
struct content;
struct delivery;
struct envelope;
struct loop;
struct queue;
struct relay_params;
struct resolver;

struct delivery *delivery_new(struct loop *loop, struct queue *queue, struct resolver *resolver);
/* self: the delivery.  A reload: new mail and what waits follow the new routes, sessions in
 * flight end under the old settings. */
extern const struct service_ops delivery_service;

/* For queue_handlers.dispatch: `delivery` is a struct delivery. */
void delivery_dispatch(void *delivery, struct envelope *batch, struct content *content);

/* Suspensions end, and what was learnt about places and their pace is forgotten: the
 * administrator says that all is due now. */
void delivery_flush(struct delivery *delivery);

/* --- for the control socket; each JSON value is a new reference --- */

/* All relays in the order of the conffile: [{"name", "hosts", "tls", "paused",
 * "suspended_seconds", "fault", "fault_at", "sessions", ..., "destinations": [...]}]. */
struct json_t *delivery_relays(const struct delivery *delivery);
/* Asked for mail that is to be rerouted there: from now on the relay counts as one in use. */
bool delivery_has_relay(struct delivery *delivery, const char *name);
/* Survives a restart.  False: there is no such relay. */
bool delivery_pause(struct delivery *delivery, const char *name, bool pause);
/* What would become of mail of that sender to that recipient: {"relay", "rule", "hosts",
 * "tls", "verify", "username", "password", ...}; relay null: no relay takes it.  `password`
 * is where the secret is kept, never the secret. */
struct json_t *delivery_route(const struct delivery *delivery, const struct address *reverse_path,
    const struct address *forward_path);
/* What a session with that relay needs, relay/relay.h; NULL: there is no such relay.  Good
 * until the loop's turn ends. */
const struct relay_params *delivery_relay_params(const struct delivery *delivery,
    const char *name);

#endif
