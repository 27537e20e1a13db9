/* dns_fixture.h - a DNS server on the loop, which knows what the test says. */
#ifndef HERALD_TESTS_DNS_FIXTURE_H
#define HERALD_TESTS_DNS_FIXTURE_H

#include "net/loop.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define DNS_CODE	0		/* instead of a type: `number` is the response code */
#define DNS_NOTHING	(-1)		/* the name is there, without records */
#define DNS_MUTE	(-2)		/* no answer at all */

/* A name that no row has does not exist.  `number` is the preference of an MX. */
struct dns_row { const char *name; int type; unsigned number; const char *value; };

struct dns_server {
	int fd;
	struct event *event;
	const struct dns_row *rows;	/* ended by one without a name */
	unsigned asked;
	bool is_mute;
	char address[40];		/* for resolver_use_server() */
};

static inline size_t
dns_put_name(uint8_t *out, const char *name)
{
	size_t at = 0;

	while (*name != '\0') {
		size_t len = strcspn(name, ".");

		out[at++] = (uint8_t)len;
		memcpy(out + at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	out[at++] = 0;
	return at;
}

static inline size_t
dns_put_row(uint8_t *out, const struct dns_row *row)
{
	const uint8_t head[10] = { 0xc0, 12, 0, (uint8_t)row->type, 0, 1, 0, 0, 0, 60 };
	uint8_t *octets = out + 12;
	size_t len = 0;

	memcpy(out, head, sizeof(head));
	if (row->type == ns_t_a) {
		len = inet_pton(AF_INET, row->value, octets) == 1 ? 4 : 0;
	} else if (row->type == ns_t_aaaa) {
		len = inet_pton(AF_INET6, row->value, octets) == 1 ? 16 : 0;
	} else if (row->type == ns_t_mx) {
		octets[0] = (uint8_t)(row->number >> 8);
		octets[1] = (uint8_t)row->number;
		len = 2 + dns_put_name(octets + 2, row->value);
	} else {
		len = dns_put_name(octets, row->value);
	}
	out[10] = (uint8_t)(len >> 8);
	out[11] = (uint8_t)len;
	return 12 + len;
}

/* "example.org" of the question; returns where its type stands. */
static inline size_t
dns_read_name(const uint8_t *octets, size_t len, char name[300])
{
	size_t at = 12, out = 0;

	while (at < len && octets[at] != 0 && out < 250) {
		if (out > 0)
			name[out++] = '.';
		for (size_t end = at + 1 + octets[at]; ++at < end && at < len && out < 250; )
			name[out++] = (char)octets[at];
	}
	name[out] = '\0';
	return at + 1;
}

/* Turns the question into its answer; 0: there is none. */
static inline size_t
dns_reply(const struct dns_server *server, uint8_t *octets, size_t len)
{
	char name[300];
	size_t at = dns_read_name(octets, len, name), out = at + 4;
	bool known = false;

	octets[2] = 0x84;
	octets[3] = 0x80;
	memset(octets + 6, 0, 6);
	for (const struct dns_row *row = server->rows; row->name != NULL; row++) {
		if (strcasecmp(row->name, name) != 0)
			continue;
		known = true;
		if (row->type == DNS_MUTE)
			return 0;
		if (row->type == DNS_CODE)
			octets[3] = (uint8_t)(0x80 | row->number);
		if (row->type != octets[at + 1] && row->type != ns_t_cname)
			continue;
		out += dns_put_row(octets + out, row);
		octets[7]++;
	}
	if (!known)
		octets[3] = 0x80 | ns_r_nxdomain;
	return out;
}

static inline void
dns_on_question(int fd, short what, void *arg)
{
	struct dns_server *server = arg;
	static uint8_t octets[65536];
	struct sockaddr_storage client;
	socklen_t client_len = sizeof(client);
	ssize_t len = recvfrom(fd, octets, 512, 0, (struct sockaddr *)&client, &client_len);
	size_t reply;

	(void)what;
	server->asked++;
	if (len < 17 || server->is_mute)
		return;
	reply = dns_reply(server, octets, (size_t)len);
	if (reply > 0)
		sendto(fd, octets, reply, 0, (struct sockaddr *)&client, client_len);
}

static inline void
dns_start(struct dns_server *server, struct loop *loop, const struct dns_row *rows)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);

	memset(server, 0, sizeof(*server));
	server->rows = rows;
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (bind(server->fd, (struct sockaddr *)&in, sizeof(in)) == -1 ||
	    getsockname(server->fd, (struct sockaddr *)&in, &len) == -1)
		abort();
	snprintf(server->address, sizeof(server->address), "127.0.0.1@%u", ntohs(in.sin_port));
	server->event = event_new(loop_base(loop), server->fd, EV_READ | EV_PERSIST,
	    dns_on_question, server);
	event_add(server->event, NULL);
}

static inline void
dns_stop(struct dns_server *server)
{
	event_free(server->event);
	close(server->fd);
}

#endif
