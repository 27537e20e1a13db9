/* fuzz_mime.c - any octets are read as a mail, the same however they are cut; names do no harm. */
#include "client/fetch_mime.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "client/fetch_name.h"
#include "fuzz.h"

/* What came of a mail, in words, so that two can be compared. */
struct seen {
	struct buf words;
	unsigned parts, headers;
	bool in_part, is_shown;
};

static void
put(struct seen *seen, const char *text)
{
	if (text == NULL)
		text = "\1";
	assert(text_utf8_valid(text, strlen(text)));
	assert(strpbrk(text, "\r\n") == NULL);
	buf_append(&seen->words, text, strlen(text) + 1);
}

static void
on_header(void *owner, const struct fetch_header *header)
{
	struct seen *seen = owner;

	assert(seen->headers++ == 0 && seen->parts == 0);
	put(seen, header->from);
	put(seen, header->to);
	put(seen, header->cc);
	put(seen, header->subject);
	put(seen, header->date);
	put(seen, header->message_id);
	put(seen, header->sender_local_part);
	put(seen, header->recipient_local_part);
}

static void
check_name(const struct fetch_part *part)
{
	char name[FETCH_NAME_MAX + 1], again[FETCH_NAME_MAX + 1];
	size_t len;

	fetch_name_safe(part->name, part->type, part->number, name);
	len = strlen(name);
	assert(len > 0 && text_utf8_valid(name, len));
	assert(strchr(".- ", name[0]) == NULL && strpbrk(name, "/\\\r\n") == NULL);
	fetch_name_safe(name, part->type, part->number, again);
	assert(strcmp(name, again) == 0);
	fetch_name_next(name, 2, again);
	assert(strlen(again) <= FETCH_NAME_MAX && text_utf8_valid(again, strlen(again)));
}

static bool
on_part(void *owner, const struct fetch_part *part)
{
	struct seen *seen = owner;

	assert(seen->headers == 1 && !seen->in_part);
	assert(part->number == ++seen->parts);
	put(seen, part->type);
	put(seen, part->name);
	put(seen, part->content_id);
	buf_append(&seen->words, &part->disposition, sizeof(part->disposition));
	assert(!part->is_shown || (part->name == NULL && !part->is_alternative));
	check_name(part);
	seen->in_part = true;
	seen->is_shown = part->is_shown;
	return true;
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct seen *seen = owner;

	assert(seen->in_part && len > 0);
	if (seen->is_shown)
		assert(text_utf8_valid(octets, len) && memchr(octets, '\r', len) == NULL);
	buf_append(&seen->words, octets, len);
}

static void
on_part_end(void *owner)
{
	struct seen *seen = owner;

	assert(seen->in_part);
	seen->in_part = false;
	put(seen, "end");
}

static void
on_fault(void *owner, const char *text)
{
	put(owner, text);
}

static void
look(const uint8_t *octets, size_t len, size_t piece, struct seen *seen)
{
	static const struct fetch_mime_events events = { .on_header = on_header,
		.on_part = on_part, .on_content = on_content, .on_part_end = on_part_end,
		.on_fault = on_fault };
	/* Small, so that they are reached. */
	const struct fetch_mime_settings settings = { .depth = 3, .parts = 5, .header = 2048,
		.field = 512 };
	struct fetch_mime *mime = fetch_mime_new(&settings, &events, seen);

	for (size_t at = 0; at < len; at += piece)
		fetch_mime_feed(mime, (const char *)octets + at,
		    piece < len - at ? piece : len - at);
	fetch_mime_end(mime);
	assert(seen->headers == 1 && !seen->in_part);
	assert(fetch_mime_work(mime) <= 20 * (uint64_t)len);
	fetch_mime_free(mime);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct seen whole = { 0 }, pieces = { 0 };

	if (len < 1)
		return 0;
	look(octets + 1, len - 1, len, &whole);
	look(octets + 1, len - 1, octets[0] % 16u + 1, &pieces);
	assert(whole.words.len == pieces.words.len);
	assert(memcmp(buf_octets(&whole.words), buf_octets(&pieces.words), whole.words.len) == 0);
	buf_free(&whole.words);
	buf_free(&pieces.words);
	return 0;
}
