/* send_field.c - the fields that --header adds to a mail. */
#include "client/send_field.h"

#include "base/mem.h"
#include "base/text.h"
#include "client/send_address.h"
#include "client/send_header.h"
#include "client/send_option.h"

#include <gmime/gmime.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#define NAME_MAX_OCTETS	70
#define WORD_MAX	900	/* octets of a word and the blanks before it; a line holds 998 */

/* What makes a field, where not --header. */
static const struct { const char *name, *why; } refused[] = {
	{ "From", "there is --from" }, { "To", "there is --to" }, { "Cc", "there is --cc" },
	{ "Bcc", "there is --bcc, and nobody may read it" },
	{ "Resent-Bcc", "there is --bcc, and nobody may read it" },
	{ "Reply-To", "there is --reply-to" }, { "Subject", "there is --subject" },
	{ "MIME-Version", "herald writes it" }, { "Received", "servers write it" },
	{ "Return-Path", "the last server writes it" },
};

/* RFC 5322 3.6: at most one of each. */
static const char *const single[] = {
	"Date", "Message-ID", "Sender", "In-Reply-To", "References",
};

static const char *const of_ids[] = { "Message-ID", "In-Reply-To", "References" };

static const char *const of_addresses[] = {
	"Sender", "Disposition-Notification-To", "Return-Receipt-To", "Errors-To",
};

static bool
is_one_of(const char *name, const char *const *table, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(name, table[i]) == 0)
			return true;
	return false;
}

#define IS_ONE_OF(name, table)	is_one_of(name, table, sizeof(table) / sizeof(table[0]))

static bool
complain(const char *header, int exit_code, const char *why, struct send_fault *fault)
{
	char shown[160];

	text_printable_utf8(shown, sizeof(shown), header, strlen(header));
	return send_fault_set(fault, exit_code, "--header \"%s\": %s", shown, why);
}

static bool
check_name(const char *header, const char *name, struct send_fault *fault)
{
	if (name[0] == '\0' || strlen(name) > NAME_MAX_OCTETS)
		return complain(header, EX_USAGE, "a field is \"Name: value\"", fault);
	for (const char *at = name; *at != '\0'; at++)
		if (*at <= ' ' || *at > '~')	/* RFC 5322 3.6.8 */
			return complain(header, EX_USAGE, "a field is \"Name: value\"", fault);
	if (strncasecmp(name, "Content-", 8) == 0)
		return complain(header, EX_USAGE, "herald writes it", fault);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (strcasecmp(name, refused[i].name) == 0)
			return complain(header, EX_USAGE, refused[i].why, fault);
	return true;
}

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((*text < ' ' && *text != '\t') || *text > '~')
			return false;
	return true;
}

static bool
has_long_word(const char *text)
{
	for (size_t len, blanks = 0; *text != '\0'; text += len) {
		len = strcspn(text, " \t");
		if (blanks + len > WORD_MAX)
			return true;
		blanks = strspn(text + len, " \t");
		len += blanks;
	}
	return false;
}

static bool
is_message_id(const char *text)
{
	const size_t len = strlen(text);

	return len > 4 && len <= 250 && text[0] == '<' && text[len - 1] == '>' &&
	    strcspn(text + 1, "<>") == len - 2 && strpbrk(text, " \t") == NULL &&
	    is_ascii(text) && strchr(text, '@') != NULL;
}

static bool
is_date(const char *text)
{
	GDateTime *date = is_ascii(text) ? g_mime_utils_header_decode_date(text) : NULL;

	if (date == NULL)
		return false;
	g_date_time_unref(date);
	return true;
}

static bool
check_addresses(struct send_fields *out, const struct send_field *field,
    struct send_fault *fault)
{
	struct send_addresses addresses = { 0 };
	const bool ok = send_addresses_read(&addresses, "--header", field->value, fault);

	out->needs_utf8 = out->needs_utf8 || addresses.needs_utf8;
	send_addresses_free(&addresses);
	return ok;
}

static bool
check_value(struct send_fields *out, const char *header, const struct send_field *field,
    struct send_fault *fault)
{
	if (field->value[strspn(field->value, " \t")] == '\0')
		return complain(header, EX_DATAERR, "there is no value in it", fault);
	if (IS_ONE_OF(field->name, single) && send_fields_value(out, field->name) != NULL)
		return complain(header, EX_USAGE, "a mail has one such field", fault);
	if (IS_ONE_OF(field->name, of_ids) && !is_ascii(field->value))
		return complain(header, EX_DATAERR, "an id is of ASCII alone", fault);
	if (strcasecmp(field->name, "Message-ID") == 0 && !is_message_id(field->value))
		return complain(header, EX_DATAERR, "an id is of the form <local@domain>", fault);
	if (strcasecmp(field->name, "Date") == 0 && !is_date(field->value))
		return complain(header, EX_DATAERR, "a date is of the form \"Mon, 23 Nov 2026 "
		    "05:06:07 +0000\"", fault);
	if (IS_ONE_OF(field->name, of_addresses))
		return check_addresses(out, field, fault);
	if (is_ascii(field->value) && has_long_word(field->value))
		return complain(header, EX_DATAERR, "a word of it, or a run of blanks, is too "
		    "long for a line", fault);
	return true;
}

static bool
read_one(struct send_fields *out, const char *header, struct send_fault *fault)
{
	const char *colon = strchr(header, ':');
	struct send_field field;

	if (!send_option_check("--header", header, fault))
		return false;
	if (colon == NULL)
		return complain(header, EX_USAGE, "a field is \"Name: value\"", fault);
	field.name = mem_strndup(header, (size_t)(colon - header));
	field.value = colon + 1 + strspn(colon + 1, " \t");
	if (!check_name(header, field.name, fault) || !check_value(out, header, &field, fault)) {
		free(field.name);
		return false;
	}
	out->items = mem_grow(out->items, out->count + 1, sizeof(*out->items));
	out->items[out->count++] = field;
	return true;
}

bool
send_fields_read(struct send_fields *out, const struct send_list *headers,
    struct send_fault *fault)
{
	for (size_t i = 0; i < headers->count; i++)
		if (!read_one(out, headers->items[i], fault))
			return false;
	return true;
}

void
send_fields_free(struct send_fields *fields)
{
	for (size_t i = 0; i < fields->count; i++)
		free(fields->items[i].name);
	free(fields->items);
	*fields = (struct send_fields){ 0 };
}

const char *
send_fields_value(const struct send_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++)
		if (strcasecmp(fields->items[i].name, name) == 0)
			return fields->items[i].value;
	return NULL;
}

void
send_field_write(const struct send_field *field, struct send_header *header)
{
	struct send_addresses addresses = { 0 };
	struct send_fault fault = { 0 };

	if (IS_ONE_OF(field->name, of_addresses)) {
		if (send_addresses_read(&addresses, "--header", field->value, &fault))
			send_addresses_write(&addresses, header);
		send_addresses_free(&addresses);
	} else if (is_ascii(field->value)) {
		send_header_plain(header, field->value);
	} else {
		send_header_text(header, field->value);
	}
}
