/* smtp_verb.h - the SMTP server from within: its state, its commands; for smtp_server*.c. */
#ifndef HERALD_PROTO_SMTP_VERB_H
#define HERALD_PROTO_SMTP_VERB_H

#include "proto/sasl_server.h"
#include "proto/smtp_data.h"
#include "proto/smtp_server.h"
#include "proto/smtp_wire.h"

#include <stdbool.h>
#include <stddef.h>

#define SMTP_HELO_SIZE	256	/* a domain (RFC 5321 4.5.3.1.2) and its NUL */

enum smtp_server_state {
	SMTP_GREETED,		/* EHLO or HELO is awaited */
	SMTP_READY,
	SMTP_HAS_SENDER,	/* MAIL was taken */
	SMTP_HAS_RECIPIENTS,	/* and at least one RCPT */
	SMTP_HAS_CHUNKS,	/* and at least one BDAT, the last one not yet */
	SMTP_IN_DATA,
	SMTP_IN_CHUNK,		/* of a message, or of what is dropped */
	SMTP_IN_AUTH,		/* a challenge was sent: the next line is its answer */
	SMTP_AWAITS_ANSWER,	/* the message was read, its reply is with the owner */
	SMTP_AWAITS_AUTH,	/* the password is with the owner */
	SMTP_AWAITS_TLS,	/* the 220 of STARTTLS was sent */
	SMTP_OVER,
};

struct smtp_server {
	struct smtp_server_settings settings;
	const struct smtp_server_events *events;
	void *owner;
	enum smtp_server_state state;
	struct {			/* all zero where there is none */
		bool is_open;		/* on_mail took it, and the owner was not told its end */
		/* There is none, since MAIL was refused with this 4xx, or since a chunk was. */
		struct status not_now;
		bool chunks_refused;
		unsigned recipients;
		bool has_surplus;	/* of recipients: refused, and told so */
		bool smtputf8;		/* declared: addresses may be beyond ASCII */
		uint64_t size;		/* octets of content so far */
		struct smtp_decoder decoder;
	} transaction;
	struct {			/* while SMTP_IN_CHUNK */
		uint64_t size, left;	/* octets: of all, and of those not yet read */
		bool is_last;
		struct status *refusal;	/* its octets are dropped, this is its reply; or NULL */
		bool is_surplus;	/* the refusal was told before */
	} chunk;
	struct {
		struct sasl_server *exchange;	/* while SMTP_IN_AUTH */
		char *username;		/* NULL: nobody yet; while SMTP_AWAITS_AUTH a claim only */
		const char *method;
		unsigned refused;	/* passwords */
	} auth;
	bool discards;			/* up to the next CRLF: a line already refused */
	bool extended;			/* EHLO, not HELO */
	unsigned errors, idle, bare_lines;
	unsigned surplus;		/* RCPT, DATA and BDAT refused that are no errors */
	size_t discarded;
	char helo[SMTP_HELO_SIZE];
};

/* What a command may rely on, and what it makes of the session. */
struct smtp_command {
	struct smtp_server *server;
	const char *name;
	struct slice argument;
	bool more_input;	/* octets stand behind the line */
};
typedef enum smtp_server_state smtp_command_run(const struct smtp_command *command);
struct smtp_verb {
	const char *name;
	unsigned needs;		/* states in which it is in order: a set of 1 << state */
	smtp_command_run *run;
	bool takes_argument;	/* else one is a fault */
	bool is_idle;		/* brings no mail by itself, even when taken */
	/* Octets of its line with the CRLF, where it may be longer than others: RFC 1870, 6152
	 * and others make MAIL and RCPT longer, RFC 4954 makes AUTH. */
	size_t line_max;
	bool (*is_offered)(const struct smtp_server *server);	/* NULL: always */
};

const struct smtp_verb *smtp_verb_find(struct slice name);	/* NULL: none */
size_t smtp_verb_line_max(const struct smtp_verb *verb);	/* NULL: of none of ours */
/* The most a line may have that begins so: its end need not be there yet. */
size_t smtp_verb_line_limit(const char *octets, size_t len);
/* For what is known without a verb: a TLS ClientHello. */
smtp_command_run smtp_verb_other_protocol;

/* The commands that have a file of their own. */
smtp_command_run smtp_command_helo, smtp_command_ehlo, smtp_command_help, smtp_command_starttls;
smtp_command_run smtp_command_auth, smtp_command_bdat;

bool smtp_server_may_starttls(const struct smtp_server *server);	/* as it stands now */
bool smtp_server_may_auth(const struct smtp_server *server);

/* An answer of the client to a challenge of AUTH. */
enum smtp_server_state smtp_auth_line(struct smtp_server *server, struct slice line);
void smtp_auth_cancel(struct smtp_server *server);	/* also where there is no exchange */
void smtp_auth_forget(struct smtp_server *server);	/* who has authenticated, too */

/* Octets of a chunk; returns how many it had. */
size_t smtp_chunk_input(struct smtp_server *server, const char *octets, size_t len);
void smtp_chunk_forget(struct smtp_server *server);

/* Sends and tells a refusal; the state stays what it was, which is returned. */
enum smtp_server_state smtp_command_refuse(const struct smtp_command *command, uint16_t code,
    const char *enhanced, const char *text);
void smtp_server_refuse(struct smtp_server *server, const char *verb, const struct status *status,
    const struct address *forward_path);
void smtp_server_send(struct smtp_server *server, const char *text);
void smtp_server_send_status(struct smtp_server *server, const struct status *status);
/* Of mail data, without dots; and what is wrong with it by itself, reply code 0: nothing. */
void smtp_server_content(void *arg, const char *octets, size_t len);
struct status smtp_server_judge_content(const struct smtp_server *server);
/* The message is read whole: to the owner with it, or the fault to the client. */
void smtp_server_end_of_message(struct smtp_server *server);
/* The one end of a transaction that came to nothing (RULES D). */
void smtp_server_reset(struct smtp_server *server);
/* A client that only errs, or only keeps us busy, is shown out (RULES P). */
void smtp_server_check_patience(struct smtp_server *server);
/* The last words; no input is taken any more. */
void smtp_server_end(struct smtp_server *server, const struct status *status);

#endif
