/* fuzz_address.c - a path that was accepted is clean, and reads the same again. */
#include "mail/address.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t len)
{
	struct address first, again;
	char text[ADDRESS_TEXT_MAX + 1], path[ADDRESS_TEXT_MAX + 3];
	char domain[ADDRESS_DOMAIN_MAX + 1];
	size_t used;
	int length;

	if (address_parse_path(&first, (const char *)octets, len, true, &used) != ADDRESS_OK)
		return 0;
	assert(used <= len);
	address_text(&first, text);
	for (const char *at = text; *at != '\0'; at++)
		assert((unsigned char)*at >= ' ' && *at != 0x7f);
	assert(text_utf8_valid(text, strlen(text)));
	if (address_domain_ascii(&first, domain))
		for (const char *at = domain; *at != '\0'; at++)
			assert(isalnum((unsigned char)*at) || strchr("-_.[]:", *at) != NULL);
	length = snprintf(path, sizeof(path), "<%s>", text);
	assert(address_parse_path(&again, path, (size_t)length, true, &used) == ADDRESS_OK);
	assert(used == (size_t)length && address_equal(&first, &again));
	return 0;
}
