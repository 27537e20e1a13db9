/* network.h - sets of addresses: "127.0.0.0/8", "::1/128", "192.0.2.7". */
#ifndef HERALD_NET_NETWORK_H
#define HERALD_NET_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct error;
struct sockaddr;

struct network { uint8_t octets[16]; uint8_t bits; bool is_v4; };	/* a value */
struct network_list { struct network *items; size_t count; };

/* Host bits must be zero: "127.0.0.1/8" is refused, saying 127.0.0.0/8. */
bool network_parse(struct network *out, const char *text, struct error *err)
    __attribute__((warn_unused_result));
void network_list_add(struct network_list *list, const struct network *network);
void network_list_free(struct network_list *list);

/* A v4-mapped v6 address counts as v4.  A UNIX socket's peer is in no network. */
bool network_list_has(const struct network_list *list, const struct sockaddr *address);
/* Allowed: not in `deny`, and in `allow` or `allow` empty. */
bool network_allows(const struct network_list *allow, const struct network_list *deny,
    const struct sockaddr *address);

#endif
