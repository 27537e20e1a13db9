/* fetch_session.h - one visit to a POP3 mailbox: the connection, the dialogue, the mail. */
#ifndef HERALD_CLIENT_FETCH_SESSION_H
#define HERALD_CLIENT_FETCH_SESSION_H

#include "client/fetch_mailbox.h"
#include "proto/pop3_client.h"

#include <stdbool.h>
#include <stdint.h>

struct client_account;
struct fetch_json;
struct fetch_printer;

/* RULES K6: a server cannot hold us forever, neither by silence nor by drips.  Microseconds of
 * waiting for it; what a reader of our output takes does not count. */
struct fetch_limits {
	int64_t session;	/* in all */
	int64_t grace;		/* how far lines may fall behind `rate` */
	unsigned rate;		/* octets a second */
	int64_t reply;		/* for each step; 0: as the engine has it */
};

#define FETCH_LIMITS_USUAL \
	{ .session = INT64_C(86400) * 1000000, .grace = INT64_C(60) * 1000000, .rate = 500 }

/* All is borrowed. */
struct fetch_params {
	const struct client_account *account;
	enum pop3_tls tls;
	const char *password;		/* "": asked for by nobody, the login fails */
	const char *ca_file;		/* NULL: the system's */
	const char *directory;		/* to save in */
	const char *state_path;		/* NULL: the usual one */
	enum fetch_selection selection;
	unsigned number;		/* of FETCH_NUMBER */
	uint64_t max_size;		/* octets of a message; 0: any */
	bool is_list;			/* nothing but a table */
	bool attachments_only, save_message, deletes, is_debug;
	struct fetch_printer *printer;	/* NULL: not for people */
	struct fetch_json *json;	/* NULL: not for programs */
	struct fetch_limits limits;
};

/* To the end; what is wrong is said on standard error.  Returns one of <sysexits.h>. */
int fetch_session_run(const struct fetch_params *params);

#endif
