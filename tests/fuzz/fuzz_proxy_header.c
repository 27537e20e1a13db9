/* fuzz_proxy_header.c - a header that is one needs all of its octets, and none behind them. */
#include "proto/proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

static void
assert_address(const struct proxy_header *header)
{
	struct in6_addr address;

	assert(inet_pton(header->is_ipv6 ? AF_INET6 : AF_INET, header->address, &address) == 1);
	assert(!header->is_ipv6 || !IN6_IS_ADDR_V4MAPPED(&address));
}

/* Of `len` octets alone, in memory of their own. */
static enum proxy_result
parse(const uint8_t *octets, size_t len, struct proxy_header *out, size_t *used)
{
	char *copy = malloc(len > 0 ? len : 1);
	enum proxy_result result;

	if (copy == NULL)
		abort();
	memcpy(copy, octets, len);
	result = proxy_header_parse(copy, len, out, used);
	free(copy);
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct proxy_header header, again;
	size_t used = 0, part_used = 0;
	enum proxy_result result, part;

	result = parse(octets, len, &header, &used);
	if (result == PROXY_NEEDS_MORE)
		assert(len < PROXY_HEADER_MAX);
	if (result == PROXY_FOUND)
		assert_address(&header);
	if (result != PROXY_FOUND && result != PROXY_LOCAL && result != PROXY_UNNAMED)
		used = len;
	assert(used <= len && used <= (result == PROXY_BAD ? len : PROXY_HEADER_MAX));
	/* Cut anywhere before its end it is undecided, or bad as the whole. */
	for (size_t cut = 0; cut < used; cut++) {
		part = parse(octets, cut, &again, &part_used);
		assert(part == PROXY_NEEDS_MORE || (part == PROXY_BAD && result == PROXY_BAD));
	}
	return 0;
}
