/* client_dialogue.h - what --debug shows of a dialogue: its lines, without the secrets. */
#ifndef HERALD_CLIENT_CLIENT_DIALOGUE_H
#define HERALD_CLIENT_CLIENT_DIALOGUE_H

#include <stdbool.h>
#include <stddef.h>

struct client_dialogue;

/* NULL is a dialogue that nobody watches: all calls take it and show nothing. */
struct client_dialogue *client_dialogue_new(bool is_shown);
void client_dialogue_free(struct client_dialogue *dialogue);

/* A line of the server that repeats the password, or how PLAIN and LOGIN write it, is not shown
 * from then on. */
void client_dialogue_hide(struct client_dialogue *dialogue, const char *user,
    const char *password);

/* "C: MAIL FROM:<a@example.org>" on standard error, a line for each; the octets may end in the
 * middle of one.  Of a secret one, which comes whole, the command and the mechanism alone:
 * "C: AUTH PLAIN ***", "C: PASS ***", "C: ***". */
void client_dialogue_client(struct client_dialogue *dialogue, const char *octets, size_t len,
    bool is_secret);
/* "S: 250 ok".  A secret one (within AUTH): "S: 334 ***", of a challenge or where POP3 has "+",
 * else its words. */
void client_dialogue_server(struct client_dialogue *dialogue, const char *octets, size_t len,
    bool is_secret);
/* "* TLSv1.3, …": what happens besides. */
void client_dialogue_note(struct client_dialogue *dialogue, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
