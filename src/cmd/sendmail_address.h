/* sendmail_address.h - the addresses of a header field or of a word of the command line. */
#ifndef HERALD_CMD_SENDMAIL_ADDRESS_H
#define HERALD_CMD_SENDMAIL_ADDRESS_H

#include "mail/address.h"

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct error;
struct map;

/* All zero is an empty list.  Nobody stands twice in it. */
struct sendmail_addresses {
	struct address *items;
	size_t count;
	struct map *known;
};

/* Adds what an address-list of RFC 5322 3.4 names, with the obsolete forms, groups and bare
 * names (an empty domain), to the list; ";" separates as "," does.  Behind an address that is
 * complete, words with a colon (a field folded into this one) are left out, and told in
 * `notices`, a line each; all else that is no address is a fault.  An encoded word is never
 * decoded to one.  The text has no line ends. */
bool sendmail_addresses_add(struct sendmail_addresses *list, const char *text, size_t len,
    struct buf *notices, struct error *err) __attribute__((warn_unused_result));
void sendmail_addresses_add_all(struct sendmail_addresses *list,
    const struct sendmail_addresses *from);
/* One address, or "" or "<>": the null path. */
bool sendmail_sender_parse(struct address *out, const char *text, struct error *err)
    __attribute__((warn_unused_result));
void sendmail_addresses_clear(struct sendmail_addresses *list);

#endif
