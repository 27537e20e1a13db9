/* fuzz_html.c - any HTML is read in bounded steps, the same however it is cut, to clean text. */
#include "client/client_html.h"
#include "client/client_html_text.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "client/send_picture.h"
#include "fuzz.h"

static void
append(void *owner, const char *octets, size_t len)
{
	/* Pieces hold whole characters. */
	assert(text_utf8_valid(octets, len));
	buf_append(owner, octets, len);
}

static uint64_t
render(struct buf *out, const char *octets, size_t len, size_t step)
{
	struct client_html_text *text = client_html_text_new(78, append, out);
	uint64_t steps;

	for (size_t at = 0; at < len; at += step)
		client_html_text_feed(text, octets + at, len - at < step ? len - at : step);
	client_html_text_end(text);
	steps = client_html_text_steps(text);
	client_html_text_free(text);
	return steps;
}

struct places {
	uint64_t last, len;
};

/* Values stand where they are said to, one behind the other. */
static void
on_tag(void *owner, const struct client_html_tag *tag)
{
	struct places *places = owner;
	struct buf value = { 0 }, path = { 0 };

	assert(tag->first >= places->last && tag->first < places->len);
	places->last = tag->first;
	for (size_t i = 0; i < tag->attribute_count; i++) {
		const struct client_html_attribute *attribute = &tag->attributes[i];

		assert(attribute->first >= places->last && attribute->end >= attribute->first);
		assert(attribute->end <= places->len);
		places->last = attribute->end;
		if (client_html_value(tag, attribute, &value))
			(void)send_picture_path(buf_text(&value), "folder", &path);
	}
	buf_free(&value);
	buf_free(&path);
}

static void
on_text(void *owner, const char *octets, size_t len, const char *raw_element)
{
	(void)owner;
	(void)raw_element;
	assert(octets != NULL && len > 0);
}

static void
check_clean(const struct buf *text)
{
	const char *octets = buf_octets(text);

	for (size_t i = 0; i < text->len; i++)
		assert(((unsigned char)octets[i] >= ' ' || octets[i] == '\n') && octets[i] != 0x7f);
	assert(text->len == 0 || octets[text->len - 1] == '\n');
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	static const struct client_html_events events = { .on_text = on_text, .on_tag = on_tag };
	struct places places = { .len = len };
	struct client_html *html = client_html_new(&events, &places);
	struct buf whole = { 0 }, cut = { 0 };

	client_html_feed(html, (const char *)octets, len);
	client_html_end(html);
	assert(client_html_steps(html) <= 2 * (uint64_t)len);
	client_html_free(html);

	/* Two steps of the reader, and for each octet of text a few. */
	assert(render(&whole, (const char *)octets, len, len + 1) <= 8 * (uint64_t)len + 64);
	render(&cut, (const char *)octets, len, 1);
	assert(whole.len == cut.len);
	assert(whole.len == 0 || memcmp(buf_octets(&whole), buf_octets(&cut), cut.len) == 0);
	check_clean(&whole);
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
