/* aliases.c - the aliases file: names of this machine, and who reads their mail. */
#include "mail/aliases.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/text.h"
#include "mail/aliases_file.h"

#include <stdlib.h>
#include <string.h>

struct entry {
	struct alias alias;
	struct alias_target *targets;	/* what alias.targets shows */
	/* Of check_all(): how long its longest chain is. */
	bool under_way, is_checked;
	unsigned depth;
};

struct aliases {
	struct entry **entries;		/* in the order of the file */
	size_t count;
	struct map *by_name;
};

/* --- names --- */

/* A local part without its quotes and in lower case; false where it is too long. */
static bool
settle_name(char out[ADDRESS_LOCAL_MAX + 1], const char *local, size_t len)
{
	bool is_quoted = len >= 2 && local[0] == '"' && local[len - 1] == '"';
	size_t end = is_quoted ? len - 1 : len, used = 0;

	for (size_t i = is_quoted ? 1 : 0; i < end; i++) {
		if (is_quoted && local[i] == '\\' && i + 1 < end)
			i++;
		if (used == ADDRESS_LOCAL_MAX || local[i] == '\0')
			return false;
		out[used++] = local[i];
	}
	out[used] = '\0';
	text_lower(out);
	return true;
}

const struct alias *
aliases_find(const struct aliases *aliases, const char *local, size_t len)
{
	char name[ADDRESS_LOCAL_MAX + 1];
	const struct entry *entry;
	char *plus;

	if (aliases == NULL || !settle_name(name, local, len))
		return NULL;
	entry = map_get(aliases->by_name, name);
	plus = strchr(name, '+');
	if (entry == NULL && plus != NULL && plus != name) {
		*plus = '\0';
		entry = map_get(aliases->by_name, name);
	}
	return entry != NULL ? &entry->alias : NULL;
}

size_t
aliases_count(const struct aliases *aliases)
{
	return aliases != NULL ? aliases->count : 0;
}

const struct alias *
aliases_at(const struct aliases *aliases, size_t index)
{
	return &aliases->entries[index]->alias;
}

static bool
alias_equal(const struct alias *a, const struct alias *b)
{
	if (strcmp(a->name, b->name) != 0 || a->target_count != b->target_count)
		return false;
	for (size_t i = 0; i < a->target_count; i++)
		if (a->targets[i].is_final != b->targets[i].is_final ||
		    !address_equal(&a->targets[i].address, &b->targets[i].address))
			return false;
	return true;
}

bool
aliases_equal(const struct aliases *a, const struct aliases *b)
{
	if (aliases_count(a) != aliases_count(b))
		return false;
	for (size_t i = 0; i < aliases_count(a); i++)
		if (!alias_equal(aliases_at(a, i), aliases_at(b, i)))
			return false;
	return true;
}

/* --- names that lead to names --- */

struct check {
	const struct aliases *aliases;
	const char *path;
	aliases_is_local *is_local;
	const void *arg;
	struct entry *chain[ALIASES_DEPTH_MAX];
	unsigned depth;
};

static struct entry *
next_entry(const struct check *check, const struct alias_target *target)
{
	const struct alias *alias;

	if (target->is_final || !check->is_local(check->arg, &target->address))
		return NULL;
	alias = aliases_find(check->aliases, target->address.local,
	    strlen(target->address.local));
	return alias != NULL ? map_get(check->aliases->by_name, alias->name) : NULL;
}

static bool
fault_of_loop(const struct check *check, const struct entry *entry, struct error *err)
{
	struct buf names = { 0 };
	unsigned i = check->depth;

	while (i > 0 && check->chain[i - 1] != entry)
		i--;
	for (i = i > 0 ? i - 1 : 0; i < check->depth; i++)
		buf_appendf(&names, "%s, ", check->chain[i]->alias.name);
	error_set(err, ERROR_CONFIG, "%s:%u: a loop: %s%s; allowed is \\%s for the name itself",
	    check->path, entry->alias.line, buf_text(&names), entry->alias.name,
	    entry->alias.name);
	buf_free(&names);
	return false;
}

static bool check_entry(struct check *check, struct entry *entry, struct error *err);

static bool
check_targets(struct check *check, struct entry *entry, struct error *err)
{
	for (size_t i = 0; i < entry->alias.target_count; i++) {
		struct entry *next = next_entry(check, &entry->targets[i]);

		if (next == NULL) {
			entry->alias.reach++;
			continue;
		}
		if (!check_entry(check, next, err))
			return false;
		entry->alias.reach += next->alias.reach;
		if (entry->depth <= next->depth)
			entry->depth = next->depth + 1;
	}
	if (entry->depth >= ALIASES_DEPTH_MAX)
		return error_set(err, ERROR_CONFIG, "%s:%u: %s: more than %d names behind one "
		    "another", check->path, entry->alias.line, entry->alias.name,
		    ALIASES_DEPTH_MAX);
	if (entry->alias.reach > ALIASES_TARGETS_MAX)
		return error_set(err, ERROR_CONFIG, "%s:%u: %s: %zu addresses in the end, allowed "
		    "are %d", check->path, entry->alias.line, entry->alias.name, entry->alias.reach,
		    ALIASES_TARGETS_MAX);
	return true;
}

/* Depth first; each name once, so that the time is that of the file. */
static bool
check_entry(struct check *check, struct entry *entry, struct error *err)
{
	bool good;

	if (entry->is_checked)
		return true;
	if (entry->under_way)
		return fault_of_loop(check, entry, err);
	if (check->depth == ALIASES_DEPTH_MAX)
		return error_set(err, ERROR_CONFIG, "%s:%u: %s: more than %d names behind one "
		    "another", check->path, check->chain[0]->alias.line,
		    check->chain[0]->alias.name, ALIASES_DEPTH_MAX);
	entry->under_way = true;
	check->chain[check->depth++] = entry;
	good = check_targets(check, entry, err);
	check->depth--;
	entry->under_way = false;
	entry->is_checked = true;
	return good;
}

static bool
check_all(const struct aliases *aliases, const char *path, aliases_is_local *is_local,
    const void *arg, struct error *err)
{
	struct check check = { .aliases = aliases, .path = path, .is_local = is_local,
	    .arg = arg };

	for (size_t i = 0; i < aliases->count; i++)
		if (!check_entry(&check, aliases->entries[i], err))
			return false;
	return true;
}

/* --- reading --- */

struct reading {
	struct aliases *aliases;
	const char *path;
};

static void
free_entry(struct entry *entry)
{
	free((void *)(uintptr_t)entry->alias.name);
	free(entry->targets);
	free(entry);
}

/* Consumes the targets. */
static bool
add_entry(void *arg, const char *name, unsigned line, struct alias_target *targets, size_t count,
    struct error *err)
{
	struct reading *reading = arg;
	struct aliases *aliases = reading->aliases;
	char settled[ADDRESS_LOCAL_MAX + 1];
	const struct entry *other = NULL;
	struct entry *entry;

	if (settle_name(settled, name, strlen(name)))
		other = map_get(aliases->by_name, settled);
	if (other != NULL) {
		free(targets);
		return error_set(err, ERROR_CONFIG, "%s:%u: %s stands twice, first in line %u",
		    reading->path, line, settled, other->alias.line);
	}
	entry = mem_zalloc(sizeof(*entry));
	entry->targets = targets;
	entry->alias = (struct alias){ .name = mem_strdup(settled), .line = line,
	    .targets = targets, .target_count = count };
	if ((aliases->count & (aliases->count - 1)) == 0)
		aliases->entries = mem_grow(aliases->entries,
		    aliases->count == 0 ? 1 : aliases->count * 2, sizeof(entry));
	aliases->entries[aliases->count++] = entry;
	map_put(aliases->by_name, settled, entry);
	return true;
}

struct aliases *
aliases_parse(const char *path, const char *octets, size_t len, aliases_is_local *is_local,
    const void *arg, struct error *err)
{
	struct aliases *aliases = mem_zalloc(sizeof(*aliases));
	struct reading reading = { .aliases = aliases, .path = path };

	aliases->by_name = map_new();
	if (aliases_file_each(path, octets, len, add_entry, &reading, err) &&
	    check_all(aliases, path, is_local, arg, err))
		return aliases;
	aliases_free(aliases);
	return NULL;
}

struct aliases *
aliases_load(const char *path, aliases_is_local *is_local, const void *arg, struct error *err)
{
	struct buf octets = { 0 };
	struct aliases *aliases = NULL;

	if (aliases_file_read(path, &octets, err))
		aliases = aliases_parse(path, buf_octets(&octets), octets.len, is_local, arg, err);
	buf_free(&octets);
	return aliases;
}

void
aliases_free(struct aliases *aliases)
{
	if (aliases == NULL)
		return;
	for (size_t i = 0; i < aliases->count; i++)
		free_entry(aliases->entries[i]);
	free(aliases->entries);
	map_free(aliases->by_name);
	free(aliases);
}
