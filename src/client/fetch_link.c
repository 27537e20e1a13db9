/* fetch_link.c - the connection of herald fetch: octets, TLS and time, for the POP3 engine. */
#include "client/fetch_link.h"

#include "base/clock.h"
#include "base/error.h"
#include "client/client.h"
#include "client/client_account.h"
#include "client/client_dialogue.h"
#include "client/client_stream.h"
#include "client/fetch_session.h"
#include "net/tls.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sysexits.h>

#define BLOCK	(64 * 1024)	/* octets read at a time */
#define SECOND	INT64_C(1000000)

static bool
secure(struct fetch_link *link, struct error *err)
{
	const struct tls_client_params tls = {
		.verify = true, .ca_file = link->params->ca_file, .min_version = TLS1_2_VERSION
	};
	const int64_t deadline = clock_monotonic_us() + CLIENT_SECONDS * SECOND;

	if (!client_stream_secure(link->stream, &tls, link->params->account->host, deadline, err)) {
		link->is_late = errno == EAGAIN;
		return false;
	}
	client_dialogue_note(link->dialogue, "%s", client_stream_tls_text(link->stream));
	return true;
}

static void
on_attempt(void *owner, const char *endpoint, const char *outcome)
{
	struct fetch_link *link = owner;

	client_dialogue_note(link->dialogue, "%s: %s", endpoint, outcome);
}

int
fetch_link_open(struct fetch_link *link, const struct fetch_params *params)
{
	const struct client_account *account = params->account;
	const int64_t deadline = clock_monotonic_us() + CLIENT_SECONDS * SECOND;
	struct error err;

	memset(link, 0, sizeof(*link));
	link->params = params;
	link->session_left = params->limits.session;
	link->lines_left = params->limits.grace;
	link->dialogue = client_dialogue_new(params->is_debug);
	client_dialogue_hide(link->dialogue, account->user, params->password);
	link->stream = client_stream_connect(
	    account->host, account->port, deadline, on_attempt, link, &err);
	if (link->stream == NULL)
		return client_fail(
		    errno == EAGAIN ? EX_TEMPFAIL : EX_UNAVAILABLE, "%s", err.text);
	if (params->tls == POP3_TLS_IMPLICIT && !secure(link, &err))
		return client_fail(link->is_late ? EX_TEMPFAIL : EX_UNAVAILABLE, "%s: %s",
		    account->host, err.text);
	return 0;
}

void
fetch_link_close(struct fetch_link *link)
{
	client_stream_close(link->stream);
	client_dialogue_free(link->dialogue);
	buf_free(&link->in);
	buf_wipe(&link->out);
}

void
fetch_link_send(struct fetch_link *link, const char *octets, size_t len, bool secret)
{
	client_dialogue_client(link->dialogue, octets, len, secret);
	buf_append(&link->out, octets, len);
}

void
fetch_link_start_tls(struct fetch_link *link)
{
	link->wants_tls = true;
}

void
fetch_link_stop(struct fetch_link *link, const char *why)
{
	link->stop = why;
}

static void
lose(struct fetch_link *link, const char *text)
{
	if (!link->is_finished)
		pop3_client_lost(link->client, text);
	link->is_finished = true;
}

static void
write_out(struct fetch_link *link)
{
	ssize_t len;

	if (link->out.len == 0)
		return;
	len = client_stream_write(link->stream, buf_octets(&link->out), link->out.len);
	if (len > 0)
		buf_consume(&link->out, (size_t)len);
	else if (len == -1 && errno != EAGAIN) {
		/* What the server has said before is still read. */
		buf_clear(&link->out);
		client_stream_end_writing(link->stream);
	}
}

/* --- what comes in --- */

static bool
is_in_content(const struct fetch_link *link)
{
	const char *step = pop3_client_step(link->client);

	return pop3_client_is_in_lines(link->client) &&
	    (strcmp(step, "RETR") == 0 || strcmp(step, "TOP") == 0);
}

/* A line at a time, so that of the mail only its size is shown. */
static size_t
show_and_use(struct fetch_link *link, const char *octets, size_t len)
{
	const char *end = memchr(octets, '\n', len);
	const size_t line = end != NULL ? (size_t)(end - octets) + 1 : len;
	size_t used;

	if (!is_in_content(link)) {
		if (end != NULL)
			client_dialogue_server(link->dialogue, octets, line,
			    pop3_client_is_in_auth(link->client));
		return pop3_client_input(link->client, octets, line);
	}
	if (line == strlen(".\r\n") && memcmp(octets, ".\r\n", line) == 0)
		client_dialogue_note(
		    link->dialogue, "%" PRIu64 " octets of content", link->content);
	used = pop3_client_input(link->client, octets, line);
	link->content = is_in_content(link) ? link->content + used : 0;
	return used;
}

static void
use(struct fetch_link *link)
{
	struct buf *in = &link->in;
	size_t used = 1;

	while (in->len > 0 && used > 0 && !link->is_finished && !link->wants_tls &&
	    link->stop == NULL) {
		used = link->dialogue != NULL
		    ? show_and_use(link, buf_octets(in), in->len)
		    : pop3_client_input(link->client, buf_octets(in), in->len);
		buf_consume(in, used);
	}
}

static void
change_to_tls(struct fetch_link *link)
{
	struct error err;

	link->wants_tls = false;
	if (link->in.len > 0) {
		lose(link, "octets in clear behind the reply to STLS");
		return;
	}
	if (secure(link, &err))
		pop3_client_secured(link->client);
	else
		lose(link, err.text);
}

static int64_t
least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* What the server has brought buys it time, but never more than the grace. */
static void
earn(struct fetch_link *link, size_t len)
{
	const struct fetch_limits *limits = &link->params->limits;
	const int64_t earned = (int64_t)len * SECOND / (int64_t)limits->rate;

	link->lines_left = least(limits->grace, link->lines_left + earned);
}

/* Whether there was something to read: then there may be more. */
static bool
read_in(struct fetch_link *link)
{
	const ssize_t len = client_stream_read(link->stream, buf_reserve(&link->in, BLOCK), BLOCK);

	if (len == -1 && errno == EAGAIN)
		return false;
	if (len > 0) {
		buf_commit(&link->in, (size_t)len);
		earn(link, (size_t)len);
		use(link);
		if (link->stop != NULL)
			lose(link, link->stop);
		else if (link->wants_tls)
			change_to_tls(link);
	} else {
		lose(link, len == 0 ? "the server closed the connection"
				    : client_stream_fault(link->stream));
	}
	return true;
}

/* --- time --- */

static int64_t
step_time(const struct fetch_link *link)
{
	const int64_t reply = link->params->limits.reply;

	return reply > 0 ? reply : (int64_t)pop3_client_timeout(link->client) * SECOND;
}

static void
count_step(struct fetch_link *link)
{
	const unsigned progress = pop3_client_progress(link->client);

	if (progress != link->progress)
		link->step_waited = 0;
	link->progress = progress;
}

/* Microseconds until the server has had its time. */
static int64_t
time_left(const struct fetch_link *link)
{
	const int64_t step = pop3_client_is_in_lines(link->client)
	    ? link->lines_left
	    : step_time(link) - link->step_waited;

	return least(step, link->session_left);
}

static void
wait_for_more(struct fetch_link *link)
{
	const int64_t before = clock_monotonic_us();
	int64_t waited;

	count_step(link);
	client_stream_wait(link->stream, true, link->out.len > 0, before + time_left(link));
	waited = clock_monotonic_us() - before;
	link->session_left -= waited;
	if (pop3_client_is_in_lines(link->client)) {
		link->lines_left -= waited;
	} else {
		link->step_waited += waited;
		link->lines_left = link->params->limits.grace;
	}
	if (time_left(link) > 0)
		return;
	link->is_late = true;
	lose(link, link->session_left <= 0 ? "the session takes too long"
		: pop3_client_is_in_lines(link->client) ? "the server is too slow"
							: "no answer in time");
}

void
fetch_link_turn(struct fetch_link *link)
{
	write_out(link);
	if (!read_in(link) && !link->is_finished)
		wait_for_more(link);
}
