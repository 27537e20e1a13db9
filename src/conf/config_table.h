/* config_table.h - every key of the conffile: one row each, for loading, printing and comparing. */
#ifndef HERALD_CONF_CONFIG_TABLE_H
#define HERALD_CONF_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config;

/* How a value is written, and what its field in struct config is. */
enum config_kind {
	VALUE_TEXT,	 /* const char *: one line */
	VALUE_LONG_TEXT, /* const char *: any UTF-8 */
	VALUE_HOSTNAME,	 /* const char * */
	VALUE_DIRECTORY, /* const char *: an absolute path */
	VALUE_FILE,	 /* const char *: a path, relative ones under state_directory */
	VALUE_STORE,	 /* const char *: the path behind "sqlite:" */
	VALUE_SECRET,	 /* const char *: "file:PATH", "credential:NAME", "command:…" */
	VALUE_PRINT,	 /* const char *: fingerprint of a certificate */
	VALUE_ADDRESS,	 /* const char *: an address literal */
	VALUE_IDENT,	 /* char[] of log_settings */
	VALUE_COUNT,	 /* unsigned */
	VALUE_DURATION,	 /* unsigned, seconds */
	VALUE_SIZE,	 /* uint64_t, octets */
	VALUE_LENGTH,	 /* size_t, octets */
	VALUE_SWITCH,	 /* bool */
	VALUE_CHOICE,	 /* an enum, or int */
	VALUE_RATE,	 /* uint64_t[2]: count, seconds */
	VALUE_LISTEN,	 /* struct endpoint_list */
	VALUE_NETWORKS,	 /* struct network_list */
	VALUE_TEXTS,	 /* const char **, and a size_t behind it */
	VALUE_HOSTS,	 /* the hosts, or the mx, of struct relay_config */
	VALUE_RATES,	 /* struct config_rate *, and a size_t behind it */
	VALUE_PATTERNS,	 /* const char **, and a size_t behind it */
};

struct config_choice {
	const char *name;
	int value;
	bool later;
};

struct config_key {
	const char *name;
	enum config_kind kind;
	size_t offset;	     /* of the field in the object of its block */
	const char *initial; /* as it would be written, lists with blanks; NULL: none */
	uint64_t min, max;   /* of the number, or octets of the text; max 0: no bounds */
	const struct config_choice *choices;
	bool is_list, required, later; /* later: known, but not yet supported */
};

/* A kind of block.  Where one may stand, its object is a part of struct config; where
 * several may, they begin with name, line, conffile and stand in an array. */
struct config_type {
	const char *name;	       /* "" for what stands outside of blocks */
	const struct config_key *keys; /* ended by a NULL name */
	bool is_array;		       /* several may stand, */
	bool titled;		       /* each with its own name; else their order counts */
	bool later;
	size_t offset;	     /* in struct config: of the object, or of the array */
	size_t count_offset; /* is_array: of the number of elements */
	size_t size;	     /* is_array: of an element */
};

extern const struct config_type config_types[]; /* ended by a NULL name; [0] is the top level */

/* The object number `index` of that type. */
void *config_object(const struct config *config, const struct config_type *type, size_t index);
size_t config_object_count(const struct config *config, const struct config_type *type);
const struct config_key *config_key_find(const struct config_type *type, const char *name);

#endif
