/* send_type.c - the media type of a file: by its first octets, then by its name. */
#include "client/send_type.h"

#include "base/text.h"

#include <string.h>
#include <strings.h>

/* What a file of the type has at the offset; the second mark, too, where there is one. */
struct mark {
	const char *type;
	size_t offset, len;
	const char *octets;
	size_t offset2, len2;
	const char *octets2;
};

#define MARK(octets)	sizeof(octets) - 1, octets

static const struct mark pictures[] = {
	{ "image/png", 0, MARK("\x89PNG\r\n\x1a\n"), 0, 0, NULL },
	{ "image/jpeg", 0, MARK("\xff\xd8\xff"), 0, 0, NULL },
	{ "image/gif", 0, MARK("GIF87a"), 0, 0, NULL },
	{ "image/gif", 0, MARK("GIF89a"), 0, 0, NULL },
	{ "image/webp", 0, MARK("RIFF"), 8, MARK("WEBPVP8") },
	{ "image/avif", 4, MARK("ftypavif"), 0, 0, NULL },
	{ "image/avif", 4, MARK("ftypavis"), 0, 0, NULL },
	{ "image/heic", 4, MARK("ftypheic"), 0, 0, NULL },
	{ "image/heic", 4, MARK("ftypheix"), 0, 0, NULL },
	{ "image/heif", 4, MARK("ftypmif1"), 0, 0, NULL },
	{ "image/tiff", 0, MARK("II*\0"), 0, 0, NULL },
	{ "image/tiff", 0, MARK("MM\0*"), 0, 0, NULL },
	{ "image/bmp", 0, MARK("BM"), 6, MARK("\0\0\0\0") },
	{ "image/x-icon", 0, MARK("\0\0\1\0"), 5, MARK("\0") },
	{ "image/jxl", 0, MARK("\0\0\0\x0cJXL \r\n\x87\n"), 0, 0, NULL },
};

static const struct mark others[] = {
	{ "application/pdf", 0, MARK("%PDF-"), 0, 0, NULL },
	{ "application/postscript", 0, MARK("%!PS-"), 0, 0, NULL },
	{ "application/vnd.rar", 0, MARK("Rar!\x1a\x07"), 0, 0, NULL },
	{ "application/x-7z-compressed", 0, MARK("7z\xbc\xaf\x27\x1c"), 0, 0, NULL },
	{ "application/x-xz", 0, MARK("\xfd" "7zXZ\0"), 0, 0, NULL },
	{ "application/x-bzip2", 0, MARK("BZh"), 4, MARK("1AY&SY") },
	{ "application/zstd", 0, MARK("\x28\xb5\x2f\xfd"), 0, 0, NULL },
	{ "application/vnd.sqlite3", 0, MARK("SQLite format 3\0"), 0, 0, NULL },
	{ "application/rtf", 0, MARK("{\\rtf"), 0, 0, NULL },
	{ "audio/mpeg", 0, MARK("ID3"), 0, 0, NULL },
	{ "audio/flac", 0, MARK("fLaC"), 0, 0, NULL },
	{ "audio/wav", 0, MARK("RIFF"), 8, MARK("WAVEfmt ") },
	{ "video/x-msvideo", 0, MARK("RIFF"), 8, MARK("AVI ") },
	{ "video/mp4", 4, MARK("ftypisom"), 0, 0, NULL },
	{ "video/mp4", 4, MARK("ftypmp4"), 0, 0, NULL },
	{ "video/quicktime", 4, MARK("ftypqt  "), 0, 0, NULL },
	{ "video/webm", 0, MARK("\x1a\x45\xdf\xa3"), 24, MARK("webm") },
	{ "font/woff2", 0, MARK("wOF2"), 0, 0, NULL },
};

/* Of these the name says more: a .docx is a ZIP. */
static const struct mark containers[] = {
	{ "application/zip", 0, MARK("PK\3\4"), 0, 0, NULL },
	{ "application/zip", 0, MARK("PK\5\6"), 0, 0, NULL },
	{ "application/gzip", 0, MARK("\x1f\x8b\x08"), 0, 0, NULL },
	{ "application/x-ole-storage", 0, MARK("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), 0, 0, NULL },
	{ "application/ogg", 0, MARK("OggS"), 0, 0, NULL },
};

static const struct { const char *ending, *type; } names[] = {
	{ "txt", "text/plain" }, { "log", "text/plain" }, { "conf", "text/plain" },
	{ "csv", "text/csv" }, { "md", "text/markdown" }, { "css", "text/css" },
	{ "html", "text/html" }, { "htm", "text/html" }, { "ics", "text/calendar" },
	{ "vcf", "text/vcard" }, { "js", "text/javascript" }, { "xml", "application/xml" },
	{ "diff", "text/x-diff" }, { "patch", "text/x-diff" },
	{ "tsv", "text/tab-separated-values" }, { "json", "application/json" },
	{ "svg", "image/svg+xml" }, { "sql", "application/sql" },
	{ "yaml", "application/yaml" }, { "yml", "application/yaml" },
	{ "docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document" },
	{ "xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" },
	{ "pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation" },
	{ "doc", "application/msword" }, { "xls", "application/vnd.ms-excel" },
	{ "ppt", "application/vnd.ms-powerpoint" }, { "msg", "application/vnd.ms-outlook" },
	{ "odt", "application/vnd.oasis.opendocument.text" },
	{ "ods", "application/vnd.oasis.opendocument.spreadsheet" },
	{ "odp", "application/vnd.oasis.opendocument.presentation" },
	{ "epub", "application/epub+zip" }, { "jar", "application/java-archive" },
	{ "apk", "application/vnd.android.package-archive" }, { "zip", "application/zip" },
	{ "gz", "application/gzip" }, { "tgz", "application/gzip" }, { "tar", "application/x-tar" },
	{ "ogg", "audio/ogg" }, { "opus", "audio/ogg" }, { "ogv", "video/ogg" },
	{ "mp3", "audio/mpeg" }, { "mp4", "video/mp4" }, { "mov", "video/quicktime" },
	{ "m4a", "audio/mp4" }, { "mkv", "video/x-matroska" }, { "pem", "application/x-pem-file" },
	{ "p7s", "application/pkcs7-signature" }, { "asc", "application/pgp-signature" },
};

static bool
has(const char *head, size_t len, size_t offset, size_t mark_len, const char *mark)
{
	return offset + mark_len <= len && memcmp(head + offset, mark, mark_len) == 0;
}

static const char *
find_mark(const struct mark *marks, size_t count, const char *head, size_t len)
{
	for (size_t i = 0; i < count; i++)
		if (has(head, len, marks[i].offset, marks[i].len, marks[i].octets) &&
		    (marks[i].len2 == 0 ||
		    has(head, len, marks[i].offset2, marks[i].len2, marks[i].octets2)))
			return marks[i].type;
	return NULL;
}

#define FIND(marks, head, len) \
	find_mark(marks, sizeof(marks) / sizeof(marks[0]), head, len)

/* --- SVG: XML whose root is <svg> --- */

static size_t
skip_past(const char *head, size_t len, size_t at, const char *end)
{
	const char *found = memmem(head + at, len - at, end, strlen(end));

	return found != NULL ? (size_t)(found - head) + strlen(end) : len;
}

static bool
is_svg(const char *head, size_t len)
{
	size_t at = has(head, len, 0, 3, "\xef\xbb\xbf") ? 3 : 0;

	for (;;) {
		while (at < len && memchr(" \t\r\n", head[at], 4) != NULL)
			at++;
		if (has(head, len, at, 2, "<?"))
			at = skip_past(head, len, at, "?>");
		else if (has(head, len, at, 4, "<!--"))
			at = skip_past(head, len, at, "-->");
		else if (has(head, len, at, 9, "<!DOCTYPE"))
			at = skip_past(head, len, at, ">");
		else
			break;
	}
	return has(head, len, at, 4, "<svg") && at + 4 < len &&
	    memchr(" \t\r\n>/", head[at + 4], 6) != NULL;
}

const char *
send_type_of_picture(const char *head, size_t len)
{
	const char *type = FIND(pictures, head, len);

	if (type != NULL)
		return type;
	return is_svg(head, len) ? "image/svg+xml" : NULL;
}

/* --- any file --- */

static const char *
by_name(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (dot == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcasecmp(dot + 1, names[i].ending) == 0)
			return names[i].type;
	return NULL;
}

/* As far as the first octets go; a character that they cut in two is none of it. */
static bool
looks_like_text(const char *head, size_t len)
{
	const size_t whole = text_utf8_cut(head, len, len > 4 ? len - 4 : len);

	for (size_t i = 0; i < len; i++)
		if ((unsigned char)head[i] < ' ' && memchr("\t\n\r\f", head[i], 4) == NULL)
			return false;
	return len > 0 && text_utf8_valid(head, whole);
}

const char *
send_type_of_file(const char *name, const char *head, size_t len, bool *is_utf8)
{
	const char *type = send_type_of_picture(head, len);

	*is_utf8 = false;
	if (type == NULL)
		type = FIND(others, head, len);
	if (type != NULL)
		return type;
	type = by_name(name);
	if (type == NULL)
		type = FIND(containers, head, len);
	if (type == NULL && looks_like_text(head, len))
		type = "text/plain";
	if (type == NULL)
		return "application/octet-stream";
	/* An HTML has its own word about its charset. */
	*is_utf8 = text_has_prefix(type, "text/") && !text_equal(type, "text/html") &&
	    looks_like_text(head, len);
	return type;
}

/* --- a type that was given: RFC 2045 5.1 --- */

static size_t
token(const char *text)
{
	size_t len = 0;

	while (text[len] > ' ' && text[len] < 0x7f &&
	    strchr("()<>@,;:\\\"/[]?=", text[len]) == NULL)
		len++;
	return len;
}

/* Its octets with the quotes; 0: it is none. */
static size_t
value(const char *text)
{
	size_t len = 1;

	if (*text != '"')
		return token(text);
	while (text[len] != '"') {
		if (text[len] < ' ' || text[len] == 0x7f || text[len] == '\\')
			return 0;
		len++;
	}
	return len + 1;
}

bool
send_type_is_valid(const char *type)
{
	const char *at = type;
	size_t len = token(at);

	if (len == 0 || at[len] != '/' || token(at + len + 1) == 0)
		return false;
	at += len + 1;
	at += token(at);
	while (at += strspn(at, " \t"), *at == ';') {
		at += 1 + strspn(at + 1, " \t");
		len = token(at);
		if (len == 0 || at[len] != '=')
			return false;
		at += len + 1;
		len = value(at);
		if (len == 0)
			return false;
		at += len;
	}
	return *at == '\0';
}

bool
send_type_is_leaf(const char *type)
{
	return strncasecmp(type, "message/", 8) != 0 && strncasecmp(type, "multipart/", 10) != 0;
}
