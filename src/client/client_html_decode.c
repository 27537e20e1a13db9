/* client_html_decode.c - the characters of HTML's text, which comes in pieces. */
#include "client/client_html_decode.h"

#include "base/text.h"

#define REPLACEMENT	0xfffdu

static void
put(struct client_html_decoder *decoder, uint32_t character)
{
	decoder->steps++;
	decoder->on_character(decoder->owner, character);
}

/* Numbers and the names of Latin-1, with `<`, `>`, `&` and `"`, need no ";" (the HTML standard,
 * 13.2.5.72 and 13.5). */
static bool
needs_no_end(const struct client_html_decoder *decoder, uint32_t character)
{
	return decoder->entity_len < CLIENT_HTML_ENTITY_MAX &&
	    (decoder->entity[0] == '#' || (character < 0x100 && character != '\''));
}

static void
end_entity(struct client_html_decoder *decoder, bool is_closed)
{
	const uint32_t character = client_html_entity(decoder->entity, decoder->entity_len);

	decoder->in_entity = false;
	if (character != 0 && (is_closed || needs_no_end(decoder, character))) {
		put(decoder, character);
		return;
	}
	put(decoder, '&');
	for (size_t i = 0; i < decoder->entity_len; i++)
		put(decoder, (unsigned char)decoder->entity[i]);
	if (is_closed)
		put(decoder, ';');
}

static bool
goes_on(const struct client_html_decoder *decoder, uint32_t character)
{
	return decoder->entity_len < CLIENT_HTML_ENTITY_MAX &&
	    ((character >= '0' && character <= '9') || (character >= 'A' && character <= 'Z') ||
	    (character >= 'a' && character <= 'z') ||
	    (character == '#' && decoder->entity_len == 0));
}

static void
take_character(struct client_html_decoder *decoder, uint32_t character)
{
	decoder->steps++;
	if (decoder->in_entity) {
		if (goes_on(decoder, character)) {
			decoder->entity[decoder->entity_len++] = (char)character;
			return;
		}
		end_entity(decoder, character == ';');
		if (character == ';')
			return;
	}
	decoder->in_entity = character == '&';
	decoder->entity_len = 0;
	if (!decoder->in_entity)
		put(decoder, character);
}

/* A character that was begun and is not ended is none. */
static void
drop_begun(struct client_html_decoder *decoder)
{
	if (decoder->have > 0)
		take_character(decoder, REPLACEMENT);
	decoder->have = 0;
}

static void
take_whole(struct client_html_decoder *decoder)
{
	uint32_t character = decoder->octets[0] & (0xffu >> (decoder->need + 1));

	for (size_t i = 1; i < decoder->need; i++)
		character = character << 6 | (decoder->octets[i] & 0x3fu);
	if (!text_utf8_valid((const char *)decoder->octets, decoder->need))
		character = REPLACEMENT;
	decoder->have = 0;
	take_character(decoder, character);
}

static void
take_octet(struct client_html_decoder *decoder, unsigned char octet)
{
	decoder->steps++;
	if ((octet & 0xc0) != 0x80)
		drop_begun(decoder);
	if (octet < 0x80) {
		take_character(decoder, octet);
		return;
	}
	if (decoder->have == 0) {
		if (octet < 0xc2 || octet > 0xf4) {
			take_character(decoder, REPLACEMENT);
			return;
		}
		decoder->need = octet >= 0xf0 ? 4 : octet >= 0xe0 ? 3 : 2;
	}
	decoder->octets[decoder->have++] = octet;
	if (decoder->have == decoder->need)
		take_whole(decoder);
}

void
client_html_decode(struct client_html_decoder *decoder, const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		take_octet(decoder, (unsigned char)octets[i]);
}

void
client_html_decode_end(struct client_html_decoder *decoder)
{
	drop_begun(decoder);
	if (decoder->in_entity)
		end_entity(decoder, false);
}
