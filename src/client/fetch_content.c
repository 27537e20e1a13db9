/* fetch_content.c - the content of one part: transfer encoding, charset, line ends, in pieces. */
#include "client/fetch_content.h"

#include <string.h>

#include "base/text.h"
#include "client/fetch_charset.h"

#define PIECE 16384		/* octets; enough that calls and writes cost nothing */
#define META_MAX 1024		/* octets, where HTML must say its charset */
#define BYTE_ORDER_MARK "\xef\xbb\xbf"

void
fetch_content_start(struct fetch_content *content, enum fetch_encoding encoding,
    enum fetch_content_kind kind, const char *charset, fetch_content_done done, void *owner)
{
	fetch_content_clear(content);
	content->decoder.encoding = encoding;
	if (kind != FETCH_CONTENT_OCTETS)
		content->charset = fetch_charset_new(charset);
	content->is_first = true;
	content->may_say = kind == FETCH_CONTENT_HTML && charset == NULL;
	content->done = done;
	content->owner = owner;
}

/* Appends with LF for CRLF and CR. */
static void
append_lines(struct fetch_content *content, const char *at, size_t len, struct buf *out)
{
	const char *end = at + len;

	while (at < end) {
		const char *cr;

		if (content->after_cr && *at == '\n')
			at++;
		content->after_cr = false;
		cr = memchr(at, '\r', (size_t)(end - at));
		buf_append(out, at, (size_t)((cr != NULL ? cr : end) - at));
		if (cr == NULL)
			return;
		buf_append(out, "\n", 1);
		content->after_cr = true;
		at = cr + 1;
	}
}

static bool
has_ink(const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (strchr(" \t\r\n", octets[i]) == NULL)
			return true;
	}
	return false;
}

/* "<meta charset=gb2312>" and its older form, at the start of HTML whose header is silent. */
static void
find_meta_charset(struct fetch_content *content)
{
	char head[META_MAX + 1];
	size_t len = content->decoded.len < META_MAX ? content->decoded.len : META_MAX;
	char *at;

	for (size_t i = 0; i < len; i++) {
		char octet = buf_octets(&content->decoded)[i];

		head[i] = octet == '\0' ? ' ' : octet;
	}
	head[len] = '\0';
	text_lower(head);
	at = strstr(head, "<meta");
	at = at != NULL ? strstr(at, "charset=") : NULL;
	if (at == NULL)
		return;
	at += strlen("charset=");
	at += strspn(at, "\"' ");
	at[strcspn(at, "\"' />;\r\n\t")] = '\0';
	/* What could be read so far is no UTF-16. */
	if (!fetch_charset_is_known(at) || text_has_prefix(at, "utf"))
		return;
	fetch_charset_free(content->charset);
	content->charset = fetch_charset_new(at);
}

static void
give(struct fetch_content *content)
{
	struct buf text = { 0 }, lines = { 0 };
	const struct buf *out = &content->decoded;

	if (content->may_say)
		find_meta_charset(content);
	content->may_say = false;
	if (content->charset != NULL) {
		const char *octets;

		fetch_charset_convert(content->charset, buf_octets(&content->decoded),
		    content->decoded.len, &text);
		octets = buf_octets(&text);
		if (content->is_first && text.len >= 3 &&
		    memcmp(octets, BYTE_ORDER_MARK, 3) == 0)
			buf_consume(&text, 3);
		append_lines(content, buf_octets(&text), text.len, &lines);
		out = &lines;
		content->has_ink = content->has_ink || has_ink(buf_octets(out), out->len);
	}
	content->is_first = false;
	if (out->len > 0)
		content->done(content->owner, buf_octets(out), out->len);
	buf_clear(&content->decoded);
	buf_free(&text);
	buf_free(&lines);
}

void
fetch_content_feed(struct fetch_content *content, const char *octets, size_t len)
{
	while (len > 0) {
		size_t piece = len < PIECE ? len : PIECE;

		fetch_decode(&content->decoder, octets, piece, &content->decoded);
		if (content->decoded.len >= PIECE)
			give(content);
		octets += piece;
		len -= piece;
	}
}

void
fetch_content_end(struct fetch_content *content)
{
	struct buf rest = { 0 };

	fetch_decode_end(&content->decoder, &content->decoded);
	give(content);
	if (content->charset != NULL)
		fetch_charset_end(content->charset, &rest);
	if (rest.len > 0)
		content->done(content->owner, buf_octets(&rest), rest.len);
	buf_free(&rest);
}

bool
fetch_content_is_broken(const struct fetch_content *content)
{
	return content->charset != NULL && fetch_charset_is_broken(content->charset);
}

void
fetch_content_clear(struct fetch_content *content)
{
	fetch_charset_free(content->charset);
	buf_free(&content->decoded);
	*content = (struct fetch_content){ 0 };
}
