/* sendmail_from.h - who calls sendmail: the login name, and the From field of a mail without. */
#ifndef HERALD_CMD_SENDMAIL_FROM_H
#define HERALD_CMD_SENDMAIL_FROM_H

#include <stddef.h>

struct address;
struct buf;

/* The login name of the real user id, "uid1234" where that has none.  To be freed. */
char *sendmail_login(void);
/* The address of that account on this machine.  "CORP\ann" and "ann smith" are names of
 * directories, and no dot-atoms: in quotes they are local parts (RFC 5321 4.1.2). */
void sendmail_login_address(struct address *out, const char *login);
/* The name behind that: $NAME, else of the account (the GECOS field).  To be freed; "" is none. */
char *sendmail_full_name(const char *login);

/* Appends "From: FULL NAME <ADDRESS>" with its CRLF: the name is quoted where it has to be, and
 * an encoded word (RFC 2047) where it is not printable ASCII; line ends cannot get through. */
void sendmail_append_from(struct buf *out, const char *full_name, const struct address *address);

#endif
