/* aliases.h - the aliases file: names of this machine, and who reads their mail. */
#ifndef HERALD_MAIL_ALIASES_H
#define HERALD_MAIL_ALIASES_H

#include "mail/address.h"

#include <stdbool.h>
#include <stddef.h>

struct aliases;
struct error;

#define ALIASES_DEPTH_MAX	20	/* aliases behind one another: more is a mistake */
#define ALIASES_TARGETS_MAX	1000	/* addresses behind one name: what a transaction takes */

struct alias_target {
	struct address address;		/* the domain may be empty */
	bool is_final;			/* "\name": not looked up again */
};

struct alias {
	const char *name;		/* lower case, without quotes */
	unsigned line;			/* of the file */
	const struct alias_target *targets;	/* never none */
	size_t target_count;
	size_t reach;			/* addresses behind it in the end, doubles too */
};

/* Whether an address of the file is of this machine, so that its local part is looked up. */
typedef bool aliases_is_local(const void *arg, const struct address *address);

/* Reads "name: a, b@example.org" lines: names in quotes, comments, continuation lines.  What
 * this machine has no use for (programs, files, :include:), what stands twice, loops and
 * chains without measure are faults: NULL and *err, "FILE:LINE: what, what is allowed". */
struct aliases *aliases_load(const char *path, aliases_is_local *is_local, const void *arg,
    struct error *err);
/* The same from memory; `path` is for the faults. */
struct aliases *aliases_parse(const char *path, const char *octets, size_t len,
    aliases_is_local *is_local, const void *arg, struct error *err);
void aliases_free(struct aliases *aliases);	/* NULL is allowed */

/* For a local part in its wire form, quotes allowed, whatever its case: "root+cron" is
 * looked up as a whole first, then as "root".  NULL: none, or aliases is NULL. */
const struct alias *aliases_find(const struct aliases *aliases, const char *local, size_t len);

size_t aliases_count(const struct aliases *aliases);
/* In the order of the file. */
const struct alias *aliases_at(const struct aliases *aliases, size_t index);
/* Whether both mean the same; NULL is the same as no names. */
bool aliases_equal(const struct aliases *a, const struct aliases *b);

#endif
