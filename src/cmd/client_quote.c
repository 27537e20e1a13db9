/* client_quote.c - herald quote: a datagram out, a quote in. */
#include "cmd/client.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define REPLY_MAX 65536 /* no datagram is longer */

struct asker {
	const struct client_command *command;
	struct addrinfo *addresses; /* of the server */
	int fd;			    /* -1: not yet open */
	char reply[REPLY_MAX];
};

/* Sends and waits; the length of the reply, or -1 and errno. */
static ssize_t
exchange(struct asker *asker, const char *text, size_t len)
{
	/* What came too late for the question before is no answer to this one. */
	while (recv(asker->fd, asker->reply, sizeof(asker->reply), 0) >= 0)
		;
	if (send(asker->fd, text, len, 0) == -1)
		return -1;
	if (client_wait(asker->fd, POLLIN, asker->command->timeout) == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	return recv(asker->fd, asker->reply, sizeof(asker->reply), 0);
}

/* The first address that does not refuse is kept: a name often has an IPv6 address
 * where the service has none. */
static ssize_t
ask_somewhere(struct asker *asker, const char *text, size_t len)
{
	ssize_t got = -1;

	if (asker->fd != -1)
		return exchange(asker, text, len);
	for (const struct addrinfo *a = asker->addresses; a != NULL; a = a->ai_next) {
		struct endpoint endpoint;

		endpoint_from_sockaddr(&endpoint, a->ai_addr, a->ai_addrlen);
		asker->fd = client_open(a->ai_addr, a->ai_addrlen, SOCK_DGRAM);
		got = asker->fd != -1 ? exchange(asker, text, len) : -1;
		client_debug(asker->command, "%s: %s", endpoint.text,
		    got >= 0 ? "answered" : strerror(errno));
		if (got >= 0 || (asker->fd != -1 && errno == ETIMEDOUT))
			return got;
		if (asker->fd != -1 && a->ai_next != NULL) {
			close(asker->fd);
			asker->fd = -1;
		}
	}
	return got;
}

static int
ask(struct asker *asker, const char *text, size_t len)
{
	ssize_t got = ask_somewhere(asker, text, len);

	if (got == -1 && errno == ETIMEDOUT)
		return client_fail(EX_TEMPFAIL, "no reply from %s within %llu s",
		    asker->command->server, (unsigned long long)asker->command->timeout);
	if (got == -1)
		return client_fail(
		    EX_UNAVAILABLE, "cannot ask %s: %s", asker->command->server, strerror(errno));
	client_print(asker->reply, (size_t)got);
	putchar('\n');
	return client_flush(0);
}

/* The words with a blank between them. */
static int
ask_words(struct asker *asker)
{
	const struct client_command *command = asker->command;
	struct buf text = { 0 };
	int exit_code = 0;

	for (int i = 0; i < command->word_count; i++)
		buf_appendf(&text, "%s%s", i > 0 ? " " : "", command->words[i]);
	for (uint64_t i = 0; exit_code == 0 && i < command->times; i++)
		exit_code = ask(asker, buf_octets(&text), text.len);
	buf_free(&text);
	return exit_code;
}

/* A reply that is lost does not end it; the exit code tells of the last fault. */
static int
ask_lines(struct asker *asker)
{
	bool prompts = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	char *line = NULL;
	size_t size = 0;
	int exit_code = 0;

	for (;;) {
		ssize_t len;
		int result;

		if (prompts) {
			fputs("> ", stdout);
			fflush(stdout);
		}
		len = getline(&line, &size, stdin);
		if (len > 0 && line[len - 1] == '\n')
			line[--len] = '\0';
		if (len == -1 || strcmp(line, "exit") == 0)
			break;
		result = ask(asker, line, (size_t)len);
		exit_code = result != 0 ? result : exit_code;
	}
	if (prompts && feof(stdin))
		putchar('\n');
	free(line);
	return exit_code;
}

int
client_quote(const struct client_command *command)
{
	struct asker *asker;
	char host[ENDPOINT_HOST_MAX + 1];
	uint16_t port;
	int exit_code;

	if (command->tls)
		return client_fail(EX_USAGE, "--tls is for greet");
	exit_code = client_parse(command->server, host, &port);
	if (exit_code != 0)
		return exit_code;
	asker = mem_zalloc(sizeof(*asker));
	asker->command = command;
	asker->fd = -1;
	exit_code = client_look_up(host, port, SOCK_DGRAM, &asker->addresses);
	if (exit_code == 0) {
		exit_code = command->word_count > 0 || command->has_count ? ask_words(asker)
									  : ask_lines(asker);
		freeaddrinfo(asker->addresses);
	}
	if (asker->fd != -1)
		close(asker->fd);
	free(asker);
	return exit_code;
}
