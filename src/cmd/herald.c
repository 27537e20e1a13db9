/* herald.c - the user's client: which verb is meant. */
#include "base/text.h"
#include "client/client.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char help[] =
    "usage: herald VERB ...\n"
    "       herald VERB --help\n"
    "       herald -h | -V\n"
    "\n"
    "  greet HOST:PORT            connects, unix:PATH too, and prints what the server says\n"
    "  quote HOST:PORT [TEXT...]  sends TEXT as a datagram and prints the reply\n"
    "  send --from A --to B ...   composes a mail, with HTML, pictures and attachments, and\n"
    "                             sends it\n"
    "  fetch pop3s://USER@HOST    shows mail and saves its attachments\n"
    "\n"
    "A verb may be shortened while it is unique.\n";

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} verbs[] = {
	{ "greet", client_greet },
	{ "quote", client_quote },
	{ "send", client_send },
	{ "fetch", client_fetch },
};

#define VERB_COUNT	(sizeof(verbs) / sizeof(verbs[0]))
#define AMBIGUOUS	(VERB_COUNT + 1)

/* What may stand before the verb, too; the verb's own parser takes them. */
enum { OPTION_OF_VERB = 256 };

static const struct option long_options[] = {
	{ "tls", no_argument, NULL, OPTION_OF_VERB },
	{ "debug", no_argument, NULL, OPTION_OF_VERB },
	{ "count", required_argument, NULL, OPTION_OF_VERB },
	{ "timeout", required_argument, NULL, OPTION_OF_VERB },
	CLIENT_COMMON_OPTIONS
};

/* A prefix is enough while it is unique. */
static size_t
find_verb(const char *name)
{
	size_t found = VERB_COUNT;

	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return i;
		if (name[0] != '\0' && text_has_prefix(verbs[i].name, name))
			found = found == VERB_COUNT ? i : AMBIGUOUS;
	}
	return found;
}

/* No socket or file may become a standard descriptor: messages would go into the dialogue.  What
 * stands in for a closed one fails when it is read, or output is written to it. */
static void
fill_standard_descriptors(void)
{
	static const int modes[] = {
		[STDIN_FILENO] = O_WRONLY, [STDOUT_FILENO] = O_RDONLY, [STDERR_FILENO] = O_WRONLY,
	};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", modes[fd]) != fd)
			exit(EX_OSERR);
}

static int
usage(void)
{
	fputs(help, stderr);
	return EX_USAGE;
}

int
main(int argc, char **argv)
{
	static char name[] = "herald";
	size_t verb;
	int option;

	fill_standard_descriptors();
	signal(SIGPIPE, SIG_IGN);
	if (argc > 0)
		argv[0] = name;		/* what getopt_long() begins its messages with */
	while ((option = getopt_long(argc, argv, "+" CLIENT_SHORT_OPTIONS, long_options,
	    NULL)) != -1) {
		if (option == '?')
			return usage();
		if (option != OPTION_OF_VERB)
			return client_other_option(option, "", help);
	}
	if (optind >= argc)
		return usage();
	verb = find_verb(argv[optind]);
	if (verb >= VERB_COUNT)
		return client_fail(EX_USAGE, "\"%s\" is %s, there are: greet, quote, send, fetch",
		    argv[optind], verb == AMBIGUOUS ? "no single verb" : "no verb");
	memmove(argv + optind, argv + optind + 1, (size_t)(argc - optind) * sizeof(*argv));
	optind = 0;			/* another parser begins (getopt(3)) */
	return verbs[verb].run(argc - 1, argv);
}
