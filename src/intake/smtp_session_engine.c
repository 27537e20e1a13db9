/* smtp_session_engine.c - what the SMTP engine tells a session: mail, its fate, refusals. */
#include "intake/smtp_session_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "mail/envelope.h"
#include "mail/maillog.h"
#include "net/conn.h"
#include "queue/queue.h"
#include "queue/submission.h"

/* "sasl_method=PLAIN, sasl_username=" and a name made printable. */
#define AUTH_TEXT_SIZE	1200

static bool
has_authenticated(const struct smtp_session *session)
{
	return smtp_server_username(session->server)[0] != '\0';
}

bool
smtp_session_is_of_this_machine(const struct smtp_session *session)
{
	return !session->is_proxied && (session->client.kind == ENDPOINT_UNIX ||
	    endpoint_is_loopback(&session->client));
}

static void
on_output(void *owner, const char *octets, size_t len)
{
	struct smtp_session *session = owner;

	conn_write(session->conn, octets, len);
}

/* --- a transaction --- */

/* Names without a domain are those of this machine; whoever authenticated is no part of it
 * any more, but "postmaster" is everywhere (RFC 5321 4.1.1.3). */
static bool
is_bare_name_of_others(const struct smtp_session *session, const struct address *address)
{
	return !address_is_null(address) && address->domain[0] == '\0' &&
	    has_authenticated(session) && !text_equal(address->local, "postmaster");
}

static struct status
on_mail(void *owner, const struct address *reverse_path, const struct smtp_mail_params *params)
{
	struct smtp_session *session = owner;
	struct smtp_sessions *sessions = session->sessions;
	bool is_local = session->client.kind == ENDPOINT_UNIX;
	const struct submission_mail mail = {
		.body_8bit = params->body_8bit,
		.smtputf8 = params->smtputf8,
		.ret = params->ret,
		.envid = params->envid,
		.envid_len = params->envid_len,
		.of_this_machine = smtp_session_is_of_this_machine(session) &&
		    !has_authenticated(session),
		.uid = is_local ? session->client_uid : ENVELOPE_NO_UID,
	};
	struct status why;

	session->reverse_path = *reverse_path;
	session->has_sender = true;
	if (is_bare_name_of_others(session, reverse_path))
		return status_reply(501, "5.1.7", "the address needs a domain");
	if (!queue_has_room(sessions->queue, params->size, &why))
		return why;
	session->submission = submission_begin(sessions->queue, session->terms->config,
	    reverse_path, &mail);
	return status_reply(250, "2.1.0", "Ok");
}

static struct status
on_rcpt(void *owner, const struct address *forward_path, const struct smtp_rcpt_params *params)
{
	struct smtp_session *session = owner;
	const struct submission_rcpt rcpt = {
		.notify = params->notify, .orcpt = params->orcpt, .orcpt_len = params->orcpt_len
	};
	char text[ADDRESS_TEXT_MAX + 1];
	struct status why;

	if (!session->may_relay && !has_authenticated(session))
		return status_reply(554, "5.7.1", "<%s>: Relay access denied",
		    address_text(forward_path, text));
	if (is_bare_name_of_others(session, forward_path))
		return status_reply(501, "5.1.3", "the address needs a domain");
	if (!queue_has_memory(session->sessions->queue, &why))
		return why;
	submission_add(session->submission, forward_path, &rcpt);
	return status_reply(250, "2.1.5", "Ok");
}

static const char *
auth_text(const struct smtp_session *session, char out[AUTH_TEXT_SIZE])
{
	if (!has_authenticated(session))
		return NULL;
	snprintf(out, AUTH_TEXT_SIZE, "sasl_method=%s, sasl_username=%s",
	    smtp_server_auth_method(session->server), smtp_server_username(session->server));
	return out;
}

static struct status
on_data(void *owner)
{
	struct smtp_session *session = owner;
	bool is_local = session->client.kind == ENDPOINT_UNIX;
	char auth[AUTH_TEXT_SIZE];
	const struct submission_origin origin = {
		.helo = smtp_server_helo(session->server),
		.client_name = session->client_name,
		.client_address = is_local ? NULL : session->client_address,
		.client_uid = session->client_uid,
		.protocol = smtp_server_protocol(session->server),
		.auth = auth_text(session, auth),
	};

	submission_open(session->submission, &origin);
	pace_start_data(&session->pace);
	return status_reply(354, "", "go ahead");
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct smtp_session *session = owner;

	submission_write(session->submission, octets, len);
}

/* The answer of the store: the commands behind the mail data may go on. */
static void
on_submitted(void *arg, const struct status *status)
{
	struct smtp_session *session = arg;

	session->submission = NULL;
	if (status_class(status) == STATUS_SUCCESS) {
		session->sessions->messages++;
		pace_start(&session->pace);
	}
	smtp_session_progress(session);
	smtp_server_answer(session->server, status);
	session->has_sender = false;
	if (session->is_over)
		smtp_session_finish(session);
	else
		smtp_session_settle_flow(session);
}

static void
on_end(void *owner)
{
	struct smtp_session *session = owner;
	struct status refusal;

	if (submission_commit(session->submission, on_submitted, session, &refusal))
		return;
	session->submission = NULL;
	smtp_server_answer(session->server, &refusal);
	session->has_sender = false;
}

static void
on_reset(void *owner)
{
	struct smtp_session *session = owner;

	submission_abort(session->submission);
	session->submission = NULL;
	session->has_sender = false;
}

static void
on_quit(void *owner)
{
	struct smtp_session *session = owner;

	session->is_over = true;
}

/* --- refusals: counted, and those of mail logged --- */

static bool
is_about_mail(const char *verb)
{
	static const char *const verbs[] = { "MAIL", "RCPT", "DATA", "BDAT", "END-OF-MESSAGE" };

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verb, verbs[i]) == 0)
			return true;
	return false;
}

static void
on_refused(void *owner, const struct smtp_refusal *refusal)
{
	struct smtp_session *session = owner;
	char reverse_path[ADDRESS_TEXT_MAX + 1], forward_path[ADDRESS_TEXT_MAX + 1], reply[600];
	struct maillog_reject reject = {
		.verb = refusal->verb,
		.client = session->client_text,
		.status = refusal->status,
		.protocol = smtp_server_protocol(session->server),
		.helo = smtp_server_helo(session->server),
	};

	session->sessions->refused[refusal_classify(refusal->status)]++;
	if (!is_about_mail(refusal->verb)) {
		log_write(LOG_LEVEL_DEBUG, "smtpd", "%s from %s: %s", refusal->verb,
		    session->client_text, status_text(refusal->status, reply, sizeof(reply)));
		return;
	}
	if (session->has_sender)
		reject.reverse_path = address_text(&session->reverse_path, reverse_path);
	if (refusal->forward_path != NULL)
		reject.forward_path = address_text(refusal->forward_path, forward_path);
	maillog_reject(&reject);
	session->has_sender = session->submission != NULL;
}

static const struct smtp_server_events server_events = {
	.on_output = on_output,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_end = on_end,
	.on_reset = on_reset,
	.on_refused = on_refused,
	.on_quit = on_quit,
	.on_starttls = smtp_session_on_starttls,
	.on_auth = smtp_session_on_auth,
};

/* --- the beginning --- */

/* No password in the clear but where no network is between: also not between the proxy and
 * its client. */
static bool
auth_in_clear(const struct smtp_session *session)
{
	if (session->peer.kind == ENDPOINT_UNIX)
		return true;
	return !session->is_unnamed && endpoint_is_loopback(&session->peer) &&
	    endpoint_is_loopback(&session->client);
}

void
smtp_session_start_engine(struct smtp_session *session, bool is_secure)
{
	const struct smtp_terms *terms = session->terms;
	const struct submission_config *section = terms->section;
	const struct smtp_server_settings settings = {
		.hostname = terms->config->hostname,
		.max_message_size = terms->config->queue.max_message_size,
		.max_recipients = section->max_recipients,
		.max_errors = section->max_errors,
		.normalize = section->bare_newline == CONFIG_NEWLINE_NORMALIZE,
		.bare_names = smtp_session_is_of_this_machine(session),
		.offers_starttls = section->tls == CONFIG_TLS_STARTTLS &&
		    session->peer.kind != ENDPOINT_UNIX,
		.is_secure = is_secure,
		.offers_auth = terms->users != NULL ? SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN : 0,
		.auth_in_clear = auth_in_clear(session),
		.require_auth = section->require_auth,
	};

	session->server = smtp_server_new(&settings, &server_events, session);
	session->stage = STAGE_SMTP;
	pace_start(&session->pace);
	smtp_server_greet(session->server);
}
