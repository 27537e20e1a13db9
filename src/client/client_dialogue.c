/* client_dialogue.c - what --debug shows of a dialogue: its lines, without the secrets. */
#include "client/client_dialogue.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "proto/sasl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_OCTETS	2048		/* of a line that has no end, RULES R */
#define MASK		"***"

struct client_dialogue {
	struct buf client, server;	/* of lines whose end has not come yet */
	struct buf hidden;		/* forms of the secret, each with a NUL behind it */
};

/* How many words of a secret command are none; the verb must stand alone as these do. */
static const struct {
	const char *verb;
	unsigned words;
} commands[] = {
	{ "AUTH", 2 },
	{ "PASS", 1 },
};

struct client_dialogue *
client_dialogue_new(bool is_shown)
{
	return is_shown ? mem_zalloc(sizeof(struct client_dialogue)) : NULL;
}

void
client_dialogue_free(struct client_dialogue *dialogue)
{
	if (dialogue == NULL)
		return;
	buf_free(&dialogue->client);
	buf_wipe(&dialogue->server);
	buf_wipe(&dialogue->hidden);
	free(dialogue);
}

static void
hide_base64(struct buf *hidden, const char *octets, size_t len)
{
	const size_t before = hidden->len;

	base64_encode(hidden, octets, len);
	/* The end may be written otherwise: "=" comes from what is behind it. */
	while (hidden->len > before && buf_octets(hidden)[hidden->len - 1] == '=')
		hidden->len--;
	buf_append(hidden, "", 1);
}

void
client_dialogue_hide(struct client_dialogue *dialogue, const char *user, const char *password)
{
	struct buf plain = { 0 };

	if (dialogue == NULL)
		return;
	/* All at once: a buf that grew would leave a copy of the secret behind. */
	buf_reserve(&plain, strlen(user) + strlen(password) + 2);
	buf_reserve(&dialogue->hidden, 4 * (strlen(user) + strlen(password)) + 64);
	buf_append(&plain, "", 1);
	buf_append_text(&plain, user);
	buf_append(&plain, "", 1);
	buf_append_text(&plain, password);
	buf_append(&dialogue->hidden, password, strlen(password) + 1);
	hide_base64(&dialogue->hidden, password, strlen(password));
	hide_base64(&dialogue->hidden, buf_octets(&plain), plain.len);
	buf_wipe(&plain);
}

static bool
repeats_secret(const struct client_dialogue *dialogue, const char *line, size_t len)
{
	const char *form = buf_octets(&dialogue->hidden), *end = form + dialogue->hidden.len;

	for (; form < end; form += strlen(form) + 1)
		if (*form != '\0' && memmem(line, len, form, strlen(form)) != NULL)
			return true;
	return false;
}

static void
show(char who, const char *line, size_t len, const char *mask)
{
	char text[4 * LINE_MAX_OCTETS + 64];

	text_printable_utf8(text, sizeof(text), line, len);
	fprintf(stderr, "%c: %s%s%s\n", who, text, len > 0 && *mask != '\0' ? " " : "", mask);
}

/* The end of word number `words`, counted from 1. */
static size_t
end_of_word(const char *line, size_t len, unsigned words)
{
	size_t at = 0;

	while (at < len && words > 0) {
		if (line[at] == ' ' && --words == 0)
			break;
		at++;
	}
	return at;
}

static void
show_secret_command(const char *line, size_t len)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const size_t verb = strlen(commands[i].verb);
		size_t shown;

		if (len <= verb || strncmp(line, commands[i].verb, verb) != 0 ||
		    line[verb] != ' ')
			continue;
		shown = end_of_word(line, len, commands[i].words);
		show('C', line, shown, shown < len ? MASK : "");
		return;
	}
	show('C', "", 0, MASK);
}

/* Of a challenge the code, as CRAM-MD5 and SCRAM make the password's proof from it. */
static void
show_server(const struct client_dialogue *dialogue, const char *line, size_t len, bool is_secret)
{
	const size_t code = end_of_word(line, len, 1);
	const bool is_challenge = (code == 3 && memcmp(line, "334", 3) == 0) ||
	    (code == 1 && line[0] == '+');

	if (repeats_secret(dialogue, line, len))
		show('S', line, code <= 4 && !repeats_secret(dialogue, line, code) ? code : 0,
		    MASK " (its words repeat the secret)");
	else if (is_secret && is_challenge && code < len)
		show('S', line, code, MASK);
	else
		show('S', line, len, "");
}

/* The next line, without its end, of what is pending; one that is too long comes in pieces. */
static bool
next_line(const struct buf *pending, size_t *len, size_t *used)
{
	const char *line = buf_octets(pending);
	const char *end = pending->len > 0 ? memchr(line, '\n', pending->len) : NULL;

	if (end == NULL && pending->len <= LINE_MAX_OCTETS)
		return false;
	*len = end != NULL ? (size_t)(end - line) : pending->len;
	*used = end != NULL ? *len + 1 : *len;
	if (*len > 0 && line[*len - 1] == '\r')
		--*len;
	return true;
}

void
client_dialogue_client(struct client_dialogue *dialogue, const char *octets, size_t len,
    bool is_secret)
{
	size_t line, used;

	if (dialogue == NULL)
		return;
	/* No copy of a secret is kept. */
	if (is_secret) {
		while (len > 0 && (octets[len - 1] == '\n' || octets[len - 1] == '\r'))
			len--;
		show_secret_command(octets, len);
		return;
	}
	buf_append(&dialogue->client, octets, len);
	while (next_line(&dialogue->client, &line, &used)) {
		show('C', buf_octets(&dialogue->client), line, "");
		buf_consume(&dialogue->client, used);
	}
}

void
client_dialogue_server(struct client_dialogue *dialogue, const char *octets, size_t len,
    bool is_secret)
{
	size_t line, used;

	if (dialogue == NULL)
		return;
	buf_append(&dialogue->server, octets, len);
	while (next_line(&dialogue->server, &line, &used)) {
		show_server(dialogue, buf_octets(&dialogue->server), line, is_secret);
		buf_consume(&dialogue->server, used);
	}
}

void
client_dialogue_note(struct client_dialogue *dialogue, const char *fmt, ...)
{
	char text[1024], shown[1024];
	va_list arguments;

	if (dialogue == NULL)
		return;
	va_start(arguments, fmt);
	vsnprintf(text, sizeof(text), fmt, arguments);
	va_end(arguments);
	text_printable_utf8(shown, sizeof(shown), text, strlen(text));
	fprintf(stderr, "* %s\n", shown);
}
