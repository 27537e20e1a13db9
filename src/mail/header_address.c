/* header_address.c - the mailboxes of a header field, where they stand in its octets. */
#include "mail/header_address.h"

#include <string.h>

/* An addr-spec on its way: RFC 5322 3.4.1 with the blanks and comments of 4.4.  More dots
 * than it allows are let through, for what mail programs write. */
enum spec_state { SPEC_START, SPEC_WORD, SPEC_DOT, SPEC_AT, SPEC_DOMAIN, SPEC_DOMAIN_DOT };

struct spec {
	enum spec_state state;
	struct header_span local, domain;
	bool has_at, is_bad;
};

/* An element on its way. */
struct element {
	struct header_mailbox mailbox;
	/* `loose` begins anew at each blank: finds "root@localhost" within "Ann root@localhost". */
	struct spec strict, loose, found;
	bool has_found;
	bool has_words;			/* anything but blanks and comments */
	enum { BEFORE, IN_ROUTE, IN_BRACKETS, BEHIND } place;
	bool bracket_is_new;		/* nothing stood behind the "<" yet */
	size_t route;
};

static void
extend(struct header_span *span, const struct header_token *token)
{
	if (span->first == span->end)
		span->first = token->first;
	span->end = token->end;
}

static void
feed_word(struct spec *spec, const struct header_token *token)
{
	switch (spec->state) {
	case SPEC_START:
	case SPEC_DOT:
		spec->is_bad = spec->is_bad || token->kind == TOKEN_LITERAL ||
		    token->kind == TOKEN_ENCODED;
		extend(&spec->local, token);
		spec->state = SPEC_WORD;
		break;
	case SPEC_WORD:
		/* `a"b"`: one word to most readers. */
		spec->is_bad = spec->is_bad || spec->local.end != token->first ||
		    token->kind == TOKEN_LITERAL || token->kind == TOKEN_ENCODED;
		extend(&spec->local, token);
		break;
	case SPEC_AT:
	case SPEC_DOMAIN_DOT:
		spec->is_bad = spec->is_bad || token->kind == TOKEN_QUOTED;
		extend(&spec->domain, token);
		spec->state = SPEC_DOMAIN;
		break;
	case SPEC_DOMAIN:
		spec->is_bad = true;
		break;
	}
}

static void
feed_dot(struct spec *spec, const struct header_token *token)
{
	switch (spec->state) {
	case SPEC_START:
	case SPEC_WORD:
	case SPEC_DOT:
		extend(&spec->local, token);
		spec->state = SPEC_DOT;
		break;
	case SPEC_DOMAIN:
		extend(&spec->domain, token);
		spec->state = SPEC_DOMAIN_DOT;
		break;
	case SPEC_AT:
	case SPEC_DOMAIN_DOT:
		spec->is_bad = true;
		break;
	}
}

static void
feed(struct spec *spec, const struct header_token *token)
{
	if (token->kind != TOKEN_SPECIAL) {
		feed_word(spec, token);
	} else if (token->special == '.') {
		feed_dot(spec, token);
	} else if (token->special == '@' &&
	    (spec->state == SPEC_WORD || spec->state == SPEC_DOT)) {
		spec->state = SPEC_AT;
		spec->has_at = true;
		spec->domain = (struct header_span){ token->end, token->end };
	} else {
		spec->is_bad = true;
	}
}

static bool
is_address(const struct spec *spec)
{
	return !spec->is_bad && spec->state != SPEC_START;
}

/* At a blank, and at the end of it all. */
static void
end_loose(struct element *element)
{
	if (is_address(&element->loose) && element->loose.has_at) {
		element->found = element->loose;
		element->has_found = true;
	}
	element->loose = (struct spec){ .state = SPEC_START };
}

static void
feed_both(struct element *element, const struct header_token *token)
{
	feed(&element->strict, token);
	feed(&element->loose, token);
}

/* --- what stands where --- */

static void
on_gap(struct element *element, const struct header_token *token)
{
	if (token->kind == TOKEN_COMMENT) {
		element->mailbox.comment = (struct header_span){ token->first, token->end };
		element->mailbox.is_open = token->is_open;
		extend(&element->mailbox.whole, token);
	}
	if (element->place == BEFORE || element->place == IN_BRACKETS)
		end_loose(element);
}

static void
open_bracket(struct element *element, const struct header_token *token)
{
	const struct header_span *whole = &element->mailbox.whole;

	element->mailbox.name = element->has_words ?
	    (struct header_span){ whole->first, token->first } : (struct header_span){ 0, 0 };
	element->mailbox.in_brackets = true;
	element->place = IN_BRACKETS;
	element->bracket_is_new = true;
	element->strict = element->loose = (struct spec){ .state = SPEC_START };
	element->has_found = false;
}

/* In brackets: the route first, where there is one. */
static void
feed_in_brackets(struct element *element, const struct header_token *token)
{
	bool is_special = token->kind == TOKEN_SPECIAL;

	if (is_special && token->special == '>') {
		if (element->place == IN_BRACKETS)
			end_loose(element);
		element->place = BEHIND;
	} else if (element->place == IN_ROUTE) {
		if (is_special && token->special == ':')
			element->place = IN_BRACKETS;
	} else if (element->bracket_is_new && is_special && token->special == '@') {
		element->route = token->first;
		element->place = IN_ROUTE;
	} else if (is_special && token->special == '<') {
		element->strict = element->loose = (struct spec){ .state = SPEC_START };
	} else {
		feed_both(element, token);
	}
	element->bracket_is_new = is_special && token->special == '<';
}

static void
on_word(struct element *element, const struct header_token *token)
{
	if (element->place == BEFORE && token->kind == TOKEN_SPECIAL && token->special == '<')
		open_bracket(element, token);
	else if (element->place == IN_ROUTE || element->place == IN_BRACKETS)
		feed_in_brackets(element, token);
	else if (element->place == BEFORE)
		feed_both(element, token);
	extend(&element->mailbox.whole, token);
	element->has_words = true;
}

/* A comma within a route is of the route, RFC 5322 4.4. */
static bool
is_separator(const struct element *element, const struct header_token *token)
{
	if (token->kind != TOKEN_SPECIAL)
		return false;
	return token->special == ';' || (token->special == ',' && element->place != IN_ROUTE);
}

static bool
ends_group_name(const struct element *element, const struct header_token *token)
{
	return token->kind == TOKEN_SPECIAL && token->special == ':' &&
	    (element->place == BEFORE || element->place == BEHIND);
}

static void
settle(struct element *element)
{
	struct header_mailbox *mailbox = &element->mailbox;
	const struct spec *spec = NULL;

	/* A comment alone has no name and no address. */
	if (element->place == BEFORE || element->place == IN_BRACKETS)
		end_loose(element);
	if (is_address(&element->strict))
		spec = &element->strict;
	else if (element->has_found)
		spec = &element->found;
	if (spec == NULL || element->place == IN_ROUTE)
		return;
	mailbox->is_loose = !mailbox->in_brackets && spec == &element->found;
	mailbox->local = spec->local;
	mailbox->domain = spec->domain;
	mailbox->has_at = spec->has_at;
	mailbox->spec.first = element->route > 0 ? element->route : spec->local.first;
	mailbox->spec.end = spec->has_at ? spec->domain.end : spec->local.end;
}

bool
header_address_next(struct header_addresses *addresses, struct header_mailbox *out)
{
	struct header_tokens *tokens = &addresses->tokens;
	struct element element = { .place = BEFORE };

	for (;;) {
		size_t before = tokens->at;
		struct header_token token = header_token_next(tokens);
		bool is_end = token.kind == TOKEN_END;

		/* A comma is missing between two mailboxes. */
		if (element.place == BEHIND && token.kind == TOKEN_SPECIAL &&
		    token.special == '<') {
			tokens->at = before;
			is_end = true;
		}
		if (is_end || is_separator(&element, &token)) {
			settle(&element);
			*out = element.mailbox;
			if (out->whole.first < out->whole.end || is_end)
				return out->whole.first < out->whole.end;
			element = (struct element){ .place = BEFORE };
		} else if (ends_group_name(&element, &token)) {
			element = (struct element){ .place = BEFORE };
		} else if (token.kind == TOKEN_BLANK || token.kind == TOKEN_COMMENT) {
			on_gap(&element, &token);
		} else {
			on_word(&element, &token);
		}
	}
}
