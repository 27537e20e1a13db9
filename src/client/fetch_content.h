/* fetch_content.h - the content of one part: transfer encoding, charset, line ends, in pieces. */
#ifndef HERALD_CLIENT_FETCH_CONTENT_H
#define HERALD_CLIENT_FETCH_CONTENT_H

#include "base/buf.h"
#include "client/fetch_decode.h"

#include <stdbool.h>
#include <stddef.h>

struct fetch_charset;

enum fetch_content_kind {
	FETCH_CONTENT_OCTETS,		/* as they are */
	FETCH_CONTENT_TEXT,
	FETCH_CONTENT_HTML,		/* which may say itself what charset it has */
};

typedef void (*fetch_content_done)(void *owner, const char *octets, size_t len);

struct fetch_content {
	struct fetch_decoder decoder;
	struct fetch_charset *charset;	/* NULL: the octets as they are */
	struct buf decoded;		/* for the next piece */
	bool is_first, after_cr;
	bool may_say;			/* its charset */
	bool has_ink;			/* something but blanks was in it */
	fetch_content_done done;
	void *owner;
};

/* Text becomes UTF-8 with LF lines, no byte order mark, no character cut between two pieces.
 * `charset` may be NULL: it is not said. */
void fetch_content_start(struct fetch_content *content, enum fetch_encoding encoding,
    enum fetch_content_kind kind, const char *charset, fetch_content_done done, void *owner);
void fetch_content_feed(struct fetch_content *content, const char *octets, size_t len);
void fetch_content_end(struct fetch_content *content);	/* gives the rest; may be asked then */
bool fetch_content_is_broken(const struct fetch_content *content);	/* of its charset */
void fetch_content_clear(struct fetch_content *content);

#endif
