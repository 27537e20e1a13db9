/* quote_load.c - asks a UDP service as fast as it answers, and counts the replies. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH		64
#define WINDOW		256	/* requests without a reply; more only fills socket buffers */
#define LOST_MS		20	/* no reply for so long: the rest of the window was dropped */

static double
seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

struct load {
	int fd;
	struct mmsghdr out[BATCH], in[BATCH];
	struct iovec out_part[BATCH], in_part[BATCH];
	char replies[BATCH][2048];
	uint64_t sent, answered;
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
turn(struct load *load)
{
	struct pollfd ready = { load->fd, POLLIN, 0 };
	int n;

	if (load->open + BATCH <= WINDOW) {
		n = sendmmsg(load->fd, load->out, BATCH, 0);
		if (n > 0) {
			load->sent += (uint64_t)n;
			load->open += (unsigned)n;
		}
	}
	if (load->open + BATCH > WINDOW && poll(&ready, 1, LOST_MS) == 0)
		load->open = 0;
	n = recvmmsg(load->fd, load->in, BATCH, MSG_DONTWAIT, NULL);
	if (n > 0) {
		load->answered += (uint64_t)n;
		load->open -= (unsigned)n < load->open ? (unsigned)n : load->open;
	}
}

int
main(int argc, char **argv)
{
	static struct load load;
	struct sockaddr_in to = { .sin_family = AF_INET };
	double start, end;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fputs("usage: quote_load ADDRESS PORT SECONDS\n", stderr);
		return 64;
	}
	to.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	load.fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (load.fd == -1 || connect(load.fd, (struct sockaddr *)&to, sizeof(to)) == -1) {
		fprintf(stderr, "quote_load: %s\n", strerror(errno));
		return 71;
	}
	prepare(&load);
	start = seconds();
	end = start + strtod(argv[3], NULL);
	while (seconds() < end)
		turn(&load);
	printf("sent %llu answered %llu rate %.0f\n", (unsigned long long)load.sent,
	    (unsigned long long)load.answered, (double)load.answered / (seconds() - start));
	return load.answered > 0 ? 0 : 69;
}
