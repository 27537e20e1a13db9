/* aliases_file.h - the text of an aliases file, entry by entry. */
#ifndef HERALD_MAIL_ALIASES_FILE_H
#define HERALD_MAIL_ALIASES_FILE_H

#include <stdbool.h>
#include <stddef.h>

struct alias_target;
struct buf;
struct error;

#define ALIASES_FILE_MAX	(1024 * 1024)	/* octets; as a conffile */

/* A regular file, whole.  False and *err with its path. */
bool aliases_file_read(const char *path, struct buf *out, struct error *err)
    __attribute__((warn_unused_result));

/* Consumes `targets`, `count` of them; name: as a local part, in quotes where it needs them. */
typedef bool aliases_file_entry(void *arg, const char *name, unsigned line,
    struct alias_target *targets, size_t count, struct error *err);
/* Calls `entry` for each; false and *err, "FILE:LINE: …", at the first fault or as it says. */
bool aliases_file_each(const char *path, const char *octets, size_t len,
    aliases_file_entry *entry, void *arg, struct error *err) __attribute__((warn_unused_result));

#endif
