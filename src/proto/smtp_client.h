/* smtp_client.h - the client's half of an SMTP dialogue, without sockets. */
#ifndef HERALD_PROTO_SMTP_CLIENT_H
#define HERALD_PROTO_SMTP_CLIENT_H

#include "mail/envelope.h"

#include <stdbool.h>
#include <stddef.h>

struct smtp_client;
struct smtp_extensions;

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE,
	/* STARTTLS where it is offered; where it is not, or is refused, on in clear.  What
	 * becomes of a handshake that fails is the owner's to decide. */
	SMTP_CLIENT_TLS_OPPORTUNISTIC,
	SMTP_CLIENT_TLS_STARTTLS,	/* required: without it the session ends */
	SMTP_CLIENT_TLS_IMPLICIT,	/* the connection is under TLS before the greeting */
};

/* PLAIN and LOGIN never go in clear but to the loopback.  Auto: the first that is offered of
 * SCRAM-SHA-256, PLAIN, LOGIN, CRAM-MD5, in clear SCRAM-SHA-256 alone (never where TLS is
 * opportunistic); the next one where the peer refuses the mechanism itself (504, 534). */
enum smtp_client_auth {
	SMTP_CLIENT_AUTH_AUTO,
	SMTP_CLIENT_AUTH_PLAIN,
	SMTP_CLIENT_AUTH_LOGIN,
	SMTP_CLIENT_AUTH_CRAM_MD5,
	SMTP_CLIENT_AUTH_SCRAM_SHA_256,
};

/* Borrowed, and must outlive the client. */
struct smtp_client_params {
	const char *helo;
	enum smtp_client_tls tls;
	const char *username;		/* NULL or "": no AUTH; else AUTH is required */
	const char *password;
	enum smtp_client_auth auth;
	bool auth_in_clear;		/* the peer is on the loopback */
};

/* What one transaction sends: some of an envelope's recipients. */
struct smtp_client_mail {
	const struct envelope *envelope;	/* borrowed until its last on_recipient() */
	size_t first, count;		/* of its recipients; count > 0 */
	bool eight_bit;			/* declared 8BITMIME and has octets above 127 */
	bool utf8_header;		/* declared SMTPUTF8 and has such octets in the header */
	/* The content is in memory, all lines of it end with CRLF, and it is envelope->size
	 * octets long: BDAT may be used (RFC 3030). */
	bool in_memory;
	void *cookie;			/* the owner's, for the events of this mail */
};

/* What the dialogue asks of its owner, from within smtp_client_*() calls: do not free the
 * client in them.  on_finished() comes exactly once and is the last; before it,
 * on_recipient() has come exactly once for each recipient of each mail. */
struct smtp_client_events {
	/* secret: never into a log.  Whole commands; several in one call when pipelined. */
	void (*send)(void *owner, const char *octets, size_t len, bool secret);
	void (*start_tls)(void *owner);	/* answer: smtp_client_secured() or smtp_client_lost() */
	/* Answer: smtp_client_data_sent(), now or later, once all is written: dot-stuffed with
	 * its final CRLF.CRLF; or, for bdat, the content's octets as they are and no end.  What
	 * the peer says to a mail in BDAT is not judged before that. */
	void (*send_data)(void *owner, void *cookie, bool bdat);
	/* Another mail may be given: smtp_client_mail() or smtp_client_quit(), now or later.
	 * Where the peer pipelines this comes within smtp_client_data_sent() of the mail before,
	 * so that two mails are open until the reply to the end of the older one's data. */
	void (*on_ready)(void *owner);
	/* index: of envelope->recipients.  A fault of the session is a transient status here
	 * (RULES: a fault of our own relay is never the message's fault). */
	void (*on_recipient)(void *owner, void *cookie, size_t index, const struct status *status);
	/* Success: after QUIT.  Else why the session is of no more use; always transient.
	 * Close the connection; what was sent before may still be on its way. */
	void (*on_finished)(void *owner, const struct status *status);
};

struct smtp_client *smtp_client_new(const struct smtp_client_params *params,
    const struct smtp_client_events *events, void *owner);
void smtp_client_free(struct smtp_client *client);	/* NULL is allowed; no event comes */

/* Returns the octets used; an unfinished line is left and must come again with more. */
size_t smtp_client_input(struct smtp_client *client, const char *octets, size_t len);
void smtp_client_secured(struct smtp_client *client);	/* forgets the EHLO answer, asks again */
/* Only after on_ready(), once for each, and not after on_finished().  What cannot be sent to
 * this peer at all gets its fate, and the next on_ready() may come, within this call. */
void smtp_client_mail(struct smtp_client *client, const struct smtp_client_mail *mail);
void smtp_client_data_sent(struct smtp_client *client);
void smtp_client_quit(struct smtp_client *client);	/* after on_ready(), instead of a mail */
/* The connection is gone, or the time of the step is over: what is open gets 4.4.2. */
void smtp_client_lost(struct smtp_client *client, const char *text);

/* Seconds that the current step may take, RFC 5321 4.5.3.2; counted anew whenever
 * smtp_client_progress() has changed.  0: there is nothing to wait for. */
unsigned smtp_client_timeout(const struct smtp_client *client);
unsigned smtp_client_progress(const struct smtp_client *client);
bool smtp_client_is_in_auth(const struct smtp_client *client);	/* replies: not for a log */
const char *smtp_client_step(const struct smtp_client *client);	/* "MAIL FROM", for the log */
bool smtp_client_auth_refused(const struct smtp_client *client);	/* by a 5xx */
/* Within a mail: the peer wants AUTH, TLS or else something of the session, not of the mail. */
bool smtp_client_session_refused(const struct smtp_client *client);
/* The peer offered CHUNKING and did not know BDAT: sessions with it are to do without
 * (smtp_client_mail.in_memory). */
bool smtp_client_bdat_refused(const struct smtp_client *client);
/* What the peer offered last; all zero before. */
const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *client);

/* The following are about the mail of an on_recipient(), within that call. */

/* The session ends before MAIL was answered, so nothing of the mail has been taken, and
 * another session may be asked for it at once. */
bool smtp_client_is_untouched(const struct smtp_client *client);
/* The peer has accepted others of this mail and wants no more in one transaction (RFC 5321
 * 4.5.3.1.10): this one may be sent in the next. */
bool smtp_client_wants_fewer(const struct smtp_client *client, const struct status *status);
/* Whether MAIL was written.  False for what the peer's offers rule out: no size, no 8BITMIME,
 * no SMTPUTF8; those are final, too.  False as well for a mail that is given behind one over
 * which the session was refused; that is transient. */
bool smtp_client_mail_was_sent(const struct smtp_client *client);
/* What was answered, or was to be: "EHLO" (of those ruled out), "MAIL FROM", "RCPT TO",
 * "DATA", "mail data", "end of data". */
const char *smtp_client_reply_step(const struct smtp_client *client);

#endif
