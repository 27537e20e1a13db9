/* heraldctl.c - the administrator's command: verbs, options, exit codes. */
#include "autoconfig.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/ctl_client.h"
#include "cmd/ctl_command.h"
#include "cmd/ctl_print.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define DEFAULT_SOCKET	HERALD_RUNSTATEDIR "/herald/control.sock"

enum long_only { OPTION_JSON = 256, OPTION_STATE, OPTION_SENDER, OPTION_RECIPIENT, OPTION_RELAY,
	OPTION_OLDER, OPTION_LIMIT, OPTION_ALL, OPTION_HEADERS, OPTION_CONTENT,
	OPTION_DRY_RUN };

static const struct option long_options[] = {
	{ "socket", required_argument, NULL, 's' },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "verbose", no_argument, NULL, 'v' },
	{ "state", required_argument, NULL, OPTION_STATE },
	{ "sender", required_argument, NULL, OPTION_SENDER },
	{ "recipient", required_argument, NULL, OPTION_RECIPIENT },
	{ "relay", required_argument, NULL, OPTION_RELAY },
	{ "older", required_argument, NULL, OPTION_OLDER },
	{ "limit", required_argument, NULL, OPTION_LIMIT },
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "headers", no_argument, NULL, OPTION_HEADERS },
	{ "content", no_argument, NULL, OPTION_CONTENT },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
    "usage: heraldctl [-s SOCKET] [--json] VERB ...\n"
    "\n"
    "  status                          version, uptime, queue, counters\n"
    "  health [-v]                     exit 0 when healthy, else 1\n"
    "  reload                          read the conffile anew; 78 when it is refused\n"
    "  queue list [filters] [--limit N]\n"
    "                                  one line a message\n"
    "  queue show ID [--headers | --content]\n"
    "                                  envelope, every attempt, when and why the next one\n"
    "                                  comes; or the mail data\n"
    "  queue retry ID...|-|--all [filters]\n"
    "                                  due now, parked messages too\n"
    "  queue hold|release ID...|-|--all [filters]\n"
    "                                  kept back; due again\n"
    "  queue remove ID...|-|--all [filters]\n"
    "                                  gone, without a report to the sender\n"
    "  queue bounce ID...|-|--all [filters]\n"
    "                                  returned to the sender, with a report\n"
    "  queue reroute RELAY ID...|-|--all [filters]\n"
    "                                  delivered by that relay, whatever the routes say\n"
    "  trace ID|ADDRESS|MESSAGE-ID [--limit N]\n"
    "                                  what became of a mail, delivered ones too\n"
    "  relays                          state of each relay\n"
    "  relay pause|resume RELAY        no mail to it; mail again, and now\n"
    "  route --recipient A [--sender B]\n"
    "                                  which relay would take it, and how\n"
    "  probe RELAY [DOMAIN] [-v]       each step up to AUTH with its time, without mail;\n"
    "                                  -v: the dialogue\n"
    "  rewrite [-f SENDER] [RECIPIENT...] < MESSAGE\n"
    "                                  what envelope and header of this machine's mail become\n"
    "  aliases check [FILE] [-v]       faults in an aliases file; -v: who reads what\n"
    "  user hash [NAME]                reads a password, writes its line for the users file\n"
    "\n"
    "With --dry-run the verbs that change the queue only show what they would act on.\n"
    "Filters: --state STATE, --sender ADDRESS, --recipient ADDRESS, --relay RELAY,\n"
    "--older DURATION (\"2h\").  \"-\" reads ids from standard input.  Verbs may be\n"
    "shortened as long as they are unique.  -s SOCKET, --socket: default\n"
    DEFAULT_SOCKET ".  -V, --version; -h, --help.\n";

bool
command_set_text(json_t *object, const char *key, const char *text)
{
	if (text[0] != '\0' && json_object_set_new(object, key, json_string(text)) == 0)
		return true;
	fprintf(stderr, "heraldctl: %s: allowed is a text that is not empty, in UTF-8\n", key);
	return false;
}

json_t *
command_request(const struct command *command, const char *verb)
{
	json_t *request = json_deep_copy(command->filter);

	json_object_set_new(request, "verb", json_string(verb));
	return request;
}

json_t *
command_ask(const struct command *command, json_t *request, int *exit_code)
{
	char *why = NULL;
	json_t *result = ctl_request(command->socket, request, exit_code, &why);

	if (result == NULL) {
		fprintf(stderr, "heraldctl: %s\n", why);
		free(why);
	}
	return result;
}

int
command_show(const struct command *command, json_t *request, void (*print)(const json_t *result))
{
	int exit_code = EX_OK;
	json_t *result = command_ask(command, request, &exit_code);

	if (result == NULL)
		return exit_code;
	if (command->json) {
		ctl_print_json(result);
	} else {
		ctl_mask_all(result);
		print(result);
	}
	json_decref(result);
	return EX_OK;
}

static int
run_status(struct command *command)
{
	return command_show(command, command_request(command, "status"), ctl_print_status);
}

static void
print_generation(const json_t *status)
{
	printf("generation %" JSON_INTEGER_FORMAT " in force\n",
	    json_integer_value(json_object_get(status, "generation")));
}

static int
run_reload(struct command *command)
{
	return command_show(command, command_request(command, "reload"), print_generation);
}

/* For monitors, which know 0 and 1 only: no answer is not healthy. */
static int
run_health(struct command *command)
{
	char *why = NULL;
	int exit_code;
	json_t *request = command_request(command, "status");
	json_t *status = ctl_request(command->socket, request, &exit_code, &why);
	bool healthy = json_is_true(json_object_get(status, "healthy"));

	if (command->verbose)
		puts(status == NULL ? why : healthy ? "healthy"
		    : "not healthy: the queue's store fails, see the log");
	json_decref(status);
	free(why);
	return healthy ? 0 : 1;
}

/* --- verbs and their prefixes --- */

static const struct verb {
	const char *first, *second;	/* second NULL: a verb of one word */
	const char *name;		/* as the daemon knows it */
	int (*run)(struct command *command);
	bool takes_words, may_be_dry;
} verbs[] = {
	{ "status", NULL, "status", run_status, false, false },
	{ "health", NULL, "status", run_health, false, false },
	{ "reload", NULL, "reload", run_reload, false, false },
	{ "queue", "list", "queue list", command_queue_list, false, false },
	{ "queue", "show", "queue show", command_queue_show, true, false },
	{ "queue", "retry", "queue retry", command_queue_act, true, true },
	{ "queue", "hold", "queue hold", command_queue_act, true, true },
	{ "queue", "release", "queue release", command_queue_act, true, true },
	{ "queue", "remove", "queue remove", command_queue_act, true, true },
	{ "queue", "bounce", "queue bounce", command_queue_act, true, true },
	{ "queue", "reroute", "queue reroute", command_queue_reroute, true, true },
	{ "trace", NULL, "trace", command_trace, true, false },
	{ "relays", NULL, "relays", command_relays, false, false },
	{ "relay", "pause", "relay pause", command_relay_pause, true, false },
	{ "relay", "resume", "relay resume", command_relay_pause, true, false },
	{ "route", NULL, "route", command_route, false, false },
	{ "probe", NULL, "probe", command_probe, true, false },
	{ "rewrite", NULL, "rewrite", command_rewrite, true, false },
	{ "aliases", "check", "aliases check", command_aliases_check, true, false },
	{ "user", "hash", "user hash", command_user_hash, true, false },
};

/* 0: no match, 1: a prefix, 2: the whole word. */
static int
match(const char *word, const char *given)
{
	if (given == NULL || given[0] == '\0' || !text_has_prefix(word, given))
		return 0;
	return strlen(word) == strlen(given) ? 2 : 1;
}

static void
tell_unknown(char **words, int count)
{
	fprintf(stderr, "heraldctl: unknown verb: %s %s\nallowed: ", words[0],
	    count > 1 ? words[1] : "");
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		fprintf(stderr, "%s%s%s%s", i > 0 ? ", " : "", verbs[i].first,
		    verbs[i].second != NULL ? " " : "",
		    verbs[i].second != NULL ? verbs[i].second : "");
	fputc('\n', stderr);
}

/* The rank of a verb for these words: whole words before prefixes; 0: it is another. */
static int
rank(const struct verb *verb, char **words, int count)
{
	int first = match(verb->first, words[0]), second = 2;

	if (verb->second != NULL)
		second = match(verb->second, count > 1 ? words[1] : NULL);
	return first == 0 || second == 0 ? 0 : first + second;
}

/* NULL and a message when the words name no verb or more than one. */
static const struct verb *
find_verb(char **words, int count)
{
	const struct verb *found = NULL;
	int best = 0;
	bool unique = true;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		int this = rank(&verbs[i], words, count);

		if (this > 0 && this == best)
			unique = false;
		if (this <= best)
			continue;
		best = this;
		found = &verbs[i];
		unique = true;
	}
	if (found == NULL)
		tell_unknown(words, count);
	else if (!unique)
		fprintf(stderr, "heraldctl: %s %s is not unique\n", words[0],
		    count > 1 ? words[1] : "");
	return unique ? found : NULL;
}

/* --- options --- */

static bool
set_number(json_t *filter, const char *key, const char *text,
    bool (*parse)(const char *, uint64_t *))
{
	uint64_t value;

	if (!parse(text, &value) || value == 0 || value > INT32_MAX) {
		fprintf(stderr, "heraldctl: --%s %s: allowed is a number above 0%s\n", key, text,
		    parse == text_parse_duration ? " with s, m, h, d or w" : "");
		return false;
	}
	json_object_set_new(filter, key, json_integer((json_int_t)value));
	return true;
}

static bool
set_option(struct command *command, int option, const char *value)
{
	switch (option) {
	case 's':
		command->socket = value;
		return true;
	case 'v':
		command->verbose = true;
		return true;
	case OPTION_JSON:
		command->json = true;
		return true;
	case OPTION_ALL:
		command->all = true;
		return true;
	case OPTION_HEADERS:
		command->headers = true;
		return true;
	case OPTION_CONTENT:
		command->content = true;
		return true;
	case OPTION_DRY_RUN:
		command->dry_run = true;
		return true;
	case OPTION_STATE:
		return command_set_text(command->filter, "state", value);
	case 'f':
	case OPTION_SENDER:
		return command_set_text(command->filter, "sender", value);
	case OPTION_RECIPIENT:
		return command_set_text(command->filter, "recipient", value);
	case OPTION_RELAY:
		return command_set_text(command->filter, "relay", value);
	case OPTION_OLDER:
		return set_number(command->filter, "older", value, text_parse_duration);
	case OPTION_LIMIT:
		return set_number(command->filter, "limit", value, text_parse_number);
	default:
		fputs(usage, stderr);
		return false;
	}
}

static int
run(struct command *command, char **words, int count)
{
	const struct verb *verb;
	int used;

	if (count == 0) {
		fputs(usage, stderr);
		return EX_USAGE;
	}
	verb = find_verb(words, count);
	if (verb == NULL)
		return EX_USAGE;
	used = verb->second != NULL ? 2 : 1;
	command->verb = verb->name;
	command->words = words + used;
	command->word_count = count - used;
	if (command->word_count > 0 && !verb->takes_words) {
		fprintf(stderr, "heraldctl: unexpected argument: %s\n", words[used]);
		return EX_USAGE;
	}
	if (command->dry_run && !verb->may_be_dry) {
		fputs("heraldctl: --dry-run is for the verbs that change the queue\n", stderr);
		return EX_USAGE;
	}
	return verb->run(command);
}

int
main(int argc, char **argv)
{
	struct command command = { .socket = DEFAULT_SOCKET, .filter = json_object() };
	int option, exit_code = EX_OK;

	while ((option = getopt_long(argc, argv, "s:f:vVh", long_options, NULL)) != -1) {
		if (option == 'V' || option == 'h') {
			fputs(option == 'V' ? "heraldctl " PACKAGE_VERSION "\n" : usage, stdout);
			json_decref(command.filter);
			return EX_OK;
		}
		if (!set_option(&command, option, optarg)) {
			json_decref(command.filter);
			return EX_USAGE;
		}
	}
	exit_code = run(&command, argv + optind, argc - optind);
	json_decref(command.filter);
	if (fflush(stdout) != 0 && exit_code == EX_OK)
		exit_code = EX_IOERR;
	return exit_code;
}
