/* ctl_command.h - what the command line of heraldctl said, and the verbs that take it. */
#ifndef HERALD_CMD_CTL_COMMAND_H
#define HERALD_CMD_CTL_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

struct command {
	const char *socket;
	const char *verb;		/* as the daemon knows it: "queue retry" */
	bool json, verbose, all, headers, content, dry_run;
	json_t *filter;			/* keys of the request that options gave */
	char **words;			/* operands behind the verb; borrowed from argv */
	int word_count;
};

/* The request with its verb and what the options said: a new reference. */
json_t *command_request(const struct command *command, const char *verb);
/* Asks (consumes the request); NULL when it failed: then the message is on stderr and
 * *exit_code set. */
json_t *command_ask(const struct command *command, json_t *request, int *exit_code);
/* Asks, and shows the answer as JSON or by `print`; the exit code. */
int command_show(const struct command *command, json_t *request,
    void (*print)(const json_t *result));
/* An empty text would narrow nothing, and what is not UTF-8 has no JSON form: false, told. */
bool command_set_text(json_t *object, const char *key, const char *text);

/* ctl_queue.c; each returns an exit code */
int command_queue_list(struct command *command);
int command_queue_show(struct command *command);
int command_queue_act(struct command *command);
int command_queue_reroute(struct command *command);
int command_trace(struct command *command);

/* ctl_identity.c */
int command_rewrite(struct command *command);
int command_aliases_check(struct command *command);

/* ctl_relay.c */
int command_relays(struct command *command);
int command_relay_pause(struct command *command);	/* and resume, by the verb */
int command_route(struct command *command);
int command_probe(struct command *command);

/* ctl_user.c */
int command_user_hash(struct command *command);

#endif
