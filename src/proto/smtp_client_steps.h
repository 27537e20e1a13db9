/* smtp_client_steps.h - the steps of the client's dialogue; for smtp_client*.c alone. */
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

/* How far MAIL has come. */
enum smtp_mail_stage { MAIL_NOT_SENT, MAIL_SENT, MAIL_TAKEN, MAIL_REFUSED };

/* Of a recipient: both bits stand for ever once set. */
enum { FATE_TOLD = 1, FATE_RULED_OUT = 2 /* no RCPT is sent */ };

/* One mail.  All zero: none.  Its steps' commands may be written long before the steps are
 * entered, when the reply before has come. */
struct smtp_transaction {
	struct smtp_client_mail mail;	/* count 0: none */
	enum smtp_mail_stage stage;
	unsigned ahead;			/* its steps that are written and not yet entered */
	bool utf8;			/* SMTPUTF8 is said */
	bool bdat;			/* BDAT in the place of DATA and the dot */
	unsigned char *fates;		/* FATE_* bits of each recipient */
	size_t answered;		/* recipients before this one have their RCPT reply */
	size_t accepted;		/* by RCPT, and not told since */
};

struct smtp_client {
	const struct smtp_client_params *params;
	const struct smtp_client_events *events;
	void *owner;
	enum smtp_step step;
	unsigned due;			/* replies to what has been sent */
	unsigned progress;
	bool secured;
	bool premature;			/* the peer answers what was not asked */
	bool auth_refused;
	bool session_refused;		/* by a reply to a mail's commands */
	bool bdat_refused;		/* it was offered, and is not known */
	bool parting;			/* in step with the peer: QUIT is said before the end */
	bool asked;			/* on_ready() has come and is not answered */
	bool quitting;			/* QUIT is written behind what is open */
	bool chunk_open;		/* the octets of a BDAT are not all written */
	struct smtp_extensions extensions;
	struct smtp_reply reply;
	struct buf held;		/* came while a chunk was open, or behind that */
	struct status fault;		/* why, on STEP_FAULT */
	struct buf out;			/* commands not yet given to send() */
	struct sasl sasl;
	unsigned auth_rounds;
	unsigned auth_tried;		/* bits 1 << enum sasl_mechanism */
	struct smtp_transaction now;	/* whose replies come; the steps' own outside of a mail */
	struct smtp_transaction next;	/* behind it, written already */
	const struct smtp_transaction *telling;	/* within on_recipient() */
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

/* --- smtp_client_steps.c: what the handlers of all steps need --- */

/* The command that stands in client->out from `start` on is whole: ends its line, and its
 * reply is due. */
void smtp_step_end_command(struct smtp_client *client, size_t start);
void smtp_step_flush(struct smtp_client *client);
void smtp_step_say(struct smtp_client *client, const char *command);	/* one, at once */

/* What a reply handler returns after a reply that refuses the session: never the message's
 * fault, so transient whatever its code. */
enum smtp_step smtp_step_refused(struct smtp_client *client);
/* After one that the step does not know: who is out of step is not believed any more. */
enum smtp_step smtp_step_odd(struct smtp_client *client);
/* What ends the session without a reply that says so; part: with QUIT. */
enum smtp_step smtp_step_fault(struct smtp_client *client, struct status status);
enum smtp_step smtp_step_part(struct smtp_client *client, struct status status);
/* The reply as a fault of the session. */
struct status smtp_step_session_fault(const struct smtp_client *client);
bool smtp_step_is_refusal(const struct smtp_client *client);

/* --- smtp_client_auth.c --- */

bool smtp_auth_is_wanted(const struct smtp_client *client);
enum smtp_step smtp_auth_begin(struct smtp_client *client);
void smtp_auth_enter(struct smtp_client *client);
enum smtp_step smtp_auth_on_reply(struct smtp_client *client);
/* A server that quotes the line it refuses would put the secret into our log. */
void smtp_auth_withhold_secret(struct smtp_client *client);

/* --- smtp_client_mail.c: what is sent of a mail --- */

/* Takes the mail, and tells those who cannot be sent to this peer at all.  False: nobody is
 * left. */
bool smtp_mail_begin(struct smtp_client *client, struct smtp_transaction *transaction,
    const struct smtp_client_mail *mail);
/* Behind the mail at hand, whose data has been written. */
void smtp_mail_follow(struct smtp_client *client);
size_t smtp_mail_next_rcpt(const struct smtp_transaction *transaction);
void smtp_mail_send(struct smtp_client *client);
void smtp_mail_send_rcpt(struct smtp_client *client);
void smtp_mail_send_content(struct smtp_client *client);
/* The fate of one recipient, counted from 0; a second one is passed over. */
void smtp_mail_tell(struct smtp_client *client, struct smtp_transaction *transaction, size_t i,
    const struct status *status);
/* What decides for the transaction decides for each recipient not yet told. */
void smtp_mail_tell_rest(struct smtp_client *client, struct smtp_transaction *transaction,
    const struct status *status);
void smtp_mail_clear(struct smtp_transaction *transaction);

/* --- smtp_client_fate.c: what comes of the replies to a mail --- */

enum smtp_step smtp_fate_on_mail(struct smtp_client *client);
enum smtp_step smtp_fate_on_rcpt(struct smtp_client *client);
enum smtp_step smtp_fate_on_data(struct smtp_client *client);
enum smtp_step smtp_fate_on_dot(struct smtp_client *client);
enum smtp_step smtp_fate_on_lone_dot(struct smtp_client *client);
enum smtp_step smtp_fate_on_rset(struct smtp_client *client);

#endif
