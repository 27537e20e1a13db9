/* dsn_original.h - how much of a message goes back to its sender, and in which form. */
#ifndef HERALD_MAIL_DSN_ORIGINAL_H
#define HERALD_MAIL_DSN_ORIGINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DSN_HEADER_MAX	(16 * 1024)	/* octets of the header section that go back */
#define DSN_FULL_MAX	(1024 * 1024)	/* octets of a message that goes back whole */

struct buf;
struct error;

/* Mail data, as far as it can be read; at most `len` octets from `offset`, *got 0 at the end. */
typedef bool dsn_read(void *source, uint64_t offset, void *out, size_t len, size_t *got,
    struct error *err);

struct dsn_original {
	dsn_read *read;			/* NULL: there is nothing to read */
	void *source;
	uint64_t size;			/* octets */
};

/* What dsn_original_scan() finds out. */
struct dsn_scan {
	bool header_8bit, body_8bit;	/* octets above 127 */
	bool is_canonical;		/* CRLF lines, as long as RFC 5322 2.1.1 allows; no NUL */
	bool has_boundary;
};
/* Reads it all, a block at a time, for what the form depends on; `boundary` is looked for. */
bool dsn_original_scan(const struct dsn_original *original, const char *boundary,
    struct dsn_scan *out, struct error *err) __attribute__((warn_unused_result));

/* Appends the header section as far as it fits DSN_HEADER_MAX, whole lines.  What is no
 * canonical mail data becomes question marks; nothing where it cannot be read. */
void dsn_original_header(const struct dsn_original *original, struct buf *out);

/* Where a report goes, a run of octets at a time. */
typedef bool dsn_write_octets(void *sink, const void *octets, size_t len, struct error *err);
/* Hands on all of it, a block at a time. */
bool dsn_original_copy(const struct dsn_original *original, dsn_write_octets *write, void *sink,
    struct error *err) __attribute__((warn_unused_result));

#endif
