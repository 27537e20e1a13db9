/* send_part.h - the parts of a mail, as GMime's objects with header fields of our own. */
#ifndef HERALD_CLIENT_SEND_PART_H
#define HERALD_CLIENT_SEND_PART_H

#include "client/send_file.h"

#include <stddef.h>

struct _GMimeObject;
struct buf;
struct send_header;

/* Ends the header and puts it there; frees it. */
void send_part_set_header(struct _GMimeObject *object, const char *name,
    struct send_header *header);

/* Text, UTF-8 with any line ends, which the part copies: as it is where that is safe, else in
 * quoted-printable or base64, whichever is shorter.  Decoded, it has CRLF lines and else the
 * same octets; only a plain text gets the end of its last line. */
struct _GMimeObject *send_part_of_text(const char *subtype, const struct buf *text);

/* A file in base64; the file and the fault outlive the part.  cid NULL: an attachment. */
struct _GMimeObject *send_part_of_file(const struct send_file *file, const char *type,
    const char *name, const char *cid, struct send_fault *fault);

/* One level of parts; consumes them.  root_type, for "related": the type of the first. */
struct _GMimeObject *send_part_of_parts(const char *subtype, const char *root_type,
    struct _GMimeObject **parts, size_t count);

#endif
