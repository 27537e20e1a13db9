/* client_greet.c - herald greet: what a server says, over TCP, TLS or a UNIX socket. */
#include "cmd/client.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"
#include "net/tls.h"

#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

static int
connect_unix(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	text_copy(un.sun_path, sizeof(un.sun_path), path);
	return client_open((const struct sockaddr *)&un, sizeof(un), SOCK_STREAM);
}

/* To the first address that answers; -1 and errno. */
static int
connect_first(const struct client_command *command, const struct addrinfo *addresses)
{
	int fd = -1;

	for (const struct addrinfo *a = addresses; a != NULL && fd == -1; a = a->ai_next) {
		struct endpoint endpoint;

		endpoint_from_sockaddr(&endpoint, a->ai_addr, a->ai_addrlen);
		fd = client_open(a->ai_addr, a->ai_addrlen, a->ai_socktype);
		client_debug(
		    command, "%s: %s", endpoint.text, fd != -1 ? "connected" : strerror(errno));
	}
	return fd;
}

struct stream {
	int fd;
	SSL *ssl; /* NULL: plain */
};

/* Octets read, 0 at the end, -1 and the exit code said. */
static ssize_t
stream_read(struct stream *stream, char *octets, size_t size, int *exit_code)
{
	char reason[200];
	ssize_t len;
	int result;

	for (;;) {
		if (stream->ssl == NULL) {
			len = recv(stream->fd, octets, size, 0);
			if (len >= 0)
				return len;
			if (errno != EAGAIN && errno != EINTR) {
				*exit_code = client_fail(
				    EX_UNAVAILABLE, "cannot read: %s", strerror(errno));
				return -1;
			}
		} else {
			ERR_clear_error();
			result = SSL_read(stream->ssl, octets, (int)size);
			if (result > 0)
				return result;
			if (SSL_get_error(stream->ssl, result) == SSL_ERROR_ZERO_RETURN)
				return 0;
			if (SSL_get_error(stream->ssl, result) != SSL_ERROR_WANT_READ) {
				tls_error_text(stream->ssl, reason, sizeof(reason));
				*exit_code = client_fail(EX_UNAVAILABLE, "TLS: %s", reason);
				return -1;
			}
		}
		if (client_wait(stream->fd, POLLIN, CLIENT_SECONDS) == 0) {
			*exit_code = client_fail(
			    EX_TEMPFAIL, "the server said nothing for %d s", CLIENT_SECONDS);
			return -1;
		}
	}
}

/* The handshake, up to a certificate that is good for `host`; an exit code. */
static int
secure(const struct client_command *command, struct stream *stream, struct tls_context *tls,
    const char *host)
{
	struct error err;
	char reason[200];
	int result;

	stream->ssl = tls_session(tls, host, &err);
	if (stream->ssl == NULL || SSL_set_fd(stream->ssl, stream->fd) != 1)
		return client_fail(EX_SOFTWARE, "%s", err.text);
	while ((result = SSL_connect(stream->ssl)) != 1) {
		int wanted = SSL_get_error(stream->ssl, result);

		if (wanted != SSL_ERROR_WANT_READ && wanted != SSL_ERROR_WANT_WRITE) {
			tls_error_text(stream->ssl, reason, sizeof(reason));
			return client_fail(EX_UNAVAILABLE, "TLS: %s", reason);
		}
		if (client_wait(stream->fd, wanted == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT,
			CLIENT_SECONDS) == 0)
			return client_fail(EX_TEMPFAIL, "TLS: no answer for %d s", CLIENT_SECONDS);
	}
	if (!tls_judge(tls, stream->ssl, &err))
		return client_fail(EX_UNAVAILABLE, "%s", err.text);
	client_debug(
	    command, "%s, %s", SSL_get_version(stream->ssl), SSL_get_cipher_name(stream->ssl));
	return 0;
}

static int
print_stream(const struct client_command *command, struct stream *stream)
{
	struct buf said = { 0 };
	size_t total = 0;
	int exit_code = 0;
	ssize_t len;

	/* A terminal gets it whole: a character may stand across two reads. */
	while ((len = stream_read(stream, buf_reserve(&said, 16384), 16384, &exit_code)) > 0) {
		buf_commit(&said, (size_t)len);
		total += (size_t)len;
		if (!isatty(STDOUT_FILENO) || said.len > 1024 * 1024) {
			client_print(buf_octets(&said), said.len);
			fflush(stdout);
			buf_clear(&said);
		}
	}
	client_print(buf_octets(&said), said.len);
	if (isatty(STDOUT_FILENO) && said.len > 0 && buf_octets(&said)[said.len - 1] != '\n')
		putchar('\n');
	buf_free(&said);
	client_debug(
	    command, "%zu octets%s", total, exit_code == 0 ? ", closed by the server" : "");
	return client_flush(exit_code);
}

static int
greet_over(const struct client_command *command, int fd, const char *host)
{
	const struct tls_client_params params = { .verify = true, .min_version = TLS1_2_VERSION };
	struct stream stream = { .fd = fd };
	struct tls_context *tls = NULL;
	struct error err;
	int exit_code = 0;

	if (command->tls) {
		tls = tls_client_new(&params, &err);
		exit_code = tls != NULL ? secure(command, &stream, tls, host)
					: client_fail(EX_SOFTWARE, "%s", err.text);
	}
	if (exit_code == 0)
		exit_code = print_stream(command, &stream);
	if (stream.ssl != NULL)
		SSL_free(stream.ssl);
	tls_unref(tls);
	close(fd);
	return exit_code;
}

int
client_greet(const struct client_command *command)
{
	struct addrinfo *addresses;
	char host[ENDPOINT_HOST_MAX + 1] = "";
	uint16_t port;
	int fd, exit_code;

	if (command->word_count > 0 || command->has_count)
		return client_fail(EX_USAGE, "greet takes HOST:PORT, --tls and --debug");
	if (text_has_prefix(command->server, "unix:")) {
		if (command->tls)
			return client_fail(EX_USAGE, "--tls needs HOST:PORT");
		fd = connect_unix(command->server + strlen("unix:"));
	} else {
		exit_code = client_parse(command->server, host, &port);
		if (exit_code == 0)
			exit_code = client_look_up(host, port, SOCK_STREAM, &addresses);
		if (exit_code != 0)
			return exit_code;
		fd = connect_first(command, addresses);
		freeaddrinfo(addresses);
	}
	if (fd == -1)
		return client_fail(
		    EX_UNAVAILABLE, "cannot connect to %s: %s", command->server, strerror(errno));
	return greet_over(command, fd, host);
}
