/* access.c - who may relay, and how many sessions a client may hold. */
#include "intake/access.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "conf/config.h"
#include "net/endpoint.h"
#include "net/network.h"

/* A count is kept in the value itself: none is no entry. */
struct access {
	struct map *tcp_by_block;
	struct map *local_by_block;	/* over UNIX sockets */
	struct map *by_client;		/* "BLOCK CLIENT" */
};

bool
access_may_relay(const struct submission_config *section, const struct endpoint *peer)
{
	if (peer->kind == ENDPOINT_UNIX)
		return true;
	return network_list_has(&section->allow, &peer->address.any);
}

static void
write_network(const struct endpoint *peer, char out[ACCESS_KEY_MAX])
{
	char host[ENDPOINT_ADDRESS_MAX];
	struct in6_addr network;

	endpoint_host(peer, host);
	if (inet_pton(AF_INET6, host, &network) != 1) {
		snprintf(out, ACCESS_KEY_MAX, "%s", host);
		return;
	}
	memset(network.s6_addr + 8, 0, 8);
	inet_ntop(AF_INET6, &network, host, sizeof(host));
	snprintf(out, ACCESS_KEY_MAX, "%s/64", host);
}

struct access_client
access_client_of(const struct endpoint *peer, unsigned uid)
{
	struct access_client client = { .is_local = peer->kind == ENDPOINT_UNIX };

	if (client.is_local)
		snprintf(client.key, sizeof(client.key), "uid %u", uid);
	else if (endpoint_is_loopback(peer))
		snprintf(client.key, sizeof(client.key), "loopback");
	else
		write_network(peer, client.key);
	return client;
}

struct access *
access_new(void)
{
	struct access *access = mem_zalloc(sizeof(*access));

	access->tcp_by_block = map_new();
	access->local_by_block = map_new();
	access->by_client = map_new();
	return access;
}

void
access_free(struct access *access)
{
	if (access == NULL)
		return;
	map_free(access->tcp_by_block);
	map_free(access->local_by_block);
	map_free(access->by_client);
	free(access);
}

static uintptr_t
count_of(const struct map *map, const char *key)
{
	return (uintptr_t)map_get(map, key);
}

static void
set_count(struct map *map, const char *key, uintptr_t count)
{
	if (count > 0)
		map_put(map, key, (void *)count);
	else
		map_remove(map, key);
}

/* A flood over TCP does not lock out the users of the machine, who are counted apart. */
static struct map *
totals_of(const struct access *access, const struct access_client *client)
{
	return client->is_local ? access->local_by_block : access->tcp_by_block;
}

enum access_verdict
access_enter(struct access *access, const struct submission_config *section,
    const struct access_client *client)
{
	char *key = mem_printf("%s %s", section->name, client->key);
	struct map *totals = totals_of(access, client);
	uintptr_t of_block = count_of(totals, section->name);
	uintptr_t of_client = count_of(access->by_client, key);
	enum access_verdict verdict = ACCESS_OK;

	if (of_block >= section->max_connections) {
		verdict = ACCESS_FULL;
	} else if (client->key[0] == '\0') {
		set_count(totals, section->name, of_block + 1);
	} else if (of_client >= section->max_connections_per_client) {
		verdict = ACCESS_CLIENT_FULL;
	} else {
		set_count(totals, section->name, of_block + 1);
		set_count(access->by_client, key, of_client + 1);
	}
	free(key);
	return verdict;
}

static void
count_down(struct map *map, const char *key)
{
	uintptr_t count = count_of(map, key);

	assert(count > 0);
	set_count(map, key, count - 1);
}

void
access_leave(struct access *access, const char *block, const struct access_client *client)
{
	char *key = mem_printf("%s %s", block, client->key);

	count_down(totals_of(access, client), block);
	if (client->key[0] != '\0')
		count_down(access->by_client, key);
	free(key);
}

bool
access_is_stressed(const struct access *access, const struct submission_config *section,
    const struct access_client *client)
{
	uintptr_t of_block = count_of(totals_of(access, client), section->name);

	return of_block > section->max_connections / 4 * 3 + section->max_connections % 4 * 3 / 4;
}
