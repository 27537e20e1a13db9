/* config_identity.c - the identity block and the aliases file that it names. */
#include "conf/config_identity.h"

#include "base/error.h"
#include "base/mem.h"
#include "conf/config.h"
#include "conf/config_check.h"
#include "conf/config_load.h"
#include "conf/config_table.h"
#include "conf/config_value.h"
#include "mail/aliases.h"
#include "mail/identity.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct config_block *
find_block(const struct config_file *file)
{
	const struct config_block *block;

	STAILQ_FOREACH(block, file, next)
		if (strcmp(block->type->name, "identity") == 0)
			return block;
	return NULL;
}

/* The default is read where mail is taken and the file is there.  Where it is not read, the
 * conffile that heraldd -T prints must not ask for it either. */
static bool
read_aliases(struct config *config, const struct config_block *block, struct identity *rules,
    struct error *err)
{
	struct identity_config *section = &config->identity;
	bool is_written = block != NULL && config_stands(block, "aliases");
	bool is_there = access(section->aliases, F_OK) == 0;

	if (!is_written && (config->submission_count == 0 || !is_there))
		config_replace(&section->aliases, "");
	if (section->aliases[0] == '\0')
		return true;
	if (!is_there)
		return config_fault(block, "aliases", err, "%s is not there, allowed is an "
		    "aliases file, or \"\" for none", section->aliases);
	rules->aliases = aliases_load(section->aliases, identity_is_local_name, rules, err);
	return rules->aliases != NULL;
}

/* The check of the block, which comes later, tells of an address that is none. */
static struct address
address_of(const char *text)
{
	struct address address;

	if (address_parse(&address, text, strlen(text)) != ADDRESS_OK)
		return (struct address){ .local = "" };
	return address;
}

bool
config_find_identity(struct config *config, const struct config_file *file, struct error *err)
{
	struct identity_config *section = &config->identity;
	struct identity *rules = mem_zalloc(sizeof(*rules));

	if (section->domain[0] == '\0')
		config_replace(&section->domain, config->hostname);
	section->rules = rules;
	rules->hostname = config->hostname;
	rules->domain = section->domain;
	rules->local_names = section->local_names;
	rules->local_name_count = section->local_name_count;
	rules->sender = address_of(section->sender);
	rules->from = address_of(section->from);
	return read_aliases(config, find_block(file), rules, err);
}

void
config_free_identity(const struct identity_config *section)
{
	if (section->rules == NULL)
		return;
	aliases_free((struct aliases *)(uintptr_t)section->rules->aliases);
	free((void *)(uintptr_t)section->rules);
}

bool
config_aliases_differ(const struct identity_config *old, const struct identity_config *next)
{
	return old->rules != NULL && next->rules != NULL &&
	    strcmp(old->aliases, next->aliases) == 0 &&
	    !aliases_equal(old->rules->aliases, next->rules->aliases);
}

static bool
check_address(const struct config_block *block, const char *key, const char *text,
    struct error *err)
{
	struct address address;

	if (text[0] == '\0')
		return true;
	if (address_parse(&address, text, strlen(text)) != ADDRESS_OK || address.domain[0] == '\0')
		return config_fault(block, key, err, "\"%s\" is not an address with a domain, "
		    "allowed is one like \"web1@example.org\"", text);
	return true;
}

bool
config_check_identity(const struct config *config, const struct config_block *block,
    const void *object, struct error *err)
{
	static const struct config_key hostname = { .kind = VALUE_HOSTNAME, .min = 1, .max = 255 };
	const struct value_context context = { .state_directory = "", .runtime_directory = "" };
	const struct identity_config *section = object;
	const char *ignored = NULL;
	struct error said;

	(void)config;
	for (size_t i = 0; i < section->local_name_count; i++) {
		bool good = value_parse(&ignored, &hostname, section->local_names[i], &context,
		    &said);

		value_clear(&ignored, &hostname);
		if (!good)
			return config_fault(block, "local_names", err, "%s", said.text);
	}
	return check_address(block, "sender", section->sender, err) &&
	    check_address(block, "from", section->from, err);
}
