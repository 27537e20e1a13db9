/* ctl_queue.c - the verbs of heraldctl that look at the queue and act on it. */
#include "base/mem.h"
#include "cmd/ctl_command.h"
#include "cmd/ctl_print.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define DRY_RUN_MAX	10000	/* messages; what queue list gives at most */

int
command_queue_list(struct command *command)
{
	return command_show(command, command_request(command, "queue list"), ctl_print_list);
}

/* A file or a pipe gets the octets as they are. */
static void
print_content(const char *octets, size_t len)
{
	char *text;

	if (isatty(STDOUT_FILENO) != 1) {
		fwrite(octets, 1, len, stdout);
		return;
	}
	text = mem_dup(octets, len);
	fwrite(text, 1, ctl_mask(text, len, true), stdout);
	free(text);
}

static int
show_content(struct command *command)
{
	json_t *request = command_request(command, "queue content"), *text;
	int exit_code = EX_OK;

	json_object_set_new(request, "headers", json_boolean(command->headers));
	text = command_ask(command, request, &exit_code);
	if (text == NULL)
		return exit_code;
	if (command->json)
		ctl_print_json(text);
	else
		print_content(json_string_value(text), json_string_length(text));
	json_decref(text);
	return EX_OK;
}

int
command_queue_show(struct command *command)
{
	if (command->word_count != 1) {
		fputs("heraldctl: queue show needs one id\n", stderr);
		return EX_USAGE;
	}
	if (!command_set_text(command->filter, "id", command->words[0]))
		return EX_USAGE;
	if (command->headers || command->content)
		return show_content(command);
	return command_show(command, command_request(command, "queue show"), ctl_print_message);
}

/* --- acts --- */

/* From which states each of them takes a recipient, besides the state asked for. */
static const struct { const char *verb, *states[4]; } takes[] = {
	{ "queue retry", { "deferred", "parked", NULL } },
	{ "queue hold", { "deferred", "parked", NULL } },
	{ "queue release", { "held", NULL } },
	{ "queue remove", { "deferred", "held", "parked", NULL } },
	{ "queue bounce", { "deferred", "held", "parked", NULL } },
	{ "queue reroute", { "deferred", "held", "parked", NULL } },
};

static bool
would_change(const struct command *command, const json_t *recipient)
{
	const char *wanted = json_string_value(json_object_get(command->filter, "state"));
	const char *state = json_string_value(json_object_get(recipient, "state"));

	if (state == NULL || (wanted != NULL && strcmp(state, wanted) != 0))
		return false;
	for (size_t i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
		const char *const *of = takes[i].states;

		if (strcmp(takes[i].verb, command->verb) != 0)
			continue;
		while (*of != NULL && strcmp(*of, state) != 0)
			of++;
		return *of != NULL;
	}
	return false;
}

/* --dry-run: what the filter finds, and how many recipients that is. */
static json_int_t
show_touched(const struct command *command, json_t *messages)
{
	json_int_t count = 0;

	for (size_t i = 0; i < json_array_size(messages); i++) {
		json_t *recipients = json_object_get(json_array_get(messages, i), "recipients");

		for (size_t k = 0; k < json_array_size(recipients); k++)
			count += would_change(command, json_array_get(recipients, k));
	}
	if (!command->json) {
		ctl_mask_all(messages);
		ctl_print_list(messages);
	}
	if (json_array_size(messages) >= DRY_RUN_MAX)
		fprintf(stderr, "heraldctl: there are more than the %d messages shown\n",
		    DRY_RUN_MAX);
	return count;
}

/* One request for one id, or for --all when id is NULL; adds to *changed. */
static int
act_on(struct command *command, const char *verb, const char *id, json_int_t *changed)
{
	json_t *request = command_request(command, command->dry_run ? "queue list" : verb), *result;
	int exit_code = EX_OK;
	json_int_t touched;

	if (id != NULL)
		json_object_set_new(request, "id", json_string(id));
	else
		json_object_set_new(request, "all", json_true());
	if (command->dry_run)
		json_object_set_new(request, "limit", json_integer(DRY_RUN_MAX));
	result = command_ask(command, request, &exit_code);
	if (result == NULL)
		return exit_code;
	touched = command->dry_run ? show_touched(command, result) : json_integer_value(result);
	*changed += touched;
	if (id != NULL && touched == 0) {
		fprintf(stderr, "heraldctl: nothing to do for %s: it is not in the queue, is "
		    "being sent, or is in no state for that\n", id);
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

int
command_queue_act(struct command *command)
{
	const char *verb = command->verb;
	int exit_code = EX_OK;
	json_int_t changed = 0;

	if (json_object_get(command->filter, "limit") != NULL) {
		fprintf(stderr, "heraldctl: --limit is for queue list, not for %s\n", verb);
		return EX_USAGE;
	}
	if (command->all == (command->word_count > 0)) {
		fprintf(stderr, "heraldctl: %s needs ids, \"-\" or --all\n", verb);
		return EX_USAGE;
	}
	if (command->all)
		exit_code = act_on(command, verb, NULL, &changed);
	for (int i = 0; i < command->word_count; i++) {
		int one = strcmp(command->words[i], "-") == 0
		    ? act_on_stdin(command, verb, &changed)
		    : act_on(command, verb, command->words[i], &changed);

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

int
command_queue_reroute(struct command *command)
{
	if (command->word_count == 0) {
		fputs("heraldctl: queue reroute needs the name of a relay, and what to reroute\n",
		    stderr);
		return EX_USAGE;
	}
	if (!command_set_text(command->filter, "target", command->words[0]))
		return EX_USAGE;
	command->words++;
	command->word_count--;
	return command_queue_act(command);
}

int
command_trace(struct command *command)
{
	if (command->word_count != 1) {
		fputs("heraldctl: trace needs one id, address or Message-ID\n", stderr);
		return EX_USAGE;
	}
	if (!command_set_text(command->filter, "what", command->words[0]))
		return EX_USAGE;
	return command_show(command, command_request(command, "trace"), ctl_print_trace);
}
