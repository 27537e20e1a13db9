/* clock.h - the two clocks: one for what is stored, one for timeouts. */
#ifndef HERALD_BASE_CLOCK_H
#define HERALD_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_now(void);		/* Unix seconds, UTC; may be set back */
int64_t clock_now_us(void);		/* the same in microseconds */
int64_t clock_monotonic_us(void);	/* never goes back; starts anywhere */

/* For tests: both clocks stand at this Unix time (microseconds) until the next
 * call; a negative value lets them run again. */
void clock_set(int64_t unix_us);

#endif
