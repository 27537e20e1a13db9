/* fetch_mime_parts.h - what the lines of a message and the tree of its parts share. */
#ifndef HERALD_CLIENT_FETCH_MIME_PARTS_H
#define HERALD_CLIENT_FETCH_MIME_PARTS_H

#include "base/buf.h"
#include "client/fetch_entity.h"
#include "client/fetch_mime.h"
#include "client/fetch_content.h"
#include "client/fetch_section.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line that may be a boundary is held: its two dashes on each side, and the blanks that were
 * added behind it on the way.  Longer than that it is none. */
#define MIME_LINE_MAX (FETCH_BOUNDARY_MAX + 4 + 1024)

enum mime_fault {
	MIME_FAULT_DEPTH,
	MIME_FAULT_PARTS,
	MIME_FAULT_HEADER,
	MIME_FAULT_FIELD,
	MIME_FAULT_NAME,
	MIME_FAULT_BOUNDARY,
	MIME_FAULT_NO_BOUNDARY,
	MIME_FAULT_NO_START,
	MIME_FAULT_NO_END,
	MIME_FAULT_BASE64,
	MIME_FAULT_QUOTED,
	MIME_FAULT_CHARSET,
	MIME_FAULT_OCTETS,
	MIME_FAULTS
};

/* A multipart that is open. */
struct mime_level {
	char *boundary;
	size_t boundary_len;
	bool is_alternative, is_digest;
	unsigned child;			/* how many have begun; 0: in what stands before them */
	unsigned shown_child;		/* of multipart/alternative: the one that was shown */
};

enum mime_state {
	MIME_HEADER,			/* of the message or a part */
	MIME_CONTENT,			/* of a part that is wanted */
	MIME_PREAMBLE,			/* before the first boundary of the innermost level */
	MIME_SKIP,			/* behind an end boundary, or not wanted */
};

struct fetch_mime {
	struct fetch_mime_settings settings;
	const struct fetch_mime_events *events;
	void *owner;

	struct mime_level *levels;	/* settings.depth of them */
	unsigned depth;
	enum mime_state state;
	bool has_header;		/* on_header() was called */
	unsigned part_count;
	struct fetch_section section;
	struct fetch_content content;
	bool is_text;			/* the part in hand is shown */
	struct buf preamble;
	unsigned faults;		/* bits of enum mime_fault */

	/* The line in hand: held as long as it may be a boundary or a field. */
	struct buf line;
	bool is_passed;			/* it is neither, and its octets go on at once */
	bool after_cr;
	/* The end of the line before: it belongs to a boundary if one follows (RFC 2046 5.1.1),
	 * else to the content. */
	char line_end[2];
	size_t line_end_len;
	uint64_t work;
};

void mime_fault(struct fetch_mime *mime, enum mime_fault fault);

/* The empty line was read, or what is no field: the part begins. */
void mime_begin_part(struct fetch_mime *mime);
/* Octets that are no boundary, in any state but MIME_HEADER. */
void mime_content(struct fetch_mime *mime, const char *octets, size_t len);
/* Looks whether a whole line is a boundary of an open level, and does what it asks. */
bool mime_boundary(struct fetch_mime *mime, const char *line, size_t len);
/* Ends the part in hand and all levels: no octets come any more. */
void mime_end_parts(struct fetch_mime *mime);

#endif
