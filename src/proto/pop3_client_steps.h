/* pop3_client_steps.h - the steps of the POP3 client's dialogue; for pop3_client*.c alone. */
#ifndef HERALD_PROTO_POP3_CLIENT_STEPS_H
#define HERALD_PROTO_POP3_CLIENT_STEPS_H

#include "base/buf.h"
#include "proto/pop3_client.h"
#include "proto/pop3_wire.h"
#include "proto/sasl.h"
#include "proto/smtp_data.h"

/* Instead of the server's words where these are not to be shown. */
#define POP3_QUOTED_TEXT	"(its words repeat the password)"

/* What a reply is awaited to.  The greeting is one to nothing. */
enum pop3_step {
	POP3_STEP_GREETING, POP3_STEP_CAPA, POP3_STEP_STLS, POP3_STEP_AUTH, POP3_STEP_AUTH_ANSWER,
	POP3_STEP_USER, POP3_STEP_PASS, POP3_STEP_STAT, POP3_STEP_LIST, POP3_STEP_UIDL,
	POP3_STEP_RETR, POP3_STEP_TOP, POP3_STEP_DELE, POP3_STEP_QUIT,
};

struct pop3_request {
	enum pop3_step step;
	unsigned number, lines;		/* the command's arguments */
};

/* How a reply goes on behind its "+OK" line. */
enum pop3_reply_shape { POP3_REPLY_ONE_LINE, POP3_REPLY_LINES, POP3_REPLY_CONTENT };

struct pop3_client {
	const struct pop3_client_params *params;
	const struct pop3_client_events *events;
	void *owner;

	/* Requests in their order: `sent` of them are written and not answered, the others
	 * wait.  Of `capacity`, those before `first` are done with. */
	struct pop3_request *queue;
	size_t first, count, capacity, sent;

	bool busy;			/* within input(): what is asked for is sent at its end */
	bool more;			/* octets behind the reply that is judged */
	bool in_handshake, secured;	/* of STLS */
	bool logged_in, ready, ready_told;
	bool quitting, finished;
	unsigned progress;
	struct pop3_capabilities capabilities;
	struct sasl sasl;		/* from the login on: it knows the password again */
	struct buf out;			/* commands not yet given to send() */

	bool in_lines;			/* the first line of the reply was +OK, others follow */
	struct buf text;		/* of that first line */
	struct smtp_decoder decoder;	/* RFC 1939 3 stuffs dots as RFC 5321 4.5.2 does */
	unsigned line_count;

	unsigned char *listed;		/* LISTED_* bits by message number */
	size_t listed_size;
	unsigned message_count, uidl_count;	/* of the last list */
};

struct pop3_row {
	const char *name;
	unsigned timeout;		/* seconds to the end of the (first) line */
	bool in_auth;			/* replies are not for a log */
	bool secret;			/* nor is the command */
	enum pop3_reply_shape shape;
	/* Appends the command without its CRLF. */
	void (*write)(struct pop3_client *client, const struct pop3_request *request,
	    struct buf *out);
	/* The request is done with.  ok: text is that of +OK, else of -ERR. */
	void (*on_reply)(struct pop3_client *client, const struct pop3_request *request, bool ok,
	    struct slice text);
	void (*on_line)(struct pop3_client *client, struct slice line);	/* of LINES */
};
extern const struct pop3_row pop3_rows[];	/* by enum pop3_step */

/* pop3_client.c */
void pop3_push(struct pop3_client *client, enum pop3_step step, unsigned number, unsigned lines);
/* text: our own words.  Nothing more is said to the server. */
void pop3_finish(struct pop3_client *client, enum pop3_end end, const char *text);
/* The server's words, as far as they may be shown, behind ours. */
void pop3_refused(struct pop3_client *client, enum pop3_end end, const struct pop3_request *request,
    struct slice text);
/* -ERR to what the session cannot do without. */
void pop3_not_served(struct pop3_client *client, const struct pop3_request *request,
    struct slice text);
/* Takes leave first: only before the login, as QUIT behind it deletes what was marked. */
void pop3_part(struct pop3_client *client);

/* pop3_client_login.c */
void pop3_login_write_auth(struct pop3_client *client, const struct pop3_request *request,
    struct buf *out);
void pop3_login_write_answer(struct pop3_client *client, const struct pop3_request *request,
    struct buf *out);
void pop3_login_on_challenge(struct pop3_client *client, const struct pop3_request *request,
    struct slice text);
void pop3_login_begin(struct pop3_client *client);
void pop3_login_on_auth(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text);
void pop3_login_on_user(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text);

/* pop3_client_list.c */
void pop3_list_on_stat(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text);
void pop3_list_on_list(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text);
void pop3_list_on_list_line(struct pop3_client *client, struct slice line);
void pop3_list_on_uidl(struct pop3_client *client, const struct pop3_request *request, bool ok,
    struct slice text);
void pop3_list_on_uidl_line(struct pop3_client *client, struct slice line);

#endif
