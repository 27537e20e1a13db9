/* route.c - the places that will take the mail of a relay, one after the other. */
#include "relay/route.h"

#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "mail/address.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "relay/route_address.h"
#include "relay/route_memory.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A host to look up; neighbours of the same rank are looked up together, because the one that is
 * ourselves rules out its equals as well (RFC 5321 5.1). */
struct target {
	struct route *route;
	const char *host;		/* of the conffile, or of route->records */
	uint16_t port;
	unsigned rank;
	struct resolver_query *query;	/* under way, or NULL */
	enum resolver_outcome outcome;
	char *text;			/* why not */
	struct endpoint *addresses;
	size_t count;
};

struct place { struct next_hop hop; bool put_off; };

struct route {
	struct loop *loop;
	struct route_params params;
	char domain[ADDRESS_DOMAIN_MAX + 1];	/* as the DNS has it; "": configured hosts */
	struct route_own own;	/* read for a domain */
	struct loop_task answer;	/* what is known already is said at the end of the turn */
	bool is_begun, is_ended;	/* the targets are known; none of them is left */

	struct resolver_query *query;	/* for the MX records */
	struct resolver_mx *records;
	struct target *targets;		/* in the order to try; [first, next) were looked up last */
	size_t target_count, first, next, pending;

	struct place *places;		/* of what was looked up so far; `place` is the next */
	size_t place_count, place;
	struct status failure;		/* of the lookups that failed, the one that says most */
	bool failed;
	route_found *found;		/* who waits for an answer, or NULL */
	void *arg;
};

static void advance(struct route *route);

static void
say(struct route *route, const struct next_hop *hop)
{
	route_found *found = route->found;

	route->found = NULL;
	found(route->arg, hop, hop == NULL && route->failed ? &route->failure : NULL);
}

static bool
is_by_domain(const struct route *route)
{
	return route->params.domain != NULL;
}

/* What may pass counts more than what is for good: the mail stays. */
static void
fail(struct route *route, const struct status *failure)
{
	if (route->failed && status_class(&route->failure) == STATUS_TRANSIENT &&
	    status_class(failure) == STATUS_PERMANENT)
		return;
	route->failure = *failure;
	route->failed = true;
}

static void
end_with(struct route *route, struct status failure)
{
	fail(route, &failure);
	route->is_ended = true;
	advance(route);
}

/* --- from addresses to places --- */

/* The same address twice, behind two exchangers, is one place. */
static bool
is_known(const struct route *route, const struct endpoint *address)
{
	for (size_t i = 0; i < route->place_count; i++)
		if (strcmp(route->places[i].hop.address.text, address->text) == 0)
			return true;
	return false;
}

static void
add_place(struct route *route, const char *host, const struct endpoint *address)
{
	struct next_hop *hop;

	route->places = mem_grow(route->places, route->place_count + 1, sizeof(*route->places));
	route->places[route->place_count].put_off = false;
	hop = &route->places[route->place_count++].hop;
	text_copy(hop->host, sizeof(hop->host), host);
	hop->port = endpoint_port(address);
	hop->address = *address;
}

static bool
is_ourselves(const struct route *route, const struct target *target)
{
	if (route->params.hostname != NULL && text_equal(target->host, route->params.hostname))
		return true;
	for (size_t i = 0; i < target->count; i++)
		if (route_address_is_usable(&target->addresses[i]) &&
		    route_address_is_own(&route->own, &target->addresses[i]))
			return true;
	return false;
}

static void
lookup_failed(struct route *route, const struct target *target)
{
	const char *text = target->text != NULL ? target->text : "no address";
	const char *code = target->outcome == RESOLVER_FAILED ? "4.4.3" : "4.4.4";
	struct status failure;

	/* RFC 3463: X.4.3 the directory does not answer, X.4.4 no way to the host. */
	if (is_by_domain(route) && target->outcome != RESOLVER_FAILED)
		code = "5.4.4";
	failure = status_local(code, "host %s: %s", target->host, text);
	fail(route, &failure);
}

static void
take_exchanger(struct route *route, const struct target *target)
{
	size_t used = 0;
	struct status failure;

	for (size_t i = 0; i < target->count && used < ROUTE_MX_ADDRESSES_MAX; i++) {
		if (!route_address_is_usable(&target->addresses[i]))
			continue;
		used++;
		if (!is_known(route, &target->addresses[i]))
			add_place(route, target->host, &target->addresses[i]);
	}
	if (used > 0)
		return;
	failure = status_local("5.4.4", "host %s: no address that mail can be sent to",
	    target->host);
	fail(route, &failure);
}

static void
take_host(struct route *route, const struct target *target)
{
	for (size_t i = 0; i < target->count; i++)
		add_place(route, target->host, &target->addresses[i]);
	/* What is told at the end is of the last host, as in a session that tries them all. */
	route->failed = false;
}

static void
take_target(struct route *route, const struct target *target)
{
	if (target->outcome != RESOLVER_FOUND || target->count == 0)
		lookup_failed(route, target);
	else if (is_by_domain(route))
		take_exchanger(route, target);
	else
		take_host(route, target);
}

/* Every target of the rank has its answer. */
static void
take_rank(struct route *route)
{
	if (is_by_domain(route))
		for (size_t i = route->first; i < route->next; i++)
			if (is_ourselves(route, &route->targets[i])) {
				end_with(route, status_local("5.4.6", "domain %s: its mail comes "
				    "to this host (%s)", route->domain, route->targets[i].host));
				return;
			}
	for (size_t i = route->first; i < route->next; i++)
		take_target(route, &route->targets[i]);
	advance(route);
}

/* --- from hosts to addresses --- */

static void
on_addresses(void *arg, enum resolver_outcome outcome, const struct endpoint *addresses,
    size_t count, const char *text)
{
	struct target *target = arg;
	struct route *route = target->route;

	target->query = NULL;
	target->outcome = outcome;
	target->text = text != NULL ? mem_strdup(text) : NULL;
	target->count = count;
	if (count > 0)
		target->addresses = mem_dup(addresses, count * sizeof(*addresses));
	if (--route->pending == 0)
		take_rank(route);
}

static void
look_up_rank(struct route *route)
{
	route->first = route->next;
	do
		route->next++;
	while (route->next < route->target_count &&
	    route->targets[route->next].rank == route->targets[route->first].rank);
	route->pending = route->next - route->first;
	for (size_t i = route->first; i < route->next; i++)
		route->targets[i].query = resolver_addresses(route->params.resolver,
		    route->targets[i].host, route->targets[i].port, on_addresses,
		    &route->targets[i]);
}

static void
add_target(struct route *route, const char *host, uint16_t port, unsigned rank)
{
	/* The array never moves while queries point into it: it is made whole before. */
	route->targets[route->target_count++] = (struct target){ .route = route, .host = host,
	    .port = port, .rank = rank };
}

/* --- from the domain to hosts --- */

/* RFC 5321 5.1: without MX records the domain is its own exchanger. */
static void
take_records(struct route *route, const struct resolver_mx *records, size_t count)
{
	uint16_t port = route->params.config->mx_port;

	route->targets = mem_array(count + 1, sizeof(*route->targets));
	if (count == 0)
		add_target(route, route->domain, port, 0);
	else
		route->records = mem_dup(records, count * sizeof(*records));
	for (size_t i = 0; i < count; i++)
		add_target(route, route->records[i].host, port, route->records[i].preference);
	advance(route);
}

static void
on_records(void *arg, enum resolver_outcome outcome, const struct resolver_mx *records,
    size_t count, const char *text)
{
	struct route *route = arg;
	const char *code = "4.4.3";

	route->query = NULL;
	switch (outcome) {
	case RESOLVER_FOUND:
	case RESOLVER_NO_ADDRESS:
		take_records(route, records, count);
		return;
	case RESOLVER_NO_SUCH_NAME:
		code = "5.1.2";
		break;
	case RESOLVER_NULL_MX:		/* RFC 7505 4.2 */
		code = "5.1.10";
		break;
	case RESOLVER_FAILED:
		break;
	}
	end_with(route, status_local(code, "domain %s: %s", route->domain, text));
}

/* "[192.0.2.1]", "[IPv6:2001:db8::1]": RFC 5321 4.1.3. */
static void
take_literal(struct route *route)
{
	static const char tag[] = "IPv6:";
	char text[ADDRESS_DOMAIN_MAX + 1];
	const char *address = text;
	struct endpoint endpoint;

	text_copy(text, sizeof(text), route->domain + 1);
	text[strcspn(text, "]")] = '\0';
	if (strncasecmp(text, tag, sizeof(tag) - 1) == 0)
		address += sizeof(tag) - 1;
	if (!endpoint_from_literal(&endpoint, address, route->params.config->mx_port))
		end_with(route, status_local("5.1.2", "domain %s: not an address that is known",
		    route->domain));
	else if (!route_address_is_usable(&endpoint))
		end_with(route, status_local("5.4.4", "domain %s: no address that mail can be sent "
		    "to", route->domain));
	else if (route_address_is_own(&route->own, &endpoint))
		end_with(route, status_local("5.4.6", "domain %s: its mail comes to this host",
		    route->domain));
	else {
		add_place(route, address, &endpoint);
		route->is_ended = true;
		advance(route);
	}
}

static void
begin(struct route *route)
{
	const struct relay_config *config = route->params.config;

	route->is_begun = true;
	if (is_by_domain(route))
		route_address_read_own(&route->own);
	if (!is_by_domain(route)) {
		route->targets = mem_array(config->host_count + 1, sizeof(*route->targets));
		for (size_t i = 0; i < config->host_count; i++)
			add_target(route, config->hosts[i].name, config->hosts[i].port,
			    (unsigned)i);
		advance(route);
	} else if (route->domain[0] == '\0') {
		end_with(route, status_local("5.1.2", "the domain cannot be a name in the DNS"));
	} else if (route->domain[0] == '[') {
		take_literal(route);
	} else {
		route->query = resolver_mx(route->params.resolver, route->domain, on_records,
		    route);
	}
}

/* --- one answer after the other --- */

/* The next place in its order, or, when all is looked up, of those put off. */
static struct place *
next_place(struct route *route)
{
	struct place *place;

	while (route->place < route->place_count) {
		place = &route->places[route->place++];
		if (route->params.memory == NULL ||
		    !route_memory_is_bad(route->params.memory, &place->hop))
			return place;
		place->put_off = true;
	}
	if (!route->is_ended && route->next < route->target_count)
		return NULL;
	for (size_t i = 0; i < route->place_count; i++)
		if (route->places[i].put_off) {
			route->places[i].put_off = false;
			return &route->places[i];
		}
	return NULL;
}

static void
advance(struct route *route)
{
	struct place *place;

	if (!route->is_begun) {
		begin(route);
		return;
	}
	place = next_place(route);
	if (place != NULL) {
		say(route, &place->hop);
	} else if (!route->is_ended && route->next < route->target_count) {
		look_up_rank(route);
	} else {
		/* Where mail could have gone, the session knows better why it did not. */
		if (is_by_domain(route) && route->place_count > 0)
			route->failed = false;
		say(route, NULL);
	}
}

static void
answer(void *owner)
{
	advance(owner);
}

struct route *
route_new(struct loop *loop, const struct route_params *params)
{
	struct route *route = mem_zalloc(sizeof(*route));
	struct address address = { .local = "" };

	route->loop = loop;
	route->params = *params;
	route->answer = (struct loop_task){ .run = answer, .owner = route };
	if (params->domain == NULL)
		return route;
	text_copy(address.domain, sizeof(address.domain), params->domain);
	if (strlen(params->domain) >= sizeof(address.domain) ||
	    !address_domain_ascii(&address, route->domain))
		route->domain[0] = '\0';
	return route;
}

void
route_free(struct route *route)
{
	if (route == NULL)
		return;
	loop_cancel(route->loop, &route->answer);
	resolver_cancel(route->query);
	for (size_t i = 0; i < route->target_count; i++) {
		resolver_cancel(route->targets[i].query);
		free(route->targets[i].text);
		free(route->targets[i].addresses);
	}
	route_address_free_own(&route->own);
	free(route->targets);
	free(route->records);
	free(route->places);
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
