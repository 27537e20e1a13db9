/* config.c - references to a configuration, and what differs between two. */
#include "conf/config.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config_identity.h"
#include "conf/config_load.h"
#include "conf/config_table.h"
#include "conf/config_value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct config_holder {
	struct config config;
	unsigned references;
};

struct config *
config_new(const char *path)
{
	struct config_holder *holder = mem_zalloc(sizeof(*holder));

	holder->references = 1;
	holder->config.holder = holder;
	holder->config.path = mem_strdup(path);
	return &holder->config;
}

const struct config *
config_ref(const struct config *config)
{
	config->holder->references++;
	return config;
}

static void
text_free(const char *text)
{
	free((void *)(uintptr_t)text);
}

void
config_replace(const char **text, const char *next)
{
	const char *old = *text;

	*text = mem_strdup(next);
	text_free(old);
}

static void
free_object(const struct config_type *type, void *object)
{
	for (const struct config_key *key = type->keys; key->name != NULL; key++)
		if (!key->later)
			value_clear((char *)object + key->offset, key);
	if (type->is_array) {
		/* All of them begin alike, config_load.c. */
		const struct relay_config *head = object;

		text_free(head->name);
		text_free(head->conffile);
	}
}

void
config_unref(const struct config *config)
{
	struct config_holder *holder;

	if (config == NULL)
		return;
	holder = config->holder;
	assert(holder->references > 0);
	if (--holder->references > 0)
		return;
	for (size_t i = 0; i < config->greeting_count; i++)
		text_free(config->greetings[i].text);
	config_free_identity(&config->identity);
	for (const struct config_type *type = config_types; type->name != NULL; type++) {
		if (type->later)
			continue;
		for (size_t i = 0; i < config_object_count(config, type); i++)
			free_object(type, config_object(config, type, i));
		if (type->is_array)
			free(config_object(config, type, 0));
	}
	text_free(config->path);
	free(holder);
}

/* ---- what differs */

static void
add_change(struct buf *names, const struct config_type *type, const char *title, const char *key)
{
	buf_appendf(names, "%s%s", names->len > 0 ? ", " : "", type->name);
	if (title[0] != '\0')
		buf_appendf(names, ".%s", title);
	if (key[0] != '\0')
		buf_appendf(names, "%s%s", type->name[0] != '\0' ? "." : "", key);
}

static bool
field_differs(const struct config_key *key, const void *old, const void *next)
{
	struct buf a = { 0 }, b = { 0 };
	bool differs;

	value_print((const char *)old + key->offset, key, false, &a);
	value_print((const char *)next + key->offset, key, false, &b);
	differs = a.len != b.len || memcmp(buf_octets(&a), buf_octets(&b), a.len) != 0;
	buf_free(&a);
	buf_free(&b);
	return differs;
}

static const char *
title_of(const struct config_type *type, const void *object)
{
	return type->titled ? ((const struct relay_config *)object)->name : "";
}

static const void *
find_title(const struct config *config, const struct config_type *type, const char *title)
{
	for (size_t i = 0; i < config_object_count(config, type); i++) {
		const void *object = config_object(config, type, i);

		if (strcmp(title_of(type, object), title) == 0)
			return object;
	}
	return NULL;
}

static void
compare_objects(
    const struct config_type *type, const void *old, const void *next, struct buf *names)
{
	for (const struct config_key *key = type->keys; key->name != NULL; key++)
		if (!key->later && field_differs(key, old, next))
			add_change(names, type, title_of(type, next), key->name);
	if (strcmp(type->name, "greeting") == 0) {
		const struct greeting_config *a = old, *b = next;

		/* The same file with other contents. */
		if (b->file[0] != '\0' && strcmp(a->file, b->file) == 0 &&
		    (a->text_len != b->text_len || memcmp(a->text, b->text, a->text_len) != 0))
			add_change(names, type, b->name, "file");
	}
	if (strcmp(type->name, "identity") == 0 && config_aliases_differ(old, next))
		add_change(names, type, "", "aliases");
}

/* Blocks without a name are told apart by their order alone: all of them differ, or none. */
static bool
order_differs(const struct config *old, const struct config *next, const struct config_type *type)
{
	size_t count = config_object_count(next, type);

	if (config_object_count(old, type) != count)
		return true;
	for (size_t i = 0; i < count; i++)
		for (const struct config_key *key = type->keys; key->name != NULL; key++)
			if (field_differs(
				key, config_object(old, type, i), config_object(next, type, i)))
				return true;
	return false;
}

static void
compare_types(const struct config *old, const struct config *next, const struct config_type *type,
    struct buf *names)
{
	if (type->is_array && !type->titled) {
		if (order_differs(old, next, type))
			add_change(names, type, "", "");
		return;
	}
	for (size_t i = 0; i < config_object_count(next, type); i++) {
		const void *b = config_object(next, type, i);
		const void *a = find_title(old, type, title_of(type, b));

		if (a == NULL)
			add_change(names, type, title_of(type, b), "");
		else
			compare_objects(type, a, b, names);
	}
	for (size_t i = 0; i < config_object_count(old, type); i++) {
		const char *title = title_of(type, config_object(old, type, i));

		if (find_title(next, type, title) == NULL)
			add_change(names, type, title, "");
	}
}

void
config_changes(const struct config *old, const struct config *next, char *out, size_t size)
{
	struct buf names = { 0 };

	for (const struct config_type *type = config_types; type->name != NULL; type++)
		if (!type->later)
			compare_types(old, next, type, &names);
	text_copy(out, size, buf_text(&names));
	buf_free(&names);
}

bool
config_reloadable(const struct config *old, const struct config *next, struct error *err)
{
	const struct {
		const char *name, *old, *next;
	} fixed[] = {
		{ "user", old->user, next->user },
		{ "state_directory", old->state_directory, next->state_directory },
		{ "runtime_directory", old->runtime_directory, next->runtime_directory },
		{ "queue.store", old->queue.store, next->queue.store },
	};

	for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
		if (strcmp(fixed[i].old, fixed[i].next) != 0)
			return error_set(err, ERROR_CONFIG,
			    "%s: %s changed from \"%s\" to \"%s\", which "
			    "needs a restart",
			    next->path, fixed[i].name, fixed[i].old, fixed[i].next);
	return true;
}
