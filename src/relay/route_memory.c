/* route_memory.c - which places took no mail of late, so that others are tried before them. */
#include "relay/route_memory.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "relay/route.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_US	30000000	/* a server that restarts is back by then */
#define LAST_US		600000000	/* one slow connect in that time is not felt */
/* A domain has at most 100 places (RULES N), a relay few. */
#define FAULTS_MAX	128

struct fault {
	char place[ENDPOINT_TEXT_MAX];	/* address and port */
	int64_t length_us, until_us;	/* clock_monotonic_us() */
};

struct route_memory { struct fault *faults; size_t count; };

struct route_memory *
route_memory_new(void)
{
	return mem_zalloc(sizeof(struct route_memory));
}

void
route_memory_free(struct route_memory *memory)
{
	if (memory == NULL)
		return;
	free(memory->faults);
	free(memory);
}

void
route_memory_clear(struct route_memory *memory)
{
	memory->count = 0;
}

static struct fault *
find(const struct route_memory *memory, const struct next_hop *hop)
{
	for (size_t i = 0; i < memory->count; i++)
		if (strcmp(memory->faults[i].place, hop->address.text) == 0)
			return &memory->faults[i];
	return NULL;
}

/* Of too many the one goes that would be forgiven first. */
static struct fault *
add(struct route_memory *memory)
{
	struct fault *oldest;

	if (memory->count < FAULTS_MAX) {
		memory->faults = mem_grow(memory->faults, memory->count + 1,
		    sizeof(*memory->faults));
		return &memory->faults[memory->count++];
	}
	oldest = &memory->faults[0];
	for (size_t i = 1; i < memory->count; i++)
		if (memory->faults[i].until_us < oldest->until_us)
			oldest = &memory->faults[i];
	return oldest;
}

/* While the fault stands further ones say nothing new: sessions fail together. */
void
route_memory_failed(struct route_memory *memory, const struct next_hop *hop)
{
	int64_t now = clock_monotonic_us();
	struct fault *fault = find(memory, hop);

	if (fault == NULL) {
		fault = add(memory);
		text_copy(fault->place, sizeof(fault->place), hop->address.text);
		fault->length_us = FIRST_US;
	} else if (now < fault->until_us) {
		return;
	} else if (fault->length_us < LAST_US) {
		fault->length_us *= 2;
	}
	if (fault->length_us > LAST_US)
		fault->length_us = LAST_US;
	fault->until_us = now + fault->length_us;
}

void
route_memory_good(struct route_memory *memory, const struct next_hop *hop)
{
	struct fault *fault = find(memory, hop);

	if (fault != NULL)
		*fault = memory->faults[--memory->count];
}

bool
route_memory_is_bad(const struct route_memory *memory, const struct next_hop *hop)
{
	const struct fault *fault = find(memory, hop);

	return fault != NULL && clock_monotonic_us() < fault->until_us;
}
