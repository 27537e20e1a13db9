/* every_string.h - all strings of what matters at the end of mail data, up to nine octets. */
#ifndef HERALD_TESTS_EVERY_STRING_H
#define HERALD_TESTS_EVERY_STRING_H

#include <stddef.h>
#include <string.h>

#define EVERY_STRING_LENGTH	9
#define EVERY_STRING_COUNT	2441406		/* RULES E27 */

/* Returns how many there were. */
static inline unsigned long long
for_every_string(void (*each)(void *arg, const char *in, size_t len), void *arg)
{
	static const char alphabet[] = { '\r', '\n', '.', 'x', '\0' };
	size_t digits[EVERY_STRING_LENGTH] = { 0 }, place;
	char in[EVERY_STRING_LENGTH];
	unsigned long long count = 1;

	each(arg, "", 0);
	for (size_t len = 1; len <= EVERY_STRING_LENGTH; len++) {
		memset(digits, 0, sizeof(digits));
		memset(in, alphabet[0], sizeof(in));
		do {
			each(arg, in, len);
			count++;
			for (place = 0; place < len; place++) {
				digits[place] = (digits[place] + 1) % sizeof(alphabet);
				in[place] = alphabet[digits[place]];
				if (digits[place] != 0)
					break;
			}
		} while (place < len);
	}
	return count;
}

#endif
