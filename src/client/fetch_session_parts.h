/* fetch_session_parts.h - what the files of fetch_session share, and nobody else. */
#ifndef HERALD_CLIENT_FETCH_SESSION_PARTS_H
#define HERALD_CLIENT_FETCH_SESSION_PARTS_H

#include "client/client_account.h"
#include "client/fetch_link.h"
#include "client/fetch_mailbox.h"
#include "client/fetch_session.h"
#include "proto/pop3_client.h"

#include <stdbool.h>
#include <stdint.h>

struct fetch_message;
struct fetch_save;
struct fetch_state;

struct fetch_session {
	const struct fetch_params *params;
	char account[CLIENT_USER_MAX + ENDPOINT_HOST_MAX + 16];
	struct fetch_link link;
	struct pop3_client *client;
	struct fetch_state *state;
	struct fetch_save *save;
	struct fetch_mailbox mailbox;
	char *welcome;
	uint64_t size;			/* of the mailbox, as STAT has it */
	bool has_uidl;
	unsigned next;			/* the first number that was not looked at yet */
	unsigned ahead;			/* given and not answered */
	struct fetch_message *message;	/* the one that comes */
	unsigned number;		/* its number; 0: none */
	bool is_left;			/* what comes is too large */
	bool is_stopping;		/* files cannot be written: nothing more is fetched */
	bool is_quitting;
	unsigned deleted;		/* DELE was answered well */
	int exit_code;			/* of what was not good on the way */
	int end_code;			/* of how the session ended */
};

/* The first fault that is one of this machine goes before those of single messages. */
void fetch_session_note(struct fetch_session *session, int exit_code);

/* Gives the engine what it is to ask for next, some in advance; QUIT when nothing is left. */
void fetch_session_give(struct fetch_session *session);

/* Events of the engine. */
void fetch_session_content(void *owner, unsigned number, const char *octets, size_t len);
void fetch_session_done(void *owner, enum pop3_command command, unsigned number, bool good,
    const char *text, size_t len);
/* The session ends within a message. */
void fetch_session_break_off(struct fetch_session *session);

#endif
