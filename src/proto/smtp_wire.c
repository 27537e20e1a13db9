/* smtp_wire.c - command lines taken apart: verb, path, ESMTP parameters. */
#include "proto/smtp_wire.h"

#include <string.h>
#include <strings.h>

#define SIZE_DIGITS_MAX 20 /* RFC 1870 4 */

bool
slice_is(struct slice slice, const char *word)
{
	return slice.len == strlen(word) && strncasecmp(slice.at, word, slice.len) == 0;
}

static struct slice
skip(struct slice slice, size_t len)
{
	return (struct slice){ slice.at + len, slice.len - len };
}

static bool
is_blank(char octet)
{
	return octet == ' ' || octet == '\t';
}

static struct slice
skip_blanks(struct slice slice)
{
	while (slice.len > 0 && is_blank(slice.at[0]))
		slice = skip(slice, 1);
	return slice;
}

enum smtp_line
smtp_line_find(const char *octets, size_t len, size_t *used)
{
	const char *lf = memchr(octets, '\n', len);

	if (lf == NULL) {
		*used = len > 0 && octets[len - 1] == '\r' ? len - 1 : len;
		return SMTP_LINE_PARTIAL;
	}
	*used = (size_t)(lf + 1 - octets);
	return lf > octets && lf[-1] == '\r' ? SMTP_LINE_WHOLE : SMTP_LINE_BARE;
}

bool
smtp_line_clean(struct slice line)
{
	for (size_t i = 0; i < line.len; i++) {
		unsigned char octet = (unsigned char)line.at[i];

		if ((octet < 0x20 && octet != '\t') || octet == 0x7f)
			return false;
	}
	return true;
}

void
smtp_command_split(struct slice line, struct slice *verb, struct slice *argument)
{
	*verb = (struct slice){ line.at, 0 };
	while (verb->len < line.len && !is_blank(line.at[verb->len]))
		verb->len++;
	*argument = skip_blanks(skip(line, verb->len));
	while (argument->len > 0 && is_blank(argument->at[argument->len - 1]))
		argument->len--;
}

/* Where the first ">" stands that is not in a quoted string; NULL: nowhere. */
static const char *
find_close(struct slice path)
{
	bool quoted = false;

	for (size_t i = 0; i < path.len; i++) {
		if (quoted && path.at[i] == '\\')
			i++;
		else if (path.at[i] == '"')
			quoted = !quoted;
		else if (path.at[i] == '>' && !quoted)
			return path.at + i;
	}
	return NULL;
}

/* "<name>" has the syntax of "<name@x>" without its end: there is one parser of paths. */
static bool
parse_bare(struct address *out, struct slice path, size_t *used)
{
	static const char domain[] = "@x>";
	char text[1 + ADDRESS_LOCAL_MAX + sizeof(domain)];
	const char *close = find_close(path);
	size_t len, whole;

	if (close == NULL || close > path.at + ADDRESS_LOCAL_MAX + 1)
		return false;
	len = (size_t)(close - path.at);
	memcpy(text, path.at, len);
	memcpy(text + len, domain, sizeof(domain));
	if (address_parse_path(out, text, len + 3, true, &whole) != ADDRESS_OK || whole != len + 3)
		return false;
	out->domain[0] = '\0';
	*used = len + 1;
	return true;
}

static bool
parse_path(struct address *out, struct slice path, bool bare_names, size_t *used)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	if (address_parse_path(out, path.at, path.len, true, used) == ADDRESS_OK)
		return address_domain_ascii(out, domain);
	return bare_names && parse_bare(out, path, used);
}

enum smtp_path_fault
smtp_path_parse(struct address *out, struct slice argument, const char *prefix, bool bare_names,
    struct slice *parameters)
{
	size_t prefix_len = strlen(prefix), used = 0;

	if (argument.len < prefix_len || strncasecmp(argument.at, prefix, prefix_len) != 0)
		return SMTP_PATH_SYNTAX;
	argument = skip_blanks(skip(argument, prefix_len));
	if (argument.len == 0)
		return SMTP_PATH_SYNTAX;
	if (!parse_path(out, argument, bare_names, &used))
		return SMTP_PATH_ADDRESS;
	*parameters = skip(argument, used);
	if (parameters->len > 0 && !is_blank(parameters->at[0]))
		return SMTP_PATH_SYNTAX;
	*parameters = skip_blanks(*parameters);
	return SMTP_PATH_OK;
}

static bool
is_keyword_octet(char octet, bool first)
{
	return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
	    (octet >= '0' && octet <= '9') || (!first && octet == '-');
}

static bool
is_value_octet(char octet)
{
	return (unsigned char)octet > 0x20 && octet != 0x7f && octet != '=';
}

enum smtp_next
smtp_parameter_next(struct slice *parameters, struct smtp_parameter *out)
{
	struct slice rest = skip_blanks(*parameters);

	if (rest.len == 0)
		return SMTP_NEXT_NONE;
	*out = (struct smtp_parameter){ .keyword = { rest.at, 0 } };
	while (out->keyword.len < rest.len &&
	    is_keyword_octet(rest.at[out->keyword.len], out->keyword.len == 0))
		out->keyword.len++;
	rest = skip(rest, out->keyword.len);
	out->has_value = rest.len > 0 && rest.at[0] == '=';
	if (out->has_value) {
		rest = skip(rest, 1);
		out->value.at = rest.at;
		while (out->value.len < rest.len && is_value_octet(rest.at[out->value.len]))
			out->value.len++;
		rest = skip(rest, out->value.len);
	}
	if (out->keyword.len == 0 || (out->has_value && out->value.len == 0) ||
	    (rest.len > 0 && !is_blank(rest.at[0])))
		return SMTP_NEXT_FAULT;
	*parameters = rest;
	return SMTP_NEXT_ONE;
}

bool
smtp_size_parse(struct slice value, uint64_t *out)
{
	uint64_t size = 0;

	if (value.len == 0 || value.len > SIZE_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < value.len; i++) {
		if (value.at[i] < '0' || value.at[i] > '9')
			return false;
		if (__builtin_mul_overflow(size, 10u, &size) ||
		    __builtin_add_overflow(size, (uint64_t)(value.at[i] - '0'), &size))
			return false;
	}
	*out = size;
	return true;
}
