/* smtp_client_steps.h - the steps of the client's dialogue; for smtp_client.c alone. */
#ifndef HERALD_PROTO_SMTP_CLIENT_STEPS_H
#define HERALD_PROTO_SMTP_CLIENT_STEPS_H

#include "base/buf.h"
#include "proto/sasl.h"
#include "proto/smtp_client.h"
#include "proto/smtp_extensions.h"
#include "proto/smtp_reply.h"

enum smtp_step {
	STEP_GREETING, STEP_EHLO, STEP_HELO, STEP_STARTTLS, STEP_HANDSHAKE, STEP_AUTH, STEP_READY,
	STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_CONTENT, STEP_DOT, STEP_LONE_DOT, STEP_RSET,
	STEP_QUIT, STEP_END, STEP_FAULT,
};

struct smtp_client {
	const struct smtp_client_params *params;
	const struct smtp_client_events *events;
	void *owner;
	enum smtp_step step;
	unsigned due;			/* replies to what has been sent */
	unsigned ahead;			/* steps whose command has been sent by pipelining */
	unsigned progress;
	bool secured;
	bool premature;			/* the peer answers what was not asked */
	bool auth_refused;
	bool session_refused;		/* by a reply to a mail's commands */
	bool parting;			/* in step with the peer: QUIT is said before the end */
	struct smtp_extensions extensions;
	struct smtp_reply reply;
	struct status fault;		/* why, on STEP_FAULT */
	struct buf out;			/* commands not yet given to send() */
	struct sasl sasl;
	unsigned auth_rounds;
	struct smtp_client_mail mail;
	bool mail_refused;
	bool *settled;			/* of each recipient of the mail */
	size_t answered;		/* RCPT replies read */
	size_t accepted;		/* by RCPT, and not settled since */
};

/* One row per step: what is sent on entering it, how long its reply may take, and who
 * judges that reply and names the next step. */
struct smtp_step_row {
	const char *name;
	unsigned timeout;		/* seconds, RFC 5321 4.5.3.2 unless said otherwise */
	const char *fault;		/* enhanced code of a session that fails here */
	void (*enter)(struct smtp_client *client);
	enum smtp_step (*on_reply)(struct smtp_client *client);
};
extern const struct smtp_step_row smtp_step_rows[];

/* What a reply handler returns after a reply that refuses the session: never the message's
 * fault, so transient whatever its code. */
enum smtp_step smtp_step_refused(struct smtp_client *client);
/* After one that the step does not know: who is out of step is not believed any more. */
enum smtp_step smtp_step_odd(struct smtp_client *client);
/* What ends the session without a reply that says so. */
enum smtp_step smtp_step_fault(struct smtp_client *client, struct status status);

/* The fate of one recipient of the mail, counted from 0; a second one is passed over. */
void smtp_client_settle(struct smtp_client *client, size_t i, const struct status *status);
/* What decides for the transaction decides for each recipient not yet settled. */
void smtp_client_settle_rest(struct smtp_client *client, const struct status *status);

#endif
