/* text.h - small questions about text: printable, numbers with units, UTF-8. */
#ifndef HERALD_BASE_TEXT_H
#define HERALD_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Copies what a peer wrote so that it can stand in a log line: printable ASCII
 * stays, the backslash and all else become \xHH; what does not fit is cut and
 * counted as "...(N more)".  The result is NUL-ended and returned. */
char *text_printable(char *out, size_t size, const char *octets, size_t len);

/* The same, but whole UTF-8 characters other than controls and the
 * bidirectional overrides stay; for quotes and book titles. */
char *text_printable_utf8(char *out, size_t size, const char *octets, size_t len);

bool text_equal(const char *a, const char *b);			/* ASCII, case does not count */
bool text_has_prefix(const char *text, const char *prefix);	/* case counts */
void text_lower(char *text);					/* ASCII, in place */
char *text_copy(char *out, size_t size, const char *text);	/* cuts silently; returns out */
char *text_number(char *out, unsigned number);	/* its digits and a NUL; returns where that is */

/* The most octets <= limit that do not cut a UTF-8 character in two. */
size_t text_utf8_cut(const char *octets, size_t len, size_t limit);
bool text_utf8_valid(const char *octets, size_t len);	/* RFC 3629: no overlong, no surrogate */

/* Whole text or false.  Units: durations s m h d w (seconds when bare), sizes
 * K M G of 1024 (octets when bare).  Overflow is false too. */
bool text_parse_number(const char *text, uint64_t *out) __attribute__((warn_unused_result));
bool text_parse_duration(const char *text, uint64_t *seconds) __attribute__((warn_unused_result));
bool text_parse_size(const char *text, uint64_t *octets) __attribute__((warn_unused_result));
/* "30/m": units s m h d; a plain count is not a rate. */
bool text_parse_rate(const char *text, uint64_t *count, uint64_t *seconds)
    __attribute__((warn_unused_result));

#endif
