/* submit_client.c - hands one mail to an SMTP server and waits for its word. */
#include "cmd/submit_client.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "mail/envelope.h"
#include "proto/smtp_client.h"
#include "proto/smtp_data.h"
#include "queue/content.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BLOCK		(64 * 1024)	/* octets read, encoded and written at a time */
#define CONNECT_PAUSE	50		/* milliseconds between two tries to connect */
#define QUIT_PATIENCE	1		/* seconds: the mail is taken, that is manners */
#define SECOND		INT64_C(1000000)

struct submission {
	int fd;
	struct smtp_client *client;
	const struct envelope *envelope;
	const struct content *content;
	struct submit_result *result;
	struct buf in, out;
	struct smtp_encoder encoder;
	uint64_t offset;		/* of the content: encoded so far */
	size_t accepted;		/* recipients for whom the mail is taken */
	bool given;			/* the one mail, to the engine */
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

	(void)secret;
	buf_append(&submission->out, octets, len);
}

static void
start_tls(void *owner)
{
	(void)owner;
	abort();	/* SMTP_CLIENT_TLS_NONE never asks for it */
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

/* --- the socket --- */

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

static bool
put(struct submission *submission)
{
	struct buf *out = &submission->out;
	ssize_t n;

	if (out->len == 0 || submission->broken)
		return false;
	n = send(submission->fd, buf_octets(out), out->len, MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN && errno != EINTR) {
		submission->broken = true;	/* what it has said before is still read */
		shutdown(submission->fd, SHUT_WR);
	}
	if (n <= 0)
		return false;
	buf_consume(out, (size_t)n);
	if (out->len == 0 && submission->ended && submission->sending) {
		submission->sending = false;
		smtp_client_data_sent(submission->client);
	}
	return true;
}

static bool
take(struct submission *submission)
{
	char *room = buf_reserve(&submission->in, BLOCK);
	ssize_t n = recv(submission->fd, room, BLOCK, 0);

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		smtp_client_lost(submission->client, n == 0 ? "connection closed" :
		    strerror(errno));
		submission->finished = true;
		return false;
	}
	buf_commit(&submission->in, (size_t)n);
	buf_consume(&submission->in, smtp_client_input(submission->client,
	    buf_octets(&submission->in), submission->in.len));
	return true;
}

static int
milliseconds_until(int64_t deadline)
{
	const int64_t left = deadline - clock_monotonic_us();

	return left <= 0 ? 0 : (int)(left / 1000 + 1);
}

/* One turn; true if anything moved, which begins the time of the step anew. */
static bool
turn(struct submission *submission, int64_t deadline)
{
	struct pollfd poll_fd = { .fd = submission->fd, .events = POLLIN };
	const unsigned before = smtp_client_progress(submission->client);
	bool moved = false;

	fill(submission);
	if (submission->finished)
		return true;
	if (submission->out.len > 0 && !submission->broken)
		poll_fd.events |= POLLOUT;
	if (poll(&poll_fd, 1, milliseconds_until(deadline)) == -1 && errno != EINTR)
		poll_fd.revents = POLLIN;	/* recv() says what it is */
	if (poll_fd.revents & POLLOUT)
		moved = put(submission);
	if (!submission->finished && (poll_fd.revents & (POLLIN | POLLHUP | POLLERR)))
		take(submission);
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
			deadline = clock_monotonic_us() + patience(submission) * SECOND;
		moved = turn(submission, deadline);
		if (!moved && !submission->finished && clock_monotonic_us() >= deadline)
			smtp_client_lost(submission->client, "no answer in time");
	}
}

void
submit_mail(int fd, const struct smtp_client_params *params, const struct envelope *envelope,
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
	struct submission submission = {
		.fd = fd, .envelope = envelope, .content = content, .result = result,
	};

	memset(result, 0, sizeof(*result));
	submission.client = smtp_client_new(params, &events, &submission);
	converse(&submission);
	result->taken = submission.accepted == envelope->recipient_count;
	smtp_client_free(submission.client);
	buf_free(&submission.in);
	buf_free(&submission.out);
}

void
submit_result_clear(struct submit_result *result)
{
	free(result->refusals);
	memset(result, 0, sizeof(*result));
}

/* --- connecting --- */

static int
connect_once(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd, saved;

	if (strlen(path) >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return -1;
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* It may be starting, or have more to take in than its backlog holds. */
static bool
may_come(int why)
{
	return why == ENOENT || why == ECONNREFUSED || why == EAGAIN || why == EINTR;
}

int
submit_connect(const char *path, int64_t deadline, struct error *err)
{
	static const struct timespec pause = { 0, CONNECT_PAUSE * 1000000L };
	int fd, why;

	while ((fd = connect_once(path)) == -1 && may_come(errno) &&
	    clock_monotonic_us() < deadline)
		nanosleep(&pause, NULL);
	if (fd == -1) {
		why = errno;
		error_set(err, ERROR_NETWORK, "cannot connect to %s: %s", path, strerror(why));
		errno = why;
	}
	return fd;
}
