/* fetch_name.h - a file name that does no harm, from what a stranger calls a file. */
#ifndef HERALD_CLIENT_FETCH_NAME_H
#define HERALD_CLIENT_FETCH_NAME_H

#include <stddef.h>

/* Octets; of NAME_MAX (255) the rest is left for " (2)" and what a file system adds. */
#define FETCH_NAME_MAX 200

/* One component of a path, valid UTF-8, never empty, "." or "..": without what stood before the
 * last "/" or "\", without controls, what is not printed or turns the direction of writing,
 * without dots, dashes and blanks at its start, dots and blanks at its end.  What is too long is
 * cut before the extension.  Without a name (NULL, or nothing left of it) it is
 * "part-NNN.EXTENSION" after the type ("bin" for an unknown one).  message/rfc822 becomes .eml. */
void fetch_name_safe(const char *name, const char *type, unsigned number,
    char out[FETCH_NAME_MAX + 1]);

/* The n-th name to try when `name` is taken: "name (2).png" for 2; bounded likewise. */
void fetch_name_next(const char *name, unsigned n, char out[FETCH_NAME_MAX + 1]);

#endif
