/* fetch_mailbox.h - what a POP3 mailbox holds, and which of it is wanted. */
#ifndef HERALD_CLIENT_FETCH_MAILBOX_H
#define HERALD_CLIENT_FETCH_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct fetch_state;

enum fetch_selection { FETCH_ALL, FETCH_LAST, FETCH_NUMBER, FETCH_NEW };

/* What becomes of a message. */
enum fetch_choice {
	FETCH_LEAVE,
	FETCH_TAKE,
	FETCH_ONLY_DELETE,	/* an earlier run has saved it and could not delete it */
};

struct fetch_entry {
	uint64_t size;		/* octets; a hint */
	char *uidl;		/* NULL: none */
	enum fetch_choice choice;
	bool is_listed;
	/* Another message has it too: copies of one, if the server is honest (RFC 1939 7). */
	bool is_shared;
	/* Its parts could not be read to the end, so it is kept whole before it is deleted. */
	bool is_whole_wanted;
	bool is_owed;		/* saved in this session, and DELE was not answered */
};

/* All zero is an empty one. */
struct fetch_mailbox {
	struct fetch_entry *entries;	/* by number; the first is not used */
	size_t capacity;
	unsigned highest;		/* number */
	size_t count, uidl_count;	/* of those listed */
	size_t copy_count;		/* left as copies of one that is taken */
};

void fetch_mailbox_clear(struct fetch_mailbox *mailbox);
void fetch_mailbox_add(struct fetch_mailbox *mailbox, unsigned number, uint64_t size);
void fetch_mailbox_name(struct fetch_mailbox *mailbox, unsigned number, const char *uidl);

/* Sets the choices; `state` is NULL in a run that remembers nothing.  False: the state cannot
 * be read. */
bool fetch_mailbox_choose(struct fetch_mailbox *mailbox, enum fetch_selection selection,
    unsigned number, bool deletes, struct fetch_state *state, struct error *err)
    __attribute__((warn_unused_result));

/* All UIDLs, for fetch_state_prune(): `*count` of them; free the array alone. */
const char **fetch_mailbox_uidls(const struct fetch_mailbox *mailbox, size_t *count);

/* The UIDL by which a message is remembered; NULL where it has none of its own. */
const char *fetch_entry_key(const struct fetch_entry *entry, bool deletes);

#endif
