/* listener.h - accepts clients of stream sockets in batches, and pauses when it cannot. */
#ifndef HERALD_NET_LISTENER_H
#define HERALD_NET_LISTENER_H

#include "net/endpoint.h"

struct listener;
struct loop;
struct socket_list;

/* `fd` is non-blocking, close-on-exec and belongs to the callee.  `peer` of a
 * UNIX socket has kind ENDPOINT_UNIX and no path. */
typedef void listener_accepted(void *owner, int fd, const struct endpoint *peer,
    const struct endpoint *local);

/* Accepts on all sockets of the list (borrowed: release them after listener_free()), at
 * most 64 clients a turn.  Out of descriptors, but for a reserve that clients do not get:
 * sends the newest clients away, closes those that linger, pauses for 100 ms, logs once a
 * minute, never spins. */
struct listener *listener_new(struct loop *loop, const struct socket_list *sockets,
    const char *component, listener_accepted *accepted, void *owner);
/* What a client hears that is sent away, with its line end; "": nothing.  Who says it is sent
 * away, too, while the memory of the loop is used up. */
void listener_set_farewell(struct listener *listener, const char *line);
void listener_free(struct listener *listener);

#endif
