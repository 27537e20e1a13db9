/* mem.h - memory that is there or the daemon is not: no caller handles its lack. */
#ifndef HERALD_BASE_MEM_H
#define HERALD_BASE_MEM_H

#include <stddef.h>

/* Each aborts when memory is out; results are freed by free(). */
void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);				/* all octets zero */
void *mem_array(size_t count, size_t size);		/* zeroed; aborts on overflow */
void *mem_realloc(void *memory, size_t size);
void *mem_grow(void *memory, size_t count, size_t size); /* count * size is checked */
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);	/* adds the NUL */
void *mem_dup(const void *octets, size_t len);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
