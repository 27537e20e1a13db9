/* guesses.c - clients whose passwords were refused, and when they may try again. */
#include "intake/guesses.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "intake/access.h"

#define GUESS_US	((int64_t)GUESSES_SECONDS * 1000000)

/* A count that runs down by itself is the time when it is at none. */
struct guesser {
	char client[ACCESS_KEY_MAX];
	int64_t forgotten_us;
	TAILQ_ENTRY(guesser) entry;
};

TAILQ_HEAD(guesser_list, guesser);

struct guesses {
	struct map *by_client;
	struct guesser_list list;	/* who guessed last is the last */
};

struct guesses *
guesses_new(void)
{
	struct guesses *guesses = mem_zalloc(sizeof(*guesses));

	guesses->by_client = map_new();
	TAILQ_INIT(&guesses->list);
	return guesses;
}

static void
forget(struct guesses *guesses, struct guesser *guesser)
{
	map_remove(guesses->by_client, guesser->client);
	TAILQ_REMOVE(&guesses->list, guesser, entry);
	free(guesser);
}

void
guesses_free(struct guesses *guesses)
{
	if (guesses == NULL)
		return;
	while (!TAILQ_EMPTY(&guesses->list))
		forget(guesses, TAILQ_FIRST(&guesses->list));
	map_free(guesses->by_client);
	free(guesses);
}

bool
guesses_may(const struct guesses *guesses, const char *client)
{
	const struct guesser *guesser = map_get(guesses->by_client, client);

	return guesser == NULL ||
	    guesser->forgotten_us - clock_monotonic_us() <= (GUESSES_FREE - 1) * GUESS_US;
}

static struct guesser *
add(struct guesses *guesses, const char *client)
{
	struct guesser *guesser = mem_zalloc(sizeof(*guesser));

	snprintf(guesser->client, sizeof(guesser->client), "%s", client);
	map_put(guesses->by_client, guesser->client, guesser);
	return guesser;
}

void
guesses_refused(struct guesses *guesses, const char *client)
{
	struct guesser *guesser = map_get(guesses->by_client, client), *first;
	int64_t now = clock_monotonic_us();

	if (guesser == NULL)
		guesser = add(guesses, client);
	else
		TAILQ_REMOVE(&guesses->list, guesser, entry);
	TAILQ_INSERT_TAIL(&guesses->list, guesser, entry);
	if (guesser->forgotten_us < now)
		guesser->forgotten_us = now;
	guesser->forgotten_us += GUESS_US;
	/* Those who are silent for long are at the head; all but a few have run down. */
	while ((first = TAILQ_FIRST(&guesses->list)) != guesser &&
	    (first->forgotten_us <= now || guesses_count(guesses) > GUESSES_CLIENTS))
		forget(guesses, first);
}

size_t
guesses_count(const struct guesses *guesses)
{
	return map_count(guesses->by_client);
}
