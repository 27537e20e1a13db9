/* client_account.h - whose account on which server, "pop3s://user@host:995", and its password. */
#ifndef HERALD_CLIENT_CLIENT_ACCOUNT_H
#define HERALD_CLIENT_CLIENT_ACCOUNT_H

#include "net/endpoint.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct error;

enum client_tls { CLIENT_TLS_NONE, CLIENT_TLS_START, CLIENT_TLS_IMPLICIT };

/* A table of them ends with a name of NULL. */
struct client_scheme {
	const char *name;		/* "smtp+starttls": what stands before "://" */
	uint16_t port;			/* where the URL has none */
	enum client_tls tls;
};

#define CLIENT_USER_MAX	255		/* octets */

/* A value. */
struct client_account {
	const struct client_scheme *scheme;	/* of the table given */
	char user[CLIENT_USER_MAX + 1];		/* %XX decoded; "": none */
	char host[ENDPOINT_HOST_MAX + 1];	/* without brackets */
	uint16_t port;
};

/* SCHEME://[USER@]HOST[:PORT][/].  A password in it is refused, and not repeated in *err: what
 * stands on a command line is to be seen by all users of the machine.  So is a user with a
 * control, which could end a line of the protocol. */
bool client_account_parse(const char *text, const struct client_scheme *schemes,
    struct client_account *out, struct error *err) __attribute__((warn_unused_result));

/* From file:PATH, command:PATH ARGUMENT..., credential:NAME (relay/secret.h) or env:NAME; NULL:
 * asked for with `prompt` on the terminal of the process, without echo.  Any other text may be
 * a password itself: refused and not repeated.  Returns 0 or an exit code of <sysexits.h>, and
 * *err then.  The buf is empty before and ends with a NUL that is not counted; wipe it. */
int client_password(const char *source, const char *prompt, struct buf *out, struct error *err);
/* Whether `source` is one of these, for those who want to know before they need it. */
bool client_password_check(const char *source, struct error *err)
    __attribute__((warn_unused_result));

#endif
