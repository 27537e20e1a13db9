/* rewrite_field.h - one header field with addresses: local names become names of the world. */
#ifndef HERALD_MAIL_REWRITE_FIELD_H
#define HERALD_MAIL_REWRITE_FIELD_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct identity;

enum rewrite_kind {
	REWRITE_NOTHING,
	REWRITE_FROM,		/* qualified, or identity.from with the old one kept */
	REWRITE_FROM_AGAIN,	/* behind the first one: the same, or only X-Original-From */
	REWRITE_SENDER,		/* qualified, or identity.from */
	REWRITE_ORIGIN,		/* qualified: whom an answer goes to */
	REWRITE_RECIPIENT,	/* aliased, or qualified */
};

/* By the field's name, any case; never REWRITE_FROM_AGAIN. */
enum rewrite_kind rewrite_kind(const char *name, size_t len);
/* Whether a field of that kind cannot pass as it came, whatever it holds. */
bool rewrite_is_must(const struct identity *identity, enum rewrite_kind kind);

/* A whole field with its name and the CRLF of its last line.  Appends what it becomes, and an
 * X-Original-From where that is due; false: it stays as it is, nothing appended.  What is no
 * address to be changed keeps its octets; identity.from stands alone in its field, but for a
 * name.  room: octets that aliases may add; where they do
 * not fit, the name is only qualified. */
bool rewrite_field(const struct identity *identity, enum rewrite_kind kind, const char *field,
    size_t len, size_t room, struct buf *out);

#endif
