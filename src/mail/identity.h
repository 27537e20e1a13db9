/* identity.h - what mail of this machine looks like outside: names, aliases, one sender. */
#ifndef HERALD_MAIL_IDENTITY_H
#define HERALD_MAIL_IDENTITY_H

#include "mail/address.h"

#include <stdbool.h>
#include <stddef.h>

struct aliases;

/* A value of borrowed texts. */
struct identity {
	const char *hostname;
	const char *const *local_names;	/* besides hostname: what means this machine */
	size_t local_name_count;
	const char *domain;		/* for names without one */
	const struct aliases *aliases;	/* NULL: none */
	struct address sender, from;	/* the null address: not set */
};

/* Without a domain, or at a name of this machine; the null address is not. */
bool identity_is_local(const struct identity *identity, const struct address *address);
/* For aliases_load(): `identity` is a struct identity. */
bool identity_is_local_name(const void *identity, const struct address *address);
/* The same of a domain as a peer writes it, `len` octets: any case, a dot behind it. */
bool identity_is_local_domain(const struct identity *identity, const char *domain, size_t len);
/* The domain that a local name with this one gets: NULL where it has the right one. */
const char *identity_domain(const struct identity *identity, const char *domain, size_t len);

/* Gives a local name its domain; everything else stays. */
void identity_qualify(const struct identity *identity, struct address *address);
/* What an envelope sender of this machine becomes; null stays null. */
void identity_sender(const struct identity *identity, struct address *reverse_path);

struct identity_targets {
	struct address *items;		/* the caller's: free() */
	size_t count;
	bool is_aliased;
};
/* Who gets what is for `forward_path`: all behind its alias, without doubles, or itself; each
 * with a domain.  At least one. */
void identity_expand(const struct identity *identity, const struct address *forward_path,
    struct identity_targets *out);
/* The same for a local name by its local part in wire form; false and nothing to free where
 * it has no alias. */
bool identity_expand_name(const struct identity *identity, const char *local, size_t len,
    struct identity_targets *out);

#endif
