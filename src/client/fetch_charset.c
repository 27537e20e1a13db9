/* fetch_charset.c - text of any charset as valid UTF-8, octet by octet; what is wrong is U+FFFD. */
#include "client/fetch_charset.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* A stranger names the charset, so only these modules of iconv are ever loaded: those that mail
 * uses, by the name of their widest kin.  Names without signs. */
static const struct known {
	const char *name, *iconv_name;
} known[] = {
	{ "utf7", "UTF-7" }, { "unicode11utf7", "UTF-7" },
	{ "utf16", "UTF-16" }, { "utf16le", "UTF-16LE" }, { "utf16be", "UTF-16BE" },
	{ "utf32", "UTF-32" }, { "utf32le", "UTF-32LE" }, { "utf32be", "UTF-32BE" },
	{ "iso88592", "ISO-8859-2" }, { "latin2", "ISO-8859-2" }, { "iso88593", "ISO-8859-3" },
	{ "iso88594", "ISO-8859-4" }, { "iso88595", "ISO-8859-5" }, { "iso88596", "ISO-8859-6" },
	{ "iso88597", "ISO-8859-7" }, { "iso88598", "ISO-8859-8" }, { "iso88598i", "ISO-8859-8" },
	{ "iso88599", "CP1254" }, { "latin5", "CP1254" }, { "iso885910", "ISO-8859-10" },
	{ "iso885911", "CP874" }, { "iso885913", "ISO-8859-13" }, { "iso885914", "ISO-8859-14" },
	{ "iso885915", "ISO-8859-15" }, { "latin9", "ISO-8859-15" },
	{ "iso885916", "ISO-8859-16" },
	{ "cp1250", "CP1250" }, { "cp1251", "CP1251" }, { "cp1253", "CP1253" },
	{ "cp1254", "CP1254" }, { "cp1255", "CP1255" }, { "cp1256", "CP1256" },
	{ "cp1257", "CP1257" }, { "cp1258", "CP1258" },
	{ "windows1250", "CP1250" }, { "windows1251", "CP1251" }, { "windows1253", "CP1253" },
	{ "windows1254", "CP1254" }, { "windows1255", "CP1255" }, { "windows1256", "CP1256" },
	{ "windows1257", "CP1257" }, { "windows1258", "CP1258" },
	{ "windows874", "CP874" }, { "cp874", "CP874" }, { "tis620", "CP874" },
	{ "koi8r", "KOI8-R" }, { "koi8u", "KOI8-U" }, { "macintosh", "MACINTOSH" },
	{ "ibm437", "CP437" }, { "cp437", "CP437" }, { "ibm850", "CP850" }, { "cp850", "CP850" },
	{ "ibm852", "CP852" }, { "cp852", "CP852" }, { "ibm866", "CP866" }, { "cp866", "CP866" },
	{ "gb2312", "GB18030" }, { "gb231280", "GB18030" }, { "euccn", "GB18030" },
	{ "gbk", "GB18030" }, { "xgbk", "GB18030" }, { "cp936", "GB18030" },
	{ "windows936", "GB18030" }, { "gb18030", "GB18030" },
	{ "big5", "BIG5-HKSCS" }, { "cnbig5", "BIG5-HKSCS" }, { "big5hkscs", "BIG5-HKSCS" },
	{ "cp950", "BIG5-HKSCS" }, { "euctw", "EUC-TW" },
	{ "shiftjis", "CP932" }, { "sjis", "CP932" }, { "xsjis", "CP932" }, { "cp932", "CP932" },
	{ "mskanji", "CP932" }, { "windows31j", "CP932" },
	{ "eucjp", "EUC-JP" }, { "xeucjp", "EUC-JP" },
	{ "iso2022jp", "ISO-2022-JP-2" }, { "iso2022jp2", "ISO-2022-JP-2" },
	{ "iso2022kr", "ISO-2022-KR" },
	{ "euckr", "CP949" }, { "ksc5601", "CP949" }, { "ksc56011987", "CP949" },
	{ "ksc56011989", "CP949" }, { "cp949", "CP949" }, { "windows949", "CP949" },
	{ "uhc", "CP949" },
};

/* Of 0x80 to 0x9F; zero where the octet means nothing. */
static const uint16_t windows_1252[32] = {
	0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039,
	0x0152, 0, 0x017d, 0, 0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
	0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
};

enum mode {
	MODE_UTF8,
	MODE_GUESS,		/* UTF-8 so far */
	MODE_LATIN,		/* Windows-1252 */
	MODE_ICONV,
};

#define CHARSET_HELD 16		/* octets; more than any character or escape sequence has */

struct fetch_charset {
	enum mode mode, first_mode;
	iconv_t iconv;
	char held[CHARSET_HELD];	/* the start of a character */
	size_t held_len;
	bool has_multi;			/* a character of UTF-8 beyond ASCII came */
	bool is_broken;
};

static void
normal_name(const char *name, char *out, size_t size)
{
	size_t len = 0;

	for (; *name != '\0' && len + 1 < size; name++) {
		if (isalnum((unsigned char)*name))
			out[len++] = (char)tolower((unsigned char)*name);
	}
	out[len] = '\0';
	if (strncmp(out, "cs", 2) == 0 && len > 2)
		memmove(out, out + 2, len - 1);
}

/* False: not known.  NULL in *iconv_name: one of our own. */
static bool
find(const char *name, enum mode *mode, const char **iconv_name)
{
	static const struct {
		const char *name;
		enum mode mode;
	} own[] = {
		{ "utf8", MODE_UTF8 }, { "unicode11utf8", MODE_UTF8 }, { "usascii", MODE_GUESS },
		{ "ascii", MODE_GUESS }, { "ansix341968", MODE_GUESS }, { "646", MODE_GUESS },
		{ "iso88591", MODE_LATIN }, { "latin1", MODE_LATIN }, { "cp1252", MODE_LATIN },
		{ "windows1252", MODE_LATIN },
	};
	char normal[32];

	*mode = MODE_GUESS;
	*iconv_name = NULL;
	normal_name(name, normal, sizeof(normal));
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		if (strcmp(normal, own[i].name) == 0) {
			*mode = own[i].mode;
			return true;
		}
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strcmp(normal, known[i].name) == 0) {
			*mode = MODE_ICONV;
			*iconv_name = known[i].iconv_name;
			return true;
		}
	}
	return false;
}

bool
fetch_charset_is_known(const char *name)
{
	const char *iconv_name;
	enum mode mode;

	return find(name, &mode, &iconv_name);
}

struct fetch_charset *
fetch_charset_new(const char *name)
{
	struct fetch_charset *charset = mem_zalloc(sizeof(*charset));
	const char *iconv_name = NULL;

	charset->mode = MODE_GUESS;
	if (name != NULL)
		(void)find(name, &charset->mode, &iconv_name);
	if (charset->mode == MODE_ICONV) {
		charset->iconv = iconv_open("UTF-8", iconv_name);
		if (charset->iconv == (iconv_t)-1)	/* a system without the module */
			charset->mode = MODE_GUESS;
	}
	charset->first_mode = charset->mode;
	return charset;
}

static void
put_broken(struct fetch_charset *charset, struct buf *out)
{
	charset->is_broken = true;
	buf_append(out, "\xef\xbf\xbd", 3);
}

static void
put_latin(struct fetch_charset *charset, unsigned char octet, struct buf *out)
{
	unsigned code = octet >= 0x80 && octet < 0xa0 ? windows_1252[octet - 0x80] : octet;
	char utf8[3] = { (char)(0xe0 | code >> 12), (char)(0x80 | (code >> 6 & 0x3f)),
		(char)(0x80 | (code & 0x3f)) };

	if (code == 0 && octet != 0) {
		put_broken(charset, out);
	} else if (code < 0x80) {
		buf_append(out, &octet, 1);
	} else if (code < 0x800) {
		utf8[1] = (char)(0xc0 | code >> 6);
		buf_append(out, utf8 + 1, 2);
	} else {
		buf_append(out, utf8, 3);
	}
}

/* How many octets at `at` are a character or, if not *is_whole, could be the start of one
 * (RFC 3629 4); 0: none is. */
static size_t
utf8_span(const unsigned char *at, size_t len, bool *is_whole)
{
	unsigned char first = at[0], low = 0x80, high = 0xbf;
	size_t need = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 :
	    first < 0xf5 ? 4 : 0;
	size_t have = 1;

	*is_whole = false;
	if (need == 0)
		return 0;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	while (have < need && have < len && at[have] >= low && at[have] <= high) {
		have++;
		low = 0x80;
		high = 0xbf;
	}
	*is_whole = have == need;
	return have;
}

/* Returns how many octets are done with: the rest is the start of a character. */
static size_t
convert_utf8(struct fetch_charset *charset, const char *octets, size_t len, struct buf *out)
{
	const unsigned char *at = (const unsigned char *)octets, *end = at + len;

	while (at < end && charset->mode != MODE_LATIN) {
		const unsigned char *plain = at;
		size_t span;
		bool is_whole;

		while (at < end && *at < 0x80)
			at++;
		buf_append(out, plain, (size_t)(at - plain));
		if (at == end)
			break;
		span = utf8_span(at, (size_t)(end - at), &is_whole);
		if (!is_whole && span > 0 && at + span == end)
			break;
		if (is_whole) {
			charset->has_multi = true;
			buf_append(out, at, span);
		} else if (charset->mode == MODE_GUESS && !charset->has_multi) {
			charset->mode = MODE_LATIN;
			break;
		} else {
			put_broken(charset, out);
		}
		at += span > 0 ? span : 1;
	}
	if (charset->mode == MODE_LATIN) {
		for (; at < end; at++)
			put_latin(charset, *at, out);
	}
	return (size_t)(at - (const unsigned char *)octets);
}

static size_t
convert_iconv(struct fetch_charset *charset, const char *octets, size_t len, struct buf *out)
{
	char *in = (char *)(uintptr_t)octets;	/* iconv() does not write there */
	size_t left = len;

	while (left > 0) {
		size_t room = left * 2 + 64, free_room = room;
		char *first = buf_reserve(out, room), *to = first;
		size_t result = iconv(charset->iconv, &in, &left, &to, &free_room);
		int cause = errno;

		buf_commit(out, (size_t)(to - first));
		if (result != (size_t)-1 || cause == E2BIG)
			continue;
		if (cause == EINVAL && left < CHARSET_HELD)
			break;
		put_broken(charset, out);
		in++;
		left--;
	}
	return len - left;
}

static size_t
convert(struct fetch_charset *charset, const char *octets, size_t len, struct buf *out)
{
	if (charset->mode == MODE_ICONV)
		return convert_iconv(charset, octets, len, out);
	return convert_utf8(charset, octets, len, out);
}

void
fetch_charset_convert(struct fetch_charset *charset, const char *octets, size_t len,
    struct buf *out)
{
	struct buf joined = { 0 };
	size_t done;

	if (len == 0)
		return;
	if (charset->held_len > 0) {
		buf_append(&joined, charset->held, charset->held_len);
		buf_append(&joined, octets, len);
		octets = buf_octets(&joined);
		len = joined.len;
	}
	done = convert(charset, octets, len, out);
	charset->held_len = len - done;
	assert(charset->held_len <= CHARSET_HELD);
	memcpy(charset->held, octets + done, charset->held_len);
	buf_free(&joined);
}

void
fetch_charset_end(struct fetch_charset *charset, struct buf *out)
{
	if (charset->mode == MODE_ICONV) {
		size_t room = 64;
		char *first = buf_reserve(out, room), *to = first;

		/* Some hold a character back until they know what follows. */
		(void)iconv(charset->iconv, NULL, NULL, &to, &room);
		buf_commit(out, (size_t)(to - first));
	}
	/* One character in a text that is no UTF-8 beyond this place. */
	if (charset->held_len > 0 && charset->mode == MODE_GUESS && !charset->has_multi) {
		for (size_t i = 0; i < charset->held_len; i++)
			put_latin(charset, (unsigned char)charset->held[i], out);
	} else if (charset->held_len > 0) {
		put_broken(charset, out);
	}
	charset->held_len = 0;
	charset->mode = charset->first_mode;
}

bool
fetch_charset_is_broken(const struct fetch_charset *charset)
{
	return charset->is_broken;
}

void
fetch_charset_free(struct fetch_charset *charset)
{
	if (charset == NULL)
		return;
	if (charset->first_mode == MODE_ICONV)
		(void)iconv_close(charset->iconv);
	free(charset);
}
