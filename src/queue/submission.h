/* submission.h - one mail transaction on its way into the queue. */
#ifndef HERALD_QUEUE_SUBMISSION_H
#define HERALD_QUEUE_SUBMISSION_H

#include "mail/envelope.h"

#include <stdbool.h>
#include <stddef.h>

struct config;
struct queue;
struct submission;

/* Whom the message comes from, for Received and the log.  Texts are borrowed for the call. */
struct submission_origin {
	const char *helo;
	const char *client_name;	/* "localhost", "unknown" */
	const char *client_address;	/* "192.0.2.1"; NULL for a UNIX socket: */
	unsigned client_uid;		/* the uid of its other end */
	const char *protocol;		/* "SMTP", "ESMTP" */
	const char *auth;		/* "sasl_method=PLAIN, sasl_username=ann"; NULL: no AUTH */
};

/* What MAIL said besides the address.  The text is borrowed for the call. */
struct submission_mail {
	bool body_8bit, smtputf8;
	enum envelope_ret ret;
	const char *envid;		/* xtext, no NUL behind it; NULL: none */
	size_t envid_len;
	/* From a program of this machine: UNIX socket or loopback, no AUTH, no PROXY header that
	 * names another client.  Only this is touched by `identity`. */
	bool of_this_machine;
	unsigned uid;			/* who gave it; ENVELOPE_NO_UID: not a UNIX socket */
};
/* MAIL was taken.  `config` is borrowed and outlives the submission. */
struct submission *submission_begin(struct queue *queue, const struct config *config,
    const struct address *reverse_path, const struct submission_mail *mail);

/* What RCPT said besides the address. */
struct submission_rcpt {
	unsigned notify;		/* NOTIFY_* bits */
	const char *orcpt;		/* no NUL behind it; NULL: none */
	size_t orcpt_len;
};
void submission_add(struct submission *submission, const struct address *forward_path,
    const struct submission_rcpt *rcpt);

/* DATA begins: gives the message its queue id and writes the Received field.  Once, after
 * the last recipient; all of the mail data follows through submission_write(). */
void submission_open(struct submission *submission, const struct submission_origin *origin);
/* Canonical mail data, cut anywhere.  A fault is kept for submission_commit(). */
void submission_write(struct submission *submission, const char *octets, size_t len);

/* "250 2.0.0 queued as ID" only when the store has synced it, else a 4xx; the submission is
 * gone.  Comes from the loop. */
typedef void submission_done(void *arg, const struct status *status);
/* False when it is refused at once (too many hops, disk full): the reply is in *refusal, the
 * submission is gone and `done` does not come. */
bool submission_commit(struct submission *submission, submission_done *done, void *arg,
    struct status *refusal) __attribute__((warn_unused_result));

/* At any time, also while the answer is awaited, which then does not come; what was handed
 * to the store may yet be stored.  NULL is allowed. */
void submission_abort(struct submission *submission);

#endif
