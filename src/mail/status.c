/* status.c - what a server, or herald itself, said about a delivery. */
#include "mail/status.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* RFC 3463 2: each part is one to three digits.  Returns the octets read, 0: no number. */
static size_t
read_part(const char *text, size_t len, uint16_t *out)
{
	size_t n = 0;
	unsigned value = 0;

	while (n < len && n < 3 && text[n] >= '0' && text[n] <= '9')
		value = value * 10 + (unsigned)(text[n++] - '0');
	*out = (uint16_t)value;
	return n;
}

size_t
enhanced_code_parse(struct enhanced_code *out, const char *text, size_t len)
{
	struct enhanced_code code;
	size_t used, part;

	if (len < 2 || (text[0] != '2' && text[0] != '4' && text[0] != '5') || text[1] != '.')
		return 0;
	code.class = (uint8_t)(text[0] - '0');
	used = 2;
	part = read_part(text + used, len - used, &code.subject);
	used += part;
	if (part == 0 || used >= len || text[used] != '.')
		return 0;
	used++;
	part = read_part(text + used, len - used, &code.detail);
	used += part;
	/* "5.7.2.3" and "5.7.1234" are text, not codes. */
	if (part == 0 || (used < len && text[used] != ' ' && text[used] != '\t'))
		return 0;
	*out = code;
	return used;
}

enum status_class
status_class(const struct status *status)
{
	unsigned class = status->reply_code / 100u;

	if (status->reply_code == 0)
		class = status->enhanced.class;
	if (class == 2)
		return STATUS_SUCCESS;
	return class == 5 ? STATUS_PERMANENT : STATUS_TRANSIENT;
}

/* The words are ours, but arguments may come from elsewhere: whatever is not printable
 * becomes a question mark, while escapes that were made before stay as they are. */
static void __attribute__((format(printf, 2, 0)))
format_text(char out[STATUS_TEXT_MAX], const char *fmt, va_list ap)
{
	vsnprintf(out, STATUS_TEXT_MAX, fmt, ap);
	for (char *c = out; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
}

struct status
status_local(const char *enhanced, const char *fmt, ...)
{
	struct status status = { .reply_code = 0 };
	va_list ap;

	enhanced_code_parse(&status.enhanced, enhanced, strlen(enhanced));
	va_start(ap, fmt);
	format_text(status.text, fmt, ap);
	va_end(ap);
	return status;
}

struct status
status_reply(uint16_t reply_code, const char *enhanced, const char *fmt, ...)
{
	struct status status = { .reply_code = reply_code };
	va_list ap;

	enhanced_code_parse(&status.enhanced, enhanced, strlen(enhanced));
	va_start(ap, fmt);
	format_text(status.text, fmt, ap);
	va_end(ap);
	return status;
}

struct status
status_parse(uint16_t reply_code, const char *text, size_t len)
{
	struct status status = { .reply_code = reply_code };
	struct enhanced_code code;
	size_t used = enhanced_code_parse(&code, text, len);

	if (used != 0 && code.class == (int)status_class(&status)) {
		status.enhanced = code;
		while (used < len && text[used] == ' ')
			used++;
		text += used;
		len -= used;
	}
	text_printable(status.text, sizeof(status.text), text, len);
	return status;
}

const char *
status_dsn(const struct status *status, char out[STATUS_DSN_MAX])
{
	bool has_code = status->enhanced.class != 0;
	unsigned class = has_code ? status->enhanced.class % 10u : status_class(status);
	char *at = text_number(out, class);

	*at++ = '.';
	at = text_number(at, has_code ? status->enhanced.subject % 1000u : 0);
	*at++ = '.';
	text_number(at, has_code ? status->enhanced.detail % 1000u : 0);
	return out;
}

const char *
status_text(const struct status *status, char *out, size_t size)
{
	char codes[16 + STATUS_DSN_MAX] = "", *at = codes;

	if (status->reply_code != 0)
		at = text_number(at, status->reply_code);
	if (status->reply_code != 0 && status->enhanced.class != 0) {
		*at++ = ' ';
		at += strlen(status_dsn(status, at));
	}
	if (at > codes && status->text[0] != '\0')
		*at++ = ' ';
	*at = '\0';
	text_copy(out, size, codes);
	if (size > (size_t)(at - codes))
		text_copy(out + (at - codes), size - (size_t)(at - codes), status->text);
	return out;
}
