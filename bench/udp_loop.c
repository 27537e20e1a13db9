/* udp_loop.c - the bare UDP service: recvmmsg, sendmmsg, and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "common.h"

#define BATCH	64

int
main(int argc, char **argv)
{
	static struct mmsghdr in[BATCH], out[BATCH];
	static struct iovec in_part[BATCH], out_part[BATCH];
	static struct sockaddr_in peers[BATCH];
	static char requests[BATCH][4096];
	struct sockaddr_in at;
	int fd;

	if (argc != 4) {
		fputs("usage: udp_loop ADDRESS PORT TEXT\n", stderr);
		return EX_USAGE;
	}
	at = address_of("udp_loop", argv[1], argv[2]);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == -1)
		fail("udp_loop", "bind");
	for (int i = 0; i < BATCH; i++) {
		in_part[i] = (struct iovec){ requests[i], sizeof(requests[i]) };
		out_part[i] = (struct iovec){ argv[3], strlen(argv[3]) };
		in[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i], .msg_iov = &in_part[i],
			.msg_iovlen = 1 };
		out[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i],
			.msg_namelen = sizeof(peers[i]), .msg_iov = &out_part[i], .msg_iovlen = 1 };
	}
	for (;;) {
		int n, sent;

		for (int i = 0; i < BATCH; i++)
			in[i].msg_hdr.msg_namelen = sizeof(peers[i]);
		n = recvmmsg(fd, in, BATCH, MSG_WAITFORONE, NULL);
		sent = n > 0 ? sendmmsg(fd, out, (unsigned)n, 0) : 0;
		if (n < 0 || sent < 0)
			fail("udp_loop", "recvmmsg and sendmmsg");
	}
}
