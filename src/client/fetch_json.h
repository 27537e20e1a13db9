/* fetch_json.h - what herald fetch says to programs: one object, written as it grows. */
#ifndef HERALD_CLIENT_FETCH_JSON_H
#define HERALD_CLIENT_FETCH_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct fetch_json;

#define FETCH_JSON_TEXT_MAX	(1024 * 1024)	/* octets of text a message; the rest is left out */

/* NULL says nothing to nobody: all calls take it.  Octets that are no UTF-8 become U+FFFD
 * everywhere; for a terminal all beyond ASCII is escaped, as controls are among it that would
 * drive it.  One message is in memory at a time. */
struct fetch_json *fetch_json_new(FILE *out, bool terminal);	/* borrowed */
void fetch_json_free(struct fetch_json *json);	/* completes nothing */

/* Up to the list of messages; `welcome` is the server's, NULL: it said none. */
void fetch_json_mailbox(struct fetch_json *json, const char *account, const char *welcome,
    uint64_t count, uint64_t size);
/* Of the message that is open from here to fetch_json_message_end(); nothing without one. */
void fetch_json_message(struct fetch_json *json, uint64_t number, uint64_t size,
    const char *uidl);
void fetch_json_string(struct fetch_json *json, const char *key, const char *value);
void fetch_json_text(struct fetch_json *json, const char *octets, size_t len);
bool fetch_json_is_truncated(const struct fetch_json *json);	/* the text so far */
/* The text is whole: it is written with all that was said before, for fflush(). */
void fetch_json_text_end(struct fetch_json *json);
/* `file`: as it is called at last. */
void fetch_json_part(struct fetch_json *json, const char *type, const char *name,
    const char *file, uint64_t size, const char *content_id);
void fetch_json_fault(struct fetch_json *json, const char *text);
/* is_taken: with its parts; without, only what was said of it and its faults. */
void fetch_json_message_end(struct fetch_json *json, bool is_taken, bool deleted);
/* The end of the object, if it was begun. */
void fetch_json_end(struct fetch_json *json);

#endif
