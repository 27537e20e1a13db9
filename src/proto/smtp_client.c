/* smtp_client.c - the client's half of an SMTP dialogue, without sockets. */
#include "proto/smtp_client.h"

#include "base/mem.h"
#include "proto/smtp_client_steps.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

void
smtp_client_settle(struct smtp_client *client, size_t i, const struct status *status)
{
	if (client->settled[i])
		return;
	client->settled[i] = true;
	client->events->on_recipient(client->owner, client->mail.first + i, status);
}

/* The envelope may be gone behind the last of them: only our own fields are looked at. */
void
smtp_client_settle_rest(struct smtp_client *client, const struct status *status)
{
	size_t count = client->mail.count;

	for (size_t i = 0; i < count; i++)
		smtp_client_settle(client, i, status);
	client->accepted = 0;
}

static void
finish(struct smtp_client *client, const struct status *status)
{
	const struct status copy = *status;

	if (client->step == STEP_END)
		return;
	if (status_class(&copy) != STATUS_SUCCESS)
		smtp_client_settle_rest(client, &copy);
	client->step = STEP_END;
	client->progress++;
	client->due = client->ahead = 0;
	client->events->on_finished(client->owner, &copy);
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
	if (client->ahead > 0)
		client->ahead--;
	else if (smtp_step_rows[step].enter != NULL)
		smtp_step_rows[step].enter(client);
}

/* 421 may answer anything (RFC 5321 3.8): it ends the session, and what is open in it. */
static void
on_421(struct smtp_client *client)
{
	const struct status said = smtp_reply_status(&client->reply);

	smtp_client_settle_rest(client, &said);
	smtp_step_refused(client);
	client->parting = false;	/* the peer closes by itself */
	enter(client, STEP_FAULT);
}

/* A server that quotes the line it refuses would put the secret into our log. */
static void
withhold_secret(struct smtp_client *client)
{
	struct buf *text = &client->reply.text;
	struct enhanced_code code;

	if (!sasl_is_quoted(&client->sasl, buf_octets(text), text->len))
		return;
	text->len = enhanced_code_parse(&code, buf_octets(text), text->len);
	if (text->len > 0)
		buf_append_text(text, " ");
	buf_append_text(text, "(its words repeat the secret)");
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
		withhold_secret(client);
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
	free(client->settled);
	free(client);
}

size_t
smtp_client_input(struct smtp_client *client, const char *octets, size_t len)
{
	size_t total = 0, used;

	while (total < len && client->step != STEP_END) {
		switch (smtp_reply_read(&client->reply, octets + total, len - total, &used)) {
		case SMTP_REPLY_MORE:
			return total + used;
		case SMTP_REPLY_COMPLETE:
			total += used;
			on_reply(client, total < len);
			break;
		case SMTP_REPLY_BAD:
			enter(client, smtp_step_fault(client, status_local("4.5.0", "%s: %s",
			    smtp_step_rows[client->step].name, client->reply.fault)));
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

/* What can be known before a word is sent. */
static bool
is_hopeless(const struct smtp_client *client, struct status *why)
{
	const struct smtp_extensions *offered = &client->extensions;
	uint64_t size = client->mail.envelope->size;

	if (offered->size_max > 0 && size > offered->size_max) {
		*why = status_local("5.3.4", "message of %" PRIu64 " octets, the relay takes %"
		    PRIu64, size, offered->size_max);
		return true;
	}
	/* RFC 6152 3: eight-bit mail must not be sent here; as herald does not convert it,
	 * it fails and its sender is told, rather than that it arrives mangled. */
	if (client->mail.eight_bit && !offered->eight_bit_mime) {
		*why = status_local("5.6.3", "eight-bit message, the relay does not offer "
		    "8BITMIME");
		return true;
	}
	return false;
}

void
smtp_client_mail(struct smtp_client *client, const struct smtp_client_mail *mail)
{
	struct status why;

	assert(client->step == STEP_READY && mail->count > 0);
	assert(mail->first + mail->count <= mail->envelope->recipient_count);
	client->mail = *mail;
	client->mail_refused = false;
	client->answered = client->accepted = 0;
	free(client->settled);
	client->settled = mem_array(mail->count, sizeof(*client->settled));
	if (is_hopeless(client, &why)) {
		smtp_client_settle_rest(client, &why);
		enter(client, STEP_READY);
		return;
	}
	enter(client, STEP_MAIL);
}

void
smtp_client_data_sent(struct smtp_client *client)
{
	if (client->step != STEP_CONTENT)
		return;
	client->due++;
	enter(client, STEP_DOT);
}

void
smtp_client_quit(struct smtp_client *client)
{
	assert(client->step == STEP_READY);
	enter(client, STEP_QUIT);
}

void
smtp_client_lost(struct smtp_client *client, const char *text)
{
	struct status status;

	/* The server may close after its last 250: keep what it said, drop only the reuse. */
	if (client->step == STEP_QUIT)
		status = status_local("2.0.0", "closed");
	else
		status = status_local(client->step == STEP_HANDSHAKE ? "4.7.5" : "4.4.2", "%s: %s",
		    smtp_step_rows[client->step].name, text);
	finish(client, &status);
}

unsigned
smtp_client_timeout(const struct smtp_client *client)
{
	return smtp_step_rows[client->step].timeout;
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
smtp_client_is_untouched(const struct smtp_client *client)
{
	return client->step == STEP_MAIL && !client->mail_refused;
}

bool
smtp_client_wants_fewer(const struct smtp_client *client, const struct status *status)
{
	const struct enhanced_code code = status->enhanced;

	return client->step == STEP_RCPT && client->accepted > 0 && status->reply_code == 452 &&
	    (code.class == 0 || (code.subject == 5 && code.detail == 3));
}

bool
smtp_client_auth_refused(const struct smtp_client *client)
{
	return client->auth_refused;
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
