/* mime_fixture.h - what fetch_mime makes of a message, line by line as tests/dialog/mime has it. */
#ifndef HERALD_TESTS_MIME_FIXTURE_H
#define HERALD_TESTS_MIME_FIXTURE_H

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/fetch_mime.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct mime_line { char *octets; size_t len; };

/* All zero: every part is wanted and its content kept. */
struct mime_seen {
	bool counts_only;
	struct mime_line *lines;	/* "part 1 image/png attachment", "name a.png", ... */
	size_t line_count;
	unsigned headers, parts, shown, ends, faults;
	uint64_t octets, work;
	struct buf content;		/* of the part in hand */
	bool in_part;
};

static inline void
mime_seen_add(struct mime_seen *seen, const char *word, const char *octets, size_t len)
{
	struct buf line = { 0 };

	if (octets == NULL || seen->counts_only)
		return;
	buf_append_text(&line, word);
	buf_append(&line, octets, len);
	if ((seen->line_count & (seen->line_count + 1)) == 0)
		seen->lines = mem_grow(seen->lines, seen->line_count * 2 + 2,
		    sizeof(*seen->lines));
	seen->lines[seen->line_count++] = (struct mime_line){ .len = line.len,
		.octets = mem_strndup(buf_octets(&line), line.len) };
	buf_free(&line);
}

/* A text of the API: valid UTF-8, on one line. */
static inline void
mime_seen_text(struct mime_seen *seen, const char *word, const char *text)
{
	if (text == NULL)
		return;
	assert(text_utf8_valid(text, strlen(text)) && strpbrk(text, "\r\n") == NULL);
	mime_seen_add(seen, word, text, strlen(text));
}

static inline void
mime_seen_header(void *owner, const struct fetch_header *header)
{
	struct mime_seen *seen = owner;

	assert(seen->headers++ == 0 && seen->parts == 0);
	mime_seen_text(seen, "from ", header->from);
	mime_seen_text(seen, "to ", header->to);
	mime_seen_text(seen, "cc ", header->cc);
	mime_seen_text(seen, "subject ", header->subject);
	mime_seen_text(seen, "date ", header->date);
	mime_seen_text(seen, "message-id ", header->message_id);
	mime_seen_text(seen, "sender ", header->sender_local_part);
	mime_seen_text(seen, "recipient ", header->recipient_local_part);
}

static inline bool
mime_seen_part(void *owner, const struct fetch_part *part)
{
	static const char *const dispositions[] = { "", " inline", " attachment" };
	struct mime_seen *seen = owner;
	char *text;

	assert(seen->headers == 1 && !seen->in_part && part->number == seen->parts + 1);
	assert(part->type != NULL && strchr(part->type, '/') != NULL);
	assert(!part->is_shown || (!part->is_alternative && part->name == NULL));
	text = mem_printf("%u %s%s%s%s", part->number, part->type,
	    dispositions[part->disposition], part->is_shown ? " shown" : "",
	    part->is_alternative ? " alternative" : "");
	mime_seen_text(seen, "part ", text);
	free(text);
	mime_seen_text(seen, "name ", part->name);
	mime_seen_text(seen, "id ", part->content_id);
	seen->parts++;
	seen->shown += part->is_shown;
	seen->in_part = true;
	return true;
}

static inline void
mime_seen_content(void *owner, const char *octets, size_t len)
{
	struct mime_seen *seen = owner;

	assert(seen->in_part && len > 0);
	seen->octets += len;
	if (!seen->counts_only)
		buf_append(&seen->content, octets, len);
}

static inline void
mime_seen_part_end(void *owner)
{
	struct mime_seen *seen = owner;

	assert(seen->in_part);
	mime_seen_add(seen, "content ", buf_octets(&seen->content), seen->content.len);
	buf_clear(&seen->content);
	seen->in_part = false;
	seen->ends++;
}

static inline void
mime_seen_fault(void *owner, const char *text)
{
	struct mime_seen *seen = owner;

	mime_seen_text(seen, "fault ", text);
	seen->faults++;
}

static const struct fetch_mime_events mime_seen_events = {
	.on_header = mime_seen_header,
	.on_part = mime_seen_part,
	.on_content = mime_seen_content,
	.on_part_end = mime_seen_part_end,
	.on_fault = mime_seen_fault,
};

/* The whole message in pieces; 0: in one. */
static inline void
mime_seen_read(struct mime_seen *seen, const struct fetch_mime_settings *settings,
    const char *octets, size_t len, size_t piece)
{
	struct fetch_mime *mime = fetch_mime_new(settings, &mime_seen_events, seen);

	for (size_t at = 0; at < len; at += piece) {
		piece = piece == 0 || piece > len - at ? len - at : piece;
		fetch_mime_feed(mime, octets + at, piece);
	}
	fetch_mime_end(mime);
	assert(seen->headers == 1 && !seen->in_part);
	seen->work = fetch_mime_work(mime);
	fetch_mime_free(mime);
}

static inline bool
mime_seen_has(const struct mime_seen *seen, const char *text)
{
	for (size_t i = 0; i < seen->line_count; i++) {
		if (seen->lines[i].len == strlen(text) &&
		    memcmp(seen->lines[i].octets, text, seen->lines[i].len) == 0)
			return true;
	}
	return false;
}

/* The first line with this word, which must be there. */
static inline const struct mime_line *
mime_seen_line(const struct mime_seen *seen, const char *word)
{
	size_t i = 0;

	while (i < seen->line_count && strncmp(seen->lines[i].octets, word, strlen(word)) != 0)
		i++;
	assert(i < seen->line_count);
	return &seen->lines[i];
}

static inline void
mime_append_times(struct buf *out, const char *text, size_t count)
{
	size_t len = strlen(text);

	for (size_t i = 0; i < count; i++)
		buf_append(out, text, len);
}

static inline void
mime_seen_clear(struct mime_seen *seen)
{
	for (size_t i = 0; i < seen->line_count; i++)
		free(seen->lines[i].octets);
	free(seen->lines);
	buf_free(&seen->content);
	*seen = (struct mime_seen){ 0 };
}

#endif
