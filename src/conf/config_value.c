/* config_value.c - values by their kind: from the text of a conffile to a field, and back. */
#include "conf/config_value.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config_list.h"
#include "conf/config_table.h"
#include "conf/config_text.h"

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

bool
value_in_bounds(uint64_t number, const struct config_key *key)
{
	return key->max == 0 || (number >= key->min && number <= key->max);
}

/* ---- numbers */

static const uint64_t duration_factors[] = { 86400, 3600, 60, 1 };
static const uint64_t size_factors[] = { 1024 * 1024 * 1024, 1024 * 1024, 1024, 1 };

static bool
number_check(uint64_t number, const char *value, const struct config_key *key, const char *unit,
    struct error *err)
{
	if (value_in_bounds(number, key))
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

bool
value_read_rate(
    uint64_t rate[2], const struct config_key *key, const char *value, struct error *err)
{
	/* A window of a week would outlive what administrators know of it. */
	if (!text_parse_rate(value, &rate[0], &rate[1]) || rate[1] > 86400)
		return error_set(err, ERROR_CONFIG,
		    "\"%s\" is not a rate, allowed are \"5/s\", "
		    "\"30/m\", \"60/h\", \"500/d\", or \"\" for none",
		    value);
	return number_check(rate[0], value, key, " in a unit of time, or \"\" for none", err);
}

void
value_write_rate(uint64_t count, uint64_t seconds, struct buf *out)
{
	buf_appendf(out, "\"%" PRIu64 "/%c\"", count,
	    seconds == 1	  ? 's'
		: seconds == 60	  ? 'm'
		: seconds == 3600 ? 'h'
				  : 'd');
}

static bool
rate_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	uint64_t *rate = field;

	(void)context;
	rate[0] = 0;
	rate[1] = 1;
	return value[0] == '\0' || value_read_rate(rate, key, value, err);
}

static void
rate_print(const void *field, const struct config_key *key, struct buf *out)
{
	const uint64_t *rate = field;

	(void)key;
	if (rate[0] == 0)
		buf_append_text(out, "\"\"");
	else
		value_write_rate(rate[0], rate[1], out);
}

/* ---- the kinds */

static const struct kind kinds[] = {
	[VALUE_TEXT] = { value_parse_text, value_print_text, value_clear_text },
	[VALUE_LONG_TEXT] = { value_parse_long_text, value_print_text, value_clear_text },
	[VALUE_HOSTNAME] = { value_parse_hostname, value_print_text, value_clear_text },
	[VALUE_DIRECTORY] = { value_parse_directory, value_print_text, value_clear_text },
	[VALUE_FILE] = { value_parse_file, value_print_text, value_clear_text },
	[VALUE_STORE] = { value_parse_store, value_print_store, value_clear_text },
	[VALUE_SECRET] = { value_parse_secret, value_print_text, value_clear_text },
	[VALUE_PRINT] = { value_parse_fingerprint, value_print_text, value_clear_text },
	[VALUE_ADDRESS] = { value_parse_address, value_print_text, value_clear_text },
	[VALUE_IDENT] = { value_parse_ident, value_print_ident, NULL },
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
	[VALUE_RATES] = { value_parse_rates, value_print_rates, value_clear_rates },
	[VALUE_PATTERNS] = { value_parse_patterns, value_print_texts, value_clear_texts },
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
	if (key->kind == VALUE_SECRET && mask && value_text(field)[0] != '\0') {
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
