/* fetch_section.h - the header section of a message or a part: the fields that count, in bounds. */
#ifndef HERALD_CLIENT_FETCH_SECTION_H
#define HERALD_CLIENT_FETCH_SECTION_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum fetch_field {
	FETCH_FIELD_FROM,
	FETCH_FIELD_TO,
	FETCH_FIELD_CC,
	FETCH_FIELD_SUBJECT,
	FETCH_FIELD_DATE,
	FETCH_FIELD_MESSAGE_ID,
	FETCH_FIELD_TYPE,		/* Content-Type, and so on */
	FETCH_FIELD_ENCODING,
	FETCH_FIELD_DISPOSITION,
	FETCH_FIELD_ID,
	FETCH_FIELDS
};

struct fetch_section {
	size_t limit, field_limit;		/* octets, set by the owner */
	struct buf bodies[FETCH_FIELDS];	/* without line ends; of each the first */
	bool is_there[FETCH_FIELDS];
	enum fetch_field open;			/* being read; FETCH_FIELDS: none of these */
	bool has_lines;
	size_t taken;
	bool is_cut, has_cut_field;		/* a limit was reached */
};

/* A line or its start, without the line end, not empty; false: it is none of a header, and the
 * body begins with it (RFC 5322 2.2 wants an empty line there). */
bool fetch_section_line(struct fetch_section *section, const char *line, size_t len);
void fetch_section_more(struct fetch_section *section, const char *octets, size_t len);

/* The body of a field, or NULL. */
const struct buf *fetch_section_get(const struct fetch_section *section, enum fetch_field field);
void fetch_section_clear(struct fetch_section *section);	/* for the next; limits stay */

#endif
