/* config_check.h - values against each other and against the files that they name. */
#ifndef HERALD_CONF_CONFIG_CHECK_H
#define HERALD_CONF_CONFIG_CHECK_H

#include "conf/config_file.h"

#include <stdbool.h>

struct config;
struct config_block;
struct error;

/* `file` is what `config` was made of.  False and *err, "FILE:LINE: …". */
bool config_check(const struct config *config, const struct config_file *file, struct error *err)
    __attribute__((warn_unused_result));

/* Sets *err: "FILE:LINE: KEY: …" with the line of that key, or of the block where the key
 * does not stand; without "KEY: " for a NULL key.  Returns false. */
bool config_fault(const struct config_block *block, const char *key, struct error *err,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

bool config_stands(const struct config_block *block, const char *key);

#endif
