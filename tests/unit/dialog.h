/* dialog.h - reads a dialogue file: what one side says, and what must come of it. */
#ifndef HERALD_TESTS_DIALOG_H
#define HERALD_TESTS_DIALOG_H

#include <stddef.h>

/* "S: 250 ok" the server says it, "C: …" the client, "= …" what the engine must report,
 * "# …" a comment.  \r \n \0 \t \\ \xHH in the octets are escapes; "S-" and "C-" say octets
 * without the CRLF that "S:" and "C:" add.  "~N x", at the start of the octets, repeats
 * all that follows N times: "C: ~600 a". */
struct dialog_line {
	unsigned number;		/* in the file */
	char side;			/* 'S', 'C', '=' */
	char *octets;			/* with CRLF for 'S' and 'C'; NUL-ended beyond len */
	size_t len;
};
struct dialog { struct dialog_line *lines; size_t count; };

struct dialog dialog_read(const char *path);	/* fails the test on a fault of the file */
void dialog_free(struct dialog *dialog);

#endif
