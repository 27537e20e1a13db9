/* client_html_text.h - HTML as plain text that can be read. */
#ifndef HERALD_CLIENT_CLIENT_HTML_TEXT_H
#define HERALD_CLIENT_CLIENT_HTML_TEXT_H

#include <stddef.h>
#include <stdint.h>

struct client_html_text;

/* UTF-8 with LF lines, without controls and without what turns the direction of writing
 * around; in pieces that hold whole characters. */
typedef void (*client_html_text_done)(void *owner, const char *octets, size_t len);

/* Lines are at most `columns` wide where they can be (a long URL stays whole); 0: not wrapped,
 * but for what would grow beyond all bounds. */
struct client_html_text *client_html_text_new(unsigned columns, client_html_text_done on_text,
    void *owner);
void client_html_text_free(struct client_html_text *text);	/* NULL is allowed */

/* Any octets, cut anywhere; those that are not UTF-8 become U+FFFD.  Memory is bounded, and
 * the work grows with the octets alone. */
void client_html_text_feed(struct client_html_text *text, const char *octets, size_t len);
/* The last line gets its end; nothing is fed behind it. */
void client_html_text_end(struct client_html_text *text);
/* What was done so far, in steps: for the tests. */
uint64_t client_html_text_steps(const struct client_html_text *text);

#endif
