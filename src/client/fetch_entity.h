/* fetch_entity.h - what a header section says of the part behind it, and of the message. */
#ifndef HERALD_CLIENT_FETCH_ENTITY_H
#define HERALD_CLIENT_FETCH_ENTITY_H

#include "base/buf.h"
#include "client/fetch_decode.h"
#include "client/fetch_mime.h"
#include "client/fetch_param.h"
#include "client/fetch_section.h"

#include <stdbool.h>
#include <stdint.h>

/* RFC 2046 5.1.1 allows 70 octets; some write far more. */
#define FETCH_BOUNDARY_MAX 2048

struct fetch_entity {
	struct buf type;		/* "text/plain", never empty */
	struct buf name, content_id, charset;	/* empty: none */
	struct buf boundary;		/* may be empty and there */
	bool has_boundary;
	bool is_boundary_long;		/* then it has none */
	struct fetch_param_notes notes;
	enum fetch_disposition disposition;
	enum fetch_encoding encoding;
};

/* `in_digest`: within multipart/digest, whose parts are messages if they do not say else. */
void fetch_entity_read(const struct fetch_section *section, bool in_digest,
    struct fetch_entity *entity);
bool fetch_entity_is(const struct fetch_entity *entity, const char *type);
bool fetch_entity_is_multipart(const struct fetch_entity *entity);
void fetch_entity_free(struct fetch_entity *entity);

/* The fields of the message for people: `done` is called with it once.  Returns how many octets
 * were looked at. */
uint64_t fetch_entity_header(const struct fetch_section *section,
    void (*done)(void *owner, const struct fetch_header *header), void *owner);

#endif
