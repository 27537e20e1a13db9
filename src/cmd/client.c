/* client.c - what the verbs of herald share: errors, output, sockets. */
#include "cmd/client.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

int
client_fail(int exit_code, const char *fmt, ...)
{
	va_list ap;

	fputs("herald: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return exit_code;
}

void
client_debug(const struct client_command *command, const char *fmt, ...)
{
	va_list ap;

	if (!command->debug)
		return;
	fputs("herald: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* What a server says goes to a terminal without the controls that would drive it. */
static void
print_safely(const char *octets, size_t len)
{
	size_t size = len * 4 + 64, run;
	char *safe = mem_alloc(size);

	for (size_t at = 0; at < len; at += run + 1) {
		run = 0;
		while (at + run < len && strchr("\n\t\\", octets[at + run]) == NULL)
			run++;
		fputs(text_printable_utf8(safe, size, octets + at, run), stdout);
		if (at + run < len)
			putchar(octets[at + run]);
	}
	free(safe);
}

void
client_print(const char *octets, size_t len)
{
	if (isatty(STDOUT_FILENO))
		print_safely(octets, len);
	else
		fwrite(octets, 1, len, stdout);
}

int
client_flush(int exit_code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return exit_code;
	return client_fail(EX_IOERR, "cannot write to standard output");
}

int
client_wait(int fd, short events, uint64_t seconds)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	int count;

	do {
		count = poll(&poll_fd, 1, (int)seconds * 1000);
	} while (count == -1 && errno == EINTR);
	return count;
}

static bool
finish_connect(int fd)
{
	int failure = 0;
	socklen_t len = sizeof(failure);

	if (errno != EINPROGRESS)
		return false;
	if (client_wait(fd, POLLOUT, CLIENT_SECONDS) == 0) {
		errno = ETIMEDOUT;
		return false;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) == -1)
		return false;
	errno = failure;
	return failure == 0;
}

int
client_open(const struct sockaddr *address, socklen_t len, int type)
{
	int fd = socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), failure;

	if (fd == -1 || connect(fd, address, len) == 0 || finish_connect(fd))
		return fd;
	failure = errno;
	close(fd);
	errno = failure;
	return -1;
}

int
client_parse(const char *server, char host[ENDPOINT_HOST_MAX + 1], uint16_t *port)
{
	struct error err;

	if (!endpoint_parse_host(server, 0, host, port, &err))
		return client_fail(EX_USAGE, "%s", err.text);
	return 0;
}

int
client_look_up(const char *host, uint16_t port, int type, struct addrinfo **out)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = type, .ai_flags = AI_NUMERICSERV
	};
	char service[8];
	int failure;

	snprintf(service, sizeof(service), "%u", port);
	failure = getaddrinfo(host, service, &hints, out);
	if (failure == 0)
		return 0;
	return client_fail(failure == EAI_AGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE,
	    "cannot find %s: %s", host,
	    failure == EAI_SYSTEM ? strerror(errno) : gai_strerror(failure));
}
