/* client_html.h - cuts HTML into tags and text, with the place of each attribute's value. */
#ifndef HERALD_CLIENT_CLIENT_HTML_H
#define HERALD_CLIENT_CLIENT_HTML_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_HTML_NAME_MAX		31	/* octets; no name that means something is longer */
#define CLIENT_HTML_ATTRIBUTES_MAX	64	/* of a tag; more are passed over */
#define CLIENT_HTML_VALUE_MAX		8192	/* octets of a value that are kept */

struct client_html_attribute {
	char name[CLIENT_HTML_NAME_MAX + 1];	/* lower case */
	uint64_t first, end;	/* the value, without quotes, in the octets since the start */
	size_t kept, len;	/* what is kept of it in the tag's values, entities as they are */
};

struct client_html_tag {
	char name[CLIENT_HTML_NAME_MAX + 1];	/* lower case */
	bool is_close;				/* "</p>" */
	uint64_t first;				/* where its "<" stands */
	struct client_html_attribute attributes[CLIENT_HTML_ATTRIBUTES_MAX];
	size_t attribute_count;
	struct buf values;
};

/* Nothing of what is given lives longer than the call. */
struct client_html_events {
	/* Entities as they are.  raw_element: the "script" or "textarea" that it stands in,
	 * where no tag begins; else NULL. */
	void (*on_text)(void *owner, const char *octets, size_t len, const char *raw_element);
	void (*on_tag)(void *owner, const struct client_html_tag *tag);
};

struct client_html;

struct client_html *client_html_new(const struct client_html_events *events, void *owner);
void client_html_free(struct client_html *html);	/* NULL is allowed */

/* Any octets, cut anywhere.  Memory is bounded; an octet takes two steps at most. */
void client_html_feed(struct client_html *html, const char *octets, size_t len);
/* What looked like the start of a tag is text; a tag or comment that never ended is dropped. */
void client_html_end(struct client_html *html);
uint64_t client_html_steps(const struct client_html *html);	/* so far: for the tests */

/* The first of that name, whose value alone counts; NULL: it is not there. */
const struct client_html_attribute *client_html_find(const struct client_html_tag *tag,
    const char *name);
/* Its value with the entities resolved.  False: it was too long to be kept, or a NUL is in it. */
bool client_html_value(const struct client_html_tag *tag,
    const struct client_html_attribute *attribute, struct buf *out)
    __attribute__((warn_unused_result));

#endif
