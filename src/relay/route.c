/* route.c - the places that will take the mail of a relay, one after the other. */
#include "relay/route.h"

#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/loop.h"
#include "net/resolver.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct route {
	struct loop *loop;
	const struct relay_config *config;
	struct resolver *resolver;
	struct resolver_query *query;	/* under way, or NULL */
	struct loop_task answer;	/* what is known already is said at the end of the turn */
	size_t host;			/* the next to look up */
	struct next_hop hop;
	struct endpoint *addresses;	/* of the host looked up last */
	size_t address_count, address;
	struct status failure;		/* of the last lookup */
	bool failed;
	route_found *found;		/* who waits for an answer, or NULL */
	void *arg;
};

static void
say(struct route *route, const struct next_hop *hop)
{
	route_found *found = route->found;

	route->found = NULL;
	found(route->arg, hop, hop == NULL && route->failed ? &route->failure : NULL);
}

static void
lookup_failed(struct route *route, enum resolver_outcome outcome, const char *text)
{
	/* RFC 3463: X.4.3 the directory does not answer, X.4.4 no way to the host. */
	const char *code = outcome == RESOLVER_FAILED ? "4.4.3" : "4.4.4";

	route->failure = status_local(code, "host %s: %s", route->hop.host, text);
	route->failed = true;
}

static void look_up(struct route *route);

static void
on_addresses(void *arg, enum resolver_outcome outcome, const struct endpoint *addresses,
    size_t count, const char *text)
{
	struct route *route = arg;

	route->query = NULL;
	free(route->addresses);
	route->addresses = NULL;
	route->address = route->address_count = 0;
	if (outcome != RESOLVER_FOUND || count == 0) {
		lookup_failed(route, outcome, text != NULL ? text : "no address");
		look_up(route);
		return;
	}
	route->failed = false;
	route->addresses = mem_dup(addresses, count * sizeof(*addresses));
	route->address_count = count;
	route->hop.address = route->addresses[route->address++];
	say(route, &route->hop);
}

static void
look_up(struct route *route)
{
	const struct config_host *host;

	if (route->host == route->config->host_count) {
		say(route, NULL);
		return;
	}
	host = &route->config->hosts[route->host++];
	text_copy(route->hop.host, sizeof(route->hop.host), host->name);
	route->hop.port = host->port;
	route->query = resolver_addresses(route->resolver, host->name, host->port, on_addresses,
	    route);
}

static void
answer(void *owner)
{
	struct route *route = owner;

	if (route->address < route->address_count) {
		route->hop.address = route->addresses[route->address++];
		say(route, &route->hop);
	} else {
		look_up(route);
	}
}

struct route *
route_new(struct loop *loop, const struct relay_config *config, struct resolver *resolver)
{
	struct route *route = mem_zalloc(sizeof(*route));

	route->loop = loop;
	route->config = config;
	route->resolver = resolver;
	route->answer = (struct loop_task){ .run = answer, .owner = route };
	return route;
}

void
route_free(struct route *route)
{
	if (route == NULL)
		return;
	loop_cancel(route->loop, &route->answer);
	if (route->query != NULL)
		resolver_cancel(route->query);
	free(route->addresses);
	free(route);
}

void
route_next(struct route *route, route_found *found, void *arg)
{
	assert(route->found == NULL);
	route->found = found;
	route->arg = arg;
	loop_defer(route->loop, &route->answer);
}

const char *
next_hop_text(const struct next_hop *hop, char out[ROUTE_TEXT_MAX])
{
	char address[ENDPOINT_ADDRESS_MAX];

	snprintf(out, ROUTE_TEXT_MAX, "%s[%s]:%u", hop->host,
	    endpoint_host(&hop->address, address), hop->port);
	return out;
}
