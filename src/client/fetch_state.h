/* fetch_state.h - what herald fetch remembers of an account: saved, or to be deleted. */
#ifndef HERALD_CLIENT_FETCH_STATE_H
#define HERALD_CLIENT_FETCH_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct fetch_state;

enum fetch_known {
	FETCH_UNSEEN,
	FETCH_SAVED,	   /* all its files are there, by a run with --new */
	FETCH_DELETE_OWED, /* the same, by a run with --delete: give DELE, save nothing again */
};

/* Of what recover() finished: for a line to people where it is not all zero. */
struct fetch_recovered {
	size_t messages; /* completed: from now on they are FETCH_SAVED or FETCH_DELETE_OWED */
	size_t files;	 /* that got their names only now */
	size_t dropped;	 /* whose files are no longer there: FETCH_UNSEEN again */
};

/* Opens the database, $XDG_STATE_HOME/herald/fetch.db where path is NULL, and makes what is
 * missing.  The account is what makes a UIDL unique: user, host and port; it is this process's
 * alone until _free(), and a second run is refused (EX_TEMPFAIL).  NULL: *exit_code says how
 * the program is to end, err why.  A run without --new and --delete opens no state. */
struct fetch_state *fetch_state_open(const char *path, const char *account, int *exit_code,
    struct error *err);
void fetch_state_free(struct fetch_state *state); /* NULL is allowed */

/* To be called once, right after opening: completes what a run that was killed left, so that
 * nothing is lost and nothing comes twice.  Needs no network. */
bool fetch_state_recover(struct fetch_state *state, struct fetch_recovered *out,
    struct error *err) __attribute__((warn_unused_result));

/* A UIDL is 1 to 70 octets but NUL; others are FETCH_UNSEEN and cannot be remembered.  Once a
 * message is deleted its UIDL may be given to another (RFC 1939 7), and who has not seen the reply
 * to QUIT cannot know: one to be deleted that is listed with another size is FETCH_UNSEEN. */
bool fetch_state_lookup(struct fetch_state *state, const char *uidl, uint64_t size,
    enum fetch_known *out, struct error *err) __attribute__((warn_unused_result));

/* The server has said +OK to DELE of this message.  In memory only: it holds after QUIT. */
void fetch_state_note_deleted(struct fetch_state *state, const char *uidl);
/* After the good reply to QUIT, and only then: the rows of the messages noted go. */
bool fetch_state_forget_deleted(struct fetch_state *state, struct error *err)
    __attribute__((warn_unused_result));
/* As if it had never been saved. */
bool fetch_state_forget(struct fetch_state *state, const char *uidl, struct error *err)
    __attribute__((warn_unused_result));
/* After the good reply to QUIT: the rows of this account go whose UIDL is none of these, the
 * whole list of the server.  NULL among them is passed over. */
bool fetch_state_prune(struct fetch_state *state, const char *const *uidls, size_t count,
    struct error *err) __attribute__((warn_unused_result));

/* Of the last call that returned false: one of <sysexits.h>. */
int fetch_state_exit_code(const struct fetch_state *state);

#endif
