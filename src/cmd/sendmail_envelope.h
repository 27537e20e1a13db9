/* sendmail_envelope.h - from command line to envelope. */
#ifndef HERALD_CMD_SENDMAIL_ENVELOPE_H
#define HERALD_CMD_SENDMAIL_ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>

struct envelope;
struct error;
struct sendmail_addresses;
struct sendmail_options;

/* Most recipients of one message: what the daemon's max_recipients can be set to. */
#define SENDMAIL_RECIPIENTS_MAX	100000

/* The sender, what -N, -R and -V ask for, and the recipients of the command line.  NULL: *err,
 * and *exit_code of sysexits.h. */
struct envelope *sendmail_envelope_new(const struct sendmail_options *options, const char *login,
    int *exit_code, struct error *err);
/* Those of the header, behind them.  No recipients at all are a fault. */
bool sendmail_envelope_add(struct envelope *envelope, const struct sendmail_options *options,
    const struct sendmail_addresses *recipients, int *exit_code, struct error *err)
    __attribute__((warn_unused_result));

#endif
