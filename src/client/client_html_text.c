/* client_html_text.c - HTML as plain text that can be read. */
#include "client/client_html_text.h"

#include "base/mem.h"
#include "client/client_html.h"
#include "client/client_html_decode.h"
#include "client/client_html_entity.h"
#include "client/client_wrap.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LINK_MAX	2048	/* octets of a URL that is shown, and of its text */
#define LISTS_MAX	16	/* deep; the indent has grown enough by then */
#define BLOCK	(16 * 1024)	/* octets, until what is done goes out */

struct client_html_text {
	client_html_text_done on_text;
	void *owner;
	struct client_html *html;
	struct client_wrap wrap;
	struct client_html_decoder decoder;
	unsigned preformatted;
	unsigned lists, quotes;			/* how deep; may be more than is shown */
	unsigned items[LISTS_MAX];		/* the number of the last item; 0: no numbers */
	bool is_ordered[LISTS_MAX];
	bool in_link;
	struct buf url, link_text;		/* of the link at hand */
	uint64_t steps;
};

/* --- characters --- */

static bool
is_white(uint32_t character)
{
	return character == ' ' || (character >= '\t' && character <= '\r') ||
	    character == 0x2028 || character == 0x2029;
}

/* Controls, and what shows text in another order than it stands or not at all. */
static bool
is_dropped(uint32_t character)
{
	return character < 0x20 || (character >= 0x7f && character < 0xa0) || character == 0xad ||
	    character == 0x200b || character == 0x200e || character == 0x200f ||
	    (character >= 0x202a && character <= 0x202e) || character == 0x2060 ||
	    (character >= 0x2066 && character <= 0x2069) || character == 0x61c ||
	    character == 0xfeff;
}

static void
put_white(struct client_html_text *text, uint32_t character)
{
	if (text->preformatted == 0)
		client_wrap_blank(&text->wrap, 1);
	else if (character == '\n')
		client_wrap_newline(&text->wrap);
	else if (character == '\t')
		for (int i = 0; i < 4; i++)
			client_wrap_put(&text->wrap, ' ');
	else if (character == ' ')
		client_wrap_put(&text->wrap, ' ');
}

static void
put_character(void *owner, uint32_t character)
{
	struct client_html_text *text = owner;

	if (text->in_link && text->link_text.len < LINK_MAX)
		client_html_append_utf8(&text->link_text, character);
	text->wrap.exact = text->preformatted > 0;
	if (is_white(character))
		put_white(text, character);
	else if (!is_dropped(character))
		client_wrap_put(&text->wrap, character == 0xa0 ? ' ' : character);
}

static void
put_text(struct client_html_text *text, const char *octets, size_t len)
{
	client_html_decode(&text->decoder, octets, len);
}

static void
on_text(void *owner, const char *octets, size_t len, const char *raw_element)
{
	if (raw_element == NULL || strcmp(raw_element, "textarea") == 0 ||
	    strcmp(raw_element, "plaintext") == 0 || strcmp(raw_element, "xmp") == 0)
		put_text(owner, octets, len);
}

/* --- links and pictures --- */

static bool
is_shown(const struct buf *url)
{
	static const char *const schemes[] = { "http://", "https://", "mailto:", "ftp://", "tel:" };

	if (url->len == 0 || url->len > LINK_MAX)
		return false;
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		const size_t len = strlen(schemes[i]);

		if (url->len > len && strncasecmp(buf_octets(url), schemes[i], len) == 0)
			return true;
	}
	return false;
}

/* "https://example.org/" beside "example.org" says nothing new. */
static bool
says_the_same(struct buf *url, struct buf *text)
{
	const char *address = buf_text(url), *shown = buf_text(text), *colon;
	size_t len;

	shown += strspn(shown, " \t\r\n");
	len = strcspn(shown, " \t\r\n");
	if (len == 0 || shown[len + strspn(shown + len, " \t\r\n")] != '\0')
		return false;
	for (int i = 0; i < 2; i++) {
		if (strncmp(address, shown, len) == 0 &&
		    (address[len] == '\0' || strcmp(address + len, "/") == 0))
			return true;
		colon = strchr(address, ':');
		if (colon == NULL)
			return false;
		address = colon + 1 + strspn(colon + 1, "/");
	}
	return false;
}

static void
close_link(struct client_html_text *text)
{
	const char *at;

	if (!text->in_link)
		return;
	text->in_link = false;
	if (!is_shown(&text->url) || says_the_same(&text->url, &text->link_text))
		return;
	client_wrap_blank(&text->wrap, 1);
	put_character(text, '<');
	for (at = buf_text(&text->url); *at != '\0'; at++) {
		/* Not put_text(): "&amp" is no entity any more. */
		if ((unsigned char)*at <= 0x20 || (unsigned char)*at >= 0x7f) {
			char escaped[4];

			snprintf(escaped, sizeof(escaped), "%%%02X", (unsigned)(unsigned char)*at);
			for (size_t i = 0; i < 3; i++)
				put_character(text, (unsigned char)escaped[i]);
		} else
			put_character(text, (unsigned char)*at);
	}
	put_character(text, '>');
}

/* Blanks around a URL are none of it: the HTML standard, 2.4.1. */
static void
trim(struct buf *url)
{
	static const char blanks[] = " \t\r\n\f";

	while (url->len > 0 && strchr(blanks, buf_octets(url)[0]) != NULL)
		buf_consume(url, 1);
	while (url->len > 0 && strchr(blanks, buf_octets(url)[url->len - 1]) != NULL)
		url->len--;
}

static void
open_link(struct client_html_text *text, const struct client_html_tag *tag)
{
	const struct client_html_attribute *href = client_html_find(tag, "href");

	close_link(text);
	buf_clear(&text->url);
	buf_clear(&text->link_text);
	text->in_link = href != NULL && client_html_value(tag, href, &text->url);
	trim(&text->url);
}

static void
show_picture(struct client_html_text *text, const struct client_html_tag *tag)
{
	const struct client_html_attribute *alt = client_html_find(tag, "alt");
	const char *value;

	if (alt == NULL || alt->len == 0)
		return;
	value = buf_octets(&tag->values) + alt->kept;
	put_text(text, "[", 1);
	put_text(text, value, alt->len);
	client_html_decode_end(&text->decoder);
	put_text(text, "]", 1);
}

/* --- elements --- */

static void
set_margin(struct client_html_text *text)
{
	text->wrap.quotes = text->quotes;
	text->wrap.indent = 3 * (text->lists < LISTS_MAX ? text->lists : LISTS_MAX);
}

static void
open_list(struct client_html_text *text, bool is_ordered)
{
	client_wrap_break(&text->wrap, text->lists == 0 ? 2 : 1);
	if (text->lists < LISTS_MAX) {
		text->items[text->lists] = 0;
		text->is_ordered[text->lists] = is_ordered;
	}
	text->lists++;
	set_margin(text);
}

static void
close_list(struct client_html_text *text)
{
	if (text->lists > 0)
		text->lists--;
	client_wrap_break(&text->wrap, text->lists == 0 ? 2 : 1);
	text->wrap.mark[0] = '\0';
	set_margin(text);
}

static void
open_item(struct client_html_text *text)
{
	const unsigned level = text->lists > 0 ? text->lists - 1 : 0;

	client_wrap_break(&text->wrap, 1);
	if (text->lists > 0 && level < LISTS_MAX && text->is_ordered[level])
		snprintf(text->wrap.mark, sizeof(text->wrap.mark), "%u. ", ++text->items[level]);
	else
		snprintf(text->wrap.mark, sizeof(text->wrap.mark), "* ");
}

static void
rule(struct client_html_text *text)
{
	client_wrap_break(&text->wrap, 1);
	put_text(text, "--------", 8);
	client_wrap_break(&text->wrap, 1);
}

enum meaning {
	NOTHING, LINE, PARAGRAPH, BREAK, RULE, LINK, PICTURE, PRE, BULLETS, NUMBERS, ITEM, QUOTE,
	CELL, SEPARATOR,
};

static const struct { const char *name; enum meaning meaning; } meanings[] = {
	{ "p", PARAGRAPH }, { "h1", PARAGRAPH }, { "h2", PARAGRAPH }, { "h3", PARAGRAPH },
	{ "h4", PARAGRAPH }, { "h5", PARAGRAPH }, { "h6", PARAGRAPH }, { "dl", PARAGRAPH },
	{ "figure", PARAGRAPH }, { "table", LINE }, { "div", LINE }, { "tr", LINE },
	{ "caption", LINE }, { "section", LINE }, { "article", LINE }, { "header", LINE },
	{ "footer", LINE }, { "main", LINE }, { "nav", LINE }, { "address", LINE },
	{ "center", LINE }, { "form", LINE }, { "dt", LINE }, { "dd", LINE }, { "body", LINE },
	{ "fieldset", LINE }, { "figcaption", LINE }, { "br", BREAK }, { "hr", RULE },
	{ "a", LINK }, { "img", PICTURE }, { "pre", PRE }, { "ul", BULLETS }, { "menu", BULLETS },
	{ "ol", NUMBERS }, { "li", ITEM }, { "blockquote", QUOTE }, { "td", CELL },
	{ "th", CELL }, { "option", SEPARATOR }, { "button", SEPARATOR }, { "textarea", LINE },
	{ "xmp", LINE },
};

static enum meaning
meaning_of(const char *name)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strcmp(meanings[i].name, name) == 0)
			return meanings[i].meaning;
	return NOTHING;
}

static void
quote(struct client_html_text *text, bool is_close)
{
	client_wrap_break(&text->wrap, 2);
	if (!is_close)
		text->quotes++;
	else if (text->quotes > 0)
		text->quotes--;
	set_margin(text);
}

static void
preformatted(struct client_html_text *text, bool is_close)
{
	client_wrap_break(&text->wrap, 2);
	if (!is_close)
		text->preformatted++;
	else if (text->preformatted > 0)
		text->preformatted--;
}

static void
on_tag(void *owner, const struct client_html_tag *tag)
{
	struct client_html_text *text = owner;
	const enum meaning meaning = meaning_of(tag->name);

	text->steps++;
	client_html_decode_end(&text->decoder);
	switch (meaning) {
	case NOTHING:
		break;
	case LINE:
		client_wrap_break(&text->wrap, 1);
		break;
	case PARAGRAPH:
		client_wrap_break(&text->wrap, 2);
		break;
	case BREAK:
		client_wrap_newline(&text->wrap);
		break;
	case RULE:
		rule(text);
		break;
	case LINK:
		if (tag->is_close)
			close_link(text);
		else
			open_link(text, tag);
		break;
	case PICTURE:
		if (!tag->is_close)
			show_picture(text, tag);
		break;
	case PRE:
		preformatted(text, tag->is_close);
		break;
	case BULLETS:
	case NUMBERS:
		if (tag->is_close)
			close_list(text);
		else
			open_list(text, meaning == NUMBERS);
		break;
	case ITEM:
		if (!tag->is_close)
			open_item(text);
		break;
	case QUOTE:
		quote(text, tag->is_close);
		break;
	case CELL:
		client_wrap_blank(&text->wrap, 2);
		break;
	case SEPARATOR:
		client_wrap_blank(&text->wrap, 1);
		break;
	}
}

/* --- the whole --- */

static const struct client_html_events events = { .on_text = on_text, .on_tag = on_tag };

struct client_html_text *
client_html_text_new(unsigned columns, client_html_text_done done, void *owner)
{
	struct client_html_text *text = mem_zalloc(sizeof(*text));

	text->on_text = done;
	text->owner = owner;
	text->wrap.columns = columns;
	text->decoder.on_character = put_character;
	text->decoder.owner = text;
	text->html = client_html_new(&events, text);
	return text;
}

static void
hand_over(struct client_html_text *text)
{
	if (text->wrap.out.len > 0)
		text->on_text(text->owner, buf_octets(&text->wrap.out), text->wrap.out.len);
	buf_clear(&text->wrap.out);
}

void
client_html_text_feed(struct client_html_text *text, const char *octets, size_t len)
{
	for (size_t at = 0; at < len; at += BLOCK) {
		client_html_feed(text->html, octets + at, len - at < BLOCK ? len - at : BLOCK);
		hand_over(text);
	}
}

void
client_html_text_end(struct client_html_text *text)
{
	client_html_end(text->html);
	client_html_decode_end(&text->decoder);
	close_link(text);
	client_wrap_end(&text->wrap);
	hand_over(text);
}

uint64_t
client_html_text_steps(const struct client_html_text *text)
{
	return text->steps + text->decoder.steps + client_html_steps(text->html);
}

void
client_html_text_free(struct client_html_text *text)
{
	if (text == NULL)
		return;
	client_html_free(text->html);
	client_wrap_free(&text->wrap);
	buf_free(&text->url);
	buf_free(&text->link_text);
	free(text);
}
