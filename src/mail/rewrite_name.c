/* rewrite_name.c - names and addresses in the form that a header field takes. */
#include "mail/rewrite_name.h"

#include "base/buf.h"
#include "base/text.h"
#include "mail/header_address.h"

#include <string.h>

#define NAME_MAX_OCTETS 200 /* of a display name that herald writes: one line holds it */

bool
rewrite_plain(const char *body, const struct header_span *span, char *out, size_t size)
{
	struct header_tokens tokens = { .text = body + span->first,
		.len = span->end - span->first };
	struct header_token token;
	size_t used = 0, len;

	out[0] = '\0';
	for (token = header_token_next(&tokens); token.kind != TOKEN_END;
	    token = header_token_next(&tokens)) {
		if (token.kind == TOKEN_BLANK || token.kind == TOKEN_COMMENT)
			continue;
		len = token.end - token.first;
		if (len >= size - used || memchr(tokens.text + token.first, '\0', len) != NULL)
			return false;
		memcpy(out + used, tokens.text + token.first, len);
		used += len;
		out[used] = '\0';
	}
	return true;
}

const char *
rewrite_address_text(const struct address *address, char out[ADDRESS_TEXT_MAX + 1])
{
	struct address ascii = *address;

	if (!address_is_ascii(address) && !address_needs_utf8(address) &&
	    address_domain_ascii(address, ascii.domain))
		return address_text(&ascii, out);
	return address_text(address, out);
}

/* What ends a word of a phrase, or an encoded one in it (RFC 2047 5), for one reader or another. */
static bool
is_hostile(char octet)
{
	return (unsigned char)octet >= 0x7f || strchr("\"()<>[]:;@\\,", octet) != NULL;
}

static bool
are_sound(const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (is_hostile(octets[i]))
			return false;
	return true;
}

static bool
are_words(const char *body, const struct header_span *span, bool in_phrase)
{
	struct header_tokens tokens = { .text = body + span->first,
		.len = span->end - span->first };
	struct header_token token = header_token_next(&tokens);
	bool good = true;

	for (; good && token.kind != TOKEN_END; token = header_token_next(&tokens)) {
		if (token.kind == TOKEN_SPECIAL)
			good = token.special == '.';
		else if (token.kind == TOKEN_ATOM)
			good = header_token_is_plain(&tokens, &token);
		else if (token.kind == TOKEN_ENCODED)
			good = in_phrase &&
			    are_sound(tokens.text + token.first, token.end - token.first);
		else
			good = token.kind != TOKEN_LITERAL && !token.is_open;
	}
	return good;
}

bool
rewrite_is_phrase(const char *body, const struct header_span *span)
{
	return are_words(body, span, true);
}

bool
rewrite_is_name(const char *body, const struct header_span *local)
{
	return are_words(body, local, false);
}

static bool
is_blank(char octet)
{
	return octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n';
}

/* Blanks and folds as one space, other controls dropped, quoted pairs undone. */
static void
append_clean(struct buf *out, const char *text, size_t len, bool has_pairs)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char octet;

		if (has_pairs && text[i] == '\\' && i + 1 < len)
			i++;
		octet = (unsigned char)text[i];
		if (is_blank(text[i])) {
			if (out->len > 0 && buf_octets(out)[out->len - 1] != ' ')
				buf_append(out, " ", 1);
		} else if (octet >= 0x20 && octet != 0x7f) {
			buf_append(out, &text[i], 1);
		}
	}
	while (out->len > 0 && buf_octets(out)[out->len - 1] == ' ')
		out->len--;
}

static void
append_quoted(struct buf *out, const struct buf *clean)
{
	const char *octets = buf_octets(clean);
	size_t len = text_utf8_cut(octets, clean->len, NAME_MAX_OCTETS);

	buf_append_text(out, "\"");
	for (size_t i = 0; i < len; i++) {
		if (octets[i] == '"' || octets[i] == '\\')
			buf_append_text(out, "\\");
		buf_append(out, &octets[i], 1);
	}
	buf_append_text(out, "\"");
}

/* Words with an encoded one among them. */
static bool
is_encoded(const struct buf *clean)
{
	const char *text = buf_octets(clean);

	return clean->len <= NAME_MAX_OCTETS && memmem(text, clean->len, "=?", 2) != NULL &&
	    are_sound(text, clean->len);
}

static bool
append_clean_name(struct buf *out, const struct buf *clean)
{
	if (is_encoded(clean))
		buf_append(out, buf_octets(clean), clean->len);
	else if (clean->len > 0)
		append_quoted(out, clean);
	return clean->len > 0;
}

bool
rewrite_append_name(struct buf *out, const char *text, size_t len)
{
	struct buf clean = { 0 };
	bool good;

	append_clean(&clean, text, len, false);
	good = append_clean_name(out, &clean);
	buf_free(&clean);
	return good;
}

bool
rewrite_append_comment(struct buf *out, const char *comment, size_t len)
{
	bool is_closed = len >= 2 && comment[len - 1] == ')', good;
	struct buf clean = { 0 };

	append_clean(&clean, comment + 1, len - (is_closed ? 2 : 1), true);
	good = append_clean_name(out, &clean);
	buf_free(&clean);
	return good;
}
