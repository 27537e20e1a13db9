/* smtp_load.c - hands mail to an SMTP server as fast as it takes it, and times each message. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sysexits.h>
#include <unistd.h>

#include "common.h"

#define EVENTS		256
#define COMMANDS_MAX	512	/* octets of the commands that wait to be written */

enum step { STEP_BANNER, STEP_EHLO, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_DOT, STEP_QUIT };

static const char from[] = "MAIL FROM:<sender@example.org>\r\n";

struct session {
	int fd;
	enum step step;			/* whose reply comes next */
	double start;			/* of the transaction */
	const char *mail;		/* what is left of the mail data */
	size_t mail_left;
	char commands[COMMANDS_MAX];	/* go out behind it */
	size_t command_len;
	char input[2048];
	size_t input_len;
	bool more;			/* another message follows in this session */
	bool waits_for_room;
};

static struct load {
	struct sockaddr_in to;
	bool pipelined, reconnect;
	unsigned long left;		/* messages that no session has begun */
	unsigned long taken, refused;
	double until;			/* 0: as many messages as were asked for */
	char *mail;
	size_t mail_len;
	unsigned connections, open;
	unsigned long domains, next_domain;	/* 0: one recipient for all */
	int epoll;
	struct times times;
} load;

static bool
take_one(void)
{
	if (load.until > 0)
		return seconds() < load.until;
	if (load.left == 0)
		return false;
	load.left--;
	return true;
}

static void
say(struct session *session, const char *text)
{
	size_t len = strlen(text);

	if (len > sizeof(session->commands) - session->command_len) {
		fputs("smtp_load: the server does not read\n", stderr);
		exit(EX_PROTOCOL);
	}
	memcpy(session->commands + session->command_len, text, len);
	session->command_len += len;
}

static void
watch(struct session *session, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = session };

	if (epoll_ctl(load.epoll, operation, session->fd, &event) == -1)
		fail("smtp_load", "epoll_ctl");
}

/* As much as the socket takes. */
static void
flush(struct session *session)
{
	struct iovec parts[2] = { { (void *)(uintptr_t)session->mail, session->mail_left },
		{ session->commands, session->command_len } };
	size_t done;
	ssize_t n;
	bool waits;

	n = writev(session->fd, parts, 2);
	if (n == -1 && errno != EAGAIN)
		fail("smtp_load", "writev");
	done = n > 0 ? (size_t)n : 0;
	if (done < session->mail_left) {
		session->mail += done;
		session->mail_left -= done;
	} else {
		done -= session->mail_left;
		session->mail_left = 0;
		memmove(session->commands, session->commands + done, session->command_len - done);
		session->command_len -= done;
	}
	waits = session->mail_left > 0 || session->command_len > 0;
	if (waits != session->waits_for_room)
		watch(session, EPOLL_CTL_MOD, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
	session->waits_for_room = waits;
}

static void
open_session(struct session *session)
{
	int yes = 1;

	*session = (struct session){ .start = seconds() };
	session->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (session->fd == -1)
		fail("smtp_load", "socket");
	bind_source(session->fd, load.connections++);
	setsockopt(session->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	/* Blocking: a server that is slow to accept is waited for, not retried. */
	if (connect(session->fd, (struct sockaddr *)&load.to, sizeof(load.to)) == -1)
		fail("smtp_load", "connect");
	fcntl(session->fd, F_SETFL, O_NONBLOCK);
	watch(session, EPOLL_CTL_ADD, EPOLLIN);
	load.open++;
}

/* The end of a session; true: another one is open in its place. */
static bool
close_session(struct session *session)
{
	if (load.reconnect)
		times_add(&load.times, seconds() - session->start);
	close(session->fd);
	load.open--;
	if (!load.reconnect || !take_one())
		return false;
	open_session(session);
	return true;
}

static void
say_recipient(struct session *session)
{
	char text[128] = "RCPT TO:<recipient@example.net>\r\n";

	if (load.domains > 0)
		snprintf(text, sizeof(text), "RCPT TO:<recipient@d%lu.example.net>\r\n",
		    load.next_domain++ % load.domains);
	say(session, text);
}

static void
begin(struct session *session)
{
	say(session, from);
	if (!load.pipelined)
		return;
	say_recipient(session);
	say(session, "DATA\r\n");
}

/* With pipelining the next message's commands go behind the dot (RFC 2920 3.1): one round
 * trip for each message. */
static void
send_mail(struct session *session)
{
	session->mail = load.mail;
	session->mail_left = load.mail_len;
	session->more = !load.reconnect && take_one();
	if (session->more && load.pipelined)
		begin(session);
	else if (!session->more && load.pipelined)
		say(session, "QUIT\r\n");
}

static enum step
after_dot(struct session *session, bool fine)
{
	double now = seconds();

	if (fine)
		load.taken++;
	else
		load.refused++;
	if (!load.reconnect)
		times_add(&load.times, now - session->start);
	if (!load.reconnect)
		session->start = now;
	if (session->more && !load.pipelined)
		begin(session);
	if (!session->more && !load.pipelined)
		say(session, "QUIT\r\n");
	return session->more ? STEP_MAIL : STEP_QUIT;
}

static enum step
after_reply(struct session *session, bool fine)
{
	switch (session->step) {
	case STEP_BANNER:
		say(session, "EHLO bench.example.org\r\n");
		return STEP_EHLO;
	case STEP_EHLO:
		if (!load.reconnect)
			session->start = seconds();
		begin(session);
		return STEP_MAIL;
	case STEP_MAIL:
		if (!load.pipelined)
			say_recipient(session);
		return STEP_RCPT;
	case STEP_RCPT:
		if (!load.pipelined)
			say(session, "DATA\r\n");
		return STEP_DATA;
	case STEP_DATA:
		send_mail(session);
		return STEP_DOT;
	case STEP_DOT:
		return after_dot(session, fine);
	case STEP_QUIT:
		break;
	}
	return STEP_QUIT;
}

/* One line of a reply; false: that session has ended, and no other is in its place. */
static bool
on_line(struct session *session, const char *line, size_t len)
{
	bool fine = line[0] == '2' || line[0] == '3';

	if (len >= 4 && line[3] == '-')
		return true;
	/* Load that is refused measures nothing: only a message as a whole may be. */
	if (!fine && session->step != STEP_DOT) {
		fprintf(stderr, "smtp_load: %.*s\n", (int)len, line);
		exit(EX_PROTOCOL);
	}
	if (session->step == STEP_QUIT)
		return close_session(session);
	session->step = after_reply(session, fine);
	return true;
}

static void
on_input(struct session *session)
{
	ssize_t n = recv(session->fd, session->input + session->input_len,
	    sizeof(session->input) - session->input_len, 0);
	char *line = session->input, *end;

	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0) {
		fprintf(stderr, "smtp_load: the server closed: %s\n", n == 0 ? "EOF" :
		    strerror(errno));
		exit(EX_PROTOCOL);
	}
	session->input_len += (size_t)n;
	while ((end = memchr(line, '\n', session->input_len)) != NULL) {
		size_t used = (size_t)(end + 1 - line);

		if (!on_line(session, line, used))
			return;
		/* It is the next session already; behind the reply to QUIT nothing follows. */
		if (session->step == STEP_BANNER)
			return;
		line += used;
		session->input_len -= used;
	}
	memmove(session->input, line, session->input_len);
	if (session->mail_left > 0 || session->command_len > 0)
		flush(session);
}

static void
run(struct session *sessions, unsigned count)
{
	struct epoll_event events[EVENTS];
	unsigned i;
	int n;

	for (i = 0; i < count && take_one(); i++)
		open_session(&sessions[i]);
	while (load.open > 0) {
		n = epoll_wait(load.epoll, events, EVENTS, 60000);
		if (n == 0) {
			fputs("smtp_load: no reply in 60 seconds\n", stderr);
			exit(EX_PROTOCOL);
		}
		for (i = 0; n > 0 && i < (unsigned)n; i++) {
			struct session *session = events[i].data.ptr;

			if ((events[i].events & EPOLLOUT) != 0)
				flush(session);
			if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
				on_input(session);
		}
	}
}

static void
usage(void)
{
	fputs("usage: smtp_load [-pr] [-s SESSIONS] [-m MESSAGES | -d SECONDS] [-l OCTETS] "
	    "[-n DOMAINS] ADDRESS PORT\n"
	    "  -n  to d0.example.net, d1.example.net, ... in turn\n"
	    "  -p  pipelined: one round trip for each message\n"
	    "  -r  a connection for each message, timed from connect to the reply to QUIT\n",
	    stderr);
	exit(EX_USAGE);
}

int
main(int argc, char **argv)
{
	unsigned long count = 1, size = 5120;
	struct session *sessions;
	double start, took, duration = 0;
	int option;

	load.left = 1;
	while ((option = getopt(argc, argv, "prs:m:d:l:n:")) != -1) {
		if (option == 'p')
			load.pipelined = true;
		else if (option == 'r')
			load.reconnect = true;
		else if (option == 's')
			count = strtoul(optarg, NULL, 10);
		else if (option == 'm')
			load.left = strtoul(optarg, NULL, 10);
		else if (option == 'd')
			duration = strtod(optarg, NULL);
		else if (option == 'l')
			size = strtoul(optarg, NULL, 10);
		else if (option == 'n')
			load.domains = strtoul(optarg, NULL, 10);
		else
			usage();
	}
	if (argc - optind != 2 || count == 0)
		usage();
	load.to = address_of("smtp_load", argv[optind], argv[optind + 1]);
	load.mail = make_mail(size, &load.mail_len);
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	sessions = calloc(count, sizeof(*sessions));
	if (load.epoll == -1 || sessions == NULL)
		fail("smtp_load", "epoll_create1");
	start = seconds();
	load.until = duration > 0 ? start + duration : 0;
	run(sessions, (unsigned)count);
	took = seconds() - start;
	printf("{\"messages\": %lu, \"refused\": %lu, \"seconds\": %.6f, \"rate\": %.2f, "
	    "\"p50_us\": %.0f, \"p99_us\": %.0f, \"max_us\": %.0f}\n", load.taken, load.refused,
	    took, (double)load.taken / took, times_part(&load.times, 0.5),
	    times_part(&load.times, 0.99), times_part(&load.times, 1));
	free(load.times.values);
	free(load.mail);
	free(sessions);
	return load.refused == 0 && load.taken > 0 ? 0 : EX_TEMPFAIL;
}
