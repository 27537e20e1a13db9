/* submit_queue.c - the queue of this machine's heraldd: where it is, and a mail handed to it. */
#include "autoconfig.h"
#include "client/submit_queue.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "client/client_stream.h"
#include "client/submit_client.h"
#include "proto/smtp_client.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAUSE	100000	/* microseconds between two tries */

const char *
submit_queue_socket(void)
{
	const char *path = getenv("HERALD_SUBMIT_SOCKET");

	return path != NULL && path[0] != '\0' ? path :
	    HERALD_RUNSTATEDIR "/herald/submit.sock";
}

const char *
submit_helo(char *out, size_t size)
{
	if (gethostname(out, size - 1) == -1)
		out[0] = '\0';
	out[size - 1] = '\0';
	for (const char *at = out; *at != '\0'; at++) {
		if (!isalnum((unsigned char)*at) && strchr(".-_", *at) == NULL) {
			out[0] = '\0';
			break;
		}
	}
	if (out[0] == '\0')
		text_copy(out, size, "localhost");
	return out;
}

const char *
submit_spool_directory(void)
{
	static const char *const others[] = { "/var/tmp", "/tmp", "/dev/shm" };
	const char *own = getenv("TMPDIR");

	if (own != NULL && own[0] == '/' && access(own, W_OK | X_OK) == 0)
		return own;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (access(others[i], W_OK | X_OK) == 0)
			return others[i];
	return others[0];
}

static bool
try_once(const struct envelope *envelope, const struct content *content, int64_t deadline,
    const struct submit_watch *watch, struct submit_result *result, struct error *err)
{
	char hostname[256] = "localhost";
	const struct smtp_client_params params = {
		.helo = submit_helo(hostname, sizeof(hostname)),
		.tls = SMTP_CLIENT_TLS_NONE,
	};
	struct submit_session session = { .params = &params, .watch = watch };
	int fd = client_stream_unix_socket(submit_queue_socket(), deadline, err);

	if (fd == -1)
		return false;
	session.stream = client_stream_adopt(fd);
	submit_mail(&session, envelope, content, result);
	client_stream_close(session.stream);
	return true;
}

bool
submit_to_queue(const struct envelope *envelope, const struct content *content, int64_t deadline,
    const struct submit_watch *watch, struct submit_result *result, struct error *err)
{
	for (;;) {
		if (!try_once(envelope, content, deadline, watch, result, err))
			return false;
		if (result->taken || result->began || clock_monotonic_us() >= deadline)
			return true;
		submit_result_clear(result);
		usleep(PAUSE);
	}
}
