/* mem.c - memory that is there or the daemon is not: no caller handles its lack. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *
there(void *memory)
{
	if (memory == NULL) {
		fputs("herald: out of memory\n", stderr);
		abort();
	}
	return memory;
}

static size_t
product(size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total))
		there(NULL);
	return total;
}

void *
mem_alloc(size_t size)
{
	return there(malloc(size > 0 ? size : 1));
}

void *
mem_zalloc(size_t size)
{
	return mem_array(1, size);
}

void *
mem_array(size_t count, size_t size)
{
	size_t total = product(count, size);

	return there(calloc(1, total > 0 ? total : 1));
}

void *
mem_realloc(void *memory, size_t size)
{
	return there(realloc(memory, size > 0 ? size : 1));
}

void *
mem_grow(void *memory, size_t count, size_t size)
{
	return mem_realloc(memory, product(count, size));
}

char *
mem_strdup(const char *text)
{
	return there(strdup(text));
}

char *
mem_strndup(const char *text, size_t len)
{
	char *copy = mem_alloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

void *
mem_dup(const void *octets, size_t len)
{
	void *copy = mem_alloc(len);

	if (len > 0)
		memcpy(copy, octets, len);
	return copy;
}

char *
mem_printf(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) == -1)
		there(NULL);
	va_end(ap);
	return text;
}
