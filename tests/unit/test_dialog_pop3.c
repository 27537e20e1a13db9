/* test_dialog_pop3.c - plays tests/dialog/pop3/ against the POP3 client's engine. */
#include "dialog.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "proto/pop3_client.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Lines of a dialogue beside S: and C:.  What the runner does:
 *   = tls stls, = tls implicit, = user TEXT, = password TEXT (at the top; else ann, secret)
 *   = secured, = list, = retr N, = top N LINES, = dele N, = quit, = lost TEXT
 *   = whole (first line: do not play it octet by octet, too)
 * What the engine must report, in this order; texts may be cut, contents and unique-ids not:
 *   = start-tls, = welcome TEXT, = ready, = mailbox COUNT OCTETS, = message N OCTETS,
 *   = uidl N TEXT, = listed yes, = listed no, = content N OCTETS (all that came of it),
 *   = done RETR N good TEXT, = done RETR N refused TEXT, = finished END TEXT
 *   and on asking: = offers WORDS, = step NAME, = timeout SECONDS, = writes N (since asked last),
 *   = login-refused (before the first S:; the engine is not begun)
 * S: lines behind each other come in one segment. */
enum { EVENTS_MAX = 4096 };

struct event {
	char kind;
	struct buf text;
	bool exact;			/* no more may follow in what was expected */
};

struct player {
	const char *path;
	unsigned number;		/* of the line played */
	struct pop3_client_params params;
	char *username, *password;
	struct pop3_client *client;
	struct event events[EVENTS_MAX];
	size_t event_count, event_next;
	struct buf input;
	unsigned writes;		/* calls of send() */
	unsigned content_of;		/* the message of the last event, if that is content */
	bool by_octet, ready, secured, told, finished;
};

static struct event *
record(struct player *player, char kind, const char *text)
{
	struct event *event = &player->events[player->event_count++];

	assert_true(player->event_count < EVENTS_MAX);
	assert_false(player->finished);
	event->kind = kind;
	buf_append_text(&event->text, text);
	player->content_of = 0;
	return event;
}

__attribute__((format(printf, 2, 3)))
static struct event *
recordf(struct player *player, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return record(player, '=', text);
}

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct player *player = owner;
	const char *step = pop3_client_step(player->client), *end;

	player->writes++;
	assert_int_equal(pop3_client_is_in_auth(player->client),
	    strcmp(step, "AUTH") == 0 || strcmp(step, "USER") == 0 || strcmp(step, "PASS") == 0);
	player->told |= secret;
	assert_int_equal(secret, (strcmp(step, "AUTH") == 0 || strcmp(step, "PASS") == 0) &&
	    strncmp(octets, "QUIT", 4) != 0);
	/* Whatever the peer says. */
	assert_true(!secret || player->params.tls == POP3_TLS_NONE || player->secured);
	for (; len > 0; octets = end) {
		struct event *event = record(player, 'C', "");

		end = memchr(octets, '\n', len);
		assert_non_null(end);
		end++;
		buf_append(&event->text, octets, (size_t)(end - octets));
		event->exact = true;
		len -= (size_t)(end - octets);
	}
}

static void
on_start_tls(void *owner)
{
	record(owner, '=', "start-tls");
}

static void
on_welcome(void *owner, const char *text, size_t len)
{
	buf_append(&record(owner, '=', "welcome ")->text, text, len);
}

static void
on_ready(void *owner)
{
	struct player *player = owner;

	assert_false(player->ready);
	player->ready = true;
	record(player, '=', "ready");
}

static void
on_mailbox(void *owner, uint64_t count, uint64_t octets)
{
	recordf(owner, "mailbox %llu %llu", (unsigned long long)count,
	    (unsigned long long)octets)->exact = true;
}

static void
on_message(void *owner, unsigned number, uint64_t octets)
{
	recordf(owner, "message %u %llu", number, (unsigned long long)octets)->exact = true;
}

static void
on_uidl(void *owner, unsigned number, const char *uidl)
{
	assert_in_range(strlen(uidl), 1, POP3_UIDL_MAX);
	recordf(owner, "uidl %u %s", number, uidl)->exact = true;
}

static void
on_listed(void *owner, bool has_uidl)
{
	recordf(owner, "listed %s", has_uidl ? "yes" : "no");
}

static void
on_content(void *owner, unsigned number, const char *octets, size_t len)
{
	struct player *player = owner;
	struct event *event;

	assert_true(len > 0);
	if (player->content_of != number || player->event_next == player->event_count) {
		event = recordf(player, "content %u ", number);
		event->exact = true;
		player->content_of = number;
	}
	event = &player->events[player->event_count - 1];
	buf_append(&event->text, octets, len);
}

static void
on_done(void *owner, enum pop3_command command, unsigned number, bool good, const char *text,
    size_t len)
{
	static const char *const names[] = { [POP3_RETR] = "RETR", [POP3_TOP] = "TOP",
	    [POP3_DELE] = "DELE" };

	buf_append(&recordf(owner, "done %s %u %s ", names[command], number,
	    good ? "good" : "refused")->text, text, len);
}

static void
on_finished(void *owner, enum pop3_end end, const char *text)
{
	static const char *const names[] = {
		[POP3_END_QUIT] = "quit", [POP3_END_REFUSED_LOGIN] = "refused-login",
		[POP3_END_TEMPORARY] = "temporary", [POP3_END_REFUSED] = "refused",
		[POP3_END_NO_TLS] = "no-tls", [POP3_END_PROTOCOL] = "protocol",
		[POP3_END_LOST] = "lost", [POP3_END_LIMIT] = "limit",
	};
	struct player *player = owner;

	recordf(player, "finished %s %s", names[end], text);
	assert_true(!player->told || strstr(text, player->params.password) == NULL);
	/* RULES L1: what a stranger says does not reach a terminal or a log as it is. */
	for (const char *c = text; *c != '\0'; c++)
		assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
	player->finished = true;
}

static const struct pop3_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .on_welcome = on_welcome,
	.on_ready = on_ready, .on_mailbox = on_mailbox, .on_message = on_message,
	.on_uidl = on_uidl, .on_listed = on_listed, .on_content = on_content,
	.on_done = on_done, .on_finished = on_finished,
};

/* --- what the runner does --- */

static void
set(char **place, const char *text)
{
	free(*place);
	*place = mem_strdup(text);
}

/* What stands at the top and is done before the engine begins. */
static bool
prepare(struct player *player, const char *line)
{
	if (strcmp(line, "tls stls") == 0)
		player->params.tls = POP3_TLS_STLS;
	else if (strcmp(line, "tls implicit") == 0)
		player->params.tls = POP3_TLS_IMPLICIT;
	else if (strncmp(line, "user ", 5) == 0)
		set(&player->username, line + 5);
	else if (strncmp(line, "password ", 9) == 0)
		set(&player->password, line + 9);
	else
		return strcmp(line, "whole") == 0;
	player->params.username = player->username;
	player->params.password = player->password;
	player->secured = player->params.tls == POP3_TLS_IMPLICIT;
	return true;
}

/* True when the line is one that the runner does. */
static bool
act(struct player *player, const char *line)
{
	unsigned number = 0, lines = 0;
	char verb[16] = "";

	sscanf(line, "%15s %u %u", verb, &number, &lines);
	if (strcmp(verb, "secured") == 0) {
		player->secured = true;
		pop3_client_secured(player->client);
	} else if (strcmp(verb, "list") == 0) {
		pop3_client_list(player->client);
	} else if (strcmp(verb, "retr") == 0) {
		pop3_client_retrieve(player->client, number);
	} else if (strcmp(verb, "top") == 0) {
		pop3_client_top(player->client, number, lines);
	} else if (strcmp(verb, "dele") == 0) {
		pop3_client_delete(player->client, number);
	} else if (strcmp(verb, "quit") == 0) {
		pop3_client_quit(player->client);
	} else if (strcmp(verb, "lost") == 0) {
		pop3_client_lost(player->client, line + 5);
	} else {
		return prepare(player, line);
	}
	return true;
}

/* --- playing --- */

static void
feed(struct player *player)
{
	size_t step = player->by_octet ? 1 : player->input.len, used;
	struct buf seen = { 0 };

	while (player->input.len > 0) {
		buf_append(&seen, buf_octets(&player->input), step);
		buf_consume(&player->input, step);
		used = pop3_client_input(player->client, buf_octets(&seen), seen.len);
		buf_consume(&seen, used);
		assert_true(seen.len < POP3_LINE_MAX);
	}
	buf_free(&seen);
}

static void
ask(struct player *player, const char *line)
{
	const struct pop3_capabilities *offers = pop3_client_capabilities(player->client);

	if (strncmp(line, "offers", 6) == 0) {
		recordf(player, "offers%s%s%s%s%s%s%s", offers->known ? "" : " unknown",
		    offers->stls ? " stls" : "", offers->user ? " user" : "",
		    offers->sasl_plain ? " plain" : "", offers->pipelining ? " pipelining" : "",
		    offers->top ? " top" : "", offers->uidl ? " uidl" : "")->exact = true;
	} else if (strncmp(line, "step ", 5) == 0) {
		recordf(player, "step %s", pop3_client_step(player->client));
	} else if (strncmp(line, "timeout ", 8) == 0) {
		recordf(player, "timeout %u%s", pop3_client_timeout(player->client),
		    pop3_client_is_in_lines(player->client) ? " in lines" : "")->exact = true;
	} else if (strncmp(line, "writes ", 7) == 0) {
		recordf(player, "writes %u", player->writes)->exact = true;
		player->writes = 0;
	}
}

static void
expect(struct player *player, const struct dialog_line *line)
{
	struct event *event;

	ask(player, line->octets);
	if (player->event_next == player->event_count)
		fail_msg("%s:%u: nothing comes, expected: %s", player->path, line->number,
		    line->octets);
	event = &player->events[player->event_next++];
	if (event->kind != line->side || event->text.len < line->len ||
	    (event->exact && event->text.len != line->len) ||
	    memcmp(buf_octets(&event->text), line->octets, line->len) != 0)
		fail_msg("%s:%u: expected: %s\nfound: %s", player->path, line->number,
		    line->octets, buf_text(&event->text));
}

static void
none_left(struct player *player)
{
	if (player->event_next != player->event_count)
		fail_msg("%s:%u: not expected: %s", player->path, player->number,
		    buf_text(&player->events[player->event_next].text));
}

static void
play_lines(struct player *player, const struct dialog *dialog, size_t i)
{
	for (; i < dialog->count; i++) {
		const struct dialog_line *line = &dialog->lines[i];

		player->number = line->number;
		if (line->side == 'S') {
			none_left(player);
			buf_append(&player->input, line->octets, line->len);
			if (i + 1 == dialog->count || dialog->lines[i + 1].side != 'S')
				feed(player);
		} else if (line->side == 'C' || !act(player, line->octets)) {
			expect(player, line);
		}
	}
	none_left(player);
}

static void
play(const char *path, const struct dialog *dialog, bool by_octet)
{
	struct player *player = mem_zalloc(sizeof(*player));
	struct error err;
	bool can_log_in;
	size_t i = 0;

	player->path = path;
	player->by_octet = by_octet;
	prepare(player, "user ann");
	prepare(player, "password secret");
	while (i < dialog->count && dialog->lines[i].side == '=' &&
	    prepare(player, dialog->lines[i].octets))
		i++;
	can_log_in = pop3_client_check_login(&player->params, &err);
	if (i < dialog->count && strcmp(dialog->lines[i].octets, "login-refused") == 0) {
		assert_false(can_log_in);
		assert_null(strchr(err.text, '\n'));
	} else {
		assert_true(can_log_in);
		player->client = pop3_client_new(&player->params, &events, player);
		play_lines(player, dialog, i);
		pop3_client_lost(player->client, "end of the test");
		assert_true(player->finished);
		pop3_client_lost(player->client, "again");
		pop3_client_input(player->client, "+OK\r\n", 5);
		assert_int_equal(pop3_client_timeout(player->client), 0);
		pop3_client_free(player->client);
	}
	for (i = 0; i < player->event_count; i++)
		buf_free(&player->events[i].text);
	buf_free(&player->input);
	free(player->username);
	free(player->password);
	free(player);
}

static int
is_dialogue(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 4 && strcmp(entry->d_name + len - 4, ".dlg") == 0;
}

static void
test_dialogues(void **state)
{
	const char *root = getenv("HERALD_SRCDIR");
	char *folder = mem_printf("%s/tests/dialog/pop3", root == NULL ? "." : root);
	struct dirent **entries;
	int count = scandir(folder, &entries, is_dialogue, alphasort);

	(void)state;
	assert_in_range(count, 40, 1000);
	for (int i = 0; i < count; i++) {
		char *path = mem_printf("%s/%s", folder, entries[i]->d_name);
		struct dialog dialog = dialog_read(path);

		play(path, &dialog, false);
		if (strcmp(dialog.lines[0].octets, "whole") != 0)
			play(path, &dialog, true);
		dialog_free(&dialog);
		free(path);
		free(entries[i]);
	}
	print_message("%d dialogues\n", count);
	free(entries);
	free(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dialogues) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
