/* sendmail_encode.h - a body that SMTP cannot carry as it is, made quoted-printable. */
#ifndef HERALD_CMD_SENDMAIL_ENCODE_H
#define HERALD_CMD_SENDMAIL_ENCODE_H

struct content;
struct error;
struct sendmail_message;

/* What is to be sent of a message that is whole, a reference of the caller's own.  Lines over
 * 998 octets, a bare CR and a NUL get through in quoted-printable (RFC 2045 6.7), which brings
 * each octet back; where the message has parts or an encoding of its own it goes as it is, with
 * a warning in the log, but for a NUL: that is refused.  NULL: *err, and *exit_code. */
struct content *sendmail_encode(struct sendmail_message *message, const char *directory,
    int *exit_code, struct error *err);

#endif
