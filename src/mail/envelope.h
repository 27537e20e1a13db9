/* envelope.h - who sent a message and who shall get it; not its content. */
#ifndef HERALD_MAIL_ENVELOPE_H
#define HERALD_MAIL_ENVELOPE_H

#include "mail/address.h"
#include "mail/status.h"

#include <limits.h>
#include <stdint.h>

struct memory_budget;

#define QUEUE_ID_MAX	16		/* uppercase hex digits, SPEC 4 */

/* The unit of fate.  Done recipients are gone from the store. */
enum recipient_state {
	RECIPIENT_ACTIVE,		/* in the hands of this run's relay */
	RECIPIENT_DEFERRED,		/* waits for next_attempt */
	RECIPIENT_HELD,			/* waits for the administrator */
	/* Its fate is decided (`last`), and a report of that to the sender is owed: failed, or
	 * relayed where success was to be told. */
	RECIPIENT_OWED,
	RECIPIENT_PARKED,		/* cannot be reported either: kept, not tried */
	RECIPIENT_DONE,			/* delivered, or reported: never stored */
};

/* RFC 3461 4.1; no bit at all: not asked, which means failure and delay. */
enum { NOTIFY_NEVER = 1, NOTIFY_SUCCESS = 2, NOTIFY_FAILURE = 4, NOTIFY_DELAY = 8 };

/* RFC 3461 4.3: how much of the message a report of failure is to carry. */
enum envelope_ret { RET_UNSET, RET_FULL, RET_HDRS };

#define ENVELOPE_ENVID_MAX	100	/* octets of xtext, RFC 3461 4.4 */
#define ENVELOPE_ORCPT_MAX	500	/* octets with the type, RFC 3461 4.2 */
#define ENVELOPE_MESSAGE_ID_MAX	255	/* octets; what is longer is not kept */
#define ENVELOPE_NO_UID	UINT_MAX	/* it did not come over a UNIX socket */
#define RELAY_NAME_MAX		32	/* octets of the name of a relay block */
#define ATTEMPT_RELAY_SIZE	192	/* "NAME/smtp.example.net[192.0.2.7]:465" */

/* One try of one recipient.  A value. */
struct attempt {
	int64_t at;			/* when it ended: Unix seconds */
	/* Not charged: the relay could not be asked about this recipient at all. */
	bool charged;
	bool peer_does_dsn;		/* it took NOTIFY, RFC 3461 5.2.2 */
	char relay[ATTEMPT_RELAY_SIZE];
	char tls[40];			/* "TLSv1.3/verified"; "" in clear */
	char step[16];			/* what was answered: "RCPT TO"; "": no session was had */
	struct status status;
};

struct recipient {
	int64_t id;			/* the store's key; 0 until queued */
	struct address forward_path;
	unsigned notify;		/* NOTIFY_* bits */
	enum recipient_state state;
	uint32_t attempts;		/* delivery attempts that have ended */
	int64_t next_attempt;		/* Unix seconds, UTC */
	struct status last;		/* of the latest attempt, charged or not; or why it waits */
	char relay[ATTEMPT_RELAY_SIZE];	/* of the latest */
	int64_t last_at;		/* of the latest: Unix seconds; 0: none */
	bool warned;			/* that it is delayed was told once, or is told now */
	bool warning_owed;		/* a report of the delay is on its way; never stored */
	char chosen_relay[RELAY_NAME_MAX + 1];	/* by the administrator; "": as the routes say */
	const char *orcpt;		/* "rfc822;xtext" as it came; NULL: none.  The envelope's */
};

/* Made by envelope_new(), owned by whoever holds it, freed by envelope_free(). */
struct envelope {
	int64_t id;			/* the store's key; 0 until queued */
	char queue_id[QUEUE_ID_MAX + 1];	/* unique for ever, in every log line */
	struct address reverse_path;
	bool body_8bit;			/* BODY=8BITMIME, RFC 6152 */
	bool smtputf8;			/* RFC 6531 3.4: declared */
	enum envelope_ret ret;
	unsigned uid;			/* who gave it over a UNIX socket; ENVELOPE_NO_UID */
	const char *envid;		/* xtext as it came, RFC 3461 4.4; NULL: none */
	const char *message_id;		/* of the header section, with < and >; NULL: none */
	struct envelope_text *texts;	/* owns what the pointers of this and of recipients mean */
	uint64_t size;			/* octets of mail data, as stored */
	int64_t arrived, expires;	/* Unix seconds, UTC */
	int64_t arrived_us;		/* in microseconds; 0: it is of an earlier run */
	struct recipient *recipients;	/* owned; grown by envelope_add() alone */
	size_t recipient_count;
	struct memory_budget *budget;	/* NULL: not counted */
	uint64_t charged, kept;		/* octets: as counted, and of the texts */
};

struct envelope *envelope_new(const struct address *reverse_path);
/* The result is valid until the next add. */
struct recipient *envelope_add(struct envelope *envelope, const struct address *forward_path);
/* A copy that lives as long as the envelope: for envid, message_id, orcpt. */
const char *envelope_keep(struct envelope *envelope, const char *text, size_t len);
/* Counts the memory that it takes from now on; the budget outlives it.  A copy is not counted. */
void envelope_charge(struct envelope *envelope, struct memory_budget *budget);
uint64_t envelope_cost(const struct envelope *envelope);	/* octets of memory */
struct envelope *envelope_copy(const struct envelope *envelope);
void envelope_free(struct envelope *envelope);	/* NULL is allowed */

/* Of recipient.relay the host's part, behind the name of the relay. */
const char *recipient_host(const struct recipient *recipient);

const char *recipient_state_name(enum recipient_state state);	/* "deferred" */
bool recipient_state_parse(const char *name, enum recipient_state *out);

#endif
