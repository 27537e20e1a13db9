/* client_stream.h - a connection of a client that blocks: TCP or a UNIX socket, then maybe TLS. */
#ifndef HERALD_CLIENT_CLIENT_STREAM_H
#define HERALD_CLIENT_CLIENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct client_stream;
struct error;
struct tls_client_params;

/* Deadlines are of clock_monotonic_us(). */
#define CLIENT_STREAM_SECOND	INT64_C(1000000)

/* What comes of each address that is tried: "connected", or why not. */
typedef void client_stream_attempt(void *owner, const char *endpoint, const char *outcome);

/* To the first address of `host` that answers; the deadline is for all of them together.  NULL:
 * *err says why; errno is EAGAIN where another time may be better (the name server's fault).
 * on_attempt may be NULL. */
struct client_stream *client_stream_connect(const char *host, uint16_t port, int64_t deadline,
    client_stream_attempt *on_attempt, void *owner, struct error *err);

/* A connected non-blocking socket, or -1: *err says why, errno too.  A server that is about
 * to start (no socket yet, nobody listening, its backlog full) is waited for until the
 * deadline; 0: not at all. */
int client_stream_unix_socket(const char *path, int64_t deadline, struct error *err);

/* Over a connected socket that becomes the stream's. */
struct client_stream *client_stream_adopt(int fd);
void client_stream_close(struct client_stream *stream);	/* NULL is allowed; errno is kept */

/* The handshake, up to a certificate that is good for `host`.  False: *err says why, and
 * nothing may be sent over this stream any more; errno is EAGAIN when the time was over.  Who
 * has octets read that were not used yet must not call this: they were said in clear.  What
 * waits in the socket is refused here (RULES T). */
bool client_stream_secure(struct client_stream *stream, const struct tls_client_params *params,
    const char *host, int64_t deadline, struct error *err) __attribute__((warn_unused_result));

/* Never wait.  0: the peer has ended it; -1: errno is EAGAIN (wait), else client_stream_fault()
 * says what has gone wrong, for good. */
ssize_t client_stream_read(struct client_stream *stream, void *out, size_t size);
ssize_t client_stream_write(struct client_stream *stream, const void *octets, size_t len);
void client_stream_end_writing(struct client_stream *stream);	/* a broken one is still read */
const char *client_stream_fault(const struct client_stream *stream);

/* Until one of the two may be tried again; false: the deadline came first.  Comes back at once
 * while a read has not yet met EAGAIN, so one read a turn will do. */
bool client_stream_wait(struct client_stream *stream, bool want_read, bool want_write,
    int64_t deadline);

bool client_stream_is_loopback(const struct client_stream *stream);	/* 127.0.0.0/8, ::1 */
/* "TLSv1.3, TLS_AES_256_GCM_SHA384"; "" in clear. */
const char *client_stream_tls_text(const struct client_stream *stream);

#endif
