/* client_html_entity.h - the characters that "&amp;" and "&#21335;" stand for. */
#ifndef HERALD_CLIENT_CLIENT_HTML_ENTITY_H
#define HERALD_CLIENT_CLIENT_HTML_ENTITY_H

#include <stddef.h>
#include <stdint.h>

struct buf;

#define CLIENT_HTML_ENTITY_MAX	24	/* octets between "&" and ";" that can mean something */

/* Of the octets between "&" and ";": "amp", "#21335", "#x5357".  0: they mean nothing.  A number
 * that is no character is U+FFFD; those of windows-1252 are its characters, as browsers do. */
uint32_t client_html_entity(const char *name, size_t len);

/* Appends an attribute's value with its entities resolved; those without ";" stay. */
void client_html_resolve(struct buf *out, const char *octets, size_t len);
void client_html_append_utf8(struct buf *out, uint32_t character);

#endif
