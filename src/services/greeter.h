/* greeter.h - one greeting block at work: its listener, its clients, its counters. */
#ifndef HERALD_SERVICES_GREETER_H
#define HERALD_SERVICES_GREETER_H

#include "net/loop.h"
#include "net/socket.h"

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct config;
struct error;
struct greeting_config;

enum greeter_count {
	GREETER_CONNECTIONS,
	GREETER_SERVED,
	GREETER_LIMITED,
	GREETER_DENIED,
	GREETER_TIMEOUTS,
	GREETER_ERRORS,
	GREETER_OCTETS,
	GREETER_COUNTS,
};

extern const char *const greeter_count_names[GREETER_COUNTS];

/* Shared by the greeters of a block before and after a reload. */
struct greeter_tally {
	uint64_t counts[GREETER_COUNTS];
	unsigned references;
};

struct greeter_client;
TAILQ_HEAD(greeter_clients, greeter_client);

struct greeter {
	struct loop *loop;
	struct socket_pool *pool;
	const struct config *config; /* a reference: `section` is part of it */
	const struct greeting_config *section;
	struct socket_list sockets;
	struct listener *listener; /* NULL before it opens and once it is closed */
	struct tls_context *tls;   /* NULL: plain */
	struct template *template;
	struct greeter_tally *tally;
	unsigned active;		 /* clients, all together */
	struct map *by_address;		 /* struct share of each client's address */
	struct greeter_clients fresh;	 /* greeted in this turn, perhaps gone at its end */
	struct greeter_clients writing;	 /* the text did not fit into the socket; or TLS begins */
	struct greeter_clients draining; /* until they close, too */
	struct loop_task settle;	 /* looks at `fresh` */
	struct event tick;		 /* for the deadlines, while there are clients */
	bool is_ticking;
	struct loop_task *on_idle; /* put off when it is closed and the last client gone */
	TAILQ_ENTRY(greeter) entry;
};

/* Acquires the sockets and reads the certificate; accepts nothing yet. */
struct greeter *greeter_new(struct loop *loop, struct socket_pool *pool,
    const struct config *config, const struct greeting_config *section, struct error *err);
/* Takes part in `tally`, or has its own when NULL. */
void greeter_open(struct greeter *greeter, struct greeter_tally *tally);
/* Accepts no more; its clients go on. */
void greeter_close(struct greeter *greeter);
/* Ends those that have the text already; the others go on. */
void greeter_hurry(struct greeter *greeter);
void greeter_free(struct greeter *greeter); /* and its clients, at once */

#endif
