/* fetch_link.h - the connection of herald fetch: octets, TLS and time, for the POP3 engine. */
#ifndef HERALD_CLIENT_FETCH_LINK_H
#define HERALD_CLIENT_FETCH_LINK_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_dialogue;
struct client_stream;
struct fetch_params;
struct pop3_client;

/* Its owner sets `client` after fetch_link_open(), and `is_finished`. */
struct fetch_link {
	const struct fetch_params *params;
	struct pop3_client *client;	/* the owner's */
	bool is_finished;		/* nothing is waited for any more */
	bool is_late;			/* the time was over, for a step or all of it */

	struct client_stream *stream;
	struct client_dialogue *dialogue;
	struct buf in, out;
	bool wants_tls;
	const char *stop;		/* why the session is to end, or NULL */
	unsigned progress;		/* of the engine, when `step_waited` was zero */
	/* Microseconds. */
	int64_t step_waited, session_left, lines_left;
	uint64_t content;		/* octets that --debug only counts */
};

/* Connected, under TLS where that comes first; 0, or the exit code, and it was said why. */
int fetch_link_open(struct fetch_link *link, const struct fetch_params *params);
void fetch_link_close(struct fetch_link *link);

/* What the engine wants. */
void fetch_link_send(struct fetch_link *link, const char *octets, size_t len, bool secret);
void fetch_link_start_tls(struct fetch_link *link);

/* To be called in an event: the session ends after the input that is being used. */
void fetch_link_stop(struct fetch_link *link, const char *why);

/* Writes, reads, waits, each at most once; what goes wrong the engine is told. */
void fetch_link_turn(struct fetch_link *link);

#endif
