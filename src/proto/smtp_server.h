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
#define SMTP_SERVER_AUTH_MAX	12288	/* of AUTH and of an answer to it, RFC 4954 4 */
#define SMTP_SERVER_DISCARD_MAX	(64 * 1024)	/* octets of endless lines, a session: RULES P1 */

#define SMTP_AUTH_PLAIN		1u	/* RFC 4616 */
#define SMTP_AUTH_LOGIN		2u	/* draft-murchison-sasl-login */

struct smtp_server_settings {	/* copied; the text is borrowed */
	const char *hostname;
	uint64_t max_message_size;	/* octets; 0: no limit, RFC 1870 4 */
	unsigned max_recipients;	/* of a transaction */
	unsigned max_errors;		/* since the last mail taken; 0: no limit */
	bool normalize;			/* a bare LF in content becomes CRLF, else it is a fault */
	bool bare_names;		/* <name> without a domain is a path: {name, ""} */
	bool offers_starttls;		/* as long as it is not secure */
	bool is_secure;			/* TLS from the first octet on */
	unsigned offers_auth;		/* SMTP_AUTH_* bits; 0: no AUTH at all */
	bool auth_in_clear;		/* AUTH without TLS: on loopback and UNIX sockets */
	bool require_auth;		/* MAIL before AUTH is refused: 530 */
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

/* They come from inside smtp_server_input(), _answer(), _auth_answer() and _close().  None may
 * free the server.  Members may not be NULL, but for those of what is not offered. */
struct smtp_server_events {
	void (*on_output)(void *owner, const char *octets, size_t len);
	/* What the owner answers goes out as it is; a 2xx begins or extends the transaction. */
	struct status (*on_mail)(void *owner, const struct address *reverse_path,
	    const struct smtp_mail_params *params);
	struct status (*on_rcpt)(void *owner, const struct address *forward_path,
	    const struct smtp_rcpt_params *params);
	/* 354 to go ahead, before the first BDAT, too: there the 354 is not sent. */
	struct status (*on_data)(void *owner);
	void (*on_content)(void *owner, const char *octets, size_t len);
	/* Whole and clean: the owner calls smtp_server_answer(), from here or later. */
	void (*on_end)(void *owner);
	/* The transaction that on_mail began came to nothing. */
	void (*on_reset)(void *owner);
	void (*on_refused)(void *owner, const struct smtp_refusal *refusal);	/* for the log */
	/* The session is over once the output is sent; no input is taken any more. */
	void (*on_quit)(void *owner);
	/* The 220 is written; no input is taken until smtp_server_secured().  more_input: octets
	 * came behind the command, in clear: the owner must drop the connection (RULES T). */
	void (*on_starttls)(void *owner, bool more_input);
	/* Borrowed for the call, wiped behind it.  The owner calls smtp_server_auth_answer(), from
	 * here or later.  The username is 1 to 255 octets of printable UTF-8. */
	void (*on_auth)(void *owner, const char *username, const char *password);
};

struct smtp_server *smtp_server_new(const struct smtp_server_settings *settings,
    const struct smtp_server_events *events, void *owner);
void smtp_server_free(struct smtp_server *server);	/* NULL is allowed; tells nobody */

void smtp_server_greet(struct smtp_server *server);	/* 220, once, before any input */

/* Returns the octets consumed.  The rest is to come again with what follows: a line without
 * its end, or commands behind an end of data that smtp_server_answer() has not answered.  Who
 * cuts what has come must offer SMTP_SERVER_AUTH_MAX octets at once: a line may be as long. */
size_t smtp_server_input(struct smtp_server *server, const char *octets, size_t len);

/* The fate of the mail data.  Input may then go on; *status is sent as it is. */
void smtp_server_answer(struct smtp_server *server, const struct status *status);

/* The fate of AUTH: "235 2.7.0", "535 5.7.8", "454 4.7.0".  Input may then go on. */
void smtp_server_auth_answer(struct smtp_server *server, const struct status *status);

/* The TLS handshake is done: all that the client said before is forgotten (RFC 3207 4.2). */
void smtp_server_secured(struct smtp_server *server);

/* Ends the session from our side: "421 4.3.2 HOSTNAME ..." and on_quit(). */
void smtp_server_close(struct smtp_server *server, const struct status *status);

/* Within a message, between its chunks and until its answer, too. */
bool smtp_server_in_data(const struct smtp_server *server);
bool smtp_server_awaits_answer(const struct smtp_server *server);	/* of the mail or of AUTH */
const char *smtp_server_helo(const struct smtp_server *server);	/* "" before EHLO */
const char *smtp_server_username(const struct smtp_server *server);	/* "" before a 235 */
const char *smtp_server_auth_method(const struct smtp_server *server);	/* "PLAIN"; "" likewise */
/* "SMTP", "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA": RFC 3848; in a transaction with SMTPUTF8
 * "UTF8SMTP" to "UTF8SMTPSA": RFC 6531 4.3. */
const char *smtp_server_protocol(const struct smtp_server *server);

#endif
