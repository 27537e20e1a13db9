/* stream.h - octets in and out of a stream socket, plain or under TLS, without waiting. */
#ifndef HERALD_NET_STREAM_H
#define HERALD_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "net/conn.h"

typedef struct ssl_st SSL;

enum stream_outcome {
	STREAM_DONE,
	STREAM_WANT_READ,		/* again once the socket is readable, */
	STREAM_WANT_WRITE,		/* writable */
	STREAM_ENDED,			/* *fault says why */
};

/* All zero but fd is a plain stream.  Does not move once TLS is prepared. */
struct stream {
	int fd;
	SSL *ssl;
	struct tls_context *tls;
	const char *version;		/* of TLS, from the end of the handshake: "TLSv1.3" */
	size_t room;			/* octets that this call may still take from the socket */
};

struct stream_fault {
	enum conn_end end;
	char text[256];
};

/* A new socket on its way to `to`: writable once stream_connected() can tell.  -1 and
 * *err for what is known at once.  `from`: an address of ours, or NULL. */
int stream_connect(const struct endpoint *to, const struct endpoint *from, struct error *err);
enum stream_outcome stream_connected(struct stream *stream, struct stream_fault *fault);
/* Output leaves when it is written: it was gathered already. */
void stream_set_no_delay(struct stream *stream);

/* Both count in *moved, which they zero first, what was moved before they had to stop. */
enum stream_outcome stream_read(struct stream *stream, char *octets, size_t size, size_t *moved,
    struct stream_fault *fault);
enum stream_outcome stream_write(struct stream *stream, const char *octets, size_t len,
    size_t *moved, struct stream_fault *fault);

/* Prepares TLS; the handshake is driven by stream_handshake(), which judges the peer. */
bool stream_start_tls(struct stream *stream, struct tls_context *tls, const char *server_name,
    struct error *err) __attribute__((warn_unused_result));
enum stream_outcome stream_handshake(struct stream *stream, struct stream_fault *fault);
/* tls_certificate_text() of the peer, to be freed; NULL: it has shown none. */
char *stream_certificate_text(const struct stream *stream);
bool stream_is_resumed(const struct stream *stream);
/* Whether TLS holds octets that the socket no longer tells of. */
bool stream_has_pending(const struct stream *stream);

/* Ends TLS with close_notify and gives away the descriptor. */
int stream_release(struct stream *stream);
void stream_close(struct stream *stream);

#endif
