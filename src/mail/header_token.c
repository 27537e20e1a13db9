/* header_token.c - the words of a structured header field, RFC 5322 3.2. */
#include "mail/header_token.h"

#include <string.h>

static bool
is_one_of(const char *set, char octet)
{
	return octet != '\0' && strchr(set, octet) != NULL;
}

static size_t
run_of(const struct header_tokens *tokens, const char *set, bool wanted)
{
	size_t at = tokens->at;

	while (at < tokens->len && is_one_of(set, tokens->text[at]) == wanted)
		at++;
	return at;
}

/* Comments nest: a count, no recursion.  Without an end it takes all that is left. */
static size_t
end_of_comment(const struct header_tokens *tokens, bool *is_open)
{
	size_t at = tokens->at, depth = 0;

	for (; at < tokens->len; at++) {
		if (tokens->text[at] == '\\' && at + 1 < tokens->len)
			at++;
		else if (tokens->text[at] == '(')
			depth++;
		else if (tokens->text[at] == ')' && --depth == 0)
			return at + 1;
	}
	*is_open = true;
	return tokens->len;
}

/* Behind `close`, with quoted pairs between; 0: it is never closed. */
static size_t
end_of_pair(const struct header_tokens *tokens, char close)
{
	for (size_t at = tokens->at + 1; at < tokens->len; at++) {
		if (tokens->text[at] == '\\' && at + 1 < tokens->len)
			at++;
		else if (tokens->text[at] == close)
			return at + 1;
	}
	return 0;
}

/* Behind an encoded word at this place; 0: it is none.  Its text has no "?" in it, so that no
 * octet is looked at often. */
static size_t
end_of_encoded(const struct header_tokens *tokens)
{
	const char *text = tokens->text;
	unsigned marks = 0;
	size_t at = tokens->at + 1;

	if (at >= tokens->len || text[at - 1] != '=' || text[at] != '?')
		return 0;
	for (; at < tokens->len && !is_one_of(" \t\r\n", text[at]); at++) {
		if (text[at] == '?' && ++marks == 4)
			break;
		if (marks < 3 && is_one_of("()<>@,;:\"/[].", text[at]))
			return 0;
	}
	return marks == 4 && at + 1 < tokens->len && text[at + 1] == '=' ? at + 2 : 0;
}

/* True and the token where one in quotes or brackets stands here. */
static bool
take_pair(struct header_tokens *tokens, char close, enum header_token_kind kind, bool *none,
    struct header_token *token)
{
	size_t end = *none ? 0 : end_of_pair(tokens, close);

	*none = end == 0;
	if (end == 0)
		return false;
	token->kind = kind;
	token->end = end;
	return true;
}

static void
take_token(struct header_tokens *tokens, struct header_token *token)
{
	char octet = tokens->text[tokens->at];

	if (is_one_of(" \t\r\n", octet)) {
		token->kind = TOKEN_BLANK;
		token->end = run_of(tokens, " \t\r\n", true);
	} else if (octet == '(') {
		token->kind = TOKEN_COMMENT;
		token->end = end_of_comment(tokens, &token->is_open);
	} else if (octet == '"' &&
	    take_pair(tokens, '"', TOKEN_QUOTED, &tokens->no_quotes, token)) {
		return;
	} else if (octet == '[' &&
	    take_pair(tokens, ']', TOKEN_LITERAL, &tokens->no_literals, token)) {
		return;
	} else if (is_one_of("<>@,;:.", octet)) {
		token->kind = TOKEN_SPECIAL;
		token->special = octet;
		token->end = tokens->at + 1;
	} else if (end_of_encoded(tokens) > 0) {
		token->kind = TOKEN_ENCODED;
		token->end = end_of_encoded(tokens);
	} else {
		token->kind = TOKEN_ATOM;
		tokens->at++;
		token->end = run_of(tokens, " \t\r\n(\"[<>@,;:.", false);
		tokens->at--;
	}
}

struct header_token
header_token_next(struct header_tokens *tokens)
{
	struct header_token token = { .kind = TOKEN_END, .first = tokens->at, .end = tokens->at };

	if (tokens->at < tokens->len)
		take_token(tokens, &token);
	tokens->at = token.end;
	return token;
}

bool
header_token_is_plain(const struct header_tokens *tokens, const struct header_token *token)
{
	for (size_t i = token->first; i < token->end; i++) {
		unsigned char octet = (unsigned char)tokens->text[i];

		if (octet <= 0x20 || octet == 0x7f ||
		    is_one_of("()<>[]:;@\\,.\"", tokens->text[i]))
			return false;
	}
	return token->kind == TOKEN_ATOM;
}
