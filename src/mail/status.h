/* status.h - what a server, or herald itself, said about a delivery. */
#ifndef HERALD_MAIL_STATUS_H
#define HERALD_MAIL_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATUS_TEXT_MAX	512	/* octets with the NUL; longer replies are cut, RULES L */

enum status_class { STATUS_SUCCESS = 2, STATUS_TRANSIENT = 4, STATUS_PERMANENT = 5 };

struct enhanced_code { uint8_t class; uint16_t subject, detail; };	/* RFC 3463; 0.0.0: none */

/* A value.  reply_code is 0 when no reply was read: refused, timeout, TLS. */
struct status {
	uint16_t reply_code;		/* RFC 5321 4.2: 200..599, or 0 */
	struct enhanced_code enhanced;	/* made to agree with the reply code when parsed */
	char text[STATUS_TEXT_MAX];	/* printable ASCII, lines joined by a blank; untrusted */
};

/* The only place that decides between transient and permanent.  A code that is
 * neither 2xx nor 5xx counts as transient: keeping mail is the safe mistake. */
enum status_class status_class(const struct status *status);

/* For what is not a reply: status_local("4.4.1", "no answer from %s", host). */
struct status status_local(const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A reply of ours: status_reply(552, "5.3.4", "message too large"). */
struct status status_reply(uint16_t reply_code, const char *enhanced, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* From a reply's code and its text (lines joined by a blank): takes a leading enhanced
 * code off where it agrees with the code, else leaves 0.0.0, so that status_text() can say
 * what the peer said; makes the text printable. */
struct status status_parse(uint16_t reply_code, const char *text, size_t len);

/* Reads "4.2.1" at text; returns octets read, 0 when there is none (RFC 3463 2). */
size_t enhanced_code_parse(struct enhanced_code *out, const char *text, size_t len);

#define STATUS_DSN_MAX	16		/* "5.999.999" */
/* The enhanced code; X.0.0 of the status_class() where there is none. */
const char *status_dsn(const struct status *status, char out[STATUS_DSN_MAX]);
/* "250 2.0.0 Ok: queued" as the peer said it; without a reply, the text alone. */
const char *status_text(const struct status *status, char *out, size_t size);

#endif
