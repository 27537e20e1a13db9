/* common.c - what the programs of bench/ share: the clock, an address, percentiles. */
#include "common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>

#define SOURCES		200	/* 127.0.1.1 and those behind it */

double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void
fail(const char *program, const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
	exit(EX_OSERR);
}

struct sockaddr_in
address_of(const char *program, const char *address, const char *port)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	unsigned long number = strtoul(port, NULL, 10);

	if (inet_pton(AF_INET, address, &to.sin_addr) != 1 || number == 0 || number > 65535) {
		fprintf(stderr, "%s: %s %s is no address and port\n", program, address, port);
		exit(EX_USAGE);
	}
	to.sin_port = htons((uint16_t)number);
	return to;
}

char *
make_mail(size_t size, size_t *len)
{
	static const char head[] = "From: <sender@example.org>\r\nTo: <recipient@example.net>\r\n"
	    "Subject: bench\r\n\r\n";
	static const char end[] = ".\r\n";
	size_t body = size > sizeof(head) + 1 ? size - (sizeof(head) - 1) : 2, i;
	char *mail = malloc(sizeof(head) + body + sizeof(end));

	if (mail == NULL)
		fail("bench", "malloc");
	memcpy(mail, head, sizeof(head) - 1);
	for (i = 0; i < body; i++)
		mail[sizeof(head) - 1 + i] = "x\r\n"[i % 78 < 76 ? 0 : i % 78 - 75];
	/* The last line ends, too, and begins with no CR or LF of its own. */
	if (body % 78 == 1 && body > 2)
		mail[sizeof(head) - 1 + body - 3] = 'x';
	mail[sizeof(head) - 1 + body - 2] = '\r';
	mail[sizeof(head) - 1 + body - 1] = '\n';
	memcpy(mail + sizeof(head) - 1 + body, end, sizeof(end));
	*len = sizeof(head) - 1 + body + sizeof(end) - 1;
	return mail;
}

void
times_add(struct times *times, double value)
{
	if (times->count == times->room) {
		times->room = times->room > 0 ? times->room * 2 : 4096;
		times->values = realloc(times->values, times->room * sizeof(*times->values));
		if (times->values == NULL)
			fail("bench", "realloc");
	}
	times->values[times->count++] = value;
}

static int
compare(const void *a, const void *b)
{
	const double *first = a, *second = b;

	return (*first > *second) - (*first < *second);
}

double
times_part(struct times *times, double part)
{
	size_t at;

	if (times->count == 0)
		return 0;
	qsort(times->values, times->count, sizeof(*times->values), compare);
	at = (size_t)((double)times->count * part);
	return times->values[at < times->count ? at : times->count - 1] * 1e6;
}

void
bind_source(int fd, unsigned number)
{
	struct sockaddr_in source = { .sin_family = AF_INET };
	int yes = 1;

	source.sin_addr.s_addr = htonl(0x7f000101 + number % SOURCES);
	/* The port is chosen at connect: then it need be free for this peer only. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
	if (bind(fd, (struct sockaddr *)&source, sizeof(source)) == -1)
		fail("bench", "bind");
}
