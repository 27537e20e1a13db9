/* greet_load.c - reads a TCP service's text to its end, again and again, and times each. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "common.h"

#define AT_ONCE_MAX	64

struct visit { int fd; double start; size_t octets; };

static struct load {
	struct sockaddr_in to;
	unsigned connections;
	unsigned long served, empty;
	int epoll;
	struct times times;
} load;

static void
open_visit(struct visit *visit)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = visit };

	*visit = (struct visit){ .start = seconds() };
	visit->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (visit->fd == -1)
		fail("greet_load", "socket");
	bind_source(visit->fd, load.connections++);
	if (connect(visit->fd, (struct sockaddr *)&load.to, sizeof(load.to)) == -1)
		fail("greet_load", "connect");
	fcntl(visit->fd, F_SETFL, O_NONBLOCK);
	if (epoll_ctl(load.epoll, EPOLL_CTL_ADD, visit->fd, &event) == -1)
		fail("greet_load", "epoll_ctl");
}

/* Reads what is there; 1: it was all. */
static int
read_visit(struct visit *visit)
{
	char text[4096];
	ssize_t n;

	while ((n = recv(visit->fd, text, sizeof(text), 0)) > 0)
		visit->octets += (size_t)n;
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n == -1)
		fail("greet_load", "recv");
	load.served++;
	load.empty += visit->octets == 0;
	times_add(&load.times, seconds() - visit->start);
	close(visit->fd);
	return 1;
}

static void
pause_for(double pause)
{
	struct timespec time = { 0, (long)(pause * 1e9) };

	if (pause > 0)
		nanosleep(&time, NULL);
}

int
main(int argc, char **argv)
{
	struct epoll_event events[AT_ONCE_MAX];
	static struct visit visits[AT_ONCE_MAX];
	unsigned long count;
	double start, end, pause;
	unsigned open = 0;

	if (argc != 5 && argc != 6) {
		fputs("usage: greet_load ADDRESS PORT SECONDS AT-ONCE [PAUSE-MS]\n", stderr);
		return EX_USAGE;
	}
	load.to = address_of("greet_load", argv[1], argv[2]);
	count = strtoul(argv[4], NULL, 10);
	pause = argc == 6 ? strtod(argv[5], NULL) / 1000 : 0;
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (load.epoll == -1 || count == 0 || count > AT_ONCE_MAX || pause >= 1)
		fail("greet_load", "arguments");
	start = seconds();
	end = start + strtod(argv[3], NULL);
	for (; open < count; open++)
		open_visit(&visits[open]);
	while (open > 0) {
		int n = epoll_wait(load.epoll, events, AT_ONCE_MAX, 10000);

		if (n <= 0)
			fail("greet_load", "no reply in 10 seconds");
		for (int i = 0; i < n; i++) {
			struct visit *visit = events[i].data.ptr;

			if (!read_visit(visit))
				continue;
			pause_for(pause);
			if (seconds() < end)
				open_visit(visit);
			else
				open--;
		}
	}
	printf("{\"connections\": %lu, \"empty\": %lu, \"rate\": %.1f, \"p50_us\": %.0f, "
	    "\"p99_us\": %.0f, \"max_us\": %.0f}\n", load.served, load.empty,
	    (double)load.served / (seconds() - start), times_part(&load.times, 0.5),
	    times_part(&load.times, 0.99), times_part(&load.times, 1));
	free(load.times.values);
	return load.served > load.empty ? 0 : EX_UNAVAILABLE;
}
