/* dsn.h - the report to a sender of what became of the mail, RFC 3464. */
#ifndef HERALD_MAIL_DSN_H
#define HERALD_MAIL_DSN_H

#include "mail/dsn_original.h"

#include <stdbool.h>
#include <stdint.h>

struct envelope;
struct recipient;

/* What is told of a recipient, the most serious last: RFC 3464 2.3.3. */
enum dsn_action { DSN_RELAYED, DSN_DELAYED, DSN_FAILED };

/* For one whose report is owed, or the warning that it waits. */
enum dsn_action dsn_action(const struct recipient *recipient);

/* All borrowed. */
struct dsn {
	const char *hostname;		/* who reports */
	const char *queue_id;		/* of the report, for its Message-ID */
	const struct envelope *about;	/* its recipients are those to tell about, each as above */
	struct dsn_original original;
	bool header_only;		/* of the original, whatever RET says */
	int64_t now;			/* Unix seconds */
};

/* What the report's own envelope has to declare. */
struct dsn_needs {
	bool smtputf8, body_8bit;
};

/*
 * Hands on the report as canonical mail data: a multipart/report with words for people, the
 * message/delivery-status, and the original's header section, or with RET=FULL the original, as
 * RFC 3461 4.3 has it.  Nothing of what peers or senders wrote can end a line, a field or a part.
 *
 * It is 7-bit, so that every relay takes it, but for two cases.  An address of the sender that
 * needs SMTPUTF8 makes it the one of RFC 6533, in UTF-8.  An original that was declared 8BITMIME
 * goes back whole as it is: message/rfc822 may not be encoded (RFC 2046 5.2.1), and who sent
 * it has a way for such mail, unless the lack of one is what is reported (5.6.3).
 */
bool dsn_write(const struct dsn *dsn, dsn_write_octets *write, void *sink,
    struct dsn_needs *needs, struct error *err) __attribute__((warn_unused_result));

#endif
