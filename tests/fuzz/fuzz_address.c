/* fuzz_address.c - a path that was accepted is clean, and reads the same again. */
#include "mail/address.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct address first, again;
	char text[ADDRESS_TEXT_MAX + 1], path[ADDRESS_TEXT_MAX + 3];
	size_t used;
	int length;

	if (address_parse_path(&first, (const char *)octets, len, &used) != ADDRESS_OK)
		return 0;
	assert(used <= len);
	address_text(&first, text);
	for (const char *at = text; *at != '\0'; at++)
		assert(*at >= ' ' && *at < 0x7f);
	length = snprintf(path, sizeof(path), "<%s>", text);
	assert(address_parse_path(&again, path, (size_t)length, &used) == ADDRESS_OK);
	assert(used == (size_t)length && address_equal(&first, &again));
	return 0;
}
