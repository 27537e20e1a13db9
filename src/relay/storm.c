/* storm.c - how many reports a sender has had lately, and whether one more may go. */
#include "relay/storm.h"

#include <stdlib.h>
#include <sys/queue.h>

#include "base/map.h"
#include "base/mem.h"
#include "mail/address.h"

/* What was put off and has not come back by then, seconds after its time, will not. */
#define PATIENCE 600

struct sender {
	size_t owed;			/* reports that were put off */
	int64_t owed_at;		/* when the latest of these comes back */
	size_t count, next;		/* of `told`, a ring: how many, and the oldest's place */
	TAILQ_ENTRY(sender) entry;
	char text[ADDRESS_TEXT_MAX + 1];
	int64_t told[];			/* Unix seconds */
};
TAILQ_HEAD(sender_list, sender);

struct storm {
	struct storm_limits limits;
	struct map *senders;
	struct sender_list by_age;	/* the longest silent first */
};

struct storm *
storm_new(const struct storm_limits *limits)
{
	struct storm *storm = mem_zalloc(sizeof(*storm));

	storm->limits = *limits;
	storm->senders = map_new();
	TAILQ_INIT(&storm->by_age);
	return storm;
}

static void
forget(struct storm *storm, struct sender *sender)
{
	map_remove(storm->senders, sender->text);
	TAILQ_REMOVE(&storm->by_age, sender, entry);
	free(sender);
}

void
storm_free(struct storm *storm)
{
	struct sender *sender;

	if (storm == NULL)
		return;
	while ((sender = TAILQ_FIRST(&storm->by_age)) != NULL)
		forget(storm, sender);
	map_free(storm->senders);
	free(storm);
}

static struct sender *
find(const struct storm *storm, const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];

	return map_get(storm->senders, address_text(address, text));
}

static struct sender *
find_or_make(struct storm *storm, const struct address *address)
{
	struct sender *sender = find(storm, address);

	if (sender != NULL) {
		TAILQ_REMOVE(&storm->by_age, sender, entry);
	} else {
		if (map_count(storm->senders) >= storm->limits.senders)
			forget(storm, TAILQ_FIRST(&storm->by_age));
		sender = mem_zalloc(sizeof(*sender) +
		    storm->limits.reports * sizeof(sender->told[0]));
		map_put(storm->senders, address_text(address, sender->text), sender);
	}
	TAILQ_INSERT_TAIL(&storm->by_age, sender, entry);
	return sender;
}

/* Those that were told longer ago than the period, and those of a clock that has been set
 * back since, do not count. */
static void
drop_old(const struct storm *storm, struct sender *sender, int64_t now)
{
	while (sender->count > 0) {
		int64_t oldest = sender->told[sender->next];

		if (oldest <= now && oldest > now - storm->limits.period)
			break;
		sender->next = (sender->next + 1) % storm->limits.reports;
		sender->count--;
	}
}

enum storm_verdict
storm_judge(struct storm *storm, const struct address *address, int64_t now, int64_t *when)
{
	struct sender *sender = find(storm, address);

	if (sender == NULL)
		return STORM_TELL;
	drop_old(storm, sender, now);
	if (sender->count == storm->limits.reports) {
		*when = sender->told[sender->next] + storm->limits.period;
		return STORM_LATER;
	}
	if (sender->owed > 0 && now > sender->owed_at + PATIENCE)
		sender->owed = 0;
	return sender->owed > 0 ? STORM_GATHER : STORM_TELL;
}

void
storm_told(struct storm *storm, const struct address *address, int64_t now)
{
	struct sender *sender = find_or_make(storm, address);

	drop_old(storm, sender, now);
	if (sender->count == storm->limits.reports) {
		sender->next = (sender->next + 1) % storm->limits.reports;
		sender->count--;
	}
	sender->told[(sender->next + sender->count++) % storm->limits.reports] = now;
}

void
storm_put_off(struct storm *storm, const struct address *address, int64_t when)
{
	struct sender *sender = find_or_make(storm, address);

	sender->owed++;
	sender->owed_at = when;
}

void
storm_settled(struct storm *storm, const struct address *address, size_t count)
{
	struct sender *sender = find(storm, address);

	if (sender != NULL)
		sender->owed -= count < sender->owed ? count : sender->owed;
}

size_t
storm_owed(const struct storm *storm, const struct address *address)
{
	const struct sender *sender = find(storm, address);

	return sender != NULL ? sender->owed : 0;
}
