/* config_load.h - what config.c lends to config_load.c: an empty config, and its texts. */
#ifndef HERALD_CONF_CONFIG_LOAD_H
#define HERALD_CONF_CONFIG_LOAD_H

struct config;

/* All zero but the path, with one reference. */
struct config *config_new(const char *path);

/* Frees a text of a config and puts a copy of another in its place. */
void config_replace(const char **text, const char *next);

#endif
