/* ctl_identity.c - the verbs of heraldctl that show what mail of this machine becomes. */
#include "cmd/ctl_command.h"
#include "cmd/ctl_print.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/aliases.h"
#include "mail/identity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#define DEFAULT_ALIASES	"/etc/aliases"
#define HEADER_MAX	(24 * 1024)	/* octets; twice that is a request, of 64 KiB at most */

/* --- rewrite --- */

/* The header section with its empty line, canonical; the rest of the input is not read.
 * False where it is too long or the input cannot be read. */
static bool
read_header(struct buf *out)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	bool is_end = false;

	while (!is_end && (len = getline(&line, &size, stdin)) > 0) {
		while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
			len--;
		is_end = len == 0 || out->len > HEADER_MAX;
		buf_append(out, line, (size_t)len);
		buf_append(out, "\r\n", 2);
	}
	free(line);
	if (ferror(stdin))
		fprintf(stderr, "heraldctl: cannot read the message: %s\n", strerror(errno));
	else if (out->len > HEADER_MAX || memchr(buf_octets(out), '\0', out->len) != NULL)
		fprintf(stderr, "heraldctl: allowed is a header section of at most %d octets, "
		    "without NUL\n", HEADER_MAX);
	else
		return true;
	return false;
}

/* As the daemon takes and gives mail data: each octet is the character of its number. */
static json_t *
characters_of(const struct buf *octets)
{
	struct buf text = { 0 };
	json_t *json;

	for (size_t i = 0; i < octets->len; i++) {
		unsigned char octet = (unsigned char)buf_octets(octets)[i];
		const char pair[2] = { (char)(0xc0 | octet >> 6), (char)(0x80 | (octet & 0x3f)) };

		buf_append(&text, octet >= 0x80 ? pair : (const char *)&octet,
		    octet >= 0x80 ? 2 : 1);
	}
	json = json_stringn(buf_octets(&text), text.len);
	buf_free(&text);
	return json;
}

/* Back to what people read: UTF-8, or \xHH for what is none. */
static char *
text_of(const json_t *characters)
{
	const unsigned char *at = (const unsigned char *)json_string_value(characters);
	size_t len = json_string_length(characters), size;
	struct buf octets = { 0 };
	char *text;

	for (size_t i = 0; i < len; i++) {
		unsigned char octet = at[i];

		if (octet >= 0x80 && i + 1 < len)
			octet = (unsigned char)(octet << 6 | (at[++i] & 0x3f));
		if (octet != '\r')
			buf_append(&octets, &octet, 1);
	}
	size = octets.len * 4 + 1;
	text = mem_alloc(size);
	if (text_utf8_valid(buf_octets(&octets), octets.len))
		text_copy(text, size, buf_text(&octets));
	else
		text_printable_utf8(text, size, buf_octets(&octets), octets.len);
	buf_free(&octets);
	return text;
}

/* Octets of the field at `text` with its folded lines. */
static size_t
field_len(const char *text)
{
	size_t len = 0;

	do {
		len += strcspn(text + len, "\n");
		len += text[len] == '\n';
	} while (text[len] == ' ' || text[len] == '\t');
	return len;
}

static void
print_field(char mark, const char *field, size_t len)
{
	while (len > 0) {
		const char *lf = memchr(field, '\n', len);
		size_t line = lf != NULL ? (size_t)(lf - field) : len;
		char *text = mem_strndup(field, line);

		line = ctl_mask(text, line, true);
		printf("%c %.*s\n", mark, (int)line, text);
		free(text);
		line = lf != NULL ? (size_t)(lf + 1 - field) : len;
		field += line;
		len -= line;
	}
}

/* The order stays: a field that is changed stands where it stood, others are added. */
static void
print_header(const char *before, const char *after)
{
	while (after[0] != '\0' && after[0] != '\n') {
		size_t old = before[0] != '\n' ? field_len(before) : 0, new = field_len(after);
		size_t name = strcspn(after, ":\n");

		if (old == new && memcmp(before, after, new) == 0) {
			print_field(' ', after, new);
			before += old;
		} else {
			if (old > name && strncasecmp(before, after, name + 1) == 0) {
				print_field('-', before, old);
				before += old;
			}
			print_field('+', after, new);
		}
		after += new;
	}
}

static void
print_path(const char *what, const json_t *row)
{
	const json_t *after = json_object_get(row, "after"), *each;
	size_t i;

	printf("%s <%s> -> ", what, ctl_text(row, "before"));
	if (json_is_string(after))
		printf("<%s>", json_string_value(after));
	json_array_foreach(after, i, each)
		printf("%s<%s>", i > 0 ? ", " : "", json_string_value(each));
	putchar('\n');
}

static void
print_rewrite(json_t *result, const char *before, const char *after)
{
	const json_t *row;
	size_t i;

	ctl_mask_all(result);
	print_path("from", json_object_get(result, "sender"));
	json_array_foreach(json_object_get(result, "recipients"), i, row)
		print_path("to  ", row);
	putchar('\n');
	print_header(before, after);
}

static int
show_rewrite(const struct command *command, json_t *result, const struct buf *header)
{
	json_t *old = characters_of(header);
	char *before = text_of(old), *after = text_of(json_object_get(result, "header"));

	json_object_del(result, "header");
	if (command->json) {
		json_object_set_new(result, "header", json_pack("{s:s, s:s}", "before", before,
		    "after", after));
		ctl_print_json(result);
	} else {
		print_rewrite(result, before, after);
	}
	free(before);
	free(after);
	json_decref(old);
	json_decref(result);
	return EX_OK;
}

int
command_rewrite(struct command *command)
{
	json_t *request, *recipients = json_array(), *result;
	struct buf header = { 0 };
	int exit_code = EX_USAGE;

	for (int i = 0; i < command->word_count; i++) {
		if (json_array_append_new(recipients, json_string(command->words[i])) != 0) {
			fputs("heraldctl: rewrite: a recipient is not in UTF-8\n", stderr);
			json_decref(recipients);
			return EX_USAGE;
		}
	}
	if (!read_header(&header)) {
		json_decref(recipients);
		buf_free(&header);
		return EX_DATAERR;
	}
	request = command_request(command, "rewrite");
	json_object_set_new(request, "recipients", recipients);
	json_object_set_new(request, "header", characters_of(&header));
	result = command_ask(command, request, &exit_code);
	if (result != NULL)
		exit_code = show_rewrite(command, result, &header);
	buf_free(&header);
	return exit_code;
}

/* --- aliases check --- */

static void
print_alias(const struct identity *identity, const struct alias *alias)
{
	struct identity_targets targets;
	char text[ADDRESS_TEXT_MAX + 1];

	if (!identity_expand_name(identity, alias->name, strlen(alias->name), &targets))
		return;
	printf("%s:", alias->name);
	for (size_t i = 0; i < targets.count; i++)
		printf("%s %s", i > 0 ? "," : "", address_text(&targets.items[i], text));
	putchar('\n');
	free(targets.items);
}

static int
show_aliases(const struct command *command, const char *path, const struct identity *identity)
{
	size_t count = aliases_count(identity->aliases);

	for (size_t i = 0; command->verbose && !command->json && i < count; i++)
		print_alias(identity, aliases_at(identity->aliases, i));
	if (command->json) {
		json_t *result = json_pack("{s:s, s:I}", "file", path, "aliases",
		    (json_int_t)count);

		ctl_print_json(result);
		json_decref(result);
	} else {
		printf("%s: %zu %s, no fault\n", path, count, count == 1 ? "alias" : "aliases");
	}
	return EX_OK;
}

/* Without the daemon, and so by the names that every conffile has at least. */
int
command_aliases_check(struct command *command)
{
	static const char *const names[] = { "localhost" };
	const char *path = command->word_count > 0 ? command->words[0] : DEFAULT_ALIASES;
	char hostname[ADDRESS_DOMAIN_MAX + 1] = "localhost";
	struct identity identity = { .hostname = hostname, .domain = hostname,
		.local_names = names, .local_name_count = 1 };
	struct aliases *aliases;
	struct error err;
	int exit_code;

	if (command->word_count > 1) {
		fputs("heraldctl: aliases check takes one file\n", stderr);
		return EX_USAGE;
	}
	gethostname(hostname, sizeof(hostname) - 1);
	aliases = aliases_load(path, identity_is_local_name, &identity, &err);
	if (aliases == NULL) {
		fprintf(stderr, "heraldctl: %s\n", err.text);
		return EX_CONFIG;
	}
	identity.aliases = aliases;
	exit_code = show_aliases(command, path, &identity);
	aliases_free(aliases);
	return exit_code;
}
