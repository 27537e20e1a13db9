/* send_header.c - header fields of a mail: words encoded and lines folded. */
#include "client/send_header.h"

#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#define LINE_MAX_OCTETS		78	/* RFC 5322 2.1.1 */
#define ENCODED_LINE_MAX	76	/* of a line with encoded words, RFC 2047 2 */
#define ENCODED_MAX		75	/* octets of an encoded word, RFC 2047 2 */
#define WRAPPING		12	/* octets of "=?utf-8?b?" and "?=" */
#define QUOTED_MAX		60	/* octets of a value that stands in quotes */

void
send_header_begin(struct send_header *header, const char *name)
{
	*header = (struct send_header){ .column = strlen(name) + 1 };
}

const char *
send_header_end(struct send_header *header)
{
	buf_append_text(&header->value, "\n");
	return buf_text(&header->value);
}

void
send_header_free(struct send_header *header)
{
	buf_free(&header->value);
}

static void
append(struct send_header *header, const char *octets, size_t len)
{
	buf_append(&header->value, octets, len);
	header->column += len;
}

static void
fold(struct send_header *header)
{
	buf_append_text(&header->value, "\n");
	header->column = 0;
}

/* `blanks` and the word, on this line or on the next; a field's first line is never empty. */
static void
append_word(struct send_header *header, const char *blanks, size_t blanks_len, const char *word,
    size_t len)
{
	if (header->column + blanks_len + len > LINE_MAX_OCTETS && header->value.len > 0)
		fold(header);
	append(header, blanks, blanks_len);
	append(header, word, len);
}

void
send_header_word(struct send_header *header, const char *word, size_t len)
{
	append_word(header, " ", 1, word, len);
}

/* Of UTF-8 that was checked. */
static const char *
next_character(const char *text)
{
	do
		text++;
	while (((unsigned char)*text & 0xc0) == 0x80);
	return text;
}

/* --- text as it is --- */

void
send_header_plain(struct send_header *header, const char *text)
{
	const char *at = text + strspn(text, " \t"), *blanks = " ";
	size_t blanks_len = 1, len;

	while (*at != '\0') {
		len = strcspn(at, " \t");
		append_word(header, blanks, blanks_len, at, len);
		at += len;
		blanks = at;
		blanks_len = strspn(at, " \t");
		at += blanks_len;
	}
}

static bool
is_printable_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if (*text < ' ' || *text > '~')
			return false;
	return true;
}

/* A word takes the blanks before it along to the next line. */
static bool
can_be_folded(const char *text)
{
	for (size_t blanks = 1, len; *text != '\0'; text += len + blanks) {
		len = strcspn(text, " ");
		if (blanks + len > LINE_MAX_OCTETS)
			return false;
		blanks = strspn(text + len, " ");
	}
	return true;
}

/* Whether a reader takes it for what it is: no encoded word, no blanks that get lost. */
static bool
reads_back(const char *text)
{
	const size_t len = strlen(text);

	return is_printable_ascii(text) && strstr(text, "=?") == NULL &&
	    (len == 0 || (text[0] != ' ' && text[len - 1] != ' ')) &&
	    can_be_folded(text);
}

/* The first word of a field cannot go to the next line. */
static bool
fits_plain(const struct send_header *header, const char *text)
{
	return reads_back(text) && (header->value.len > 0 ||
	    header->column + 1 + strcspn(text, " ") <= LINE_MAX_OCTETS);
}

/* --- encoded words --- */

static bool
is_q_plain(char octet)
{
	return (octet >= '0' && octet <= '9') || (octet >= 'a' && octet <= 'z') ||
	    (octet >= 'A' && octet <= 'Z') || strchr("!*+-/", octet) != NULL;
}

static size_t
q_length(const char *text, size_t len)
{
	size_t octets = 0;

	for (size_t i = 0; i < len; i++)
		octets += is_q_plain(text[i]) || text[i] == ' ' ? 1 : 3;
	return octets;
}

static size_t
encoded_length(const char *text, size_t len, bool is_q)
{
	return WRAPPING + (is_q ? q_length(text, len) : (len + 2) / 3 * 4);
}

static void
append_q(struct send_header *header, const char *text, size_t len)
{
	char escaped[4];

	append(header, "=?utf-8?q?", 10);
	for (size_t i = 0; i < len; i++) {
		const unsigned octet = (unsigned char)text[i];

		if (is_q_plain(text[i])) {
			append(header, &text[i], 1);
		} else if (octet == ' ') {
			append(header, "_", 1);
		} else {
			snprintf(escaped, sizeof(escaped), "=%02X", octet);
			append(header, escaped, 3);
		}
	}
	append(header, "?=", 2);
}

static void
append_b(struct send_header *header, const char *text, size_t len)
{
	char *encoded = g_base64_encode((const guchar *)text, len);

	append(header, "=?utf-8?b?", 10);
	append(header, encoded, strlen(encoded));
	append(header, "?=", 2);
	g_free(encoded);
}

/* Of the characters at `text` as many as an encoded word of `room` octets holds; never a part
 * of one (RFC 2047 5).  Where more come, base64 ends without a "=" if it can: readers that decode
 * the words of a run as one stop there. */
static size_t
fitting(const char *text, size_t len, size_t room, bool is_q)
{
	size_t end = 0, even = 0;

	while (end < len) {
		const char *next = next_character(text + end);
		const size_t with = (size_t)(next - text);

		if (encoded_length(text, with, is_q) > room)
			break;
		end = with;
		if (end % 3 == 0)
			even = end;
	}
	return is_q || end == len || (even == 0 && room == ENCODED_MAX) ? end : even;
}

/* Text that fits in one encoded word is not cut for the line's sake: not all readers of names put
 * two together without a blank. */
static void
encode(struct send_header *header, const char *text, size_t len)
{
	const bool is_q = q_length(text, len) < (len + 2) / 3 * 4;
	const size_t whole = encoded_length(text, len, is_q);

	if (whole <= ENCODED_MAX && header->column + 1 + whole > ENCODED_LINE_MAX &&
	    header->value.len > 0)
		fold(header);
	while (len > 0) {
		size_t room = 0, take;

		if (header->column + 1 < ENCODED_LINE_MAX)
			room = ENCODED_LINE_MAX - 1 - header->column;
		take = fitting(text, len, room < ENCODED_MAX ? room : ENCODED_MAX, is_q);
		/* A word of a character or two is for a line with no more to come. */
		if (take == 0 || (take < len && take < 4 && header->column > 0)) {
			fold(header);
			continue;
		}
		append(header, " ", 1);
		if (is_q)
			append_q(header, text, take);
		else
			append_b(header, text, take);
		text += take;
		len -= take;
	}
}

void
send_header_text(struct send_header *header, const char *text)
{
	if (fits_plain(header, text))
		send_header_plain(header, text);
	else
		encode(header, text, strlen(text));
}

static bool
is_atoms(const char *name)
{
	for (; *name != '\0'; name++)
		if (!g_ascii_isalnum(*name) && strchr(" !#$%&'*+-/=?^_`{|}~", *name) == NULL)
			return false;
	return true;
}

void
send_header_phrase(struct send_header *header, const char *name)
{
	const bool needs_quotes = !is_atoms(name) || strstr(name, "  ") != NULL;
	struct buf quoted = { 0 };

	if (!fits_plain(header, name) || (needs_quotes && strlen(name) > QUOTED_MAX)) {
		encode(header, name, strlen(name));
		return;
	}
	if (!needs_quotes) {
		send_header_plain(header, name);
		return;
	}
	buf_append_text(&quoted, "\"");
	for (; *name != '\0'; name++) {
		if (*name == '"' || *name == '\\')
			buf_append_text(&quoted, "\\");
		buf_append(&quoted, name, 1);
	}
	buf_append_text(&quoted, "\"");
	send_header_word(header, buf_octets(&quoted), quoted.len);
	buf_free(&quoted);
}

/* --- parameters: RFC 2231 --- */

static bool
is_attribute_char(char octet)
{
	return g_ascii_isalnum(octet) || strchr("-._~!$+", octet) != NULL;
}

/* The whole value as it may stand in quotes. */
static bool
is_quotable(const char *value)
{
	const size_t len = strlen(value);

	return len <= QUOTED_MAX && reads_back(value) && strpbrk(value, "\"\\%") == NULL &&
	    strstr(value, "  ") == NULL;
}

static size_t
percent_length(const char *character, size_t len)
{
	return len == 1 && is_attribute_char(*character) ? 1 : 3 * len;
}

static void
append_percent(struct buf *out, const char *character, size_t len)
{
	if (len == 1 && is_attribute_char(*character)) {
		buf_append(out, character, 1);
		return;
	}
	for (size_t i = 0; i < len; i++)
		buf_appendf(out, "%%%02X", (unsigned)(unsigned char)character[i]);
}

/* Fills `out` up to `room` octets with whole characters; what is left of the value. */
static const char *
append_segment(struct buf *out, const char *value, size_t room)
{
	size_t used = 0;

	while (*value != '\0') {
		const char *next = next_character(value);
		const size_t len = (size_t)(next - value);

		if (used + percent_length(value, len) > room)
			break;
		used += percent_length(value, len);
		append_percent(out, value, len);
		value = next;
	}
	return value;
}

void
send_header_parameter(struct send_header *header, const char *name, const char *value)
{
	const size_t room = LINE_MAX_OCTETS - 2 - strlen("*00*=utf-8'';") - strlen(name);
	struct buf text = { 0 }, segment = { 0 };
	unsigned number = 0;

	append(header, ";", 1);
	if (is_quotable(value)) {
		buf_appendf(&text, "%s=\"%s\"", name, value);
		send_header_word(header, buf_octets(&text), text.len);
		buf_free(&text);
		return;
	}
	do {
		const char *rest;
		bool is_whole;

		buf_clear(&segment);
		rest = append_segment(&segment, value, room);
		is_whole = number == 0 && *rest == '\0';
		buf_clear(&text);
		buf_append_text(&text, name);
		if (!is_whole)
			buf_appendf(&text, "*%u", number);
		buf_appendf(&text, "*=%s", number == 0 ? "utf-8''" : "");
		buf_append(&text, buf_octets(&segment), segment.len);
		if (*rest != '\0')
			buf_append_text(&text, ";");
		send_header_word(header, buf_octets(&text), text.len);
		value = rest;
		number++;
	} while (*value != '\0');
	buf_free(&segment);
	buf_free(&text);
}
