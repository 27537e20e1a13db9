/* client_wrap.h - fills lines with words, by the columns that they take on a terminal. */
#ifndef HERALD_CLIENT_CLIENT_WRAP_H
#define HERALD_CLIENT_CLIENT_WRAP_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_WRAP_MARK_MAX	16	/* octets of what stands before an item of a list */

/* A value; all zero but `columns` is the start, client_wrap_free() the end. */
struct client_wrap {
	unsigned columns;	/* 0: words are not broken into lines */
	struct buf out;		/* what is done; the owner takes it away */
	unsigned quotes, indent;	/* "> " and blanks before each line from the next on */
	char mark[CLIENT_WRAP_MARK_MAX];	/* before the next line, within the indent */
	bool exact;		/* blanks are kept and lines not filled: <pre> */

	struct buf word;
	unsigned word_width, word_blanks;
	bool has_ink;		/* it is not of blanks alone */
	uint32_t last;		/* character of the word; 0: none */
	unsigned blanks;	/* before the next word */
	unsigned gap;		/* line ends owed before it */
	unsigned column;	/* of the open line; 0: none is open */
	size_t line_len;	/* octets of its words */
	bool began;		/* there was a line */
};

/* A character of text.  White space is for the two below, but where `exact` is set. */
void client_wrap_put(struct client_wrap *wrap, uint32_t character);
/* The most asked for counts. */
void client_wrap_blank(struct client_wrap *wrap, unsigned blanks);
/* The line ends here; with 2 lines an empty one follows.  The most asked for counts. */
void client_wrap_break(struct client_wrap *wrap, unsigned lines);
void client_wrap_newline(struct client_wrap *wrap);	/* one more; but never an empty page */
void client_wrap_end(struct client_wrap *wrap);
void client_wrap_free(struct client_wrap *wrap);

#endif
