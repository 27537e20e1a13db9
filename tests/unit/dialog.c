/* dialog.c - reads a dialogue file: what one side says, and what must come of it. */
#include "dialog.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One octet of text, or of an escape; moves *text behind it.  -1: a bad escape. */
static int
read_octet(const char **text)
{
	static const struct { char letter, octet; } escapes[] = {
		{ 'r', '\r' }, { 'n', '\n' }, { '0', '\0' }, { 't', '\t' }, { '\\', '\\' },
	};
	const char *at = *text;

	if (*at != '\\') {
		*text = at + 1;
		return (unsigned char)*at;
	}
	for (size_t i = 0; i < sizeof(escapes) / sizeof(escapes[0]); i++) {
		if (at[1] == escapes[i].letter) {
			*text = at + 2;
			return escapes[i].octet;
		}
	}
	if (at[1] != 'x' || hex_digit(at[2]) == -1 || hex_digit(at[3]) == -1)
		return -1;
	*text = at + 4;
	return hex_digit(at[2]) * 16 + hex_digit(at[3]);
}

static int
append_escaped(struct buf *out, const char *text)
{
	while (*text != '\0') {
		int octet = read_octet(&text);
		char c = (char)octet;

		if (octet == -1)
			return -1;
		buf_append(out, &c, 1);
	}
	return 0;
}

/* "~N x": what follows the number is repeated N times. */
static int
append_text(struct buf *out, const char *text)
{
	unsigned long count = 1;
	char *end;

	if (text[0] == '~' && text[1] >= '0' && text[1] <= '9') {
		count = strtoul(text + 1, &end, 10);
		if (*end != ' ')
			return -1;
		text = end + 1;
	}
	while (count-- > 0)
		if (append_escaped(out, text) == -1)
			return -1;
	return 0;
}

static void
add_line(struct dialog *dialog, const char *path, unsigned number, const char *text)
{
	struct buf octets = { 0 };
	struct dialog_line *line;
	const char side = text[0];
	const char mark = side == '=' ? '=' : text[1];

	if (strchr("SC=", side) == NULL || strchr(":-=", mark) == NULL)
		fail_msg("%s:%u: neither S: nor C: nor =", path, number);
	text += side == '=' ? 1 : 2;
	if (*text == ' ')
		text++;
	if (append_text(&octets, text) == -1)
		fail_msg("%s:%u: bad escape", path, number);
	if (mark == ':')
		buf_append(&octets, "\r\n", 2);
	dialog->lines = mem_grow(dialog->lines, dialog->count + 1, sizeof(*dialog->lines));
	line = &dialog->lines[dialog->count++];
	*line = (struct dialog_line){ .number = number, .side = side, .len = octets.len };
	line->octets = mem_strndup(buf_octets(&octets), octets.len);
	buf_free(&octets);
}

struct dialog
dialog_read(const char *path)
{
	struct dialog dialog = { 0 };
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0;
	ssize_t len;

	if (file == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	for (unsigned number = 1; (len = getline(&text, &size, file)) != -1; number++) {
		if (len > 0 && text[len - 1] == '\n')
			text[--len] = '\0';
		if (len > 0 && text[0] != '#')
			add_line(&dialog, path, number, text);
	}
	free(text);
	fclose(file);
	if (dialog.count == 0)
		fail_msg("%s: nothing is said", path);
	return dialog;
}

void
dialog_free(struct dialog *dialog)
{
	for (size_t i = 0; i < dialog->count; i++)
		free(dialog->lines[i].octets);
	free(dialog->lines);
	*dialog = (struct dialog){ 0 };
}
