/* buf.c - a run of octets that grows at its end and is consumed at its start. */
#include "base/buf.h"

#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_FIRST	256	/* octets; most commands and replies fit */

const char *
buf_octets(const struct buf *buf)
{
	return buf->len > 0 ? buf->octets + buf->start : "";
}

char *
buf_reserve(struct buf *buf, size_t len)
{
	size_t need, capacity;

	if (buf->capacity - buf->start - buf->len >= len && buf->octets != NULL)
		return buf->octets + buf->start + buf->len;
	/* Moving down is cheap where at least half is free. */
	if (buf->start > 0) {
		memmove(buf->octets, buf->octets + buf->start, buf->len);
		buf->start = 0;
	}
	if (__builtin_add_overflow(buf->len, len, &need))
		abort();
	capacity = buf->capacity > 0 ? buf->capacity : BUF_FIRST;
	while (capacity < need)
		capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
	if (capacity != buf->capacity) {
		buf->octets = mem_realloc(buf->octets, capacity);
		buf->capacity = capacity;
	}
	return buf->octets + buf->len;
}

void
buf_commit(struct buf *buf, size_t len)
{
	assert(len <= buf->capacity - buf->start - buf->len);
	buf->len += len;
}

void
buf_append(struct buf *buf, const void *octets, size_t len)
{
	if (len == 0)
		return;
	memcpy(buf_reserve(buf, len), octets, len);
	buf->len += len;
}

void
buf_append_text(struct buf *buf, const char *text)
{
	buf_append(buf, text, strlen(text));
}

void
buf_appendf(struct buf *buf, const char *fmt, ...)
{
	char *room = buf_reserve(buf, 128);
	size_t free_room = buf->capacity - buf->start - buf->len;
	va_list ap, again;
	int len;

	va_start(ap, fmt);
	va_copy(again, ap);
	len = vsnprintf(room, free_room, fmt, ap);
	va_end(ap);
	assert(len >= 0);
	if ((size_t)len >= free_room) {
		room = buf_reserve(buf, (size_t)len + 1);
		vsnprintf(room, (size_t)len + 1, fmt, again);
	}
	va_end(again);
	buf->len += (size_t)len;
}

void
buf_consume(struct buf *buf, size_t len)
{
	assert(len <= buf->len);
	buf->start += len;
	buf->len -= len;
	if (buf->len == 0)
		buf->start = 0;
}

void
buf_clear(struct buf *buf)
{
	buf->start = buf->len = 0;
}

const char *
buf_text(struct buf *buf)
{
	*buf_reserve(buf, 1) = '\0';
	return buf->octets + buf->start;
}

void
buf_wipe(struct buf *buf)
{
	if (buf->octets != NULL)
		explicit_bzero(buf->octets, buf->capacity);
	buf_free(buf);
}

void
buf_free(struct buf *buf)
{
	free(buf->octets);
	memset(buf, 0, sizeof(*buf));
}
