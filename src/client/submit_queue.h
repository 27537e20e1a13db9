/* submit_queue.h - the queue of this machine's heraldd: where it is, and a mail handed to it. */
#ifndef HERALD_CLIENT_SUBMIT_QUEUE_H
#define HERALD_CLIENT_SUBMIT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct content;
struct envelope;
struct error;
struct submit_result;
struct submit_watch;

/* $HERALD_SUBMIT_SOCKET, else the daemon's. */
const char *submit_queue_socket(void);
/* The name of this machine where it can stand in EHLO, else "localhost". */
const char *submit_helo(char *out, size_t size);
/* Where a large message is kept until a server has it; the file has no name. */
const char *submit_spool_directory(void);

/* What the daemon says of itself before MAIL (it starts, it is full) may be over soon: until
 * the deadline, of clock_monotonic_us(), it is asked again.  False: nobody is there, *err says
 * why and errno, too.  True: *result, to be cleared by submit_result_clear(). */
bool submit_to_queue(const struct envelope *envelope, const struct content *content,
    int64_t deadline, const struct submit_watch *watch, struct submit_result *result,
    struct error *err) __attribute__((warn_unused_result));

#endif
