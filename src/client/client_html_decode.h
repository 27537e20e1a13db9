/* client_html_decode.h - the characters of HTML's text, which comes in pieces. */
#ifndef HERALD_CLIENT_CLIENT_HTML_DECODE_H
#define HERALD_CLIENT_CLIENT_HTML_DECODE_H

#include "client/client_html_entity.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value; all zero but the first two is the start. */
struct client_html_decoder {
	void (*on_character)(void *owner, uint32_t character);
	void *owner;
	/* A character, or an entity, that is not yet whole. */
	unsigned char octets[4];
	size_t have, need;
	char entity[CLIENT_HTML_ENTITY_MAX];
	size_t entity_len;
	bool in_entity;
	uint64_t steps;		/* so far: for the tests */
};

/* Octets that are not UTF-8 become U+FFFD; what is no entity comes as it stands. */
void client_html_decode(struct client_html_decoder *decoder, const char *octets, size_t len);
/* The text ends here, or a tag begins: what was not whole will not be. */
void client_html_decode_end(struct client_html_decoder *decoder);

#endif
