/* client_submit.h - a mail on its way: to the local queue or to a server, watched meanwhile. */
#ifndef HERALD_CLIENT_CLIENT_SUBMIT_H
#define HERALD_CLIENT_CLIENT_SUBMIT_H

#include "client/client_account.h"

#include <stdbool.h>

struct content;
struct envelope;

/* Borrowed. */
struct client_submit {
	const struct client_account *account;	/* NULL: the local queue */
	const char *password;		/* where it is, as of client_password() */
	const char *ca_file;		/* NULL: the system's authorities */
	bool debug;			/* the dialogue is shown, else the progress */
};

/* "smtp", "smtp+starttls", "smtps"; for client_account_parse(). */
extern const struct client_scheme client_submit_schemes[];

/* An exit code of <sysexits.h>; 0: the queue or server has said 250 and is responsible for the
 * mail to each of its recipients.  What has gone wrong is told. */
int client_submit(const struct client_submit *submit, const struct envelope *envelope,
    const struct content *content);

#endif
