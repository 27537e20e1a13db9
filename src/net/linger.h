/* linger.h - closes a connection so that no reset overtakes what was written to it. */
#ifndef HERALD_NET_LINGER_H
#define HERALD_NET_LINGER_H

#include <stddef.h>

struct loop;

/* Says end of file on the non-blocking stream socket `fd`, which it owns from now on,
 * reads and drops what the peer still sends, at most 256 KiB and 5 s, and closes.
 * Where all that succeeds at once no event is registered.  All output must be sent.
 * Of more than LOOP_ENDS_MAX that linger the oldest is closed. */
void linger_start(struct loop *loop, int fd);

/* Writes the octets and closes, without waiting for anything; owns `fd` from now on. */
void linger_dismiss(struct loop *loop, int fd, const char *octets, size_t len);

#endif
