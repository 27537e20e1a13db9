/* guesses.h - clients whose passwords were refused, and when they may try again. */
#ifndef HERALD_INTAKE_GUESSES_H
#define HERALD_INTAKE_GUESSES_H

#include <stdbool.h>
#include <stddef.h>

/* Ten at once, for one who has changed the password and not all of his programs; then one
 * in a minute: half a million a year, where a password has at least 2^40 others. */
#define GUESSES_FREE	10
#define GUESSES_SECONDS	60	/* until one is forgotten */
/* Clients that are remembered; of more the one goes that has not guessed for longest. */
#define GUESSES_CLIENTS	4096

struct guesses;

struct guesses *guesses_new(void);
void guesses_free(struct guesses *guesses);	/* NULL is allowed */

/* `client` is the key of struct access_client. */
bool guesses_may(const struct guesses *guesses, const char *client);
void guesses_refused(struct guesses *guesses, const char *client);
size_t guesses_count(const struct guesses *guesses);

#endif
