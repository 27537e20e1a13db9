/* client_html.c - cuts HTML into tags and text, with the place of each attribute's value. */
#include "client/client_html.h"

#include "base/mem.h"
#include "base/text.h"
#include "client/client_html_entity.h"

#include <stdlib.h>
#include <string.h>

/* Those of the HTML standard, 13.2.5, as far as they differ in what comes out. */
enum state {
	DATA, TAG_OPEN, CLOSE_OPEN, TAG_NAME, BEFORE_ATTRIBUTE, ATTRIBUTE_NAME, AFTER_NAME,
	BEFORE_VALUE, QUOTED, UNQUOTED, DECLARATION, DECLARATION_DASH, COMMENT, BOGUS,
	RAW, RAW_OPEN, RAW_CLOSE,
};

struct client_html {
	const struct client_html_events *events;
	void *owner;
	enum state state;
	uint64_t offset;	/* of the octet at hand */
	uint64_t steps;
	struct client_html_tag tag;
	struct client_html_attribute *attribute;	/* being read; NULL: one too many */
	char quote;
	/* Of a comment what may be its end already: dashes, and "!" behind two of them. */
	unsigned dashes;
	bool bang;
	char raw[CLIENT_HTML_NAME_MAX + 1];	/* the element whose end alone is looked for */
	char pending[CLIENT_HTML_NAME_MAX + 3];	/* of a raw element's text: "</scr" */
	size_t pending_len;
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static void
append_name(char name[CLIENT_HTML_NAME_MAX + 1], char c)
{
	const size_t len = strlen(name);

	/* What is longer differs from all names that mean something by its last octet. */
	if (len < CLIENT_HTML_NAME_MAX) {
		name[len] = c != '\0' ? lower(c) : '?';
		name[len + 1] = '\0';
	}
}

static void
tell_text(struct client_html *html, const char *octets, size_t len)
{
	if (len > 0)
		html->events->on_text(html->owner, octets, len,
		    html->raw[0] != '\0' ? html->raw : NULL);
}

/* --- tags --- */

static void
begin_tag(struct client_html *html, bool is_close)
{
	struct client_html_tag *tag = &html->tag;

	tag->name[0] = '\0';
	tag->is_close = is_close;
	tag->attribute_count = 0;
	buf_clear(&tag->values);
	html->attribute = NULL;
}

static bool
is_raw(const char *name)
{
	static const char *const names[] = { "script", "style", "title", "textarea", "xmp",
		"iframe", "noembed", "noframes", "plaintext" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

static bool
end_tag(struct client_html *html)
{
	html->raw[0] = '\0';
	html->state = DATA;
	if (!html->tag.is_close && is_raw(html->tag.name)) {
		html->state = RAW;
		html->pending_len = 0;
		text_copy(html->raw, sizeof(html->raw), html->tag.name);
	}
	html->events->on_tag(html->owner, &html->tag);
	return true;
}

static void
begin_attribute(struct client_html *html)
{
	struct client_html_tag *tag = &html->tag;

	html->state = ATTRIBUTE_NAME;
	html->attribute = NULL;
	if (tag->attribute_count == CLIENT_HTML_ATTRIBUTES_MAX)
		return;
	html->attribute = &tag->attributes[tag->attribute_count++];
	*html->attribute = (struct client_html_attribute){
		.first = html->offset, .end = html->offset, .kept = tag->values.len,
	};
}

static void
begin_value(struct client_html *html, uint64_t first)
{
	if (html->attribute != NULL)
		html->attribute->first = html->attribute->end = first;
}

static void
append_value(struct client_html *html, char c)
{
	struct client_html_attribute *attribute = html->attribute;

	if (attribute == NULL)
		return;
	attribute->end = html->offset + 1;
	if (attribute->len == CLIENT_HTML_VALUE_MAX)
		return;
	buf_append(&html->tag.values, &c, 1);
	attribute->len++;
}

/* --- a step: true when the octet is used up, false to look at it in the new state --- */

static bool
next(struct client_html *html, enum state state)
{
	html->state = state;
	return true;
}

static bool
again(struct client_html *html, enum state state)
{
	html->state = state;
	return false;
}

static bool
step_tag_open(struct client_html *html, char c)
{
	if (c == '/')
		return next(html, CLOSE_OPEN);
	if (c == '!')
		return next(html, DECLARATION);
	if (c == '?')
		return next(html, BOGUS);
	if (is_letter(c)) {
		begin_tag(html, false);
		return again(html, TAG_NAME);
	}
	tell_text(html, "<", 1);
	return again(html, DATA);
}

static bool
step_close_open(struct client_html *html, char c)
{
	if (c == '>')
		return next(html, DATA);
	if (!is_letter(c))
		return again(html, BOGUS);
	begin_tag(html, true);
	return again(html, TAG_NAME);
}

static bool
step_tag_name(struct client_html *html, char c)
{
	if (c == '>')
		return end_tag(html);
	if (is_blank(c) || c == '/')
		return next(html, BEFORE_ATTRIBUTE);
	append_name(html->tag.name, c);
	return true;
}

static bool
step_before_attribute(struct client_html *html, char c)
{
	if (c == '>')
		return end_tag(html);
	if (is_blank(c) || c == '/')
		return true;
	/* A "=" here begins a name, odd as that is. */
	begin_attribute(html);
	if (html->attribute != NULL)
		append_name(html->attribute->name, c);
	return true;
}

static bool
step_attribute_name(struct client_html *html, char c)
{
	if (c == '>')
		return end_tag(html);
	if (c == '=')
		return next(html, BEFORE_VALUE);
	if (is_blank(c))
		return next(html, AFTER_NAME);
	if (c == '/')
		return next(html, BEFORE_ATTRIBUTE);
	if (html->attribute != NULL)
		append_name(html->attribute->name, c);
	return true;
}

static bool
step_after_name(struct client_html *html, char c)
{
	if (is_blank(c))
		return true;
	if (c == '=')
		return next(html, BEFORE_VALUE);
	return again(html, BEFORE_ATTRIBUTE);
}

static bool
step_before_value(struct client_html *html, char c)
{
	if (is_blank(c))
		return true;
	if (c == '>')
		return end_tag(html);
	if (c != '"' && c != '\'') {
		begin_value(html, html->offset);
		return again(html, UNQUOTED);
	}
	begin_value(html, html->offset + 1);
	html->quote = c;
	return next(html, QUOTED);
}

static bool
step_quoted(struct client_html *html, char c)
{
	if (c == html->quote)
		return next(html, BEFORE_ATTRIBUTE);
	append_value(html, c);
	return true;
}

static bool
step_unquoted(struct client_html *html, char c)
{
	if (is_blank(c))
		return next(html, BEFORE_ATTRIBUTE);
	if (c == '>')
		return end_tag(html);
	append_value(html, c);
	return true;
}

/* --- comments and declarations --- */

static bool
step_declaration(struct client_html *html, char c)
{
	return c == '-' ? next(html, DECLARATION_DASH) : again(html, BOGUS);
}

static bool
step_declaration_dash(struct client_html *html, char c)
{
	if (c != '-')
		return again(html, BOGUS);
	html->dashes = 2;	/* "<!-->" is a whole comment */
	html->bang = false;
	return next(html, COMMENT);
}

static bool
step_comment(struct client_html *html, char c)
{
	if (c == '>' && html->dashes >= 2)
		return next(html, DATA);
	if (c == '!' && html->dashes >= 2 && !html->bang) {
		html->bang = true;
		return true;
	}
	html->dashes = c != '-' ? 0 : html->bang ? 1 : html->dashes < 2 ? html->dashes + 1 : 2;
	html->bang = false;
	return true;
}

static bool
step_bogus(struct client_html *html, char c)
{
	if (c == '>')
		html->state = DATA;
	return true;
}

/* --- text --- */

static bool
step_data(struct client_html *html, char c)
{
	(void)c;	/* a "<": all else is gone by feed_text() */
	html->tag.first = html->offset;
	return next(html, TAG_OPEN);
}

static bool
step_raw(struct client_html *html, char c)
{
	html->tag.first = html->offset;
	html->pending[0] = c;
	html->pending_len = 1;
	return next(html, RAW_OPEN);
}

static bool
not_raw_end(struct client_html *html)
{
	tell_text(html, html->pending, html->pending_len);
	html->pending_len = 0;
	return again(html, RAW);
}

static bool
step_raw_open(struct client_html *html, char c)
{
	if (c != '/')
		return not_raw_end(html);
	html->pending[html->pending_len++] = c;
	return next(html, RAW_CLOSE);
}

static bool
step_raw_close(struct client_html *html, char c)
{
	const size_t matched = html->pending_len - 2;

	if (html->raw[matched] != '\0') {
		if (lower(c) != html->raw[matched])
			return not_raw_end(html);
		html->pending[html->pending_len++] = c;
		return true;
	}
	if (!is_blank(c) && c != '/' && c != '>')
		return not_raw_end(html);
	html->pending_len = 0;
	begin_tag(html, true);
	text_copy(html->tag.name, sizeof(html->tag.name), html->raw);
	return again(html, BEFORE_ATTRIBUTE);
}

static bool (*const steps[])(struct client_html *html, char c) = {
	[DATA] = step_data,
	[TAG_OPEN] = step_tag_open,
	[CLOSE_OPEN] = step_close_open,
	[TAG_NAME] = step_tag_name,
	[BEFORE_ATTRIBUTE] = step_before_attribute,
	[ATTRIBUTE_NAME] = step_attribute_name,
	[AFTER_NAME] = step_after_name,
	[BEFORE_VALUE] = step_before_value,
	[QUOTED] = step_quoted,
	[UNQUOTED] = step_unquoted,
	[DECLARATION] = step_declaration,
	[DECLARATION_DASH] = step_declaration_dash,
	[COMMENT] = step_comment,
	[BOGUS] = step_bogus,
	[RAW] = step_raw,
	[RAW_OPEN] = step_raw_open,
	[RAW_CLOSE] = step_raw_close,
};

/* Text up to the next "<", which alone can end it. */
static size_t
feed_text(struct client_html *html, const char *octets, size_t len)
{
	const char *open = memchr(octets, '<', len);
	const size_t run = open != NULL ? (size_t)(open - octets) : len;

	tell_text(html, octets, run);
	html->offset += run;
	html->steps += run;
	return run;
}

void
client_html_feed(struct client_html *html, const char *octets, size_t len)
{
	size_t at = 0;

	while (at < len) {
		if (html->state == DATA || html->state == RAW)
			at += feed_text(html, octets + at, len - at);
		if (at == len)
			break;
		html->steps++;
		if (steps[html->state](html, octets[at])) {
			html->offset++;
			at++;
		}
	}
}

void
client_html_end(struct client_html *html)
{
	if (html->state == TAG_OPEN)
		tell_text(html, "<", 1);
	if (html->state == CLOSE_OPEN)
		tell_text(html, "</", 2);
	tell_text(html, html->pending, html->pending_len);
	html->pending_len = 0;
	html->state = DATA;
}

uint64_t
client_html_steps(const struct client_html *html)
{
	return html->steps;
}

struct client_html *
client_html_new(const struct client_html_events *events, void *owner)
{
	struct client_html *html = mem_zalloc(sizeof(*html));

	html->events = events;
	html->owner = owner;
	return html;
}

void
client_html_free(struct client_html *html)
{
	if (html == NULL)
		return;
	buf_free(&html->tag.values);
	free(html);
}

/* --- what a tag says --- */

const struct client_html_attribute *
client_html_find(const struct client_html_tag *tag, const char *name)
{
	for (size_t i = 0; i < tag->attribute_count; i++)
		if (strcmp(tag->attributes[i].name, name) == 0)
			return &tag->attributes[i];
	return NULL;
}

bool
client_html_value(const struct client_html_tag *tag,
    const struct client_html_attribute *attribute, struct buf *out)
{
	const char *value = buf_octets(&tag->values) + attribute->kept;

	buf_clear(out);
	if (attribute->end - attribute->first != attribute->len)
		return false;
	client_html_resolve(out, value, attribute->len);
	return out->len == 0 || memchr(buf_octets(out), '\0', out->len) == NULL;
}
