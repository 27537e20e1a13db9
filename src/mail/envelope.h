/* envelope.h - who sent a message and who shall get it; not its content. */
#ifndef HERALD_MAIL_ENVELOPE_H
#define HERALD_MAIL_ENVELOPE_H

#include "mail/address.h"
#include "mail/status.h"

#include <stdint.h>

#define QUEUE_ID_MAX	16		/* uppercase hex digits, SPEC 4 */

/* The unit of fate.  Done recipients are gone from the store. */
enum recipient_state {
	RECIPIENT_ACTIVE,		/* in the hands of this run's relay */
	RECIPIENT_DEFERRED,		/* waits for next_attempt */
	RECIPIENT_HELD,			/* waits for the administrator */
	RECIPIENT_FAILED,		/* for good; the report to the sender is owed */
	RECIPIENT_PARKED,		/* cannot be reported either: kept, not tried */
	RECIPIENT_DONE,			/* delivered, or reported: never stored */
};

/* RFC 3461 4.1; no bit at all: not asked, which means failure and delay. */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

struct recipient {
	int64_t id;			/* the store's key; 0 until queued */
	struct address forward_path;
	unsigned notify;		/* NOTIFY_* bits */
	enum recipient_state state;
	uint32_t attempts;		/* delivery attempts that have ended */
	int64_t next_attempt;		/* Unix seconds, UTC */
	struct status last;		/* of the latest attempt */
	char relay[192];		/* of the latest: "NAME/smtp.example.net[192.0.2.7]:465" */
};

/* Made by envelope_new(), owned by whoever holds it, freed by envelope_free(). */
struct envelope {
	int64_t id;			/* the store's key; 0 until queued */
	char queue_id[QUEUE_ID_MAX + 1];	/* unique for ever, in every log line */
	struct address reverse_path;
	bool body_8bit;			/* BODY=8BITMIME, RFC 6152 */
	uint64_t size;			/* octets of mail data, as stored */
	int64_t arrived, expires;	/* Unix seconds, UTC */
	int64_t arrived_us;		/* in microseconds; 0: it is of an earlier run */
	struct recipient *recipients;	/* owned; grown by envelope_add() alone */
	size_t recipient_count;
};

struct envelope *envelope_new(const struct address *reverse_path);
/* The result is valid until the next add. */
struct recipient *envelope_add(struct envelope *envelope, const struct address *forward_path);
struct envelope *envelope_copy(const struct envelope *envelope);
void envelope_free(struct envelope *envelope);	/* NULL is allowed */

/* Of recipient.relay the host's part, behind the name of the relay. */
const char *recipient_host(const struct recipient *recipient);

const char *recipient_state_name(enum recipient_state state);	/* "deferred" */
bool recipient_state_parse(const char *name, enum recipient_state *out);

#endif
