/* smtp_server_fixture.h - an owner of the SMTP server that checks the order of its calls. */
#ifndef HERALD_TESTS_SMTP_SERVER_FIXTURE_H
#define HERALD_TESTS_SMTP_SERVER_FIXTURE_H

#include "base/mem.h"
#include "proto/smtp_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CODES_MAX	128
#define MAILS_MAX	40

/* What a session came to: reply codes in order, and what was in each mail. */
struct result {
	unsigned codes[CODES_MAX];
	size_t code_count;
	struct { unsigned recipients, octets; } mails[MAILS_MAX];
	size_t mail_count;
};

struct session {
	struct smtp_server *server;
	struct result result;
	bool is_late;			/* answers come from settle(), not from inside */
	bool open, in_data, asks_store, asks_auth, starts_tls, more_input;
	bool has_password;
	unsigned recipients, content, resets, quits, refusals, logins;
	char reply[600], last_line[600];
	size_t reply_len;
	char last_verb[32];
};

static inline void
say(struct result *result, unsigned code)
{
	assert_true(result->code_count < CODES_MAX);
	result->codes[result->code_count++] = code;
}

static inline void
say_mail(struct result *result, unsigned recipients, unsigned octets)
{
	assert_true(result->mail_count < MAILS_MAX);
	result->mails[result->mail_count].recipients = recipients;
	result->mails[result->mail_count++].octets = octets;
}

static inline void
take_reply_line(struct session *session)
{
	session->reply[session->reply_len] = '\0';
	if (session->reply[3] != '-')
		say(&session->result, (unsigned)strtoul(session->reply, NULL, 10));
	memcpy(session->last_line, session->reply, session->reply_len + 1);
	session->reply_len = 0;
}

static inline void
on_output(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;

	for (size_t i = 0; i < len; i++) {
		assert_true(session->reply_len < 511);
		session->reply[session->reply_len++] = octets[i];
		if (octets[i] == '\n') {
			assert_int_equal(session->reply[session->reply_len - 2], '\r');
			take_reply_line(session);
		}
	}
}

static inline struct status
on_mail(void *owner, const struct address *reverse_path, const struct smtp_mail_params *params)
{
	struct session *session = owner;

	(void)params;
	assert_false(session->open);
	if (strcmp(reverse_path->local, "later") == 0)
		return status_reply(452, "4.3.1", "later");
	session->open = true;
	session->recipients = 0;
	return status_reply(250, "2.1.0", "Ok");
}

static inline struct status
on_rcpt(void *owner, const struct address *forward_path, const struct smtp_rcpt_params *params)
{
	struct session *session = owner;

	(void)params;
	assert_true(session->open && !session->in_data);
	if (strcmp(forward_path->local, "no") == 0)
		return status_reply(554, "5.7.1", "no");
	session->recipients++;
	return status_reply(250, "2.1.5", "Ok");
}

static inline struct status
on_data(void *owner)
{
	struct session *session = owner;

	assert_true(session->open && session->recipients > 0);
	session->in_data = true;
	session->content = 0;
	return status_reply(354, "", "go");
}

static inline void
on_content(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;

	(void)octets;
	assert_true(session->in_data);
	session->content += (unsigned)len;
}

static inline void
answer_store(struct session *session)
{
	struct status status = status_reply(250, "2.0.0", "queued");

	session->asks_store = false;
	smtp_server_answer(session->server, &status);
}

static inline void
on_end(void *owner)
{
	struct session *session = owner;

	assert_true(session->in_data);
	say_mail(&session->result, session->recipients, session->content);
	session->open = session->in_data = false;
	session->asks_store = true;
	if (!session->is_late)
		answer_store(session);
}

static inline void
on_reset(void *owner)
{
	struct session *session = owner;

	assert_true(session->open);
	session->open = session->in_data = false;
	session->resets++;
}

static inline void
on_refused(void *owner, const struct smtp_refusal *refusal)
{
	struct session *session = owner;

	session->refusals++;
	snprintf(session->last_verb, sizeof(session->last_verb), "%s", refusal->verb);
}

static inline void
on_quit(void *owner)
{
	struct session *session = owner;

	session->quits++;
}

static inline void
on_starttls(void *owner, bool more_input)
{
	struct session *session = owner;
	const struct status status = status_reply(421, "4.7.0", "octets behind STARTTLS");

	assert_false(session->open);
	session->more_input = more_input;
	if (more_input)
		smtp_server_close(session->server, &status);
	else if (session->is_late)
		session->starts_tls = true;
	else
		smtp_server_secured(session->server);
}

static inline void
answer_auth(struct session *session)
{
	struct status status = session->has_password ? status_reply(235, "2.7.0", "welcome") :
	    status_reply(535, "5.7.8", "wrong");

	session->asks_auth = false;
	smtp_server_auth_answer(session->server, &status);
}

/* The password of everybody is "b". */
static inline void
on_auth(void *owner, const char *username, const char *password)
{
	struct session *session = owner;

	assert_false(session->open);
	assert_true(username[0] != '\0');
	session->logins++;
	session->has_password = strcmp(password, "b") == 0;
	session->asks_auth = true;
	if (!session->is_late)
		answer_auth(session);
}

/* What an owner does a little later. */
static inline void
settle(struct session *session)
{
	if (session->asks_store || session->asks_auth)
		assert_true(smtp_server_awaits_answer(session->server));
	if (session->asks_store)
		answer_store(session);
	if (session->asks_auth)
		answer_auth(session);
	if (session->starts_tls) {
		session->starts_tls = false;
		smtp_server_secured(session->server);
	}
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

/* All is offered, in clear, too. */
static inline struct session *
open_session(unsigned max_errors)
{
	const struct smtp_server_settings settings = {
		.hostname = "h.example", .max_message_size = 1000, .max_recipients = 1000,
		.max_errors = max_errors, .offers_starttls = true, .auth_in_clear = true,
		.offers_auth = SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN,
	};
	struct session *session = mem_zalloc(sizeof(*session));

	session->server = smtp_server_new(&settings, &events, session);
	return session;
}

static inline void
close_session(struct session *session)
{
	smtp_server_free(session->server);
	free(session);
}

static inline void
send_octets(struct session *session, const char *octets, size_t len)
{
	assert_int_equal(smtp_server_input(session->server, octets, len), len);
}

static inline void
send_text(struct session *session, const char *text)
{
	send_octets(session, text, strlen(text));
}

#endif
