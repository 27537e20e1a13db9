/* secret_command.c - the output of a program that knows a password. */
#include "relay/secret_command.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORDS_MAX	64
#define COMMAND_MAX	4096	/* octets */

/* The words of a command, each ended by a NUL in `text`. */
struct words { char text[COMMAND_MAX]; char *items[WORDS_MAX + 1]; size_t count; };

static bool
split(struct words *words, const char *command, struct error *err)
{
	char *rest = words->text, *word;

	if (strlen(command) >= sizeof(words->text))
		return error_set(err, ERROR_CONFIG, "the command is too long");
	text_copy(words->text, sizeof(words->text), command);
	words->count = 0;
	while ((word = strtok_r(rest, " \t", &rest)) != NULL) {
		if (words->count == WORDS_MAX)
			return error_set(err, ERROR_CONFIG, "the command has too many words");
		words->items[words->count++] = word;
	}
	words->items[words->count] = NULL;
	if (words->count == 0 || words->items[0][0] != '/')
		return error_set(err, ERROR_CONFIG,
		    "a command begins with the absolute path of a program");
	return true;
}

/* A group of its own, so that what it starts can be ended with it; no signal of ours is
 * blocked or ignored there. */
static int
set_attributes(posix_spawnattr_t *attributes)
{
	sigset_t none, all;
	int failure;

	sigemptyset(&none);
	sigfillset(&all);
	failure = posix_spawnattr_setflags(attributes,
	    POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (failure == 0)
		failure = posix_spawnattr_setsigmask(attributes, &none);
	if (failure == 0)
		failure = posix_spawnattr_setsigdefault(attributes, &all);
	return failure;
}

/* 0, or an errno.  What it says in error goes where our own errors go. */
static int
spawn(const struct words *words, int output, pid_t *pid)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	int failure;

	failure = posix_spawn_file_actions_init(&actions);
	if (failure != 0)
		return failure;
	failure = posix_spawnattr_init(&attributes);
	if (failure == 0) {
		failure = posix_spawn_file_actions_addopen(
		    &actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
		if (failure == 0)
			failure = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
		if (failure == 0)
			failure = set_attributes(&attributes);
		if (failure == 0)
			failure = posix_spawn(pid, words->items[0], &actions, &attributes,
			    words->items, environ);
		posix_spawnattr_destroy(&attributes);
	}
	posix_spawn_file_actions_destroy(&actions);
	return failure;
}

/* Milliseconds, 0 when it has passed. */
static int
left_until(int64_t deadline)
{
	int64_t left = deadline - clock_monotonic_us();

	return left > 0 ? (int)(left / 1000 + 1) : 0;
}

/* False when the time is over. */
static bool
read_output(int fd, size_t max, struct buf *out, int64_t deadline)
{
	char *room = buf_reserve(out, max);
	struct pollfd watched = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t got;

	while (len < max) {
		int ready = poll(&watched, 1, left_until(deadline));

		if (ready == 0)
			return false;
		if (ready == -1 && errno == EINTR)
			continue;
		got = read(fd, room + len, max - len);
		if (got == 0 || (got == -1 && errno != EINTR))
			break;
		len += got > 0 ? (size_t)got : 0;
	}
	buf_commit(out, len);
	return true;
}

/* False when the time is over.  A program may close its output and go on. */
static bool
wait_for_end(pid_t pid, int *status, int64_t deadline)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	pid_t ended;

	for (;;) {
		ended = waitpid(pid, status, WNOHANG);
		if (ended == pid)
			return true;
		if ((ended == -1 && errno != EINTR) || left_until(deadline) == 0)
			return false;
		nanosleep(&pause, NULL);
	}
}

static bool
judge_end(const char *program, int status, struct error *err)
{
	if (WIFSIGNALED(status))
		return error_set(err, ERROR_CONFIG, "%s: ended by signal %d", program,
		    WTERMSIG(status));
	if (WEXITSTATUS(status) != 0)
		return error_set(err, ERROR_CONFIG, "%s: ended with status %d", program,
		    WEXITSTATUS(status));
	return true;
}

static bool
hear(const char *program, pid_t pid, int fd, unsigned seconds, size_t max, struct buf *out,
    struct error *err)
{
	int64_t deadline = clock_monotonic_us() + (int64_t)seconds * 1000000;
	int status = 0;
	bool in_time = read_output(fd, max, out, deadline);

	close(fd);	/* who writes more than we read ends by SIGPIPE */
	if (in_time && wait_for_end(pid, &status, deadline))
		return judge_end(program, status, err);
	kill(-pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return error_set(err, ERROR_CONFIG, "%s: not done after %u s", program, seconds);
}

bool
secret_command_run(const char *command, unsigned seconds, size_t max, struct buf *out,
    struct error *err)
{
	struct words words;
	int fds[2], failure;
	pid_t pid;

	if (!split(&words, command, err))
		return false;
	if (pipe2(fds, O_CLOEXEC) == -1)
		return error_set(err, ERROR_SYSTEM, "cannot make a pipe: %s", strerror(errno));
	failure = spawn(&words, fds[1], &pid);
	close(fds[1]);
	if (failure != 0) {
		close(fds[0]);
		return error_set(err, ERROR_CONFIG, "cannot run %s: %s", words.items[0],
		    strerror(failure));
	}
	return hear(words.items[0], pid, fds[0], seconds, max, out, err);
}
