/* fuzz_resolver_answer.c - from any octets come outcomes, and hosts that can be written anywhere. */
#include "net/resolver_answer.h"

#include <arpa/nameser.h>
#include <assert.h>
#include <string.h>

#include "fuzz.h"

static void
check_host(const char *host)
{
	size_t len = strlen(host);

	assert(len > 0 && len < RESOLVER_HOST_MAX);
	assert(strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == len);
	assert(host[0] != '.' && host[len - 1] != '.');
}

static void
check_mx(const uint8_t *octets, size_t len, uint64_t seed)
{
	struct resolver_mx records[RESOLVER_MX_MAX];
	struct resolver_answer answer = resolver_answer_mx(octets, len, seed, records);

	assert(answer.text != NULL && answer.count <= RESOLVER_MX_MAX);
	assert((answer.count > 0) == (answer.outcome == RESOLVER_FOUND));
	for (size_t i = 0; i < answer.count; i++) {
		check_host(records[i].host);
		assert(i == 0 || records[i - 1].preference <= records[i].preference);
		for (size_t j = 0; j < i; j++)
			assert(strcmp(records[i].host, records[j].host) != 0);
	}
}

static void
check_addresses(const uint8_t *octets, size_t len, unsigned type)
{
	uint8_t addresses[RESOLVER_ADDRESSES_MAX][16];
	struct resolver_answer answer = resolver_answer_addresses(octets, len, type, addresses);

	assert(answer.text != NULL && answer.count <= RESOLVER_ADDRESSES_MAX);
	assert((answer.count > 0) == (answer.outcome == RESOLVER_FOUND));
	assert(answer.outcome != RESOLVER_NULL_MX);
}

/* With the high bit of the first octet the message begins as an answer does, so that its records
 * are reached; the low bits are how many there are. */
static size_t
begin(uint8_t *packet, uint8_t choice)
{
	const uint8_t start[] = { 0, 0, 0x81, 0x80, 0, 1, 0, choice & 7, 0, 0, 0, 0,
	    1, 'a', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0,
	    0, choice & 0x40 ? ns_t_a : ns_t_mx, 0, ns_c_in };

	if ((choice & 0x80) == 0)
		return 0;
	memcpy(packet, start, sizeof(start));
	return sizeof(start);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	uint8_t packet[4096];
	size_t used;

	if (len < 1 || len > sizeof(packet) - 64)
		return 0;
	used = begin(packet, octets[0]);
	memcpy(packet + used, octets + 1, len - 1);
	used += len - 1;
	check_mx(packet, used, octets[0]);
	check_addresses(packet, used, ns_t_a);
	check_addresses(packet, used, ns_t_aaaa);
	return 0;
}
