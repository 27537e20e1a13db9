/* access.h - who may relay, and how many sessions a client may hold. */
#ifndef HERALD_INTAKE_ACCESS_H
#define HERALD_INTAKE_ACCESS_H

#include <stdbool.h>

#define ACCESS_KEY_MAX	64	/* an IPv6 address and "/64" */

struct endpoint;
struct submission_config;

/* Networks of `allow`; whoever reaches a UNIX socket of ours is a user of this machine. */
bool access_may_relay(const struct submission_config *section, const struct endpoint *peer);

/* Sessions counted by block and by client; the counts outlive a reload. */
struct access;

enum access_verdict { ACCESS_OK, ACCESS_FULL, ACCESS_CLIENT_FULL };

/* A value: whom the limits count as one client. */
struct access_client {
	/* "192.0.2.1", "2001:db8::/64", "loopback", "uid 1000"; "": not known yet */
	char key[ACCESS_KEY_MAX];
	bool is_local;			/* came by a UNIX socket */
};

/* One host has a whole /64 of IPv6 addresses (RFC 4291 2.5.1), and all of loopback.  `uid` is
 * of the peer of a UNIX socket. */
struct access_client access_client_of(const struct endpoint *peer, unsigned uid);

struct access *access_new(void);
void access_free(struct access *access);	/* NULL is allowed */
/* Counts one more session where both limits allow; each ACCESS_OK is answered by one
 * access_leave().  Sessions over TCP and over UNIX sockets have max_connections each. */
enum access_verdict access_enter(struct access *access, const struct submission_config *section,
    const struct access_client *client);
/* More than three quarters of max_connections are in use (RULES S). */
bool access_is_stressed(const struct access *access, const struct submission_config *section,
    const struct access_client *client);
void access_leave(struct access *access, const char *block, const struct access_client *client);

#endif
