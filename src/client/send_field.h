/* send_field.h - the fields that --header adds to a mail. */
#ifndef HERALD_CLIENT_SEND_FIELD_H
#define HERALD_CLIENT_SEND_FIELD_H

#include "client/send_file.h"
#include "client/send_message.h"

#include <stdbool.h>
#include <stddef.h>

struct send_field {
	char *name;
	const char *value;	/* borrowed, without blanks before it */
};

/* A value; all zero is empty. */
struct send_fields {
	struct send_field *items;
	size_t count;
	bool needs_utf8;	/* an address in one of them does */
};

/* Refused are fields that are made by options or by the mail's own form, and what would break
 * the header. */
bool send_fields_read(struct send_fields *out, const struct send_list *headers,
    struct send_fault *fault) __attribute__((warn_unused_result));
void send_fields_free(struct send_fields *fields);

/* The value of a field of that name, in any case; NULL: there is none. */
const char *send_fields_value(const struct send_fields *fields, const char *name);

/* The field's value as it is sent, in a header that was begun. */
struct send_header;
void send_field_write(const struct send_field *field, struct send_header *header);

#endif
