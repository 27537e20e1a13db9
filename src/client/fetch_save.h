/* fetch_save.h - puts the parts of messages into a directory: whole, synced, under free names. */
#ifndef HERALD_CLIENT_FETCH_SAVE_H
#define HERALD_CLIENT_FETCH_SAVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct fetch_save;
struct fetch_save_part;
struct fetch_state;

/* What follows on the saving, as it is remembered. */
enum fetch_after {
	FETCH_AFTER_KEEP,   /* --new: the message stays on the server */
	FETCH_AFTER_DELETE, /* --delete: DELE is owed from the commit on */
};

/* Opens the directory once, after making its last component if that is missing, and removes
 * there what dead runs left.  With a state (borrowed, recovered) _commit() can remember.  NULL:
 * *exit_code says how the program is to end. */
struct fetch_save *fetch_save_open(const char *directory, struct fetch_state *state,
    int *exit_code, struct error *err);
void fetch_save_free(struct fetch_save *save); /* NULL is allowed; abandons */

/* A new part of the present message, as a temporary file; several may be open at a time.  The
 * name is one of fetch_name_safe().  Belongs to `save`, until _abandon().  NULL: *err. */
struct fetch_save_part *fetch_save_begin(struct fetch_save *save, const char *name,
    struct error *err);
bool fetch_save_write(struct fetch_save_part *part, const void *octets, size_t len,
    struct error *err) __attribute__((warn_unused_result));
/* Nothing more comes: the file is synced and closed. */
bool fetch_save_end(struct fetch_save_part *part, struct error *err)
    __attribute__((warn_unused_result));

/* The message is complete and every part was ended: all get their names, and where there are a
 * state and a UIDL (else NULL) the message counts as saved from here on; size: as the server
 * lists it.  Also to be called for a message without parts.  Only after true may DELE be given.
 * False: no file of the message has a name, or *err says that the next run completes it. */
bool fetch_save_commit(struct fetch_save *save, const char *uidl, uint64_t size,
    enum fetch_after after, struct error *err) __attribute__((warn_unused_result));

/* The name in the directory, known after _commit(); "name (2).png" if the one wished was taken. */
const char *fetch_save_final_name(const struct fetch_save_part *part);
uint64_t fetch_save_size(const struct fetch_save_part *part); /* octets written to it */

/* Ends the present message: temporary files that were not committed go, the parts are freed.
 * To be called after each message, committed or not. */
void fetch_save_abandon(struct fetch_save *save);

/* Of the last call that returned false or NULL: one of <sysexits.h>. */
int fetch_save_exit_code(const struct fetch_save *save);

#endif
