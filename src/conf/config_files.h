/* config_files.h - the files that keys name: there, readable, private, and what they should be. */
#ifndef HERALD_CONF_CONFIG_FILES_H
#define HERALD_CONF_CONFIG_FILES_H

#include <stdbool.h>

struct config_block;
struct error;

/* All take "" for "not set", which is good, and set *err by config_fault(). */

bool config_check_readable(
    const struct config_block *block, const char *key, const char *path, struct error *err);

/* A regular file that none but its owner may read, or root's that the group of `user`, the
 * account of the daemon, may read too. */
bool config_check_private(const struct config_block *block, const char *key, const char *path,
    const char *user, struct error *err);

/* As secret_read() takes it: the place, and where it can be read now, one line of text. */
bool config_check_secret(const struct config_block *block, const char *key, const char *where,
    const char *user, struct error *err);

/* PEM files of authorities, and of a certificate with its key. */
bool config_check_authorities(
    const struct config_block *block, const char *key, const char *path, struct error *err);
bool config_check_key_pair(const struct config_block *block, const char *certificate,
    const char *private_key, struct error *err);

#endif
