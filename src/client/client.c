/* client.c - what the verbs of herald share: errors, output, sockets. */
#include "autoconfig.h"
#include "client/client.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static void __attribute__((format(printf, 1, 0)))
say(const char *fmt, va_list ap)
{
	fputs("herald: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int
client_fail(int exit_code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return exit_code;
}

void
client_debug(bool is_shown, const char *fmt, ...)
{
	va_list ap;

	if (!is_shown)
		return;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
}

int
client_other_option(int option, const char *verb, const char *help)
{
	switch (option) {
	case 'V':
		puts("herald " PACKAGE_VERSION);
		return client_flush(EX_OK);
	case 'h':
		fputs(help, stdout);
		return client_flush(EX_OK);
	default:
		fprintf(stderr, "Try: herald %s --help\n", verb);
		return EX_USAGE;
	}
}

int
client_check_value(const char *option, const char *value)
{
	if (strpbrk(value, "\r\n") == NULL)
		return 0;
	return client_fail(EX_DATAERR, "%s: a line break is not allowed here", option);
}

/* What a server says goes to a terminal without the controls that would drive it. */
static void
print_safely(const char *octets, size_t len)
{
	size_t size = len * 4 + 64, run;
	char *safe = mem_alloc(size);

	for (size_t at = 0; at < len; at += run + 1) {
		run = 0;
		while (at + run < len && memchr("\n\t\\", octets[at + run], 3) == NULL)
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

int
client_parse(const char *server, char host[ENDPOINT_HOST_MAX + 1], uint16_t *port)
{
	struct error err;

	if (!endpoint_parse_host(server, 0, host, port, &err))
		return client_fail(EX_USAGE, "%s", err.text);
	return 0;
}
