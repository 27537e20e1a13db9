/* fetch_param.c - the value and the parameters of a MIME field (RFC 2045 5.1, RFC 2231). */
#include "client/fetch_param.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "client/fetch_charset.h"
#include "client/fetch_decode.h"
#include "client/fetch_word.h"

struct span { const char *at; size_t len; };

struct cursor {
	const char *at, *end;
	uint64_t work;			/* octets looked at, beside those passed over */
};

struct piece {
	unsigned number;
	unsigned order;			/* as found, for pieces of one number */
	bool is_encoded;		/* %41 */
	struct span value;
};

/* What a parameter may be written as, all at once. */
struct found {
	const char *name;
	struct span plain, extended;	/* name=, name*= */
	bool has_plain, has_extended;
	struct piece *pieces;		/* name*0=, name*0*= */
	size_t piece_count;
	bool is_cut;
};

static bool
is_blank(char octet)
{
	return octet == ' ' || octet == '\t' || octet == '\r' || octet == '\n';
}

/* A comment that is never closed goes to the end. */
static void
skip_comment(struct cursor *cursor)
{
	size_t depth = 0;

	for (; cursor->at < cursor->end; cursor->at++) {
		if (*cursor->at == '\\' && cursor->at + 1 < cursor->end)
			cursor->at++;
		else if (*cursor->at == '(')
			depth++;
		else if (*cursor->at == ')' && --depth == 0) {
			cursor->at++;
			return;
		}
	}
}

static void
skip_blanks(struct cursor *cursor)
{
	while (cursor->at < cursor->end) {
		if (is_blank(*cursor->at))
			cursor->at++;
		else if (*cursor->at == '(')
			skip_comment(cursor);
		else
			return;
	}
}

static struct span
trimmed(const char *at, const char *end)
{
	while (at < end && is_blank(at[0]))
		at++;
	while (at < end && is_blank(end[-1]))
		end--;
	return (struct span){ at, (size_t)(end - at) };
}

/* With its quotes; when they are not closed none behind them can open, so that this is looked at
 * twice and no more.  An unquoted one goes up to the next ";", blanks in it and all, as names of
 * files are often written. */
static struct span
read_value(struct cursor *cursor)
{
	const char *first = cursor->at;

	if (first < cursor->end && *first == '"') {
		const char *at = first + 1;

		while (at < cursor->end && *at != '"')
			at += *at == '\\' && at + 1 < cursor->end ? 2 : 1;
		cursor->work += (uint64_t)(at - first);
		if (at < cursor->end) {
			cursor->at = at + 1;
			return (struct span){ first, (size_t)(cursor->at - first) };
		}
	}
	while (cursor->at < cursor->end && *cursor->at != ';')
		cursor->at++;
	return trimmed(first, cursor->at);
}

/* False at the end of the field. */
static bool
next_param(struct cursor *cursor, struct span *name, struct span *value)
{
	for (;;) {
		const char *first;

		skip_blanks(cursor);
		first = cursor->at;
		if (first == cursor->end)
			return false;
		while (cursor->at < cursor->end && strchr("=;(\"", *cursor->at) == NULL &&
		    !is_blank(*cursor->at))
			cursor->at++;
		*name = trimmed(first, cursor->at);
		skip_blanks(cursor);
		if (cursor->at < cursor->end && *cursor->at == '=') {
			cursor->at++;
			skip_blanks(cursor);
			*value = read_value(cursor);
			return true;
		}
		if (cursor->at == first)	/* ";", or a quote out of place */
			cursor->at++;
	}
}

static void
append_quoted(struct span value, struct buf *out)
{
	const char *at = value.at, *end = at + value.len;

	if (value.len < 2 || *at != '"' || end[-1] != '"') {
		if (value.len > 0 && *at == '"')	/* never closed */
			at++;
		buf_append(out, at, (size_t)(end - at));
		return;
	}
	/* Only these: in the name C:\new.txt a backslash is meant as one. */
	for (at++, end--; at < end; at++) {
		if (*at == '\\' && at + 1 < end && (at[1] == '\\' || at[1] == '"'))
			at++;
		buf_append(out, at, 1);
	}
}

static void
append_percent(const char *at, const char *end, struct buf *out)
{
	for (; at < end; at++) {
		char value = *at;

		if (value == '%' && end - at > 2 && fetch_decode_digit(at[1]) >= 0 &&
		    fetch_decode_digit(at[2]) >= 0) {
			value = (char)(fetch_decode_digit(at[1]) << 4 |
			    fetch_decode_digit(at[2]));
			at += 2;
		}
		buf_append(out, &value, 1);
	}
}

/* charset'language'text, of which the first two may be missing; `charset` may be NULL. */
static void
append_extended(struct span value, bool is_first, struct buf *charset, struct buf *out)
{
	struct buf plain = { 0 };
	const char *at, *end, *quote, *second;

	append_quoted(value, &plain);
	at = buf_octets(&plain);
	end = at + plain.len;
	quote = is_first && plain.len > 0 ? memchr(at, '\'', plain.len) : NULL;
	second = quote != NULL ? memchr(quote + 1, '\'', (size_t)(end - quote) - 1) : NULL;
	if (second != NULL) {
		if (charset != NULL)
			buf_append(charset, at, (size_t)(quote - at));
		at = second + 1;
	}
	append_percent(at, end, out);
	buf_free(&plain);
}

static void
add_piece(struct found *found, unsigned number, bool is_encoded, struct span value)
{
	if (found->pieces == NULL)
		found->pieces = mem_array(FETCH_PARAM_PIECES, sizeof(found->pieces[0]));
	if (found->piece_count == FETCH_PARAM_PIECES) {
		found->is_cut = true;
		return;
	}
	found->pieces[found->piece_count] = (struct piece){ .number = number,
		.order = (unsigned)found->piece_count, .is_encoded = is_encoded, .value = value };
	found->piece_count++;
}

/* The first of each kind counts. */
static void
add(struct found *found, struct span name, struct span value)
{
	size_t len = strlen(found->name), at;
	unsigned number = 0;

	if (name.len < len || strncasecmp(name.at, found->name, len) != 0)
		return;
	if (name.len == len && !found->has_plain) {
		found->plain = value;
		found->has_plain = true;
	}
	if (name.len == len || name.at[len] != '*')
		return;
	if (name.len == len + 1 && !found->has_extended) {
		found->extended = value;
		found->has_extended = true;
	}
	for (at = len + 1; at < name.len && at < len + 8 && name.at[at] >= '0' &&
	    name.at[at] <= '9'; at++)
		number = number * 10 + (unsigned)(name.at[at] - '0');
	if (at == len + 1)
		return;
	if (at == name.len)
		add_piece(found, number, false, value);
	else if (at + 1 == name.len && name.at[at] == '*')
		add_piece(found, number, true, value);
}

static int
compare_pieces(const void *a, const void *b)
{
	const struct piece *left = a, *right = b;

	if (left->number != right->number)
		return left->number < right->number ? -1 : 1;
	return left->order < right->order ? -1 : left->order > right->order;
}

static void
skip_value(struct cursor *cursor, struct buf *out)
{
	skip_blanks(cursor);
	while (cursor->at < cursor->end && *cursor->at != ';') {
		char last = out->len > 0 ? buf_octets(out)[out->len - 1] : '/';

		if (is_blank(*cursor->at) || *cursor->at == '(') {
			skip_blanks(cursor);
			if (cursor->at < cursor->end && *cursor->at != '/' && last != '/')
				return;
			continue;
		}
		buf_append(out, cursor->at++, 1);
	}
}

void
fetch_param_value(const char *field, size_t len, struct buf *out)
{
	struct cursor cursor = { .at = field, .end = field + len };
	struct buf value = { 0 };

	skip_value(&cursor, &value);
	for (size_t i = 0; i < value.len; i++) {
		char octet = buf_octets(&value)[i];

		octet = octet >= 'A' && octet <= 'Z' ? (char)(octet - 'A' + 'a') : octet;
		buf_append(out, &octet, 1);
	}
	buf_free(&value);
}

static void
find(const char *field, size_t len, const char *name, struct found *found,
    struct fetch_param_notes *notes)
{
	struct cursor cursor = { .at = field, .end = field + len };
	struct buf value = { 0 };
	struct span attribute, text;

	*found = (struct found){ .name = name };
	skip_value(&cursor, &value);
	buf_free(&value);
	while (next_param(&cursor, &attribute, &text))
		add(found, attribute, text);
	notes->work += cursor.work + len;
	notes->is_cut = notes->is_cut || found->is_cut;
	if (found->piece_count > 0)
		qsort(found->pieces, found->piece_count, sizeof(found->pieces[0]),
		    compare_pieces);
}

/* Puts the octets together; *is_encoded: RFC 2231 says of what charset they are. */
static bool
join(const struct found *found, struct buf *charset, struct buf *out, bool *is_encoded)
{
	*is_encoded = true;
	if (found->has_extended) {
		append_extended(found->extended, true, charset, out);
		if (out->len > 0)
			return true;
	}
	*is_encoded = false;
	for (size_t i = 0; i < found->piece_count; i++) {
		const struct piece *piece = &found->pieces[i];

		if (piece->is_encoded)
			append_extended(piece->value, !*is_encoded, charset, out);
		else
			append_quoted(piece->value, out);
		*is_encoded = *is_encoded || piece->is_encoded;
	}
	if (found->piece_count == 0 && found->has_plain)
		append_quoted(found->plain, out);
	return found->piece_count > 0 || found->has_plain || found->has_extended;
}

bool
fetch_param_octets(const char *field, size_t len, const char *name, struct buf *out,
    struct fetch_param_notes *notes)
{
	struct found found;
	bool is_encoded, is_there;

	find(field, len, name, &found, notes);
	is_there = join(&found, NULL, out, &is_encoded);
	free(found.pieces);
	return is_there;
}

bool
fetch_param_text(const char *field, size_t len, const char *name, struct buf *out,
    struct fetch_param_notes *notes)
{
	struct buf charset_name = { 0 }, octets = { 0 };
	struct found found;
	bool is_encoded, is_there;

	find(field, len, name, &found, notes);
	is_there = join(&found, &charset_name, &octets, &is_encoded);
	free(found.pieces);
	if (is_encoded) {
		struct fetch_charset *charset = fetch_charset_new(charset_name.len > 0 ?
		    buf_text(&charset_name) : NULL);
		struct buf text = { 0 };

		fetch_charset_convert(charset, buf_octets(&octets), octets.len, &text);
		fetch_charset_end(charset, &text);
		fetch_charset_free(charset);
		fetch_word_append_line(buf_octets(&text), text.len, out);
		buf_free(&text);
	} else if (is_there) {
		notes->work += fetch_word_decode(buf_octets(&octets), octets.len, out);
	}
	buf_free(&charset_name);
	buf_free(&octets);
	return is_there;
}
