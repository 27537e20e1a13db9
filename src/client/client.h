/* client.h - what the verbs of herald share: the command line, errors, output, sockets. */
#ifndef HERALD_CLIENT_CLIENT_H
#define HERALD_CLIENT_CLIENT_H

#include "net/endpoint.h"

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_SECONDS	30	/* to connect, for a handshake, between octets of a stream */

/* The verbs.  argv[0] is "herald", for the messages of getopt_long(); the verb itself is taken
 * out, and options that stood before it are still there.  They return an exit code of
 * <sysexits.h>. */
int client_greet(int argc, char **argv);
int client_quote(int argc, char **argv);
int client_send(int argc, char **argv);
int client_fetch(int argc, char **argv);

/* Each verb has a table of getopt_long() with values from 256 up, which ends with these. */
#define CLIENT_COMMON_OPTIONS \
	{ "version", no_argument, NULL, 'V' }, \
	{ "help", no_argument, NULL, 'h' }, \
	{ NULL, 0, NULL, 0 }
#define CLIENT_SHORT_OPTIONS	"hV"
/* For what getopt_long() returned and the verb does not know: -h, -V, or a fault that it has
 * told.  `help` is the text of --help; returns the exit code. */
int client_other_option(int option, const char *verb, const char *help);
/* Refuses a line break in the value of an option (RULES H); 0 or the exit code. */
int client_check_value(const char *option, const char *value);

/* "herald: …" on standard error; returns the exit code. */
int client_fail(int exit_code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same where `is_shown`: for --debug. */
void client_debug(bool is_shown, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Exact octets, but on a terminal without the controls that would drive it. */
void client_print(const char *octets, size_t len);
int client_flush(int exit_code);	/* EX_IOERR when what was printed did not arrive */

/* Waits for the socket; 0 when the time is over. */
int client_wait(int fd, short events, uint64_t seconds);
/* HOST:PORT; returns an exit code, 0 when it went well. */
int client_parse(const char *server, char host[ENDPOINT_HOST_MAX + 1], uint16_t *port);

#endif
