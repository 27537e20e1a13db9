/* rate.c - how many messages went to a relay of late, and when the next one may go. */
#include "relay/rate.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RING	(RATE_SLOTS + 1) /* the period, and the slot that is not over */
#define VERSION "1"

/* Microseconds; rounded up, so that all slots together are never less than the period. */
static int64_t
slot_width(const struct rate_limit *limit)
{
	return ((int64_t)limit->seconds * 1000000 + RATE_SLOTS - 1) / RATE_SLOTS;
}

/* The slot that is `age` slots older than the newest. */
static uint32_t *
slot_at(struct rate_limit *limit, int64_t age)
{
	return &limit->slots[(limit->head - age + RING) % RING];
}

/* The clock was set back: the slots keep their ages.  The ring is moved so that each stands
 * where its new number wants it. */
static void
set_back(struct rate_limit *limit, int64_t head)
{
	uint32_t slots[RING];

	for (int64_t age = 0; age < RING; age++)
		slots[(head - age + RING) % RING] = *slot_at(limit, age);
	memcpy(limit->slots, slots, sizeof(slots));
}

/* Forgets what has left the window at that time. */
static void
advance(struct rate_limit *limit, int64_t now_us)
{
	int64_t head = (now_us > 0 ? now_us : 0) / slot_width(limit), steps = head - limit->head;

	if (steps < 0)
		set_back(limit, head);
	for (int64_t i = 0; i < steps && i < RING; i++) {
		uint32_t *oldest = &limit->slots[(limit->head + 1 + i) % RING];

		limit->used -= *oldest;
		*oldest = 0;
	}
	limit->head = head;
}

void
rate_set(struct rate *rate, const struct config_rate *rates, size_t count)
{
	const struct rate old = *rate;

	memset(rate, 0, sizeof(*rate));
	rate->limit_count = count;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < old.limit_count; j++)
			if (old.limits[j].seconds == rates[i].seconds)
				rate->limits[i] = old.limits[j];
		rate->limits[i].count = rates[i].count;
		rate->limits[i].seconds = rates[i].seconds;
	}
}

size_t
rate_room(struct rate *rate, int64_t now_us)
{
	size_t room = SIZE_MAX;

	for (size_t i = 0; i < rate->limit_count; i++) {
		struct rate_limit *limit = &rate->limits[i];
		uint64_t left;

		advance(limit, now_us);
		left = limit->count > limit->used ? limit->count - limit->used : 0;
		if (left < room)
			room = (size_t)left;
	}
	return room;
}

/* When so much has left the window that one more fits. */
static int64_t
next_of(struct rate_limit *limit, int64_t now_us)
{
	uint64_t used;
	int64_t age;

	advance(limit, now_us);
	used = limit->used;
	for (age = RATE_SLOTS; age >= 0 && used >= limit->count; age--)
		used -= *slot_at(limit, age);
	if (age == RATE_SLOTS)
		return 0;
	/* Slot number n leaves when slot n + RING begins; the last one looked at is age + 1. */
	return (limit->head - (age + 1) + RING) * slot_width(limit);
}

int64_t
rate_next(struct rate *rate, int64_t now_us)
{
	int64_t next_us = 0;

	for (size_t i = 0; i < rate->limit_count; i++) {
		int64_t at_us = next_of(&rate->limits[i], now_us);

		if (at_us > next_us)
			next_us = at_us;
	}
	return next_us;
}

void
rate_count(struct rate *rate, int64_t now_us)
{
	for (size_t i = 0; i < rate->limit_count; i++) {
		struct rate_limit *limit = &rate->limits[i];

		advance(limit, now_us);
		if (*slot_at(limit, 0) == UINT32_MAX)
			continue;
		(*slot_at(limit, 0))++;
		limit->used++;
	}
}

void
rate_uncount(struct rate *rate, int64_t now_us)
{
	for (size_t i = 0; i < rate->limit_count; i++) {
		struct rate_limit *limit = &rate->limits[i];
		int64_t age = 0;

		advance(limit, now_us);
		while (age < RING && *slot_at(limit, age) == 0)
			age++;
		if (age == RING)
			continue;
		(*slot_at(limit, age))--;
		limit->used--;
	}
}

/* ---- as text: "1;SECONDS,HEAD,AGE:COUNT,…;SECONDS,HEAD,…" */

void
rate_write(const struct rate *rate, char out[RATE_TEXT_MAX])
{
	struct rate copy = *rate; /* slot_at() is for one that may change */
	bool is_empty = true;
	size_t len;

	len = (size_t)snprintf(out, RATE_TEXT_MAX, VERSION);
	for (size_t i = 0; i < copy.limit_count; i++) {
		struct rate_limit *limit = &copy.limits[i];

		is_empty = is_empty && limit->used == 0;
		len += (size_t)snprintf(out + len, RATE_TEXT_MAX - len, ";%" PRIu64 ",%" PRId64,
		    limit->seconds, limit->head);
		for (int64_t age = 0; age < RING; age++)
			if (*slot_at(limit, age) != 0)
				len += (size_t)snprintf(out + len, RATE_TEXT_MAX - len,
				    ",%" PRId64 ":%" PRIu32, age, *slot_at(limit, age));
	}
	if (is_empty)
		out[0] = '\0';
}

static bool
read_slot(struct rate_limit *limit, char *text)
{
	char *count_text = strchr(text, ':');
	uint64_t age, count;

	if (count_text == NULL)
		return false;
	*count_text++ = '\0';
	if (!text_parse_number(text, &age) || !text_parse_number(count_text, &count) ||
	    age >= RING || count == 0 || count > UINT32_MAX || *slot_at(limit, (int64_t)age) != 0)
		return false;
	*slot_at(limit, (int64_t)age) = (uint32_t)count;
	limit->used += count;
	return true;
}

static bool
read_limit(struct rate *rate, char *text)
{
	struct rate_limit limit = { 0 };
	const char *seconds = strsep(&text, ","), *head_text = strsep(&text, ",");
	uint64_t head;
	char *slot;

	if (head_text == NULL || !text_parse_number(seconds, &limit.seconds) ||
	    !text_parse_number(head_text, &head) || head > INT64_MAX / 2)
		return false;
	limit.head = (int64_t)head;
	while ((slot = strsep(&text, ",")) != NULL)
		if (!read_slot(&limit, slot))
			return false;
	for (size_t i = 0; i < rate->limit_count; i++)
		if (rate->limits[i].seconds == limit.seconds) {
			limit.count = rate->limits[i].count;
			rate->limits[i] = limit;
		}
	return true;
}

bool
rate_read(struct rate *rate, const char *text)
{
	struct rate next = *rate;
	char copy[RATE_TEXT_MAX], *rest = copy, *part;

	if (strlen(text) >= sizeof(copy))
		return false;
	text_copy(copy, sizeof(copy), text);
	if (strcmp(strsep(&rest, ";"), VERSION) != 0)
		return false;
	while ((part = strsep(&rest, ";")) != NULL)
		if (!read_limit(&next, part))
			return false;
	*rate = next;
	return true;
}
