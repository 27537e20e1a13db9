/* fetch_decode.c - content out of its Content-Transfer-Encoding (RFC 2045 6), octet by octet. */
#include "client/fetch_decode.h"

#include <string.h>

int
fetch_decode_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	return -1;
}

static int
base64_value(char octet)
{
	if (octet >= 'A' && octet <= 'Z')
		return octet - 'A';
	if (octet >= 'a' && octet <= 'z')
		return octet - 'a' + 26;
	if (octet >= '0' && octet <= '9')
		return octet - '0' + 52;
	return octet == '+' ? 62 : octet == '/' ? 63 : -1;
}

/* The group of `count` characters ends: 2 are one octet, 3 two, 4 three. */
static char *
put_group(struct fetch_decoder *decoder, char *to)
{
	uint32_t bits = decoder->bits << 6 * (4 - decoder->count);

	if (decoder->count == 1)
		decoder->is_broken = true;
	for (unsigned i = 1; i < decoder->count; i++, bits <<= 8)
		*to++ = (char)(bits >> 16 & 0xff);
	decoder->bits = 0;
	decoder->count = 0;
	return to;
}

static void
decode_base64(struct fetch_decoder *decoder, const char *octets, size_t len, struct buf *out)
{
	char *first = buf_reserve(out, len + 3), *to = first;

	for (size_t i = 0; i < len; i++) {
		int value = base64_value(octets[i]);

		if (value >= 0) {
			decoder->bits = decoder->bits << 6 | (uint32_t)value;
			if (++decoder->count == 4)
				to = put_group(decoder, to);
		} else if (octets[i] == '=') {
			/* The second "=" of a padding finds nothing to end. */
			to = put_group(decoder, to);
		} else if (strchr(" \t\r\n", octets[i]) == NULL || octets[i] == '\0') {
			decoder->is_broken = true;
		}
	}
	buf_commit(out, (size_t)(to - first));
}

static void
put_held(struct fetch_decoder *decoder, struct buf *out)
{
	decoder->is_broken = true;
	buf_append(out, decoder->held, decoder->held_len);
	decoder->held_len = 0;
}

/* What stands behind a "=": false when `octet` is no more of it. */
static bool
take_behind(struct fetch_decoder *decoder, char octet, struct buf *out)
{
	char last = decoder->held[decoder->held_len - 1];
	bool is_blank = last == ' ' || last == '\t';

	if (last == '\r') {
		decoder->held_len = 0;
		return octet == '\n';
	}
	if (decoder->held_len == 2 && !is_blank && fetch_decode_digit(octet) >= 0) {
		char value = (char)(fetch_decode_digit(last) << 4 | fetch_decode_digit(octet));

		buf_append(out, &value, 1);
		decoder->held_len = 0;
		return true;
	}
	if (decoder->held_len == 1 || is_blank) {
		/* Blanks before the line end were added on the way (RFC 2045 6.7, rule 3). */
		if (octet == '\n') {
			decoder->held_len = 0;
			return true;
		}
		if (octet == '\r' || ((octet == ' ' || octet == '\t') &&
		    decoder->held_len + 1 < sizeof(decoder->held)) ||
		    (decoder->held_len == 1 && fetch_decode_digit(octet) >= 0)) {
			decoder->held[decoder->held_len++] = octet;
			return true;
		}
	}
	put_held(decoder, out);
	return false;
}

static void
decode_quoted(struct fetch_decoder *decoder, const char *octets, size_t len, struct buf *out)
{
	const char *at = octets, *end = octets + len;

	while (at < end) {
		const char *escape;

		if (decoder->held_len > 0) {
			if (take_behind(decoder, *at, out))
				at++;
			continue;
		}
		escape = memchr(at, '=', (size_t)(end - at));
		buf_append(out, at, (size_t)((escape != NULL ? escape : end) - at));
		at = end;
		if (escape != NULL) {
			decoder->held[0] = '=';
			decoder->held_len = 1;
			at = escape + 1;
		}
	}
}

void
fetch_decode(struct fetch_decoder *decoder, const char *octets, size_t len, struct buf *out)
{
	switch (decoder->encoding) {
	case FETCH_ENCODING_BASE64:
		decode_base64(decoder, octets, len, out);
		break;
	case FETCH_ENCODING_QUOTED:
		decode_quoted(decoder, octets, len, out);
		break;
	case FETCH_ENCODING_NONE:
		buf_append(out, octets, len);
		break;
	}
}

void
fetch_decode_end(struct fetch_decoder *decoder, struct buf *out)
{
	if (decoder->count > 0) {
		char *first = buf_reserve(out, 3);

		decoder->is_broken = true;
		buf_commit(out, (size_t)(put_group(decoder, first) - first));
	}
	/* "=" and the line end that belongs to the boundary: an end as good as any. */
	if (decoder->held_len == 1 ||
	    (decoder->held_len > 1 && decoder->held[decoder->held_len - 1] == '\r'))
		decoder->held_len = 0;
	if (decoder->held_len > 0)
		put_held(decoder, out);
}
