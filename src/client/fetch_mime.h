/* fetch_mime.h - a message from a stranger, fed octet by octet, cut into its parts and decoded. */
#ifndef HERALD_CLIENT_FETCH_MIME_H
#define HERALD_CLIENT_FETCH_MIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decoded to valid UTF-8 on one line; what strangers wrote: controls may be in it.  NULL: the
 * field is missing.  Of a field that is there several times the first counts. */
struct fetch_header {
	const char *from, *to, *cc, *subject, *date;
	const char *message_id;			/* as it stands, with its "<>" */
	/* Of the first address of From and of To, without quotes; NULL where there is none. */
	const char *sender_local_part, *recipient_local_part;
};

enum fetch_disposition {
	FETCH_DISPOSITION_NONE,
	FETCH_DISPOSITION_INLINE,
	FETCH_DISPOSITION_ATTACHMENT,		/* and what no RFC names, RFC 2183 2.8 */
};

/* A leaf of the tree: all but multipart. */
struct fetch_part {
	unsigned number;		/* from 1, in the order of the message */
	const char *type;		/* "image/png": ASCII in lower case, never NULL */
	const char *name;		/* UTF-8, hostile: only for fetch_name_safe(); NULL: none */
	const char *content_id;		/* UTF-8, without "<>"; NULL: none */
	enum fetch_disposition disposition;
	/* To be printed: its content comes as UTF-8 with LF lines, no character cut between two
	 * pieces.  Any other part's octets come as they were before the transfer encoding. */
	bool is_shown;
	bool is_html;			/* text/html, shown or not */
	/* A text without a name that would be shown if another branch of its
	 * multipart/alternative had not been: "every other leaf" all the same. */
	bool is_alternative;
};

/* All is borrowed until the callback returns.  They come from within fetch_mime_feed() and
 * fetch_mime_end(); fetch_mime_free() must not be called there. */
struct fetch_mime_events {
	/* Once, before all parts; of an empty message too. */
	void (*on_header)(void *owner, const struct fetch_header *header);
	/* False: the content of this part is not wanted, and no on_part_end() comes. */
	bool (*on_part)(void *owner, const struct fetch_part *part);
	void (*on_content)(void *owner, const char *octets, size_t len);
	void (*on_part_end)(void *owner);
	/* A limit was reached or something is broken, in words for people (ASCII, no controls).
	 * Each kind comes once.  What could be read is given all the same. */
	void (*on_fault)(void *owner, const char *text);
};

/* Zero: the number that stands beside it. */
struct fetch_mime_settings {
	unsigned depth;			/* 100 multiparts in one another; deeper: a part as it is */
	unsigned parts;			/* 10,000; those behind it are left out */
	size_t header;			/* 10 MiB of a header section; the rest is left out */
	size_t field;			/* 1 MiB of one field; the rest is left out */
};

/* Any octets may be fed, in pieces of any size; the memory does not grow with the message, nor
 * the work per octet.  Lines may end in CRLF, LF or CR.  `settings` may be NULL. */
struct fetch_mime *fetch_mime_new(const struct fetch_mime_settings *settings,
    const struct fetch_mime_events *events, void *owner);
void fetch_mime_feed(struct fetch_mime *mime, const char *octets, size_t len);
void fetch_mime_end(struct fetch_mime *mime);	/* the message is whole, or all that came of it */
void fetch_mime_free(struct fetch_mime *mime);	/* NULL is fine; no callback comes */

/* Octets looked at so far, each as often as it was: what the tests hold against the length of
 * the message. */
uint64_t fetch_mime_work(const struct fetch_mime *mime);

#endif
