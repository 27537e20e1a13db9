/* sendmail_encode.c - a body that SMTP cannot carry as it is, made quoted-printable. */
#include "cmd/sendmail_encode.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/sendmail.h"
#include "cmd/sendmail_header.h"
#include "cmd/sendmail_message.h"
#include "queue/content.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define BLOCK		(64 * 1024)	/* octets read and written at a time */
#define ENCODED_MAX	75		/* octets of a line before its "=", RFC 2045 6.7 (5) */

/* --- the body --- */

struct encoder {
	struct buf out;
	size_t column;
	char held;		/* a CR or a blank, until what comes behind it is known; 0: none */
};

static void
put(struct encoder *encoder, const char *octets, size_t len)
{
	if (encoder->column + len > ENCODED_MAX) {
		buf_append_text(&encoder->out, "=\r\n");
		encoder->column = 0;
	}
	buf_append(&encoder->out, octets, len);
	encoder->column += len;
}

static void
put_escaped(struct encoder *encoder, char octet)
{
	static const char digits[] = "0123456789ABCDEF";
	const unsigned value = (unsigned char)octet;
	const char text[3] = { '=', digits[value >> 4], digits[value & 15] };

	put(encoder, text, 3);
}

/* What stood before this octet is text: a blank before a line end would not survive. */
static void
release(struct encoder *encoder, char next)
{
	if (encoder->held == '\r' || (encoder->held != '\0' && next == '\r'))
		put_escaped(encoder, encoder->held);
	else if (encoder->held != '\0')
		put(encoder, &encoder->held, 1);
	encoder->held = '\0';
}

static void
encode(struct encoder *encoder, const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		const char octet = octets[i];

		if (octet == '\n' && encoder->held == '\r') {
			encoder->held = '\0';
			buf_append(&encoder->out, "\r\n", 2);
			encoder->column = 0;
			continue;
		}
		release(encoder, octet);
		if (octet == '\r' || octet == ' ' || octet == '\t')
			encoder->held = octet;
		else if (octet > 0x20 && octet < 0x7f && octet != '=')
			put(encoder, &octet, 1);
		else
			put_escaped(encoder, octet);
	}
}

/* --- reading what there is --- */

static bool
read_at(const struct content *content, uint64_t offset, char *block, size_t len, size_t *got,
    struct error *err)
{
	return content_read(content, offset, block, len, got, err);
}

/* A character cut by the end of a block comes again with the next. */
static bool
is_utf8(const struct content *content, uint64_t offset)
{
	char *block = mem_alloc(BLOCK);
	size_t got = 0, whole = 0;
	bool valid = true;
	struct error err;

	while (valid && read_at(content, offset, block, BLOCK, &got, &err) && got > 0) {
		whole = got < BLOCK ? got : text_utf8_cut(block, got, got - 4);
		valid = whole > 0 && text_utf8_valid(block, whole);
		offset += whole;
	}
	free(block);
	return valid;
}

/* The header but for its empty line and for the encoding it names. */
static void
append_header(struct buf *out, const char *header, size_t len)
{
	static const char name[] = "Content-Transfer-Encoding";
	bool dropped = false;

	while (len > 2) {
		const char *lf = memchr(header, '\n', len);
		const size_t line = lf != NULL ? (size_t)(lf - header) + 1 : len;

		if (header[0] != ' ' && header[0] != '\t')
			dropped = sendmail_field_is(header, line, name);
		if (!dropped)
			buf_append(out, header, line);
		header += line;
		len -= line;
	}
}

static bool
make_header(struct buf *out, const struct content *content, const struct sendmail_facts *facts,
    struct error *err)
{
	const size_t size = (size_t)facts->header_size;
	char *header = mem_alloc(size + 1);
	size_t used = 0, got = 1;

	while (used < size && got > 0) {
		if (!read_at(content, used, header + used, size - used, &got, err)) {
			free(header);
			return false;
		}
		used += got;
	}
	append_header(out, header, used);
	free(header);
	if (!facts->has_version)
		buf_append_text(out, "MIME-Version: 1.0\r\n");
	if (!facts->has_type)
		buf_appendf(out, "Content-Type: text/plain; charset=%s\r\n", !facts->eight_bit ?
		    "us-ascii" : is_utf8(content, facts->header_size) ? "utf-8" : "unknown-8bit");
	buf_append_text(out, "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
	return true;
}

static bool
write_encoded(struct content *out, const struct content *content, uint64_t offset,
    struct error *err)
{
	struct encoder encoder = { .column = 0 };
	char *block = mem_alloc(BLOCK);
	size_t got = 0;
	bool ok;

	for (;;) {
		ok = read_at(content, offset, block, BLOCK, &got, err);
		if (!ok || got == 0)
			break;
		encode(&encoder, block, got);
		offset += got;
		ok = content_append(out, buf_octets(&encoder.out), encoder.out.len, err);
		if (!ok)
			break;
		buf_clear(&encoder.out);
	}
	free(block);
	buf_free(&encoder.out);
	return ok;
}

static struct content *
quoted_printable(const struct content *content, const struct sendmail_facts *facts,
    const char *directory, struct error *err)
{
	struct content *encoded = content_new(directory);
	struct buf header = { 0 };
	bool ok;

	ok = make_header(&header, content, facts, err) &&
	    content_append(encoded, buf_octets(&header), header.len, err) &&
	    write_encoded(encoded, content, facts->header_size, err);
	buf_free(&header);
	if (!ok) {
		content_unref(encoded);
		return NULL;
	}
	return encoded;
}

struct content *
sendmail_encode(struct sendmail_message *message, const char *directory, int *exit_code,
    struct error *err)
{
	const struct sendmail_facts *facts = sendmail_message_facts(message);
	struct content *content = sendmail_message_content(message);

	if (facts->longest <= SENDMAIL_LINE_MAX && !facts->bare_cr && !facts->nul)
		return content_ref(content);
	*exit_code = EX_TEMPFAIL;	/* there was no room to write to */
	if (!facts->is_composite && facts->encoding != SENDMAIL_ENCODING_OTHER)
		return quoted_printable(content, facts, directory, err);
	if (facts->nul) {
		*exit_code = EX_DATAERR;
		error_set(err, ERROR_CONFIG, "there is a NUL in a message with parts or an "
		    "encoding of its own, which cannot be sent");
		return NULL;
	}
	if (facts->bare_cr)
		sendmail_warn("a message with parts or an encoding of its own has a CR that is no "
		    "line end: it becomes one");
	if (facts->longest > SENDMAIL_LINE_MAX)
		sendmail_warn("a message with parts or an encoding of its own has a line of "
		    "%" PRIu64 " octets: it is sent as it is, and a relay may refuse it",
		    facts->longest);
	return content_ref(content);
}
