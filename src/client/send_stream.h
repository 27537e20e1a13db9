/* send_stream.h - GMime's streams over the files of a mail and over its mail data. */
#ifndef HERALD_CLIENT_SEND_STREAM_H
#define HERALD_CLIENT_SEND_STREAM_H

#include "client/send_file.h"

struct _GMimeStream;
struct content;

/* The file's octets, opened when they are wanted; that they are not all there, or have changed,
 * is a fault.  The file and the fault outlive the stream. */
struct _GMimeStream *send_stream_of_file(const struct send_file *file, struct send_fault *fault);

/* Writes into mail data; what cannot be written is a fault.  Both outlive the stream. */
struct _GMimeStream *send_stream_to_content(struct content *content, struct send_fault *fault);

#endif
