/* book.c - a list of quotes, each ready to be sent. */
#include "services/book.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config_source.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DAY 86400

struct quote {
	size_t start, len;
};

struct book {
	struct buf octets; /* of all quotes, one behind the other */
	struct quote *quotes;
	size_t count, room;
	uint32_t *slots; /* quote + 1 by hash of its octets; 0: free */
	size_t slot_mask;
};

static void
add(struct book *book, const char *octets, size_t len, size_t max_reply)
{
	len = text_utf8_cut(octets, len, max_reply);
	if (book->count == book->room) {
		book->room = book->room > 0 ? book->room * 2 : 64;
		book->quotes = mem_grow(book->quotes, book->room, sizeof(*book->quotes));
	}
	book->quotes[book->count++] = (struct quote){ book->octets.len, len };
	buf_append(&book->octets, octets, len);
}

/* FNV-1a.  The keys are ours: nobody chooses quotes that collide. */
static size_t
hash(const char *octets, size_t len)
{
	uint64_t value = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		value = (value ^ (unsigned char)octets[i]) * 0x100000001b3u;
	return (size_t)(value ^ value >> 32);
}

static size_t
find_slot(const struct book *book, const char *octets, size_t len)
{
	size_t slot = hash(octets, len) & book->slot_mask;

	for (; book->slots[slot] != 0; slot = (slot + 1) & book->slot_mask) {
		size_t found;
		const char *quote = book_quote(book, book->slots[slot] - 1, &found);

		if (found == len && memcmp(quote, octets, len) == 0)
			break;
	}
	return slot;
}

static struct book *
finish(struct book *book)
{
	size_t slots = 4;

	while (slots < book->count * 2)
		slots *= 2;
	book->slots = mem_array(slots, sizeof(*book->slots));
	book->slot_mask = slots - 1;
	for (size_t i = 0; i < book->count; i++) {
		size_t len;
		const char *quote = book_quote(book, i, &len);

		book->slots[find_slot(book, quote, len)] = (uint32_t)i + 1;
	}
	return book;
}

struct book *
book_new(const char *const *quotes, size_t count, size_t max_reply)
{
	struct book *book = mem_zalloc(sizeof(*book));

	assert(count > 0);
	for (size_t i = 0; i < count; i++)
		add(book, quotes[i], strlen(quotes[i]), max_reply);
	return finish(book);
}

static size_t
without_line_end(const char *octets, size_t len)
{
	if (len > 0 && octets[len - 1] == '\n')
		len--;
	if (len > 0 && octets[len - 1] == '\r')
		len--;
	return len;
}

static bool
is_blank(const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (strchr(" \t\r\n", octets[i]) == NULL || octets[i] == '\0')
			return false;
	return true;
}

struct book *
book_parse(
    const char *octets, size_t len, enum book_format format, size_t max_reply, struct error *err)
{
	struct book *book = mem_zalloc(sizeof(*book));
	size_t quote = 0, next; /* where the quote and the next line begin */
	unsigned line = 1;

	for (size_t at = 0; at < len; at = next, line++) {
		const char *end = memchr(octets + at, '\n', len - at);
		size_t line_len;
		bool is_mark;

		next = end != NULL ? (size_t)(end - octets) + 1 : len;
		if (!text_utf8_valid(octets + at, next - at)) {
			error_set(err, ERROR_CONFIG, "line %u is not valid UTF-8", line);
			goto fail;
		}
		line_len = without_line_end(octets + at, next - at);
		is_mark = line_len == 1 && octets[at] == '%';
		if (format == BOOK_FORTUNE && !is_mark && next < len)
			continue;
		/* The quote ends here, before the mark. */
		line_len = format == BOOK_FORTUNE && is_mark ? at : next;
		line_len = without_line_end(octets + quote, line_len - quote);
		if (!is_blank(octets + quote, line_len))
			add(book, octets + quote, line_len, max_reply);
		quote = next;
	}
	if (book->count > 0)
		return finish(book);
	error_set(err, ERROR_CONFIG, "no quote in it");
fail:
	book_free(book);
	return NULL;
}

struct book *
book_read(const char *path, enum book_format format, size_t max_reply, struct error *err)
{
	struct buf octets = { 0 };
	struct book *book = NULL;

	if (config_read(path, BOOK_FILE_MAX, &octets, err))
		book = book_parse(buf_octets(&octets), octets.len, format, max_reply, err);
	buf_free(&octets);
	if (book == NULL)
		error_prefix(err, "%s", path);
	return book;
}

void
book_free(struct book *book)
{
	if (book == NULL)
		return;
	buf_free(&book->octets);
	free(book->quotes);
	free(book->slots);
	free(book);
}

size_t
book_count(const struct book *book)
{
	return book->count;
}

const char *
book_quote(const struct book *book, size_t index, size_t *len)
{
	*len = book->quotes[index].len;
	return buf_octets(&book->octets) + book->quotes[index].start;
}

bool
book_has(const struct book *book, const char *octets, size_t len)
{
	return book->slots[find_slot(book, octets, len)] != 0;
}

bool
book_equal(const struct book *a, const struct book *b)
{
	if (a->count != b->count || a->octets.len != b->octets.len)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (a->quotes[i].len != b->quotes[i].len)
			return false;
	return memcmp(buf_octets(&a->octets), buf_octets(&b->octets), a->octets.len) == 0;
}

size_t
book_of_day(const struct book *book, int64_t unix_seconds)
{
	return unix_seconds > 0 ? (size_t)(unix_seconds / DAY) % book->count : 0;
}
