/* tempo.c - how fast a destination may be asked: sessions, pauses, suspension; a value. */
#include "relay/tempo.h"

#include <string.h>

#define SECOND	1000000LL	/* microseconds */

static int64_t
left(int64_t until, int64_t now)
{
	return until > now ? until - now : 0;
}

/* Doubles what was, within the bounds. */
static unsigned
back_off(unsigned seconds, unsigned min, unsigned max)
{
	seconds *= 2;
	return seconds < min ? min : seconds > max ? max : seconds;
}

static void
count_delivered(struct tempo *tempo, int64_t now)
{
	int64_t span = now / TEMPO_STUCK;

	if (span != tempo->span) {
		tempo->delivered[1] = span == tempo->span + 1 ? tempo->delivered[0] : 0;
		tempo->delivered[0] = 0;
		tempo->span = span;
	}
	tempo->delivered[0]++;
}

/* In the last one or two spans. */
static unsigned
delivered_lately(const struct tempo *tempo, int64_t now)
{
	int64_t spans = now / TEMPO_STUCK - tempo->span;

	if (spans == 0)
		return tempo->delivered[0] + tempo->delivered[1];
	return spans == 1 ? tempo->delivered[0] : 0;
}

void
tempo_start(struct tempo *tempo, unsigned limit)
{
	memset(tempo, 0, sizeof(*tempo));
	tempo->limit = limit > 0 ? limit : 1;
	tempo->window = 1;
}

void
tempo_asked(struct tempo *tempo, int64_t now)
{
	if (tempo->asked_at == 0)
		tempo->asked_at = now;
}

void
tempo_answered(struct tempo *tempo)
{
	tempo->asked_at = 0;
}

void
tempo_mail(struct tempo *tempo, int64_t now)
{
	tempo_asked(tempo, now);
	tempo->next_mail_at = now + tempo->throttle_us;
}

static void
grow(struct tempo *tempo)
{
	if (tempo->window < tempo->limit && tempo->throttle_us == 0)
		tempo->window++;
}

void
tempo_ready(struct tempo *tempo)
{
	tempo_answered(tempo);
	tempo->hold = 0;
	tempo->held_until = 0;
	grow(tempo);
}

void
tempo_delivered(struct tempo *tempo, int64_t now)
{
	tempo_answered(tempo);
	count_delivered(tempo, now);
	tempo->throttle_us /= 2;
	if (tempo->throttle_us < TEMPO_THROTTLE_MIN / 2)
		tempo->throttle_us = 0;
	if (tempo->next_mail_at > now + tempo->throttle_us)
		tempo->next_mail_at = now + tempo->throttle_us;
	grow(tempo);
}

void
tempo_slow_down(struct tempo *tempo, int64_t now, bool throttle)
{
	int64_t heed = tempo->throttle_us > SECOND ? tempo->throttle_us : SECOND;

	tempo_answered(tempo);
	/* Said about a mail that began before the last pause. */
	if (tempo->slowed_at != 0 && now < tempo->slowed_at + heed)
		return;
	tempo->slowed_at = now;
	tempo->window = tempo->window > 1 ? tempo->window / 2 : 1;
	if (!throttle)
		return;
	tempo->throttle_us *= 2;
	if (tempo->throttle_us < TEMPO_THROTTLE_MIN)
		tempo->throttle_us = TEMPO_THROTTLE_MIN;
	if (tempo->throttle_us > TEMPO_THROTTLE_MAX)
		tempo->throttle_us = TEMPO_THROTTLE_MAX;
	tempo->next_mail_at = now + tempo->throttle_us;
}

void
tempo_suspend(struct tempo *tempo, int64_t now, bool auth_refused)
{
	tempo_answered(tempo);
	tempo->window = 1;
	tempo->suspend = auth_refused ?
	    back_off(tempo->suspend, TEMPO_AUTH_MIN, TEMPO_AUTH_MAX) :
	    back_off(tempo->suspend, TEMPO_SUSPEND_MIN, TEMPO_SUSPEND_MAX);
	tempo->suspended_until = now + tempo->suspend * SECOND;
}

void
tempo_hold(struct tempo *tempo, int64_t now, unsigned open)
{
	tempo->window = open > 0 ? open : 1;
	tempo->hold = back_off(tempo->hold, TEMPO_SUSPEND_MIN, TEMPO_SUSPEND_MAX);
	tempo->held_until = now + tempo->hold * SECOND;
}

bool
tempo_recover(struct tempo *tempo)
{
	bool was = tempo->suspend != 0;

	tempo->suspend = 0;
	tempo->suspended_until = 0;
	return was;
}

void
tempo_flush(struct tempo *tempo)
{
	tempo->suspended_until = 0;
	tempo->held_until = 0;
	tempo->hold = 0;
	tempo->throttle_us = 0;
	tempo->next_mail_at = 0;
}

int64_t
tempo_suspended(const struct tempo *tempo, int64_t now)
{
	return left(tempo->suspended_until, now);
}

int64_t
tempo_open_wait(const struct tempo *tempo, int64_t now)
{
	int64_t wait = left(tempo->suspended_until, now), held = left(tempo->held_until, now);

	return held > wait ? held : wait;
}

int64_t
tempo_mail_wait(const struct tempo *tempo, int64_t now)
{
	return left(tempo->next_mail_at, now);
}

bool
tempo_is_stuck(const struct tempo *tempo, int64_t now)
{
	return tempo->asked_at != 0 && now - tempo->asked_at > TEMPO_STUCK;
}

bool
tempo_flows(const struct tempo *tempo, int64_t now)
{
	return delivered_lately(tempo, now) > 0;
}

static size_t
clamp(size_t number, size_t least, size_t most)
{
	return number < least ? least : number > most ? most : number;
}

size_t
tempo_room(const struct tempo *tempo, int64_t now, size_t share)
{
	size_t lately = delivered_lately(tempo, now), throttled = SIZE_MAX, room;

	if (tempo_is_stuck(tempo, now) || tempo->suspend != 0)
		room = TEMPO_ROOM_STUCK;
	else if (lately == 0)
		room = clamp(share, TEMPO_ROOM_STUCK, TEMPO_ROOM);
	else
		room = clamp(share, TEMPO_ROOM, SIZE_MAX);
	if (lately * 2 > room)
		room = lately * 2;
	if (tempo->throttle_us > 0)
		throttled = (size_t)(TEMPO_ROOM_SECONDS * SECOND / tempo->throttle_us) + 1;
	return room < throttled ? room : throttled;
}

bool
tempo_is_idle(const struct tempo *tempo, int64_t now)
{
	bool suspended = tempo->suspend != 0 && now - tempo->suspended_until < TEMPO_FORGET;

	return !suspended && tempo_mail_wait(tempo, now) == 0 && !tempo_flows(tempo, now);
}
