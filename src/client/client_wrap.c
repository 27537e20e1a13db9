/* client_wrap.c - fills lines with words, by the columns that they take on a terminal. */
#include "client/client_wrap.h"

#include "client/client_html_entity.h"

#include <stdio.h>

#include <glib.h>

#define WORD_MAX	800	/* octets: with its line's start below the 998 of RFC 5322 2.1.1 */
#define LINE_MAX_UNFILLED 900	/* columns of a line that is not filled */
#define LINE_MAX_OCTETS	2700	/* of any line: accents take no columns */
#define QUOTES_MAX	8
#define INDENT_MAX	24
#define GAP_MAX		3	/* line ends: two empty lines */

static unsigned
width_of(uint32_t character)
{
	if (g_unichar_iszerowidth(character))
		return 0;
	return g_unichar_iswide(character) ? 2 : 1;
}

/* Lines of East Asian text break between any two characters, but not before what closes and
 * not behind what opens (a little of JIS X 4051). */
static bool
may_break(uint32_t before, uint32_t behind)
{
	const GUnicodeType first = g_unichar_type(before), second = g_unichar_type(behind);

	if (before == 0 || width_of(behind) == 0)
		return false;
	if (!g_unichar_iswide(before) && !g_unichar_iswide(behind))
		return false;
	if (second == G_UNICODE_CLOSE_PUNCTUATION || second == G_UNICODE_OTHER_PUNCTUATION ||
	    second == G_UNICODE_FINAL_PUNCTUATION)
		return false;
	return first != G_UNICODE_OPEN_PUNCTUATION && first != G_UNICODE_INITIAL_PUNCTUATION &&
	    before != 0x200d;
}

static void
begin_line(struct client_wrap *wrap)
{
	const unsigned quotes = wrap->quotes < QUOTES_MAX ? wrap->quotes : QUOTES_MAX;
	const unsigned indent = wrap->indent < INDENT_MAX ? wrap->indent : INDENT_MAX;
	int used;

	for (unsigned i = 0; i < quotes; i++)
		buf_append_text(&wrap->out, "> ");
	wrap->column = 2 * quotes;
	if (indent == 0 && wrap->mark[0] == '\0')
		return;
	used = snprintf(NULL, 0, "%*s", (int)indent, wrap->mark);
	buf_appendf(&wrap->out, "%*s", (int)indent, wrap->mark);
	wrap->column += (unsigned)used;
	wrap->mark[0] = '\0';
}

static void
end_line(struct client_wrap *wrap)
{
	buf_append_text(&wrap->out, "\n");
	wrap->column = 0;
}

/* Before a word: what is owed of line ends. */
static bool
is_fresh(struct client_wrap *wrap)
{
	bool was_open = wrap->column > 0;

	if (wrap->began && (wrap->gap > 0 || !was_open)) {
		if (was_open)
			end_line(wrap);
		for (unsigned i = 1; i < wrap->gap; i++)
			buf_append_text(&wrap->out, "\n");
		was_open = false;
	}
	wrap->gap = 0;
	return !was_open;
}

static void
forget_word(struct client_wrap *wrap)
{
	buf_clear(&wrap->word);
	if (wrap->blanks < wrap->word_blanks)
		wrap->blanks = wrap->word_blanks;
	wrap->word_width = wrap->word_blanks = 0;
	wrap->last = 0;
	wrap->has_ink = false;
}

static void
place_word(struct client_wrap *wrap)
{
	const unsigned most = wrap->columns > 0 && !wrap->exact ? wrap->columns : LINE_MAX_UNFILLED;
	unsigned need = wrap->word_width + wrap->word_blanks;
	bool fresh;

	if (wrap->word.len == 0)
		return;
	if (!wrap->has_ink) {	/* no-break spaces, to fill a cell or a line */
		forget_word(wrap);
		return;
	}
	fresh = is_fresh(wrap);
	if (!fresh && (wrap->column + need > most ||
	    wrap->line_len + wrap->word.len > LINE_MAX_OCTETS)) {
		end_line(wrap);
		fresh = true;
	}
	if (fresh)
		begin_line(wrap);
	else
		buf_appendf(&wrap->out, "%*s", (int)wrap->word_blanks, "");
	wrap->column += fresh ? wrap->word_width : need;
	wrap->line_len = (fresh ? 0 : wrap->line_len) + wrap->word.len;
	/* A line with nothing but characters of no width is open all the same. */
	if (wrap->column == 0)
		wrap->column = 1;
	buf_append(&wrap->out, buf_octets(&wrap->word), wrap->word.len);
	wrap->word_blanks = 0;
	forget_word(wrap);
	wrap->began = true;
}

void
client_wrap_put(struct client_wrap *wrap, uint32_t character)
{
	if (wrap->word.len > WORD_MAX ||
	    (!wrap->exact && wrap->blanks == 0 && may_break(wrap->last, character)))
		place_word(wrap);
	if (wrap->word.len == 0) {
		wrap->word_blanks = wrap->blanks;
		wrap->blanks = 0;
	}
	client_html_append_utf8(&wrap->word, character);
	wrap->word_width += width_of(character);
	wrap->has_ink = wrap->has_ink || character != ' ';
	wrap->last = character;
}

void
client_wrap_blank(struct client_wrap *wrap, unsigned blanks)
{
	place_word(wrap);
	if (wrap->blanks < blanks)
		wrap->blanks = blanks;
}

void
client_wrap_break(struct client_wrap *wrap, unsigned lines)
{
	place_word(wrap);
	wrap->blanks = 0;
	if (wrap->gap < lines)
		wrap->gap = lines;
}

void
client_wrap_newline(struct client_wrap *wrap)
{
	place_word(wrap);
	client_wrap_break(wrap, wrap->gap < GAP_MAX ? wrap->gap + 1 : GAP_MAX);
}

void
client_wrap_end(struct client_wrap *wrap)
{
	place_word(wrap);
	if (wrap->column > 0)
		end_line(wrap);
}

void
client_wrap_free(struct client_wrap *wrap)
{
	buf_free(&wrap->out);
	buf_free(&wrap->word);
}
