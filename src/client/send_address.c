/* send_address.c - the addresses that options give: for the envelope, and for the header. */
#include "client/send_address.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/send_header.h"
#include "client/send_option.h"
#include "mail/header_address.h"

#include <stdlib.h>
#include <string.h>

/* --- reading --- */

/* Without quotes, escapes and comments; a run of blanks is one. */
static char *
plain_name(const char *text, size_t len)
{
	struct header_tokens tokens = { .text = text, .len = len };
	struct buf name = { 0 };
	struct header_token token;
	bool is_apart = false;
	char *result = NULL;

	while (token = header_token_next(&tokens), token.kind != TOKEN_END) {
		const bool is_quoted = token.kind == TOKEN_QUOTED;

		if (token.kind == TOKEN_BLANK || token.kind == TOKEN_COMMENT) {
			is_apart = true;
			continue;
		}
		if (is_apart && name.len > 0)
			buf_append_text(&name, " ");
		is_apart = false;
		for (size_t at = token.first + is_quoted; at < token.end - is_quoted; at++) {
			if (is_quoted && text[at] == '\\' && at + 1 < token.end - 1)
				at++;
			buf_append(&name, text + at, 1);
		}
	}
	if (name.len > 0)
		result = mem_strndup(buf_octets(&name), name.len);
	buf_free(&name);
	return result;
}

/* The words of an address without blanks and comments between them. */
static void
append_words(struct buf *out, const char *text, size_t len)
{
	struct header_tokens tokens = { .text = text, .len = len };
	struct header_token token;

	while (token = header_token_next(&tokens), token.kind != TOKEN_END)
		if (token.kind != TOKEN_BLANK && token.kind != TOKEN_COMMENT)
			buf_append(out, text + token.first, token.end - token.first);
}

static const char *
why_not(struct address *out, const char *list, const struct header_mailbox *box)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];
	struct address address;
	struct buf path = { 0 };
	enum address_fault fault;

	if (box->spec.first == box->spec.end || box->is_loose || box->is_open)
		return "this is no address of the form NAME <local@domain>";
	if (!box->has_at || box->domain.first == box->domain.end)
		return "the address has no domain";
	append_words(&path, list + box->local.first, box->local.end - box->local.first);
	buf_append_text(&path, "@");
	append_words(&path, list + box->domain.first, box->domain.end - box->domain.first);
	fault = address_parse(&address, buf_octets(&path), path.len);
	buf_free(&path);
	if (fault == ADDRESS_TOO_LONG)
		return "the address is too long";
	if (fault != ADDRESS_OK || address_is_null(&address))
		return "this is no address of the form local@domain";
	if (!address_domain_ascii(&address, domain))
		return "the domain is no name in the DNS";
	*out = address;
	if (!address_needs_utf8(&address))
		text_copy(out->domain, sizeof(out->domain), domain);
	return NULL;
}

static void
append(struct send_addresses *out, const struct address *address, char *name)
{
	if ((out->count & (out->count - 1)) == 0)
		out->items = mem_grow(out->items, out->count == 0 ? 1 : out->count * 2,
		    sizeof(*out->items));
	out->items[out->count++] = (struct send_mailbox){ .address = *address, .name = name };
	out->needs_utf8 = out->needs_utf8 || address_needs_utf8(address);
}

bool
send_addresses_read(struct send_addresses *out, const char *option, const char *list,
    struct send_fault *fault)
{
	struct header_addresses addresses = { .tokens = { .text = list, .len = strlen(list) } };
	const size_t before = out->count;
	struct header_mailbox box;
	struct address address;
	const char *why;

	if (!send_option_check(option, list, fault))
		return false;
	while (header_address_next(&addresses, &box)) {
		if (box.whole.first == box.whole.end)
			continue;
		why = why_not(&address, list, &box);
		if (why != NULL)
			return send_option_refuse(option, list + box.whole.first,
			    box.whole.end - box.whole.first, why, fault);
		append(out, &address, box.name.first == box.name.end ? NULL :
		    plain_name(list + box.name.first, box.name.end - box.name.first));
	}
	if (out->count == before)
		return send_option_refuse(option, list, strlen(list), "there is no address in it",
		    fault);
	return true;
}

bool
send_addresses_read_all(struct send_addresses *out, const char *option,
    const struct send_list *lists, struct send_fault *fault)
{
	for (size_t i = 0; i < lists->count; i++)
		if (!send_addresses_read(out, option, lists->items[i], fault))
			return false;
	return true;
}

void
send_addresses_free(struct send_addresses *addresses)
{
	for (size_t i = 0; i < addresses->count; i++)
		free(addresses->items[i].name);
	free(addresses->items);
	*addresses = (struct send_addresses){ 0 };
}

/* --- writing --- */

void
send_addresses_write(const struct send_addresses *addresses, struct send_header *header)
{
	char text[ADDRESS_TEXT_MAX + 1];
	struct buf word = { 0 };

	for (size_t i = 0; i < addresses->count; i++) {
		const struct send_mailbox *item = &addresses->items[i];
		const char *comma = i + 1 < addresses->count ? "," : "";

		if (item->name != NULL)
			send_header_phrase(header, item->name);
		buf_clear(&word);
		buf_appendf(&word, "%s%s%s%s", item->name != NULL ? "<" : "",
		    address_text(&item->address, text), item->name != NULL ? ">" : "", comma);
		send_header_word(header, buf_octets(&word), word.len);
	}
	buf_free(&word);
}
