/* reload.h - puts a configuration in force in all services, or in none. */
#ifndef HERALD_DAEMON_RELOAD_H
#define HERALD_DAEMON_RELOAD_H

#include <stdbool.h>
#include <stddef.h>

struct config;
struct error;
struct service_ops;

/* In the order of start; stopped and destroyed in reverse. */
struct service {
	const struct service_ops *ops;
	void *self;
	const char *status_key;		/* its object's name in heraldctl status; NULL: none */
};

/* prepare() of all, then commit() of all; on the first refusal abandon() of those that
 * had prepared, and *err.  Start and reload are this one path. */
bool reload_apply(const struct service *services, size_t count, const struct config *next,
    struct error *err) __attribute__((warn_unused_result));

#endif
