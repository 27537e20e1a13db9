/* config_list.h - the values that are lists; rows of config_value.c. */
#ifndef HERALD_CONF_CONFIG_LIST_H
#define HERALD_CONF_CONFIG_LIST_H

#include <stdbool.h>

struct buf;
struct config_key;
struct error;
struct value_context;

/* Each takes one value and appends it to the list that the field is. */
bool value_parse_listen(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_networks(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_texts(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_hosts(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
bool value_parse_rates(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);
/* Printed and freed as texts are. */
bool value_parse_patterns(void *field, const struct config_key *key, const char *value,
    const struct value_context *context, struct error *err);

/* The elements with ", " between them. */
void value_print_listen(const void *field, const struct config_key *key, struct buf *out);
void value_print_networks(const void *field, const struct config_key *key, struct buf *out);
void value_print_texts(const void *field, const struct config_key *key, struct buf *out);
void value_print_hosts(const void *field, const struct config_key *key, struct buf *out);
void value_print_rates(const void *field, const struct config_key *key, struct buf *out);

void value_clear_listen(void *field);
void value_clear_networks(void *field);
void value_clear_texts(void *field);
void value_clear_hosts(void *field);
void value_clear_rates(void *field);

#endif
