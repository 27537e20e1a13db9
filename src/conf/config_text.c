/* config_text.c - the values that are texts; rows of config_value.c. */
#include "conf/config_text.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config_table.h"
#include "conf/config_value.h"
#include "net/endpoint.h"
#include "net/tls.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void
text_set(void *field, const char *text)
{
	char *old;

	memcpy(&old, field, sizeof(old));
	free(old);
	old = mem_strdup(text);
	memcpy(field, &old, sizeof(old));
}

const char *
value_text(const void *field)
{
	const char *text;

	memcpy(&text, field, sizeof(text));
	return text;
}

void
value_clear_text(void *field)
{
	char *text;

	memcpy(&text, field, sizeof(text));
	free(text);
	memset(field, 0, sizeof(text));
}

void
value_print_text(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	value_quote(out, value_text(field));
}

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

bool
value_parse_long_text(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	(void)context;
	if (!text_utf8_valid(value, strlen(value)))
		return error_set(err, ERROR_CONFIG, "not valid UTF-8");
	if (!value_in_bounds(strlen(value), key))
		return error_set(err, ERROR_CONFIG,
		    "%zu octets, allowed are %" PRIu64 " to %" PRIu64, strlen(value), key->min,
		    key->max);
	text_set(field, value);
	return true;
}

bool
value_parse_text(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	if (has_control(value))
		return error_set(
		    err, ERROR_CONFIG, "a control character, allowed is one line of text");
	return value_parse_long_text(field, key, value, context, err);
}

bool
value_parse_hostname(void *field, const struct config_key *key, const char *value,
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
	return value_parse_text(field, key, value, context, err);
}

bool
value_parse_directory(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	if (value[0] != '/')
		return error_set(
		    err, ERROR_CONFIG, "\"%s\" is relative, allowed is a path from /", value);
	return value_parse_text(field, key, value, context, err);
}

static char *
absolute(const char *directory, const char *path)
{
	return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", directory, path);
}

bool
value_parse_file(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	char *path;
	bool good;

	if (value[0] == '\0')
		return value_parse_text(field, key, value, context, err);
	path = absolute(context->state_directory, value);
	good = value_parse_text(field, key, path, context, err);
	free(path);
	return good;
}

bool
value_parse_store(void *field, const struct config_key *key, const char *value,
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
	return value_parse_file(field, key, value + strlen("sqlite:"), context, err);
}

void
value_print_store(const void *field, const struct config_key *key, struct buf *out)
{
	char *store = mem_printf("sqlite:%s", value_text(field));

	(void)key;
	value_quote(out, store);
	free(store);
}

/* No shell: words with blanks between them, the first one a path. */
static bool
command_parse(void *field, const struct config_key *key, const char *command,
    const struct value_context *context, struct error *err)
{
	char *secret;
	bool good;

	command += strspn(command, " \t");
	if (command[0] != '/')
		return error_set(err, ERROR_CONFIG,
		    "command: needs the program's path from /, "
		    "as in \"command:/usr/bin/pass mail\"");
	secret = mem_printf("command:%s", command);
	good = value_parse_text(field, key, secret, context, err);
	free(secret);
	return good;
}

bool
value_parse_secret(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	const char *colon = strchr(value, ':');
	const char *rest = colon != NULL ? colon + 1 : "";
	char *path, *secret;
	bool good;

	if (value[0] == '\0')
		return value_parse_text(field, key, value, context, err);
	if (text_has_prefix(value, "command:"))
		return command_parse(field, key, rest, context, err);
	if (text_has_prefix(value, "credential:") && rest[0] != '\0' && rest[0] != '.' &&
	    strchr(rest, '/') == NULL)
		return value_parse_text(field, key, value, context, err);
	/* The value may be the secret itself: it is not repeated. */
	if (!text_has_prefix(value, "file:") || rest[0] == '\0')
		return error_set(err, ERROR_CONFIG,
		    "a secret does not stand in the conffile, allowed "
		    "are \"file:PATH\", \"credential:NAME\" and \"command:…\"");
	path = absolute(context->state_directory, rest);
	secret = mem_printf("file:%s", path);
	good = value_parse_text(field, key, secret, context, err);
	free(secret);
	free(path);
	return good;
}

bool
value_parse_ident(void *field, const struct config_key *key, const char *value,
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
	if (!value_in_bounds(strlen(value), key))
		return error_set(err, ERROR_CONFIG,
		    "%zu octets, allowed are %" PRIu64 " to %" PRIu64, strlen(value), key->min,
		    key->max);
	text_copy(field, key->max + 1, value);
	return true;
}

void
value_print_ident(const void *field, const struct config_key *key, struct buf *out)
{
	(void)key;
	value_quote(out, field);
}

bool
value_parse_fingerprint(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	return (value[0] == '\0' || tls_fingerprint_check(value, err)) &&
	    value_parse_text(field, key, value, context, err);
}

bool
value_parse_address(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err)
{
	char address[ENDPOINT_ADDRESS_MAX];
	struct endpoint endpoint;

	if (value[0] == '\0')
		return value_parse_text(field, key, value, context, err);
	if (!endpoint_from_literal(&endpoint, value, 0))
		return error_set(err, ERROR_CONFIG,
		    "\"%s\" is not an address, allowed are \"192.0.2.1\", \"2001:db8::1\"", value);
	return value_parse_text(field, key, endpoint_host(&endpoint, address), context, err);
}
