/* text.c - small questions about text: printable, numbers with units, UTF-8. */
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define MORE_MAX	sizeof("...(18446744073709551615 more)")

struct unit { char letter; uint64_t factor; };

static const struct unit duration_units[] = {
	{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 }, { 0, 0 },
};
static const struct unit size_units[] = {
	{ 'K', 1024 }, { 'M', 1024 * 1024 }, { 'G', 1024 * 1024 * 1024 }, { 0, 0 },
};

/* Octets of the valid UTF-8 character at `octets`, RFC 3629; 0 when there is none. */
static size_t
utf8_character(const unsigned char *octets, size_t len, uint32_t *character)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t need, i;
	uint32_t value;

	if (len == 0)
		return 0;
	if (octets[0] < 0x80) {
		*character = octets[0];
		return 1;
	}
	need = octets[0] >= 0xf0 ? 4 : octets[0] >= 0xe0 ? 3 : octets[0] >= 0xc2 ? 2 : 0;
	if (need == 0 || need > len || octets[0] > 0xf4)
		return 0;
	value = octets[0] & (0xffu >> (need + 1));
	for (i = 1; i < need; i++) {
		if ((octets[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (octets[i] & 0x3fu);
	}
	if (value < least[need] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
		return 0;
	*character = value;
	return need;
}

/* Controls, and what makes a terminal show text in another order than it stands
 * (Unicode bidirectional controls, "Trojan Source"). */
static bool
shows_as_written(uint32_t character)
{
	if (character < 0x20 || (character >= 0x7f && character < 0xa0))
		return false;
	if (character == 0x2028 || character == 0x2029 || character == 0xfeff)
		return false;
	if (character >= 0x200b && character <= 0x200f)
		return false;
	return !(character >= 0x202a && character <= 0x202e) &&
	    !(character >= 0x2066 && character <= 0x2069);
}

/* Writes one piece of the result: either the octets as they are or one \xHH. */
static size_t
print_piece(char *out, const unsigned char *octets, size_t len, bool utf8, size_t *used)
{
	static const char hex[] = "0123456789abcdef";
	uint32_t character;
	size_t n = utf8_character(octets, utf8 ? len : len > 0, &character);

	if (n > 0 && shows_as_written(character) && character != '\\') {
		memcpy(out, octets, n);
		*used = n;
		return n;
	}
	out[0] = '\\';
	out[1] = 'x';
	out[2] = hex[octets[0] >> 4];
	out[3] = hex[octets[0] & 15];
	*used = 1;
	return 4;
}

/* Copies the run in front that stands for itself, as most text does; returns its octets. */
static size_t
copy_plain(char *out, const char *octets, size_t len)
{
	size_t n = 0;

	for (; n < len && octets[n] >= 0x20 && octets[n] < 0x7f && octets[n] != '\\'; n++)
		out[n] = octets[n];
	return n;
}

static char *
print_all(char *out, size_t size, const char *octets, size_t len, bool utf8)
{
	const unsigned char *at = (const unsigned char *)octets;
	size_t written = 0, used = 0, i = 0, mark = 0, mark_i = 0;
	char piece[4];

	if (size == 0)
		return out;
	if (size > MORE_MAX)
		written = i = copy_plain(out, octets,
		    len < size - MORE_MAX ? len : size - MORE_MAX);
	while (i < len) {
		size_t n = print_piece(piece, at + i, len - i, utf8, &used);

		if (written + n + 1 > size)
			break;
		/* The last place from which the count of what is cut still fits. */
		if (written + MORE_MAX <= size) {
			mark = written;
			mark_i = i;
		}
		memcpy(out + written, piece, n);
		written += n;
		i += used;
	}
	if (i < len && size >= MORE_MAX)
		written = mark + (size_t)snprintf(out + mark, size - mark, "...(%zu more)",
		    len - mark_i);
	out[written] = '\0';
	return out;
}

char *
text_printable(char *out, size_t size, const char *octets, size_t len)
{
	return print_all(out, size, octets, len, false);
}

char *
text_printable_utf8(char *out, size_t size, const char *octets, size_t len)
{
	return print_all(out, size, octets, len, true);
}

bool
text_equal(const char *a, const char *b)
{
	return strcasecmp(a, b) == 0;
}

bool
text_has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

void
text_lower(char *text)
{
	for (; *text != '\0'; text++)
		if (*text >= 'A' && *text <= 'Z')
			*text = (char)(*text + ('a' - 'A'));
}

char *
text_copy(char *out, size_t size, const char *text)
{
	if (size > 0) {
		size_t len = strnlen(text, size - 1);

		memcpy(out, text, len);
		out[len] = '\0';
	}
	return out;
}

char *
text_number(char *out, unsigned number)
{
	char digits[10];
	size_t len = 0;

	do
		digits[len++] = (char)('0' + number % 10);
	while ((number /= 10) > 0);
	while (len > 0)
		*out++ = digits[--len];
	*out = '\0';
	return out;
}

size_t
text_utf8_cut(const char *octets, size_t len, size_t limit)
{
	if (len <= limit)
		return len;
	/* Continuation octets are 10xxxxxx: the cut moves down to a first octet. */
	while (limit > 0 && ((unsigned char)octets[limit] & 0xc0) == 0x80)
		limit--;
	return limit;
}

bool
text_utf8_valid(const char *octets, size_t len)
{
	const unsigned char *at = (const unsigned char *)octets;
	uint32_t character;

	while (len > 0) {
		size_t n = utf8_character(at, len, &character);

		if (n == 0)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

/* Leading decimal digits; false when there are none or they overflow. */
static bool
parse_digits(const char **text, uint64_t *out)
{
	const char *at = *text;

	*out = 0;
	if (*at < '0' || *at > '9')
		return false;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*out, (uint64_t)10, out) ||
		    __builtin_add_overflow(*out, (uint64_t)(*at - '0'), out))
			return false;
	*text = at;
	return true;
}

static bool
parse_unit(const char *text, const struct unit *units, uint64_t *factor)
{
	for (; units->letter != 0; units++) {
		if (text[0] == units->letter && text[1] == '\0') {
			*factor = units->factor;
			return true;
		}
	}
	return false;
}

static bool
parse_with_unit(const char *text, const struct unit *units, uint64_t *out)
{
	uint64_t factor = 1;

	if (!parse_digits(&text, out))
		return false;
	if (*text != '\0' && !parse_unit(text, units, &factor))
		return false;
	return !__builtin_mul_overflow(*out, factor, out);
}

bool
text_parse_number(const char *text, uint64_t *out)
{
	return parse_digits(&text, out) && *text == '\0';
}

bool
text_parse_duration(const char *text, uint64_t *seconds)
{
	return parse_with_unit(text, duration_units, seconds);
}

bool
text_parse_size(const char *text, uint64_t *octets)
{
	return parse_with_unit(text, size_units, octets);
}

bool
text_parse_rate(const char *text, uint64_t *count, uint64_t *seconds)
{
	return parse_digits(&text, count) && *text == '/' &&
	    parse_unit(text + 1, duration_units, seconds);
}
