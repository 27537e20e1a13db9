/* smtp_session_parts.h - what the files of a session share; nobody else includes it. */
#ifndef HERALD_INTAKE_SMTP_SESSION_PARTS_H
#define HERALD_INTAKE_SMTP_SESSION_PARTS_H

#include <stdint.h>
#include <sys/queue.h>

#include "intake/access.h"
#include "intake/pace.h"
#include "intake/refusal.h"
#include "intake/smtp_session.h"
#include "intake/smtp_terms.h"
#include "mail/address.h"
#include "net/endpoint.h"
#include "net/idle.h"
#include "proto/smtp_server.h"

#define CLIENT_SIZE	96		/* "unknown[" and an IPv6 address "]" */
/* RULES S, as Postfix has it in its STRESS_README. */
#define STRESS_SECONDS	10
/* A handshake takes three round trips, and seldom a second. */
#define HANDSHAKE_SECONDS	30

LIST_HEAD(session_list, smtp_session);

struct smtp_sessions {
	struct loop *loop;
	struct queue *queue;
	struct access *access;
	struct guesses *guesses;
	struct passwords *passwords;
	struct session_list open;
	uint64_t open_count, connections, messages, refused[REFUSALS];
	int64_t logged_full;		/* Unix seconds of the latest line about too many clients */
};

enum session_stage {
	STAGE_PROXY,			/* its PROXY header is to come: `proxied` and `fd` */
	STAGE_HANDSHAKE,		/* TLS, at the start or behind STARTTLS: no word of SMTP */
	STAGE_SMTP,
};

struct smtp_session {
	struct smtp_sessions *sessions;
	struct smtp_terms *terms;
	enum session_stage stage;
	struct proxied *proxied;
	int fd;				/* until `conn` owns it */
	struct conn *conn;		/* NULL before */
	struct smtp_server *server;	/* NULL before the greeting is due */
	struct submission *submission;	/* from MAIL to the answer; NULL: none */
	struct password_check *check;	/* AUTH that waits for its answer; NULL: none */
	struct idle idle;
	struct pace pace;
	bool is_counted;		/* access_leave() is owed */
	bool is_over;			/* the engine has said its last word */
	bool tls_due;			/* the engine has agreed to STARTTLS */
	bool is_early;			/* and octets came behind it, in clear */
	bool has_sender;		/* reverse_path is that of this transaction */
	struct address reverse_path;

	struct endpoint peer;		/* the other end: the client, or its proxy */
	struct endpoint client;		/* for what follows */
	bool is_proxied;		/* `client` is what a PROXY header names */
	bool is_unnamed;		/* and it names none: trusted with nothing */
	bool may_relay;			/* without AUTH */
	const char *client_name;
	char client_address[ENDPOINT_ADDRESS_MAX];	/* "" for a UNIX socket */
	unsigned client_uid;
	char client_text[CLIENT_SIZE];	/* "localhost[127.0.0.1]", "local[unix]" */
	struct access_client access_client;
	LIST_ENTRY(smtp_session) entry;
};

/* smtp_session.c: the life of a session. */
void smtp_session_talk(struct smtp_session *session);	/* adopts `fd`, greets or begins TLS */
void smtp_session_free(struct smtp_session *session);	/* not the connection */
/* Our last words go out and the client's are drained. */
void smtp_session_finish(struct smtp_session *session);
void smtp_session_drop(struct smtp_session *session);	/* at once, without a word */
void smtp_session_settle_flow(struct smtp_session *session);
void smtp_session_progress(struct smtp_session *session);

/* smtp_session_client.c: who it is, and whether there is room for it. */
void smtp_session_meet(struct smtp_session *session);	/* `peer` is known; may free */

/* smtp_session_engine.c: what the engine tells. */
void smtp_session_start_engine(struct smtp_session *session, bool is_secure);
bool smtp_session_is_of_this_machine(const struct smtp_session *session);

/* smtp_session_secure.c: TLS and AUTH. */
/* more_input: octets follow in clear.  False: the session is gone. */
bool smtp_session_start_tls(struct smtp_session *session, bool more_input);
void smtp_session_on_secured(void *owner);
void smtp_session_on_starttls(void *owner, bool more_input);
void smtp_session_on_auth(void *owner, const char *username, const char *password);

#endif
