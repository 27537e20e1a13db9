/* book.h - a list of quotes, each ready to be sent. */
#ifndef HERALD_SERVICES_BOOK_H
#define HERALD_SERVICES_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct book;
struct error;

enum book_format {
	BOOK_LINES,   /* a quote on each line */
	BOOK_FORTUNE, /* quotes of several lines, between them a line "%" */
};

#define BOOK_FILE_MAX (16 * 1024 * 1024) /* octets; a longer file is a mistake */

/* Each quote is cut to `max_reply` octets at the end of a character.  Never fails. */
struct book *book_new(const char *const *quotes, size_t count, size_t max_reply);
/* From the contents of a file; what has nothing but blanks is dropped.  NULL and *err
 * when it is not valid UTF-8, with the line, or no quote is left. */
struct book *book_parse(
    const char *octets, size_t len, enum book_format format, size_t max_reply, struct error *err);
struct book *book_read(
    const char *path, enum book_format format, size_t max_reply, struct error *err);
void book_free(struct book *book); /* NULL is allowed */

size_t book_count(const struct book *book); /* at least 1 */
const char *book_quote(const struct book *book, size_t index, size_t *len);
bool book_has(const struct book *book, const char *octets, size_t len);
bool book_equal(const struct book *a, const struct book *b);

/* The quote of that day, UTC; the same one all day (RFC 865). */
size_t book_of_day(const struct book *book, int64_t unix_seconds);

#endif
