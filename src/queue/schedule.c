/* schedule.c - when a message is tried again, and when it has been tried long enough. */
#include "queue/schedule.h"

/* The finalizer of splitmix64: every bit of the input moves half the bits of the result. */
static uint64_t
mix(uint64_t value)
{
	value += 0x9e3779b97f4a7c15u;
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
	return value ^ (value >> 31);
}

unsigned
schedule_delay(const struct schedule *schedule, int64_t arrived, uint32_t attempts,
    uint64_t message_id)
{
	uint64_t delay = schedule->retry_min > 0 ? schedule->retry_min : 1;
	uint64_t limit = schedule->retry_max > 0 ? schedule->retry_max : 1;
	uint64_t tenth, jitter;
	uint32_t n;

	for (n = 1; n < attempts && delay < limit; n++)
		delay *= 2;
	if (delay > limit)
		delay = limit;
	tenth = delay / 10;
	jitter = mix(mix(mix((uint64_t)arrived) ^ attempts) ^ message_id) % (2 * tenth + 1);
	return (unsigned)(delay - tenth + jitter);
}

int64_t
schedule_next(const struct schedule *schedule, int64_t ended, int64_t arrived, int64_t expires,
    uint32_t attempts, uint64_t message_id)
{
	int64_t next = ended + schedule_delay(schedule, arrived, attempts, message_id);

	return next > expires && ended < expires ? expires : next;
}

bool
schedule_warns(int64_t now, int64_t arrived, unsigned delay_warning)
{
	return delay_warning > 0 && now - arrived >= (int64_t)delay_warning;
}

bool
schedule_expired(int64_t now, int64_t expires, uint32_t attempts)
{
	return now >= expires && attempts > 1;
}
