/* send_part.c - the parts of a mail, as GMime's objects with header fields of our own. */
#include "client/send_part.h"

#include "base/buf.h"
#include "client/send_header.h"
#include "client/send_stream.h"

#include <gmime/gmime.h>
#include <stdio.h>
#include <string.h>

#define PLAIN_LINE_MAX	990	/* octets of a line that goes as it is; 998 by RFC 5322 2.1.1 */
#define QUOTED_LINE_MAX	75	/* octets before the "=", RFC 2045 6.7 (5) */

void
send_part_set_header(GMimeObject *object, const char *name, struct send_header *header)
{
	const char *value = send_header_end(header);
	GMimeHeaderList *list = g_mime_object_get_header_list(object);
	GMimeHeader *field;

	/* What is sent is the raw value alone; GMime reads it, too. */
	if (!g_mime_header_list_contains(list, name))
		g_mime_object_set_header(object, name, "-", NULL);
	field = g_mime_header_list_get_header(list, name);
	g_mime_header_set_raw_value(field, value);
	send_header_free(header);
}

/* --- text --- */

/* What there is in a text that decides how it goes. */
struct survey {
	size_t escapes;		/* octets that quoted-printable writes as three */
	bool is_plain;		/* it may go as it is */
};

static struct survey
look_at(const char *text, size_t len)
{
	struct survey survey = { .is_plain = len == 0 || text[len - 1] == '\n' };
	size_t line = 0;

	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)text[i];
		const bool is_control = (c < ' ' && c != '\n' && c != '\t') || c >= 0x7f;

		survey.escapes += is_control || c == '=';
		/* A blank before a line end gets lost, and "From " gets a ">". */
		if (is_control || line > PLAIN_LINE_MAX ||
		    (c == '\n' && i > 0 && (text[i - 1] == ' ' || text[i - 1] == '\t')) ||
		    (line == 0 && len - i >= 5 && memcmp(text + i, "From ", 5) == 0))
			survey.is_plain = false;
		line = c == '\n' ? 0 : line + 1;
	}
	return survey;
}

static void
put_quoted(struct buf *out, size_t *column, const char *octets, size_t len)
{
	if (*column + len > QUOTED_LINE_MAX) {
		buf_append_text(out, "=\n");
		*column = 0;
	}
	buf_append(out, octets, len);
	*column += len;
}

/* RFC 2045 6.7; with what mbox files and dots of SMTP would change escaped as well. */
static void
quote(struct buf *out, const char *text, size_t len)
{
	size_t column = 0;
	char escaped[4];

	for (size_t i = 0; i < len; i++) {
		const unsigned char c = (unsigned char)text[i];
		const bool ends = i + 1 == len || text[i + 1] == '\n';
		const bool begins = column == 0 || column == QUOTED_LINE_MAX;

		if (c == '\n') {
			buf_append_text(out, "\n");
			column = 0;
		} else if (c < ' ' ? c != '\t' || ends : c >= 0x7f || c == '=' ||
		    (c == ' ' && ends) ||
		    (begins && (c == '.' ||
		    (len - i >= 5 && memcmp(text + i, "From ", 5) == 0)))) {
			snprintf(escaped, sizeof(escaped), "=%02X", (unsigned)c);
			put_quoted(out, &column, escaped, 3);
		} else
			put_quoted(out, &column, text + i, 1);
	}
	/* So that the end of the part is not taken for one of the text. */
	if (len > 0 && text[len - 1] != '\n')
		buf_append_text(out, "=\n");
}

/* CRLF becomes LF; a CR alone stays. */
static void
normalise(struct buf *out, const struct buf *text, bool wants_end)
{
	const char *octets = buf_octets(text);

	for (size_t at = 0; at < text->len;) {
		const char *cr = memchr(octets + at, '\r', text->len - at);
		const size_t run = cr != NULL ? (size_t)(cr - octets) - at : text->len - at;

		buf_append(out, octets + at, run);
		at += run;
		if (at == text->len)
			break;
		if (at + 1 == text->len || octets[at + 1] != '\n')
			buf_append(out, "\r", 1);
		at++;
	}
	if (wants_end && out->len > 0 && buf_octets(out)[out->len - 1] != '\n')
		buf_append(out, "\n", 1);
}

static void
with_crlf(struct buf *out, const struct buf *text)
{
	const char *octets = buf_octets(text);

	for (size_t at = 0; at < text->len;) {
		const char *lf = memchr(octets + at, '\n', text->len - at);
		const size_t run = lf != NULL ? (size_t)(lf - octets) - at : text->len - at;

		buf_append(out, octets + at, run);
		if (lf != NULL)
			buf_append(out, "\r\n", 2);
		at += run + 1;
	}
}

/* Octets that are encoded already, but for base64, which GMime does. */
static GMimeContentEncoding
encode_text(struct buf *out, const struct buf *lines)
{
	const struct survey survey = look_at(buf_octets(lines), lines->len);

	if (survey.is_plain) {
		buf_append(out, buf_octets(lines), lines->len);
		return GMIME_CONTENT_ENCODING_7BIT;
	}
	/* Two more for each escape against one more for each three octets. */
	if (survey.escapes > lines->len / 6) {
		with_crlf(out, lines);
		return GMIME_CONTENT_ENCODING_BASE64;
	}
	quote(out, buf_octets(lines), lines->len);
	return GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE;
}

static void
set_content(GMimePart *part, GMimeStream *stream, GMimeContentEncoding of_stream,
    GMimeContentEncoding encoding)
{
	GMimeDataWrapper *wrapper = g_mime_data_wrapper_new_with_stream(stream, of_stream);

	g_object_unref(stream);
	g_mime_part_set_content(part, wrapper);
	g_object_unref(wrapper);
	g_mime_part_set_content_encoding(part, encoding);
}

GMimeObject *
send_part_of_text(const char *subtype, const struct buf *text)
{
	GMimePart *part = g_mime_part_new_with_type("text", subtype);
	struct buf lines = { 0 }, octets = { 0 }, type = { 0 };
	GMimeContentEncoding encoding;
	struct send_header header;

	normalise(&lines, text, strcmp(subtype, "plain") == 0);
	encoding = encode_text(&octets, &lines);
	buf_free(&lines);
	send_header_begin(&header, "Content-Type");
	buf_appendf(&type, "text/%s", subtype);
	send_header_word(&header, buf_octets(&type), type.len);
	send_header_parameter(&header, "charset", "utf-8");
	send_part_set_header(GMIME_OBJECT(part), "Content-Type", &header);
	set_content(part, g_mime_stream_mem_new_with_buffer(buf_octets(&octets), octets.len),
	    encoding == GMIME_CONTENT_ENCODING_BASE64 ? GMIME_CONTENT_ENCODING_DEFAULT : encoding,
	    encoding);
	buf_free(&octets);
	buf_free(&type);
	return GMIME_OBJECT(part);
}

/* --- files --- */

/* A type that was given may come with a name, which stands then. */
static bool
has_name(const char *type)
{
	GMimeContentType *parsed = g_mime_content_type_parse(NULL, type);
	const bool found = g_mime_content_type_get_parameter(parsed, "name") != NULL;

	g_object_unref(parsed);
	return found;
}

GMimeObject *
send_part_of_file(const struct send_file *file, const char *type, const char *name,
    const char *cid, struct send_fault *fault)
{
	GMimePart *part = g_mime_part_new_with_type("application", "octet-stream");
	GMimeObject *object = GMIME_OBJECT(part);
	struct send_header header;
	struct buf id = { 0 };

	send_header_begin(&header, "Content-Type");
	send_header_plain(&header, type);
	if (!has_name(type))
		send_header_parameter(&header, "name", name);
	send_part_set_header(object, "Content-Type", &header);
	send_header_begin(&header, "Content-Disposition");
	send_header_plain(&header, cid != NULL ? "inline" : "attachment");
	send_header_parameter(&header, "filename", name);
	send_part_set_header(object, "Content-Disposition", &header);
	if (cid != NULL) {
		send_header_begin(&header, "Content-ID");
		buf_appendf(&id, "<%s>", cid);
		send_header_word(&header, buf_octets(&id), id.len);
		send_part_set_header(object, "Content-ID", &header);
		buf_free(&id);
	}
	set_content(part, send_stream_of_file(file, fault), GMIME_CONTENT_ENCODING_DEFAULT,
	    GMIME_CONTENT_ENCODING_BASE64);
	return object;
}

GMimeObject *
send_part_of_parts(const char *subtype, const char *root_type, GMimeObject **parts, size_t count)
{
	GMimeMultipart *multipart = g_mime_multipart_new_with_subtype(subtype);
	struct send_header header;
	struct buf type = { 0 };

	for (size_t i = 0; i < count; i++) {
		g_mime_multipart_add(multipart, parts[i]);
		g_object_unref(parts[i]);
	}
	send_header_begin(&header, "Content-Type");
	buf_appendf(&type, "multipart/%s", subtype);
	send_header_word(&header, buf_octets(&type), type.len);
	if (root_type != NULL)
		send_header_parameter(&header, "type", root_type);	/* RFC 2387 3.1 */
	send_header_parameter(&header, "boundary", g_mime_multipart_get_boundary(multipart));
	send_part_set_header(GMIME_OBJECT(multipart), "Content-Type", &header);
	buf_free(&type);
	return GMIME_OBJECT(multipart);
}
