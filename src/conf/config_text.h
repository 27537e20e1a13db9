/* config_text.h - the values that are texts; rows of config_value.c. */
#ifndef HERALD_CONF_CONFIG_TEXT_H
#define HERALD_CONF_CONFIG_TEXT_H

#include <stdbool.h>

struct buf;
struct config_key;
struct error;
struct value_context;

/* Each takes a value in the form of its kind; what was there before is freed. */
bool value_parse_long_text(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_text(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_hostname(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_directory(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_file(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_store(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_secret(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_ident(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_fingerprint(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_address(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);

void value_print_text(const void *field, const struct config_key *key, struct buf *out);
void value_print_store(const void *field, const struct config_key *key, struct buf *out);
void value_print_ident(const void *field, const struct config_key *key, struct buf *out);

void value_clear_text(void *field);

/* What the field holds, not for an ident. */
const char *value_text(const void *field);

#endif
