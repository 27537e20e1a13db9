/* quotes.h - the UDP service: each datagram is answered with the next quote. */
#ifndef HERALD_SERVICES_QUOTES_H
#define HERALD_SERVICES_QUOTES_H

struct loop;
struct quotes;
struct service_ops;
struct socket_pool;

/* One object for all quotes blocks.  Both arguments must outlive it; it is freed by
 * quotes_service.destroy(). */
struct quotes *quotes_new(struct loop *loop, struct socket_pool *pool);

/* status(): {"books": {"answered": N, "limited": N, "denied": N, …}}, since the start. */
extern const struct service_ops quotes_service;

#endif
