/* sync_loop.c - the bare price of durability: write some octets, fdatasync, again and again. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "common.h"

#define REUSED	(4 * 1024 * 1024)	/* octets, about what a log holds before it starts anew */

/* Real data in real blocks: else the first sync of each would be one of allocation, too. */
static void
fill_file(int fd)
{
	static char block[64 * 1024];

	for (size_t done = 0; done < REUSED; done += sizeof(block))
		if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
			fail("sync_loop", "write");
	if (fsync(fd) == -1)
		fail("sync_loop", "fsync");
}

int
main(int argc, char **argv)
{
	struct times times = { 0 };
	double start, end, now, last;
	unsigned long count;
	size_t size, at = 0;
	char *octets;
	int fd, reuse;

	if (argc != 5 || (strcmp(argv[4], "append") != 0 && strcmp(argv[4], "reuse") != 0)) {
		fputs("usage: sync_loop FILE OCTETS SECONDS append|reuse\n", stderr);
		return EX_USAGE;
	}
	reuse = strcmp(argv[4], "reuse") == 0;
	size = strtoul(argv[2], NULL, 10);
	octets = malloc(size + 1);
	fd = open(argv[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd == -1 || octets == NULL || size == 0 || size > REUSED)
		fail("sync_loop", argv[1]);
	memset(octets, 'x', size);
	if (reuse)
		fill_file(fd);
	start = last = seconds();
	end = start + strtod(argv[3], NULL);
	for (count = 0; last < end; count++) {
		if (reuse && at + size > REUSED)
			at = 0;
		if (pwrite(fd, octets, size, (off_t)at) != (ssize_t)size || fdatasync(fd) == -1)
			fail("sync_loop", argv[1]);
		at += size;
		now = seconds();
		times_add(&times, now - last);
		last = now;
	}
	printf("{\"syncs\": %lu, \"rate\": %.1f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n", count,
	    (double)count / (last - start), times_part(&times, 0.5), times_part(&times, 0.99));
	free(times.values);
	free(octets);
	return 0;
}
