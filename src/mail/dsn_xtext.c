/* dsn_xtext.c - how ENVID and ORCPT are written: RFC 3461 4, RFC 6533 3. */
#include "mail/dsn_xtext.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define HEX_DIGITS_MAX 6 /* of \x{10FFFF} */

/* What is written, and its bound; `len` leaves room for the NUL. */
struct sink {
	char *at;
	size_t len, size;
};

static bool
put(struct sink *sink, const char *octets, size_t len)
{
	if (len >= sink->size - sink->len)
		return false;
	memcpy(sink->at + sink->len, octets, len);
	sink->len += len;
	sink->at[sink->len] = '\0';
	return true;
}

static int
hex_digit(char octet, bool upper_only)
{
	if (octet >= '0' && octet <= '9')
		return octet - '0';
	if (octet >= 'A' && octet <= 'F')
		return octet - 'A' + 10;
	if (!upper_only && octet >= 'a' && octet <= 'f')
		return octet - 'a' + 10;
	return -1;
}

/* "+" and two digits, RFC 3461 4: upper case alone.  Returns -1 where it is none. */
static int
read_hexchar(const char *at, size_t len)
{
	int high, low;

	if (len < 3)
		return -1;
	high = hex_digit(at[1], true);
	low = hex_digit(at[2], true);
	return high < 0 || low < 0 ? -1 : high * 16 + low;
}

bool
dsn_xtext_decode(char *out, size_t size, const char *xtext, size_t len)
{
	struct sink sink = { out, 0, size };

	out[0] = '\0';
	for (size_t i = 0; i < len; i++) {
		bool is_escape = xtext[i] == '+';
		int octet = is_escape ? read_hexchar(xtext + i, len - i) : (unsigned char)xtext[i];
		char one = (char)octet;

		if (octet < (is_escape ? 0x20 : 0x21) || octet > 0x7e || xtext[i] == '=' ||
		    !put(&sink, &one, 1))
			return false;
		i += is_escape ? 2 : 0;
	}
	return true;
}

/* --- the utf-8 type --- */

/* QCHAR of RFC 6533 3: what stands for itself. */
static bool
is_qchar(char octet)
{
	return octet > 0x20 && octet < 0x7f && octet != '+' && octet != '=' && octet != '\\';
}

static size_t
encode_utf8(uint32_t character, char out[4])
{
	static const unsigned char marks[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
	size_t len = character < 0x80 ? 1 : character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;

	for (size_t i = len - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (character & 0x3f));
		character >>= 6;
	}
	out[0] = (char)(marks[len == 1 ? 0 : len] | character);
	return len;
}

/* Octets of the character at this place, if it is one beyond ASCII that is no C1 control. */
static size_t
wide_character(const char *at, size_t len, uint32_t *character)
{
	const unsigned char *octets = (const unsigned char *)at;
	size_t need = octets[0] >= 0xf0 ? 4 : octets[0] >= 0xe0 ? 3 : 2;

	if (octets[0] < 0x80 || need > len || !text_utf8_valid(at, need))
		return 0;
	*character = octets[0] & (0xffu >> (need + 1));
	for (size_t i = 1; i < need; i++)
		*character = *character << 6 | (octets[i] & 0x3fu);
	return *character < 0xa0 ? 0 : need;
}

/* "\x{E9}": octets of it, 0: none, or a character that may not be. */
static size_t
read_embedded(const char *at, size_t len, uint32_t *character)
{
	uint32_t value = 0;
	size_t i = 3;
	char utf8[4];
	int digit;

	if (len < 6 || memcmp(at, "\\x{", 3) != 0)
		return 0;
	for (; i < len && i < 3 + HEX_DIGITS_MAX; i++) {
		digit = hex_digit(at[i], false);
		if (digit < 0)
			break;
		value = value << 4 | (uint32_t)digit;
	}
	if (i < 5 || i == len || at[i] != '}' || value < 0x20 || value > 0x10ffff ||
	    (value >= 0x7f && value < 0xa0) ||
	    !text_utf8_valid(utf8, encode_utf8(value & 0x1fffff, utf8)))
		return 0;
	*character = value;
	return i + 1;
}

static bool
put_embedded(struct sink *sink, uint32_t character)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "\\x{%02X}", character);

	return put(sink, text, (size_t)len);
}

static bool
put_character(struct sink *sink, uint32_t character)
{
	char octets[4];

	return put(sink, octets, encode_utf8(character, octets));
}

/* From either form of RFC 6533 3 to the one asked for. */
static bool
settle_utf8(struct sink *sink, const char *text, size_t len, bool utf8)
{
	size_t used = 0;

	for (size_t i = 0; i < len; i += used) {
		uint32_t character;
		bool ok;

		used = 1;
		if (is_qchar(text[i])) {
			ok = put(sink, &text[i], 1);
		} else {
			used = text[i] == '\\' ? read_embedded(text + i, len - i, &character) :
			    wide_character(text + i, len - i, &character);
			ok = used > 0 && (utf8 && character >= 0x80 ?
			    put_character(sink, character) : put_embedded(sink, character));
		}
		if (!ok)
			return false;
	}
	return true;
}

bool
dsn_utf8_xtext(char *out, size_t size, const char *text, size_t len)
{
	struct sink sink = { out, 0, size };
	uint32_t character;
	size_t used;

	out[0] = '\0';
	for (size_t i = 0; i < len; i += used) {
		bool plain = is_qchar(text[i]);

		character = (unsigned char)text[i];
		used = character >= 0x20 && character < 0x7f ? 1 :
		    wide_character(text + i, len - i, &character);
		if (used == 0 || !(plain ? put(&sink, &text[i], 1) :
		    put_embedded(&sink, character)))
			return false;
	}
	return true;
}

/* --- ORCPT --- */

/* The octets before the semicolon, an atom of letters, digits and hyphens; 0: none. */
static size_t
type_len(const char *value, size_t len)
{
	size_t n = 0;

	while (n < len && ((value[n] >= 'a' && value[n] <= 'z') ||
	    (value[n] >= 'A' && value[n] <= 'Z') || (value[n] >= '0' && value[n] <= '9') ||
	    value[n] == '-'))
		n++;
	return n + 1 < len && value[n] == ';' ? n : 0;
}

static bool
is_utf8_type(const char *value, size_t type)
{
	return type == 5 && strncasecmp(value, "utf-8", 5) == 0;
}

bool
dsn_orcpt_settle(char out[ENVELOPE_ORCPT_MAX + 1], const char *value, size_t len)
{
	struct sink sink = { out, 0, ENVELOPE_ORCPT_MAX + 1 };
	char decoded[ENVELOPE_ORCPT_MAX + 1];
	size_t type = type_len(value, len);

	if (type == 0 || !put(&sink, value, type + 1))
		return false;
	value += type + 1;
	len -= type + 1;
	if (is_utf8_type(out, type))
		return settle_utf8(&sink, value, len, false);
	return dsn_xtext_decode(decoded, sizeof(decoded), value, len) && put(&sink, value, len);
}

bool
dsn_orcpt_text(char out[ENVELOPE_ORCPT_MAX + 2], const char *orcpt, bool utf8)
{
	struct sink sink = { out, 0, ENVELOPE_ORCPT_MAX + 2 };
	size_t len = strlen(orcpt), type = type_len(orcpt, len);

	if (type == 0 || !put(&sink, orcpt, type) || !put(&sink, "; ", 2))
		return false;
	orcpt += type + 1;
	len -= type + 1;
	if (is_utf8_type(out, type))
		return settle_utf8(&sink, orcpt, len, utf8);
	return dsn_xtext_decode(out + sink.len, sink.size - sink.len, orcpt, len);
}

/* RFC 3461 4: xtext has neither of "+" and "=", nor a blank. */
static bool
put_xtext(struct sink *sink, const char *text)
{
	char escape[4];
	bool good = true;

	for (; good && *text != '\0'; text++) {
		if (*text > 0x20 && *text < 0x7f && *text != '+' && *text != '=') {
			good = put(sink, text, 1);
		} else {
			snprintf(escape, sizeof(escape), "+%02X", (unsigned)(unsigned char)*text);
			good = put(sink, escape, 3);
		}
	}
	return good;
}

bool
dsn_orcpt_make(char out[ENVELOPE_ORCPT_MAX + 1], const char *address)
{
	struct sink sink = { out, 0, ENVELOPE_ORCPT_MAX + 1 };
	bool is_ascii = true;

	for (const char *at = address; *at != '\0'; at++)
		is_ascii = is_ascii && (unsigned char)*at < 0x80;
	if (is_ascii)
		return put(&sink, "rfc822;", 7) && put_xtext(&sink, address);
	return put(&sink, "utf-8;", 6) && dsn_utf8_xtext(out + sink.len, sink.size - sink.len,
	    address, strlen(address));
}
