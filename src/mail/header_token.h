/* header_token.h - the words of a structured header field, RFC 5322 3.2. */
#ifndef HERALD_MAIL_HEADER_TOKEN_H
#define HERALD_MAIL_HEADER_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

enum header_token_kind {
	TOKEN_END,
	TOKEN_BLANK,		/* spaces, tabs, folds */
	TOKEN_COMMENT,		/* with its parentheses, and comments in it */
	TOKEN_QUOTED,		/* with its quotes */
	TOKEN_LITERAL,		/* "[192.0.2.1]" */
	TOKEN_ENCODED,		/* "=?utf-8?q?a,b?=", RFC 2047 2, commas and all */
	TOKEN_ATOM,		/* any other run of octets: 8-bit and broken ones too */
	TOKEN_SPECIAL,		/* one of <>@,;:. */
};

struct header_token {
	enum header_token_kind kind;
	size_t first, end;	/* in the text */
	char special;
	bool is_open;		/* a comment that is never closed */
};

/* Cuts any octets into tokens without a rest; the time is that of their number.  A quote or
 * a bracket that is never closed is an atom, a comment that is not closed goes to the end. */
struct header_tokens {
	const char *text;
	size_t len, at;
	bool no_quotes, no_literals;	/* from here on none is closed */
};
struct header_token header_token_next(struct header_tokens *tokens);

/* Whether a token is an atom of RFC 5322 3.2.3, with octets beyond ASCII. */
bool header_token_is_plain(const struct header_tokens *tokens, const struct header_token *token);

#endif
