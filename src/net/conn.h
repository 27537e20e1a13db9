/* conn.h - one stream connection, read in blocks of octets, plain or under TLS. */
#ifndef HERALD_NET_CONN_H
#define HERALD_NET_CONN_H

#include <stdbool.h>
#include <stddef.h>

struct conn;
struct endpoint;
struct error;
struct loop;
struct tls_context;

enum conn_end { CONN_EOF, CONN_TIMEOUT, CONN_REFUSED, CONN_RESET, CONN_TLS, CONN_INPUT_FULL };

#define CONN_INPUT_MAX		(64 * 1024)	/* octets kept that on_input() did not consume */
#define CONN_DRAINED		(16 * 1024)	/* on_drained() comes when output falls below */

/* Called by the loop, never from inside a conn_*() call.  Members may be NULL but
 * on_input and on_closed.  After on_closed() the connection goes by itself: conn_close()
 * is allowed inside it and not needed, and later the pointer is no longer good. */
struct conn_events {
	void (*on_open)(void *owner);		/* conn_connect() succeeded */
	/* Returns how many of the octets it consumed.  The rest comes again, with more
	 * behind it, when more has arrived or after conn_resume(). */
	size_t (*on_input)(void *owner, const char *octets, size_t len);
	void (*on_drained)(void *owner);	/* unsent output fell below CONN_DRAINED */
	void (*on_secured)(void *owner);	/* handshake done, certificate judged good */
	void (*on_closed)(void *owner, enum conn_end end, const char *text);	/* the last call */
};

/* NULL and *err only for what is known at once; the rest comes to on_closed().
 * `events` must outlive the connection; `owner` is not touched. */
struct conn *conn_connect(struct loop *loop, const struct endpoint *to,
    const struct conn_events *events, void *owner, struct error *err);
/* The same from an address of ours (its port 0: any), of the same family; NULL: any. */
struct conn *conn_connect_from(struct loop *loop, const struct endpoint *to,
    const struct endpoint *from, const struct conn_events *events, void *owner,
    struct error *err);
struct conn *conn_adopt(struct loop *loop, int fd,	/* owns fd from now on */
    const struct conn_events *events, void *owner);

void conn_set_timeout(struct conn *conn, unsigned seconds);	/* without progress; 0: none */

/* Copies; all that is written in one turn leaves in one system call at its end. */
void conn_write(struct conn *conn, const void *octets, size_t len);
size_t conn_unsent(const struct conn *conn);		/* octets */

/* While paused no input is read and on_input() does not come. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);

/* The handshake starts once all output is sent.  Fails if the peer already sent
 * octets behind the line that agreed to TLS (CVE-2011-0411): called in on_input(),
 * `more_input` says that octets follow those that the call consumes.  server_name: the
 * host to verify and for SNI, an address literal too; NULL when we are the server. */
bool conn_start_tls(struct conn *conn, struct tls_context *tls, const char *server_name,
    bool more_input, struct error *err) __attribute__((warn_unused_result));
/* "TLSv1.3/verified", "TLSv1.2/encrypted", or "none": for the log. */
const char *conn_tls_text(const struct conn *conn);
/* Of the peer: "subject CN=…, issuer CN=…, until 2026-12-31, sha256:…", printable, or "".
 * For on_closed(), too, where the certificate may be the reason. */
void conn_certificate_text(const struct conn *conn, char *out, size_t size);
/* Whether the handshake went on where an earlier one had ended. */
bool conn_tls_is_resumed(const struct conn *conn);

/* Sends what is unsent, says end of file, reads and drops what the peer still sends
 * (at most 256 KiB and 5 s) so that no reset eats our words, closes.  No callback
 * follows, the owner may go. */
void conn_finish(struct conn *conn);

/* At once.  No callback follows.  Safe in a callback: memory is freed when the turn ends. */
void conn_close(struct conn *conn);

#endif
