/* ctl_client.c - heraldctl's side of the control socket. */
#include "cmd/ctl_client.h"

#include "base/buf.h"
#include "base/mem.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

#define ANSWER_TIMEOUT	150	/* seconds; a probe waits for the network, 120 at most */

static int
connect_to(const char *path)
{
	static const struct timeval patience = { ANSWER_TIMEOUT, 0 };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(to.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(to.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static bool
send_line(int fd, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t len = strlen(text), sent = 0;

	text[len++] = '\n';	/* in place of the NUL: the length says where it ends */
	while (sent < len) {
		ssize_t n = send(fd, text + sent, len - sent, MSG_NOSIGNAL);

		if (n == -1 && errno != EINTR)
			break;
		if (n > 0)
			sent += (size_t)n;
	}
	free(text);
	return sent == len;
}

/* Up to the newline; false when the daemon closes or is silent before it. */
static bool
read_line(int fd, struct buf *line)
{
	for (;;) {
		char *room = buf_reserve(line, 64 * 1024);
		ssize_t n = recv(fd, room, 64 * 1024, 0);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == 0)
			errno = ECONNRESET;
		if (n <= 0)
			return false;
		buf_commit(line, (size_t)n);
		if (room[n - 1] == '\n')
			return true;
	}
}

/* Takes the result out of {"ok": …}. */
static json_t *
unwrap(json_t *reply, int *exit_code, char **why)
{
	json_t *result = json_object_get(reply, "result");
	const char *error = json_string_value(json_object_get(reply, "error"));

	if (json_is_true(json_object_get(reply, "ok")) && result != NULL) {
		json_incref(result);
	} else {
		*exit_code = (int)json_integer_value(json_object_get(reply, "exit"));
		if (*exit_code == EX_OK)
			*exit_code = EX_PROTOCOL;
		*why = mem_strdup(error != NULL ? error : "the daemon's answer makes no sense");
		result = NULL;
	}
	json_decref(reply);
	return result;
}

json_t *
ctl_request(const char *path, json_t *request, int *exit_code, char **why)
{
	struct buf line = { 0 };
	json_t *reply = NULL;
	int fd = connect_to(path);

	if (fd == -1 || !send_line(fd, request) || !read_line(fd, &line)) {
		*exit_code = errno == EACCES || errno == EPERM ? EX_NOPERM : EX_UNAVAILABLE;
		*why = mem_printf("no answer from heraldd at %s: %s", path,
		    errno == EAGAIN ? "it is silent" : strerror(errno));
	} else {
		reply = json_loadb(buf_octets(&line), line.len, 0, NULL);
		reply = unwrap(reply, exit_code, why);
	}
	if (fd != -1)
		close(fd);
	json_decref(request);
	buf_free(&line);
	return reply;
}
