/* rewrite_field.c - one header field with addresses: local names become names of the world. */
#include "mail/rewrite_field.h"

#include "base/buf.h"
#include "mail/aliases.h"
#include "mail/header_address.h"
#include "mail/identity.h"
#include "mail/rewrite_name.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* RFC 5322 2.1.1 allows 998 octets in a line; a comma and the like come behind a mailbox. */
#define LINE_MAX_OCTETS	990

static const struct {
	const char *name;
	enum rewrite_kind kind;
} fields[] = {
	{ "From", REWRITE_FROM },
	{ "Sender", REWRITE_SENDER },
	{ "Reply-To", REWRITE_ORIGIN },
	{ "To", REWRITE_RECIPIENT },
	{ "Cc", REWRITE_RECIPIENT },
	{ "Bcc", REWRITE_RECIPIENT },
	{ "Resent-From", REWRITE_ORIGIN },
	{ "Resent-Sender", REWRITE_ORIGIN },
	{ "Resent-Reply-To", REWRITE_ORIGIN },
	{ "Resent-To", REWRITE_RECIPIENT },
	{ "Resent-Cc", REWRITE_RECIPIENT },
	{ "Resent-Bcc", REWRITE_RECIPIENT },
	{ "Apparently-To", REWRITE_RECIPIENT },
	{ "Disposition-Notification-To", REWRITE_ORIGIN },
	{ "Errors-To", REWRITE_ORIGIN },
	{ "Mail-Followup-To", REWRITE_ORIGIN },
	{ "Mail-Reply-To", REWRITE_ORIGIN },
	{ "Return-Receipt-To", REWRITE_ORIGIN },
};

/* A field on its way. */
struct work {
	const struct identity *identity;
	enum rewrite_kind kind;
	const char *body;
	size_t len;
	size_t copied;			/* octets of the body that are in `out` */
	struct buf *out;
	size_t column;
	bool is_changed;
	size_t room;			/* octets, for all aliases together */
};

enum rewrite_kind
rewrite_kind(const char *name, size_t len)
{
	while (len > 0 && (name[len - 1] == ' ' || name[len - 1] == '\t'))
		len--;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (strlen(fields[i].name) == len && strncasecmp(fields[i].name, name, len) == 0)
			return fields[i].kind;
	return REWRITE_NOTHING;
}

bool
rewrite_is_must(const struct identity *identity, enum rewrite_kind kind)
{
	return (kind == REWRITE_FROM || kind == REWRITE_FROM_AGAIN) &&
	    !address_is_null(&identity->from);
}

/* Without the blanks and the line end behind it. */
static size_t
trimmed(const char *body, size_t len)
{
	while (len > 0 && body[len - 1] != '\0' && strchr(" \t\r\n", body[len - 1]) != NULL)
		len--;
	return len;
}

/* --- what is written --- */

static void
put(struct work *work, const char *octets, size_t len)
{
	const char *lf = memrchr(octets, '\n', len);

	buf_append(work->out, octets, len);
	work->column = lf != NULL ? (size_t)(octets + len - lf) - 1 : work->column + len;
}

static void
copy_up_to(struct work *work, size_t end)
{
	put(work, work->body + work->copied, end - work->copied);
	work->copied = end;
}

static void
append_span(const struct work *work, struct buf *out, size_t first, size_t end)
{
	buf_append(out, work->body + first, end - first);
}

static void
append_address(struct buf *out, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];

	buf_append_text(out, rewrite_address_text(address, text));
}

/* A mailbox in its new form, or the old one in a line that has grown. */
static void
put_mailbox(struct work *work, const struct header_mailbox *mailbox, struct buf *text)
{
	const char *lf = memchr(buf_octets(text), '\n', text->len);
	size_t first_line = lf != NULL ? (size_t)(lf - buf_octets(text)) : text->len;

	copy_up_to(work, mailbox->whole.first);
	if (work->column > 1 && work->column + first_line > LINE_MAX_OCTETS)
		put(work, "\r\n\t", 3);
	put(work, buf_octets(text), text->len);
	work->copied = mailbox->whole.end;
}

/* --- one mailbox: true and what it becomes --- */

/* Several targets stand each with the name that the one had.  A comment that is never closed
 * would hide those behind it: it stands once, at the end. */
static void
write_targets(const struct work *work, const struct header_mailbox *mailbox,
    const struct identity_targets *targets, struct buf *out)
{
	for (size_t i = 0; i < targets->count; i++) {
		if (i > 0)
			buf_append_text(out, ",\r\n\t");
		append_span(work, out, mailbox->whole.first, mailbox->spec.first);
		append_address(out, &targets->items[i]);
		if (!mailbox->is_open || i + 1 == targets->count)
			append_span(work, out, mailbox->spec.end, mailbox->whole.end);
		else if (mailbox->in_brackets)
			buf_append_text(out, ">");
	}
}

static bool
alias_mailbox(struct work *work, const struct header_mailbox *mailbox, struct buf *out)
{
	char local[ADDRESS_LOCAL_MAX * 2 + 1];
	struct identity_targets targets;
	const struct alias *alias = NULL;
	size_t most = mailbox->whole.end - mailbox->whole.first + ADDRESS_TEXT_MAX + 4;

	if (rewrite_plain(work->body, &mailbox->local, local, sizeof(local)))
		alias = aliases_find(work->identity->aliases, local, strlen(local));
	if (alias == NULL || alias->reach * most > work->room ||
	    !identity_expand_name(work->identity, local, strlen(local), &targets))
		return false;
	write_targets(work, mailbox, &targets, out);
	work->room -= out->len;
	free(targets.items);
	return true;
}

static bool
qualify_mailbox(const struct work *work, const struct header_mailbox *mailbox,
    const char *domain, struct buf *out)
{
	const char *next = identity_domain(work->identity, domain, strlen(domain));
	size_t first = mailbox->has_at ? mailbox->domain.first : mailbox->local.end;
	size_t end = mailbox->has_at ? mailbox->domain.end : mailbox->local.end;

	if (next == NULL)
		return false;
	append_span(work, out, mailbox->whole.first, first);
	buf_appendf(out, "%s%s", mailbox->has_at ? "" : "@", next);
	append_span(work, out, end, mailbox->whole.end);
	return true;
}

static bool
rewrite_mailbox(struct work *work, const struct header_mailbox *mailbox, struct buf *out)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	if (mailbox->spec.first == mailbox->spec.end ||
	    !rewrite_plain(work->body, &mailbox->domain, domain, sizeof(domain)) ||
	    !identity_is_local_domain(work->identity, domain, strlen(domain)) ||
	    (domain[0] == '\0' && !rewrite_is_name(work->body, &mailbox->local)))
		return false;
	if (work->kind == REWRITE_RECIPIENT && alias_mailbox(work, mailbox, out))
		return true;
	return qualify_mailbox(work, mailbox, domain, out);
}

/* Each mailbox for itself; all between them stays. */
static void
rewrite_body(struct work *work)
{
	struct header_addresses addresses = { .tokens = { .text = work->body,
	    .len = trimmed(work->body, work->len) } };
	struct header_mailbox mailbox;
	struct buf text = { 0 };

	while (header_address_next(&addresses, &mailbox)) {
		bool is_new = rewrite_mailbox(work, &mailbox, &text);

		if (!is_new && work->is_changed)
			append_span(work, &text, mailbox.whole.first, mailbox.whole.end);
		if (text.len > 0)
			put_mailbox(work, &mailbox, &text);
		work->is_changed = work->is_changed || is_new;
		buf_clear(&text);
	}
	buf_free(&text);
}

/* --- one address for the whole field: identity.from --- */

/* The octets that herald writes: no blanks, no comments, no route. */
static bool
is_from(const struct work *work, const char *octets, size_t len)
{
	char text[ADDRESS_TEXT_MAX + 1];
	size_t local = strlen(work->identity->from.local);

	rewrite_address_text(&work->identity->from, text);
	return len == strlen(text) && memcmp(octets, text, local) == 0 &&
	    strncasecmp(octets + local, text + local, len - local) == 0;
}

/* Whether nothing stands there but the address, or a name and the address in brackets: what
 * any reader could take for another address must not pass. */
static bool
is_from_already(const struct work *work)
{
	const char *body = work->body, *open;
	struct header_span name = { .first = 0 };
	size_t end = trimmed(body, work->len);

	while (name.first < end && memchr(" \t\r\n", body[name.first], 4) != NULL)
		name.first++;
	open = memrchr(body + name.first, '<', end - name.first);
	if (open == NULL)
		return is_from(work, body + name.first, end - name.first);
	name.end = (size_t)(open - body);
	return body[end - 1] == '>' && is_from(work, open + 1, end - 2 - name.end) &&
	    rewrite_is_phrase(body, &name);
}

/* The address as it would be without identity.from. */
static void
write_address_name(const struct work *work, const struct header_mailbox *mailbox,
    struct buf *out)
{
	struct header_mailbox bare = *mailbox;
	struct buf text = { 0 };
	char domain[ADDRESS_DOMAIN_MAX + 1];

	bare.whole = mailbox->has_at ? (struct header_span){ mailbox->local.first,
	    mailbox->domain.end } : mailbox->local;
	if (!rewrite_plain(work->body, &mailbox->domain, domain, sizeof(domain)) ||
	    !qualify_mailbox(work, &bare, domain, &text))
		append_span(work, &text, bare.whole.first, bare.whole.end);
	rewrite_append_name(out, buf_octets(&text), text.len);
	buf_free(&text);
}

static bool
is_spec_from(const struct work *work, const struct header_mailbox *mailbox)
{
	char local[ADDRESS_LOCAL_MAX + 1], domain[ADDRESS_DOMAIN_MAX + 1];
	const struct address *from = &work->identity->from;

	return rewrite_plain(work->body, &mailbox->local, local, sizeof(local)) &&
	    rewrite_plain(work->body, &mailbox->domain, domain, sizeof(domain)) &&
	    strcmp(local, from->local) == 0 && strcasecmp(domain, from->domain) == 0;
}

/* The old name, or what a mailbox without one gets: a comment, else the address, if it is
 * another. */
static void
write_name(const struct work *work, const struct header_mailbox *mailbox, struct buf *out)
{
	const struct header_span *name = &mailbox->name, *comment = &mailbox->comment;

	if (name->first < name->end && rewrite_is_phrase(work->body, name))
		append_span(work, out, name->first, name->first +
		    trimmed(work->body + name->first, name->end - name->first));
	else if (name->first < name->end)
		rewrite_append_name(out, work->body + name->first, name->end - name->first);
	else if (comment->first < comment->end && rewrite_append_comment(out,
	    work->body + comment->first, comment->end - comment->first))
		return;
	else if (mailbox->spec.first == mailbox->spec.end || mailbox->is_loose)
		rewrite_append_name(out, work->body + mailbox->whole.first,
		    mailbox->whole.end - mailbox->whole.first);
	else if (!is_spec_from(work, mailbox))
		write_address_name(work, mailbox, out);
}

/* Behind a blank, or in a line of its own where it does not fit. */
static void
put_word(struct work *work, const struct buf *word)
{
	const char *lf = memchr(buf_octets(word), '\n', word->len);
	size_t first_line = lf != NULL ? (size_t)(lf - buf_octets(word)) : word->len;

	if (work->column + 1 + first_line > LINE_MAX_OCTETS)
		put(work, "\r\n\t", 3);
	else
		put(work, " ", 1);
	put(work, buf_octets(word), word->len);
}

/* One mailbox for all that stands there, named as the first one: groups and lists are refused
 * by providers, and a list wants a Sender (RFC 5322 3.6.2).  What else stood there is in
 * X-Original-From. */
static void
replace_body(struct work *work)
{
	struct header_addresses addresses = { .tokens = { .text = work->body,
	    .len = trimmed(work->body, work->len) } };
	struct header_mailbox mailbox;
	struct buf name = { 0 }, address = { 0 };

	if (is_from_already(work) ||
	    (work->kind == REWRITE_SENDER && addresses.tokens.len == 0))
		return;
	if (header_address_next(&addresses, &mailbox))
		write_name(work, &mailbox, &name);
	if (name.len > 0)
		put_word(work, &name);
	buf_append_text(&address, name.len > 0 ? "<" : "");
	append_address(&address, &work->identity->from);
	buf_append_text(&address, name.len > 0 ? ">" : "");
	put_word(work, &address);
	put(work, "\r\n", 2);
	work->copied = work->len;
	work->is_changed = true;
	buf_free(&name);
	buf_free(&address);
}

/* The longer name must not make a line too long. */
static void
append_original(struct buf *out, const char *body, size_t len)
{
	const char *lf = memchr(body, '\n', len);
	size_t first_line = lf != NULL ? (size_t)(lf - body) : len;

	if (trimmed(body, len) == 0)
		return;
	buf_append_text(out, "X-Original-From:");
	if (first_line > LINE_MAX_OCTETS - strlen("X-Original-From:"))
		buf_append_text(out, body[0] == ' ' || body[0] == '\t' ? "\r\n" : "\r\n\t");
	buf_append(out, body, len);
}

bool
rewrite_field(const struct identity *identity, enum rewrite_kind kind, const char *field,
    size_t len, size_t room, struct buf *out)
{
	const char *colon = memchr(field, ':', len);
	size_t name_len = colon != NULL ? (size_t)(colon + 1 - field) : len;
	bool has_from = !address_is_null(&identity->from);
	struct buf result = { 0 };
	struct work work = { .identity = identity, .kind = kind, .body = field + name_len,
	    .len = len - name_len, .out = &result, .room = room };

	if (kind == REWRITE_FROM_AGAIN && has_from) {
		append_original(out, work.body, work.len);
		return true;
	}
	put(&work, field, name_len);
	if (has_from && (kind == REWRITE_FROM || kind == REWRITE_SENDER))
		replace_body(&work);
	else
		rewrite_body(&work);
	copy_up_to(&work, work.len);
	if (work.is_changed) {
		buf_append(out, buf_octets(&result), result.len);
		if (rewrite_is_must(identity, kind))
			append_original(out, work.body, work.len);
	}
	buf_free(&result);
	return work.is_changed;
}
