/* send_option.c - what holds for the value of every option of which a mail is made. */
#include "client/send_option.h"

#include "base/text.h"
#include "client/send_file.h"

#include <string.h>
#include <sysexits.h>

#define SHOWN_MAX	160	/* octets of a value that are told */

bool
send_option_refuse(const char *option, const char *octets, size_t len, const char *why,
    struct send_fault *fault)
{
	char shown[SHOWN_MAX];

	text_printable_utf8(shown, sizeof(shown), octets, len);
	return send_fault_set(fault, EX_DATAERR, "%s \"%s\": %s", option, shown, why);
}

bool
send_option_check_path(const char *option, const char *value, struct send_fault *fault)
{
	return strpbrk(value, "\r\n") == NULL || send_option_refuse(option, value, strlen(value),
	    "a line break cannot be sent", fault);
}

bool
send_option_check(const char *option, const char *value, struct send_fault *fault)
{
	const size_t len = strlen(value);

	return send_option_check_path(option, value, fault) && (text_utf8_valid(value, len) ||
	    send_option_refuse(option, value, len, "this is not UTF-8", fault));
}
