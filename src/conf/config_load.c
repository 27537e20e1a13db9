/* config_load.c - from a conffile to struct config. */
#include "conf/config_load.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "conf/config_check.h"
#include "conf/config_file.h"
#include "conf/config_identity.h"
#include "conf/config_source.h"
#include "conf/config_table.h"
#include "conf/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GREETING_MAX (64 * 1024)

/* Each element of an array begins like this; see the assertions below. */
struct element {
	const char *name;
	unsigned line;
	const char *conffile;
};

#define IS_ELEMENT(tag)                                                                \
	_Static_assert(offsetof(struct tag, name) == offsetof(struct element, name) && \
		offsetof(struct tag, line) == offsetof(struct element, line) &&        \
		offsetof(struct tag, conffile) == offsetof(struct element, conffile),  \
	    #tag)
IS_ELEMENT(greeting_config);
IS_ELEMENT(quotes_config);
IS_ELEMENT(submission_config);
IS_ELEMENT(relay_config);
IS_ELEMENT(route_config);

/* The port of RFC 5321, 6409 or 8314 that a relay without one means. */
static uint16_t
default_port(const struct relay_config *relay)
{
	if (relay->tls == CONFIG_TLS_IMPLICIT)
		return 465;
	return relay->tls == CONFIG_TLS_STARTTLS ? 587 : 25;
}

/* Defaults of lists stand with blanks between their elements. */
static bool
set_initial(void *field, const struct config_key *key, const struct value_context *context,
    struct error *err)
{
	char *list, *word, *rest;
	bool good = true;

	if (!key->is_list)
		return value_parse(field, key, key->initial, context, err);
	rest = list = mem_strdup(key->initial);
	while (good && (word = strsep(&rest, " ")) != NULL)
		if (word[0] != '\0')
			good = value_parse(field, key, word, context, err);
	free(list);
	return good;
}

static bool
set_field(void *field, const struct config_key *key, const struct config_block *block,
    const struct value_context *context, struct error *err)
{
	const struct config_entry *entry = block != NULL ? config_entry_find(block, key->name)
							 : NULL;

	if (entry == NULL && key->required)
		return config_fault(block, NULL, err, "%s%s%s: %s is required", block->type->name,
		    block->title[0] != '\0' ? " " : "", block->title, key->name);
	if (entry == NULL)
		return set_initial(field, key, context, err);
	for (size_t i = 0; i < entry->count; i++) {
		struct error said;

		if (!value_parse(field, key, entry->values[i], context, &said))
			return config_fault(block, key->name, err, "%s", said.text);
	}
	return true;
}

/* Fills an object in the order of the table; the fault that stands first in the file wins. */
static bool
fill_object(struct config *config, const struct config_type *type, void *object,
    const struct config_block *block, struct error *err)
{
	struct value_context context = { 0 };
	unsigned fault_line = 0;

	for (const struct config_key *key = type->keys; key->name != NULL; key++) {
		const struct config_entry *entry;
		unsigned line;
		struct error said;

		if (key->later)
			continue;
		context.state_directory = config->state_directory;
		context.runtime_directory = config->runtime_directory;
		if (key->kind == VALUE_HOSTS)
			context.default_port = default_port(object);
		if (set_field((char *)object + key->offset, key, block, &context, &said))
			continue;
		entry = block != NULL ? config_entry_find(block, key->name) : NULL;
		line = entry != NULL ? entry->line : block != NULL ? block->line : 1;
		if (fault_line == 0 || line < fault_line) {
			fault_line = line;
			*err = said;
		}
	}
	return fault_line == 0;
}

static struct config_block *
block_find(const struct config_file *file, const struct config_type *type, size_t index)
{
	struct config_block *block;

	STAILQ_FOREACH(block, file, next)
		if (block->type == type && index-- == 0)
			return block;
	return NULL;
}

/* Makes room for all blocks of a type before the first is filled, so that all can be freed. */
static void
make_objects(struct config *config, const struct config_file *file, const struct config_type *type)
{
	size_t count = 0;
	char *objects;

	while (block_find(file, type, count) != NULL)
		count++;
	if (count == 0)
		return;
	objects = mem_array(count, type->size);
	memcpy((char *)config + type->offset, &objects, sizeof(objects));
	memcpy((char *)config + type->count_offset, &count, sizeof(count));
	for (size_t i = 0; i < count; i++) {
		const struct config_block *block = block_find(file, type, i);
		struct element head = { mem_strdup(block->title), block->line,
			mem_strdup(block->path) };

		memcpy(objects + i * type->size, &head, sizeof(head));
	}
}

static bool
fill_block(struct config *config, const struct config_file *file, const struct config_block *block,
    struct error *err)
{
	size_t index = 0;

	while (block_find(file, block->type, index) != block)
		index++;
	return fill_object(
	    config, block->type, config_object(config, block->type, index), block, err);
}

static bool
fill_all(struct config *config, const struct config_file *file, struct error *err)
{
	const struct config_type *type;
	const struct config_block *block;

	for (type = config_types; type->name != NULL; type++)
		if (type->is_array)
			make_objects(config, file, type);
	/* The top level stands first: it has the directories. */
	STAILQ_FOREACH(block, file, next)
		if (!fill_block(config, file, block, err))
			return false;
	for (type = config_types; type->name != NULL; type++)
		if (!type->is_array && !type->later && block_find(file, type, 0) == NULL &&
		    !fill_object(config, type, config_object(config, type, 0), NULL, err))
			return false;
	return true;
}

/* The first name of our line in /etc/hosts, if it has a dot: what `hostname -f` says where
 * no DNS is asked.  The start must not wait for a name server. */
static char *
full_name_in_hosts(const char *hosts, const char *host)
{
	struct buf octets = { 0 };
	struct error ignored;
	char *line, *rest, *found = NULL;

	if (!config_read(hosts, CONFIG_SOURCE_MAX, &octets, &ignored)) {
		buf_free(&octets);
		return NULL;
	}
	buf_append(&octets, "", 1);
	rest = octets.octets;
	while (found == NULL && (line = strsep(&rest, "\n")) != NULL) {
		char *word, *full = NULL;
		unsigned column = 0;

		line[strcspn(line, "#")] = '\0';
		while (found == NULL && (word = strsep(&line, " \t")) != NULL) {
			if (word[0] == '\0' || column++ == 0)
				continue;
			full = full == NULL ? word : full;
			if (text_equal(word, host) && strchr(full, '.') != NULL)
				found = mem_strdup(full);
		}
	}
	buf_free(&octets);
	return found;
}

static void
find_hostname(struct config *config)
{
	char host[256] = "localhost";
	char *full;

	if (config->hostname[0] != '\0')
		return;
	if (gethostname(host, sizeof(host) - 1) == -1 || host[0] == '\0')
		text_copy(host, sizeof(host), "localhost");
	full = strchr(host, '.') == NULL ? full_name_in_hosts("/etc/hosts", host) : NULL;
	config_replace(&config->hostname, full != NULL ? full : host);
	free(full);
}

/* text or file; the default text holds where neither stands. */
static bool
find_greeting(struct greeting_config *greeting, const struct config_block *block, struct error *err)
{
	struct buf octets = { 0 };
	struct error said;

	if (greeting->file[0] == '\0') {
		greeting->text = mem_strdup(greeting->written);
		greeting->text_len = strlen(greeting->written);
		return true;
	}
	if (config_entry_find(block, "text") == NULL)
		config_replace(&greeting->written, "");
	if (greeting->written[0] != '\0')
		return config_fault(
		    block, "file", err, "stands beside text, allowed is one of them");
	if (!config_read(greeting->file, GREETING_MAX, &octets, &said)) {
		buf_free(&octets);
		return config_fault(block, "file", err, "%s: %s", greeting->file, said.text);
	}
	greeting->text_len = octets.len;
	greeting->text = mem_dup(buf_text(&octets), octets.len + 1);
	buf_free(&octets);
	if (!text_utf8_valid(greeting->text, greeting->text_len))
		return config_fault(block, "file", err, "%s: not valid UTF-8", greeting->file);
	return true;
}

static const struct relay_config *
relay_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->relay_count; i++)
		if (strcmp(config->relays[i].name, name) == 0)
			return &config->relays[i];
	return NULL;
}

/* Whether the key stands in a block; for names that one type alone has. */
static bool
is_written(const struct config_file *file, const char *key)
{
	const struct config_block *block;

	STAILQ_FOREACH(block, file, next)
		if (config_entry_find(block, key) != NULL)
			return true;
	return false;
}

/* What follows from several keys. */
static bool
derive(struct config *config, const struct config_file *file, struct error *err)
{
	const struct config_block *top = STAILQ_FIRST(file), *block;
	size_t greetings = 0, quotes = 0;
	static const struct config_key texts = { .kind = VALUE_TEXTS };

	find_hostname(config);
	STAILQ_FOREACH(block, file, next) {
		if (strcmp(block->type->name, "greeting") == 0 &&
		    !find_greeting(&config->greetings[greetings++], block, err))
			return false;
		if (strcmp(block->type->name, "quotes") == 0) {
			struct quotes_config *section = &config->quotes[quotes++];

			/* The default books hold where neither stands. */
			if (section->file[0] != '\0' && config_entry_find(block, "quotes") == NULL)
				value_clear(&section->quotes, &texts);
		}
	}
	config->queue.state_directory = config->state_directory;
	/* The default warns where there is time to. */
	if (config->queue.delay_warning >= config->queue.lifetime &&
	    !is_written(file, "delay_warning"))
		config->queue.delay_warning = 0;
	for (size_t i = 0; i < config->relay_count; i++) {
		if (config->relays[i].helo[0] == '\0')
			config_replace(&config->relays[i].helo, config->hostname);
	}
	config->relay = relay_find(config, config->default_relay);
	for (size_t i = 0; i < config->route_count; i++)
		config->routes[i].target = relay_find(config, config->routes[i].relay);
	/* The default names a relay only where there is one. */
	if (config->relay == NULL && config_entry_find(top, "default_relay") == NULL)
		config_replace(&config->default_relay, "");
	return config_find_identity(config, file, err);
}

struct config *
config_load(const char *path, struct error *err)
{
	struct config_file *file = config_file_read(path, err);
	struct config *config;

	if (file == NULL)
		return NULL;
	config = config_new(path);
	if (!fill_all(config, file, err) || !derive(config, file, err) ||
	    !config_check(config, file, err)) {
		config_unref(config);
		config = NULL;
	}
	config_file_free(file);
	return config;
}
