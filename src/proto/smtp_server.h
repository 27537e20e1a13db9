/* smtp_server.h - the server's half of SMTP: octets in, replies and mail transactions out. */
#ifndef HERALD_PROTO_SMTP_SERVER_H
#define HERALD_PROTO_SMTP_SERVER_H

#include "mail/envelope.h"
#include "mail/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smtp_server;

#define SMTP_SERVER_LINE_MAX	2048	/* octets of a MAIL or RCPT line with its CRLF */
#define SMTP_SERVER_COMMAND_MAX	512	/* of any other, RFC 5321 4.5.3.1.4 */
#define SMTP_SERVER_DISCARD_MAX	(64 * 1024)	/* octets of endless lines, a session: RULES P1 */

struct smtp_server_settings {	/* copied; the text is borrowed */
	const char *hostname;
	uint64_t max_message_size;	/* octets; 0: no limit, RFC 1870 4 */
	unsigned max_recipients;	/* of a transaction */
	unsigned max_errors;		/* since the last mail taken; 0: no limit */
	bool normalize;			/* a bare LF in content becomes CRLF, else it is a fault */
};

struct smtp_mail_params {
	uint64_t size;			/* SIZE=, RFC 1870; 0: not said */
	bool body_8bit;			/* BODY=8BITMIME, RFC 6152 */
	bool smtputf8;			/* RFC 6531 3.4 */
	enum envelope_ret ret;		/* RFC 3461 4.3 */
	/* xtext as it came, RFC 3461 4.4; borrowed, no NUL behind it; NULL: not said. */
	const char *envid;
	size_t envid_len;
};

struct smtp_rcpt_params {
	unsigned notify;		/* NOTIFY_* bits, RFC 3461 4.1; 0: not said */
	/* "rfc822;xtext", RFC 3461 4.2; borrowed; NULL: not said.  ASCII, of the utf-8 type too. */
	const char *orcpt;
	size_t orcpt_len;
};

struct smtp_refusal {
	const char *verb;		/* "RCPT", "END-OF-MESSAGE"; "COMMAND": none of ours */
	const struct status *status;
	const struct address *forward_path;	/* RCPT, if it could be read; else NULL */
};

/* They come from inside smtp_server_input(), _answer() and _close().  None may
 * free the server.  Members may not be NULL. */
struct smtp_server_events {
	void (*on_output)(void *owner, const char *octets, size_t len);
	/* What the owner answers goes out as it is; a 2xx begins or extends the transaction. */
	struct status (*on_mail)(void *owner, const struct address *reverse_path,
	    const struct smtp_mail_params *params);
	struct status (*on_rcpt)(void *owner, const struct address *forward_path,
	    const struct smtp_rcpt_params *params);
	struct status (*on_data)(void *owner);	/* 354 to go ahead */
	void (*on_content)(void *owner, const char *octets, size_t len);
	/* Whole and clean: the owner calls smtp_server_answer(), from here or later. */
	void (*on_end)(void *owner);
	/* The transaction that on_mail began came to nothing. */
	void (*on_reset)(void *owner);
	void (*on_refused)(void *owner, const struct smtp_refusal *refusal);	/* for the log */
	/* The session is over once the output is sent; no input is taken any more. */
	void (*on_quit)(void *owner);
};

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings,
    const struct smtp_server_events *events, void *owner);
void smtp_server_free(struct smtp_server *server);	/* NULL is allowed; tells nobody */

void smtp_server_greet(struct smtp_server *server);	/* 220, once, before any input */

/* Returns the octets consumed.  The rest is to come again with what follows: a line without
 * its end, or commands behind an end of data that smtp_server_answer() has not answered. */
size_t smtp_server_input(struct smtp_server *server, const char *octets, size_t len);

/* The fate of the mail data.  Input may then go on; *status is sent as it is. */
void smtp_server_answer(struct smtp_server *server, const struct status *status);

/* Ends the session from our side: "421 4.3.2 HOSTNAME ..." and on_quit(). */
void smtp_server_close(struct smtp_server *server, const struct status *status);

bool smtp_server_in_data(const struct smtp_server *server);	/* or its answer is awaited */
bool smtp_server_awaits_answer(const struct smtp_server *server);
const char *smtp_server_helo(const struct smtp_server *server);	/* "" before EHLO */
/* "SMTP", "ESMTP"; "UTF8SMTP" in a transaction with SMTPUTF8: RFC 6531 4.3. */
const char *smtp_server_protocol(const struct smtp_server *server);

#endif
