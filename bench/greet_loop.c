/* greet_loop.c - the bare TCP greeting: accept, send, shutdown, drain, close, and nothing else. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "common.h"

int
main(int argc, char **argv)
{
	char rest[4096];
	struct sockaddr_in at;
	size_t len;
	int listening, fd, yes = 1;

	if (argc != 4) {
		fputs("usage: greet_loop ADDRESS PORT TEXT\n", stderr);
		return EX_USAGE;
	}
	at = address_of("greet_loop", argv[1], argv[2]);
	len = strlen(argv[3]);
	listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listening, (struct sockaddr *)&at, sizeof(at)) == -1 ||
	    listen(listening, SOMAXCONN) == -1)
		fail("greet_loop", "listen");
	for (;;) {
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		if (fd == -1)
			continue;
		if (send(fd, argv[3], len, MSG_NOSIGNAL) == (ssize_t)len) {
			shutdown(fd, SHUT_WR);
			while (recv(fd, rest, sizeof(rest), 0) > 0)
				;
		}
		close(fd);
	}
}
