/* sendmail.h - what the modes of herald-sendmail share: messages, sockets, the log. */
#ifndef HERALD_CMD_SENDMAIL_H
#define HERALD_CMD_SENDMAIL_H

struct sendmail_options;

/* The modes.  They return an exit code of <sysexits.h>. */
int sendmail_deliver(const struct sendmail_options *options);	/* sendmail_deliver.c */
int sendmail_smtp(const struct sendmail_options *options);	/* sendmail_smtp.c */
int sendmail_list(const struct sendmail_options *options);	/* sendmail_queue.c */
int sendmail_flush(const struct sendmail_options *options);
int sendmail_verify(const struct sendmail_options *options);

/* sendmail_tell.c.  "sendmail: ..." on standard error; returns the exit code. */
int sendmail_fail(int exit_code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A warning through syslog, by herald/sendmail or the label of -L. */
void sendmail_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* sendmail.c.  $HERALD_CONTROL_SOCKET, else the daemon's. */
const char *sendmail_control_socket(void);

#endif
