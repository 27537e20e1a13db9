/* test_dialog_server.c - every dialogue of tests/dialog/server, by lines and cut anyhow. */
#include "proto/smtp_server.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "dialog.h"
#include "proto/sasl_server.h"

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
 * data: sender "lost@..." gets 451, "slow@..." no answer before "= answer".  AUTH: the password
 * of everybody is "secret", else 535; "later" gets 454, "slow" no answer before "= answer".
 *
 * "=" lines: "set NAME [VALUE]" before all else; "message <from> <to>... CONTENT" taken with
 * 250, behind each address what came with it: 8bit utf8 full hdrs envid=, notify=BITS orcpt=;
 * "reset"; "quit"; "auth USERNAME PASSWORD" is asked; "starttls" is to begin; "injected": octets
 * came behind STARTTLS, and the owner closes.  All these must be told, in order.  What the
 * owner does: "answer", which may be late; "secured": the handshake is done.
 */
struct run {
	struct smtp_server *server;
	struct buf output, events, content;
	char sender[ADDRESS_TEXT_MAX + 1];
	struct buf recipients;
	struct address reverse_path;
	unsigned messages;
	char username[SASL_USERNAME_MAX + 1];
	bool has_password;		/* the right one, of whom is asked about now */
	bool asks_auth, starts_tls;
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
answer_auth(struct run *run)
{
	struct status status = status_reply(535, "5.7.8", "wrong");

	if (strcmp(run->username, "later") == 0)
		status = status_reply(454, "4.7.0", "later");
	else if (run->has_password)
		status = status_reply(235, "2.7.0", "welcome");
	run->asks_auth = false;
	smtp_server_auth_answer(run->server, &status);
	assert_string_equal(smtp_server_username(run->server),
	    status.reply_code == 235 ? run->username : "");
}

static void
answer(struct run *run)
{
	char text[ADDRESS_TEXT_MAX + 1];
	struct status status;

	if (run->asks_auth) {
		answer_auth(run);
		return;
	}
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
	assert_null(strstr(refusal->status->text, "secret"));
}

static void
on_starttls(void *owner, bool more_input)
{
	struct run *run = owner;

	(void)more_input;
	run->starts_tls = true;
}

static void
on_auth(void *owner, const char *username, const char *password)
{
	struct run *run = owner;

	buf_appendf(&run->events, "auth %s %s\n", username, password);
	text_copy(run->username, sizeof(run->username), username);
	run->has_password = strcmp(password, "secret") == 0;
	run->asks_auth = true;
	assert_string_equal(smtp_server_username(run->server), "");
	if (strcmp(username, "slow") != 0)
		answer_auth(run);
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
	.on_starttls = on_starttls,
	.on_auth = on_auth,
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
	else if (strcmp(name, "bare_names") == 0)
		settings->bare_names = true;
	else if (strcmp(name, "starttls") == 0)
		settings->offers_starttls = true;
	else if (strcmp(name, "secure") == 0)
		settings->is_secure = true;
	else if (strcmp(name, "auth") == 0)
		settings->offers_auth = (unsigned)value;
	else if (strcmp(name, "auth_in_clear") == 0)
		settings->auth_in_clear = true;
	else if (strcmp(name, "require_auth") == 0)
		settings->require_auth = true;
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
expect(const char *path, const struct dialog_line *line, struct buf *got, bool ends_in_lf)
{
	size_t len = line->len + (ends_in_lf ? 1 : 0);
	char seen[600];

	if (got->len >= len && memcmp(buf_octets(got), line->octets, line->len) == 0 &&
	    (!ends_in_lf || buf_octets(got)[line->len] == '\n')) {
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
is_act(const struct dialog_line *line, const char *act)
{
	return line->side == '=' && strcmp(line->octets, act) == 0;
}

static bool
is_event(const struct dialog_line *line)
{
	return line->side == '=' && !is_act(line, "answer") && !is_act(line, "secured") &&
	    !text_has_prefix(line->octets, "set ");
}

/* As an owner must: whatever came in clear behind the 220, nobody will know from whom. */
static void
begin_tls(struct run *run, bool more)
{
	const struct status status = status_reply(421, "4.7.0", "octets behind STARTTLS");

	if (!run->starts_tls)
		return;
	run->starts_tls = false;
	buf_append_text(&run->events, more ? "injected\n" : "starttls\n");
	if (more)
		smtp_server_close(run->server, &status);
}

/* Feeds what is pending; the engine may leave the start of a line, or wait for its answer.
 * more: other octets will follow without a pause. */
static void
feed(struct run *run, struct buf *pending, bool more)
{
	buf_consume(pending, smtp_server_input(run->server, buf_octets(pending), pending->len));
	begin_tls(run, more || pending->len > 0);
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
			feed(&run, &pending, false);
		} else if (is_act(line, "answer")) {
			assert_true(smtp_server_awaits_answer(run.server));
			answer(&run);
			feed(&run, &pending, false);
		} else if (is_act(line, "secured")) {
			smtp_server_secured(run.server);
		} else if (is_event(line)) {
			expect(path, line, &run.events, true);
		}
	}
	expect_nothing(path, last, &run.output);
	expect_nothing(path, last, &run.events);
	buf_free(&pending);
	end(&run);
}

/* The stream so far, `step` octets at a time. */
static void
feed_stream(struct run *run, struct buf *stream, struct buf *pending, size_t step)
{
	while (stream->len > 0) {
		size_t some = step < stream->len ? step : stream->len;

		buf_append(pending, buf_octets(stream), some);
		buf_consume(stream, some);
		feed(run, pending, stream->len > 0);
		while (smtp_server_awaits_answer(run->server)) {
			answer(run);
			feed(run, pending, stream->len > 0);
		}
	}
}

/* All that the client says before and behind a handshake, `step` octets at a time: the same
 * must come of it. */
static void
play_stream(const char *path, const struct dialog *dialog, size_t step)
{
	struct buf stream = { .octets = NULL }, pending = { .octets = NULL };
	struct run run;

	begin(&run, dialog);
	for (size_t i = 0; i < dialog->count; i++) {
		if (dialog->lines[i].side == 'C') {
			buf_append(&stream, dialog->lines[i].octets, dialog->lines[i].len);
		} else if (is_act(&dialog->lines[i], "secured")) {
			feed_stream(&run, &stream, &pending, step);
			smtp_server_secured(run.server);
		}
	}
	feed_stream(&run, &stream, &pending, step);
	for (size_t i = 0; i < dialog->count; i++) {
		const struct dialog_line *line = &dialog->lines[i];

		if (line->side == 'S')
			expect(path, line, &run.output, false);
		else if (is_event(line))
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
