/* batch.c - up to 64 datagrams read and answered by two system calls. */
#include "services/batch.h"

#include "base/mem.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* Room for the one control message that we ask for. */
union control {
	struct cmsghdr header; /* for its alignment */
	char octets[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

struct batch {
	size_t request_size; /* of a buffer: the longest request and one octet */
	unsigned received, answers;
	bool wants_local;
	char *octets; /* BATCH_SIZE buffers */
	struct sockaddr_storage sources[BATCH_SIZE];
	union control controls[BATCH_SIZE];
	struct iovec in_octets[BATCH_SIZE], out_octets[BATCH_SIZE];
	struct mmsghdr in[BATCH_SIZE], out[BATCH_SIZE];
};

_Static_assert(sizeof(struct in6_pktinfo) >= sizeof(struct in_pktinfo), "a control fits both");

struct batch *
batch_new(size_t max_request)
{
	struct batch *batch = mem_zalloc(sizeof(*batch));

	batch->request_size = max_request + 1;
	batch->octets = mem_array(BATCH_SIZE, batch->request_size);
	for (unsigned i = 0; i < BATCH_SIZE; i++) {
		batch->in_octets[i].iov_base = batch->octets + i * batch->request_size;
		batch->in_octets[i].iov_len = batch->request_size;
		batch->in[i].msg_hdr.msg_name = &batch->sources[i];
		batch->in[i].msg_hdr.msg_iov = &batch->in_octets[i];
		batch->in[i].msg_hdr.msg_iovlen = 1;
		batch->out[i].msg_hdr.msg_iov = &batch->out_octets[i];
		batch->out[i].msg_hdr.msg_iovlen = 1;
	}
	return batch;
}

void
batch_free(struct batch *batch)
{
	if (batch == NULL)
		return;
	free(batch->octets);
	free(batch);
}

unsigned
batch_receive(struct batch *batch, int fd, bool wants_local)
{
	int count;

	for (unsigned i = 0; i < BATCH_SIZE; i++) {
		struct msghdr *header = &batch->in[i].msg_hdr;

		header->msg_namelen = sizeof(batch->sources[i]);
		header->msg_control = wants_local ? &batch->controls[i] : NULL;
		header->msg_controllen = wants_local ? sizeof(batch->controls[i]) : 0;
	}
	batch->answers = batch->received = 0;
	batch->wants_local = wants_local;
	count = recvmmsg(fd, batch->in, BATCH_SIZE, MSG_DONTWAIT, NULL);
	/* An error is that there is none yet, or an ICMP message about an answer of ours. */
	batch->received = count > 0 ? (unsigned)count : 0;
	return batch->received;
}

/* A datagram to many has another address in its header than the one we have. */
static bool
is_unicast(struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	struct in_pktinfo info;
	struct in6_pktinfo info6;

	if (control == NULL)
		return false;
	if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
		memcpy(&info, CMSG_DATA(control), sizeof(info));
		return info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
	}
	if (control->cmsg_level != IPPROTO_IPV6 || control->cmsg_type != IPV6_PKTINFO)
		return false;
	memcpy(&info6, CMSG_DATA(control), sizeof(info6));
	return !IN6_IS_ADDR_MULTICAST(&info6.ipi6_addr);
}

void
batch_get(const struct batch *batch, unsigned index, struct datagram *out)
{
	struct msghdr header = batch->in[index].msg_hdr;

	out->source = (const struct sockaddr *)&batch->sources[index];
	out->octets = batch->in_octets[index].iov_base;
	out->len = batch->in[index].msg_len;
	out->is_cut = (header.msg_flags & MSG_TRUNC) != 0;
	out->is_unicast = !batch->wants_local || is_unicast(&header);
}

/* Makes of "was sent to this address" the order "send from it"; the route chooses the
 * interface, but for link-local addresses, which mean nothing without one. */
static void
turn_round(struct msghdr *header)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(header);
	struct in_pktinfo info;
	struct in6_pktinfo info6;

	if (control->cmsg_level == IPPROTO_IP) {
		memcpy(&info, CMSG_DATA(control), sizeof(info));
		info.ipi_ifindex = 0;
		memcpy(CMSG_DATA(control), &info, sizeof(info));
	} else {
		memcpy(&info6, CMSG_DATA(control), sizeof(info6));
		if (!IN6_IS_ADDR_LINKLOCAL(&info6.ipi6_addr))
			info6.ipi6_ifindex = 0;
		memcpy(CMSG_DATA(control), &info6, sizeof(info6));
	}
}

void
batch_answer(struct batch *batch, unsigned index, const char *octets, size_t len)
{
	const struct msghdr *in = &batch->in[index].msg_hdr;
	struct msghdr *out = &batch->out[batch->answers].msg_hdr;

	batch->out_octets[batch->answers].iov_base = (void *)(uintptr_t)octets;
	batch->out_octets[batch->answers].iov_len = len;
	out->msg_name = in->msg_name;
	out->msg_namelen = in->msg_namelen;
	out->msg_control = batch->wants_local ? in->msg_control : NULL;
	out->msg_controllen = batch->wants_local ? in->msg_controllen : 0;
	if (batch->wants_local)
		turn_round(out);
	batch->answers++;
}

unsigned
batch_send(struct batch *batch, int fd)
{
	unsigned at = 0, sent = 0;

	while (at < batch->answers) {
		int count = sendmmsg(
		    fd, batch->out + at, batch->answers - at, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (count > 0) {
			at += (unsigned)count;
			sent += (unsigned)count;
			continue;
		}
		/* The queue of the link is full: waiting would only make a flood worse. */
		if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
			break;
		/* This one cannot go: no route, a firewall. */
		if (errno != EINTR)
			at++;
	}
	return sent;
}
