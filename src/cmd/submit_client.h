/* submit_client.h - hands one mail to an SMTP server and waits for its word. */
#ifndef HERALD_CMD_SUBMIT_CLIENT_H
#define HERALD_CMD_SUBMIT_CLIENT_H

#include "mail/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct content;
struct envelope;
struct error;
struct smtp_client_params;

/* Why a recipient, or by its step the whole mail, is not taken. */
struct submit_refusal {
	size_t index;			/* of envelope->recipients */
	const char *step;		/* what was answered: "RCPT TO", "end of data" */
	struct status status;
};

struct submit_result {
	/* The server has said 250 to the end of the data for every recipient: it has the mail,
	 * whatever becomes of the connection.  All or nobody: if one recipient is refused the
	 * data is not sent. */
	bool taken;
	bool began;			/* MAIL was answered; else the session was not to be had */
	struct status status;		/* the 250, or what ended the session before MAIL */
	struct submit_refusal *refusals;
	size_t refusal_count;
};

/* A connected non-blocking socket, or -1: *err says why, errno too.  A server that is about
 * to start (no socket yet, nobody listening, its backlog full) is waited for until
 * `deadline`, of clock_monotonic_us(). */
int submit_connect(const char *path, int64_t deadline, struct error *err);

/* The dialogue over `fd`, non-blocking, up to QUIT; without TLS.  `content` is canonical and
 * envelope->size octets long.  Free the result by submit_result_clear(). */
void submit_mail(int fd, const struct smtp_client_params *params,
    const struct envelope *envelope, const struct content *content,
    struct submit_result *result);
void submit_result_clear(struct submit_result *result);

#endif
