/* pace.c - how long mail data, and a session that brings no mail, may last. */
#include "intake/pace.h"

#include <stddef.h>

#include "base/clock.h"

#define SECOND_US	1000000
/* Octets a second: a third of what a modem of 14,400 bit/s moves (RULES S). */
#define RATE_MIN	500
/* Seconds: twelve times the silence that RFC 5321 4.5.3.2.7 grants (RULES S). */
#define FRUITLESS_MAX	3600

void
pace_start(struct pace *pace)
{
	pace->mail_us = clock_monotonic_us();
}

void
pace_start_data(struct pace *pace)
{
	pace->data_us = clock_monotonic_us();
	pace->octets = 0;
}

const char *
pace_fault(const struct pace *pace, bool in_data, unsigned grace)
{
	int64_t now = clock_monotonic_us();
	int64_t data_seconds = (now - pace->data_us) / SECOND_US;

	if (!in_data && now - pace->mail_us > (int64_t)FRUITLESS_MAX * SECOND_US)
		return "session without mail for too long";
	if (in_data && data_seconds > (int64_t)(grace + pace->octets / RATE_MIN))
		return "mail data too slow";
	return NULL;
}
