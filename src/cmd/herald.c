/* herald.c - the user's client: its command line. */
#include "autoconfig.h"
#include "base/text.h"
#include "cmd/client.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const char usage_text[] =
    "usage: herald greet HOST:PORT [--tls] [--debug]\n"
    "       herald quote HOST:PORT [TEXT...] [--count N] [--timeout 2s] [--debug]\n"
    "       herald -h | -V\n"
    "\n"
    "  greet  connects, unix:PATH too, and prints what the server says\n"
    "  quote  sends TEXT as a datagram and prints the reply; without TEXT a line in,\n"
    "         a reply out, until \"exit\" or the end of the input\n"
    "\n"
    "Exit code 69: the server cannot be reached; 75: no reply came in time.\n";

static const struct {
	const char *name;
	int (*run)(const struct client_command *command);
} verbs[] = {
	{ "greet", client_greet },
	{ "quote", client_quote },
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

enum long_only { OPTION_TLS = 256, OPTION_DEBUG, OPTION_COUNT, OPTION_TIMEOUT };

static const struct option long_options[] = {
	{ "tls", no_argument, NULL, OPTION_TLS },
	{ "debug", no_argument, NULL, OPTION_DEBUG },
	{ "count", required_argument, NULL, OPTION_COUNT },
	{ "timeout", required_argument, NULL, OPTION_TIMEOUT },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

/* -1 to go on, else the exit code. */
static int
take_option(struct client_command *command, int option)
{
	switch (option) {
	case OPTION_TLS:
		command->tls = true;
		return -1;
	case OPTION_DEBUG:
		command->debug = true;
		return -1;
	case OPTION_COUNT:
		command->has_count = true;
		if (text_parse_number(optarg, &command->times) && command->times > 0)
			return -1;
		return client_fail(EX_USAGE, "--count takes a number from 1 up");
	case OPTION_TIMEOUT:
		if (text_parse_duration(optarg, &command->timeout) && command->timeout > 0 &&
		    command->timeout <= 3600)
			return -1;
		return client_fail(EX_USAGE, "--timeout takes 1s to 1h");
	case 'V':
		puts("herald " PACKAGE_VERSION);
		return client_flush(EX_OK);
	case 'h':
		fputs(usage_text, stdout);
		return client_flush(EX_OK);
	default:
		fputs(usage_text, stderr);
		return EX_USAGE;
	}
}

/* A prefix is enough while it is unique. */
static size_t
find_verb(const char *name)
{
	size_t found = VERB_COUNT;

	for (size_t i = 0; i < VERB_COUNT; i++) {
		if (strcmp(verbs[i].name, name) == 0)
			return i;
		if (name[0] != '\0' && text_has_prefix(verbs[i].name, name))
			found = found == VERB_COUNT ? i : VERB_COUNT + 1;
	}
	return found;
}

int
main(int argc, char **argv)
{
	static char name[] = "herald";
	struct client_command command = { .times = 1, .timeout = 2 };
	size_t verb;
	int option;

	signal(SIGPIPE, SIG_IGN);
	if (argc > 0)
		argv[0] = name; /* what getopt_long() begins its messages with */
	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		int exit_code = take_option(&command, option);

		if (exit_code != -1)
			return exit_code;
	}
	if (optind == argc) {
		fputs(usage_text, stderr);
		return EX_USAGE;
	}
	verb = find_verb(argv[optind]);
	if (verb >= VERB_COUNT)
		return client_fail(
		    EX_USAGE, "\"%s\" is no verb, there are: greet, quote", argv[optind]);
	if (++optind == argc)
		return client_fail(EX_USAGE, "%s takes HOST:PORT", verbs[verb].name);
	command.server = argv[optind++];
	command.words = argv + optind;
	command.word_count = argc - optind;
	return verbs[verb].run(&command);
}
