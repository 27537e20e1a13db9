/* smtp_client.c - the client's half of an SMTP dialogue, without sockets. */
#include "proto/smtp_client.h"

#include "base/mem.h"
#include "proto/smtp_client_steps.h"

#include <assert.h>
#include <stdlib.h>

static void
finish(struct smtp_client *client, const struct status *status)
{
	const struct status copy = *status;

	if (client->step == STEP_END)
		return;
	if (status_class(&copy) != STATUS_SUCCESS) {
		smtp_mail_tell_rest(client, &client->now, &copy);
		smtp_mail_tell_rest(client, &client->next, &copy);
	}
	client->step = STEP_END;
	client->progress++;
	client->due = 0;
	client->asked = false;
	client->events->on_finished(client->owner, &copy);
}

/* Whether a mail may be given, and so be written.  Behind the end of mail data that may be
 * at once, as its reply ends the transaction whatever it says (RFC 2920 3.1). */
static bool
takes_mail(const struct smtp_client *client)
{
	const enum smtp_step step = client->step;

	if (step == STEP_READY)
		return true;
	if (!client->extensions.pipelining || client->quitting || client->chunk_open ||
	    client->session_refused || client->next.mail.count > 0)
		return false;
	return step == STEP_DOT ||
	    (client->now.bdat && (step == STEP_MAIL || step == STEP_RCPT));
}

static void
ask_for_mail(struct smtp_client *client)
{
	if (client->asked || !takes_mail(client))
		return;
	client->asked = true;
	client->events->on_ready(client->owner);
}

static void
enter(struct smtp_client *client, enum smtp_step step)
{
	struct status status;

	/* Who answers a question before it is asked would get its answers mixed up:
	 * nothing more is said to it (CVE-2011-0411 when the question is STARTTLS). */
	if (client->premature && step != STEP_FAULT && step != STEP_END) {
		client->fault = status_local("4.5.0", "%s: the peer said more than it was asked",
		    smtp_step_rows[client->step].name);
		step = STEP_FAULT;
	}
	if (step == STEP_FAULT || step == STEP_END) {
		/* Behind a DATA that is not answered QUIT might be taken for mail data. */
		if (step == STEP_FAULT && client->parting && !client->premature &&
		    client->due == 0)
			client->events->send(client->owner, "QUIT\r\n", 6, false);
		status = step == STEP_FAULT ? client->fault : status_local("2.0.0", "closed");
		finish(client, &status);
		return;
	}
	client->step = step;
	client->progress++;
	if (client->now.ahead > 0)
		client->now.ahead--;
	else if (smtp_step_rows[step].enter != NULL)
		smtp_step_rows[step].enter(client);
	ask_for_mail(client);
}

/* 421 may answer anything (RFC 5321 3.8): it ends the session, and what is open in it. */
static void
on_421(struct smtp_client *client)
{
	const struct status said = smtp_reply_status(&client->reply);

	smtp_mail_tell_rest(client, &client->now, &said);
	smtp_step_refused(client);
	client->parting = false;	/* the peer closes by itself */
	enter(client, STEP_FAULT);
}

/* `more`: octets follow the reply. */
static void
on_reply(struct smtp_client *client, bool more)
{
	bool asked = client->due > 0;
	enum smtp_step next;

	client->progress++;
	if (asked)
		client->due--;
	client->premature = !asked || (more && client->due == 0);
	/* A challenge in good order is the mechanism's, and never shown. */
	if (client->step == STEP_AUTH &&
	    (client->reply.code != 334 || client->reply.line_count != 1))
		smtp_auth_withhold_secret(client);
	if (client->reply.code == 421 && client->step != STEP_QUIT) {
		on_421(client);
		return;
	}
	/* Unasked words of a peer that closes are passed on; all else is out of step. */
	if (!asked && client->reply.code < 400)
		next = smtp_step_odd(client);
	else
		next = smtp_step_rows[client->step].on_reply(client);
	smtp_reply_reset(&client->reply);
	enter(client, next);
}

struct smtp_client *
smtp_client_new(const struct smtp_client_params *params, const struct smtp_client_events *events,
    void *owner)
{
	struct smtp_client *client = mem_zalloc(sizeof(*client));

	client->params = params;
	client->events = events;
	client->owner = owner;
	client->step = STEP_GREETING;
	client->due = 1;
	client->secured = params->tls == SMTP_CLIENT_TLS_IMPLICIT;
	return client;
}

void
smtp_client_free(struct smtp_client *client)
{
	if (client == NULL)
		return;
	smtp_reply_free(&client->reply);
	buf_free(&client->out);
	buf_free(&client->held);
	sasl_end(&client->sasl);
	smtp_mail_clear(&client->now);
	smtp_mail_clear(&client->next);
	free(client);
}

static void
bad_reply(struct smtp_client *client)
{
	enter(client, smtp_step_fault(client, status_local("4.5.0", "%s: %s",
	    smtp_step_rows[client->step].name, client->reply.fault)));
}

/* Judges the replies that stand in client->held, as long as they may be judged. */
static void
judge_held(struct smtp_client *client, bool to_the_end)
{
	struct buf *held = &client->held;
	enum smtp_reply_read read = SMTP_REPLY_COMPLETE;
	size_t used;

	while (held->len > 0 && read == SMTP_REPLY_COMPLETE && client->step != STEP_END &&
	    (!client->chunk_open || to_the_end)) {
		read = smtp_reply_read(&client->reply, buf_octets(held), held->len, &used);
		buf_consume(held, used);
		if (read == SMTP_REPLY_COMPLETE)
			on_reply(client, held->len > 0);
		else if (read == SMTP_REPLY_BAD)
			bad_reply(client);
	}
}

/* While the octets of a BDAT are written their mail must stay, whatever is said to it. */
static void
hold(struct smtp_client *client, const char *octets, size_t len)
{
	buf_append(&client->held, octets, len);
	if (client->held.len > SMTP_REPLY_MAX)
		enter(client, smtp_step_fault(client, status_local("4.5.0",
		    "%s: the peer said more than it was asked",
		    smtp_step_rows[client->step].name)));
}

size_t
smtp_client_input(struct smtp_client *client, const char *octets, size_t len)
{
	size_t total = 0, used;

	while (total < len && client->step != STEP_END) {
		if (client->chunk_open || client->held.len > 0) {
			hold(client, octets + total, len - total);
			judge_held(client, false);
			break;
		}
		switch (smtp_reply_read(&client->reply, octets + total, len - total, &used)) {
		case SMTP_REPLY_MORE:
			return total + used;
		case SMTP_REPLY_COMPLETE:
			total += used;
			on_reply(client, total < len);
			break;
		case SMTP_REPLY_BAD:
			bad_reply(client);
			break;
		}
	}
	return len;
}

void
smtp_client_secured(struct smtp_client *client)
{
	if (client->step != STEP_HANDSHAKE)
		return;
	client->secured = true;
	enter(client, STEP_EHLO);
}

/* It was asked for before the session was refused. */
static void
refuse_mail(struct smtp_client *client, const struct smtp_client_mail *mail)
{
	const struct status fault = client->fault;

	if (smtp_mail_begin(client, &client->next, mail))
		smtp_mail_tell_rest(client, &client->next, &fault);
	smtp_mail_clear(&client->next);
}

void
smtp_client_mail(struct smtp_client *client, const struct smtp_client_mail *mail)
{
	const bool follows = client->step != STEP_READY;

	assert(client->asked);
	client->asked = false;
	if (client->session_refused)
		refuse_mail(client, mail);
	else if (!smtp_mail_begin(client, follows ? &client->next : &client->now, mail))
		ask_for_mail(client);
	else if (follows)
		smtp_mail_follow(client);
	else
		enter(client, STEP_MAIL);
}

void
smtp_client_data_sent(struct smtp_client *client)
{
	if (client->chunk_open) {
		client->chunk_open = false;
		client->progress++;
		ask_for_mail(client);
		judge_held(client, false);
	} else if (client->step == STEP_CONTENT) {
		client->due++;
		enter(client, STEP_DOT);
	}
}

void
smtp_client_quit(struct smtp_client *client)
{
	assert(client->asked);
	client->asked = false;
	if (client->step == STEP_READY) {
		enter(client, STEP_QUIT);
		return;
	}
	client->quitting = true;
	smtp_step_say(client, "QUIT");
}

void
smtp_client_lost(struct smtp_client *client, const char *text)
{
	struct status status;

	judge_held(client, true);
	/* The server may close after its last 250: keep what it said, drop only the reuse. */
	if (client->step == STEP_QUIT)
		status = status_local("2.0.0", "closed");
	else if (client->session_refused)
		status = client->fault;
	else
		status = status_local(client->step == STEP_HANDSHAKE ? "4.7.5" : "4.4.2", "%s: %s",
		    smtp_step_rows[client->step].name, text);
	finish(client, &status);
}

unsigned
smtp_client_timeout(const struct smtp_client *client)
{
	enum smtp_step step = client->chunk_open ? STEP_CONTENT : client->step;

	/* RFC 2920 3.2: a server may keep replies back and send them with that to BDAT, so the
	 * time that it takes to deal with the mail data is granted to each. */
	if (client->now.bdat && (step == STEP_MAIL || step == STEP_RCPT))
		step = STEP_DOT;
	return smtp_step_rows[step].timeout;
}

unsigned
smtp_client_progress(const struct smtp_client *client)
{
	return client->progress;
}

bool
smtp_client_is_in_auth(const struct smtp_client *client)
{
	return client->step == STEP_AUTH;
}

const char *
smtp_client_step(const struct smtp_client *client)
{
	return smtp_step_rows[client->step].name;
}

bool
smtp_client_auth_refused(const struct smtp_client *client)
{
	return client->auth_refused;
}

bool
smtp_client_bdat_refused(const struct smtp_client *client)
{
	return client->bdat_refused;
}

bool
smtp_client_session_refused(const struct smtp_client *client)
{
	return client->session_refused;
}

const struct smtp_extensions *
smtp_client_extensions(const struct smtp_client *client)
{
	return &client->extensions;
}

bool
smtp_client_is_untouched(const struct smtp_client *client)
{
	return client->telling != NULL && client->telling->stage == MAIL_SENT;
}

bool
smtp_client_wants_fewer(const struct smtp_client *client, const struct status *status)
{
	const struct enhanced_code code = status->enhanced;

	return client->telling == &client->now && client->step == STEP_RCPT &&
	    client->now.accepted > 0 && status->reply_code == 452 &&
	    (code.class == 0 || (code.subject == 5 && code.detail == 3));
}

bool
smtp_client_mail_was_sent(const struct smtp_client *client)
{
	return client->telling != NULL && client->telling->stage != MAIL_NOT_SENT;
}

const char *
smtp_client_reply_step(const struct smtp_client *client)
{
	if (client->telling == NULL || client->telling->stage == MAIL_NOT_SENT)
		return smtp_step_rows[STEP_EHLO].name;
	if (client->telling == &client->next)
		return smtp_step_rows[STEP_MAIL].name;
	return smtp_step_rows[client->step].name;
}
