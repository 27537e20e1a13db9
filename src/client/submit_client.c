/* submit_client.c - hands one mail to an SMTP server and waits for its word. */
#include "client/submit_client.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/client_stream.h"
#include "mail/envelope.h"
#include "proto/smtp_client.h"
#include "proto/smtp_data.h"
#include "queue/content.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define BLOCK		(64 * 1024)	/* octets read, encoded and written at a time */
#define QUIT_PATIENCE	1		/* seconds: the mail is taken, that is manners */

struct submission {
	const struct submit_session *session;
	const struct submit_watch *watch;
	struct smtp_client *client;
	const struct envelope *envelope;
	const struct content *content;
	struct submit_result *result;
	struct buf in, out;
	struct smtp_encoder encoder;
	uint64_t offset;		/* of the content: encoded so far */
	size_t accepted;		/* recipients for whom the mail is taken */
	char said;			/* the first digit of the latest line of the server */
	bool given;			/* the one mail, to the engine */
	bool securing;			/* the handshake is due */
	bool sending;			/* the content is on its way */
	bool ended;			/* its end is in `out` */
	bool broken;			/* the peer reads no more */
	bool finished;
};

/* --- what the dialogue asks for --- */

static void
send_commands(void *owner, const char *octets, size_t len, bool secret)
{
	struct submission *submission = owner;

	if (submission->watch->on_client != NULL)
		submission->watch->on_client(submission->watch->owner, octets, len, secret);
	/* A buf that grew would leave a copy of the secret behind. */
	if (secret && submission->out.len == 0)
		buf_wipe(&submission->out);
	buf_append(&submission->out, octets, len);
}

static void
start_tls(void *owner)
{
	struct submission *submission = owner;

	submission->securing = true;
}

/* Where one is refused nobody is to get it: the connection is closed before any data, which
 * the server takes as no mail at all (RFC 5321 4.1.1.4 wants the end of it). */
static void
send_data(void *owner, void *cookie, bool bdat)
{
	struct submission *submission = owner;

	(void)cookie;
	(void)bdat;
	if (submission->result->refusal_count > 0)
		submission->finished = true;
	else
		submission->sending = true;
}

static void
on_ready(void *owner)
{
	struct submission *submission = owner;
	const struct smtp_client_mail mail = {
		.envelope = submission->envelope,
		.count = submission->envelope->recipient_count,
		.eight_bit = submission->envelope->body_8bit,
		.utf8_header = submission->envelope->smtputf8,
	};

	if (submission->given) {
		smtp_client_quit(submission->client);
		return;
	}
	submission->given = true;
	smtp_client_mail(submission->client, &mail);
}

static void
add_refusal(struct submit_result *result, size_t index, const char *step,
    const struct status *status)
{
	const size_t count = result->refusal_count;
	struct submit_refusal *refusal;

	if ((count & (count - 1)) == 0)
		result->refusals = mem_grow(result->refusals, count == 0 ? 1 : count * 2,
		    sizeof(*result->refusals));
	refusal = &result->refusals[result->refusal_count++];
	refusal->index = index;
	refusal->step = step;
	refusal->status = *status;
}

static void
on_recipient(void *owner, void *cookie, size_t index, const struct status *status)
{
	struct submission *submission = owner;

	(void)cookie;
	if (!smtp_client_is_untouched(submission->client))
		submission->result->began = true;
	if (status_class(status) == STATUS_SUCCESS) {
		submission->accepted++;
		submission->result->status = *status;
	} else {
		add_refusal(submission->result, index,
		    smtp_client_reply_step(submission->client), status);
	}
}

static void
on_finished(void *owner, const struct status *status)
{
	struct submission *submission = owner;

	if (submission->accepted == 0)
		submission->result->status = *status;
	submission->finished = true;
}

/* --- the stream --- */

/* The connection is of no more use before anything was said about the mail. */
static void
lose(struct submission *submission, int exit_code, const char *why)
{
	submission->result->session_exit = exit_code;
	smtp_client_lost(submission->client, why);
	submission->finished = true;
}

/* Behind the 220 of STARTTLS, in the loop: all that was to go before it is written. */
static void
secure(struct submission *submission)
{
	const struct submit_session *session = submission->session;
	const int64_t deadline = clock_monotonic_us() +
	    (int64_t)smtp_client_timeout(submission->client) * CLIENT_STREAM_SECOND;
	struct error err;

	submission->securing = false;
	if (submission->in.len > 0) {
		lose(submission, EX_UNAVAILABLE,
		    "STARTTLS: the server said more than it was asked");
		return;
	}
	if (!client_stream_secure(session->stream, session->tls, session->host, deadline, &err)) {
		lose(submission, errno == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE, err.text);
		return;
	}
	if (submission->watch->on_secured != NULL)
		submission->watch->on_secured(submission->watch->owner,
		    client_stream_tls_text(session->stream));
	smtp_client_secured(submission->client);
}

/* One more block of content, while it is wanted and there is room. */
static void
fill(struct submission *submission)
{
	char block[BLOCK];
	size_t got = 0;
	struct error err;

	if (!submission->sending || submission->ended || submission->out.len >= BLOCK)
		return;
	if (!content_read(submission->content, submission->offset, block, sizeof(block), &got,
	    &err)) {
		/* Without its end it is no mail. */
		smtp_client_lost(submission->client, err.text);
		return;
	}
	submission->offset += got;
	smtp_encode(&submission->encoder, &submission->out, block, got);
	if (got > 0)
		return;
	smtp_encode_end(&submission->encoder, &submission->out);
	submission->ended = true;
}

static void
tell_content(const struct submission *submission)
{
	const uint64_t waiting = submission->out.len;

	if (submission->sending && submission->watch->on_content != NULL)
		submission->watch->on_content(submission->watch->owner,
		    waiting < submission->offset ? submission->offset - waiting : 0);
}

static bool
put(struct submission *submission)
{
	struct client_stream *stream = submission->session->stream;
	struct buf *out = &submission->out;
	ssize_t n;

	if (out->len == 0 || submission->broken)
		return false;
	n = client_stream_write(stream, buf_octets(out), out->len);
	if (n == -1 && errno != EAGAIN) {
		submission->broken = true;	/* what it has said before is still read */
		client_stream_end_writing(stream);
	}
	if (n <= 0)
		return false;
	buf_consume(out, (size_t)n);
	tell_content(submission);
	if (out->len == 0 && submission->ended && submission->sending) {
		submission->sending = false;
		smtp_client_data_sent(submission->client);
	}
	return true;
}

/* For the exit code where no session is to be had. */
static void
note_line(struct submission *submission, const char *octets, size_t len)
{
	const char *last = len > 1 ? memrchr(octets, '\n', len - 1) : NULL;

	submission->said = last != NULL ? last[1] : octets[0];
}

static void
take(struct submission *submission)
{
	struct client_stream *stream = submission->session->stream;
	const struct submit_watch *watch = submission->watch;
	char *room = buf_reserve(&submission->in, BLOCK);
	const bool at_line = submission->in.len == 0;
	ssize_t n = client_stream_read(stream, room, BLOCK);

	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		lose(submission, EX_TEMPFAIL, n == 0 ? "connection closed" :
		    client_stream_fault(stream));
		return;
	}
	if (watch->on_server != NULL)
		watch->on_server(watch->owner, room, (size_t)n,
		    smtp_client_is_in_auth(submission->client));
	if (at_line || memchr(room, '\n', (size_t)n - 1) != NULL)
		note_line(submission, room, (size_t)n);
	buf_commit(&submission->in, (size_t)n);
	buf_consume(&submission->in, smtp_client_input(submission->client,
	    buf_octets(&submission->in), submission->in.len));
}

/* One turn; true if anything moved, which begins the time of the step anew. */
static bool
turn(struct submission *submission, int64_t deadline)
{
	const unsigned before = smtp_client_progress(submission->client);
	bool moved = false, writes;

	if (submission->securing && submission->out.len == 0)
		secure(submission);
	fill(submission);
	if (submission->finished)
		return true;
	writes = submission->out.len > 0 && !submission->broken;
	if (client_stream_wait(submission->session->stream, true, writes, deadline)) {
		if (writes)
			moved = put(submission);
		if (!submission->finished && !submission->securing)
			take(submission);
	}
	return moved || before != smtp_client_progress(submission->client);
}

static int64_t
patience(const struct submission *submission)
{
	if (submission->accepted == submission->envelope->recipient_count)
		return QUIT_PATIENCE;
	return smtp_client_timeout(submission->client);
}

static void
converse(struct submission *submission)
{
	int64_t deadline = 0;
	bool moved = true;

	while (!submission->finished) {
		if (moved)
			deadline = clock_monotonic_us() + patience(submission) *
			    CLIENT_STREAM_SECOND;
		moved = turn(submission, deadline);
		if (!moved && !submission->finished && clock_monotonic_us() >= deadline)
			lose(submission, EX_TEMPFAIL, "no answer in time");
	}
}

void
submit_mail(const struct submit_session *session, const struct envelope *envelope,
    const struct content *content, struct submit_result *result)
{
	static const struct smtp_client_events events = {
		.send = send_commands,
		.start_tls = start_tls,
		.send_data = send_data,
		.on_ready = on_ready,
		.on_recipient = on_recipient,
		.on_finished = on_finished,
	};
	static const struct submit_watch nobody;
	struct submission submission = {
		.session = session, .envelope = envelope, .content = content, .result = result,
		.watch = session->watch != NULL ? session->watch : &nobody,
	};

	memset(result, 0, sizeof(*result));
	submission.client = smtp_client_new(session->params, &events, &submission);
	converse(&submission);
	result->taken = submission.accepted == envelope->recipient_count;
	if (smtp_client_auth_refused(submission.client))
		result->session_exit = EX_NOPERM;
	else if (result->session_exit == 0)
		result->session_exit = submission.said == '4' ? EX_TEMPFAIL : EX_UNAVAILABLE;
	smtp_client_free(submission.client);
	buf_free(&submission.in);
	buf_wipe(&submission.out);
}

void
submit_result_clear(struct submit_result *result)
{
	free(result->refusals);
	memset(result, 0, sizeof(*result));
}
