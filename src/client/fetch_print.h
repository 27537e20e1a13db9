/* fetch_print.h - what herald fetch says to people, in their character set. */
#ifndef HERALD_CLIENT_FETCH_PRINT_H
#define HERALD_CLIENT_FETCH_PRINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fetch_printer;

/* The locale's character set, the caller's to free; NULL: UTF-8 goes out as it is.  That is so,
 * too, for a file or a pipe where no locale is chosen: ASCII would only take away.  After it the
 * process has a UTF-8 locale where there is one, by which wcwidth(3) knows wide characters. */
char *fetch_print_charset(bool terminal);

/* NULL prints nothing: all calls take it.  `out` is borrowed; on a terminal strangers' words
 * cannot drive it. */
struct fetch_printer *fetch_printer_new(FILE *out, const char *charset, bool terminal);
void fetch_printer_free(struct fetch_printer *printer);

/* One line, which cannot become two whatever is in it: no control, to a file neither. */
void fetch_print_line(struct fetch_printer *printer, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "Name: value"; nothing where `value` is NULL. */
void fetch_print_field(struct fetch_printer *printer, const char *name, const char *value);

/* A line of a table: number, size, and three cells in columns by their width on the screen;
 * number 0: the heads of the columns. */
#define FETCH_PRINT_CELLS	3
void fetch_print_row(struct fetch_printer *printer, unsigned number, uint64_t size,
    const char *const cells[FETCH_PRINT_CELLS]);

/* Text in UTF-8, in pieces cut anyhow; to a file it goes as it came.  The end completes the
 * last line. */
void fetch_print_text(struct fetch_printer *printer, const char *octets, size_t len);
void fetch_print_text_end(struct fetch_printer *printer);

#endif
