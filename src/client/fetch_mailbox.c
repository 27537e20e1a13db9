/* fetch_mailbox.c - what a POP3 mailbox holds, and which of it is wanted. */
#include "client/fetch_mailbox.h"

#include "base/mem.h"
#include "client/fetch_state.h"

#include <stdlib.h>
#include <string.h>

void
fetch_mailbox_clear(struct fetch_mailbox *mailbox)
{
	for (unsigned i = 0; i <= mailbox->highest && mailbox->entries != NULL; i++)
		free(mailbox->entries[i].uidl);
	free(mailbox->entries);
	memset(mailbox, 0, sizeof(*mailbox));
}

void
fetch_mailbox_add(struct fetch_mailbox *mailbox, unsigned number, uint64_t size)
{
	const size_t wanted = (size_t)number + 1;
	size_t capacity = mailbox->capacity;

	if (wanted > capacity) {
		capacity = wanted > capacity * 2 ? wanted : capacity * 2;
		mailbox->entries =
		    mem_grow(mailbox->entries, capacity, sizeof(*mailbox->entries));
		memset(mailbox->entries + mailbox->capacity, 0,
		    (capacity - mailbox->capacity) * sizeof(*mailbox->entries));
		mailbox->capacity = capacity;
	}
	mailbox->entries[number].size = size;
	mailbox->entries[number].is_listed = true;
	mailbox->count++;
	if (number > mailbox->highest)
		mailbox->highest = number;
}

void
fetch_mailbox_name(struct fetch_mailbox *mailbox, unsigned number, const char *uidl)
{
	struct fetch_entry *entry = &mailbox->entries[number];

	if (entry->uidl == NULL)
		mailbox->uidl_count++;
	free(entry->uidl);
	entry->uidl = mem_strdup(uidl);
}

static int
compare_uidls(const void *a, const void *b)
{
	const struct fetch_entry *const *one = a, *const *other = b;
	const int order = strcmp((*one)->uidl, (*other)->uidl);

	/* Entries stand in one array: the lower number first. */
	return order != 0 ? order : *one < *other ? -1 : 1;
}

/* The first of those with one UIDL is not marked. */
static void
mark_shared(struct fetch_mailbox *mailbox, bool first_too)
{
	struct fetch_entry **sorted;
	size_t count = 0;

	sorted = mem_array(mailbox->uidl_count + 1, sizeof(struct fetch_entry *));
	for (unsigned i = 1; i <= mailbox->highest; i++)
		if (mailbox->entries[i].uidl != NULL)
			sorted[count++] = &mailbox->entries[i];
	qsort(sorted, count, sizeof(struct fetch_entry *), compare_uidls);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i - 1]->uidl, sorted[i]->uidl) == 0) {
			sorted[i]->is_shared = true;
			if (first_too)
				sorted[i - 1]->is_shared = true;
		}
	free(sorted);
}

const char *
fetch_entry_key(const struct fetch_entry *entry, bool deletes)
{
	/* A server that calls two different messages the same would have one deleted unread. */
	return deletes && entry->is_shared ? NULL : entry->uidl;
}

static bool
choose(struct fetch_mailbox *mailbox, struct fetch_entry *entry, enum fetch_selection selection,
    bool deletes, struct fetch_state *state, struct error *err)
{
	const char *key = fetch_entry_key(entry, deletes);
	enum fetch_known known = FETCH_UNSEEN;

	if (state != NULL && key != NULL &&
	    !fetch_state_lookup(state, key, entry->size, &known, err))
		return false;
	if (known == FETCH_DELETE_OWED && deletes)
		entry->choice = FETCH_ONLY_DELETE;
	else if (selection != FETCH_NEW)
		entry->choice = FETCH_TAKE;
	else if (known == FETCH_UNSEEN && (deletes || !entry->is_shared))
		entry->choice = FETCH_TAKE;
	else if (known == FETCH_UNSEEN)
		mailbox->copy_count++;
	return true;
}

bool
fetch_mailbox_choose(struct fetch_mailbox *mailbox, enum fetch_selection selection,
    unsigned number, bool deletes, struct fetch_state *state, struct error *err)
{
	unsigned first = 1, last = mailbox->highest;

	if (state != NULL)
		mark_shared(mailbox, deletes);
	if (selection == FETCH_LAST && last > 0)
		first = last;
	else if (selection == FETCH_NUMBER)
		first = number;
	if (selection == FETCH_NUMBER && last > number)
		last = number;
	for (unsigned i = first; i <= last; i++) {
		struct fetch_entry *entry = &mailbox->entries[i];

		/* Without a UIDL nobody knows whether it is new. */
		if (!entry->is_listed || (selection == FETCH_NEW && entry->uidl == NULL))
			continue;
		if (!choose(mailbox, entry, selection, deletes, state, err))
			return false;
	}
	return true;
}

const char **
fetch_mailbox_uidls(const struct fetch_mailbox *mailbox, size_t *count)
{
	const char **uidls = mem_array(mailbox->uidl_count + 1, sizeof(const char *));

	*count = 0;
	for (unsigned i = 1; i <= mailbox->highest; i++)
		if (mailbox->entries[i].uidl != NULL)
			uidls[(*count)++] = mailbox->entries[i].uidl;
	return uidls;
}
