/* fetch_entity.c - what a header section says of the part behind it, and of the message. */
#include "client/fetch_entity.h"

#include <string.h>

#include "base/text.h"
#include "client/fetch_charset.h"
#include "client/fetch_param.h"
#include "client/fetch_word.h"
#include "mail/header_address.h"

#define TYPE_MAX 255		/* octets; RFC 6838 4.2 allows 127 on each side */

static bool
is_token(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (at[i] <= ' ' || at[i] >= 0x7f || strchr("()<>@,;:\\\"/[]?=", at[i]) != NULL)
			return false;
	}
	return len > 0;
}

/* What is no type is text (RFC 2045 5.2), as if nothing were said. */
static void
read_type(const struct buf *field, bool in_digest, struct buf *out)
{
	const char *type, *slash;

	if (field != NULL)
		fetch_param_value(buf_octets(field), field->len, out);
	type = buf_text(out);
	slash = strchr(type, '/');
	if (strlen(type) == out->len && out->len <= TYPE_MAX && slash != NULL &&
	    is_token(type, (size_t)(slash - type)) && is_token(slash + 1, strlen(slash + 1)))
		return;
	buf_clear(out);
	buf_append_text(out, in_digest ? "message/rfc822" : "text/plain");
	(void)buf_text(out);
}

static enum fetch_disposition
read_disposition(const struct buf *field)
{
	enum fetch_disposition disposition = FETCH_DISPOSITION_ATTACHMENT;
	struct buf value = { 0 };

	if (field != NULL)
		fetch_param_value(buf_octets(field), field->len, &value);
	if (!is_token(buf_octets(&value), value.len))
		disposition = FETCH_DISPOSITION_NONE;
	else if (strcmp(buf_text(&value), "inline") == 0)
		disposition = FETCH_DISPOSITION_INLINE;
	buf_free(&value);
	return disposition;
}

static void
read_name(const struct buf *field, const char *parameter, struct fetch_entity *entity)
{
	if (field != NULL && entity->name.len == 0)
		(void)fetch_param_text(buf_octets(field), field->len, parameter, &entity->name,
		    &entity->notes);
}

static void
read_content_id(const struct buf *field, struct fetch_entity *entity)
{
	struct buf value = { 0 };
	const char *at, *end;

	entity->notes.work += fetch_word_decode(buf_octets(field), field->len, &value);
	at = buf_text(&value);
	end = at + value.len;
	while (at < end && strchr(" <", *at) != NULL)
		at++;
	while (at < end && strchr(" >", end[-1]) != NULL)
		end--;
	buf_append(&entity->content_id, at, (size_t)(end - at));
	buf_free(&value);
}

static void
read_boundary(const struct buf *field, struct fetch_entity *entity)
{
	struct buf *boundary = &entity->boundary;
	const char *octets;

	entity->has_boundary = fetch_param_octets(buf_octets(field), field->len, "boundary",
	    boundary, &entity->notes);
	octets = buf_text(boundary);
	/* It cannot end in blanks: they are added on the way (RFC 2046 5.1.1). */
	while (boundary->len > 0 && strchr(" \t", octets[boundary->len - 1]) != NULL)
		boundary->len--;
	if (boundary->len > FETCH_BOUNDARY_MAX) {
		entity->has_boundary = false;
		entity->is_boundary_long = true;
	}
}

static enum fetch_encoding
encoding_of(const char *field, size_t len)
{
	enum fetch_encoding encoding = FETCH_ENCODING_NONE;
	struct buf value = { 0 };

	fetch_param_value(field, len, &value);
	if (strcmp(buf_text(&value), "base64") == 0)
		encoding = FETCH_ENCODING_BASE64;
	else if (strcmp(buf_text(&value), "quoted-printable") == 0)
		encoding = FETCH_ENCODING_QUOTED;
	buf_free(&value);
	return encoding;
}

void
fetch_entity_read(const struct fetch_section *section, bool in_digest,
    struct fetch_entity *entity)
{
	const struct buf *type = fetch_section_get(section, FETCH_FIELD_TYPE);
	const struct buf *encoding = fetch_section_get(section, FETCH_FIELD_ENCODING);
	const struct buf *disposition = fetch_section_get(section, FETCH_FIELD_DISPOSITION);
	const struct buf *id = fetch_section_get(section, FETCH_FIELD_ID);

	*entity = (struct fetch_entity){ 0 };
	read_type(type, in_digest, &entity->type);
	entity->disposition = read_disposition(disposition);
	if (encoding != NULL)
		entity->encoding = encoding_of(buf_octets(encoding), encoding->len);
	read_name(disposition, "filename", entity);
	read_name(type, "name", entity);
	if (id != NULL)
		read_content_id(id, entity);
	if (type != NULL && fetch_entity_is_multipart(entity))
		read_boundary(type, entity);
	if (type != NULL)
		(void)fetch_param_octets(buf_octets(type), type->len, "charset",
		    &entity->charset, &entity->notes);
	/* "charset=utf-8 format=flowed": a ";" is missing. */
	entity->charset.len = strcspn(buf_text(&entity->charset), " \t'*");
	(void)buf_text(&entity->charset);
}

bool
fetch_entity_is(const struct fetch_entity *entity, const char *type)
{
	return strlen(type) == entity->type.len &&
	    memcmp(buf_octets(&entity->type), type, entity->type.len) == 0;
}

bool
fetch_entity_is_multipart(const struct fetch_entity *entity)
{
	return entity->type.len > 10 && memcmp(buf_octets(&entity->type), "multipart/", 10) == 0;
}

void
fetch_entity_free(struct fetch_entity *entity)
{
	buf_free(&entity->type);
	buf_free(&entity->name);
	buf_free(&entity->content_id);
	buf_free(&entity->charset);
	buf_free(&entity->boundary);
}

/* The words of a local part without blanks, comments and quotes. */
static void
append_local_part(const char *text, struct header_span span, struct buf *out)
{
	struct header_tokens tokens = { .text = text + span.first, .len = span.end - span.first };
	struct header_token token;

	while ((token = header_token_next(&tokens)).kind != TOKEN_END) {
		const char *at = tokens.text + token.first, *end = tokens.text + token.end;

		if (token.kind == TOKEN_BLANK || token.kind == TOKEN_COMMENT)
			continue;
		if (token.kind != TOKEN_QUOTED) {
			buf_append(out, at, (size_t)(end - at));
			continue;
		}
		for (at++, end--; at < end; at++) {
			if (*at == '\\' && at + 1 < end)
				at++;
			buf_append(out, at, 1);
		}
	}
}

/* NULL: the field has no address. */
static const char *
first_local_part(const struct buf *field, struct buf *out)
{
	struct header_addresses addresses = { 0 };
	struct header_mailbox mailbox;
	struct buf local = { 0 };

	if (field == NULL)
		return NULL;
	addresses.tokens.text = buf_octets(field);
	addresses.tokens.len = field->len;
	while (header_address_next(&addresses, &mailbox)) {
		struct header_span span = mailbox.has_at ? mailbox.local : mailbox.spec;

		append_local_part(buf_octets(field), span, &local);
		if (local.len > 0)
			break;
	}
	if (local.len > 0) {
		struct fetch_charset *charset = fetch_charset_new(NULL);

		fetch_charset_convert(charset, buf_octets(&local), local.len, out);
		fetch_charset_end(charset, out);
		fetch_charset_free(charset);
	}
	buf_free(&local);
	return out->len > 0 ? buf_text(out) : NULL;
}

uint64_t
fetch_entity_header(const struct fetch_section *section,
    void (*done)(void *owner, const struct fetch_header *header), void *owner)
{
	struct buf decoded[FETCH_FIELDS] = { { 0 } }, sender = { 0 }, recipient = { 0 };
	const char *texts[FETCH_FIELDS] = { 0 };
	struct fetch_header header;
	uint64_t work = 0;

	for (unsigned i = FETCH_FIELD_FROM; i <= FETCH_FIELD_MESSAGE_ID; i++) {
		const struct buf *body = fetch_section_get(section, (enum fetch_field)i);

		if (body == NULL)
			continue;
		work += fetch_word_decode(buf_octets(body), body->len, &decoded[i]);
		texts[i] = buf_text(&decoded[i]);
		texts[i] += strspn(texts[i], " ");
		while (decoded[i].len > 0 && buf_octets(&decoded[i])[decoded[i].len - 1] == ' ')
			decoded[i].len--;
		(void)buf_text(&decoded[i]);
	}
	header = (struct fetch_header){
		.from = texts[FETCH_FIELD_FROM],
		.to = texts[FETCH_FIELD_TO],
		.cc = texts[FETCH_FIELD_CC],
		.subject = texts[FETCH_FIELD_SUBJECT],
		.date = texts[FETCH_FIELD_DATE],
		.message_id = texts[FETCH_FIELD_MESSAGE_ID],
		.sender_local_part = first_local_part(fetch_section_get(section,
		    FETCH_FIELD_FROM), &sender),
		.recipient_local_part = first_local_part(fetch_section_get(section,
		    FETCH_FIELD_TO), &recipient),
	};
	done(owner, &header);
	for (unsigned i = 0; i < FETCH_FIELDS; i++)
		buf_free(&decoded[i]);
	buf_free(&sender);
	buf_free(&recipient);
	return work;
}
