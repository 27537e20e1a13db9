/* rewrite.h - the header section of this machine's mail on its way into the queue. */
#ifndef HERALD_MAIL_REWRITE_H
#define HERALD_MAIL_REWRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct address;
struct identity;
struct rewrite;

#define REWRITE_FIELD_MAX	(64 * 1024)	/* octets of the one field that is held */
#define REWRITE_GROWTH_MAX	(1024 * 1024)	/* octets that a header section may gain */

/* Borrowed for the life of the rewrite but for what rewrite_new() says. */
struct rewrite_params {
	const struct identity *identity;
	const struct address *reverse_path;	/* as it leaves; for From, where there is none */
	const char *hostname, *queue_id;	/* for Message-ID, where there is none */
	int64_t now;				/* for Date and Message-ID */
};

/* Takes what is ready, at once and in order. */
typedef void rewrite_sink(void *arg, const char *octets, size_t len);

enum rewrite_fault {
	REWRITE_OK,
	REWRITE_FROM_TOO_LONG,		/* longer than REWRITE_FIELD_MAX, and it had to change */
	REWRITE_GROWN,			/* by more than REWRITE_GROWTH_MAX */
};

/* `params` are copied, not what they point to. */
struct rewrite *rewrite_new(const struct rewrite_params *params, rewrite_sink *sink, void *arg);
/* Canonical mail data, cut anywhere; calls the sink with the same octets but for fields that
 * have addresses, and Date, Message-ID and From where there are none.  A line that is no
 * header field ends the header section: an empty line comes before it, so that every later
 * reader sees the same end. */
void rewrite_write(struct rewrite *rewrite, const char *octets, size_t len);
/* Gives out what is still held.  After a fault what came is not to be used. */
enum rewrite_fault rewrite_end(struct rewrite *rewrite);
void rewrite_free(struct rewrite *rewrite);	/* NULL is allowed */

#endif
