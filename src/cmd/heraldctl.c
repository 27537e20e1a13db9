/* heraldctl.c - the administrator's command: verbs, options, exit codes. */
#include "autoconfig.h"
#include "base/mem.h"
#include "base/text.h"
#include "cmd/ctl_client.h"
#include "cmd/ctl_print.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define DRY_RUN_MAX	10000	/* messages; what queue list gives at most */
#define DEFAULT_SOCKET	HERALD_RUNSTATEDIR "/herald/control.sock"

struct command {
	const char *socket;
	bool json, verbose, all, headers, content, dry_run;
	json_t *filter;			/* keys of the request that options gave */
	char **ids;			/* operands behind the verb; borrowed from argv */
	int id_count;
};

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
    "  queue list [filters] [--limit N]\n"
    "                                  one line a message\n"
    "  queue show ID [--headers | --content]\n"
    "                                  envelope, attempts, next attempt; or the mail data\n"
    "  queue retry ID...|-|--all [filters]\n"
    "                                  due now, parked messages too\n"
    "  queue remove ID...|-|--all [filters]\n"
    "                                  gone, without a report to the sender\n"
    "  reload                          read the conffile anew; 78 when it is refused\n"
    "\n"
    "With --dry-run retry and remove only show what they would act on.\n"
    "Filters: --state STATE, --sender ADDRESS, --recipient ADDRESS, --relay RELAY,\n"
    "--older DURATION (\"2h\").  \"-\" reads ids from standard input.  Verbs may be\n"
    "shortened as long as they are unique.  -s SOCKET, --socket: default\n"
    DEFAULT_SOCKET ".  -V, --version; -h, --help.\n";

/* An empty filter would narrow nothing, and what is not UTF-8 has no JSON form. */
static bool
set_text(json_t *filter, const char *key, const char *text)
{
	if (text[0] != '\0' && json_object_set_new(filter, key, json_string(text)) == 0)
		return true;
	fprintf(stderr, "heraldctl: %s: allowed is a text that is not empty, in UTF-8\n", key);
	return false;
}

static json_t *
request_of(const char *verb, const struct command *command)
{
	json_t *request = json_deep_copy(command->filter);

	json_object_set_new(request, "verb", json_string(verb));
	return request;
}

/* NULL when it failed: then the message is on stderr and *exit_code set. */
static json_t *
ask(const struct command *command, json_t *request, int *exit_code)
{
	char *why = NULL;
	json_t *result = ctl_request(command->socket, request, exit_code, &why);

	if (result == NULL) {
		fprintf(stderr, "heraldctl: %s\n", why);
		free(why);
	}
	return result;
}

static int
run_status(struct command *command)
{
	int exit_code = EX_OK;
	json_t *status = ask(command, request_of("status", command), &exit_code);

	if (status == NULL)
		return exit_code;
	if (command->json)
		ctl_print_json(status);
	else
		ctl_print_status(status);
	json_decref(status);
	return EX_OK;
}

/* For monitors, which know 0 and 1 only: no answer is not healthy. */
static int
run_health(struct command *command)
{
	char *why = NULL;
	int exit_code;
	json_t *status = ctl_request(command->socket, request_of("status", command), &exit_code,
	    &why);
	bool healthy = json_is_true(json_object_get(status, "healthy"));

	if (command->verbose)
		puts(status == NULL ? why : healthy ? "healthy"
		    : "not healthy: the queue's store fails, see the log");
	json_decref(status);
	free(why);
	return healthy ? 0 : 1;
}

static int
run_reload(struct command *command)
{
	int exit_code = EX_OK;
	json_t *status = ask(command, request_of("reload", command), &exit_code);

	if (status == NULL)
		return exit_code;
	if (command->json)
		ctl_print_json(status);
	else
		printf("generation %" JSON_INTEGER_FORMAT " in force\n",
		    json_integer_value(json_object_get(status, "generation")));
	json_decref(status);
	return EX_OK;
}

static int
run_list(struct command *command)
{
	int exit_code = EX_OK;
	json_t *messages = ask(command, request_of("queue list", command), &exit_code);

	if (messages == NULL)
		return exit_code;
	if (command->json)
		ctl_print_json(messages);
	else
		ctl_print_list(messages);
	json_decref(messages);
	return EX_OK;
}

/* What a stranger wrote must not command the terminal (RULES L1); a file or a pipe gets the
 * octets as they are. */
static void
print_content(const char *text, size_t len)
{
	bool shown = isatty(STDOUT_FILENO) == 1;

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		/* U+0080 to U+009F are controls, too. */
		bool is_c1 = c == 0xc2 && i + 1 < len && (unsigned char)text[i + 1] < 0xa0;
		bool is_control = (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7f;

		putchar(shown && (is_c1 || is_control) ? '?' : c);
		if (shown && is_c1)
			i++;
	}
}

static int
show_content(struct command *command)
{
	json_t *request = request_of("queue content", command), *text;
	int exit_code = EX_OK;

	json_object_set_new(request, "headers", json_boolean(command->headers));
	text = ask(command, request, &exit_code);
	if (text == NULL)
		return exit_code;
	if (command->json)
		ctl_print_json(text);
	else
		print_content(json_string_value(text), json_string_length(text));
	json_decref(text);
	return EX_OK;
}

static int
run_show(struct command *command)
{
	int exit_code = EX_OK;
	json_t *messages;

	if (command->id_count != 1) {
		fputs("heraldctl: queue show needs one id\n", stderr);
		return EX_USAGE;
	}
	if (!set_text(command->filter, "id", command->ids[0]))
		return EX_USAGE;
	if (command->headers || command->content)
		return show_content(command);
	messages = ask(command, request_of("queue list", command), &exit_code);
	if (messages == NULL)
		return exit_code;
	if (json_array_size(messages) == 0) {
		fprintf(stderr, "heraldctl: no message %s in the queue\n", command->ids[0]);
		exit_code = EX_NOINPUT;
	} else if (command->json) {
		ctl_print_json(json_array_get(messages, 0));
	} else {
		ctl_print_message(json_array_get(messages, 0));
	}
	json_decref(messages);
	return exit_code;
}

/* What is being sent, or reported, is left alone; of others, those in the state asked for. */
static bool
would_change(const struct command *command, const json_t *recipient)
{
	const char *wanted = json_string_value(json_object_get(command->filter, "state"));
	const char *state = json_string_value(json_object_get(recipient, "state"));

	return state != NULL && strcmp(state, "active") != 0 && strcmp(state, "failed") != 0 &&
	    (wanted == NULL || strcmp(state, wanted) == 0);
}

/* --dry-run: what the filter finds, and how many recipients that is. */
static json_int_t
show_touched(const struct command *command, const json_t *messages)
{
	json_int_t count = 0;

	for (size_t i = 0; i < json_array_size(messages); i++) {
		json_t *recipients = json_object_get(json_array_get(messages, i), "recipients");

		for (size_t k = 0; k < json_array_size(recipients); k++)
			count += would_change(command, json_array_get(recipients, k));
	}
	if (!command->json)
		ctl_print_list(messages);
	if (json_array_size(messages) >= DRY_RUN_MAX)
		fprintf(stderr, "heraldctl: there are more than the %d messages shown\n",
		    DRY_RUN_MAX);
	return count;
}

/* One request for one id, or for --all when id is NULL; adds to *changed. */
static int
act_on(struct command *command, const char *verb, const char *id, json_int_t *changed)
{
	json_t *request = request_of(command->dry_run ? "queue list" : verb, command), *result;
	int exit_code = EX_OK;
	json_int_t touched;

	if (id != NULL)
		json_object_set_new(request, "id", json_string(id));
	else
		json_object_set_new(request, "all", json_true());
	if (command->dry_run)
		json_object_set_new(request, "limit", json_integer(DRY_RUN_MAX));
	result = ask(command, request, &exit_code);
	if (result == NULL)
		return exit_code;
	touched = command->dry_run ? show_touched(command, result) : json_integer_value(result);
	*changed += touched;
	if (id != NULL && touched == 0) {
		fprintf(stderr, "heraldctl: nothing to do for %s: it is not in the queue, or "
		    "is being sent\n", id);
		exit_code = EX_NOINPUT;
	}
	json_decref(result);
	return exit_code;
}

/* The first word of each line; the lines of `queue list` will do. */
static int
act_on_stdin(struct command *command, const char *verb, json_int_t *changed)
{
	char *line = NULL;
	size_t size = 0;
	int exit_code = EX_OK;

	while (getline(&line, &size, stdin) != -1) {
		int one;

		line[strcspn(line, " \t\r\n")] = '\0';
		if (line[0] == '\0')
			continue;
		one = act_on(command, verb, line, changed);
		if (one != EX_OK)
			exit_code = one;
	}
	free(line);
	return exit_code;
}

static int
act(struct command *command, const char *verb)
{
	int exit_code = EX_OK;
	json_int_t changed = 0;

	if (json_object_get(command->filter, "limit") != NULL) {
		fprintf(stderr, "heraldctl: --limit is for queue list, not for %s\n", verb);
		return EX_USAGE;
	}
	if (command->all == (command->id_count > 0)) {
		fprintf(stderr, "heraldctl: %s needs ids, \"-\" or --all\n", verb);
		return EX_USAGE;
	}
	if (command->all)
		exit_code = act_on(command, verb, NULL, &changed);
	for (int i = 0; i < command->id_count; i++) {
		int one = strcmp(command->ids[i], "-") == 0
		    ? act_on_stdin(command, verb, &changed)
		    : act_on(command, verb, command->ids[i], &changed);

		if (one != EX_OK)
			exit_code = one;
	}
	if (command->json)
		printf("{\"changed\": %" JSON_INTEGER_FORMAT "}\n", changed);
	else
		printf("%" JSON_INTEGER_FORMAT "%s changed\n", changed,
		    command->dry_run ? " recipients would be" : "");
	return exit_code;
}

static int
run_retry(struct command *command)
{
	return act(command, "queue retry");
}

static int
run_remove(struct command *command)
{
	return act(command, "queue remove");
}

/* --- verbs and their prefixes --- */

static const struct verb {
	const char *first, *second;	/* second NULL: a verb of one word */
	int (*run)(struct command *command);
} verbs[] = {
	{ "status", NULL, run_status },
	{ "health", NULL, run_health },
	{ "reload", NULL, run_reload },
	{ "queue", "list", run_list },
	{ "queue", "show", run_show },
	{ "queue", "retry", run_retry },
	{ "queue", "remove", run_remove },
};

/* 0: no match, 1: a prefix, 2: the whole word. */
static int
match(const char *word, const char *given)
{
	if (given == NULL || given[0] == '\0' || !text_has_prefix(word, given))
		return 0;
	return strlen(word) == strlen(given) ? 2 : 1;
}

/* NULL and a message when the words name no verb or more than one. */
static const struct verb *
find_verb(char **words, int count)
{
	const struct verb *found = NULL;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb *verb = &verbs[i];

		if (match(verb->first, words[0]) == 0 || (verb->second != NULL &&
		    match(verb->second, count > 1 ? words[1] : NULL) == 0))
			continue;
		if (verb->second != NULL && match(verb->second, words[1]) == 2)
			return verb;
		if (found != NULL) {
			fprintf(stderr, "heraldctl: %s %s is not unique\n", words[0],
			    count > 1 ? words[1] : "");
			return NULL;
		}
		found = verb;
	}
	if (found == NULL)
		fprintf(stderr, "heraldctl: unknown verb: %s %s\nallowed: status, health, reload, "
		    "queue list, queue show, queue retry, queue remove\n", words[0],
		    count > 1 ? words[1] : "");
	return found;
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
		return set_text(command->filter, "state", value);
	case OPTION_SENDER:
		return set_text(command->filter, "sender", value);
	case OPTION_RECIPIENT:
		return set_text(command->filter, "recipient", value);
	case OPTION_RELAY:
		return set_text(command->filter, "relay", value);
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
	command->ids = words + used;
	command->id_count = count - used;
	if (command->id_count > 0 && (verb->second == NULL || verb->run == run_list)) {
		fprintf(stderr, "heraldctl: unexpected argument: %s\n", words[used]);
		return EX_USAGE;
	}
	if (command->dry_run && verb->run != run_retry && verb->run != run_remove) {
		fprintf(stderr, "heraldctl: --dry-run is for queue retry and queue remove\n");
		return EX_USAGE;
	}
	return verb->run(command);
}

int
main(int argc, char **argv)
{
	struct command command = { .socket = DEFAULT_SOCKET, .filter = json_object() };
	int option, exit_code = EX_OK;

	while ((option = getopt_long(argc, argv, "s:vVh", long_options, NULL)) != -1) {
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
