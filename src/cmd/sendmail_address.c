/* sendmail_address.c - the addresses of a header field or of a word of the command line. */
#include "cmd/sendmail_address.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/sendmail_header.h"

#include <stdlib.h>
#include <string.h>

#define SHOWN_MAX	120	/* octets of a bad address in a message */

/* RFC 5322 3.2.3 and 3.4.  An atom is any run of what has no meaning here; whether it may
 * stand in an address is for address_parse(). */
enum token_kind { TOKEN_WORD, TOKEN_LITERAL, TOKEN_SPECIAL, TOKEN_END, TOKEN_BAD };

struct token {
	enum token_kind kind;
	const char *at;
	size_t len;
};

struct scan {
	const char *at, *end;
};

/* One member of the list, as far as it is read. */
struct member {
	const char *first;	/* where it begins, for messages */
	struct buf path;	/* its words, dots and "@", without what is between them */
	bool has_at;
	bool after_word;	/* the last token was a word or a literal */
	bool phrase;		/* words that stand side by side: a display name */
	bool complete;		/* an address, and behind it a word */
	bool colon;		/* and a colon in those */
	bool angle;		/* the address stood in angle brackets */
};

/* --- tokens --- */

/* Behind the octet that closes what has been opened; false: it is not closed. */
static bool
skip_until(struct scan *scan, char close)
{
	while (scan->at < scan->end && *scan->at != close)
		scan->at += *scan->at == '\\' && scan->at + 1 < scan->end ? 2 : 1;
	if (scan->at == scan->end)
		return false;
	scan->at++;
	return true;
}

static bool
is_special(char octet)
{
	return octet != '\0' && strchr("()<>[]:;@,.\" \t\r\n", octet) != NULL;
}

static struct token
next_token(struct scan *scan)
{
	struct token token = { .kind = TOKEN_BAD };

	if (!sendmail_skip_blanks(&scan->at, scan->end))
		return token;
	token.at = scan->at;
	if (scan->at == scan->end) {
		token.kind = TOKEN_END;
		return token;
	}
	if (*scan->at == '"' || *scan->at == '[') {
		const char close = *scan->at == '"' ? '"' : ']';

		token.kind = close == '"' ? TOKEN_WORD : TOKEN_LITERAL;
		scan->at++;
		if (!skip_until(scan, close))
			token.kind = TOKEN_BAD;
	} else if (is_special(*scan->at)) {
		token.kind = TOKEN_SPECIAL;
		scan->at++;
	} else {
		token.kind = TOKEN_WORD;
		while (scan->at < scan->end && !is_special(*scan->at))
			scan->at++;
	}
	token.len = (size_t)(scan->at - token.at);
	return token;
}

/* --- the list --- */

static bool
bad(const struct member *member, const struct scan *scan, const char *why, struct error *err)
{
	char shown[SHOWN_MAX];
	const char *end = scan->at;

	while (end > member->first && strchr(" \t,;", end[-1]) != NULL)
		end--;
	text_printable_utf8(shown, sizeof(shown), member->first, (size_t)(end - member->first));
	return error_set(err, ERROR_CONFIG, "bad address \"%s\": %s", shown, why);
}

static void
append(struct sendmail_addresses *list, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];

	if (list->known == NULL)
		list->known = map_new();
	address_text(address, text);
	if (map_get(list->known, text) != NULL)
		return;
	map_put(list->known, text, list->known);
	if ((list->count & (list->count - 1)) == 0)
		list->items = mem_grow(list->items, list->count == 0 ? 1 : list->count * 2,
		    sizeof(*list->items));
	list->items[list->count++] = *address;
}

/* "=?utf-8?q?...?=" is text for people (RFC 2047 5: never in an addr-spec). */
static bool
is_encoded_word(const char *text, size_t len)
{
	return len > 4 && memcmp(text, "=?", 2) == 0 && memcmp(text + len - 2, "?=", 2) == 0;
}

/* A bare name goes as an address does, then without its domain. */
static enum address_fault
parse_path(struct address *out, struct buf *path, bool has_at)
{
	enum address_fault fault;
	struct buf whole = { 0 };

	if (has_at)
		return address_parse(out, buf_octets(path), path->len);
	if (is_encoded_word(buf_octets(path), path->len))
		return ADDRESS_SYNTAX;
	buf_append(&whole, buf_octets(path), path->len);
	buf_append_text(&whole, "@x");
	fault = address_parse(out, buf_octets(&whole), whole.len);
	out->domain[0] = '\0';
	buf_free(&whole);
	return fault;
}

static bool
add_path(struct sendmail_addresses *list, struct member *member, const struct scan *scan,
    struct error *err)
{
	struct address address;

	switch (parse_path(&address, &member->path, member->has_at)) {
	case ADDRESS_OK:
		append(list, &address);
		return true;
	case ADDRESS_TOO_LONG:
		return bad(member, scan, "too long", err);
	case ADDRESS_SYNTAX:
	case ADDRESS_NOT_ASCII:
		break;
	}
	return bad(member, scan, "not of the form name@domain", err);
}

/* A member is over, at a separator or the end. */
static bool
end_member(struct sendmail_addresses *list, struct member *member, const struct scan *scan,
    struct buf *notices, struct error *err)
{
	char shown[SHOWN_MAX];

	if (member->complete && !member->colon)
		return bad(member, scan, "there is more behind the address", err);
	if (member->phrase)
		return bad(member, scan, "a name without an address", err);
	if (member->path.len == 0 && !member->angle)
		return true;	/* "a, , b": obsolete, RFC 5322 4.4 */
	if (member->path.len == 0)
		return bad(member, scan, "no address between < and >", err);
	if (!add_path(list, member, scan, err))
		return false;
	if (member->complete) {
		text_printable_utf8(shown, sizeof(shown), member->first,
		    (size_t)(scan->at - member->first));
		buf_appendf(notices, "only the first address is taken of \"%s\"\n", shown);
	}
	return true;
}

/* "@a,@b:" before the address in angle brackets: RFC 5322 4.4 obs-route. */
static bool
skip_route(struct scan *scan)
{
	struct scan ahead = *scan;
	struct token token = next_token(&ahead);

	if (token.kind != TOKEN_SPECIAL || *token.at != '@')
		return true;
	do
		token = next_token(&ahead);
	while (token.kind != TOKEN_END && token.kind != TOKEN_BAD &&
	    !(token.kind == TOKEN_SPECIAL && strchr(":<>", *token.at) != NULL));
	*scan = ahead;
	return token.kind == TOKEN_SPECIAL && *token.at == ':';
}

static void
add_token(struct member *member, const struct token *token)
{
	buf_append(&member->path, token->at, token->len);
	member->after_word = token->kind != TOKEN_SPECIAL;
	member->has_at = member->has_at || (token->kind == TOKEN_SPECIAL && *token->at == '@');
}

/* What stands between < and >, which is the address whatever was before it. */
static bool
read_angle(struct member *member, struct scan *scan, struct error *err)
{
	struct token token;

	buf_clear(&member->path);
	member->has_at = member->phrase = member->complete = false;
	member->angle = true;
	if (!skip_route(scan))
		return bad(member, scan, "a route without an end", err);
	for (;;) {
		token = next_token(scan);
		if (token.kind == TOKEN_END || token.kind == TOKEN_BAD)
			return bad(member, scan, "no > for its <", err);
		if (token.kind == TOKEN_SPECIAL && *token.at == '>')
			return true;
		if (token.kind == TOKEN_SPECIAL && strchr(".@", *token.at) == NULL)
			return bad(member, scan, "not of the form name@domain", err);
		if (token.kind != TOKEN_SPECIAL && member->after_word && member->path.len > 0)
			return bad(member, scan, "a blank within", err);
		add_token(member, &token);
	}
}

static void
read_word(struct member *member, const struct token *token)
{
	const bool beside = member->after_word && token->kind != TOKEN_SPECIAL;

	if (member->angle || member->complete || (beside && member->has_at))
		member->complete = true;
	else if (beside || member->phrase)
		member->phrase = true;
	else
		add_token(member, token);
}

/* A colon: before it stands the name of a group. */
static bool
read_colon(struct member *member, const struct scan *scan, struct error *err)
{
	if (member->has_at || member->angle) {
		member->complete = member->colon = true;
		return true;
	}
	if (member->path.len == 0)
		return bad(member, scan, "a colon without a name", err);
	buf_clear(&member->path);
	member->phrase = member->after_word = false;
	member->first = scan->at;
	return true;
}

static bool
read_member(struct sendmail_addresses *list, struct member *member, struct scan *scan,
    struct buf *notices, struct error *err)
{
	for (;;) {
		struct token token = next_token(scan);
		char octet = token.kind == TOKEN_SPECIAL ? *token.at : '\0';

		if (token.kind == TOKEN_BAD) {
			scan->at = scan->end;
			return bad(member, scan, "quotes, brackets or comment without an end",
			    err);
		}
		if (token.kind == TOKEN_END || octet == ',' || octet == ';')
			return end_member(list, member, scan, notices, err);
		if (octet == '<' && !member->angle && !member->colon) {
			member->after_word = false;
			if (!read_angle(member, scan, err))
				return false;
		} else if (octet == ':') {
			if (!read_colon(member, scan, err))
				return false;
		} else if (octet == '\0' || octet == '.' || octet == '@' || member->complete) {
			read_word(member, &token);
		} else {
			return bad(member, scan, "not of the form name@domain", err);
		}
	}
}

bool
sendmail_addresses_add(struct sendmail_addresses *list, const char *text, size_t len,
    struct buf *notices, struct error *err)
{
	struct scan scan = { .at = text, .end = text + len };
	bool ok = true;

	while (ok && scan.at < scan.end) {
		struct member member = { .first = scan.at };

		while (member.first < scan.end && strchr(" \t", *member.first) != NULL)
			member.first++;
		ok = read_member(list, &member, &scan, notices, err);
		buf_free(&member.path);
	}
	return ok;
}

void
sendmail_addresses_add_all(struct sendmail_addresses *list, const struct sendmail_addresses *from)
{
	for (size_t i = 0; i < from->count; i++)
		append(list, &from->items[i]);
}

bool
sendmail_sender_parse(struct address *out, const char *text, struct error *err)
{
	struct sendmail_addresses list = { 0 };
	struct buf notices = { 0 };
	bool ok;

	memset(out, 0, sizeof(*out));
	if (text[0] == '\0' || strcmp(text, "<>") == 0)
		return true;
	ok = sendmail_addresses_add(&list, text, strlen(text), &notices, err);
	if (ok && (list.count != 1 || notices.len > 0))
		ok = error_set(err, ERROR_CONFIG, "not one address");
	if (ok)
		*out = list.items[0];
	buf_free(&notices);
	sendmail_addresses_clear(&list);
	return ok;
}

void
sendmail_addresses_clear(struct sendmail_addresses *list)
{
	free(list->items);
	map_free(list->known);
	memset(list, 0, sizeof(*list));
}
