/* dsn_digest.h - many reports to one sender in one, where each alone would be a storm. */
#ifndef HERALD_MAIL_DSN_DIGEST_H
#define HERALD_MAIL_DSN_DIGEST_H

#include <stddef.h>
#include <stdint.h>

struct address;
struct buf;
struct dsn_needs;
struct envelope;

#define DSN_DIGEST_LISTED	1000	/* messages named one by one: about 150 KiB */

/* All borrowed. */
struct dsn_digest {
	const char *hostname, *queue_id;	/* ours, and that of the report */
	const struct address *sender;
	struct envelope *const *about;	/* each with the recipients to tell about */
	size_t count;
	int64_t now;			/* Unix seconds */
};

/* Appends a text for people: each message with its id, recipients and reason, and how many
 * there are beyond DSN_DIGEST_LISTED. */
void dsn_digest_write(const struct dsn_digest *digest, struct buf *out, struct dsn_needs *needs);

#endif
