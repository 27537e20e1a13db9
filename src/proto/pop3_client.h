/* pop3_client.h - the client's half of a POP3 dialogue (RFC 1939), without sockets. */
#ifndef HERALD_PROTO_POP3_CLIENT_H
#define HERALD_PROTO_POP3_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct pop3_client;

/* A mailbox of more is refused: with unique-ids of 70 octets each, what is known of it stays
 * below 64 MiB. */
#define POP3_MESSAGES_MAX	200000
/* Octets with CRLF, four times those of RFC 2449 4: the room that the owner's buffer needs. */
#define POP3_LINE_MAX		2048
#define POP3_UIDL_MAX		70	/* octets, RFC 1939 7 */

enum pop3_tls {
	POP3_TLS_NONE,			/* the password goes in clear: the owner permits it */
	POP3_TLS_STLS,			/* required: without it the session ends (RFC 2595 4) */
	POP3_TLS_IMPLICIT,		/* the connection is under TLS before the greeting */
};

/* Borrowed, and must outlive the client.  SASL PLAIN where it is offered, else USER and PASS;
 * never APOP, whose MD5 is no protection (CVE-2007-1558). */
struct pop3_client_params {
	enum pop3_tls tls;
	const char *username, *password;	/* as pop3_client_check_login() wants them */
};

/* What the owner gives, and gets an on_done() for. */
enum pop3_command { POP3_RETR, POP3_TOP, POP3_DELE };

enum pop3_end {
	POP3_END_QUIT,			/* QUIT was answered +OK: deletions hold */
	POP3_END_REFUSED_LOGIN,		/* user name or password */
	/* [IN-USE], [LOGIN-DELAY] or [SYS/TEMP] (RFC 2449 8.1, RFC 3206 4): later again. */
	POP3_END_TEMPORARY,
	/* -ERR without any of these to the greeting, STAT, LIST or QUIT; or [SYS/PERM].  To
	 * QUIT: some messages that were to be deleted may still be there (RFC 1939 6). */
	POP3_END_REFUSED,
	POP3_END_NO_TLS,		/* STLS is not offered, or refused: no secret was said */
	POP3_END_PROTOCOL,		/* what came is not POP3, or is out of step */
	POP3_END_LOST,			/* pop3_client_lost(); in QUIT: deletions are not certain */
	POP3_END_LIMIT,			/* a line, a list or a mailbox that is too long */
};

/* What the server offers, by its last answer to CAPA (RFC 2449); all false without one. */
struct pop3_capabilities {
	bool known;			/* CAPA was answered */
	bool stls, user, sasl_plain, pipelining, top, uidl;
};

/* What the dialogue asks of its owner, from within pop3_client_*() calls: do not free the
 * client in them; commands may be given in them.  What is called octets or text is the
 * server's: anything but CR LF may be in it, and no NUL ends it. */
struct pop3_client_events {
	/* secret: never into a log.  Whole commands; several in one call when pipelined. */
	void (*send)(void *owner, const char *octets, size_t len, bool secret);
	void (*start_tls)(void *owner);	/* answer: pop3_client_secured() or pop3_client_lost() */
	void (*on_welcome)(void *owner, const char *text, size_t len);	/* without its "+OK " */
	/* The login was good, and the offers are known: now commands may be given.  Once. */
	void (*on_ready)(void *owner);

	/* Of pop3_client_list(), in this order.  on_mailbox(): what STAT says; LIST may tell of
	 * more or fewer messages, and those of LIST count. */
	void (*on_mailbox)(void *owner, uint64_t count, uint64_t octets);
	/* Each number once, 1 to POP3_MESSAGES_MAX, in the server's order. */
	void (*on_message)(void *owner, unsigned number, uint64_t octets);
	/* uidl: 1 to POP3_UIDL_MAX visible ASCII characters and a NUL; never a path.  Only for
	 * messages that were listed, each once.  Two messages may have the same one (RFC 1939 7:
	 * identical copies).  What is no such unique-id is left out. */
	void (*on_uidl)(void *owner, unsigned number, const char *uidl);
	/* has_uidl: each message that was listed has got its on_uidl(). */
	void (*on_listed)(void *owner, bool has_uidl);

	/* Of RETR and TOP: un-stuffed, all else as the server sent it, cut anywhere. */
	void (*on_content)(void *owner, unsigned number, const char *octets, size_t len);
	/* The reply to a command is complete; replies come in the order of the commands.
	 * Good: of RETR and TOP the whole content has come, to its end.  Not good: -ERR, and
	 * nothing of the content, and the password is not repeated.  text: of the first line,
	 * behind "+OK " or "-ERR ". */
	void (*on_done)(void *owner, enum pop3_command command, unsigned number, bool good,
	    const char *text, size_t len);
	/* Exactly once, and the last.  Commands without their on_done() get none, of an open
	 * content no more comes.  Close the connection.  text: why, for people, printable; never
	 * with the password. */
	void (*on_finished)(void *owner, enum pop3_end end, const char *text);
};

/* False where USER and PASS cannot say them: empty, a CR or LF.  (Blanks are no fault.) */
bool pop3_client_check_login(const struct pop3_client_params *params, struct error *err)
    __attribute__((warn_unused_result));

struct pop3_client *pop3_client_new(const struct pop3_client_params *params,
    const struct pop3_client_events *events, void *owner);
void pop3_client_free(struct pop3_client *client);	/* NULL is allowed; no event comes */

/* Returns the octets used; an unfinished line is left and must come again with more. */
size_t pop3_client_input(struct pop3_client *client, const char *octets, size_t len);
void pop3_client_secured(struct pop3_client *client);	/* forgets the offers, asks again */
/* The connection is gone, or the time of the step is over. */
void pop3_client_lost(struct pop3_client *client, const char *text);

/* Only from on_ready() to on_finished().  As many as wanted: they are sent one after the
 * other, or pipelined where this is offered (RFC 2449 6.6), at most 16 unanswered ones. */
void pop3_client_list(struct pop3_client *client);	/* STAT, LIST, UIDL */
void pop3_client_retrieve(struct pop3_client *client, unsigned number);
void pop3_client_top(struct pop3_client *client, unsigned number, unsigned lines);
void pop3_client_delete(struct pop3_client *client, unsigned number);
/* The last command; it is sent when all others have been answered.  Without its good reply
 * nothing is deleted (RFC 1939 6). */
void pop3_client_quit(struct pop3_client *client);

/* Seconds that the current step may take as a whole, counted anew whenever
 * pop3_client_progress() has changed.  0: there is nothing to wait for, or the lines of a
 * long reply are coming, see pop3_client_is_in_lines(). */
unsigned pop3_client_timeout(const struct pop3_client *client);
unsigned pop3_client_progress(const struct pop3_client *client);
/* Within the lines of RETR, TOP, LIST, UIDL or CAPA: how long they may take depends on how
 * many they are, so the owner asks for a rate (RULES K6). */
bool pop3_client_is_in_lines(const struct pop3_client *client);
bool pop3_client_is_in_auth(const struct pop3_client *client);	/* replies: not for a log */
const char *pop3_client_step(const struct pop3_client *client);	/* "RETR", "greeting", … */
const struct pop3_capabilities *pop3_client_capabilities(const struct pop3_client *client);

#endif
