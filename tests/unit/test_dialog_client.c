/* test_dialog_client.c - plays tests/dialog/client/ against the client's engine. */
#include "dialog.h"

#include "base/buf.h"
#include "base/mem.h"
#include "mail/envelope.h"
#include "proto/smtp_client.h"
#include "proto/smtp_extensions.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Lines of a dialogue beside S: and C:.  What the runner does:
 *   = params tls=starttls user=ann password=secret auth=plain clear
 *   = mail SENDER RECIPIENT… [as=NAME] [size=N] [8bit] [declared] [first=N] [memory]
 *     [utf8-header] [ret=full] [envid=XTEXT]; behind a recipient [notify=LETTERS] [orcpt=TEXT]
 *   = secured, = data-sent, = quit, = lost TEXT
 *   = whole (first line: do not play it octet by octet, too)
 * What the engine must report, in this order; the text may be cut:
 *   = ready, = start-tls, = send-data [bdat] [NAME], = finished CLASS CODE TEXT,
 *   = recipient [NAME] N CLASS CODE TEXT | STEP[, untouched][, not sent][, fewer]
 *   and on asking: = offers WORDS, = step NAME, = auth-refused, = session-refused,
 *   = writes N (since asked last)
 * S: lines behind each other come in one segment.  The random part of SCRAM is a "*". */
enum { EVENTS_MAX = 4096, MAILS_MAX = 8 };

struct played_mail {
	struct player *player;
	struct envelope *envelope;
	char name[8];			/* with a blank in front; or "" */
	unsigned *fates;		/* reports for each recipient */
	size_t first, count;
};

struct player {
	const char *path;
	unsigned number;		/* of the line played */
	struct smtp_client_params params;
	char *words[4];			/* what params point to */
	struct smtp_client *client;
	struct played_mail mails[MAILS_MAX];
	size_t mail_count;
	struct { char kind; char *text; } events[EVENTS_MAX];
	size_t event_count, event_next;
	struct buf input;
	unsigned writes;		/* calls of send() */
	bool by_octet, finished;
};

static void
record(struct player *player, char kind, char *text)
{
	assert_true(player->event_count < EVENTS_MAX);
	player->events[player->event_count].kind = kind;
	player->events[player->event_count++].text = text;
}

#define SCRAM "AUTH SCRAM-SHA-256 "

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct player *player = owner;
	const char *end;

	player->writes++;
	assert_int_equal(secret, strcmp(smtp_client_step(player->client), "AUTH") == 0 &&
	    strncmp(octets, "QUIT", 4) != 0);
	for (; len > 0; octets = end) {
		end = memchr(octets, '\n', len);
		assert_non_null(end);
		end++;
		if (strncmp(octets, SCRAM, strlen(SCRAM)) == 0)
			record(player, 'C', mem_strdup(SCRAM "*\r\n"));
		else
			record(player, 'C', mem_strndup(octets, (size_t)(end - octets)));
		len -= (size_t)(end - octets);
	}
}

static void
on_start_tls(void *owner)
{
	record(owner, '=', mem_strdup("start-tls"));
}

static void
on_send_data(void *owner, void *cookie, bool bdat)
{
	const struct played_mail *mail = cookie;

	record(owner, '=', mem_printf("send-data%s%s", bdat ? " bdat" : "", mail->name));
}

static void
on_ready(void *owner)
{
	record(owner, '=', mem_strdup("ready"));
}

static char *
describe(const char *what, const struct status *status)
{
	static const char *const classes[] = { [STATUS_SUCCESS] = "success",
	    [STATUS_TRANSIENT] = "transient", [STATUS_PERMANENT] = "permanent" };
	char dsn[STATUS_DSN_MAX], text[STATUS_TEXT_MAX + 16];

	return mem_printf("%s %s %s %s", what, classes[status_class(status)],
	    status_dsn(status, dsn), status_text(status, text, sizeof(text)));
}

static void
on_recipient(void *owner, void *cookie, size_t index, const struct status *status)
{
	struct player *player = owner;
	struct played_mail *mail = cookie;
	char what[48], *said;

	assert_ptr_equal(mail->player, player);
	assert_false(player->finished);
	assert_in_range(index, mail->first, mail->first + mail->count - 1);
	assert_int_equal(++mail->fates[index], 1);
	snprintf(what, sizeof(what), "recipient%s %zu", mail->name, index);
	said = describe(what, status);
	record(player, '=', mem_printf("%s | %s%s%s%s", said,
	    smtp_client_reply_step(player->client),
	    smtp_client_is_untouched(player->client) ? ", untouched" : "",
	    smtp_client_mail_was_sent(player->client) ? "" : ", not sent",
	    smtp_client_wants_fewer(player->client, status) ? ", fewer" : ""));
	free(said);
}

static void
on_finished(void *owner, const struct status *status)
{
	struct player *player = owner;

	assert_false(player->finished);
	player->finished = true;
	assert_int_not_equal(status_class(status), STATUS_PERMANENT);
	for (size_t n = 0; n < player->mail_count; n++)
		for (size_t i = 0; i < player->mails[n].count; i++)
			assert_int_equal(player->mails[n].fates[player->mails[n].first + i], 1);
	record(player, '=', describe("finished", status));
}

static const struct smtp_client_events events = {
	.send = on_send, .start_tls = on_start_tls, .send_data = on_send_data, .on_ready = on_ready,
	.on_recipient = on_recipient, .on_finished = on_finished,
};

/* --- what the runner does --- */

static void
do_params(struct player *player, const char *line)
{
	static const struct { const char *word; enum smtp_client_tls tls; } policies[] = {
		{ "tls=starttls", SMTP_CLIENT_TLS_STARTTLS },
		{ "tls=implicit", SMTP_CLIENT_TLS_IMPLICIT },
		{ "tls=opportunistic", SMTP_CLIENT_TLS_OPPORTUNISTIC },
	};
	static const struct { const char *word; enum smtp_client_auth auth; } mechanisms[] = {
		{ "auth=plain", SMTP_CLIENT_AUTH_PLAIN },
		{ "auth=login", SMTP_CLIENT_AUTH_LOGIN },
		{ "auth=cram-md5", SMTP_CLIENT_AUTH_CRAM_MD5 },
		{ "auth=scram-sha-256", SMTP_CLIENT_AUTH_SCRAM_SHA_256 },
	};
	struct smtp_client_params *params = &player->params;
	char *words = mem_strdup(line);

	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
		bool known = true;

		if (strcmp(word, "clear") == 0)
			params->auth_in_clear = true;
		else if (strncmp(word, "user=", 5) == 0)
			params->username = player->words[0] = mem_strdup(word + 5);
		else if (strncmp(word, "password=", 9) == 0)
			params->password = player->words[1] = mem_strdup(word + 9);
		else
			known = false;
		for (size_t i = 0; i < sizeof(policies) / sizeof(policies[0]); i++)
			if (strcmp(word, policies[i].word) == 0 && (known = true))
				params->tls = policies[i].tls;
		for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
			if (strcmp(word, mechanisms[i].word) == 0 && (known = true))
				params->auth = mechanisms[i].auth;
		if (!known)
			fail_msg("%s:%u: %s?", player->path, player->number, word);
	}
	free(words);
}

/* Of the recipient before it: "SFD" or "N" for NOTIFY, and ORCPT. */
static bool
add_dsn_word(struct envelope *envelope, const char *word)
{
	static const char letters[] = "NSFD";	/* in the order of the bits */
	struct recipient *last = envelope->recipient_count == 0 ? NULL :
	    &envelope->recipients[envelope->recipient_count - 1];

	if (strncmp(word, "envid=", 6) == 0) {
		envelope->envid = envelope_keep(envelope, word + 6, strlen(word + 6));
	} else if (strncmp(word, "ret=", 4) == 0) {
		envelope->ret = strcmp(word + 4, "full") == 0 ? RET_FULL : RET_HDRS;
	} else if (last != NULL && strncmp(word, "orcpt=", 6) == 0) {
		last->orcpt = envelope_keep(envelope, word + 6, strlen(word + 6));
	} else if (last != NULL && strncmp(word, "notify=", 7) == 0) {
		for (word += 7; *word != '\0'; word++)
			last->notify |= 1u << (strchr(letters, *word) - letters);
	} else {
		return false;
	}
	return true;
}

static void
add_word(struct played_mail *played, const char *word, struct smtp_client_mail *mail)
{
	struct envelope *envelope = played->envelope;
	struct address address;

	if (strncmp(word, "size=", 5) == 0) {
		envelope->size = strtoull(word + 5, NULL, 10);
	} else if (strncmp(word, "first=", 6) == 0) {
		mail->first = strtoul(word + 6, NULL, 10);
	} else if (strncmp(word, "as=", 3) == 0) {
		snprintf(played->name, sizeof(played->name), " %s", word + 3);
	} else if (strcmp(word, "8bit") == 0) {
		mail->eight_bit = envelope->body_8bit = true;
	} else if (strcmp(word, "declared") == 0) {
		envelope->body_8bit = true;
	} else if (strcmp(word, "memory") == 0) {
		mail->in_memory = true;
	} else if (strcmp(word, "utf8-header") == 0) {
		mail->utf8_header = true;
	} else if (!add_dsn_word(envelope, word)) {
		assert_int_equal(address_parse(&address, word, strlen(word)), ADDRESS_OK);
		envelope_add(envelope, &address);
	}
}

static void
do_mail(struct player *player, char *words)
{
	struct played_mail *played = &player->mails[player->mail_count++];
	struct smtp_client_mail mail = { .cookie = played };
	struct address sender = { .local = "" };
	char *word = strtok(words, " ");

	assert_non_null(word);
	assert_in_range(player->mail_count, 1, MAILS_MAX);
	if (strcmp(word, "<>") != 0)
		assert_int_equal(address_parse(&sender, word, strlen(word)), ADDRESS_OK);
	played->player = player;
	played->envelope = envelope_new(&sender);
	played->envelope->size = 100;
	while ((word = strtok(NULL, " ")) != NULL)
		add_word(played, word, &mail);
	mail.envelope = played->envelope;
	mail.count = played->envelope->recipient_count - mail.first;
	played->fates = mem_array(played->envelope->recipient_count, sizeof(*played->fates));
	played->first = mail.first;
	played->count = mail.count;
	smtp_client_mail(player->client, &mail);
}

static char *
offered(const struct smtp_extensions *extensions)
{
	return mem_printf("offers%s%s%s%s%s%s%s%s%s%s%s size=%llu",
	    extensions->pipelining ? " pipelining" : "",
	    extensions->eight_bit_mime ? " 8bitmime" : "", extensions->starttls ? " starttls" : "",
	    extensions->enhanced_status_codes ? " enhanced" : "", extensions->dsn ? " dsn" : "",
	    extensions->smtputf8 ? " smtputf8" : "", extensions->chunking ? " chunking" : "",
	    extensions->auth_plain ? " plain" : "", extensions->auth_login ? " login" : "",
	    extensions->auth_cram_md5 ? " cram-md5" : "",
	    extensions->auth_scram_sha_256 ? " scram-sha-256" : "",
	    (unsigned long long)extensions->size_max);
}

/* True when the line is one that the runner does. */
static bool
act(struct player *player, const char *line)
{
	char *copy = mem_strdup(line), *rest = strchr(copy, ' ');
	bool done = true;

	if (rest != NULL)
		*rest++ = '\0';
	if (strcmp(copy, "mail") == 0)
		do_mail(player, rest);
	else if (strcmp(copy, "secured") == 0)
		smtp_client_secured(player->client);
	else if (strcmp(copy, "data-sent") == 0)
		smtp_client_data_sent(player->client);
	else if (strcmp(copy, "quit") == 0)
		smtp_client_quit(player->client);
	else if (strcmp(copy, "lost") == 0)
		smtp_client_lost(player->client, rest);
	else
		done = strcmp(copy, "whole") == 0 || strcmp(copy, "params") == 0;
	free(copy);
	return done;
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
		used = smtp_client_input(player->client, buf_octets(&seen), seen.len);
		buf_consume(&seen, used);
		assert_true(seen.len <= 2048);
	}
	buf_free(&seen);
}

static void
expect(struct player *player, const struct dialog_line *line)
{
	const char *found;
	size_t len = line->side == 'C' ? line->len + 1 : line->len;

	if (strncmp(line->octets, "offers", 6) == 0)
		record(player, '=', offered(smtp_client_extensions(player->client)));
	else if (strncmp(line->octets, "step ", 5) == 0)
		record(player, '=', mem_printf("step %s", smtp_client_step(player->client)));
	else if (strncmp(line->octets, "writes ", 7) == 0)
		record(player, '=', mem_printf("writes %u", player->writes));
	else if (strcmp(line->octets, "auth-refused") == 0)
		record(player, '=', mem_strdup(smtp_client_auth_refused(player->client) ?
		    "auth-refused" : "auth not refused"));
	else if (strcmp(line->octets, "session-refused") == 0)
		record(player, '=', mem_strdup(smtp_client_session_refused(player->client) ?
		    "session-refused" : "session not refused"));
	if (strncmp(line->octets, "writes ", 7) == 0)
		player->writes = 0;
	if (player->event_next == player->event_count)
		fail_msg("%s:%u: nothing comes, expected: %s", player->path, line->number,
		    line->octets);
	found = player->events[player->event_next].text;
	if (player->events[player->event_next].kind != line->side ||
	    strncmp(found, line->octets, len) != 0)
		fail_msg("%s:%u: expected: %s\nfound: %s", player->path, line->number,
		    line->octets, found);
	player->event_next++;
}

static void
none_left(struct player *player)
{
	if (player->event_next != player->event_count)
		fail_msg("%s:%u: not expected: %s", player->path, player->number,
		    player->events[player->event_next].text);
}

static void
play_lines(struct player *player, const struct dialog *dialog)
{
	for (size_t i = 0; i < dialog->count; i++) {
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

	player->path = path;
	player->by_octet = by_octet;
	player->params.helo = "relay.example.org";
	for (size_t i = 0; i < dialog->count && dialog->lines[i].side == '='; i++)
		if (strncmp(dialog->lines[i].octets, "params ", 7) == 0)
			do_params(player, dialog->lines[i].octets + 7);
	player->client = smtp_client_new(&player->params, &events, player);
	play_lines(player, dialog);
	/* Whatever state the dialogue ends in: each recipient has a fate, once. */
	smtp_client_lost(player->client, "end of the test");
	assert_true(player->finished);
	smtp_client_lost(player->client, "again");
	smtp_client_free(player->client);
	for (size_t i = 0; i < player->event_count; i++)
		free(player->events[i].text);
	for (size_t i = 0; i < 4; i++)
		free(player->words[i]);
	for (size_t i = 0; i < player->mail_count; i++) {
		envelope_free(player->mails[i].envelope);
		free(player->mails[i].fates);
	}
	buf_free(&player->input);
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
	char *folder = mem_printf("%s/tests/dialog/client", root == NULL ? "." : root);
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
	free(entries);
	free(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dialogues) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
