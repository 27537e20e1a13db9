/* sasl_server.h - the server's side of the AUTH mechanisms: what the client answers. */
#ifndef HERALD_PROTO_SASL_SERVER_H
#define HERALD_PROTO_SASL_SERVER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "proto/sasl.h"

#define SASL_USERNAME_MAX	255	/* octets, as RFC 4616 2 has it for each part */

/* One exchange.  The fields are its own; what it was told is wiped by sasl_server_end(). */
struct sasl_server {
	enum sasl_mechanism mechanism;	/* SASL_PLAIN or SASL_LOGIN */
	struct buf username, password;	/* NUL-ended once the exchange is done */
};

enum sasl_server_next {
	SASL_SERVER_CHALLENGE,		/* sasl_server_challenge() is to be sent */
	SASL_SERVER_DONE,		/* username and password are there */
	SASL_SERVER_FAULT,		/* no base64, or not what the mechanism has */
	SASL_SERVER_OTHER_IDENTITY,	/* PLAIN: to act as somebody else, which nobody may */
};

void sasl_server_start(struct sasl_server *sasl, enum sasl_mechanism mechanism);
void sasl_server_end(struct sasl_server *sasl);		/* *sasl is all zero then */

/* The client's next answer, in base64; before the first challenge its initial response,
 * NULL where it sent none (RFC 4954 4). */
enum sasl_server_next sasl_server_answer(struct sasl_server *sasl, const char *answer, size_t len);
const char *sasl_server_challenge(const struct sasl_server *sasl);	/* in base64 */

const char *sasl_server_username(const struct sasl_server *sasl);	/* printable UTF-8 */
const char *sasl_server_password(const struct sasl_server *sasl);

#endif
