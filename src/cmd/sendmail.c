/* sendmail.c - herald-sendmail: hands mail to heraldd as sendmail would take it. */
#include "autoconfig.h"
#include "base/log.h"
#include "base/text.h"
#include "cmd/sendmail.h"
#include "cmd/sendmail_options.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <syslog.h>
#include <unistd.h>

#define SHOWN_MAX	256	/* octets of what a caller wrote in a line of the log */

static const char usage_text[] =
    "usage: sendmail [-t] [-i] [-v] [-f SENDER] [-F NAME] [-B 7BIT|8BITMIME]\n"
    "                [-N NOTIFY] [-R full|hdrs] [-V ENVID] [-L LABEL] [--] [RECIPIENT...]\n"
    "       sendmail -bs | -bp | -bi | -bv ADDRESS... | -q\n"
    "       mailq | newaliases\n"
    "\n"
    "Reads a message from standard input and hands it to heraldd.  Exit code 0: it is in the\n"
    "queue; 75: try again later; else it is refused, and standard error says why.\n";

static const char *
from_environment(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : otherwise;
}

const char *
sendmail_control_socket(void)
{
	return from_environment("HERALD_CONTROL_SOCKET",
	    HERALD_RUNSTATEDIR "/herald/control.sock");
}

/* No socket may become a standard descriptor: messages would go into the dialogue.  What stands
 * in for a closed one fails when it is read, lest an empty mail is sent. */
static void
fill_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_WRONLY);
	while (fd != -1 && fd <= STDERR_FILENO);
	if (fd == -1)
		exit(EX_OSERR);
	close(fd);
}

static void
set_up_log(const struct sendmail_options *options)
{
	struct log_settings settings = {
		.target = LOG_TARGET_SYSLOG, .level = LOG_LEVEL_INFO, .facility = LOG_MAIL,
		.ident = "herald",
	};

	if (options->label != NULL && options->label[0] != '\0')
		text_printable(settings.ident, sizeof(settings.ident), options->label,
		    strlen(options->label));
	log_configure(&settings);
}

static void
warn_of_ignored(const struct sendmail_options *options)
{
	char shown[SHOWN_MAX];

	for (size_t i = 0; i < options->ignored_count && i < 10; i++) {
		text_copy(shown, sizeof(shown), options->ignored[i]);
		sendmail_warn("uid %u: the option \"%s\" is not known or lacks its value, and is "
		    "passed over", (unsigned)getuid(), shown);
	}
}

static int
flushed(int exit_code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return exit_code;
	return exit_code == EX_OK ? sendmail_fail(EX_IOERR, "cannot write to standard output") :
	    exit_code;
}

static int
update_aliases(const struct sendmail_options *options)
{
	if (options->verbose)
		puts("heraldd reads the aliases when it starts and at heraldctl reload; there is "
		    "nothing to build");
	return EX_OK;
}

static int
run(const struct sendmail_options *options)
{
	switch (options->mode) {
	case SENDMAIL_DELIVER:
		return sendmail_deliver(options);
	case SENDMAIL_LIST:
		return flushed(sendmail_list(options));
	case SENDMAIL_ALIASES:
		return flushed(update_aliases(options));
	case SENDMAIL_SMTP:
		return sendmail_smtp(options);
	case SENDMAIL_VERIFY:
		return flushed(sendmail_verify(options));
	case SENDMAIL_FLUSH:
		return flushed(sendmail_flush(options));
	case SENDMAIL_REFUSED:
		return sendmail_fail(EX_USAGE, "%s is not for herald-sendmail: the daemon is "
		    "heraldd", options->refused);
	case SENDMAIL_HELP:
		fputs(usage_text, stdout);
		return flushed(EX_OK);
	case SENDMAIL_VERSION:
		puts("herald-sendmail " PACKAGE_VERSION);
		return flushed(EX_OK);
	}
	return EX_SOFTWARE;
}

int
main(int argc, char **argv)
{
	struct sendmail_options options;
	int exit_code;

	fill_standard_descriptors();
	signal(SIGPIPE, SIG_IGN);
	sendmail_options_parse(&options, argc, argv);
	set_up_log(&options);
	warn_of_ignored(&options);
	exit_code = run(&options);
	sendmail_options_clear(&options);
	return exit_code;
}
