/* sasl_scram.h - the messages of SCRAM-SHA-256 (RFC 5802, RFC 7677); for sasl.c alone. */
#ifndef HERALD_PROTO_SASL_SCRAM_H
#define HERALD_PROTO_SASL_SCRAM_H

#include <stdbool.h>

struct buf;
struct sasl;

/* The next message of the client, before base64; `challenge` is decoded.  False:
 * sasl->fault says why. */
bool scram_answer(struct sasl *sasl, const struct buf *challenge, struct buf *message)
    __attribute__((warn_unused_result));

#endif
