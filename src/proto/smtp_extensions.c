/* smtp_extensions.c - what a server offers in its answer to EHLO. */
#include "proto/smtp_extensions.h"

#include "base/text.h"
#include "proto/smtp_reply.h"

#include <string.h>
#include <strings.h>

/* The next word, parted by blanks; returns false at the end. */
static bool
next_word(const char **line, size_t *len, char *word, size_t size)
{
	size_t n = 0;

	while (*len > 0 && **line == ' ') {
		++*line;
		--*len;
	}
	while (n < *len && (*line)[n] != ' ')
		n++;
	if (n == 0)
		return false;
	/* Nothing that we know is longer than `size`: what is cut matches nothing. */
	memcpy(word, *line, n < size ? n : size - 1);
	word[n < size ? n : size - 1] = '\0';
	*line += n;
	*len -= n;
	return true;
}

static void
add_mechanism(struct smtp_extensions *out, const char *name)
{
	const struct { const char *name; bool *offered; } mechanisms[] = {
		{ "PLAIN", &out->auth_plain },
		{ "LOGIN", &out->auth_login },
		{ "CRAM-MD5", &out->auth_cram_md5 },
		{ "SCRAM-SHA-256", &out->auth_scram_sha_256 },
	};

	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (text_equal(name, mechanisms[i].name))
			*mechanisms[i].offered = true;
}

static void
add_size(struct smtp_extensions *out, const char *line, size_t len)
{
	char word[32];
	uint64_t limit;

	out->size = true;
	if (!next_word(&line, &len, word, sizeof(word)) || !text_parse_number(word, &limit))
		return;
	if (limit > 0 && (out->size_max == 0 || limit < out->size_max))
		out->size_max = limit;
}

static void
add_auth(struct smtp_extensions *out, const char *line, size_t len)
{
	char word[32];

	while (next_word(&line, &len, word, sizeof(word)))
		add_mechanism(out, word);
}

static void
add_keyword(struct smtp_extensions *out, const char *keyword)
{
	const struct { const char *name; bool *offered; } flags[] = {
		{ "PIPELINING", &out->pipelining },
		{ "8BITMIME", &out->eight_bit_mime },
		{ "STARTTLS", &out->starttls },
		{ "ENHANCEDSTATUSCODES", &out->enhanced_status_codes },
		{ "DSN", &out->dsn },
		{ "SMTPUTF8", &out->smtputf8 },
		{ "CHUNKING", &out->chunking },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (text_equal(keyword, flags[i].name))
			*flags[i].offered = true;
}

struct smtp_extensions
smtp_extensions_parse(const struct smtp_reply *reply)
{
	struct smtp_extensions out = { 0 };
	size_t at = 0, len;
	const char *line = smtp_reply_line(reply, &at, &len);	/* the domain: passed over */
	char word[32];

	while (line != NULL && (line = smtp_reply_line(reply, &at, &len)) != NULL) {
		if (!next_word(&line, &len, word, sizeof(word)))
			continue;
		if (text_equal(word, "SIZE")) {
			add_size(&out, line, len);
		} else if (strncasecmp(word, "AUTH=", 5) == 0) {
			add_mechanism(&out, word + 5);
			add_auth(&out, line, len);
		} else if (text_equal(word, "AUTH")) {
			add_auth(&out, line, len);
		} else {
			add_keyword(&out, word);
		}
	}
	return out;
}
