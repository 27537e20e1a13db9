/* client_greet.c - herald greet: what a server says, over TCP, TLS or a UNIX socket. */
#include "client/client.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "client/client_stream.h"
#include "net/tls.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK		16384		/* octets read at a time */
#define HELD_MAX	(1024 * 1024)	/* octets that wait for a terminal */
#define UNIX		"unix:"

static const char help[] =
    "usage: herald greet HOST:PORT|unix:PATH [OPTION...]\n"
    "\n"
    "Connects and prints what the server says.\n"
    "\n"
    "  --tls     TLS from the first octet, with a certificate that is valid for HOST\n"
    "  --debug   show what happens\n"
    "\n"
    "Exit code 69: the server cannot be reached, or its certificate is not valid; 75: it said\n"
    "nothing for 30 s.\n";

enum { OPTION_TLS = 256, OPTION_DEBUG };

static const struct option long_options[] = {
	{ "tls", no_argument, NULL, OPTION_TLS },
	{ "debug", no_argument, NULL, OPTION_DEBUG },
	CLIENT_COMMON_OPTIONS
};

struct greet {
	const char *server;
	char host[ENDPOINT_HOST_MAX + 1];
	bool tls, debug;
	struct client_stream *stream;
};

static int64_t
deadline(void)
{
	return clock_monotonic_us() + CLIENT_SECONDS * CLIENT_STREAM_SECOND;
}

static void
on_attempt(void *owner, const char *endpoint, const char *outcome)
{
	const struct greet *greet = owner;

	client_debug(greet->debug, "%s: %s", endpoint, outcome);
}

/* An exit code. */
static int
open_stream(struct greet *greet)
{
	struct error err;
	uint16_t port;
	int exit_code = 0, fd;

	if (text_has_prefix(greet->server, UNIX)) {
		if (greet->tls)
			return client_fail(EX_USAGE, "--tls needs HOST:PORT");
		fd = client_stream_unix_socket(greet->server + strlen(UNIX), 0, &err);
		if (fd != -1)
			greet->stream = client_stream_adopt(fd);
	} else {
		exit_code = client_parse(greet->server, greet->host, &port);
		if (exit_code != 0)
			return exit_code;
		greet->stream = client_stream_connect(greet->host, port, deadline(), on_attempt,
		    greet, &err);
	}
	if (greet->stream != NULL)
		return 0;
	return client_fail(errno == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE, "%s", err.text);
}

static int
secure(const struct greet *greet)
{
	const struct tls_client_params params = { .verify = true, .min_version = TLS1_2_VERSION };
	struct error err;

	if (!greet->tls)
		return 0;
	if (!client_stream_secure(greet->stream, &params, greet->host, deadline(), &err))
		return client_fail(errno == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE, "%s", err.text);
	client_debug(greet->debug, "%s", client_stream_tls_text(greet->stream));
	return 0;
}

/* Octets read, 0 at the end, -1 and the exit code said. */
static ssize_t
read_some(struct client_stream *stream, char *octets, size_t size, int *exit_code)
{
	ssize_t len;

	while ((len = client_stream_read(stream, octets, size)) == -1 && errno == EAGAIN) {
		if (client_stream_wait(stream, true, false, deadline()))
			continue;
		*exit_code = client_fail(EX_TEMPFAIL, "the server said nothing for %d s",
		    CLIENT_SECONDS);
		return -1;
	}
	if (len == -1)
		*exit_code = client_fail(EX_UNAVAILABLE, "%s", client_stream_fault(stream));
	return len;
}

static int
print_stream(const struct greet *greet)
{
	struct buf said = { 0 };
	size_t total = 0;
	int exit_code = 0;
	ssize_t len;

	/* A terminal gets it whole: a character may stand across two reads. */
	while ((len = read_some(greet->stream, buf_reserve(&said, BLOCK), BLOCK, &exit_code)) > 0) {
		buf_commit(&said, (size_t)len);
		total += (size_t)len;
		if (!isatty(STDOUT_FILENO) || said.len > HELD_MAX) {
			client_print(buf_octets(&said), said.len);
			buf_clear(&said);
			/* Nobody reads it: the server may never come to an end. */
			if (fflush(stdout) != 0)
				break;
		}
	}
	client_print(buf_octets(&said), said.len);
	if (isatty(STDOUT_FILENO) && said.len > 0 && buf_octets(&said)[said.len - 1] != '\n')
		putchar('\n');
	buf_free(&said);
	client_debug(greet->debug, "%zu octets%s", total,
	    exit_code == 0 ? ", closed by the server" : "");
	return client_flush(exit_code);
}

int
client_greet(int argc, char **argv)
{
	struct greet greet = { .host = "" };
	int option, exit_code;

	while ((option = getopt_long(argc, argv, CLIENT_SHORT_OPTIONS, long_options, NULL)) !=
	    -1) {
		if (option == OPTION_TLS)
			greet.tls = true;
		else if (option == OPTION_DEBUG)
			greet.debug = true;
		else
			return client_other_option(option, "greet", help);
	}
	if (argc - optind != 1)
		return client_fail(EX_USAGE, "greet takes HOST:PORT, --tls and --debug");
	greet.server = argv[optind];
	exit_code = open_stream(&greet);
	if (exit_code == 0)
		exit_code = secure(&greet);
	if (exit_code == 0)
		exit_code = print_stream(&greet);
	client_stream_close(greet.stream);
	return exit_code;
}
