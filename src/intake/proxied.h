/* proxied.h - takes the PROXY header, and nothing behind it, from a connection. */
#ifndef HERALD_INTAKE_PROXIED_H
#define HERALD_INTAKE_PROXIED_H

#include "proto/proxy_header.h"

struct loop;
struct proxied;

/* A proxy sends it at once, and on a network near us. */
#define PROXIED_SECONDS	10

/* Comes once, from the loop; proxied_free() is allowed inside it.  why: NULL, or what was
 * wrong; then the result is PROXY_BAD. */
typedef void proxied_done(void *arg, enum proxy_result result, const struct proxy_header *header,
    const char *why);

/* `fd` is borrowed, non-blocking, and nobody else reads it until `done`.  What follows the
 * header is left in the socket: it may be the first octets of TLS. */
struct proxied *proxied_new(struct loop *loop, int fd, proxied_done *done, void *arg);
void proxied_free(struct proxied *proxied);	/* NULL is allowed */

#endif
