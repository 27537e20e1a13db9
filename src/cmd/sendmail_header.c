/* sendmail_header.c - one header field of a message: its name, its text, its fold. */
#include "cmd/sendmail_header.h"

#include "base/buf.h"
#include "base/text.h"
#include "cmd/sendmail_message.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define MBOX_LINE_MAX	1000	/* octets: what is longer holds more than a sender and a time */

static bool
is_blank(char octet)
{
	return octet == ' ' || octet == '\t';
}

size_t
sendmail_field_name(const char *line, size_t len)
{
	size_t name = 0, colon;

	while (name < len && line[name] > 0x20 && line[name] < 0x7f && line[name] != ':')
		name++;
	colon = name;
	while (colon < len && is_blank(line[colon]))
		colon++;
	return colon < len && line[colon] == ':' ? name : 0;
}

bool
sendmail_field_is(const char *line, size_t len, const char *name)
{
	const size_t name_len = sendmail_field_name(line, len);

	return name_len == strlen(name) && strncasecmp(line, name, name_len) == 0;
}

static bool
has_prefix(const char *line, size_t len, const char *prefix)
{
	return len >= strlen(prefix) && memcmp(line, prefix, strlen(prefix)) == 0;
}

static bool
matches(const char *line, const char *digits)
{
	for (; *digits != '\0'; digits++, line++)
		if (*digits == '9' ? !isdigit((unsigned char)*line) : *line != *digits)
			return false;
	return true;
}

/* Behind a blank; behind it another, the end, or the seconds. */
static bool
has_word(const char *line, size_t len, const char *digits)
{
	const size_t word = strlen(digits);

	for (size_t i = 1; i + word <= len; i++)
		if (is_blank(line[i - 1]) && matches(line + i, digits) &&
		    (i + word == len || is_blank(line[i + word]) || line[i + word] == ':'))
			return true;
	return false;
}

bool
sendmail_is_mbox_line(const char *line, size_t len)
{
	if (len > MBOX_LINE_MAX || sendmail_field_name(line, len) != 0)
		return false;
	if (has_prefix(line, len, ">")) {
		line++;
		len--;
	}
	if (!has_prefix(line, len, "From "))
		return false;
	return has_word(line, len, "99:99") && has_word(line, len, "9999");
}

/* Comments nest, and may hold quoted pairs. */
static bool
skip_comment(const char **at, const char *end)
{
	size_t depth = 0;

	for (; *at < end; (*at)++) {
		if (**at == '\\' && *at + 1 < end)
			(*at)++;
		else if (**at == '(')
			depth++;
		else if (**at == ')' && --depth == 0)
			break;
	}
	if (*at == end)
		return false;
	(*at)++;
	return true;
}

bool
sendmail_skip_blanks(const char **at, const char *end)
{
	while (*at < end) {
		if (**at == '(') {
			if (!skip_comment(at, end))
				return false;
		} else if (is_blank(**at) || **at == '\r' || **at == '\n') {
			(*at)++;
		} else {
			break;
		}
	}
	return true;
}

void
sendmail_field_word(const char *field, size_t field_len, char *out, size_t size)
{
	struct buf value = { 0 };
	const char *at, *end;
	size_t len = 0;

	sendmail_field_unfold(&value, field, field_len);
	at = buf_octets(&value);
	end = at + value.len;
	if (sendmail_skip_blanks(&at, end))
		while (at < end && len + 1 < size && *at > 0x20 && strchr("/;(", *at) == NULL)
			out[len++] = *at++;
	out[len] = '\0';
	text_lower(out);
	buf_free(&value);
}

void
sendmail_field_unfold(struct buf *out, const char *field, size_t len)
{
	const char *colon = memchr(field, ':', len), *end = field + len;

	for (const char *at = colon != NULL ? colon + 1 : end; at < end;) {
		const char *cr = memchr(at, '\r', (size_t)(end - at));
		const char *stop = cr != NULL ? cr : end;

		buf_append(out, at, (size_t)(stop - at));
		at = cr != NULL && cr + 2 <= end ? cr + 2 : end;
	}
}

/* Where a line that is too long may be folded: before a blank that has more than blanks on
 * both sides, and not only the name before it; the last such place within the limit, else the
 * first behind it; 0: nowhere. */
static size_t
fold_place(const char *line, size_t len)
{
	size_t first = 0, place = 0, last = len;

	while (first < len && is_blank(line[first]))
		first++;
	while (last > 0 && is_blank(line[last - 1]))
		last--;
	for (size_t i = first + 1; i < last; i++) {
		if (!is_blank(line[i]) || (place == 0 && line[i - 1] == ':'))
			continue;
		if (i > SENDMAIL_LINE_MAX && place > 0)
			break;
		place = i;
	}
	return place;
}

void
sendmail_field_fold(struct buf *out, const char *field, size_t len)
{
	while (len > 0) {
		const char *cr = memchr(field, '\r', len);
		size_t line = cr != NULL ? (size_t)(cr - field) : len, place;

		for (; line > SENDMAIL_LINE_MAX; field += place, line -= place, len -= place) {
			place = fold_place(field, line);
			if (place == 0)
				break;
			buf_append(out, field, place);
			buf_append(out, "\r\n", 2);
		}
		buf_append(out, field, line);
		buf_append(out, "\r\n", 2);
		line = line + 2 < len ? line + 2 : len;
		field += line;
		len -= line;
	}
}
