/* config_identity.h - the identity block and the aliases file that it names. */
#ifndef HERALD_CONF_CONFIG_IDENTITY_H
#define HERALD_CONF_CONFIG_IDENTITY_H

#include "conf/config_file.h"

#include <stdbool.h>

struct config;
struct config_block;
struct error;
struct identity_config;

/* Row of config_check.c: the object is a struct identity_config. */
bool config_check_identity(const struct config *config, const struct config_block *block,
    const void *object, struct error *err);

/* Sets `rules`, once hostname is known: reads the aliases.  A file that the conffile does not
 * name may be absent; `aliases` is "" then. */
bool config_find_identity(struct config *config, const struct config_file *file,
    struct error *err) __attribute__((warn_unused_result));
void config_free_identity(const struct identity_config *section);

/* Whether the same file has other names in it. */
bool config_aliases_differ(const struct identity_config *old, const struct identity_config *next);

#endif
