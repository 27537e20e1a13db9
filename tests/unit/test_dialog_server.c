/* test_dialog_server.c - every dialogue of tests/dialog/server, by lines and cut anyhow. */
#include "proto/smtp_server.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "dialog.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * What the owner of these tests says.  MAIL: "full@..." gets 452, else 250.  RCPT: the domain
 * refused.example gets 554, later.example 450.  DATA: sender "nodata@..." gets 451.  End of
 * data: sender "lost@..." gets 451, "slow@..." no answer before "= answer".
 *
 * "=" lines: "set NAME [VALUE]" before all else; "message <from> <to>... CONTENT" taken with
 * 250, behind each address what came with it: 8bit utf8 full hdrs envid=, notify=BITS orcpt=;
 * "reset"; "quit"; "answer".  Messages, resets and quits must all be told, in order.
 */
struct run {
	struct smtp_server *server;
	struct buf output, events, content;
	char sender[ADDRESS_TEXT_MAX + 1];
	struct buf recipients;
	struct address reverse_path;
	unsigned messages;
};

static void
on_output(void *owner, const char *octets, size_t len)
{
	struct run *run = owner;

	buf_append(&run->output, octets, len);
}

static bool
sender_is(const struct run *run, const char *local)
{
	return strcmp(run->reverse_path.local, local) == 0;
}

static struct status
on_mail(void *owner, const struct address *reverse_path, const struct smtp_mail_params *params)
{
	struct run *run = owner;

	run->reverse_path = *reverse_path;
	if (sender_is(run, "full"))
		return status_reply(452, "4.3.1", "no space");
	buf_clear(&run->recipients);
	buf_appendf(&run->recipients, "%s%s%s", params->body_8bit ? " 8bit" : "",
	    params->smtputf8 ? " utf8" : "", params->ret == RET_FULL ? " full" :
	    params->ret == RET_HDRS ? " hdrs" : "");
	if (params->envid != NULL)
		buf_appendf(&run->recipients, " envid=%.*s", (int)params->envid_len,
		    params->envid);
	buf_clear(&run->content);
	return status_reply(250, "2.1.0", "Ok");
}

static struct status
on_rcpt(void *owner, const struct address *forward_path, const struct smtp_rcpt_params *params)
{
	struct run *run = owner;
	char text[ADDRESS_TEXT_MAX + 1];

	if (strcmp(forward_path->domain, "refused.example") == 0)
		return status_reply(554, "5.7.1", "refused");
	if (strcmp(forward_path->domain, "later.example") == 0)
		return status_reply(450, "4.2.0", "later");
	buf_appendf(&run->recipients, " <%s>", address_text(forward_path, text));
	if (params->notify != 0)
		buf_appendf(&run->recipients, " notify=%u", params->notify);
	if (params->orcpt != NULL)
		buf_appendf(&run->recipients, " orcpt=%.*s", (int)params->orcpt_len,
		    params->orcpt);
	return status_reply(250, "2.1.5", "Ok");
}

static struct status
on_data(void *owner)
{
	if (sender_is(owner, "nodata"))
		return status_reply(451, "4.3.0", "not now");
	return status_reply(354, "", "go ahead");
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct run *run = owner;

	buf_append(&run->content, octets, len);
}

static void
answer(struct run *run)
{
	char text[ADDRESS_TEXT_MAX + 1];
	struct status status;

	if (sender_is(run, "lost")) {
		status = status_reply(451, "4.3.0", "not stored");
		smtp_server_answer(run->server, &status);
		return;
	}
	buf_appendf(&run->events, "message <%s>%s ", address_text(&run->reverse_path, text),
	    buf_text(&run->recipients));
	buf_append(&run->events, buf_octets(&run->content), run->content.len);
	buf_append(&run->events, "\n", 1);
	status = status_reply(250, "2.0.0", "queued as %u", ++run->messages);
	smtp_server_answer(run->server, &status);
}

static void
on_end(void *owner)
{
	if (!sender_is(owner, "slow"))
		answer(owner);
}

static void
on_reset(void *owner)
{
	struct run *run = owner;

	buf_append_text(&run->events, "reset\n");
}

static void
on_refused(void *owner, const struct smtp_refusal *refusal)
{
	(void)owner;
	assert_true(status_class(refusal->status) != STATUS_SUCCESS);
	assert_non_null(refusal->verb);
}

static void
on_quit(void *owner)
{
	struct run *run = owner;

	buf_append_text(&run->events, "quit\n");
}

static const struct smtp_server_events events = {
	.on_output = on_output,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_refused = on_refused,
	.on_quit = on_quit,
};

static bool
read_setting(struct smtp_server_settings *settings, const struct dialog_line *line)
{
	static const char word[] = "set ";
	unsigned long long value = 0;
	char name[32] = "";

	if (line->side != '=' || !text_has_prefix(line->octets, word))
		return false;
	sscanf(line->octets + sizeof(word) - 1, "%31s %llu", name, &value);
	if (strcmp(name, "normalize") == 0)
		settings->normalize = true;
	else if (strcmp(name, "max_message_size") == 0)
		settings->max_message_size = value;
	else if (strcmp(name, "max_recipients") == 0)
		settings->max_recipients = (unsigned)value;
	else if (strcmp(name, "max_errors") == 0)
		settings->max_errors = (unsigned)value;
	else
		fail_msg("line %u: no such setting", line->number);
	return true;
}

static void
begin(struct run *run, const struct dialog *dialog)
{
	struct smtp_server_settings settings = {
		.hostname = "herald.example", .max_message_size = 1000, .max_recipients = 100,
		.max_errors = 20,
	};

	memset(run, 0, sizeof(*run));
	for (size_t i = 0; i < dialog->count; i++)
		read_setting(&settings, &dialog->lines[i]);
	run->server = smtp_server_new(&settings, &events, run);
	smtp_server_greet(run->server);
}

static void
end(struct run *run)
{
	smtp_server_free(run->server);
	buf_free(&run->output);
	buf_free(&run->events);
	buf_free(&run->content);
	buf_free(&run->recipients);
}

/* The first octets of `got` must be those of the line (and a newline, for events). */
static void
expect(const char *path, const struct dialog_line *line, struct buf *got, bool is_event)
{
	size_t len = line->len + (is_event ? 1 : 0);
	char seen[600];

	if (got->len >= len && memcmp(buf_octets(got), line->octets, line->len) == 0 &&
	    (!is_event || buf_octets(got)[line->len] == '\n')) {
		buf_consume(got, len);
		return;
	}
	fail_msg("%s:%u: got %s", path, line->number,
	    text_printable(seen, sizeof(seen), buf_octets(got), got->len));
}

static void
expect_nothing(const char *path, unsigned number, const struct buf *got)
{
	char seen[600];

	if (got->len > 0)
		fail_msg("%s:%u: unexpected: %s", path, number,
		    text_printable(seen, sizeof(seen), buf_octets(got), got->len));
}

static bool
is_answer(const struct dialog_line *line)
{
	return line->side == '=' && strcmp(line->octets, "answer") == 0;
}

/* Feeds what is pending; the engine may leave the start of a line, or wait for its answer. */
static void
feed(struct run *run, struct buf *pending)
{
	buf_consume(pending, smtp_server_input(run->server, buf_octets(pending), pending->len));
}

static void
play_by_line(const char *path, const struct dialog *dialog)
{
	struct buf pending = { .octets = NULL };
	unsigned last = 0;
	struct run run;

	begin(&run, dialog);
	for (size_t i = 0; i < dialog->count; i++) {
		const struct dialog_line *line = &dialog->lines[i];

		last = line->number;
		if (line->side == 'S') {
			expect(path, line, &run.output, false);
		} else if (line->side == 'C') {
			expect_nothing(path, last, &run.output);
			buf_append(&pending, line->octets, line->len);
			feed(&run, &pending);
		} else if (is_answer(line)) {
			assert_true(smtp_server_awaits_answer(run.server));
			answer(&run);
			feed(&run, &pending);
		} else if (!text_has_prefix(line->octets, "set ")) {
			expect(path, line, &run.events, true);
		}
	}
	expect_nothing(path, last, &run.output);
	expect_nothing(path, last, &run.events);
	buf_free(&pending);
	end(&run);
}

/* All that the client says, `step` octets at a time: the same must come of it. */
static void
play_stream(const char *path, const struct dialog *dialog, size_t step)
{
	struct buf stream = { .octets = NULL }, pending = { .octets = NULL };
	struct run run;

	begin(&run, dialog);
	for (size_t i = 0; i < dialog->count; i++)
		if (dialog->lines[i].side == 'C')
			buf_append(&stream, dialog->lines[i].octets, dialog->lines[i].len);
	while (stream.len > 0) {
		size_t some = step < stream.len ? step : stream.len;

		buf_append(&pending, buf_octets(&stream), some);
		buf_consume(&stream, some);
		feed(&run, &pending);
		while (smtp_server_awaits_answer(run.server)) {
			answer(&run);
			feed(&run, &pending);
		}
	}
	for (size_t i = 0; i < dialog->count; i++) {
		const struct dialog_line *line = &dialog->lines[i];

		if (line->side == 'S')
			expect(path, line, &run.output, false);
		else if (line->side == '=' && !is_answer(line) &&
		    !text_has_prefix(line->octets, "set "))
			expect(path, line, &run.events, true);
	}
	expect_nothing(path, 0, &run.output);
	expect_nothing(path, 0, &run.events);
	buf_free(&stream);
	buf_free(&pending);
	end(&run);
}

static int
is_dialog(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return dot != NULL && strcmp(dot, ".dlg") == 0;
}

static void
test_dialogues(void **state)
{
	const char *root = getenv("HERALD_SRCDIR");
	char *folder = mem_printf("%s/tests/dialog/server", root != NULL ? root : ".");
	struct dirent **names;
	int count = scandir(folder, &names, is_dialog, alphasort);

	(void)state;
	if (count < 1)
		fail_msg("no dialogues in %s", folder);
	for (int i = 0; i < count; i++) {
		char *path = mem_printf("%s/%s", folder, names[i]->d_name);
		struct dialog dialog = dialog_read(path);

		play_by_line(path, &dialog);
		for (size_t step = 1; step <= 7; step += 2)
			play_stream(path, &dialog, step);
		play_stream(path, &dialog, 1460);
		play_stream(path, &dialog, SIZE_MAX);
		dialog_free(&dialog);
		free(path);
		free(names[i]);
	}
	print_message("%d dialogues, each in six ways\n", count);
	free(names);
	free(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialogues),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
