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
	SMTP_CLIENT_TLS_STARTTLS,	/* required: without it the session ends */
	SMTP_CLIENT_TLS_IMPLICIT,	/* the connection is under TLS before the greeting */
};
enum smtp_client_auth { SMTP_CLIENT_AUTH_AUTO, SMTP_CLIENT_AUTH_PLAIN, SMTP_CLIENT_AUTH_LOGIN };

/* Borrowed, and must outlive the client. */
struct smtp_client_params {
	const char *helo;
	enum smtp_client_tls tls;
	const char *username;		/* NULL or "": no AUTH; else AUTH is required */
	const char *password;
	enum smtp_client_auth auth;	/* auto: PLAIN, else LOGIN */
	bool auth_in_clear;		/* the peer is on the loopback */
};

/* What one transaction sends: some of an envelope's recipients. */
struct smtp_client_mail {
	const struct envelope *envelope;	/* borrowed until its last on_recipient() */
	size_t first, count;		/* of its recipients; count > 0 */
	bool eight_bit;			/* declared 8BITMIME and has octets above 127 */
};

/* What the dialogue asks of its owner, from within smtp_client_*() calls: do not free the
 * client in them.  on_finished() comes exactly once and is the last; before it,
 * on_recipient() has come exactly once for each recipient of each mail. */
struct smtp_client_events {
	/* secret: never into a log.  Whole commands; several in one call when pipelined. */
	void (*send)(void *owner, const char *octets, size_t len, bool secret);
	void (*start_tls)(void *owner);	/* answer: smtp_client_secured() or smtp_client_lost() */
	void (*send_data)(void *owner);	/* answer: smtp_client_data_sent(), now or later */
	/* Answer, now or later: smtp_client_mail() or smtp_client_quit(). */
	void (*on_ready)(void *owner);
	/* index: of envelope->recipients.  A fault of the session is a transient status here
	 * (RULES: a fault of our own relay is never the message's fault). */
	void (*on_recipient)(void *owner, size_t index, const struct status *status);
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
/* Only after on_ready(), once for each.  The next on_ready() may come within this call. */
void smtp_client_mail(struct smtp_client *client, const struct smtp_client_mail *mail);
void smtp_client_data_sent(struct smtp_client *client);	/* with the final CRLF.CRLF */
void smtp_client_quit(struct smtp_client *client);	/* after on_ready(), instead of a mail */
/* The connection is gone, or the time of the step is over: what is open gets 4.4.2. */
void smtp_client_lost(struct smtp_client *client, const char *text);

/* Seconds that the current step may take, RFC 5321 4.5.3.2; counted anew whenever
 * smtp_client_progress() has changed.  0: there is nothing to wait for. */
unsigned smtp_client_timeout(const struct smtp_client *client);
unsigned smtp_client_progress(const struct smtp_client *client);
bool smtp_client_is_in_auth(const struct smtp_client *client);	/* replies: not for a log */
const char *smtp_client_step(const struct smtp_client *client);	/* "MAIL FROM", for the log */
/* Within on_recipient(): the session ends before MAIL was answered, so nothing of the mail
 * has been taken, and another session may be asked for it at once. */
bool smtp_client_is_untouched(const struct smtp_client *client);
/* Within on_recipient(): the peer has accepted others of this mail and wants no more in one
 * transaction (RFC 5321 4.5.3.1.10): this one may be sent in the next. */
bool smtp_client_wants_fewer(const struct smtp_client *client, const struct status *status);
bool smtp_client_auth_refused(const struct smtp_client *client);	/* by a 5xx */
/* Within a mail: the peer wants AUTH, TLS or else something of the session, not of the mail. */
bool smtp_client_session_refused(const struct smtp_client *client);
/* What the peer offered last; all zero before. */
const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *client);

#endif
