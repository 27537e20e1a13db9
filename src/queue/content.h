/* content.h - mail data: in memory up to 64 KiB, then in an unlinked file. */
#ifndef HERALD_QUEUE_CONTENT_H
#define HERALD_QUEUE_CONTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct content;
struct error;
struct memory_budget;

#define CONTENT_MEMORY_MAX	(64 * 1024)	/* octets; ARCHITECTURE, decision 6 */

/* Canonical mail data: CRLF lines, no dot-stuffing, no final dot.  Counted; the count is
 * touched by the loop's thread alone, the store's writer thread only reads what a
 * holder on the loop keeps alive. */
struct content *content_new(const char *directory);	/* where the unlinked file is made */
struct content *content_ref(struct content *content);
void content_unref(struct content *content);		/* NULL is allowed */

/* Counts what it holds in memory from now on, there alone and once; the budget outlives it.
 * When that gets tight, mail data goes to the file earlier. */
void content_charge(struct content *content, struct memory_budget *budget);

bool content_append(struct content *content, const void *octets, size_t len, struct error *err)
    __attribute__((warn_unused_result));
uint64_t content_size(const struct content *content);	/* octets */
/* What holding it costs, in octets of memory; a file counts for the descriptor it holds. */
uint64_t content_cost(const struct content *content);
bool content_in_memory(const struct content *content);
/* All of it, where it is in memory; NULL where it is in a file. */
const char *content_octets(const struct content *content);
/* At most `len` octets from `offset`; *got 0 at the end.  Any thread (pread). */
bool content_read(const struct content *content, uint64_t offset, void *out, size_t len,
    size_t *got, struct error *err) __attribute__((warn_unused_result));

#endif
