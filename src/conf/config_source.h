/* config_source.h - the octets of a conffile, made ready for libconfuse. */
#ifndef HERALD_CONF_CONFIG_SOURCE_H
#define HERALD_CONF_CONFIG_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct error;

#define CONFIG_SOURCE_MAX (1024 * 1024) /* octets of a conffile; a full manual has 20 KiB */

/* Reads a regular file whole, up to `limit` octets; *err is without the path. */
bool config_read(const char *path, size_t limit, struct buf *out, struct error *err)
    __attribute__((warn_unused_result));

/* Writes blanks over the comments.  libconfuse 3.3 would count the end of each twice, so
 * that its line numbers drift, and takes one inside of a list for a value.  False, *line
 * and *err where a string, a comment or a block has no end: it would take that silently. */
bool config_blank_comments(char *octets, size_t len, unsigned *line, struct error *err)
    __attribute__((warn_unused_result));

/* The line where the string that ends in `line` begins: libconfuse knows only its end. */
unsigned config_string_line(const char *octets, size_t len, unsigned line);

/* Text that a conffile cannot hold: a NUL, invalid UTF-8.  False, *line and *err. */
bool config_source_check(const char *octets, size_t len, unsigned *line, struct error *err)
    __attribute__((warn_unused_result));

#endif
