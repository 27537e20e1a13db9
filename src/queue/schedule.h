/* schedule.h - when a message is tried again, and when it has been tried long enough. */
#ifndef HERALD_QUEUE_SCHEDULE_H
#define HERALD_QUEUE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* All of it is pure: the same arguments give the same answer, on every machine. */
struct schedule {
	unsigned retry_min, retry_max;	/* seconds */
};

/* Seconds to wait after the attempt number `attempts` (from 1) has ended without success:
 * min(retry_max, retry_min * 2^(attempts - 1)), give or take a tenth, and at least one.
 * The tenth hangs on arrival, attempt and message alone, so that the recipients of one
 * message stay together and messages that came together do not. */
unsigned schedule_delay(const struct schedule *schedule, int64_t arrived, uint32_t attempts,
    uint64_t message_id);

/* When to try again after an attempt that ended at `ended` (Unix seconds).  The last
 * attempt is made when the message expires, not up to retry_max later. */
int64_t schedule_next(const struct schedule *schedule, int64_t ended, int64_t arrived,
    int64_t expires, uint32_t attempts, uint64_t message_id);

/* Whether the sender of mail that waits at `now` is to be told of the delay.
 * delay_warning: seconds; 0: never. */
bool schedule_warns(int64_t now, int64_t arrived, unsigned delay_warning);

/* Whether a transient failure at `now`, of the attempt number `attempts`, was the last one.
 * The first never is: a machine may start with a wrong clock, or the mail may have waited
 * for the daemon alone. */
bool schedule_expired(int64_t now, int64_t expires, uint32_t attempts);

#endif
