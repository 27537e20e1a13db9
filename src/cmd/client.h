/* client.h - what the verbs of herald share: the command line, errors, output, sockets. */
#ifndef HERALD_CMD_CLIENT_H
#define HERALD_CMD_CLIENT_H

#include "net/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct addrinfo;

#define CLIENT_SECONDS 30 /* for connecting, and between octets of a stream */

struct client_command {
	const char *server; /* "HOST:PORT" */
	char **words;	    /* behind the server; borrowed from argv */
	int word_count;
	bool tls, debug, has_count;
	uint64_t times, timeout; /* seconds */
};

/* The verbs.  They return an exit code of <sysexits.h>. */
int client_greet(const struct client_command *command);
int client_quote(const struct client_command *command);

/* "herald: …" on standard error; returns the exit code. */
int client_fail(int exit_code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void client_debug(const struct client_command *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Exact octets, but on a terminal without the controls that would drive it. */
void client_print(const char *octets, size_t len);
int client_flush(int exit_code); /* EX_IOERR when what was printed did not arrive */

/* Waits for the socket; 0 when the time is over. */
int client_wait(int fd, short events, uint64_t seconds);
/* A connected non-blocking socket, or -1 and errno. */
int client_open(const struct sockaddr *address, socklen_t len, int type);
/* Both return an exit code, 0 when it went well. */
int client_parse(const char *server, char host[ENDPOINT_HOST_MAX + 1], uint16_t *port);
int client_look_up(const char *host, uint16_t port, int type, struct addrinfo **out);

#endif
