/* config_value.h - values by their kind: from the text of a conffile to a field, and back. */
#ifndef HERALD_CONF_CONFIG_VALUE_H
#define HERALD_CONF_CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

struct buf;
struct config_key;
struct error;

/* What relative values are relative to. */
struct value_context {
	const char *state_directory, *runtime_directory;
	uint16_t default_port; /* of a relay's hosts */
};

/* Takes one value; a list takes one after the other.  *err says what is wrong with the
 * value and what is allowed, without the name of the key. */
bool value_parse(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err) __attribute__((warn_unused_result));

/* Appends the value as it would stand in a conffile; with `mask` secrets as "***". */
void value_print(const void *field, const struct config_key *key, bool mask, struct buf *out);

/* Appends text in quotes, escaped as libconfuse reads it. */
void value_quote(struct buf *out, const char *text);

/* For the files of rows.  Bounds of 0 and 0 are none. */
bool value_in_bounds(uint64_t number, const struct config_key *key);
bool value_read_rate(
    uint64_t rate[2], const struct config_key *key, const char *value, struct error *err);
void value_write_rate(uint64_t count, uint64_t seconds, struct buf *out);

/* Frees what the field owns and sets it to "not set". */
void value_clear(void *field, const struct config_key *key);

#endif
