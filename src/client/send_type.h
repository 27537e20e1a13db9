/* send_type.h - the media type of a file: by its first octets, then by its name. */
#ifndef HERALD_CLIENT_SEND_TYPE_H
#define HERALD_CLIENT_SEND_TYPE_H

#include <stdbool.h>
#include <stddef.h>

/* "image/png", by its content alone; NULL where that is no picture that mail programs show. */
const char *send_type_of_picture(const char *head, size_t len);

/* Of any file; never NULL: application/octet-stream where nothing is known.  With `is_utf8`
 * set it is text whose charset may be told. */
const char *send_type_of_file(const char *name, const char *head, size_t len, bool *is_utf8);

/* Whether a type as it was given, "text/csv; header=present", may stand in Content-Type. */
bool send_type_is_valid(const char *type);
/* Whether a mail may hold it in base64: no message/ and no multipart/ (RFC 2046 5). */
bool send_type_is_leaf(const char *type);

#endif
