/* config_submission.h - submission blocks: values against each other and against their files. */
#ifndef HERALD_CONF_CONFIG_SUBMISSION_H
#define HERALD_CONF_CONFIG_SUBMISSION_H

#include <stdbool.h>

struct config;
struct config_block;
struct error;

/* A row of config_check.c: the object is a struct submission_config. */
bool config_check_submission(const struct config *config, const struct config_block *block,
    const void *object, struct error *err);

#endif
