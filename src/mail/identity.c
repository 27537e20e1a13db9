/* identity.c - what mail of this machine looks like outside: names, aliases, one sender. */
#include "mail/identity.h"

#include "base/mem.h"
#include "base/text.h"
#include "mail/aliases.h"

#include <string.h>
#include <strings.h>

static bool
is_name(const char *name, const char *domain, size_t len)
{
	return strlen(name) == len && strncasecmp(name, domain, len) == 0;
}

static bool
is_hostname(const struct identity *identity, const char *domain, size_t len)
{
	return is_name(identity->hostname, domain, len);
}

bool
identity_is_local_domain(const struct identity *identity, const char *domain, size_t len)
{
	/* The root of the DNS, which some write behind a name. */
	if (len > 1 && domain[len - 1] == '.')
		len--;
	if (len == 0 || is_hostname(identity, domain, len))
		return true;
	for (size_t i = 0; i < identity->local_name_count; i++)
		if (is_name(identity->local_names[i], domain, len))
			return true;
	return false;
}

bool
identity_is_local(const struct identity *identity, const struct address *address)
{
	return !address_is_null(address) &&
	    identity_is_local_domain(identity, address->domain, strlen(address->domain));
}

bool
identity_is_local_name(const void *identity, const struct address *address)
{
	return identity_is_local(identity, address);
}

const char *
identity_domain(const struct identity *identity, const char *domain, size_t len)
{
	if (!identity_is_local_domain(identity, domain, len) ||
	    is_hostname(identity, domain, len))
		return NULL;
	/* The name of the machine is a name that a reply finds; localhost is everyone's. */
	if (len > 0 && domain[len - 1] == '.' && is_hostname(identity, domain, len - 1))
		return identity->hostname;
	return identity->domain;
}

void
identity_qualify(const struct identity *identity, struct address *address)
{
	const char *domain;

	if (address_is_null(address))
		return;
	domain = identity_domain(identity, address->domain, strlen(address->domain));
	if (domain == NULL)
		return;
	text_copy(address->domain, sizeof(address->domain), domain);
	text_lower(address->domain);
}

void
identity_sender(const struct identity *identity, struct address *reverse_path)
{
	if (address_is_null(reverse_path))
		return;
	if (!address_is_null(&identity->sender))
		*reverse_path = identity->sender;
	else
		identity_qualify(identity, reverse_path);
}

static void
add_target(struct identity_targets *targets, const struct address *address)
{
	for (size_t i = 0; i < targets->count; i++)
		if (address_equal(&targets->items[i], address))
			return;
	targets->items = mem_grow(targets->items, targets->count + 1, sizeof(*targets->items));
	targets->items[targets->count++] = *address;
}

/* The file has no loops and its chains are short: aliases_load() has seen to that. */
static void
expand(const struct identity *identity, const struct alias_target *target, unsigned depth,
    struct identity_targets *out)
{
	struct address address = target->address;
	const struct alias *alias = NULL;

	if (!target->is_final && depth <= ALIASES_DEPTH_MAX &&
	    identity_is_local(identity, &address))
		alias = aliases_find(identity->aliases, address.local, strlen(address.local));
	if (alias == NULL) {
		identity_qualify(identity, &address);
		add_target(out, &address);
		return;
	}
	out->is_aliased = true;
	for (size_t i = 0; i < alias->target_count; i++)
		expand(identity, &alias->targets[i], depth + 1, out);
}

void
identity_expand(const struct identity *identity, const struct address *forward_path,
    struct identity_targets *out)
{
	const struct alias_target whole = { .address = *forward_path };

	*out = (struct identity_targets){ .items = NULL };
	expand(identity, &whole, 0, out);
}

bool
identity_expand_name(const struct identity *identity, const char *local, size_t len,
    struct identity_targets *out)
{
	const struct alias *alias = aliases_find(identity->aliases, local, len);

	*out = (struct identity_targets){ .items = NULL };
	if (alias == NULL)
		return false;
	out->is_aliased = true;
	for (size_t i = 0; i < alias->target_count; i++)
		expand(identity, &alias->targets[i], 1, out);
	return true;
}
