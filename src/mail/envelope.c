/* envelope.c - who sent a message and who shall get it; not its content. */
#include "mail/envelope.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 4 /* recipients; most messages have one */

static const char *const state_names[] = {
	[RECIPIENT_ACTIVE] = "active",
	[RECIPIENT_DEFERRED] = "deferred",
	[RECIPIENT_HELD] = "held",
	[RECIPIENT_FAILED] = "failed",
	[RECIPIENT_PARKED] = "parked",
	[RECIPIENT_DONE] = "done",
};

struct envelope *
envelope_new(const struct address *reverse_path)
{
	struct envelope *envelope = mem_zalloc(sizeof(*envelope));

	envelope->reverse_path = *reverse_path;
	return envelope;
}

/* The room is always the next power of two, so that no field has to keep it. */
static bool
is_full(size_t count)
{
	return count == 0 || (count >= FIRST_CAPACITY && (count & (count - 1)) == 0);
}

struct recipient *
envelope_add(struct envelope *envelope, const struct address *forward_path)
{
	size_t count = envelope->recipient_count;
	struct recipient *recipient;

	if (is_full(count))
		envelope->recipients = mem_grow(envelope->recipients,
		    count == 0 ? FIRST_CAPACITY : count * 2, sizeof(*recipient));
	recipient = &envelope->recipients[count];
	memset(recipient, 0, sizeof(*recipient));
	recipient->forward_path = *forward_path;
	envelope->recipient_count = count + 1;
	return recipient;
}

struct envelope *
envelope_copy(const struct envelope *envelope)
{
	struct envelope *copy = mem_dup(envelope, sizeof(*envelope));

	copy->recipients = NULL;
	copy->recipient_count = 0;
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct recipient *recipient = &envelope->recipients[i];

		*envelope_add(copy, &recipient->forward_path) = *recipient;
	}
	return copy;
}

void
envelope_free(struct envelope *envelope)
{
	if (envelope == NULL)
		return;
	free(envelope->recipients);
	free(envelope);
}

const char *
recipient_host(const struct recipient *recipient)
{
	const char *slash = strchr(recipient->relay, '/');

	return slash != NULL ? slash + 1 : recipient->relay;
}

const char *
recipient_state_name(enum recipient_state state)
{
	return state_names[state];
}

bool
recipient_state_parse(const char *name, enum recipient_state *out)
{
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(name, state_names[i]) == 0) {
			*out = (enum recipient_state)i;
			return true;
		}
	}
	return false;
}
