/* client_stream.c - a connection of a client that blocks: TCP or a UNIX socket, then maybe TLS. */
#include "client/client_stream.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "net/endpoint.h"
#include "net/tls.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_PAUSE	50		/* milliseconds between two tries to connect */
#define TURN_MAX	100		/* milliseconds: a wait looks at the clock so often */

struct client_stream {
	int fd;
	struct endpoint peer;
	struct tls_context *tls;
	SSL *ssl;			/* NULL: in clear */
	/* What the latest call of OpenSSL waits for is not always what it does (RFC 8446 4.6). */
	bool read_wants_write, write_wants_read;
	bool is_drained;		/* the latest read met EAGAIN */
	char tls_text[80];
	char fault[256];
};

/* --- waiting --- */

static int
milliseconds_until(int64_t deadline)
{
	const int64_t left = deadline - clock_monotonic_us();

	if (left <= 0)
		return 0;
	return left / 1000 >= TURN_MAX ? TURN_MAX : (int)(left / 1000 + 1);
}

/* What comes of the socket; false: the time is over. */
static bool
wait_socket(int fd, short events, int64_t deadline)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	int count;

	while ((count = poll(&poll_fd, 1, milliseconds_until(deadline))) <= 0) {
		if (count == -1 && errno != EINTR)
			return true;	/* the next call says what it is */
		if (clock_monotonic_us() >= deadline)
			return false;
	}
	return true;
}

bool
client_stream_wait(struct client_stream *stream, bool want_read, bool want_write,
    int64_t deadline)
{
	short events = 0;

	/* TLS may hold octets that the socket no more shows. */
	if (want_read && !stream->is_drained && stream->ssl != NULL)
		return true;
	if (want_read)
		events |= stream->read_wants_write ? POLLOUT : POLLIN;
	if (want_write)
		events |= stream->write_wants_read ? POLLIN : POLLOUT;
	return wait_socket(stream->fd, events, deadline);
}

/* --- connecting --- */

struct client_stream *
client_stream_adopt(int fd)
{
	struct client_stream *stream = mem_zalloc(sizeof(*stream));
	struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
	socklen_t len = sizeof(address);

	stream->fd = fd;
	if (getpeername(fd, (struct sockaddr *)&address, &len) == 0)
		endpoint_from_sockaddr(&stream->peer, (struct sockaddr *)&address, len);
	return stream;
}

/* -1 and errno. */
static int
open_socket(const struct sockaddr *address, socklen_t len, int64_t deadline)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failure = 0;
	socklen_t failure_len = sizeof(failure);

	if (fd == -1 || connect(fd, address, len) == 0)
		return fd;
	failure = errno;
	if (failure == EINPROGRESS) {
		if (!wait_socket(fd, POLLOUT, deadline))
			failure = ETIMEDOUT;
		else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_len) == -1)
			failure = errno;
		if (failure == 0)
			return fd;
	}
	close(fd);
	errno = failure;
	return -1;
}

static size_t
count_addresses(const struct addrinfo *addresses)
{
	size_t count = 0;

	for (; addresses != NULL; addresses = addresses->ai_next)
		count++;
	return count;
}

/* One that does not answer leaves time for those behind it.  -1 and errno. */
static int
connect_first(const struct addrinfo *addresses, int64_t deadline,
    client_stream_attempt *on_attempt, void *owner)
{
	size_t count = count_addresses(addresses);
	int fd = -1;

	for (const struct addrinfo *a = addresses; a != NULL && fd == -1; a = a->ai_next) {
		const int64_t now = clock_monotonic_us();
		struct endpoint endpoint;
		int failure;

		fd = open_socket(a->ai_addr, a->ai_addrlen, now + (deadline - now) /
		    (int64_t)count--);
		failure = errno;
		endpoint_from_sockaddr(&endpoint, a->ai_addr, a->ai_addrlen);
		if (on_attempt != NULL)
			on_attempt(owner, endpoint.text, fd != -1 ? "connected" :
			    strerror(failure));
		errno = failure;
	}
	return fd;
}

struct client_stream *
client_stream_connect(const char *host, uint16_t port, int64_t deadline,
    client_stream_attempt *on_attempt, void *owner, struct error *err)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV,
	};
	struct addrinfo *addresses;
	bool has_colon = strchr(host, ':') != NULL;
	char service[8];
	int fd, failure;

	snprintf(service, sizeof(service), "%u", port);
	failure = getaddrinfo(host, service, &hints, &addresses);
	if (failure != 0) {
		error_set(err, ERROR_NETWORK, "cannot find %s: %s", host,
		    failure == EAI_SYSTEM ? strerror(errno) : gai_strerror(failure));
		errno = failure == EAI_AGAIN ? EAGAIN : ENOENT;
		return NULL;
	}
	fd = connect_first(addresses, deadline, on_attempt, owner);
	failure = errno;
	freeaddrinfo(addresses);
	if (fd != -1)
		return client_stream_adopt(fd);
	error_set(err, ERROR_NETWORK, "cannot connect to %s%s%s:%u: %s", has_colon ? "[" : "",
	    host, has_colon ? "]" : "", port, strerror(failure));
	errno = failure;
	return NULL;
}

/* It may be starting, or have more to take in than its backlog holds. */
static bool
may_come(int why)
{
	return why == ENOENT || why == ECONNREFUSED || why == EAGAIN || why == EINTR;
}

int
client_stream_unix_socket(const char *path, int64_t deadline, struct error *err)
{
	static const struct timespec pause = { 0, CONNECT_PAUSE * 1000000L };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = -1, why = ENAMETOOLONG;

	if (strlen(path) < sizeof(to.sun_path)) {
		memcpy(to.sun_path, path, strlen(path) + 1);
		while ((fd = open_socket((struct sockaddr *)&to, sizeof(to), deadline)) == -1 &&
		    may_come(errno) && clock_monotonic_us() < deadline)
			nanosleep(&pause, NULL);
		why = errno;
	}
	if (fd == -1) {
		error_set(err, ERROR_NETWORK, "cannot connect to %s: %s", path, strerror(why));
		errno = why;
	}
	return fd;
}

void
client_stream_close(struct client_stream *stream)
{
	const int saved = errno;

	if (stream == NULL)
		return;
	if (stream->ssl != NULL) {
		ERR_clear_error();
		/* Manners: a word that the peer need not read. */
		if (SSL_is_init_finished(stream->ssl) && stream->fault[0] == '\0')
			(void)SSL_shutdown(stream->ssl);
		SSL_free(stream->ssl);
	}
	tls_unref(stream->tls);
	close(stream->fd);
	free(stream);
	ERR_clear_error();
	errno = saved;
}

/* --- TLS --- */

/* The server of implicit TLS waits for us, and behind its answer to STARTTLS so does the other:
 * what is there already is no TLS, and may be another's who wants it to be taken for the
 * server's (CVE-2011-0411). */
static bool
is_silent(const struct client_stream *stream)
{
	char octet;

	return recv(stream->fd, &octet, 1, MSG_PEEK) <= 0;
}

static bool
shake_hands(struct client_stream *stream, int64_t deadline, struct error *err)
{
	char reason[200];
	int result;

	for (;;) {
		int wanted;

		ERR_clear_error();
		errno = 0;
		result = SSL_connect(stream->ssl);
		if (result == 1)
			return true;
		wanted = SSL_get_error(stream->ssl, result);
		if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE)
			break;
		if (!wait_socket(stream->fd, wanted == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
		    deadline)) {
			error_set(err, ERROR_TLS, "TLS: no answer in time");
			errno = EAGAIN;
			return false;
		}
	}
	if (ERR_peek_error() == 0 && errno != 0)
		text_copy(reason, sizeof(reason), strerror(errno));
	else
		tls_error_text(stream->ssl, reason, sizeof(reason));
	errno = EPROTO;
	return error_set(err, ERROR_TLS, "TLS: %s", reason);
}

bool
client_stream_secure(struct client_stream *stream, const struct tls_client_params *params,
    const char *host, int64_t deadline, struct error *err)
{
	errno = EPROTO;
	if (!is_silent(stream))
		return error_set(err, ERROR_TLS, "TLS: the server spoke in clear where TLS was to "
		    "begin");
	stream->tls = tls_client_new(params, err);
	if (stream->tls == NULL)
		return false;
	stream->ssl = tls_session(stream->tls, host, err);
	if (stream->ssl == NULL)
		return false;
	if (SSL_set_fd(stream->ssl, stream->fd) != 1)
		return error_set(err, ERROR_TLS, "TLS: cannot use the socket");
	if (!shake_hands(stream, deadline, err))
		return false;
	errno = EPROTO;
	if (!tls_judge(stream->tls, stream->ssl, err))
		return false;
	snprintf(stream->tls_text, sizeof(stream->tls_text), "%s, %s",
	    SSL_get_version(stream->ssl), SSL_get_cipher_name(stream->ssl));
	return true;
}

/* --- octets --- */

/* -1 with errno: EAGAIN, or what has been put into `fault`. */
static ssize_t
fail(struct client_stream *stream, const char *what, const char *why)
{
	snprintf(stream->fault, sizeof(stream->fault), "%s: %s", what, why);
	errno = EPROTO;
	return -1;
}

static ssize_t
fail_errno(struct client_stream *stream, const char *what)
{
	if (errno == EINTR)
		errno = EAGAIN;
	if (errno == EAGAIN)
		return -1;
	return fail(stream, what, strerror(errno));
}

/* Of a call that has not done it.  *crossed: it waits for the other direction. */
static ssize_t
judge_tls(struct client_stream *stream, const char *what, int result, int crossing, bool *crossed)
{
	const int wanted = SSL_get_error(stream->ssl, result);
	char reason[200];

	*crossed = wanted == crossing;
	if (wanted == SSL_ERROR_WANT_READ || wanted == SSL_ERROR_WANT_WRITE) {
		errno = EAGAIN;
		return -1;
	}
	if (wanted == SSL_ERROR_SYSCALL && ERR_peek_error() == 0 && errno != 0)
		return fail(stream, what, strerror(errno));
	tls_error_text(stream->ssl, reason, sizeof(reason));
	/* An end without close_notify may be anybody's (RFC 8446 6.1). */
	if (strstr(reason, "during the handshake") != NULL)
		text_copy(reason, sizeof(reason), "connection closed without an end of TLS");
	return fail(stream, what, reason);
}

ssize_t
client_stream_read(struct client_stream *stream, void *out, size_t size)
{
	ssize_t len;
	int result;

	stream->read_wants_write = false;
	stream->is_drained = false;
	if (stream->ssl == NULL) {
		len = recv(stream->fd, out, size, 0);
		if (len == -1)
			len = fail_errno(stream, "cannot read");
	} else {
		ERR_clear_error();
		errno = 0;
		result = SSL_read(stream->ssl, out, size > INT32_MAX ? INT32_MAX : (int)size);
		len = result;
		if (result <= 0 && SSL_get_error(stream->ssl, result) == SSL_ERROR_ZERO_RETURN)
			len = 0;
		else if (result <= 0)
			len = judge_tls(stream, "TLS", result, SSL_ERROR_WANT_WRITE,
			    &stream->read_wants_write);
	}
	stream->is_drained = len == -1 && errno == EAGAIN;
	return len;
}

ssize_t
client_stream_write(struct client_stream *stream, const void *octets, size_t len)
{
	ssize_t written;
	int result;

	stream->write_wants_read = false;
	if (stream->ssl == NULL) {
		written = send(stream->fd, octets, len, MSG_NOSIGNAL);
		return written == -1 ? fail_errno(stream, "cannot write") : written;
	}
	ERR_clear_error();
	errno = 0;
	result = SSL_write(stream->ssl, octets, len > INT32_MAX ? INT32_MAX : (int)len);
	if (result > 0)
		return result;
	return judge_tls(stream, "TLS", result, SSL_ERROR_WANT_READ, &stream->write_wants_read);
}

void
client_stream_end_writing(struct client_stream *stream)
{
	shutdown(stream->fd, SHUT_WR);
}

const char *
client_stream_fault(const struct client_stream *stream)
{
	return stream->fault;
}

bool
client_stream_is_loopback(const struct client_stream *stream)
{
	return stream->peer.address_len > 0 && endpoint_is_loopback(&stream->peer);
}

const char *
client_stream_tls_text(const struct client_stream *stream)
{
	return stream->tls_text;
}
