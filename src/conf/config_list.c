/* config_list.c - the values that are lists; rows of config_value.c. */
#include "conf/config_list.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "conf/config_table.h"
#include "conf/config_value.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void
append_separator(struct buf *out, size_t index)
{
	buf_append_text(out, index > 0 ? ", " : "");
}

bool
value_parse_listen(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	(void)key;
	return endpoint_parse_listen(field, value, context->runtime_directory, err);
}

void
value_print_listen(const void *field, const struct config_key *key, struct buf *out)
{
	const struct endpoint_list *list = field;

	(void)key;
	for (size_t i = 0; i < list->count; i++) {
		append_separator(out, i);
		value_quote(out, list->items[i].text);
	}
}

void
value_clear_listen(void *field)
{
	endpoint_list_free(field);
}

bool
value_parse_networks(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	struct network network;

	(void)key;
	(void)context;
	if (!network_parse(&network, value, err))
		return false;
	network_list_add(field, &network);
	return true;
}

void
value_print_networks(const void *field, const struct config_key *key, struct buf *out)
{
	const struct network_list *list = field;

	(void)key;
	for (size_t i = 0; i < list->count; i++) {
		char address[ENDPOINT_ADDRESS_MAX];
		const struct network *network = &list->items[i];

		inet_ntop(
		    network->is_v4 ? AF_INET : AF_INET6, network->octets, address, sizeof(address));
		append_separator(out, i);
		buf_appendf(out, "\"%s/%u\"", address, network->bits);
	}
}

void
value_clear_networks(void *field)
{
	network_list_free(field);
}

struct text_list {
	char **items;
	size_t count;
};

bool
value_parse_texts(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	struct text_list list;

	(void)context;
	if (!text_utf8_valid(value, strlen(value)))
		return error_set(err, ERROR_CONFIG, "not valid UTF-8");
	if (strlen(value) < key->min || strlen(value) > key->max)
		return error_set(err, ERROR_CONFIG,
		    "%zu octets, allowed are %" PRIu64 " to %" PRIu64, strlen(value), key->min,
		    key->max);
	memcpy(&list, field, sizeof(list));
	list.items = mem_grow(list.items, list.count + 1, sizeof(*list.items));
	list.items[list.count++] = mem_strdup(value);
	memcpy(field, &list, sizeof(list));
	return true;
}

void
value_print_texts(const void *field, const struct config_key *key, struct buf *out)
{
	struct text_list list;

	(void)key;
	memcpy(&list, field, sizeof(list));
	for (size_t i = 0; i < list.count; i++) {
		append_separator(out, i);
		value_quote(out, list.items[i]);
	}
}

void
value_clear_texts(void *field)
{
	struct text_list list;

	memcpy(&list, field, sizeof(list));
	for (size_t i = 0; i < list.count; i++)
		free(list.items[i]);
	free(list.items);
	memset(field, 0, sizeof(list));
}

struct host_list {
	struct config_host *items;
	size_t count;
};

bool
value_parse_hosts(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	struct host_list list;
	struct config_host host;

	(void)key;
	if (text_equal(value, "mx"))
		return error_set(err, ERROR_CONFIG, "mx: not yet supported");
	if (!endpoint_parse_host(value, context->default_port, host.name, &host.port, err))
		return false;
	memcpy(&list, field, sizeof(list));
	list.items = mem_grow(list.items, list.count + 1, sizeof(*list.items));
	list.items[list.count++] = host;
	memcpy(field, &list, sizeof(list));
	return true;
}

void
value_print_hosts(const void *field, const struct config_key *key, struct buf *out)
{
	struct host_list list;

	(void)key;
	memcpy(&list, field, sizeof(list));
	for (size_t i = 0; i < list.count; i++) {
		const struct config_host *host = &list.items[i];
		bool is_v6 = strchr(host->name, ':') != NULL;

		append_separator(out, i);
		buf_appendf(out, "\"%s%s%s:%u\"", is_v6 ? "[" : "", host->name, is_v6 ? "]" : "",
		    host->port);
	}
}

void
value_clear_hosts(void *field)
{
	struct host_list list;

	memcpy(&list, field, sizeof(list));
	free(list.items);
	memset(field, 0, sizeof(list));
}
