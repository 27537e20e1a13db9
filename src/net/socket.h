/* socket.h - the daemon's bound sockets, shared by what runs and what is prepared. */
#ifndef HERALD_NET_SOCKET_H
#define HERALD_NET_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint;
struct endpoint_list;
struct error;
struct socket_pool;

/* Bound (and listening, for SOCK_STREAM), non-blocking, close-on-exec.  A second
 * acquire of the same type and endpoint gives the same socket: that is how a
 * reload keeps what is unchanged.  The last release closes it and unlinks the
 * path of a UNIX socket that we made; inherited ones stay open. */
struct socket {
	int fd;
	int type;			/* SOCK_STREAM, SOCK_DGRAM */
	int family;			/* AF_INET, AF_INET6, AF_UNIX */
	uint16_t port;			/* host byte order; 0 for UNIX */
	const char *name;		/* the endpoint's text */
};

struct socket_list { struct socket **items; size_t count; };

/* Takes over what systemd passed (LISTEN_FDS, LISTEN_FDNAMES), for "systemd:NAME";
 * the environment variables are removed. */
struct socket_pool *socket_pool_new(void);
void socket_pool_free(struct socket_pool *pool);

/* All or nothing.  A UNIX socket gets `unix_mode` (0666: every local user may
 * submit; 0600 control).  UDP sockets get IP_PKTINFO / IPV6_RECVPKTINFO.  v6 sockets are
 * v6 only.  A stale UNIX socket path (nobody listens) is replaced; anything else there is
 * refused (RULES F1).  `what` names the block in errors: "greeting welcome". */
bool socket_acquire(struct socket_pool *pool, const struct endpoint_list *endpoints, int type,
    unsigned unix_mode, const char *what, struct socket_list *out, struct error *err)
    __attribute__((warn_unused_result));
void socket_release(struct socket_pool *pool, struct socket_list *list);

/* Uid of the peer of a connected UNIX socket (SO_PEERCRED), or (unsigned)-1. */
unsigned socket_peer_uid(int fd);

/* Whether one of our own UDP sockets is bound to this port (RULES U). */
bool socket_pool_has_udp_port(const struct socket_pool *pool, uint16_t port);

#endif
