/* client_submit.c - a mail on its way: to the local queue or to a server, watched meanwhile. */
#include "client/client_submit.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "client/client.h"
#include "client/client_account.h"
#include "client/client_dialogue.h"
#include "client/client_progress.h"
#include "client/client_stream.h"
#include "client/submit_client.h"
#include "client/submit_queue.h"
#include "client/submit_result.h"
#include "mail/envelope.h"
#include "net/tls.h"
#include "proto/smtp_client.h"
#include "relay/secret.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define PATIENCE	10		/* seconds that a daemon may take to start */

/* RFC 8314 7.3 (465), RFC 6409 3.1 (587), RFC 5321 4.5.4.2 (25). */
const struct client_scheme client_submit_schemes[] = {
	{ "smtp", 25, CLIENT_TLS_NONE },
	{ "smtp+starttls", 587, CLIENT_TLS_START },
	{ "smtps", 465, CLIENT_TLS_IMPLICIT },
	{ NULL, 0, CLIENT_TLS_NONE },
};

struct transfer {
	const struct client_submit *submit;
	const struct envelope *envelope;
	const struct content *content;
	struct client_dialogue *dialogue;	/* NULL: not shown */
	struct client_progress progress;
	bool is_told;				/* in the dialogue: all mail data went */
	struct buf password;
};

/* --- what is shown meanwhile --- */

static void
on_client(void *owner, const char *octets, size_t len, bool is_secret)
{
	const struct transfer *transfer = owner;

	client_dialogue_client(transfer->dialogue, octets, len, is_secret);
}

static void
on_server(void *owner, const char *octets, size_t len, bool is_secret)
{
	const struct transfer *transfer = owner;

	client_dialogue_server(transfer->dialogue, octets, len, is_secret);
}

static void
on_secured(void *owner, const char *tls_text)
{
	const struct transfer *transfer = owner;

	client_dialogue_note(transfer->dialogue, "%s", tls_text);
}

static void
on_content(void *owner, uint64_t done)
{
	struct transfer *transfer = owner;
	const uint64_t size = transfer->envelope->size;

	client_progress_to(&transfer->progress, done);
	if (done == size && !transfer->is_told)
		client_dialogue_note(transfer->dialogue, "%llu octets of mail data",
		    (unsigned long long)size);
	transfer->is_told = done == size;
}

static void
on_attempt(void *owner, const char *endpoint, const char *outcome)
{
	const struct transfer *transfer = owner;

	client_dialogue_note(transfer->dialogue, "%s: %s", endpoint, outcome);
}

/* --- the ways --- */

/* All of it was sent and nothing was said to it (RFC 5321 4.5.4.1, RFC 1047). */
static bool
is_unknown(const struct submit_result *result)
{
	return result->refusal_count > 0 && result->refusals[0].status.reply_code == 0 &&
	    strcmp(result->refusals[0].step, "end of data") == 0;
}

static int
tell(struct transfer *transfer, const struct submit_result *result, int exit_code)
{
	client_progress_end(&transfer->progress);
	if (result->taken)
		return EX_OK;
	submit_tell(transfer->envelope, result, client_fail);
	return client_fail(exit_code, is_unknown(result) ?
	    "whether the message was taken is not known" :
	    "the message was not sent to anybody");
}

static int
to_queue(struct transfer *transfer, const struct submit_watch *watch)
{
	const int64_t deadline = clock_monotonic_us() + PATIENCE * CLIENT_STREAM_SECOND;
	struct submit_result result;
	struct error err;
	int exit_code;

	if (!submit_to_queue(transfer->envelope, transfer->content, deadline, watch, &result,
	    &err))
		return client_fail(errno == EACCES || errno == EPERM ? EX_NOPERM : EX_TEMPFAIL,
		    "%s; is heraldd running?", err.text);
	exit_code = tell(transfer, &result, submit_exit_code(&result));
	submit_result_clear(&result);
	return exit_code;
}

static enum smtp_client_tls
tls_of(enum client_tls tls)
{
	if (tls == CLIENT_TLS_IMPLICIT)
		return SMTP_CLIENT_TLS_IMPLICIT;
	return tls == CLIENT_TLS_START ? SMTP_CLIENT_TLS_STARTTLS : SMTP_CLIENT_TLS_NONE;
}

static int64_t
deadline_of_step(void)
{
	return clock_monotonic_us() + CLIENT_SECONDS * CLIENT_STREAM_SECOND;
}

static int
converse(struct transfer *transfer, struct submit_session *session)
{
	const struct client_account *account = transfer->submit->account;
	struct submit_result result;
	struct error err;
	int exit_code;

	if (account->scheme->tls == CLIENT_TLS_IMPLICIT) {
		if (!client_stream_secure(session->stream, session->tls, session->host,
		    deadline_of_step(), &err))
			return client_fail(errno == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE, "%s",
			    err.text);
		on_secured(transfer, client_stream_tls_text(session->stream));
	}
	submit_mail(session, transfer->envelope, transfer->content, &result);
	exit_code = tell(transfer, &result, result.began ? submit_exit_code(&result) :
	    result.session_exit);
	submit_result_clear(&result);
	return exit_code;
}

static int
to_server(struct transfer *transfer, const struct submit_watch *watch)
{
	const struct client_account *account = transfer->submit->account;
	const struct tls_client_params tls = {
		.verify = true,
		.ca_file = transfer->submit->ca_file,
		.min_version = TLS1_2_VERSION,
	};
	char hostname[256] = "localhost";
	struct smtp_client_params params = {
		.helo = submit_helo(hostname, sizeof(hostname)),
		.tls = tls_of(account->scheme->tls),
		.username = account->user,
		.password = buf_octets(&transfer->password),
		.auth = SMTP_CLIENT_AUTH_AUTO,
	};
	struct submit_session session = {
		.params = &params, .tls = &tls, .host = account->host, .watch = watch,
	};
	struct error err;
	int exit_code;

	session.stream = client_stream_connect(account->host, account->port, deadline_of_step(),
	    on_attempt, transfer, &err);
	if (session.stream == NULL)
		return client_fail(errno == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE, "%s", err.text);
	params.auth_in_clear = client_stream_is_loopback(session.stream);
	exit_code = converse(transfer, &session);
	client_stream_close(session.stream);
	return exit_code;
}

static int
read_password(struct transfer *transfer)
{
	const struct client_account *account = transfer->submit->account;
	char prompt[sizeof(account->user) + sizeof(account->host) + 32];
	struct error err;
	int exit_code;

	if (account == NULL || account->user[0] == '\0')
		return 0;
	snprintf(prompt, sizeof(prompt), "Password of %s at %s: ", account->user, account->host);
	exit_code = client_password(transfer->submit->password, prompt, &transfer->password, &err);
	if (exit_code != 0)
		return client_fail(exit_code, "%s", err.text);
	client_dialogue_hide(transfer->dialogue, account->user, buf_octets(&transfer->password));
	return 0;
}

int
client_submit(const struct client_submit *submit, const struct envelope *envelope,
    const struct content *content)
{
	struct transfer transfer = {
		.submit = submit, .envelope = envelope, .content = content,
		.dialogue = client_dialogue_new(submit->debug),
	};
	const struct submit_watch watch = {
		.owner = &transfer,
		.on_client = on_client,
		.on_server = on_server,
		.on_secured = on_secured,
		.on_content = on_content,
	};
	int exit_code = read_password(&transfer);

	client_progress_start(&transfer.progress, "sent", envelope->size);
	transfer.progress.is_on = transfer.progress.is_on && !submit->debug;
	if (exit_code == 0)
		exit_code = submit->account != NULL ? to_server(&transfer, &watch) :
		    to_queue(&transfer, &watch);
	client_progress_end(&transfer.progress);
	client_dialogue_free(transfer.dialogue);
	buf_wipe(&transfer.password);
	secret_forget(NULL);
	return exit_code;
}
