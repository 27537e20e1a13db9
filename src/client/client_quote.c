/* client_quote.c - herald quote: a datagram out, a quote in. */
#include "client/client.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define REPLY_MAX 65536 /* no datagram is longer */

static const char help[] =
    "usage: herald quote HOST:PORT [TEXT...] [OPTION...]\n"
    "\n"
    "Sends TEXT as a datagram and prints the reply; without TEXT a line in, a reply out,\n"
    "until \"exit\" or the end of the input.\n"
    "\n"
    "  --count N      ask N times\n"
    "  --timeout 2s   how long to wait for a reply\n"
    "  --debug        show what happens\n"
    "\n"
    "Exit code 69: the server cannot be reached; 75: no reply came in time.\n";

enum { OPTION_DEBUG = 256, OPTION_COUNT, OPTION_TIMEOUT };

static const struct option long_options[] = {
	{ "debug", no_argument, NULL, OPTION_DEBUG },
	{ "count", required_argument, NULL, OPTION_COUNT },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	CLIENT_COMMON_OPTIONS
};

struct question {
	const char *server;		/* "HOST:PORT" */
	char **words;			/* behind the server; borrowed from argv */
	int word_count;
	bool debug, has_count;
	uint64_t times, timeout;	/* timeout: seconds */
};

struct asker {
	const struct question *question;
	struct addrinfo *addresses; /* of the server */
	int fd;			    /* -1: not yet open */
	char reply[REPLY_MAX];
};

static int
look_up(const char *host, uint16_t port, struct addrinfo **out)
{
	struct addrinfo hints = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV,
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

/* -1 and errno. */
static int
open_socket(const struct addrinfo *address)
{
	int fd = socket(address->ai_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int failure;

	if (fd == -1 || connect(fd, address->ai_addr, address->ai_addrlen) == 0)
		return fd;
	failure = errno;
	close(fd);
	errno = failure;
	return -1;
}

/* Sends and waits; the length of the reply, or -1 and errno. */
static ssize_t
exchange(struct asker *asker, const char *text, size_t len)
{
	/* What came too late for the question before is no answer to this one. */
	while (recv(asker->fd, asker->reply, sizeof(asker->reply), 0) >= 0)
		;
	if (send(asker->fd, text, len, 0) == -1)
		return -1;
	if (client_wait(asker->fd, POLLIN, asker->question->timeout) == 0) {
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
		asker->fd = open_socket(a);
		got = asker->fd != -1 ? exchange(asker, text, len) : -1;
		client_debug(asker->question->debug, "%s: %s", endpoint.text,
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
		    asker->question->server, (unsigned long long)asker->question->timeout);
	if (got == -1)
		return client_fail(
		    EX_UNAVAILABLE, "cannot ask %s: %s", asker->question->server, strerror(errno));
	client_print(asker->reply, (size_t)got);
	putchar('\n');
	return client_flush(0);
}

/* The words with a blank between them. */
static int
ask_words(struct asker *asker)
{
	const struct question *question = asker->question;
	struct buf text = { 0 };
	int exit_code = 0;

	for (int i = 0; i < question->word_count; i++)
		buf_appendf(&text, "%s%s", i > 0 ? " " : "", question->words[i]);
	for (uint64_t i = 0; exit_code == 0 && i < question->times; i++)
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

static int
ask_all(const struct question *question, struct addrinfo *addresses)
{
	struct asker *asker = mem_zalloc(sizeof(*asker));
	int exit_code;

	asker->question = question;
	asker->addresses = addresses;
	asker->fd = -1;
	exit_code = question->word_count > 0 || question->has_count ? ask_words(asker)
								    : ask_lines(asker);
	if (asker->fd != -1)
		close(asker->fd);
	free(asker);
	return exit_code;
}

/* -1 to go on, else the exit code. */
static int
take_option(struct question *question, int option)
{
	switch (option) {
	case OPTION_DEBUG:
		question->debug = true;
		return -1;
	case OPTION_COUNT:
		question->has_count = true;
		if (text_parse_number(optarg, &question->times) && question->times > 0)
			return -1;
		return client_fail(EX_USAGE, "--count takes a number from 1 up");
	case OPTION_TIMEOUT:
		if (text_parse_duration(optarg, &question->timeout) && question->timeout > 0 &&
		    question->timeout <= 3600)
			return -1;
		return client_fail(EX_USAGE, "--timeout takes 1s to 1h");
	default:
		return client_other_option(option, "quote", help);
	}
}

int
client_quote(int argc, char **argv)
{
	struct question question = { .times = 1, .timeout = 2 };
	struct addrinfo *addresses;
	char host[ENDPOINT_HOST_MAX + 1];
	uint16_t port;
	int option, exit_code;

	while ((option = getopt_long(argc, argv, CLIENT_SHORT_OPTIONS, long_options, NULL)) !=
	    -1) {
		exit_code = take_option(&question, option);
		if (exit_code != -1)
			return exit_code;
	}
	if (optind == argc)
		return client_fail(EX_USAGE, "quote takes HOST:PORT");
	question.server = argv[optind++];
	question.words = argv + optind;
	question.word_count = argc - optind;
	exit_code = client_parse(question.server, host, &port);
	if (exit_code == 0)
		exit_code = look_up(host, port, &addresses);
	if (exit_code != 0)
		return exit_code;
	exit_code = ask_all(&question, addresses);
	freeaddrinfo(addresses);
	return exit_code;
}
