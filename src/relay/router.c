/* router.c - which relay takes the mail for a recipient. */
#include "relay/router.h"

#include "conf/config.h"
#include "conf/pattern.h"

#include <string.h>

/* An empty list is any. */
static bool
one_matches(const char *const *patterns, size_t count, const struct pattern_subject *subject)
{
	for (size_t i = 0; i < count; i++)
		if (pattern_match(patterns[i], subject))
			return true;
	return count == 0;
}

const struct relay_config *
router_find(const struct config *config, const struct address *reverse_path,
    const struct address *forward_path, const struct route_config **rule)
{
	struct pattern_subject sender, recipient;

	if (rule != NULL)
		*rule = NULL;
	if (config->route_count == 0)
		return config->relay;
	pattern_subject(&sender, reverse_path);
	pattern_subject(&recipient, forward_path);
	for (size_t i = 0; i < config->route_count; i++) {
		const struct route_config *route = &config->routes[i];

		if (!one_matches(route->senders, route->sender_count, &sender) ||
		    !one_matches(route->recipients, route->recipient_count, &recipient))
			continue;
		if (rule != NULL)
			*rule = route;
		return route->target;
	}
	return config->relay;
}

const struct relay_config *
router_relay(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->relay_count; i++)
		if (strcmp(config->relays[i].name, name) == 0)
			return &config->relays[i];
	return NULL;
}
