/* batch.h - up to 64 datagrams read and answered by two system calls. */
#ifndef HERALD_SERVICES_BATCH_H
#define HERALD_SERVICES_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define BATCH_SIZE 64 /* so that a flood cannot hold the loop, SPEC 4 */

struct batch;

struct datagram {
	const struct sockaddr *source;
	const char *octets;
	size_t len;
	bool is_cut;	 /* it was longer than the batch can hold */
	bool is_unicast; /* sent to an address of ours, and not to many */
};

/* For requests of at most `max_request` octets. */
struct batch *batch_new(size_t max_request);
void batch_free(struct batch *batch); /* NULL is allowed */

/* How many were there, 0 when none.  `wants_local`: the socket listens at every address,
 * so the answer must be told which one was asked. */
unsigned batch_receive(struct batch *batch, int fd, bool wants_local);
void batch_get(const struct batch *batch, unsigned index, struct datagram *out);

/* The answer to datagram `index`; the octets are borrowed until batch_send(). */
void batch_answer(struct batch *batch, unsigned index, const char *octets, size_t len);
/* Sends all answers; what the kernel does not take at once is dropped, for a datagram may
 * be lost on any other link too.  How many went. */
unsigned batch_send(struct batch *batch, int fd);

#endif
