/* envelope.c - who sent a message and who shall get it; not its content. */
#include "mail/envelope.h"

#include "base/mem.h"
#include "base/memory_budget.h"

#include <stdlib.h>
#include <string.h>

struct envelope_text {
	struct envelope_text *next;
	char octets[];
};

static const char *const state_names[] = {
	[RECIPIENT_ACTIVE] = "active",
	[RECIPIENT_DEFERRED] = "deferred",
	[RECIPIENT_HELD] = "held",
	[RECIPIENT_OWED] = "owed",
	[RECIPIENT_PARKED] = "parked",
	[RECIPIENT_DONE] = "done",
};

struct envelope *
envelope_new(const struct address *reverse_path)
{
	struct envelope *envelope = mem_zalloc(sizeof(*envelope));

	envelope->reverse_path = *reverse_path;
	envelope->uid = ENVELOPE_NO_UID;
	return envelope;
}

/* The room is always the next power of two, so that no field has to keep it. */
static bool
is_full(size_t count)
{
	return (count & (count - 1)) == 0;
}

uint64_t
envelope_cost(const struct envelope *envelope)
{
	size_t room = 1;

	while (room < envelope->recipient_count)
		room *= 2;
	return sizeof(*envelope) + envelope->kept + room * sizeof(*envelope->recipients);
}

static void
charge(struct envelope *envelope)
{
	if (envelope->budget != NULL)
		memory_budget_charge(envelope->budget, &envelope->charged,
		    envelope_cost(envelope));
}

void
envelope_charge(struct envelope *envelope, struct memory_budget *budget)
{
	if (envelope->budget != NULL)
		return;
	envelope->budget = budget;
	charge(envelope);
}

struct recipient *
envelope_add(struct envelope *envelope, const struct address *forward_path)
{
	size_t count = envelope->recipient_count;
	struct recipient *recipient;

	if (is_full(count))
		envelope->recipients = mem_grow(envelope->recipients,
		    count == 0 ? 1 : count * 2, sizeof(*recipient));
	recipient = &envelope->recipients[count];
	memset(recipient, 0, sizeof(*recipient));
	recipient->forward_path = *forward_path;
	envelope->recipient_count = count + 1;
	if (is_full(count))
		charge(envelope);
	return recipient;
}

const char *
envelope_keep(struct envelope *envelope, const char *text, size_t len)
{
	struct envelope_text *kept = mem_alloc(sizeof(*kept) + len + 1);

	memcpy(kept->octets, text, len);
	kept->octets[len] = '\0';
	kept->next = envelope->texts;
	envelope->texts = kept;
	envelope->kept += sizeof(*kept) + len + 1;
	charge(envelope);
	return kept->octets;
}

static const char *
keep_again(struct envelope *copy, const char *text)
{
	return text != NULL ? envelope_keep(copy, text, strlen(text)) : NULL;
}

struct envelope *
envelope_copy(const struct envelope *envelope)
{
	struct envelope *copy = mem_dup(envelope, sizeof(*envelope));

	copy->recipients = NULL;
	copy->recipient_count = 0;
	copy->texts = NULL;
	copy->budget = NULL;
	copy->charged = copy->kept = 0;
	copy->envid = keep_again(copy, envelope->envid);
	copy->message_id = keep_again(copy, envelope->message_id);
	for (size_t i = 0; i < envelope->recipient_count; i++) {
		const struct recipient *recipient = &envelope->recipients[i];
		struct recipient *added = envelope_add(copy, &recipient->forward_path);

		*added = *recipient;
		added->orcpt = keep_again(copy, recipient->orcpt);
	}
	return copy;
}

void
envelope_free(struct envelope *envelope)
{
	struct envelope_text *text;

	if (envelope == NULL)
		return;
	memory_budget_charge(envelope->budget, &envelope->charged, 0);
	while ((text = envelope->texts) != NULL) {
		envelope->texts = text->next;
		free(text);
	}
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
