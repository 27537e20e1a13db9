/* config_file.h - a conffile as libconfuse reads it: blocks of keys, texts not yet judged. */
#ifndef HERALD_CONF_CONFIG_FILE_H
#define HERALD_CONF_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

struct config_key;
struct config_type;
struct error;

/* A key that stands in the file. */
struct config_entry {
	const struct config_key *key;
	unsigned line;
	char **values;
	size_t count; /* 0 for {} */
	STAILQ_ENTRY(config_entry) next;
};

struct config_block {
	const struct config_type *type;
	char *title; /* "" for an untitled one */
	char *path;  /* of the file it stands in, an included one perhaps */
	unsigned line;
	void *section;			     /* libconfuse's, while it parses */
	STAILQ_HEAD(, config_entry) entries; /* in the order of the file */
	STAILQ_ENTRY(config_block) next;
};

/* The first one is the top level, whose keys stand outside of blocks. */
STAILQ_HEAD(config_file, config_block);

/* NULL and *err, "FILE:LINE: …", at the first fault: syntax, names that are not known,
 * what is not yet supported, what stands twice. */
struct config_file *config_file_read(const char *path, struct error *err);
void config_file_free(struct config_file *file); /* NULL is allowed */

/* NULL when the key does not stand in the block. */
const struct config_entry *config_entry_find(const struct config_block *block, const char *name);

#endif
