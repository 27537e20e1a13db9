/* storm.h - how many reports a sender has had lately, and whether one more may go. */
#ifndef HERALD_RELAY_STORM_H
#define HERALD_RELAY_STORM_H

#include <stddef.h>
#include <stdint.h>

struct address;
struct storm;

struct storm_limits {
	size_t reports;			/* to one sender */
	int64_t period;			/* seconds in which so many may go, at any time */
	size_t senders;			/* that are remembered; beyond, the longest silent is not */
};

/* Knows no clock and no queue: `now` is in Unix seconds. */
struct storm *storm_new(const struct storm_limits *limits);
void storm_free(struct storm *storm);		/* NULL is allowed */

enum storm_verdict {
	STORM_TELL,
	STORM_LATER,			/* too many: not before *when */
	STORM_GATHER,			/* reports were put off, and the time for them has come */
};
enum storm_verdict storm_judge(struct storm *storm, const struct address *sender, int64_t now,
    int64_t *when);
void storm_told(struct storm *storm, const struct address *sender, int64_t now);
/* A report was put off until `when`; or `count` of these are told at last. */
void storm_put_off(struct storm *storm, const struct address *sender, int64_t when);
void storm_settled(struct storm *storm, const struct address *sender, size_t count);
/* How many are put off and not told yet, as far as it is remembered. */
size_t storm_owed(const struct storm *storm, const struct address *sender);

#endif
