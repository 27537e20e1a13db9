/* buf.h - a run of octets that grows at its end and is consumed at its start. */
#ifndef HERALD_BASE_BUF_H
#define HERALD_BASE_BUF_H

#include <stddef.h>

/* All zero is an empty buf.  The octets are at `octets + start`, `len` of them;
 * use buf_octets().  They move when the buf grows. */
struct buf {
	char *octets;
	size_t start, len, capacity;
};

const char *buf_octets(const struct buf *buf);
void buf_append(struct buf *buf, const void *octets, size_t len);
void buf_append_text(struct buf *buf, const char *text);
void buf_appendf(struct buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Room for `len` more octets, to be filled by the caller and then counted in. */
char *buf_reserve(struct buf *buf, size_t len);
void buf_commit(struct buf *buf, size_t len);

void buf_consume(struct buf *buf, size_t len);	/* drops the first `len` octets */
void buf_clear(struct buf *buf);		/* keeps the memory for the next use */
const char *buf_text(struct buf *buf);		/* ends it with a NUL that is not counted */
void buf_wipe(struct buf *buf);			/* zeroes, for secrets; then frees */
void buf_free(struct buf *buf);

#endif
