/* config_value.c - values by their kind: from the text of a conffile to a field, and back. */
#include "conf/config_value.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config_list.h"
#include "conf/config_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One row per kind. */
struct kind {
	bool (*parse)(void *field, const struct config_key *key, const char *value,
	    const struct value_context *context, struct error *err);
	void (*print)(const void *field, const struct config_key *key, struct buf *out);
	void (*clear)(void *field);
};

void
value_quote(struct buf *out, const char *text)
{
	buf_append(out, "\"", 1);
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\' || *text == '$')
			buf_append(out, "\\", 1);
		if (*text == '\n')
			buf_append_text(out, "\\n");
		else
			buf_append(out, text, 1);
	}
	buf_append(out, "\"", 1);
}

/* Durations and sizes with the largest unit that leaves no rest. */
static void
append_units(struct buf *out, uint64_t number, const uint64_t *factors, const char *letters)
{
	size_t i = 0;

	while (number == 0 || number % factors[i] != 0)
		if (factors[i++] == 1)
			break;
	if (number == 0 || letters[i] == ' ' || letters[i] == '\0')
		buf_appendf(out, "\"%" PRIu64 "\"", number);
	else
		buf_appendf(out, "\"%" PRIu64 "%c\"", number / factors[i], letters[i]);
}

static bool
in_bounds(uint64_t number, const struct config_key *key)
{
	return key->max == 0 || (number >= key->min && number <= key->max);
}

/* ---- texts */

static void
text_set(void *field, const char *text)
{
	char *old;

	memcpy(&old, field, sizeof(old));
	free(old);
	old = mem_strdup(text);
	memcpy(field, &old, sizeof(old));
}

static const char *
text_get(const void *field)
{
	const char *text;

	memcpy(&text, field, sizeof(text));
	return text;
}

static void
text_clear(void *field)
{
	char *text;

	memcpy(&text, field, sizeof(text));
	free(text);
	memset(field, 0, sizeof(text));
}

static void
text_print(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	value_quote(out, text_get(field));
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

static bool
long_text_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	(void)context;
	if (!text_utf8_valid(value, strlen(value)))
		return error_set(err, ERROR_CONFIG, "not valid UTF-8");
	if (!in_bounds(strlen(value), key))
		return error_set(err, ERROR_CONFIG,
		    "%zu octets, allowed are %" PRIu64 " to %" PRIu64, strlen(value), key->min,
		    key->max);
	text_set(field, value);
	return true;
}

static bool
text_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	if (has_control(value))
		return error_set(
		    err, ERROR_CONFIG, "a control character, allowed is one line of text");
	return long_text_parse(field, key, value, context, err);
}

static bool
hostname_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
	size_t label = 0;

	for (const char *c = value; *c != '\0'; c++) {
		label = *c == '.' ? 0 : label + 1;
		if (strchr(letters, *c) == NULL || label > 63 ||
		    (label == 0 && (c == value || c[1] == '.')))
			return error_set(err, ERROR_CONFIG,
			    "\"%s\" is not a host name, allowed are "
			    "labels of letters, digits and -, joined by dots",
			    value);
	}
	return text_parse(field, key, value, context, err);
}

static bool
directory_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	if (value[0] != '/')
		return error_set(
		    err, ERROR_CONFIG, "\"%s\" is relative, allowed is a path from /", value);
	return text_parse(field, key, value, context, err);
}

static char *
absolute(const char *directory, const char *path)
{
	return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", directory, path);
}

static bool
file_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	char *path;
	bool good;

	if (value[0] == '\0')
		return text_parse(field, key, value, context, err);
	path = absolute(context->state_directory, value);
	good = text_parse(field, key, path, context, err);
	free(path);
	return good;
}

static bool
store_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	if (text_has_prefix(value, "postgresql:") || text_has_prefix(value, "postgres:"))
		return error_set(err, ERROR_CONFIG,
		    "postgresql: not yet supported, allowed is "
		    "\"sqlite:PATH\"");
	if (!text_has_prefix(value, "sqlite:") || value[strlen("sqlite:")] == '\0')
		return error_set(err, ERROR_CONFIG,
		    "\"%s\" is not a store, allowed is "
		    "\"sqlite:PATH\"",
		    value);
	return file_parse(field, key, value + strlen("sqlite:"), context, err);
}

static void
store_print(const void *field, const struct config_key *key, struct buf *out)
{
	char *store = mem_printf("sqlite:%s", text_get(field));

	(void)key;
	value_quote(out, store);
	free(store);
}

static bool
secret_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	const char *colon = strchr(value, ':');
	const char *rest = colon != NULL ? colon + 1 : "";
	char *path, *secret;
	bool good;

	if (value[0] == '\0')
		return text_parse(field, key, value, context, err);
	if (text_has_prefix(value, "command:"))
		return error_set(err, ERROR_CONFIG, "command: not yet supported");
	if (text_has_prefix(value, "credential:") && rest[0] != '\0' && strchr(rest, '/') == NULL)
		return text_parse(field, key, value, context, err);
	/* The value may be the secret itself: it is not repeated. */
	if (!text_has_prefix(value, "file:") || rest[0] == '\0')
		return error_set(err, ERROR_CONFIG,
		    "a secret does not stand in the conffile, allowed "
		    "are \"file:PATH\", \"credential:NAME\" and \"command:…\"");
	path = absolute(context->state_directory, rest);
	secret = mem_printf("file:%s", path);
	good = text_parse(field, key, secret, context, err);
	free(secret);
	free(path);
	return good;
}

static bool
ident_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	(void)context;
	/* What syslog daemons take for a program's name, RFC 5424 6.2.5. */
	for (const char *c = value; *c != '\0'; c++)
		if (*c <= ' ' || *c == 0x7f || strchr("[]:/", *c) != NULL)
			return error_set(err, ERROR_CONFIG,
			    "\"%s\" has a blank or one of []:/, "
			    "allowed is a word",
			    value);
	if (!in_bounds(strlen(value), key))
		return error_set(err, ERROR_CONFIG,
		    "%zu octets, allowed are %" PRIu64 " to %" PRIu64, strlen(value), key->min,
		    key->max);
	text_copy(field, key->max + 1, value);
	return true;
}

static void
ident_print(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	value_quote(out, field);
}

/* ---- numbers */

static const uint64_t duration_factors[] = { 86400, 3600, 60, 1 };
static const uint64_t size_factors[] = { 1024 * 1024 * 1024, 1024 * 1024, 1024, 1 };

static bool
number_check(uint64_t number, const char *value, const struct config_key *key, const char *unit,
    struct error *err)
{
	if (in_bounds(number, key))
		return true;
	return error_set(err, ERROR_CONFIG,
	    "%s is out of range, allowed are %" PRIu64 " to %" PRIu64 "%s", value, key->min,
	    key->max, unit);
}

static bool
count_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	uint64_t number;

	(void)context;
	if (!text_parse_number(value, &number))
		return error_set(err, ERROR_CONFIG,
		    "\"%s\" is not a number, allowed are %" PRIu64 " to %" PRIu64, value, key->min,
		    key->max);
	if (!number_check(number, value, key, "", err))
		return false;
	*(unsigned *)field = (unsigned)number;
	return true;
}

static void
count_print(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	buf_appendf(out, "%u", *(const unsigned *)field);
}

static bool
duration_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	uint64_t number;

	(void)context;
	if (!text_parse_duration(value, &number))
		return error_set(err, ERROR_CONFIG,
		    "\"%s\" is not a duration, allowed are \"30s\", "
		    "\"5m\", \"4h\", \"5d\"",
		    value);
	if (!number_check(number, value, key, " seconds", err))
		return false;
	*(unsigned *)field = (unsigned)number;
	return true;
}

static void
duration_print(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	append_units(out, *(const unsigned *)field, duration_factors, "dhms");
}

static bool
octets_parse(uint64_t *octets, const struct config_key *key, const char *value, struct error *err)
{
	if (!text_parse_size(value, octets))
		return error_set(err, ERROR_CONFIG,
		    "\"%s\" is not a size, allowed are \"4096\", "
		    "\"64K\", \"35M\", \"1G\"",
		    value);
	return number_check(*octets, value, key, " octets", err);
}

static bool
size_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	(void)context;
	return octets_parse(field, key, value, err);
}

static void
size_print(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	append_units(out, *(const uint64_t *)field, size_factors, "GMK ");
}

static bool
length_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	uint64_t octets;

	(void)context;
	if (!octets_parse(&octets, key, value, err))
		return false;
	*(size_t *)field = (size_t)octets;
	return true;
}

static void
length_print(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	buf_appendf(out, "%zu", *(const size_t *)field);
}

static bool
switch_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	(void)key;
	(void)context;
	if (!text_equal(value, "true") && !text_equal(value, "false"))
		return error_set(
		    err, ERROR_CONFIG, "\"%s\" is not a switch, allowed are true, false", value);
	*(bool *)field = text_equal(value, "true");
	return true;
}

static void
switch_print(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	buf_append_text(out, *(const bool *)field ? "true" : "false");
}

static bool
choice_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	struct buf names = { 0 };

	(void)context;
	for (const struct config_choice *choice = key->choices; choice->name != NULL; choice++) {
		if (!text_equal(choice->name, value))
			continue;
		if (choice->later)
			return error_set(err, ERROR_CONFIG, "%s: not yet supported", choice->name);
		memcpy(field, &choice->value, sizeof(choice->value));
		return true;
	}
	for (const struct config_choice *choice = key->choices; choice->name != NULL; choice++)
		if (!choice->later)
			buf_appendf(&names, "%s%s", names.len > 0 ? ", " : "", choice->name);
	error_set(
	    err, ERROR_CONFIG, "\"%s\" is not known, allowed are %s", value, buf_text(&names));
	buf_free(&names);
	return false;
}

static void
choice_print(const void *field, const struct config_key *key, struct buf *out)
{
	const struct config_choice *choice = key->choices;
	int value;

	memcpy(&value, field, sizeof(value));
	while (choice->later || choice->value != value)
		choice++;
	value_quote(out, choice->name);
}

static bool
rate_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	uint64_t *rate = field;

	(void)context;
	rate[0] = 0;
	rate[1] = 1;
	if (value[0] == '\0')
		return true;
	if (!text_parse_rate(value, &rate[0], &rate[1]))
		return error_set(err, ERROR_CONFIG,
		    "\"%s\" is not a rate, allowed are \"5/s\", "
		    "\"30/m\", \"60/h\", or \"\" for none",
		    value);
	return number_check(rate[0], value, key, " in a unit of time, or \"\" for none", err);
}

static void
rate_print(const void *field, const struct config_key *key, struct buf *out)
{
	const uint64_t *rate = field;

	(void)key;
	if (rate[0] == 0)
		buf_append_text(out, "\"\"");
	else
		buf_appendf(out, "\"%" PRIu64 "/%c\"", rate[0],
		    rate[1] == 1	  ? 's'
			: rate[1] == 60	  ? 'm'
			: rate[1] == 3600 ? 'h'
					  : 'd');
}

/* ---- the kinds */

static const struct kind kinds[] = {
	[VALUE_TEXT] = { text_parse, text_print, text_clear },
	[VALUE_LONG_TEXT] = { long_text_parse, text_print, text_clear },
	[VALUE_HOSTNAME] = { hostname_parse, text_print, text_clear },
	[VALUE_DIRECTORY] = { directory_parse, text_print, text_clear },
	[VALUE_FILE] = { file_parse, text_print, text_clear },
	[VALUE_STORE] = { store_parse, store_print, text_clear },
	[VALUE_SECRET] = { secret_parse, text_print, text_clear },
	[VALUE_IDENT] = { ident_parse, ident_print, NULL },
	[VALUE_COUNT] = { count_parse, count_print, NULL },
	[VALUE_DURATION] = { duration_parse, duration_print, NULL },
	[VALUE_SIZE] = { size_parse, size_print, NULL },
	[VALUE_LENGTH] = { length_parse, length_print, NULL },
	[VALUE_SWITCH] = { switch_parse, switch_print, NULL },
	[VALUE_CHOICE] = { choice_parse, choice_print, NULL },
	[VALUE_RATE] = { rate_parse, rate_print, NULL },
	[VALUE_LISTEN] = { value_parse_listen, value_print_listen, value_clear_listen },
	[VALUE_NETWORKS] = { value_parse_networks, value_print_networks, value_clear_networks },
	[VALUE_TEXTS] = { value_parse_texts, value_print_texts, value_clear_texts },
	[VALUE_HOSTS] = { value_parse_hosts, value_print_hosts, value_clear_hosts },
};

bool
value_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	return kinds[key->kind].parse(field, key, value, context, err);
}

void
value_print(const void *field, const struct config_key *key, bool mask, struct buf *out)
{
	if (key->kind == VALUE_SECRET && mask && text_get(field)[0] != '\0') {
		value_quote(out, "***");
		return;
	}
	if (key->is_list)
		buf_append(out, "{", 1);
	kinds[key->kind].print(field, key, out);
	if (key->is_list)
		buf_append(out, "}", 1);
}

void
value_clear(void *field, const struct config_key *key)
{
	if (kinds[key->kind].clear != NULL)
		kinds[key->kind].clear(field);
}
