/* dsn_original.c - how much of a message goes back to its sender, and in which form. */
#include "mail/dsn_original.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"

#define BLOCK		(16 * 1024)	/* octets read at once */
#define LINE_MAX_OCTETS	998		/* without the CRLF, RFC 5322 2.1.1 */
#define BOUNDARY_MAX	70		/* octets, RFC 2046 5.1.1 */

/* --- the header section --- */

static size_t
header_size(const char *octets, size_t len)
{
	size_t end = 0;

	while (end < len) {
		const char *at = octets + end, *newline = memchr(at, '\n', len - end);
		size_t line = newline == NULL ? 0 : (size_t)(newline + 1 - at);

		if (line == 0 || at[0] == '\r' || at[0] == '\n')
			break;
		end += line;
	}
	return end;
}

void
dsn_original_header(const struct dsn_original *original, struct buf *out)
{
	char *at;
	size_t len = 0;
	struct error err;

	if (original->read == NULL)
		return;
	at = mem_alloc(DSN_HEADER_MAX);
	if (!original->read(original->source, 0, at, DSN_HEADER_MAX, &len, &err))
		len = 0;
	len = header_size(at, len);
	for (size_t i = 0; i < len; i++)
		if (at[i] == '\0' || (at[i] == '\r' && (i + 1 == len || at[i + 1] != '\n')) ||
		    (at[i] == '\n' && (i == 0 || at[i - 1] != '\r')))
			at[i] = '?';
	buf_append(out, at, len);
	free(at);
}

/* --- all of it --- */

struct scanning {
	struct dsn_scan *found;
	const char *boundary;
	char tail[BOUNDARY_MAX];	/* of what came before: a boundary may be cut */
	size_t tail_len;
	size_t line;			/* octets of this line so far */
	bool in_body, after_cr;
};

static void
look_for_boundary(struct scanning *scanning, const char *octets, size_t len)
{
	size_t need = strlen(scanning->boundary), some = len < need ? len : need, keep;
	char seam[2 * BOUNDARY_MAX];

	memcpy(seam, scanning->tail, scanning->tail_len);
	memcpy(seam + scanning->tail_len, octets, some);
	if (memmem(seam, scanning->tail_len + some, scanning->boundary, need) != NULL ||
	    memmem(octets, len, scanning->boundary, need) != NULL)
		scanning->found->has_boundary = true;
	if (len > some) {
		memcpy(scanning->tail, octets + len - need, need);
		scanning->tail_len = need;
		return;
	}
	keep = scanning->tail_len + some < need ? scanning->tail_len + some : need;
	memmove(scanning->tail, seam + scanning->tail_len + some - keep, keep);
	scanning->tail_len = keep;
}

static void
scan_octet(struct scanning *scanning, unsigned char octet)
{
	struct dsn_scan *found = scanning->found;

	if (octet > 0x7f && scanning->in_body)
		found->body_8bit = true;
	else if (octet > 0x7f)
		found->header_8bit = true;
	if (octet == '\0' || scanning->after_cr != (octet == '\n'))
		found->is_canonical = false;
	scanning->after_cr = octet == '\r';
	if (octet == '\n') {
		if (scanning->line == 0)
			scanning->in_body = true;
		scanning->line = 0;
	} else if (octet != '\r' && ++scanning->line > LINE_MAX_OCTETS)
		found->is_canonical = false;
}

bool
dsn_original_scan(const struct dsn_original *original, const char *boundary,
    struct dsn_scan *out, struct error *err)
{
	struct scanning scanning = { .found = out, .boundary = boundary };
	char *block = mem_alloc(BLOCK);
	uint64_t offset = 0;
	size_t got = 0;
	bool ok;

	*out = (struct dsn_scan){ .is_canonical = true };
	do {
		ok = original->read(original->source, offset, block, BLOCK, &got, err);
		for (size_t i = 0; ok && i < got; i++)
			scan_octet(&scanning, (unsigned char)block[i]);
		if (ok)
			look_for_boundary(&scanning, block, got);
		offset += got;
	} while (ok && got > 0);
	free(block);
	if (scanning.after_cr)
		out->is_canonical = false;
	return ok;
}

bool
dsn_original_copy(const struct dsn_original *original, dsn_write_octets *write, void *sink,
    struct error *err)
{
	char *block = mem_alloc(BLOCK);
	uint64_t offset = 0;
	size_t got = 0;
	bool ok;

	do {
		ok = original->read(original->source, offset, block, BLOCK, &got, err) &&
		    (got == 0 || write(sink, block, got, err));
		offset += got;
	} while (ok && got > 0);
	free(block);
	return ok;
}
