/* control.h - the control socket: one JSON request a line, one JSON answer a line. */
#ifndef HERALD_DAEMON_CONTROL_H
#define HERALD_DAEMON_CONTROL_H

#include "base/service.h"

struct control;
struct delivery;
struct loop;
struct queue;
struct resolver;
struct socket_pool;

/* What the verbs work on.  All borrowed. */
struct control_parts {
	struct loop *loop;
	struct resolver *resolver;
	struct queue *queue;
	struct delivery *delivery;
};

/* What only the daemon as a whole can answer. */
struct control_handlers {
	struct json_t *(*status)(void *daemon);		/* a new reference */
	bool (*reload)(void *daemon, struct error *err);
};

/* Whoever may connect is known by SO_PEERCRED: root and the daemon's own user may ask all,
 * others for what control_serve() lets them, and they take no more than their share of the
 * connections.
 * Request: {"verb": "queue list", …}.  Answer: {"ok": true, "result": …} or
 * {"ok": false, "error": "…", "exit": N} with N of sysexits.h.  Requests of one client are
 * answered in order, one at a time; a request is at most 64 KiB.  `parts` are copied. */
struct control *control_new(struct socket_pool *sockets, const struct control_parts *parts,
    const struct control_handlers *handlers, void *daemon);
extern const struct service_ops control_service;

#endif
