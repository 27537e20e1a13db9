/* log.c - one line to syslog or stderr, which never waits. */
#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_OCTETS	4064	/* with the stamp; within PIPE_BUF, so that a write is whole */
#define REOPEN_US	1000000	/* between two tries to open /dev/log */

/* The log is one of the two globals of the house (STYLE, OWNERSHIP). */
static struct {
	struct log_settings settings;
	int syslog_fd;
	int64_t reopen_at;		/* monotonic microseconds */
	uint64_t dropped;
	time_t stamped;			/* the second that `stamp` tells */
	char stamp[32];
	char process[16];		/* "[4711]: " */
} state = {
	.settings = { LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_MAIL, "herald" },
	.syslog_fd = -1,
};

struct line {
	size_t len;
	char text[LINE_MAX_OCTETS];
};

static void
close_syslog(void)
{
	if (state.syslog_fd != -1)
		close(state.syslog_fd);
	state.syslog_fd = -1;
}

/* Datagrams, non-blocking: a syslogd that is stopped or gone never stops the loop. */
static bool
open_syslog(void)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = "/dev/log" };
	int64_t now = clock_monotonic_us();

	if (state.syslog_fd != -1)
		return true;
	if (now < state.reopen_at)
		return false;
	state.reopen_at = now + REOPEN_US;
	state.syslog_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (state.syslog_fd == -1)
		return false;
	if (connect(state.syslog_fd, (struct sockaddr *)&to, sizeof(to)) == -1) {
		close_syslog();
		return false;
	}
	return true;
}

/* --- a line --- */

static void
add(struct line *line, const char *text)
{
	size_t len = strnlen(text, sizeof(line->text) - 1 - line->len);

	memcpy(line->text + line->len, text, len);
	line->len += len;
}

/* "Nov 23 14:33:03 ": made once for all lines of a second. */
static const char *
stamp(void)
{
	time_t now = (time_t)clock_now();
	struct tm local;

	if (now != state.stamped || state.stamp[0] == '\0') {
		localtime_r(&now, &local);
		strftime(state.stamp, sizeof(state.stamp), "%b %e %H:%M:%S ", &local);
		state.stamped = now;
	}
	return state.stamp;
}

/* No process of ours forks and goes on to log. */
static const char *
process(void)
{
	if (state.process[0] == '\0')
		snprintf(state.process, sizeof(state.process), "[%ld]: ", (long)getpid());
	return state.process;
}

/* RFC 3164 4.1: <PRI>TIMESTAMP TAG: the local syslogd adds the host. */
static void
begin_line(struct line *line, enum log_level level, const char *component)
{
	line->len = 0;
	if (state.settings.target == LOG_TARGET_SYSLOG)
		line->len = (size_t)snprintf(line->text, sizeof(line->text), "<%d>",
		    state.settings.facility | (int)level);
	add(line, stamp());
	add(line, state.settings.ident);
	add(line, "/");
	add(line, component);
	add(line, process());
}

static void __attribute__((format(printf, 2, 0)))
add_words(struct line *line, const char *fmt, va_list ap)
{
	size_t room = sizeof(line->text) - 1 - line->len;	/* the last octet is for "\n" */
	char *words = line->text + line->len;
	int len = vsnprintf(words, room, fmt, ap);

	if (len > 0)
		line->len += (size_t)len < room ? (size_t)len : room - 1;
	for (; words < line->text + line->len; words++)
		if ((unsigned char)*words < 0x20 || *words == 0x7f)
			*words = ' ';
}

static void
send_syslog(const struct line *line)
{
	if (send(state.syslog_fd, line->text, line->len, MSG_NOSIGNAL) != -1)
		return;
	state.dropped++;
	if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
		close_syslog();
}

/* One write per line, so that lines of several processes do not mix.  stderr may be
 * shared with a shell, so it is not made non-blocking: a pipe that is full would hold
 * the loop, hence it is asked first. */
static void
send_stderr(struct line *line)
{
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };

	line->text[line->len++] = '\n';
	if (poll(&ready, 1, 0) != 1 || write(STDERR_FILENO, line->text, line->len) == -1)
		state.dropped++;
}

void
log_configure(const struct log_settings *settings)
{
	state.settings = *settings;
	if (settings->target == LOG_TARGET_SYSLOG) {
		state.reopen_at = 0;
		open_syslog();
	} else {
		close_syslog();
	}
}

bool
log_wants(enum log_level level)
{
	return level <= state.settings.level;
}

void
log_set_level(enum log_level level)
{
	state.settings.level = level;
}

const char *
log_ident(void)
{
	return state.settings.ident;
}

void
log_write(enum log_level level, const char *component, const char *fmt, ...)
{
	bool to_syslog = state.settings.target == LOG_TARGET_SYSLOG;
	struct line line;
	va_list ap;

	if (!log_wants(level))
		return;
	if (to_syslog && !open_syslog()) {
		state.dropped++;
		return;
	}
	begin_line(&line, level, component);
	va_start(ap, fmt);
	add_words(&line, fmt, ap);
	va_end(ap);
	if (to_syslog)
		send_syslog(&line);
	else
		send_stderr(&line);
}

uint64_t
log_dropped(void)
{
	return state.dropped;
}
