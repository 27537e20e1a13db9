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

#define LINE_MAX_OCTETS	4000	/* with the stamp within PIPE_BUF, so that a write is whole */
#define REOPEN_US	1000000	/* between two tries to open /dev/log */

/* The log is one of the two globals of the house (STYLE, OWNERSHIP). */
static struct {
	struct log_settings settings;
	int syslog_fd;
	int64_t reopen_at;		/* monotonic microseconds */
	uint64_t dropped;
} state = {
	.settings = { LOG_TARGET_STDERR, LOG_LEVEL_INFO, LOG_MAIL, "herald" },
	.syslog_fd = -1,
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

/* RFC 3164 4.1: <PRI>TIMESTAMP TAG: the local syslogd adds the host. */
static void
send_syslog(enum log_level level, const char *line)
{
	char datagram[LINE_MAX_OCTETS + 64], stamp[32];
	time_t now = (time_t)clock_now();
	struct tm local;
	int len;

	localtime_r(&now, &local);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &local);
	len = snprintf(datagram, sizeof(datagram), "<%d>%s %s",
	    state.settings.facility | (int)level, stamp, line);
	if (!open_syslog()) {
		state.dropped++;
		return;
	}
	if (send(state.syslog_fd, datagram, (size_t)len, MSG_NOSIGNAL) != -1)
		return;
	state.dropped++;
	if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOBUFS)
		close_syslog();
}

/* One write per line, so that lines of several processes do not mix.  stderr may be
 * shared with a shell, so it is not made non-blocking: a pipe that is full would hold
 * the loop, hence it is asked first. */
static void
send_stderr(const char *line, size_t len)
{
	struct pollfd ready = { .fd = STDERR_FILENO, .events = POLLOUT };
	char text[LINE_MAX_OCTETS + 64];
	time_t now = (time_t)clock_now();
	struct tm local;
	size_t head;

	localtime_r(&now, &local);
	head = strftime(text, 32, "%b %e %H:%M:%S ", &local);
	memcpy(text + head, line, len);
	text[head + len] = '\n';
	if (poll(&ready, 1, 0) != 1 || write(STDERR_FILENO, text, head + len + 1) == -1)
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
	char line[LINE_MAX_OCTETS];
	size_t len;
	va_list ap;
	int n;

	if (!log_wants(level))
		return;
	n = snprintf(line, sizeof(line), "%s/%s[%ld]: ", state.settings.ident, component,
	    (long)getpid());
	len = n > 0 && (size_t)n < sizeof(line) ? (size_t)n : 0;
	va_start(ap, fmt);
	n = vsnprintf(line + len, sizeof(line) - len, fmt, ap);
	va_end(ap);
	len += n < 0 ? 0 : (size_t)n;
	if (len >= sizeof(line))
		len = sizeof(line) - 1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = ' ';
	if (state.settings.target == LOG_TARGET_SYSLOG)
		send_syslog(level, line);
	else
		send_stderr(line, len);
}

uint64_t
log_dropped(void)
{
	return state.dropped;
}
