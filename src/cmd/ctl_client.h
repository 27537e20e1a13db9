/* ctl_client.h - heraldctl's side of the control socket. */
#ifndef HERALD_CMD_CTL_CLIENT_H
#define HERALD_CMD_CTL_CLIENT_H

#include <jansson.h>

/* Sends one request (consumed) over the socket at `path` and waits for the answer.  The
 * result is a new reference; on NULL *exit_code is of sysexits.h and *why, to be freed,
 * says what went wrong. */
json_t *ctl_request(const char *path, json_t *request, int *exit_code, char **why);

#endif
