/* smtp_chunk.h - the octets of BDAT (RFC 3030): counted, so that dots mean nothing in them. */
#ifndef HERALD_PROTO_SMTP_CHUNK_H
#define HERALD_PROTO_SMTP_CHUNK_H

#include <stddef.h>

#include "proto/smtp_data.h"

/* Hands `len` octets of a message on, in blocks as large as possible.  Lines are judged as
 * those of DATA are: decoder->bare, decoder->nul, and normalize is heeded; what is found does
 * not depend on where it was cut.  A CR at the end waits for its LF, in the next chunk, too. */
void smtp_chunk_decode(struct smtp_decoder *decoder, const char *octets, size_t len,
    void (*take)(void *arg, const char *octets, size_t len), void *arg);

/* Behind the last chunk: a last line without its end gets one, as DATA would have given it. */
void smtp_chunk_end(struct smtp_decoder *decoder,
    void (*take)(void *arg, const char *octets, size_t len), void *arg);

#endif
