/* session.h - one SMTP session with a relay: a connection, and what is said over it. */
#ifndef HERALD_RELAY_SESSION_H
#define HERALD_RELAY_SESSION_H

struct destination;
struct session;

enum session_state {
	SESSION_SETUP,			/* looks up, connects, greets, TLS, AUTH */
	SESSION_IDLE,			/* could take a mail */
	SESSION_BUSY,			/* a transaction is open */
	SESSION_ENDING,			/* has said QUIT */
};

/* Connects by itself, takes jobs of its destination until there is none, then waits for
 * idle_timeout.  It ends and frees itself, saying destination_forget() before. */
struct session *session_new(struct destination *destination);
enum session_state session_state(const struct session *session);
/* There is a job: for one that is idle, or waits for the reply to its last mail alone. */
void session_wake(struct session *session);
/* Takes no job any more: ends now, or after the transactions that are open. */
void session_retire(struct session *session);
/* At once; open transactions are cut off without a word to the queue. */
void session_abort(struct session *session);

#endif
