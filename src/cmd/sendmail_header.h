/* sendmail_header.h - one header field of a message: its name, its text, its fold. */
#ifndef HERALD_CMD_SENDMAIL_HEADER_H
#define HERALD_CMD_SENDMAIL_HEADER_H

#include <stdbool.h>
#include <stddef.h>

struct buf;

/* Octets of the field's name at the start of a line, RFC 5322 2.2; blanks before the colon are
 * obsolete and allowed.  0: no field begins here. */
size_t sendmail_field_name(const char *line, size_t len);
bool sendmail_field_is(const char *line, size_t len, const char *name);	/* case does not count */
/* A line that separates the messages of an mbox file (RFC 4155): "From " or ">From ", with time
 * and year.  "From : ann" is a field, "From here on" and "From 12:30 on" are text. */
bool sendmail_is_mbox_line(const char *line, size_t len);
/* The value without its line ends (RFC 5322 2.2.3); field: with CRLF at each line's end. */
void sendmail_field_unfold(struct buf *out, const char *field, size_t len);
/* The first word of the value, in lower case and cut where it does not fit: what stands before a
 * blank, "/", ";" or a comment. */
void sendmail_field_word(const char *field, size_t len, char *out, size_t size);
/* Behind blanks, line ends and comments (RFC 5322 3.2.2).  False: a comment is not closed. */
bool sendmail_skip_blanks(const char **at, const char *end) __attribute__((warn_unused_result));
/* Appends a field with lines of at most 998 octets where it has blanks to fold at. */
void sendmail_field_fold(struct buf *out, const char *field, size_t len);

#endif
