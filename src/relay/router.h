/* router.h - which relay takes the mail for a recipient. */
#ifndef HERALD_RELAY_ROUTER_H
#define HERALD_RELAY_ROUTER_H

struct address;
struct config;
struct relay_config;
struct route_config;

/* The relay of the first route that matches, or the default one; NULL where there is
 * none either.  *rule is that route, NULL for the default; `rule` may be NULL. */
const struct relay_config *router_find(const struct config *config,
    const struct address *reverse_path, const struct address *forward_path,
    const struct route_config **rule);

/* The relay block of that name, or NULL. */
const struct relay_config *router_relay(const struct config *config, const char *name);

#endif
