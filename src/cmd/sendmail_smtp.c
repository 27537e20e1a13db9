/* sendmail_smtp.c - sendmail -bs: SMTP on standard input and output, by heraldd. */
#include "base/clock.h"
#include "base/error.h"
#include "client/client_stream.h"
#include "cmd/sendmail.h"
#include "client/submit_queue.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK		(64 * 1024)	/* octets copied at a time */
#define PATIENCE	10		/* seconds that a daemon may take to start */
#define SECOND		INT64_C(1000000)

/* One direction. */
struct pipe_end {
	int from, to;
	char octets[BLOCK];
	size_t start, len;	/* read and not yet written */
	bool ended;		/* no more comes */
	bool broken;		/* nobody takes it */
};

/* The code of the last reply that went down. */
struct reply {
	char code[4];
	size_t len;	/* octets of the line so far; no more than of the code count */
};

static void
note_reply(struct reply *reply, const char *octets, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (octets[i] == '\n') {
			reply->len = 0;
		} else if (reply->len < 3) {
			if (reply->len == 0)
				memset(reply->code, 0, sizeof(reply->code));
			reply->code[reply->len++] = octets[i];
		}
	}
}

static short
wanted_in(const struct pipe_end *pipe)
{
	return pipe->len == 0 && !pipe->ended ? POLLIN : 0;
}

static short
wanted_out(const struct pipe_end *pipe)
{
	return pipe->len > 0 && !pipe->broken ? POLLOUT : 0;
}

static void
fill(struct pipe_end *pipe)
{
	ssize_t n = read(pipe->from, pipe->octets, sizeof(pipe->octets));

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	pipe->start = 0;
	pipe->len = n > 0 ? (size_t)n : 0;
	pipe->ended = n <= 0;
}

static void
drain(struct pipe_end *pipe)
{
	ssize_t n = write(pipe->to, pipe->octets + pipe->start, pipe->len);

	if (n == -1 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n == -1) {
		pipe->broken = true;
		pipe->len = 0;
		return;
	}
	pipe->start += (size_t)n;
	pipe->len -= (size_t)n;
}

/* A daemon that goes before it is left has not taken what there was still to say. */
static int
exit_code_of(const struct pipe_end *up, const struct pipe_end *down, const struct reply *last,
    bool told)
{
	if (down->broken)
		return EX_IOERR;
	if (strcmp(last->code, "221") == 0)
		return EX_OK;
	if (told && !up->broken && strcmp(last->code, "421") != 0)
		return EX_OK;
	return sendmail_fail(EX_TEMPFAIL, "heraldd has closed the connection");
}

/* Until the daemon closes.  Behind the end of the input it is told that no more comes, and says
 * what it has still to say. */
static int
copy(int fd)
{
	static struct pipe_end up, down;
	struct reply last = { .len = 0 };
	bool told = false;

	up = (struct pipe_end){ .from = STDIN_FILENO, .to = fd };
	down = (struct pipe_end){ .from = fd, .to = STDOUT_FILENO };
	while (!(down.ended && down.len == 0) && !down.broken) {
		struct pollfd fds[] = {
			{ .fd = wanted_in(&up) ? up.from : -1, .events = POLLIN },
			{ .fd = fd, .events = (short)(wanted_out(&up) | wanted_in(&down)) },
			{ .fd = wanted_out(&down) ? down.to : -1, .events = POLLOUT },
		};

		if (poll(fds, 3, -1) == -1 && errno != EINTR)
			return sendmail_fail(EX_OSERR, "poll: %s", strerror(errno));
		if (fds[0].revents != 0)
			fill(&up);
		if (wanted_out(&up) && (fds[1].revents & (POLLOUT | POLLERR | POLLHUP)))
			drain(&up);
		if (wanted_in(&down) && (fds[1].revents & (POLLIN | POLLERR | POLLHUP))) {
			fill(&down);
			note_reply(&last, down.octets, down.len);
		}
		if (fds[2].revents != 0)
			drain(&down);
		if (up.ended && up.len == 0 && !told) {
			told = true;
			shutdown(fd, SHUT_WR);
		}
	}
	return exit_code_of(&up, &down, &last, told);
}

int
sendmail_smtp(const struct sendmail_options *options)
{
	struct error err;
	int fd, exit_code;

	(void)options;
	fd = client_stream_unix_socket(submit_queue_socket(),
	    clock_monotonic_us() + PATIENCE * SECOND, &err);
	if (fd == -1)
		return sendmail_fail(errno == EACCES || errno == EPERM ? EX_NOPERM : EX_TEMPFAIL,
		    "%s; is heraldd running?", err.text);
	exit_code = copy(fd);
	close(fd);
	return exit_code;
}
