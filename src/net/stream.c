/* stream.c - octets in and out of a stream socket, plain or under TLS, without waiting. */
#include "net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/endpoint.h"
#include "net/tls.h"
#include "net/tls_certificate.h"

/* OpenSSL reads on by itself behind records that bring nothing (KeyUpdate, tickets,
 * HelloRequest): a peer that sent these without end would hold the loop.  Two records of full
 * size; those others take some 20 us for 27 octets. */
#define TLS_READ_MAX	(32 * 1024)	/* octets of the socket in one call */

static const struct {
	int failure;
	enum conn_end end;
	const char *text;
} faults[] = {
	{ ECONNREFUSED, CONN_REFUSED, "connection refused" },
	{ ENOENT, CONN_REFUSED, "no such socket" },
	{ ENETUNREACH, CONN_REFUSED, "network is unreachable" },
	{ EHOSTUNREACH, CONN_REFUSED, "no route to host" },
	{ EACCES, CONN_REFUSED, "permission denied" },
	{ EPERM, CONN_REFUSED, "operation not permitted" },
	{ ETIMEDOUT, CONN_TIMEOUT, "timed out" },
	{ ECONNRESET, CONN_RESET, "connection reset by peer" },
	{ EPIPE, CONN_RESET, "connection closed by peer while we wrote" },
};

static enum stream_outcome
ended_by(struct stream_fault *fault, int failure)
{
	const char *text = strerror(failure);

	fault->end = CONN_RESET;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		if (faults[i].failure == failure) {
			fault->end = faults[i].end;
			text = faults[i].text;
		}
	}
	text_copy(fault->text, sizeof(fault->text), text);
	return STREAM_ENDED;
}

static enum stream_outcome
ended(struct stream_fault *fault, enum conn_end end, const char *text)
{
	fault->end = end;
	text_copy(fault->text, sizeof(fault->text), text);
	return STREAM_ENDED;
}

/* From an address of our own: the port is chosen with the connection, so that as many may
 * go from there as to different places (ip(7)). */
static bool
bind_to(int fd, const struct endpoint *from, struct error *err)
{
	const int on = 1;

	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (bind(fd, &from->address.any, from->address_len) == 0)
		return true;
	return error_set(err, ERROR_NETWORK, "cannot send from %s: %s", from->text,
	    strerror(errno));
}

int
stream_connect(const struct endpoint *to, const struct endpoint *from, struct error *err)
{
	int fd = socket(to->address.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct stream_fault fault;

	if (fd == -1) {
		error_set(err, ERROR_NETWORK, "cannot make a socket: %s", strerror(errno));
		return -1;
	}
	if (from != NULL && !bind_to(fd, from, err)) {
		close(fd);
		return -1;
	}
	if (connect(fd, &to->address.any, to->address_len) == -1 && errno != EINPROGRESS) {
		ended_by(&fault, errno);
		error_set(err, ERROR_NETWORK, "%s", fault.text);
		close(fd);
		return -1;
	}
	return fd;
}

enum stream_outcome
stream_connected(struct stream *stream, struct stream_fault *fault)
{
	int failure = 0;
	socklen_t len = sizeof(failure);

	if (getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &failure, &len) == -1)
		failure = errno;
	return failure == 0 ? STREAM_DONE : ended_by(fault, failure);
}

void
stream_set_no_delay(struct stream *stream)
{
	const int on = 1;

	/* A UNIX socket has no such option, nor the delay. */
	setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* What an SSL_*() call that failed wants.  Called at once after it: the error queue
 * and errno are its. */
static enum stream_outcome
judge(struct stream *stream, int outcome, struct stream_fault *fault)
{
	int failure = errno;
	char text[200];

	switch (SSL_get_error(stream->ssl, outcome)) {
	case SSL_ERROR_WANT_READ:
		return STREAM_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return STREAM_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return ended(fault, CONN_EOF, "connection closed by peer");
	case SSL_ERROR_SYSCALL:
		if (failure == 0)
			return ended(fault, CONN_EOF, "connection closed by peer");
		return ended_by(fault, failure);
	default:
		break;
	}
	/* RFC 8446 6.1: without close_notify what came may be cut short. */
	if (stream->version != NULL &&
	    ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return ended(fault, CONN_EOF, "connection closed by peer without TLS close_notify");
	tls_session_distrust(stream->ssl);
	tls_error_text(stream->ssl, text, sizeof(text));
	fault->end = CONN_TLS;
	snprintf(fault->text, sizeof(fault->text), "TLS: %s", text);
	return STREAM_ENDED;
}

/* Around each read of the socket: one beyond what the call may take finds it empty. */
static long
on_bio(BIO *bio, int what, const char *octets, size_t len, int argi, long argl, int result,
    size_t *got)
{
	struct stream *stream = (void *)BIO_get_callback_arg(bio);

	(void)octets;
	(void)len;
	(void)argi;
	(void)argl;
	if (what == BIO_CB_READ && stream->room == 0) {
		BIO_set_retry_read(bio);
		return -1;
	}
	if (what == (BIO_CB_READ | BIO_CB_RETURN) && result > 0)
		stream->room -= *got < stream->room ? *got : stream->room;
	return result;
}

/* Record after record until the socket is empty or the room is full. */
static enum stream_outcome
read_tls(struct stream *stream, char *octets, size_t size, size_t *moved,
    struct stream_fault *fault)
{
	stream->room = TLS_READ_MAX;
	while (*moved < size) {
		size_t len = 0;
		int outcome;

		/* One queue for all connections: the error of another must not be seen here. */
		ERR_clear_error();
		errno = 0;
		outcome = SSL_read_ex(stream->ssl, octets + *moved, size - *moved, &len);
		if (outcome != 1)
			return judge(stream, outcome, fault);
		*moved += len;
	}
	return STREAM_DONE;
}

enum stream_outcome
stream_read(struct stream *stream, char *octets, size_t size, size_t *moved,
    struct stream_fault *fault)
{
	ssize_t len;

	*moved = 0;
	if (stream->version != NULL)
		return read_tls(stream, octets, size, moved, fault);
	do
		len = recv(stream->fd, octets, size, 0);
	while (len == -1 && errno == EINTR);
	if (len > 0) {
		*moved = (size_t)len;
		return STREAM_DONE;
	}
	if (len == 0)
		return ended(fault, CONN_EOF, "connection closed by peer");
	if (errno == EAGAIN)
		return STREAM_WANT_READ;
	return ended_by(fault, errno);
}

static enum stream_outcome
write_tls(struct stream *stream, const char *octets, size_t len, size_t *moved,
    struct stream_fault *fault)
{
	stream->room = TLS_READ_MAX;
	while (*moved < len) {
		size_t written = 0;
		int outcome;

		ERR_clear_error();
		errno = 0;
		outcome = SSL_write_ex(stream->ssl, octets + *moved, len - *moved, &written);
		if (outcome != 1)
			return judge(stream, outcome, fault);
		*moved += written;
	}
	return STREAM_DONE;
}

enum stream_outcome
stream_write(struct stream *stream, const char *octets, size_t len, size_t *moved,
    struct stream_fault *fault)
{
	*moved = 0;
	if (stream->version != NULL)
		return write_tls(stream, octets, len, moved, fault);
	while (*moved < len) {
		ssize_t sent = send(stream->fd, octets + *moved, len - *moved, MSG_NOSIGNAL);

		if (sent >= 0) {
			*moved += (size_t)sent;
		} else if (errno == EAGAIN) {
			return STREAM_WANT_WRITE;
		} else if (errno != EINTR) {
			return ended_by(fault, errno);
		}
	}
	return STREAM_DONE;
}

static bool
peer_place(const struct stream *stream, struct endpoint *place)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);

	if (getpeername(stream->fd, (struct sockaddr *)&address, &len) == -1)
		return false;
	endpoint_from_sockaddr(place, (struct sockaddr *)&address, len);
	return place->kind == ENDPOINT_INET;	/* others may have no name */
}

bool
stream_start_tls(struct stream *stream, struct tls_context *tls, const char *server_name,
    struct error *err)
{
	SSL *ssl = tls_session(tls, server_name, err);
	struct endpoint place;

	if (ssl == NULL)
		return false;
	if (SSL_set_fd(ssl, stream->fd) != 1) {
		tls_session_free(ssl);
		return error_set(err, ERROR_TLS, "TLS: cannot take the socket");
	}
	BIO_set_callback_ex(SSL_get_rbio(ssl), on_bio);
	BIO_set_callback_arg(SSL_get_rbio(ssl), (char *)stream);
	if (server_name != NULL && peer_place(stream, &place))
		tls_session_resume(tls, ssl, server_name, place.text);
	stream->ssl = ssl;
	stream->tls = tls_ref(tls);
	return true;
}

enum stream_outcome
stream_handshake(struct stream *stream, struct stream_fault *fault)
{
	enum stream_outcome outcome;
	struct error err;
	int done;

	stream->room = TLS_READ_MAX;
	ERR_clear_error();
	errno = 0;
	done = SSL_do_handshake(stream->ssl);
	if (done != 1) {
		outcome = judge(stream, done, fault);
		if (outcome == STREAM_ENDED && fault->end == CONN_EOF)
			return ended(fault, CONN_TLS,
			    "TLS: connection closed by peer during the handshake");
		return outcome;
	}
	if (!tls_judge(stream->tls, stream->ssl, &err))
		return ended(fault, CONN_TLS, err.text);
	stream->version = SSL_get_version(stream->ssl);
	return STREAM_DONE;
}

char *
stream_certificate_text(const struct stream *stream)
{
	X509 *certificate = stream->ssl != NULL ? tls_peer_certificate(stream->ssl) : NULL;
	char text[512];

	if (certificate == NULL)
		return NULL;
	tls_certificate_text(certificate, text, sizeof(text));
	return mem_strdup(text);
}

bool
stream_is_resumed(const struct stream *stream)
{
	return stream->ssl != NULL && SSL_session_reused(stream->ssl);
}

bool
stream_has_pending(const struct stream *stream)
{
	return stream->ssl != NULL && SSL_has_pending(stream->ssl);
}

int
stream_release(struct stream *stream)
{
	int fd = stream->fd;

	/* Once: the peer's close_notify is not waited for (RFC 8446 6.1). */
	if (stream->version != NULL) {
		ERR_clear_error();
		SSL_shutdown(stream->ssl);
	}
	stream->fd = -1;
	stream_close(stream);
	return fd;
}

void
stream_close(struct stream *stream)
{
	tls_session_free(stream->ssl);
	stream->ssl = NULL;
	tls_unref(stream->tls);
	stream->tls = NULL;
	if (stream->fd != -1)
		close(stream->fd);
	stream->fd = -1;
}
