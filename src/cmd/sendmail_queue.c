/* sendmail_queue.c - mailq, sendmail -q and -bv: what heraldd knows of its queue and routes. */
#include "base/buf.h"
#include "base/error.h"
#include "cmd/ctl_client.h"
#include "cmd/ctl_print.h"
#include "cmd/sendmail.h"
#include "cmd/sendmail_address.h"
#include "cmd/sendmail_options.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#define ARROW_COLUMN	"                 "	/* under what stands behind the size */

/* NULL: *exit_code is set, and *why, to be freed, says what went wrong. */
static json_t *
ask(json_t *request, int *exit_code, char **why)
{
	*why = NULL;
	return ctl_request(sendmail_control_socket(), request, exit_code, why);
}

static int
fail_with(int exit_code, char *why)
{
	exit_code = sendmail_fail(exit_code, "%s", why != NULL ? why : "no answer");
	free(why);
	return exit_code;
}

/* --- mailq --- */

static bool
is_in_state(const json_t *message, const char *state)
{
	const json_t *recipients = json_object_get(message, "recipients");

	for (size_t i = 0; i < json_array_size(recipients); i++)
		if (strcmp(ctl_text(json_array_get(recipients, i), "state"), state) == 0)
			return true;
	return false;
}

/* As sendmail marks a job that is being run, and as Postfix one that is held. */
static char
mark_of(const json_t *message)
{
	if (is_in_state(message, "active"))
		return '*';
	return is_in_state(message, "held") || is_in_state(message, "parked") ? '!' : ' ';
}

static const char *
state_text(const json_t *recipient)
{
	const char *state = ctl_text(recipient, "state"), *reply = ctl_text(recipient, "reply");

	if (reply[0] != '\0')
		return reply;
	return strcmp(state, "deferred") == 0 || strcmp(state, "active") == 0 ? "" : state;
}

/* The reason stands once above those whom it is the reason for. */
static void
print_recipients(const json_t *message)
{
	const json_t *recipients = json_object_get(message, "recipients");
	const char *said = "";

	for (size_t i = 0; i < json_array_size(recipients); i++) {
		const json_t *recipient = json_array_get(recipients, i);
		const char *why = state_text(recipient);

		if (strcmp(why, said) != 0)
			printf(ARROW_COLUMN "(%s)\n", why);
		said = why;
		printf("\t\t\t\t\t <%s>\n", ctl_text(recipient, "address"));
	}
}

static void
print_message(const json_t *message)
{
	const time_t arrived = (time_t)ctl_number(message, "arrived");
	char when[32] = "";
	struct tm local;

	if (localtime_r(&arrived, &local) != NULL)
		strftime(when, sizeof(when), "%a %b %e %H:%M", &local);
	printf("%s%c %8" JSON_INTEGER_FORMAT " %s <%s>\n", ctl_text(message, "id"),
	    mark_of(message), ctl_number(message, "size"), when, ctl_text(message, "sender"));
	print_recipients(message);
}

int
sendmail_list(const struct sendmail_options *options)
{
	int exit_code = EX_OK;
	char *why;
	json_t *messages = ask(json_pack("{s:s}", "verb", "queue list"), &exit_code, &why);
	size_t count;

	(void)options;
	if (messages == NULL)
		return fail_with(exit_code, why);
	ctl_mask_all(messages);
	count = json_array_size(messages);
	if (count == 0) {
		puts("The mail queue is empty");
	} else {
		printf("\t\tThe mail queue (%zu request%s)\n", count, count == 1 ? "" : "s");
		puts("-----Q-ID----- --Size-- -----Q-Time----- "
		    "------------Sender/Recipient-----------");
	}
	for (size_t i = 0; i < count; i++)
		print_message(json_array_get(messages, i));
	printf("\t\tTotal requests: %zu\n", count);
	json_decref(messages);
	return EX_OK;
}

/* --- -q --- */

/* -qIid, -qRrecipient, -qSsender; all others, an interval too, mean the whole queue. */
static json_t *
retry_request(const char *which)
{
	const char *key = which[0] == 'I' ? "id" : which[0] == 'R' ? "recipient" :
	    which[0] == 'S' ? "sender" : NULL;
	json_t *request = json_pack("{s:s}", "verb", "queue retry");

	if (key == NULL || which[1] == '\0')
		json_object_set_new(request, "all", json_true());
	else if (json_object_set_new(request, key, json_string(which + 1)) == 0 &&
	    which[0] != 'I')
		json_object_set_new(request, "all", json_true());
	return request;
}

int
sendmail_flush(const struct sendmail_options *options)
{
	int exit_code = EX_OK;
	char *why;
	json_t *answer = ask(retry_request(options->queue), &exit_code, &why);

	if (answer == NULL)
		return fail_with(exit_code, why);
	if (options->verbose)
		printf("%" JSON_INTEGER_FORMAT " recipients are due now\n",
		    json_integer_value(answer));
	json_decref(answer);
	return EX_OK;
}

/* --- -bv --- */

/* Where heraldd would send it; a user who may not ask learns that the address is one. */
static int
verify_one(const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];
	int exit_code = EX_OK;
	char *why;
	json_t *route;

	address_text(address, text);
	if (address->domain[0] == '\0') {
		printf("%s... is a name of this machine: the aliases say where it goes\n", text);
		return EX_OK;
	}
	route = ask(json_pack("{s:s, s:s}", "verb", "route", "recipient", text), &exit_code, &why);
	if (route == NULL && exit_code != EX_NOPERM) {
		printf("%s... not deliverable: ", text);
		puts(why != NULL ? why : "no answer");
		free(why);
		return exit_code;
	}
	if (route != NULL)
		ctl_mask_all(route);
	if (route != NULL && ctl_text(route, "relay")[0] != '\0')
		printf("%s... deliverable: relay %s\n", text, ctl_text(route, "relay"));
	else
		printf("%s... is an address; where it goes is told to root\n", text);
	free(why);
	json_decref(route);
	return EX_OK;
}

static int
verify_word(const char *word)
{
	struct sendmail_addresses list = { 0 };
	struct buf notices = { 0 };
	struct error err;
	int exit_code = EX_OK;

	if (!sendmail_addresses_add(&list, word, strlen(word), &notices, &err))
		exit_code = sendmail_fail(EX_DATAERR, "%s", err.text);
	for (size_t i = 0; i < list.count; i++) {
		int one = verify_one(&list.items[i]);

		exit_code = exit_code == EX_OK ? one : exit_code;
	}
	buf_free(&notices);
	sendmail_addresses_clear(&list);
	return exit_code;
}

int
sendmail_verify(const struct sendmail_options *options)
{
	int exit_code = EX_OK;

	if (options->operand_count == 0)
		return sendmail_fail(EX_USAGE, "-bv needs an address");
	for (size_t i = 0; i < options->operand_count; i++) {
		int one = verify_word(options->operands[i]);

		exit_code = exit_code == EX_OK ? one : exit_code;
	}
	return exit_code;
}
