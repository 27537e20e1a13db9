/* secret_command.h - the output of a program that knows a password; for secret.c alone. */
#ifndef HERALD_RELAY_SECRET_COMMAND_H
#define HERALD_RELAY_SECRET_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

struct buf;
struct error;

/* Runs `command`, words parted by blanks of which the first is an absolute path, without a
 * shell, with nothing to read, and appends what it writes, `max` octets at most: more is
 * not read.  Waits for its end, but no longer than `seconds`; then it is killed.  False
 * for an end other than with status 0, too.  Errors name the program, not its arguments. */
bool secret_command_run(const char *command, unsigned seconds, size_t max, struct buf *out,
    struct error *err) __attribute__((warn_unused_result));

#endif
