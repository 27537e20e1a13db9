/* config_relay.h - relays and the routes to them: values against each other. */
#ifndef HERALD_CONF_CONFIG_RELAY_H
#define HERALD_CONF_CONFIG_RELAY_H

#include <stdbool.h>

struct config;
struct config_block;
struct error;

/* Rows of config_check.c: the object is a struct relay_config, a struct route_config. */
bool config_check_relay(const struct config *config, const struct config_block *block,
    const void *object, struct error *err);
bool config_check_route(const struct config *config, const struct config_block *block,
    const void *object, struct error *err);

#endif
