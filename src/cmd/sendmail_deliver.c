/* sendmail_deliver.c - one message from standard input into the queue of heraldd. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "cmd/sendmail.h"
#include "cmd/sendmail_encode.h"
#include "cmd/sendmail_envelope.h"
#include "cmd/sendmail_from.h"
#include "cmd/sendmail_message.h"
#include "cmd/sendmail_options.h"
#include "client/submit_client.h"
#include "client/submit_queue.h"
#include "client/submit_result.h"
#include "mail/envelope.h"
#include "queue/content.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK		(64 * 1024)	/* octets read at a time */
#define PATIENCE	10		/* seconds that a daemon may take to start */
#define SECOND		INT64_C(1000000)

/* --- reading --- */

static bool
read_message(struct sendmail_message *message, int *exit_code, struct error *err)
{
	static char block[BLOCK];
	bool ended = false;

	while (!ended) {
		ssize_t n = read(STDIN_FILENO, block, sizeof(block));

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1) {
			*exit_code = errno == EBADF ? EX_NOINPUT : EX_IOERR;
			return error_set(err, ERROR_SYSTEM, "cannot read the message: %s",
			    strerror(errno));
		}
		if (n == 0)
			break;
		if (!sendmail_message_feed(message, block, (size_t)n, &ended, exit_code, err))
			return false;
	}
	return sendmail_message_end(message, exit_code, err);
}

/* --- sending --- */

static int
send_message(const struct envelope *envelope, const struct content *content, bool verbose)
{
	const int64_t deadline = clock_monotonic_us() + PATIENCE * SECOND;
	struct submit_result result = { 0 };
	char text[STATUS_TEXT_MAX + 32];
	struct error err;
	int exit_code = EX_OK;

	if (!submit_to_queue(envelope, content, deadline, NULL, &result, &err))
		return sendmail_fail(errno == EACCES || errno == EPERM ? EX_NOPERM : EX_TEMPFAIL,
		    "%s; is heraldd running?", err.text);
	if (result.taken) {
		status_text(&result.status, text, sizeof(text));
		if (verbose)
			puts(text);
		fflush(stdout);
	} else {
		submit_tell(envelope, &result, sendmail_fail);
		exit_code = sendmail_fail(submit_exit_code(&result),
		    "the message was not sent to anybody");
	}
	submit_result_clear(&result);
	return exit_code;
}

/* --- all of it --- */

/* What has been left out of a field: its sender may have meant somebody. */
static void
tell_notices(const char *lines)
{
	while (*lines != '\0') {
		const int len = (int)strcspn(lines, "\n");

		sendmail_fail(0, "%.*s", len, lines);
		sendmail_warn("uid %u: %.*s", (unsigned)getuid(), len, lines);
		lines += len + (lines[len] == '\n');
	}
}

static int
prepare_and_send(const struct sendmail_options *options, struct sendmail_message *message,
    struct envelope *envelope)
{
	struct content *content = NULL;
	struct error err;
	int exit_code = EX_OK;

	if (!read_message(message, &exit_code, &err))
		return sendmail_fail(exit_code, "%s", err.text);
	tell_notices(sendmail_message_notices(message));
	if (!sendmail_envelope_add(envelope, options, sendmail_message_recipients(message),
	    &exit_code, &err))
		return sendmail_fail(exit_code, "%s", err.text);
	content = sendmail_encode(message, submit_spool_directory(), &exit_code, &err);
	if (content == NULL)
		return sendmail_fail(exit_code, "%s", err.text);
	envelope->size = content_size(content);
	envelope->body_8bit = options->eight_bit || sendmail_message_facts(message)->eight_bit;
	exit_code = send_message(envelope, content, options->verbose);
	content_unref(content);
	return exit_code;
}

/* The name of the account is the sender's where no other sender is given; $NAME and -F are
 * said to be the sender's in any case. */
static void
append_from(struct buf *out, const struct sendmail_options *options, const char *login,
    const struct address *sender)
{
	struct address self = { .domain = "" };
	char *name;

	sendmail_login_address(&self, login);
	if (options->full_name != NULL)
		name = mem_strdup(options->full_name);
	else if (options->sender == NULL || getenv("NAME") != NULL || address_is_null(sender))
		name = sendmail_full_name(login);
	else
		name = mem_strdup("");
	sendmail_append_from(out, name, address_is_null(sender) ? &self : sender);
	free(name);
}

int
sendmail_deliver(const struct sendmail_options *options)
{
	struct sendmail_message_settings settings = {
		.ignore_dots = options->ignore_dots,
		.from_header = options->from_header,
		.directory = submit_spool_directory(),
	};
	struct sendmail_message *message;
	struct envelope *envelope;
	struct buf from = { 0 };
	char *login = sendmail_login();
	struct error err;
	int exit_code = EX_OK;

	envelope = sendmail_envelope_new(options, login, &exit_code, &err);
	if (envelope == NULL) {
		free(login);
		return sendmail_fail(exit_code, "%s", err.text);
	}
	append_from(&from, options, login, &envelope->reverse_path);
	settings.from_field = buf_text(&from);
	message = sendmail_message_new(&settings);
	exit_code = prepare_and_send(options, message, envelope);
	sendmail_message_free(message);
	envelope_free(envelope);
	buf_free(&from);
	free(login);
	return exit_code;
}
