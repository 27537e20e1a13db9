/* clock.c - the two clocks: one for what is stored, one for timeouts. */
#include "base/clock.h"

#include <time.h>

static int64_t standing_us = -1;

static int64_t
read_us(clockid_t id)
{
	struct timespec now;

	if (standing_us >= 0)
		return standing_us;
	clock_gettime(id, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t
clock_now(void)
{
	return clock_now_us() / 1000000;
}

int64_t
clock_now_us(void)
{
	return read_us(CLOCK_REALTIME);
}

int64_t
clock_monotonic_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

void
clock_set(int64_t unix_us)
{
	standing_us = unix_us;
}
