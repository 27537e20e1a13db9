/* quote_load.c - asks a UDP service as fast as it answers, or faster, and counts the replies. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>

#include "common.h"

#define BATCH		64
#define WINDOW		256	/* requests without a reply; more only fills socket buffers */
#define LOST_MS		20	/* no reply for so long: the rest of the window was dropped */

struct load {
	int fd;
	struct mmsghdr out[BATCH], in[BATCH];
	struct iovec out_part[BATCH], in_part[BATCH];
	char replies[BATCH][2048];
	unsigned long sent, answered;
	unsigned open;
};

static void
prepare(struct load *load)
{
	static char request[] = "?";

	for (int i = 0; i < BATCH; i++) {
		load->out_part[i] = (struct iovec){ request, 1 };
		load->in_part[i] = (struct iovec){ load->replies[i], sizeof(load->replies[i]) };
		load->out[i].msg_hdr.msg_iov = &load->out_part[i];
		load->out[i].msg_hdr.msg_iovlen = 1;
		load->in[i].msg_hdr.msg_iov = &load->in_part[i];
		load->in[i].msg_hdr.msg_iovlen = 1;
	}
}

static void
ask(struct load *load)
{
	int n = sendmmsg(load->fd, load->out, BATCH, 0);

	if (n > 0) {
		load->sent += (unsigned long)n;
		load->open += (unsigned)n;
	}
}

static void
take(struct load *load)
{
	int n = recvmmsg(load->fd, load->in, BATCH, MSG_DONTWAIT, NULL);

	if (n > 0) {
		load->answered += (unsigned long)n;
		load->open -= (unsigned)n < load->open ? (unsigned)n : load->open;
	}
}

static void
turn(struct load *load)
{
	struct pollfd ready = { load->fd, POLLIN, 0 };

	if (load->open + BATCH <= WINDOW)
		ask(load);
	if (load->open + BATCH > WINDOW && poll(&ready, 1, LOST_MS) == 0)
		load->open = 0;
	take(load);
}

int
main(int argc, char **argv)
{
	static struct load load;
	struct sockaddr_in to;
	double start, end;

	if (argc != 4 && (argc != 5 || strcmp(argv[4], "flood") != 0)) {
		fputs("usage: quote_load ADDRESS PORT SECONDS [flood]\n"
		    "  flood: never waits for a reply\n", stderr);
		return EX_USAGE;
	}
	to = address_of("quote_load", argv[1], argv[2]);
	load.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (load.fd == -1 || connect(load.fd, (struct sockaddr *)&to, sizeof(to)) == -1)
		fail("quote_load", "connect");
	prepare(&load);
	start = seconds();
	end = start + strtod(argv[3], NULL);
	while (seconds() < end) {
		if (argc == 4)
			turn(&load);
		else {
			ask(&load);
			take(&load);
		}
	}
	end = seconds();
	printf("{\"sent\": %lu, \"answered\": %lu, \"rate\": %.0f, \"sent_rate\": %.0f}\n",
	    load.sent, load.answered, (double)load.answered / (end - start),
	    (double)load.sent / (end - start));
	return load.answered > 0 || argc == 5 ? 0 : EX_UNAVAILABLE;
}
