/* config_list.c - the values that are lists; rows of config_value.c. */
#include "conf/config_list.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "conf/config_table.h"
#include "conf/config_value.h"
#include "conf/pattern.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

bool
value_parse_patterns(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	static const struct config_key any = { .min = 1, .max = PATTERN_MAX };
	char pattern[PATTERN_MAX + 1];

	(void)key;
	return pattern_parse(value, pattern, err) &&
	    value_parse_texts(field, &any, pattern, context, err);
}

/* ---- of struct relay_config */

static bool
mx_parse(struct relay_config *relay, const char *value, struct error *err)
{
	const char *port = value + strlen("mx");
	uint64_t number = 25;

	if (port[0] == ':' &&
	    (!text_parse_number(port + 1, &number) || number == 0 || number > UINT16_MAX))
		return error_set(err, ERROR_CONFIG, "\"%s\" needs a port from 1 to 65535", value);
	relay->mx = true;
	relay->mx_port = (uint16_t)number;
	return true;
}

bool
value_parse_hosts(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	struct relay_config *relay = (void *)((char *)field - key->offset);
	bool is_mx = text_equal(value, "mx") || strncasecmp(value, "mx:", 3) == 0;
	struct config_host host;

	if (relay->mx || (is_mx && relay->host_count > 0))
		return error_set(
		    err, ERROR_CONFIG, "mx stands beside other hosts, allowed is one of them");
	if (is_mx)
		return mx_parse(relay, value, err);
	if (!endpoint_parse_host(value, context->default_port, host.name, &host.port, err))
		return false;
	relay->hosts = mem_grow(relay->hosts, relay->host_count + 1, sizeof(*relay->hosts));
	relay->hosts[relay->host_count++] = host;
	return true;
}

void
value_print_hosts(const void *field, const struct config_key *key, struct buf *out)
{
	const struct relay_config *relay = (const void *)((const char *)field - key->offset);

	if (relay->mx)
		buf_appendf(out, "\"mx:%u\"", relay->mx_port);
	for (size_t i = 0; i < relay->host_count; i++) {
		const struct config_host *host = &relay->hosts[i];
		bool is_v6 = strchr(host->name, ':') != NULL;

		append_separator(out, i);
		buf_appendf(out, "\"%s%s%s:%u\"", is_v6 ? "[" : "", host->name, is_v6 ? "]" : "",
		    host->port);
	}
}

void
value_clear_hosts(void *field)
{
	struct config_host *hosts;

	memcpy(&hosts, field, sizeof(hosts));
	free(hosts);
	memset(field, 0, sizeof(hosts) + sizeof(size_t));
}

struct rate_list {
	struct config_rate *items;
	size_t count;
};

bool
value_parse_rates(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	struct rate_list list;
	uint64_t rate[2];

	(void)context;
	if (value[0] == '\0')
		return true;
	if (!value_read_rate(rate, key, value, err))
		return false;
	memcpy(&list, field, sizeof(list));
	for (size_t i = 0; i < list.count; i++)
		if (list.items[i].seconds == rate[1])
			return error_set(err, ERROR_CONFIG,
			    "\"%s\" is a second limit in that unit of time, allowed is one of each",
			    value);
	list.items = mem_grow(list.items, list.count + 1, sizeof(*list.items));
	list.items[list.count++] = (struct config_rate){ rate[0], rate[1] };
	memcpy(field, &list, sizeof(list));
	return true;
}

void
value_print_rates(const void *field, const struct config_key *key, struct buf *out)
{
	struct rate_list list;

	(void)key;
	memcpy(&list, field, sizeof(list));
	for (size_t i = 0; i < list.count; i++) {
		append_separator(out, i);
		value_write_rate(list.items[i].count, list.items[i].seconds, out);
	}
}

void
value_clear_rates(void *field)
{
	struct rate_list list;

	memcpy(&list, field, sizeof(list));
	free(list.items);
	memset(field, 0, sizeof(list));
}
