/* submit_client.h - hands one mail to an SMTP server and waits for its word. */
#ifndef HERALD_CLIENT_SUBMIT_CLIENT_H
#define HERALD_CLIENT_SUBMIT_CLIENT_H

#include "mail/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct client_stream;
struct content;
struct envelope;
struct smtp_client_params;
struct tls_client_params;

/* Who is told what happens meanwhile; each may be NULL. */
struct submit_watch {
	void *owner;
	/* Commands and replies, in the order of the dialogue; not the content. */
	void (*on_client)(void *owner, const char *octets, size_t len, bool is_secret);
	void (*on_server)(void *owner, const char *octets, size_t len, bool is_secret);
	void (*on_secured)(void *owner, const char *tls_text);
	void (*on_content)(void *owner, uint64_t done);	/* octets that are written; often */
};

/* All borrowed. */
struct submit_session {
	struct client_stream *stream;	/* under TLS already where params->tls is implicit */
	const struct smtp_client_params *params;
	/* For STARTTLS; NULL where params->tls never asks for it. */
	const struct tls_client_params *tls;
	const char *host;		/* whose certificate is expected then */
	const struct submit_watch *watch;	/* NULL: nobody */
};

/* Why a recipient, or by its step the whole mail, is not taken. */
struct submit_refusal {
	size_t index;			/* of envelope->recipients */
	const char *step;		/* what was answered: "RCPT TO", "end of data" */
	struct status status;
};

struct submit_result {
	/* The server has said 250 to the end of the data for every recipient: it has the mail,
	 * whatever becomes of the connection.  All or nobody: if one recipient is refused the
	 * data is not sent. */
	bool taken;
	bool began;			/* MAIL was answered; else the session was not to be had */
	/* Where it was not: of <sysexits.h>, EX_TEMPFAIL for what may be over soon, EX_NOPERM
	 * for credentials that are refused, else EX_UNAVAILABLE. */
	int session_exit;
	struct status status;		/* the 250, or what ended the session before MAIL */
	struct submit_refusal *refusals;
	size_t refusal_count;
};

/* The dialogue up to QUIT.  `content` is canonical and envelope->size octets long.  Free the
 * result by submit_result_clear(). */
void submit_mail(const struct submit_session *session, const struct envelope *envelope,
    const struct content *content, struct submit_result *result);
void submit_result_clear(struct submit_result *result);

#endif
