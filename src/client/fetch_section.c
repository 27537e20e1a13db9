/* fetch_section.c - the header section of a message or a part: the fields that count, in bounds. */
#include "client/fetch_section.h"

#include <string.h>
#include <strings.h>

static const char *const names[FETCH_FIELDS] = {
	[FETCH_FIELD_FROM] = "From",
	[FETCH_FIELD_TO] = "To",
	[FETCH_FIELD_CC] = "Cc",
	[FETCH_FIELD_SUBJECT] = "Subject",
	[FETCH_FIELD_DATE] = "Date",
	[FETCH_FIELD_MESSAGE_ID] = "Message-ID",
	[FETCH_FIELD_TYPE] = "Content-Type",
	[FETCH_FIELD_ENCODING] = "Content-Transfer-Encoding",
	[FETCH_FIELD_DISPOSITION] = "Content-Disposition",
	[FETCH_FIELD_ID] = "Content-ID",
};

/* The length of the name in "Name: value" and, before RFC 2822, "Name : value"; 0: no field. */
static size_t
name_length(const char *line, size_t len, size_t *body)
{
	size_t end = 0;

	while (end < len && line[end] > ' ' && line[end] < 0x7f && line[end] != ':')
		end++;
	*body = end;
	while (*body < len && (line[*body] == ' ' || line[*body] == '\t'))
		++*body;
	if (*body == len || line[*body] != ':')
		return 0;
	++*body;
	return end;
}

static enum fetch_field
find(const char *name, size_t len)
{
	for (unsigned i = 0; i < FETCH_FIELDS; i++) {
		if (strlen(names[i]) == len && strncasecmp(name, names[i], len) == 0)
			return (enum fetch_field)i;
	}
	return FETCH_FIELDS;
}

bool
fetch_section_line(struct fetch_section *section, const char *line, size_t len)
{
	bool is_first = !section->has_lines;
	size_t body, name;

	section->has_lines = true;
	if (line[0] == ' ' || line[0] == '\t') {
		fetch_section_more(section, line, len);
		return true;
	}
	/* What stands before a message in a mailbox file. */
	if (is_first && ((len >= 5 && memcmp(line, "From ", 5) == 0) ||
	    (len >= 6 && memcmp(line, ">From ", 6) == 0))) {
		section->open = FETCH_FIELDS;
		return true;
	}
	name = name_length(line, len, &body);
	if (name == 0)
		return false;
	section->open = section->is_cut ? FETCH_FIELDS : find(line, name);
	if (section->open != FETCH_FIELDS && section->is_there[section->open])
		section->open = FETCH_FIELDS;
	if (section->open != FETCH_FIELDS)
		section->is_there[section->open] = true;
	if (!section->is_cut)
		section->taken += body;
	fetch_section_more(section, line + body, len - body);
	return true;
}

void
fetch_section_more(struct fetch_section *section, const char *octets, size_t len)
{
	struct buf *body;
	size_t room;

	if (section->taken > section->limit || len > section->limit - section->taken) {
		section->is_cut = true;
		section->open = FETCH_FIELDS;
		return;
	}
	section->taken += len;
	if (section->open == FETCH_FIELDS)
		return;
	body = &section->bodies[section->open];
	room = section->field_limit > body->len ? section->field_limit - body->len : 0;
	if (len > room)
		section->has_cut_field = true;
	buf_append(body, octets, len < room ? len : room);
}

const struct buf *
fetch_section_get(const struct fetch_section *section, enum fetch_field field)
{
	return section->is_there[field] ? &section->bodies[field] : NULL;
}

void
fetch_section_clear(struct fetch_section *section)
{
	size_t limit = section->limit, field_limit = section->field_limit;

	for (unsigned i = 0; i < FETCH_FIELDS; i++)
		buf_free(&section->bodies[i]);
	*section = (struct fetch_section){ .limit = limit, .field_limit = field_limit,
		.open = FETCH_FIELDS };
}
