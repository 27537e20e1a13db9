/* error.c - why an operation failed, in words an administrator can act on. */
#include "base/error.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool
error_set(struct error *err, enum error_kind kind, const char *fmt, ...)
{
	va_list ap;

	err->kind = kind;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return false;
}

bool
error_prefix(struct error *err, const char *fmt, ...)
{
	char said[sizeof(err->text)];
	va_list ap;
	int len;

	memcpy(said, err->text, sizeof(said));
	va_start(ap, fmt);
	len = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (len >= 0 && (size_t)len + 2 < sizeof(err->text)) {
		memcpy(err->text + len, ": ", 3);
		len += 2;
		/* Cut on purpose: the reason matters more than its last words. */
		text_copy(err->text + len, sizeof(err->text) - (size_t)len, said);
	}
	return false;
}
