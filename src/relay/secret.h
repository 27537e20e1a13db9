/* secret.h - reads a password from where the conffile says it is. */
#ifndef HERALD_RELAY_SECRET_H
#define HERALD_RELAY_SECRET_H

#include <stdbool.h>

struct buf;
struct error;

#define SECRET_MAX	4096	/* octets; tokens of OAuth are the longest */
#define SECRET_SECONDS	10	/* for a command: a password manager that must ask a server */

/* `where`: "file:PATH", "credential:NAME" below $CREDENTIALS_DIRECTORY (systemd.exec(5)), or
 * "command:PATH ARGUMENT..." whose output it is: words parted by blanks, no shell, no quotes;
 * run with the daemon's rights, waited for SECRET_SECONDS at most, and only once: what it
 * said is kept until secret_forget().
 * One final newline is not part of the secret.  Refused: empty, too long, with NUL, CR
 * or LF in it, and a file that others than root and its group may read (SPEC 3).  The
 * buf is empty before, and is ended by a NUL that is not counted; wipe it after use.
 * Errors name the place, never the secret. */
bool secret_read(const char *where, struct buf *out, struct error *err)
    __attribute__((warn_unused_result));

/* What a command said is dropped: the next secret_read() runs it again.  NULL: of all. */
void secret_forget(const char *where);

#endif
