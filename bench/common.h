/* common.h - what the programs of bench/ share: the clock, an address, percentiles. */
#ifndef HERALD_BENCH_COMMON_H
#define HERALD_BENCH_COMMON_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

double seconds(void);	/* monotonic */

/* "127.0.0.1" and "2525"; ends the program where they are none. */
struct sockaddr_in address_of(const char *program, const char *address, const char *port);

/* One octet string of `size` octets that ends with the SMTP end of data, header fields and
 * lines of 78 octets; *len is what goes over the wire.  Freed by the caller. */
char *make_mail(size_t size, size_t *len);

/* Times in seconds that were measured one by one. */
struct times { double *values; size_t count, room; };
void times_add(struct times *times, double value);
/* Sorts; part 0.99 is what 99 of 100 do not exceed, in microseconds. */
double times_part(struct times *times, double part);

/* Takes the next of many loopback addresses as source, so that no one's ports run out. */
void bind_source(int fd, unsigned number);

void fail(const char *program, const char *what) __attribute__((noreturn));

#endif
