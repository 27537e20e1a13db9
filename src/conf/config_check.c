/* config_check.c - values against each other and against the files that they name. */
#include "conf/config_check.h"

#include "base/error.h"
#include "base/text.h"
#include "conf/config.h"
#include "conf/config_files.h"
#include "conf/config_identity.h"
#include "conf/config_relay.h"
#include "conf/config_submission.h"
#include "conf/config_table.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
config_fault(
    const struct config_block *block, const char *key, struct error *err, const char *fmt, ...)
{
	const struct config_entry *entry = key != NULL ? config_entry_find(block, key) : NULL;
	char text[sizeof(err->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_set(err, ERROR_CONFIG, "%s:%u: %s%s%s", block->path,
	    entry != NULL ? entry->line : block->line, key != NULL ? key : "",
	    key != NULL ? ": " : "", text);
}

bool
config_stands(const struct config_block *block, const char *key)
{
	return config_entry_find(block, key) != NULL;
}

/* ---- blocks */

/* "%{name}" where `text` stands: its name must be one that is replaced. */
static bool
variable_is_known(const char *text, size_t len)
{
	static const char *const names[] = { "client_address", "client_port", "hostname", "time" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i]) + 3 <= len &&
		    memcmp(text + 2, names[i], strlen(names[i])) == 0 &&
		    text[2 + strlen(names[i])] == '}')
			return true;
	return false;
}

static bool
check_variables(
    const struct greeting_config *greeting, const struct config_block *block, struct error *err)
{
	const char *key = greeting->file[0] != '\0' ? "file" : "text";
	const char *end = greeting->text + greeting->text_len, *brace;
	char name[48];

	for (const char *c = greeting->text; c < end; c++) {
		if (c[0] != '%' || c + 1 == end)
			continue;
		if (c[1] == '{' && !variable_is_known(c, (size_t)(end - c))) {
			brace = memchr(c, '}', (size_t)(end - c));
			text_printable_utf8(name, sizeof(name), c,
			    brace != NULL ? (size_t)(brace - c) + 1 : (size_t)(end - c));
			return config_fault(block, key, err,
			    "\"%s\" is not known, allowed are "
			    "%%{client_address}, %%{client_port}, %%{hostname}, %%{time}, and %%%% "
			    "for a %%",
			    name);
		}
		c += c[1] == '%';
	}
	return true;
}

static bool
check_greeting(const struct config *config, const struct config_block *block, const void *object,
    struct error *err)
{
	const struct greeting_config *greeting = object;
	bool is_tls = greeting->tls != CONFIG_TLS_NONE;

	(void)config;
	if (greeting->text_len == 0)
		return config_fault(block, greeting->file[0] != '\0' ? "file" : "text", err,
		    "the greeting is empty");
	if (is_tls && (greeting->certificate[0] == '\0' || greeting->private_key[0] == '\0'))
		return config_fault(block, "tls", err, "needs certificate and private_key");
	if (!is_tls && greeting->certificate[0] != '\0')
		return config_fault(block, "certificate", err, "needs tls = \"implicit\"");
	if (!is_tls && greeting->private_key[0] != '\0')
		return config_fault(block, "private_key", err, "needs tls = \"implicit\"");
	return config_check_readable(block, "certificate", greeting->certificate, err) &&
	    config_check_readable(block, "private_key", greeting->private_key, err) &&
	    config_check_key_pair(block, greeting->certificate, greeting->private_key, err) &&
	    check_variables(greeting, block, err);
}

static bool
check_quotes(const struct config *config, const struct config_block *block, const void *object,
    struct error *err)
{
	const struct quotes_config *quotes = object;

	(void)config;
	for (size_t i = 0; i < quotes->listen.count; i++)
		if (quotes->listen.items[i].kind == ENDPOINT_UNIX)
			return config_fault(block, "listen", err,
			    "%s is no UDP address, allowed are "
			    "ADDRESS:PORT, *:PORT and systemd:NAME",
			    quotes->listen.items[i].text);
	if (quotes->quote_count > 0 && quotes->file[0] != '\0')
		return config_fault(
		    block, "file", err, "stands beside quotes, allowed is one of them");
	if (quotes->quote_count == 0 && quotes->file[0] == '\0')
		return config_fault(block, "quotes", err,
		    "no quotes, allowed are quotes = {\"…\"} or "
		    "file = \"PATH\"");
	if (quotes->format != CONFIG_FORMAT_LINES && quotes->file[0] == '\0')
		return config_fault(block, "format", err, "needs file");
	return config_check_readable(block, "file", quotes->file, err);
}

static bool
check_queue(const struct config *config, const struct config_block *block, const void *object,
    struct error *err)
{
	const struct queue_config *queue = object;

	(void)config;
	if (queue->retry_max < queue->retry_min)
		return config_fault(block,
		    config_stands(block, "retry_max") ? "retry_max" : "retry_min", err,
		    "retry_max (%u s) is less than retry_min (%u s)", queue->retry_max,
		    queue->retry_min);
	if (queue->delay_warning >= queue->lifetime)
		return config_fault(block, "delay_warning", err,
		    "%u s are not less than lifetime (%u s), allowed is less, or \"0s\" for none",
		    queue->delay_warning, queue->lifetime);
	return true;
}

static bool
check_control(const struct config *config, const struct config_block *block, const void *object,
    struct error *err)
{
	(void)object;
	for (size_t i = 0; i < config->control.count; i++)
		if (config->control.items[i].kind == ENDPOINT_INET)
			return config_fault(block, "listen", err,
			    "%s is open to the network, allowed are "
			    "unix:PATH and systemd:NAME",
			    config->control.items[i].text);
	return true;
}

/* ---- across blocks */

static const struct endpoint_list *
listen_of(const struct config *config, const struct config_type *type, size_t index)
{
	const struct config_key *key = config_key_find(type, "listen");

	if (key == NULL || type->later)
		return NULL;
	return (const void *)((const char *)config_object(config, type, index) + key->offset);
}

/* Whether an endpoint before (`type`, `index`, `place`) is the same and of the same protocol. */
static bool
is_taken(const struct config *config, const struct config_type *type, size_t index, size_t place,
    const struct endpoint_list *own)
{
	bool is_udp = strcmp(type->name, "quotes") == 0;

	for (const struct config_type *t = config_types; t <= type; t++)
		for (size_t i = 0; i < config_object_count(config, t); i++) {
			const struct endpoint_list *list = listen_of(config, t, i);

			if (list == NULL || (strcmp(t->name, "quotes") == 0) != is_udp)
				continue;
			for (size_t j = 0; j < list->count; j++) {
				if (t == type && i == index && j == place)
					return false;
				if (strcmp(list->items[j].text, own->items[place].text) == 0)
					return true;
			}
		}
	return false;
}

static bool
check_listen(
    const struct config *config, const struct config_block *block, size_t index, struct error *err)
{
	const struct endpoint_list *list = listen_of(config, block->type, index);

	for (size_t i = 0; list != NULL && i < list->count; i++)
		if (is_taken(config, block->type, index, i, list))
			return config_fault(
			    block, "listen", err, "%s is listened at twice", list->items[i].text);
	return true;
}

static bool
check_default_relay(const struct config *config, const struct config_block *top, struct error *err)
{
	if (config->default_relay[0] == '\0' || config->relay != NULL)
		return true;
	return config_fault(
	    top, "default_relay", err, "\"%s\" names no relay block", config->default_relay);
}

static const struct {
	const char *type;
	bool (*check)(const struct config *config, const struct config_block *block,
	    const void *object, struct error *err);
} checks[] = {
	{ "greeting", check_greeting },
	{ "quotes", check_quotes },
	{ "queue", check_queue },
	{ "submission", config_check_submission },
	{ "relay", config_check_relay },
	{ "route", config_check_route },
	{ "control", check_control },
	{ "identity", config_check_identity },
};

static size_t
index_of(const struct config_file *file, const struct config_block *block)
{
	const struct config_block *other;
	size_t index = 0;

	STAILQ_FOREACH(other, file, next) {
		if (other == block)
			break;
		index += other->type == block->type;
	}
	return index;
}

bool
config_check(const struct config *config, const struct config_file *file, struct error *err)
{
	const struct config_block *block;

	STAILQ_FOREACH(block, file, next) {
		size_t index = index_of(file, block);

		for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
			if (strcmp(checks[i].type, block->type->name) == 0 &&
			    !checks[i].check(
				config, block, config_object(config, block->type, index), err))
				return false;
		if (!check_listen(config, block, index, err))
			return false;
	}
	return check_default_relay(config, STAILQ_FIRST(file), err);
}
