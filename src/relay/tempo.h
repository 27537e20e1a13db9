/* tempo.h - how fast a destination may be asked: sessions, pauses, suspension; a value. */
#ifndef HERALD_RELAY_TEMPO_H
#define HERALD_RELAY_TEMPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Seconds without a new session after a set-up that failed, doubled each time: short enough
 * that nobody waits for herald once a relay is up again, long enough not to storm it. */
#define TEMPO_SUSPEND_MIN	1
#define TEMPO_SUSPEND_MAX	60
/* After a refused login: providers lock accounts that try and try. */
#define TEMPO_AUTH_MIN		30
#define TEMPO_AUTH_MAX		300

/* Between two mails after "not so fast". */
#define TEMPO_THROTTLE_MIN	1000000LL	/* microseconds */
#define TEMPO_THROTTLE_MAX	60000000LL

/* A destination that has said nothing for so long holds few messages in memory. */
#define TEMPO_STUCK		10000000LL	/* microseconds */
#define TEMPO_ROOM_STUCK	10		/* jobs */
#define TEMPO_ROOM		100
#define TEMPO_ROOM_SECONDS	30		/* of what a throttle lets through */

#define TEMPO_FORGET		600000000LL	/* after the end of a suspension; microseconds */

/* All times are microseconds of one clock that never goes back, passed in. */
struct tempo {
	unsigned window;		/* sessions that may be open */
	unsigned limit;			/* what the window grows to */
	int64_t throttle_us;		/* between two mails; 0: none */
	int64_t next_mail_at;
	int64_t slowed_at;		/* the last time that it was too fast */
	unsigned suspend;		/* seconds of the last suspension; 0: all is well */
	int64_t suspended_until;
	unsigned hold;			/* the same for new sessions while others work */
	int64_t held_until;
	int64_t asked_at;		/* unanswered since; 0: nothing is */
	int64_t span;			/* number of the current span of TEMPO_STUCK */
	unsigned delivered[2];		/* messages, in this span and in the one before */
};

void tempo_start(struct tempo *tempo, unsigned limit);

/* What happened. */
void tempo_asked(struct tempo *tempo, int64_t now);	/* a session opens, or a mail begins */
void tempo_answered(struct tempo *tempo);
void tempo_mail(struct tempo *tempo, int64_t now);	/* it begins */
void tempo_ready(struct tempo *tempo);			/* a session is */
void tempo_delivered(struct tempo *tempo, int64_t now);
/* The peer wants less, or a session was lost in a mail: half the sessions; with `throttle`
 * also a pause between mails.  What many mails hear at the same moment counts once. */
void tempo_slow_down(struct tempo *tempo, int64_t now, bool throttle);
/* No session can be had. */
void tempo_suspend(struct tempo *tempo, int64_t now, bool auth_refused);
/* Other sessions work, but `open` are all that can be had for now. */
void tempo_hold(struct tempo *tempo, int64_t now, unsigned open);
bool tempo_recover(struct tempo *tempo);	/* whether it was suspended */
void tempo_flush(struct tempo *tempo);		/* nothing is known any more */

/* What follows from it; waits are microseconds, 0: none. */
int64_t tempo_suspended(const struct tempo *tempo, int64_t now);
int64_t tempo_open_wait(const struct tempo *tempo, int64_t now);	/* for a new session */
int64_t tempo_mail_wait(const struct tempo *tempo, int64_t now);	/* for the next mail */
/* Asked, and silent since TEMPO_STUCK. */
bool tempo_is_stuck(const struct tempo *tempo, int64_t now);
bool tempo_flows(const struct tempo *tempo, int64_t now);	/* something was delivered lately */
/* Jobs that may wait in memory where others wait for other destinations; `share` is what each
 * of them may have, were they all alike. */
size_t tempo_room(const struct tempo *tempo, int64_t now, size_t share);
/* Nothing that would be missed. */
bool tempo_is_idle(const struct tempo *tempo, int64_t now);

#endif
