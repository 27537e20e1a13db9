/* ctl_relay.c - the verbs of heraldctl that look at relays and steer them. */
#include "cmd/ctl_command.h"
#include "cmd/ctl_print.h"

#include <stdio.h>
#include <sysexits.h>

int
command_relays(struct command *command)
{
	return command_show(command, command_request(command, "relays"), ctl_print_relays);
}

int
command_relay_pause(struct command *command)
{
	json_t *request;

	if (command->word_count != 1) {
		fprintf(stderr, "heraldctl: %s needs the name of a relay\n", command->verb);
		return EX_USAGE;
	}
	request = command_request(command, command->verb);
	if (!command_set_text(request, "relay", command->words[0])) {
		json_decref(request);
		return EX_USAGE;
	}
	return command_show(command, request, ctl_print_relays);
}

int
command_route(struct command *command)
{
	if (json_object_get(command->filter, "recipient") == NULL) {
		fputs("heraldctl: route needs --recipient ADDRESS, and takes --sender ADDRESS\n",
		    stderr);
		return EX_USAGE;
	}
	return command_show(command, command_request(command, "route"), ctl_print_route);
}

int
command_probe(struct command *command)
{
	json_t *request, *result;
	int exit_code = EX_OK;

	if (command->word_count != 1 && command->word_count != 2) {
		fputs("heraldctl: probe needs the name of a relay, and a domain where that "
		    "delivers by MX\n", stderr);
		return EX_USAGE;
	}
	request = command_request(command, "probe");
	if (!command_set_text(request, "relay", command->words[0]) ||
	    (command->word_count == 2 &&
	    !command_set_text(request, "domain", command->words[1]))) {
		json_decref(request);
		return EX_USAGE;
	}
	result = command_ask(command, request, &exit_code);
	if (result == NULL)
		return exit_code;
	if (command->json) {
		ctl_print_json(result);
	} else {
		ctl_mask_all(result);
		ctl_print_probe(result, command->verbose);
	}
	exit_code = json_is_true(json_object_get(result, "ok")) ? EX_OK : EX_UNAVAILABLE;
	json_decref(result);
	return exit_code;
}
