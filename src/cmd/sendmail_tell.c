/* sendmail_tell.c - what herald-sendmail says: to its caller, and to the log. */
#include "base/log.h"
#include "base/text.h"
#include "cmd/sendmail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void __attribute__((format(printf, 2, 0)))
tell_log(enum log_level level, const char *fmt, va_list arguments)
{
	char text[1024], shown[1024];

	vsnprintf(text, sizeof(text), fmt, arguments);
	text_printable(shown, sizeof(shown), text, strlen(text));
	log_write(level, "sendmail", "%s", shown);
}

/* Some callers look neither at the words nor at the exit code: the administrator does. */
int
sendmail_fail(int exit_code, const char *fmt, ...)
{
	va_list arguments;

	fputs("sendmail: ", stderr);
	va_start(arguments, fmt);
	vfprintf(stderr, fmt, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	va_start(arguments, fmt);
	tell_log(LOG_LEVEL_ERROR, fmt, arguments);
	va_end(arguments);
	return exit_code;
}

void
sendmail_warn(const char *fmt, ...)
{
	va_list arguments;

	va_start(arguments, fmt);
	tell_log(LOG_LEVEL_WARNING, fmt, arguments);
	va_end(arguments);
}
