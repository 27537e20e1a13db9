/* fetch_mime_tree.c - the parts of a message: which boundary ends what, and what each becomes. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/fetch_charset.h"
#include "client/fetch_mime_parts.h"

/* What stands before the first boundary is a line or two for old programs.  When it is longer
 * than this the boundary will hardly come: then it is the only content there is. */
#define PREAMBLE_MAX 65536

static void
on_octets(void *owner, const char *octets, size_t len)
{
	struct fetch_mime *mime = owner;

	mime->events->on_content(mime->owner, octets, len);
}

/* Of each multipart/alternative around it one branch is shown, the first that can be. */
static bool
is_other_branch(const struct fetch_mime *mime)
{
	for (unsigned i = 0; i < mime->depth; i++) {
		const struct mime_level *level = &mime->levels[i];

		if (level->is_alternative && level->shown_child != 0 &&
		    level->shown_child != level->child)
			return true;
	}
	return false;
}

static void
set_shown(struct fetch_mime *mime)
{
	for (unsigned i = 0; i < mime->depth; i++) {
		struct mime_level *level = &mime->levels[i];

		if (level->is_alternative && level->shown_child == 0)
			level->shown_child = level->child;
	}
}

static void
begin_leaf(struct fetch_mime *mime, struct fetch_entity *entity, bool may_show)
{
	struct fetch_part part = { .type = buf_text(&entity->type),
		.disposition = entity->disposition };
	const char *charset = NULL;
	bool is_text;

	mime->state = MIME_SKIP;
	if (mime->part_count >= mime->settings.parts) {
		mime_fault(mime, MIME_FAULT_PARTS);
		return;
	}
	part.number = ++mime->part_count;
	if (entity->name.len > 0)
		part.name = buf_text(&entity->name);
	if (entity->content_id.len > 0)
		part.content_id = buf_text(&entity->content_id);
	part.is_html = fetch_entity_is(entity, "text/html");
	is_text = may_show && (part.is_html || fetch_entity_is(entity, "text/plain")) &&
	    part.name == NULL && part.disposition != FETCH_DISPOSITION_ATTACHMENT;
	part.is_alternative = is_text && is_other_branch(mime);
	part.is_shown = is_text && !part.is_alternative;
	if (!mime->events->on_part(mime->owner, &part))
		return;
	if (entity->charset.len > 0)
		charset = buf_text(&entity->charset);
	if (part.is_shown && charset != NULL && !fetch_charset_is_known(charset))
		mime_fault(mime, MIME_FAULT_CHARSET);
	mime->is_text = part.is_shown;
	fetch_content_start(&mime->content, entity->encoding, !part.is_shown ?
	    FETCH_CONTENT_OCTETS : part.is_html ? FETCH_CONTENT_HTML : FETCH_CONTENT_TEXT,
	    charset, on_octets, mime);
	mime->state = MIME_CONTENT;
}

static void
end_leaf(struct fetch_mime *mime)
{
	struct fetch_content *content = &mime->content;

	fetch_content_end(content);
	mime->state = MIME_SKIP;
	mime->events->on_part_end(mime->owner);
	if (mime->is_text && content->has_ink)
		set_shown(mime);
	if (content->decoder.is_broken)
		mime_fault(mime, content->decoder.encoding == FETCH_ENCODING_BASE64 ?
		    MIME_FAULT_BASE64 : MIME_FAULT_QUOTED);
	if (fetch_content_is_broken(content))
		mime_fault(mime, MIME_FAULT_OCTETS);
	fetch_content_clear(content);
}

/* The preamble is all there is of this multipart. */
static void
begin_text(struct fetch_mime *mime, bool may_show)
{
	struct fetch_entity entity = { 0 };

	buf_append_text(&entity.type, "text/plain");
	begin_leaf(mime, &entity, may_show);
	if (mime->state == MIME_CONTENT)
		fetch_content_feed(&mime->content, buf_octets(&mime->preamble),
		    mime->preamble.len);
	buf_free(&mime->preamble);
	fetch_entity_free(&entity);
}

static bool
is_blank(const struct buf *text)
{
	for (size_t i = 0; i < text->len; i++) {
		if (strchr(" \t\r\n", buf_octets(text)[i]) == NULL)
			return false;
	}
	return true;
}

void
mime_content(struct fetch_mime *mime, const char *octets, size_t len)
{
	if (mime->state == MIME_CONTENT)
		fetch_content_feed(&mime->content, octets, len);
	if (mime->state != MIME_PREAMBLE)
		return;
	buf_append(&mime->preamble, octets, len);
	if (mime->preamble.len > PREAMBLE_MAX) {
		mime_fault(mime, MIME_FAULT_NO_START);
		begin_text(mime, false);
	}
}

static void
push(struct fetch_mime *mime, const struct fetch_entity *entity)
{
	struct mime_level *level = &mime->levels[mime->depth++];

	*level = (struct mime_level){
		.boundary = mem_strndup(buf_octets(&entity->boundary), entity->boundary.len),
		.boundary_len = entity->boundary.len,
		.is_alternative = fetch_entity_is(entity, "multipart/alternative"),
		.is_digest = fetch_entity_is(entity, "multipart/digest"),
	};
	mime->state = MIME_PREAMBLE;
	buf_free(&mime->preamble);
}

static void
pop(struct fetch_mime *mime)
{
	free(mime->levels[--mime->depth].boundary);
}

static void
give_header(void *owner, const struct fetch_header *header)
{
	struct fetch_mime *mime = owner;

	mime->events->on_header(mime->owner, header);
}

static void
tell_section_faults(struct fetch_mime *mime, const struct fetch_entity *entity)
{
	if (mime->section.is_cut)
		mime_fault(mime, MIME_FAULT_HEADER);
	if (mime->section.has_cut_field)
		mime_fault(mime, MIME_FAULT_FIELD);
	if (entity->notes.is_cut)
		mime_fault(mime, MIME_FAULT_NAME);
	if (entity->is_boundary_long)
		mime_fault(mime, MIME_FAULT_BOUNDARY);
}

void
mime_begin_part(struct fetch_mime *mime)
{
	bool in_digest = mime->depth > 0 && mime->levels[mime->depth - 1].is_digest;
	struct fetch_entity entity;

	if (!mime->has_header) {
		mime->has_header = true;
		mime->work += fetch_entity_header(&mime->section, give_header, mime);
	}
	fetch_entity_read(&mime->section, in_digest, &entity);
	mime->work += mime->section.taken + entity.notes.work;
	tell_section_faults(mime, &entity);
	fetch_section_clear(&mime->section);
	if (!fetch_entity_is_multipart(&entity)) {
		begin_leaf(mime, &entity, true);
	} else if (entity.has_boundary && mime->depth < mime->settings.depth) {
		push(mime, &entity);
	} else {
		if (entity.has_boundary)
			mime_fault(mime, MIME_FAULT_DEPTH);
		else if (!entity.is_boundary_long)
			mime_fault(mime, MIME_FAULT_NO_BOUNDARY);
		begin_leaf(mime, &entity, true);
	}
	fetch_entity_free(&entity);
}

/* The part in hand has no more octets. */
static void
end_part(struct fetch_mime *mime)
{
	/* Boundaries beside each other have no part between them. */
	if (mime->state == MIME_HEADER && (mime->depth == 0 || mime->section.has_lines))
		mime_begin_part(mime);
	if (mime->state == MIME_PREAMBLE) {
		mime_fault(mime, MIME_FAULT_NO_START);
		if (!is_blank(&mime->preamble))
			begin_text(mime, true);
	}
	if (mime->state == MIME_CONTENT)
		end_leaf(mime);
	mime->state = MIME_SKIP;
	buf_free(&mime->preamble);
}

/* The boundary has come of the level `depth - 1`: all within it ends. */
static void
take_boundary(struct fetch_mime *mime, unsigned depth, bool is_end)
{
	struct mime_level *level = &mime->levels[depth - 1];

	if (mime->state != MIME_PREAMBLE || mime->depth != depth)
		end_part(mime);
	buf_free(&mime->preamble);
	while (mime->depth > depth) {
		mime_fault(mime, MIME_FAULT_NO_END);
		pop(mime);
	}
	mime->state = MIME_SKIP;
	if (is_end) {
		pop(mime);
		return;
	}
	level->child++;
	mime->state = MIME_HEADER;
}

bool
mime_boundary(struct fetch_mime *mime, const char *line, size_t len)
{
	if (len < 2 || line[0] != '-' || line[1] != '-')
		return false;
	while (len > 2 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		len--;
	mime->work += len;
	line += 2;
	len -= 2;
	/* The innermost first: a boundary of one around it ends it as well (RFC 2046 5.1.2).
	 * The whole line counts, so that "a" and "aa" are two. */
	for (unsigned depth = mime->depth; depth > 0; depth--) {
		const struct mime_level *level = &mime->levels[depth - 1];
		size_t own = level->boundary_len;
		bool is_end = len == own + 2 && line[own] == '-' && line[own + 1] == '-';

		mime->work++;
		if (!is_end && len != own)
			continue;
		mime->work += own;
		if (memcmp(line, level->boundary, own) != 0)
			continue;
		take_boundary(mime, depth, is_end);
		return true;
	}
	return false;
}

void
mime_end_parts(struct fetch_mime *mime)
{
	end_part(mime);
	while (mime->depth > 0) {
		mime_fault(mime, MIME_FAULT_NO_END);
		pop(mime);
	}
}
