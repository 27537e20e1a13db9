/* password.h - compares passwords with their hashes, on a thread of its own. */
#ifndef HERALD_INTAKE_PASSWORD_H
#define HERALD_INTAKE_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

/* crypt(3) takes tens of milliseconds on purpose: so many are a few seconds of waiting. */
#define PASSWORDS_WAITING_MAX	64

struct loop;
struct password_check;
struct passwords;
struct users;

struct passwords *passwords_new(struct loop *loop);
/* Waits for the comparison that runs; none of those that wait is told.  NULL is allowed. */
void passwords_free(struct passwords *passwords);

/* Comes from the loop.  is_good: the name is known and the password is his. */
typedef void password_done(void *arg, bool is_good);
/* Copies what it needs and wipes it.  A name that is unknown costs the same as one that is
 * known.  NULL: too many wait. */
struct password_check *password_start(struct passwords *passwords, const struct users *users,
    const char *name, const char *password, password_done *done, void *arg);
/* `done` does not come. */
void password_cancel(struct passwords *passwords, struct password_check *check);

size_t passwords_waiting(const struct passwords *passwords);	/* not cancelled, not told */

#endif
