/* fetch_word.c - the text of a header field with its encoded words (RFC 2047), as UTF-8. */
#include "client/fetch_word.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "client/fetch_charset.h"
#include "client/fetch_decode.h"

#define CHARSET_NAME_MAX 64	/* octets; the longest registered one has 45 */

/* A charset of its own costs time to open, and 1 MiB has room for 60,000: those behind stay as
 * they are. */
#define CHARSETS_MAX 1000

struct word {
	char charset[CHARSET_NAME_MAX + 1];
	bool is_base64;
	const char *text;
	size_t len;
	const char *end;
};

struct words {
	struct buf *out;
	struct fetch_charset *raw;	/* of what is not encoded */
	struct fetch_charset *charset;	/* of the word before, or NULL */
	char name[CHARSET_NAME_MAX + 1];
	unsigned charsets;
	bool no_ends;			/* no "?=" comes any more */
	uint64_t work;			/* octets looked at */
};

static const char *
search(struct words *words, const char *at, const char *end, const char *pair)
{
	const char *found = memmem(at, (size_t)(end - at), pair, 2);

	words->work += (uint64_t)((found != NULL ? found : end) - at);
	return found;
}

/* Whether an encoded word begins at `at`, which points to "=?". */
static bool
read_word(struct words *words, const char *at, const char *end, struct word *word)
{
	const char *name = at + 2, *mark, *close;
	size_t left = (size_t)(end - name), len;

	mark = memchr(name, '?', left < CHARSET_NAME_MAX ? left : CHARSET_NAME_MAX);
	words->work += mark != NULL ? (uint64_t)(mark - name) : CHARSET_NAME_MAX;
	if (words->no_ends || mark == NULL || mark == name || end - mark < 5 || mark[2] != '?')
		return false;
	if (strchr("bBqQ", mark[1]) == NULL || mark[1] == '\0')
		return false;
	close = search(words, mark + 3, end, "?=");
	if (close == NULL) {
		words->no_ends = true;
		return false;
	}
	len = (size_t)(mark - name);
	memcpy(word->charset, name, len);
	word->charset[len] = '\0';
	word->charset[strcspn(word->charset, "*")] = '\0';	/* a language, RFC 2231 5 */
	word->is_base64 = mark[1] == 'b' || mark[1] == 'B';
	word->text = mark + 3;
	word->len = (size_t)(close - word->text);
	word->end = close + 2;
	return true;
}

static void
end_words(struct words *words)
{
	if (words->charset != NULL)
		fetch_charset_end(words->charset, words->out);
}

static void
put_word(struct words *words, const struct word *word)
{
	struct buf octets = { 0 };

	if (words->charset == NULL || strcasecmp(words->name, word->charset) != 0) {
		end_words(words);
		fetch_charset_free(words->charset);
		words->charset = fetch_charset_new(word->charset);
		words->charsets++;
		memcpy(words->name, word->charset, sizeof(words->name));
	}
	if (word->is_base64) {
		struct fetch_decoder decoder = { .encoding = FETCH_ENCODING_BASE64 };

		fetch_decode(&decoder, word->text, word->len, &octets);
		fetch_decode_end(&decoder, &octets);
	} else {
		struct fetch_decoder decoder = { .encoding = FETCH_ENCODING_QUOTED };
		char *text = mem_strndup(word->text, word->len);

		for (size_t i = 0; i < word->len; i++) {
			if (text[i] == '_')
				text[i] = ' ';
		}
		fetch_decode(&decoder, text, word->len, &octets);
		fetch_decode_end(&decoder, &octets);
		free(text);
	}
	fetch_charset_convert(words->charset, buf_octets(&octets), octets.len, words->out);
	buf_free(&octets);
}

static void
put_raw(struct words *words, const char *text, size_t len)
{
	if (len == 0)
		return;
	end_words(words);
	fetch_charset_convert(words->raw, text, len, words->out);
	fetch_charset_end(words->raw, words->out);
}

static void
decode(struct words *words, const char *at, const char *end)
{
	const char *raw = at;		/* from here on nothing has been put */
	bool was_word = false;

	while (at < end) {
		const char *start = search(words, at, end, "=?");
		struct word word;

		if (start == NULL)
			break;
		at = start + 2;
		if (words->charsets >= CHARSETS_MAX || !read_word(words, start, end, &word))
			continue;
		/* Blanks between two words are none (RFC 2047 6.2). */
		if (!was_word || strspn(raw, " \t\r\n") < (size_t)(start - raw))
			put_raw(words, raw, (size_t)(start - raw));
		put_word(words, &word);
		raw = at = word.end;
		was_word = true;
	}
	put_raw(words, raw, (size_t)(end - raw));
	end_words(words);
}

/* Header text without its folds, and NUL-ended. */
static char *
unfolded(const char *text, size_t len, size_t *out_len)
{
	char *copy = mem_alloc(len + 1);

	*out_len = 0;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\r' || text[i] == '\n')
			continue;
		copy[(*out_len)++] = text[i];
		if (text[i] == '\0' || text[i] == '\t')
			copy[*out_len - 1] = ' ';
	}
	copy[*out_len] = '\0';
	return copy;
}

void
fetch_word_append_line(const char *octets, size_t len, struct buf *out)
{
	/* That the NUL ends the list makes it one of the list. */
	for (size_t i = 0; i < len; i++)
		buf_append(out, strchr("\r\n\t", octets[i]) != NULL ? " " : octets + i, 1);
}

uint64_t
fetch_word_decode(const char *text, size_t len, struct buf *out)
{
	struct buf decoded = { 0 };
	struct words words = { .out = &decoded };
	size_t copy_len;
	char *copy = unfolded(text, len, &copy_len);

	words.raw = fetch_charset_new(NULL);
	decode(&words, copy, copy + copy_len);
	fetch_charset_free(words.raw);
	fetch_charset_free(words.charset);
	free(copy);
	/* An encoded word may hold anything. */
	fetch_word_append_line(buf_octets(&decoded), decoded.len, out);
	buf_free(&decoded);
	return words.work;
}
