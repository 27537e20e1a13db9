/* maillog.h - one function per event of a message: the exact text of SPEC 5. */
#ifndef HERALD_MAIL_MAILLOG_H
#define HERALD_MAIL_MAILLOG_H

#include "mail/envelope.h"

/* Every text a peer wrote is made printable here; callers pass it as it came. */

/* smtpd: ID: client=NAME[ADDRESS], EXTRA: sasl_method=…, sasl_username=…; NULL: nothing. */
void maillog_client(const char *queue_id, const char *client, const char *extra);
/* pickup: ID: uid=1000 from=<…>, for what comes over a UNIX socket. */
void maillog_pickup(const char *queue_id, unsigned uid, const struct address *reverse_path);
/* cleanup: ID: message-id=<…> */
void maillog_message_id(const char *queue_id, const char *message_id, size_t len);
/* qmgr: ID: from=<…>, size=N, nrcpt=N (queue active) */
void maillog_active(const struct envelope *envelope);

enum maillog_fate { MAILLOG_SENT, MAILLOG_DEFERRED, MAILLOG_BOUNCED, MAILLOG_EXPIRED };

struct maillog_attempt {
	const struct envelope *envelope;
	const struct recipient *recipient;
	const char *relay;		/* "smtp.example.net[192.0.2.7]:465", or "none" */
	unsigned conn_use;		/* 1: first message on this connection, not written */
	/* Microseconds: before the queue, in the queue, connection set-up, transmission. */
	int64_t delays[4];
	const char *tls;		/* conn_tls_text(); NULL, "" or "none": not written */
	const struct status *status;
	enum maillog_fate fate;
};
/* smtp: ID: to=<…>, orig_to=<…>, relay=…, conn_use=2, delay=1.2, delays=a/b/c/d, tls=…,
 * dsn=2.0.0, status=sent (250 2.0.0 Ok).  orig_to where the sender named another (ORCPT).
 * With ident "postfix" tls= comes last: pflogsumm reads the others only in Postfix's order.
 * sent: info, deferred: warning, bounced and expired: error. */
void maillog_attempt(const struct maillog_attempt *attempt);

/* bounce: ID: sender non-delivery notification: ID2 */
void maillog_report(const char *queue_id, const char *report_id);
/* bounce: ID: sender delay notification: ID2 */
void maillog_delay_report(const char *queue_id, const char *report_id);
/* bounce: ID: sender delivery status notification: ID2; of mail that was passed on */
void maillog_success_report(const char *queue_id, const char *report_id);
/* bounce: ID: to=<…>: parked: WHY; critical */
void maillog_parked(const struct envelope *envelope, const struct recipient *recipient,
    const char *why);
/* qmgr: ID: removed */
void maillog_removed(const char *queue_id);

/* smtp: relay NAME: suspended, mail stays queued: PLACE: WHY; warning.  place: "none", or
 * "smtp.example.net[192.0.2.7]:465", where it was tried last. */
void maillog_suspended(const char *name, const char *place, const char *why);
/* smtp: relay NAME: takes mail again; notice */
void maillog_recovered(const char *name);

/* smtpd: NOQUEUE: reject: RCPT from NAME[ADDRESS]: 554 5.7.1 …; from=<…> to=<…> proto=ESMTP
 * helo=<…>.  queue_id NULL: NOQUEUE.  Any of the texts may be NULL. */
struct maillog_reject {
	const char *queue_id, *verb, *client;
	const struct status *status;
	const char *reverse_path, *forward_path, *protocol, *helo;
};
void maillog_reject(const struct maillog_reject *reject);

#endif
