/* network.c - sets of addresses: "127.0.0.0/8", "::1/128", "192.0.2.7". */
#include "net/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

static const uint8_t v4_mapped[12] = { [10] = 0xff, [11] = 0xff };	/* RFC 4291 2.5.5.2 */

/* Zeroes what lies behind the first `bits`. */
static void
mask(uint8_t octets[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits > i * 8 ? bits - i * 8 : 0;

		if (kept < 8)
			octets[i] &= (uint8_t)(0xff00u >> kept);
	}
}

static bool
parse_address(struct network *out, const char *text)
{
	if (inet_pton(AF_INET, text, out->octets) == 1) {
		out->is_v4 = true;
		out->bits = 32;
		return true;
	}
	out->bits = 128;
	return inet_pton(AF_INET6, text, out->octets) == 1;
}

static bool
check_host_bits(const struct network *network, const char *text, struct error *err)
{
	char base[INET6_ADDRSTRLEN];
	uint8_t masked[16];

	memcpy(masked, network->octets, sizeof(masked));
	mask(masked, network->bits);
	if (memcmp(masked, network->octets, sizeof(masked)) == 0)
		return true;
	inet_ntop(network->is_v4 ? AF_INET : AF_INET6, masked, base, sizeof(base));
	return error_set(err, ERROR_CONFIG, "\"%s\" has bits set behind the prefix; the network"
	    " is %s/%u", text, base, network->bits);
}

bool
network_parse(struct network *out, const char *text, struct error *err)
{
	struct network network = { .bits = 0 };
	char address[INET6_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
	uint64_t bits;

	if (len >= sizeof(address))
		goto fail;
	memcpy(address, text, len);
	address[len] = '\0';
	if (!parse_address(&network, address))
		goto fail;
	if (slash != NULL) {
		if (!text_parse_number(slash + 1, &bits) || bits > network.bits)
			return error_set(err, ERROR_CONFIG, "\"%s\": the prefix is a number"
			    " from 0 to %u", text, network.bits);
		network.bits = (uint8_t)bits;
	}
	if (!check_host_bits(&network, text, err))
		return false;
	/* Clients are compared as v4 where they are, so their networks are too. */
	if (!network.is_v4 && network.bits >= 96 && memcmp(network.octets, v4_mapped, 12) == 0) {
		memmove(network.octets, network.octets + 12, 4);
		memset(network.octets + 4, 0, 12);
		network.bits = (uint8_t)(network.bits - 96);
		network.is_v4 = true;
	}
	*out = network;
	return true;
fail:
	return error_set(err, ERROR_CONFIG, "\"%s\" is no address and no network, as 192.0.2.7"
	    " or 2001:db8::/32", text);
}

void
network_list_add(struct network_list *list, const struct network *network)
{
	list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = *network;
}

void
network_list_free(struct network_list *list)
{
	free(list->items);
	*list = (struct network_list){ .items = NULL };
}

/* False when it is no internet address. */
static bool
from_sockaddr(struct network *out, const struct sockaddr *address)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	*out = (struct network){ .bits = 0 };
	if (address->sa_family == AF_INET) {
		memcpy(&in, address, sizeof(in));
		memcpy(out->octets, &in.sin_addr, 4);
		out->is_v4 = true;
	} else if (address->sa_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		out->is_v4 = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
		if (out->is_v4)
			memcpy(out->octets, in6.sin6_addr.s6_addr + 12, 4);
		else
			memcpy(out->octets, in6.sin6_addr.s6_addr, 16);
	} else {
		return false;
	}
	return true;
}

bool
network_list_has(const struct network_list *list, const struct sockaddr *address)
{
	struct network client;

	if (!from_sockaddr(&client, address))
		return false;
	for (size_t i = 0; i < list->count; i++) {
		const struct network *network = &list->items[i];
		uint8_t masked[16];

		if (network->is_v4 != client.is_v4)
			continue;
		memcpy(masked, client.octets, sizeof(masked));
		mask(masked, network->bits);
		if (memcmp(masked, network->octets, sizeof(masked)) == 0)
			return true;
	}
	return false;
}

bool
network_allows(const struct network_list *allow, const struct network_list *deny,
    const struct sockaddr *address)
{
	if (network_list_has(deny, address))
		return false;
	return allow->count == 0 || network_list_has(allow, address);
}
