/* refusal.c - why clients were refused, in the few kinds that are counted. */
#include "intake/refusal.h"

#include <stddef.h>

#include "mail/status.h"

static const char *const names[REFUSALS] = {
	[REFUSED_CONNECTIONS] = "too_many_connections",
	[REFUSED_RELAY] = "relay_denied",
	[REFUSED_SIZE] = "too_large",
	[REFUSED_HOPS] = "too_many_hops",
	[REFUSED_STORAGE] = "storage",
	[REFUSED_PROTOCOL] = "protocol",
	[REFUSED_OTHER] = "other",
};

enum refusal
refusal_classify(const struct status *status)
{
	static const struct {
		uint16_t subject, detail;
		enum refusal refusal;
	} rows[] = {
		{ 7, 1, REFUSED_RELAY },
		{ 3, 4, REFUSED_SIZE },
		{ 4, 6, REFUSED_HOPS },
		{ 3, 0, REFUSED_STORAGE },
		{ 3, 1, REFUSED_STORAGE },
	};
	const struct enhanced_code *code = &status->enhanced;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (code->subject == rows[i].subject && code->detail == rows[i].detail)
			return rows[i].refusal;
	return code->subject == 5 ? REFUSED_PROTOCOL : REFUSED_OTHER;
}

const char *
refusal_name(enum refusal refusal)
{
	return names[refusal];
}
