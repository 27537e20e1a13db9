/* fetch_mime.c - a message from a stranger, octet by octet, cut into lines and header sections. */
#include "client/fetch_mime.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/fetch_mime_parts.h"

#define DEPTH 100
#define PARTS 10000
#define HEADER_SIZE (10 * 1024 * 1024)
#define FIELD_SIZE (1024 * 1024)

static const char *const fault_texts[MIME_FAULTS] = {
	[MIME_FAULT_DEPTH] = "parts are nested too deeply: the innermost are kept as they are",
	[MIME_FAULT_PARTS] = "too many parts: the rest of them is left out",
	[MIME_FAULT_HEADER] = "a header section is too long: the rest of it is left out",
	[MIME_FAULT_FIELD] = "a header field is too long: the rest of it is left out",
	[MIME_FAULT_NAME] = "a file name is in too many pieces: the rest of it is left out",
	[MIME_FAULT_BOUNDARY] = "a boundary is too long: what it bounds is kept as it is",
	[MIME_FAULT_NO_BOUNDARY] = "a multipart has no boundary: it is kept as it is",
	[MIME_FAULT_NO_START] = "a boundary never comes: what stands there is taken as text",
	[MIME_FAULT_NO_END] = "an end boundary is missing: the message may have been cut",
	[MIME_FAULT_BASE64] = "base64 is broken or cut: a part may be damaged",
	[MIME_FAULT_QUOTED] = "quoted-printable is broken: a part may be damaged",
	[MIME_FAULT_CHARSET] = "a charset is unknown: text is read as UTF-8 or Windows-1252",
	[MIME_FAULT_OCTETS] = "text has octets that its charset does not have",
};

void
mime_fault(struct fetch_mime *mime, enum mime_fault fault)
{
	if ((mime->faults & 1u << fault) != 0)
		return;
	mime->faults |= 1u << fault;
	mime->events->on_fault(mime->owner, fault_texts[fault]);
}

struct fetch_mime *
fetch_mime_new(const struct fetch_mime_settings *settings,
    const struct fetch_mime_events *events, void *owner)
{
	struct fetch_mime *mime = mem_zalloc(sizeof(*mime));

	if (settings != NULL)
		mime->settings = *settings;
	if (mime->settings.depth == 0)
		mime->settings.depth = DEPTH;
	if (mime->settings.parts == 0)
		mime->settings.parts = PARTS;
	if (mime->settings.header == 0)
		mime->settings.header = HEADER_SIZE;
	if (mime->settings.field == 0)
		mime->settings.field = FIELD_SIZE;
	mime->events = events;
	mime->owner = owner;
	mime->levels = mem_array(mime->settings.depth, sizeof(mime->levels[0]));
	mime->section.limit = mime->settings.header;
	mime->section.field_limit = mime->settings.field;
	fetch_section_clear(&mime->section);
	return mime;
}

uint64_t
fetch_mime_work(const struct fetch_mime *mime)
{
	return mime->work;
}

static void
release_line_end(struct fetch_mime *mime)
{
	size_t len = mime->line_end_len;

	mime->line_end_len = 0;
	if (len > 0)
		mime_content(mime, mime->line_end, len);
}

/* Octets of a line that is no boundary, nor a field where the body has begun. */
static void
pass(struct fetch_mime *mime, const char *octets, size_t len)
{
	if (mime->state == MIME_HEADER) {
		fetch_section_more(&mime->section, octets, len);
		return;
	}
	release_line_end(mime);
	mime_content(mime, octets, len);
}

/* A line of a header section or its start, which is no boundary. */
static void
take_header(struct fetch_mime *mime)
{
	const char *line = buf_octets(&mime->line);
	size_t len = mime->line.len;

	mime->work += len;
	if (fetch_section_line(&mime->section, line, len))
		return;
	mime_begin_part(mime);
	pass(mime, line, len);
}

/* Whether what is held may still become a boundary or, of a header, must be whole to be read. */
static bool
must_hold(const struct fetch_mime *mime)
{
	const char *line = buf_octets(&mime->line);

	if (mime->line.len > MIME_LINE_MAX)
		return false;
	if (mime->state == MIME_HEADER)
		return true;
	return mime->depth > 0 && line[0] == '-' && (mime->line.len < 2 || line[1] == '-');
}

/* Octets without a line end. */
static void
feed_line(struct fetch_mime *mime, const char *octets, size_t len)
{
	while (len > 0 && !mime->is_passed) {
		size_t room = MIME_LINE_MAX + 1 - mime->line.len, piece = len < room ? len : room;

		/* Nearly every line of a body ends its chance with its first octet. */
		if (mime->line.len == 0 && mime->state != MIME_HEADER && *octets != '-') {
			mime->is_passed = true;
			break;
		}
		buf_append(&mime->line, octets, piece);
		octets += piece;
		len -= piece;
		if (must_hold(mime))
			continue;
		mime->is_passed = true;
		if (mime->state == MIME_HEADER)
			take_header(mime);
		else
			pass(mime, buf_octets(&mime->line), mime->line.len);
	}
	if (len > 0)
		pass(mime, octets, len);
}

static void
keep_line_end(struct fetch_mime *mime, const char *line_end)
{
	mime->line_end_len = strlen(line_end);
	memcpy(mime->line_end, line_end, mime->line_end_len);
}

static void
end_line(struct fetch_mime *mime, const char *line_end)
{
	bool is_held = !mime->is_passed && mime->line.len > 0;

	mime->is_passed = false;
	if (is_held && mime->depth > 0 &&
	    mime_boundary(mime, buf_octets(&mime->line), mime->line.len)) {
		mime->line_end_len = 0;
	} else if (mime->state == MIME_HEADER && !is_held && mime->line.len == 0) {
		mime_begin_part(mime);
		mime->line_end_len = 0;
	} else {
		if (is_held && mime->state == MIME_HEADER)
			take_header(mime);
		else if (is_held)
			pass(mime, buf_octets(&mime->line), mime->line.len);
		else if (mime->state != MIME_HEADER && mime->line.len == 0)
			release_line_end(mime);
		if (mime->state != MIME_HEADER)
			keep_line_end(mime, line_end);
	}
	buf_clear(&mime->line);
}

/* Where the line ends, or the piece.  *lf is the next LF, or the end of the piece: it is kept from
 * line to line, so that no octet is searched twice for it however many CRs stand before it. */
static const char *
find_line_end(struct fetch_mime *mime, const char *octets, const char *end, const char **lf)
{
	const char *cr;

	if (*lf == NULL || *lf < octets) {
		*lf = memchr(octets, '\n', (size_t)(end - octets));
		*lf = *lf != NULL ? *lf : end;
		mime->work += (uint64_t)(*lf - octets);
	}
	cr = memchr(octets, '\r', (size_t)(*lf - octets));
	return cr != NULL ? cr : *lf;
}

void
fetch_mime_feed(struct fetch_mime *mime, const char *octets, size_t len)
{
	const char *end = octets + len, *lf = NULL;

	mime->work += len;
	while (octets < end) {
		const char *line_end;

		if (mime->after_cr) {
			bool is_crlf = *octets == '\n';

			mime->after_cr = false;
			end_line(mime, is_crlf ? "\r\n" : "\r");
			octets += is_crlf;
			continue;
		}
		line_end = find_line_end(mime, octets, end, &lf);
		feed_line(mime, octets, (size_t)(line_end - octets));
		octets = line_end;
		if (octets == end)
			break;
		if (*octets == '\r')
			mime->after_cr = true;
		else
			end_line(mime, "\n");
		octets++;
	}
}

void
fetch_mime_end(struct fetch_mime *mime)
{
	if (mime->after_cr) {
		mime->after_cr = false;
		end_line(mime, "\r");
	}
	if (mime->line.len > 0 || mime->is_passed)
		end_line(mime, "");
	/* Of a part that is cut the last line end is that of a boundary which never came. */
	if (mime->state != MIME_HEADER && mime->depth == 0)
		release_line_end(mime);
	mime_end_parts(mime);
}

void
fetch_mime_free(struct fetch_mime *mime)
{
	if (mime == NULL)
		return;
	for (unsigned i = 0; i < mime->depth; i++)
		free(mime->levels[i].boundary);
	free(mime->levels);
	fetch_section_clear(&mime->section);
	fetch_content_clear(&mime->content);
	buf_free(&mime->preamble);
	buf_free(&mime->line);
	free(mime);
}
