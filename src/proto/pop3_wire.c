/* pop3_wire.c - what a POP3 server says, line by line: status, numbers, unique-ids, offers. */
#include "proto/pop3_wire.h"

#include <string.h>

/* Takes what stands before the first blank off *rest, and the blank. */
static struct slice
next_word(struct slice *rest)
{
	const char *blank = rest->len > 0 ? memchr(rest->at, ' ', rest->len) : NULL;
	struct slice word = { rest->at, blank != NULL ? (size_t)(blank - rest->at) : rest->len };
	size_t taken = blank != NULL ? word.len + 1 : word.len;

	rest->at += taken;
	rest->len -= taken;
	return word;
}

static bool
is(struct slice word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.at, text, word.len) == 0;
}

enum pop3_status
pop3_status_parse(struct slice line, struct slice *text)
{
	struct slice word;

	*text = line;
	word = next_word(text);
	if (is(word, "+OK"))
		return POP3_STATUS_OK;
	if (is(word, "-ERR"))
		return POP3_STATUS_ERR;
	return is(word, "+") ? POP3_STATUS_CHALLENGE : POP3_STATUS_NONE;
}

enum pop3_code
pop3_code_parse(struct slice text)
{
	static const struct { const char *name; enum pop3_code code; } rows[] = {
		{ "IN-USE", POP3_CODE_TEMPORARY },
		{ "LOGIN-DELAY", POP3_CODE_TEMPORARY },
		{ "SYS/TEMP", POP3_CODE_TEMPORARY },
		{ "SYS/PERM", POP3_CODE_PERMANENT },
	};
	const char *end = text.len > 0 ? memchr(text.at, ']', text.len) : NULL;

	if (end == NULL || text.at[0] != '[')
		return POP3_CODE_NONE;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct slice whole = { text.at + 1, (size_t)(end - text.at) - 1 };
		struct slice part = whole;

		/* RFC 2449 8: a more specific one begins with the general, and a slash. */
		if (whole.len > strlen(rows[i].name) && whole.at[strlen(rows[i].name)] == '/')
			part.len = strlen(rows[i].name);
		if (slice_is(part, rows[i].name))
			return rows[i].code;
	}
	return POP3_CODE_NONE;
}

bool
pop3_pair_parse(struct slice text, uint64_t *first, uint64_t *second)
{
	struct slice rest = text;

	return smtp_size_parse(next_word(&rest), first) &&
	    smtp_size_parse(next_word(&rest), second);
}

enum pop3_uidl
pop3_uidl_parse(struct slice line, uint64_t *number, char uidl[POP3_UIDL_MAX + 1])
{
	struct slice rest = line;

	uidl[0] = '\0';
	if (!smtp_size_parse(next_word(&rest), number))
		return POP3_UIDL_SYNTAX;
	/* No part of it, as it has none within; some servers end the line so. */
	while (rest.len > 0 && rest.at[rest.len - 1] == ' ')
		rest.len--;
	if (rest.len == 0 || rest.len > POP3_UIDL_MAX)
		return POP3_UIDL_BAD;
	for (size_t i = 0; i < rest.len; i++)
		if (rest.at[i] < 0x21 || rest.at[i] > 0x7e)
			return POP3_UIDL_BAD;
	memcpy(uidl, rest.at, rest.len);
	uidl[rest.len] = '\0';
	return POP3_UIDL_GOOD;
}

void
pop3_capability_add(struct pop3_capabilities *capabilities, struct slice line)
{
	const struct { const char *name; bool *offered; } rows[] = {
		{ "STLS", &capabilities->stls },
		{ "USER", &capabilities->user },
		{ "PIPELINING", &capabilities->pipelining },
		{ "TOP", &capabilities->top },
		{ "UIDL", &capabilities->uidl },
	};
	struct slice rest = line;
	const struct slice name = next_word(&rest);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (slice_is(name, rows[i].name))
			*rows[i].offered = true;
	if (!slice_is(name, "SASL"))
		return;
	while (rest.len > 0)
		if (slice_is(next_word(&rest), "PLAIN"))
			capabilities->sasl_plain = true;
}
