/* rate.h - how many messages went to a relay of late, and when the next one may go. */
#ifndef HERALD_RELAY_RATE_H
#define HERALD_RELAY_RATE_H

#include "conf/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_SLOTS	60
#define RATE_TEXT_MAX	4096	/* with the NUL; four limits with full slots have 3,600 octets */

/* A window that slides over slots of seconds / RATE_SLOTS.  A slot leaves the window as a
 * whole, when its youngest message is older than `seconds`: so there are never more than
 * `count` in any such time, and a place that is free is known up to one slot late. */
struct rate_limit {
	uint64_t count, seconds;
	int64_t head;			/* number of the newest slot: Unix time / width of a slot */
	uint32_t slots[RATE_SLOTS + 1];	/* messages, by number % (RATE_SLOTS + 1) */
	uint64_t used;			/* the sum of them */
};

/* All limits of one relay.  A value that owns nothing; all zero: no limit.  Times are Unix
 * microseconds, of clock_now_us(), for what is counted outlives the process.  When the
 * clock was set back, what is counted is taken as of now: it blocks for `seconds` at most. */
struct rate {
	size_t limit_count;
	struct rate_limit limits[CONFIG_RATES_MAX];
};

/* Sets the limits, and keeps what was counted for those with the same `seconds`. */
void rate_set(struct rate *rate, const struct config_rate *rates, size_t count);

/* How many messages may go now; SIZE_MAX without a limit. */
size_t rate_room(struct rate *rate, int64_t now_us);
/* 0 when one may go now, else when to ask again. */
int64_t rate_next(struct rate *rate, int64_t now_us);
void rate_count(struct rate *rate, int64_t now_us);
/* One that was counted a moment ago did not go. */
void rate_uncount(struct rate *rate, int64_t now_us);

/* What is counted, as a text to be kept; "" when nothing is. */
void rate_write(const struct rate *rate, char out[RATE_TEXT_MAX]);
/* After rate_set(): goes on with what an earlier run has kept, for the limits that still
 * stand.  False, and nothing is changed, when it is no such text. */
bool rate_read(struct rate *rate, const char *text) __attribute__((warn_unused_result));

#endif
