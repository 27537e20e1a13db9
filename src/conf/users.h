/* users.h - who may authenticate: a file of NAME:HASH lines, the hashes of crypt(5). */
#ifndef HERALD_CONF_USERS_H
#define HERALD_CONF_USERS_H

#include <stdbool.h>
#include <stddef.h>

#define USERS_NAME_MAX	255	/* octets, RFC 4616 2 */
#define USERS_HASH_MAX	255	/* octets: more than any of the methods makes */

struct error;
struct users;

/* Blank lines and those that begin with # are nothing.  NULL and *err at the first fault:
 * "PATH:LINE: what, what is allowed".  The hash itself never stands in it.  Unless `guarded`,
 * which says that the caller has judged who may read it, others' eyes are a fault, too. */
struct users *users_load(const char *path, bool guarded, struct error *err);
struct users *users_ref(struct users *users);
void users_unref(struct users *users);		/* NULL is allowed; the last one wipes */

size_t users_count(const struct users *users);
/* NULL: unknown. */
const char *users_hash(const struct users *users, const char *name);
/* What a password for an unknown name is to be compared with, so that it costs the same: of
 * one name always the same, and of the kinds that the file has. */
const char *users_decoy(const struct users *users, const char *name);

/* Whether crypt(3) takes it: yescrypt, bcrypt, sha512 or sha256, whole, of a cost that one
 * login may have. */
bool users_hash_check(const char *hash, struct error *err) __attribute__((warn_unused_result));
/* UTF-8 without colon, blank and control characters. */
bool users_name_check(const char *name, struct error *err) __attribute__((warn_unused_result));

#endif
