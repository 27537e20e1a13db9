/* greeting.h - the TCP service: whoever connects gets a text, and the connection is closed. */
#ifndef HERALD_SERVICES_GREETING_H
#define HERALD_SERVICES_GREETING_H

struct greeting;
struct loop;
struct service_ops;
struct socket_pool;

/* One object for all greeting blocks.  Both arguments must outlive it; it is freed by
 * greeting_service.destroy(). */
struct greeting *greeting_new(struct loop *loop, struct socket_pool *pool);

/* status(): {"welcome": {"connections": N, "served": N, "active": N, …}}, since the start. */
extern const struct service_ops greeting_service;

#endif
