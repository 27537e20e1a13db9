/* fetch_name.c - a file name that does no harm, from what a stranger calls a file. */
#include "client/fetch_name.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"

#define EXTENSION_MAX 16	/* octets behind the dot; more is no extension */

static const struct {
	const char *type, *extension;
} extensions[] = {
	{ "application/gzip", "gz" },
	{ "application/javascript", "js" },
	{ "application/json", "json" },
	{ "application/msword", "doc" },
	{ "application/pdf", "pdf" },
	{ "application/pgp-keys", "asc" },
	{ "application/pgp-signature", "asc" },
	{ "application/pkcs7-mime", "p7m" },
	{ "application/pkcs7-signature", "p7s" },
	{ "application/rtf", "rtf" },
	{ "application/vnd.ms-excel", "xls" },
	{ "application/vnd.ms-powerpoint", "ppt" },
	{ "application/vnd.oasis.opendocument.presentation", "odp" },
	{ "application/vnd.oasis.opendocument.spreadsheet", "ods" },
	{ "application/vnd.oasis.opendocument.text", "odt" },
	{ "application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx" },
	{ "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx" },
	{ "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx" },
	{ "application/x-7z-compressed", "7z" },
	{ "application/x-gzip", "gz" },
	{ "application/x-pkcs7-mime", "p7m" },
	{ "application/x-pkcs7-signature", "p7s" },
	{ "application/x-rar-compressed", "rar" },
	{ "application/x-tar", "tar" },
	{ "application/x-zip-compressed", "zip" },
	{ "application/xml", "xml" },
	{ "application/zip", "zip" },
	{ "audio/aac", "aac" },
	{ "audio/flac", "flac" },
	{ "audio/mp4", "m4a" },
	{ "audio/mpeg", "mp3" },
	{ "audio/ogg", "ogg" },
	{ "audio/wav", "wav" },
	{ "audio/x-wav", "wav" },
	{ "image/avif", "avif" },
	{ "image/bmp", "bmp" },
	{ "image/gif", "gif" },
	{ "image/heic", "heic" },
	{ "image/jpeg", "jpg" },
	{ "image/jpg", "jpg" },
	{ "image/pjpeg", "jpg" },
	{ "image/png", "png" },
	{ "image/svg+xml", "svg" },
	{ "image/tiff", "tif" },
	{ "image/vnd.microsoft.icon", "ico" },
	{ "image/webp", "webp" },
	{ "image/x-icon", "ico" },
	{ "image/x-png", "png" },
	{ "message/delivery-status", "txt" },
	{ "message/disposition-notification", "txt" },
	{ "message/global", "eml" },
	{ "message/rfc822", "eml" },
	{ "text/calendar", "ics" },
	{ "text/css", "css" },
	{ "text/csv", "csv" },
	{ "text/directory", "vcf" },
	{ "text/enriched", "txt" },
	{ "text/html", "html" },
	{ "text/markdown", "md" },
	{ "text/plain", "txt" },
	{ "text/rfc822-headers", "txt" },
	{ "text/richtext", "rtx" },
	{ "text/rtf", "rtf" },
	{ "text/vcard", "vcf" },
	{ "text/x-vcard", "vcf" },
	{ "text/xml", "xml" },
	{ "video/mp4", "mp4" },
	{ "video/mpeg", "mpg" },
	{ "video/quicktime", "mov" },
	{ "video/webm", "webm" },
	{ "video/x-msvideo", "avi" },
};

/* What is not seen, or makes a name look like another one: controls, soft hyphen, joiners, what
 * turns the direction of writing, line separators, fillers, tags, what is no character. */
static const struct {
	uint32_t first, last;
} unwanted[] = {
	{ 0x00, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x34f, 0x34f }, { 0x61c, 0x61c },
	{ 0x115f, 0x1160 }, { 0x17b4, 0x17b5 }, { 0x180b, 0x180f }, { 0x200b, 0x200f },
	{ 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0x3164, 0x3164 }, { 0xfdd0, 0xfdef },
	{ 0xfeff, 0xfeff }, { 0xffa0, 0xffa0 }, { 0xfff0, 0xfffb }, { 0xfffe, 0xffff },
	{ 0x1bca0, 0x1bca3 }, { 0xe0000, 0xe0fff },
};

static const uint32_t blanks[] = { ' ', 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004,
	0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x202f, 0x205f, 0x2800, 0x3000 };

static const char *
find_extension(const char *type)
{
	for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
		if (text_equal(type, extensions[i].type))
			return extensions[i].extension;
	}
	return "bin";
}

/* The character at `at` and its octets; one octet that is none: U+FFFD. */
static uint32_t
read_character(const char *at, size_t len, size_t *span)
{
	const unsigned char *octets = (const unsigned char *)at;
	uint32_t code;

	for (*span = 1; *span <= 4 && *span <= len; ++*span) {
		if (text_utf8_valid(at, *span))
			break;
	}
	if (*span > 4 || *span > len) {
		*span = 1;
		return 0xfffd;
	}
	if (*span == 1)
		return octets[0];
	code = octets[0] & (0x7fu >> *span);
	for (size_t i = 1; i < *span; i++)
		code = code << 6 | (octets[i] & 0x3f);
	return code;
}

static bool
is_unwanted(uint32_t code)
{
	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++) {
		if (code >= unwanted[i].first && code <= unwanted[i].last)
			return true;
	}
	return (code & 0xfffe) == 0xfffe;
}

static bool
is_blank(uint32_t code)
{
	for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++) {
		if (code == blanks[i])
			return true;
	}
	return false;
}

/* How many octets are left without dots and blanks at the end. */
static size_t
trimmed_length(const char *name, size_t len)
{
	size_t end = 0, span;

	for (size_t at = 0; at < len; at += span) {
		uint32_t code = read_character(name + at, len - at, &span);

		if (code != '.' && !is_blank(code))
			end = at + span;
	}
	return end;
}

/* The last component, of wanted characters; empty: nothing is left. */
static void
clean(const char *name, struct buf *out)
{
	const char *end = name + strlen(name), *slash;
	size_t span;

	for (slash = end; slash > name && slash[-1] != '/' && slash[-1] != '\\'; slash--)
		;
	for (const char *at = slash; at < end; at += span) {
		uint32_t code = read_character(at, (size_t)(end - at), &span);

		if (is_unwanted(code))
			continue;
		if (out->len == 0 && (code == '.' || code == '-' || is_blank(code)))
			continue;
		if (code == 0xfffd)
			buf_append(out, "\xef\xbf\xbd", 3);
		else
			buf_append(out, at, span);
	}
	out->len = trimmed_length(buf_octets(out), out->len);
}

/* Where the extension begins, at its dot; `len`: there is none. */
static size_t
extension_at(const char *name, size_t len)
{
	for (size_t at = len; at > 1 && len - at <= EXTENSION_MAX; at--) {
		if (name[at - 1] == '.')
			return at == len ? len : at - 1;
		if (name[at - 1] == ' ')
			break;
	}
	return len;
}

/* `stem` with `tail` behind it, in bounds: the stem is cut. */
static void
put(const char *stem, size_t stem_len, const char *middle, const char *tail,
    char out[FETCH_NAME_MAX + 1])
{
	size_t room = FETCH_NAME_MAX - strlen(middle) - strlen(tail);

	if (stem_len > room) {
		stem_len = text_utf8_cut(stem, stem_len, room);
		stem_len = trimmed_length(stem, stem_len);
	}
	(void)snprintf(out, FETCH_NAME_MAX + 1, "%.*s%s%s", (int)stem_len, stem, middle, tail);
}

void
fetch_name_safe(const char *name, const char *type, unsigned number,
    char out[FETCH_NAME_MAX + 1])
{
	const char *extension = find_extension(type);
	struct buf cleaned = { 0 };
	const char *octets;
	size_t at;

	if (name != NULL)
		clean(name, &cleaned);
	octets = buf_text(&cleaned);
	at = extension_at(octets, cleaned.len);
	if (cleaned.len == 0)
		(void)snprintf(out, FETCH_NAME_MAX + 1, "part-%03u.%s", number, extension);
	else if (strcmp(extension, "eml") == 0 && !text_equal(octets + at, ".eml"))
		put(octets, cleaned.len, "", ".eml", out);
	else
		put(octets, at, "", octets + at, out);
	buf_free(&cleaned);
}

void
fetch_name_next(const char *name, unsigned n, char out[FETCH_NAME_MAX + 1])
{
	size_t len = strlen(name), at = extension_at(name, len);
	char middle[16];

	(void)snprintf(middle, sizeof(middle), " (%u)", n);
	put(name, at, middle, name + at, out);
}
