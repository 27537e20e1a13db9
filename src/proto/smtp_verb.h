/* smtp_verb.h - the commands of the SMTP server, one row each; for smtp_server.c alone. */
#ifndef HERALD_PROTO_SMTP_VERB_H
#define HERALD_PROTO_SMTP_VERB_H

#include "proto/smtp_data.h"
#include "proto/smtp_server.h"
#include "proto/smtp_wire.h"

#include <stdbool.h>
#include <stddef.h>

#define SMTP_HELO_SIZE	256	/* a domain (RFC 5321 4.5.3.1.2) and its NUL */

enum smtp_server_state {
	SMTP_GREETED,		/* EHLO or HELO is awaited */
	SMTP_READY,
	SMTP_HAS_SENDER,		/* MAIL was taken */
	SMTP_HAS_RECIPIENTS,		/* and at least one RCPT */
	SMTP_IN_DATA,
	SMTP_AWAITS_ANSWER,		/* end of data was read, its reply is with the owner */
	SMTP_OVER,
};

struct smtp_server {
	struct smtp_server_settings settings;
	const struct smtp_server_events *events;
	void *owner;
	enum smtp_server_state state;
	struct {			/* valid from SMTP_HAS_SENDER to the answer */
		struct status not_now;	/* MAIL was refused with this 4xx; else all zero */
		unsigned recipients;
		bool has_surplus;	/* of recipients: refused, and told so */
		bool smtputf8;		/* declared: addresses may be beyond ASCII */
		uint64_t size;		/* octets of content so far */
		struct smtp_decoder decoder;
	} transaction;
	bool discards;			/* up to the next CRLF: a line already refused */
	bool extended;			/* EHLO, not HELO */
	unsigned errors, idle, bare_lines;
	unsigned surplus;		/* RCPT and DATA refused for now, that are no errors */
	size_t discarded;
	char helo[SMTP_HELO_SIZE];
};

/* What a command may rely on, and what it makes of the session. */
struct smtp_command {
	struct smtp_server *server;
	const char *name;
	struct slice argument;
};
struct smtp_verb {
	const char *name;
	unsigned needs;		/* states in which it is in order: a set of 1 << state */
	enum smtp_server_state (*run)(const struct smtp_command *command);
	bool takes_argument;	/* else one is a fault */
	bool is_idle;		/* brings no mail by itself, even when taken */
	bool has_long_line;	/* RFC 1870, 6152 and others make MAIL and RCPT longer */
};

const struct smtp_verb *smtp_verb_find(struct slice name);	/* NULL: none */
/* For what is known without a verb: a TLS ClientHello. */
enum smtp_server_state smtp_verb_other_protocol(const struct smtp_command *command);

/* Sends and tells a refusal; the state stays what it was, which is returned. */
enum smtp_server_state smtp_command_refuse(const struct smtp_command *command, uint16_t code,
    const char *enhanced, const char *text);
void smtp_server_refuse(struct smtp_server *server, const char *verb, const struct status *status,
    const struct address *forward_path);
void smtp_server_send(struct smtp_server *server, const char *text);
void smtp_server_send_status(struct smtp_server *server, const struct status *status);
/* The one end of a transaction that came to nothing (RULES D). */
void smtp_server_reset(struct smtp_server *server);
/* The last words; no input is taken any more. */
void smtp_server_end(struct smtp_server *server, const struct status *status);

#endif
