/* fetch_message.h - one message on its way: cut into parts, printed, saved. */
#ifndef HERALD_CLIENT_FETCH_MESSAGE_H
#define HERALD_CLIENT_FETCH_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fetch_json;
struct fetch_message;
struct fetch_printer;
struct fetch_save;

/* All is borrowed. */
struct fetch_message_settings {
	struct fetch_printer *printer;	/* NULL: not for people */
	struct fetch_json *json;	/* NULL: not for programs */
	struct fetch_save *save;	/* NULL: a line of a list, nothing is saved */
	bool attachments_only, save_message;
	bool deletes;			/* it is to be deleted after it was saved */
	bool is_again;			/* it was printed before: only what is saved is told */
	bool is_progress_shown;
};

struct fetch_message *fetch_message_new(const struct fetch_message_settings *settings,
    unsigned number, uint64_t size, const char *uidl);
/* NULL is allowed.  What was not committed goes. */
void fetch_message_free(struct fetch_message *message);

/* Counts the octets; those of a message that was dropped go nowhere else. */
void fetch_message_feed(struct fetch_message *message, const char *octets, size_t len,
    bool is_dropped);
uint64_t fetch_message_received(const struct fetch_message *message);	/* octets */

/* A fault that others found; the message is told of with it. */
void fetch_message_fault(struct fetch_message *message, const char *text);

enum fetch_outcome {
	FETCH_OUTCOME_DONE,	/* saved; DELE may be given if it is wanted */
	/* Its parts could not be read to the end, or its text is too long for JSON, and without
	 * it whole, DELE would lose some: nothing is saved yet.  Again, with save_message and
	 * is_again. */
	FETCH_OUTCOME_AGAIN,
	FETCH_OUTCOME_FAILED,	/* nothing is saved: files or the output cannot be written */
};

/* The message is whole.  `key` is what it is remembered by, NULL: not.  *exit_code becomes
 * one of <sysexits.h> for what was not good, and is left alone else; it was said. */
enum fetch_outcome fetch_message_end(struct fetch_message *message, const char *key,
    int *exit_code);
/* It does not come to its end, or is not taken: no file of it stays. */
void fetch_message_drop(struct fetch_message *message);

#endif
