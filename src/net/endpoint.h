/* endpoint.h - a place to listen at or to connect to. */
#ifndef HERALD_NET_ENDPOINT_H
#define HERALD_NET_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ENDPOINT_TEXT_MAX	160	/* "systemd:NAME", "unix:" and a path of 107, "[v6]:port" */
#define ENDPOINT_ADDRESS_MAX		46	/* an IPv6 address with its NUL, RFC 4291 */
#define ENDPOINT_HOST_MAX	255	/* octets of a host name, RFC 1035 */

struct error;

enum endpoint_kind { ENDPOINT_INET, ENDPOINT_UNIX, ENDPOINT_SYSTEMD };

/* A value: copy it with =. */
struct endpoint {
	enum endpoint_kind kind;
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
		struct sockaddr_un un;
	} address;			/* not for ENDPOINT_SYSTEMD */
	socklen_t address_len;
	char text[ENDPOINT_TEXT_MAX];	/* tells sockets apart: "127.0.0.1:3000", "unix:/run/…" */
};

struct endpoint_list { struct endpoint *items; size_t count; };

/* "127.0.0.1:3000", "[::1]:3000", "*:PORT" (two endpoints: 0.0.0.0 and [::], the latter
 * v6 only), "unix:PATH" (relative: under `directory`), "systemd:NAME".  Appends to *out. */
bool endpoint_parse_listen(struct endpoint_list *out, const char *text, const char *directory,
    struct error *err) __attribute__((warn_unused_result));

/* "smtp.example.net:465", "192.0.2.1:25", "[2001:db8::1]:25"; the port may be left
 * out where default_port is not 0.  `host` comes without brackets. */
bool endpoint_parse_host(const char *text, uint16_t default_port, char host[ENDPOINT_HOST_MAX + 1],
    uint16_t *port, struct error *err) __attribute__((warn_unused_result));

/* From an address literal; false when it is a name. */
bool endpoint_from_literal(struct endpoint *out, const char *host, uint16_t port)
    __attribute__((warn_unused_result));
void endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *address, socklen_t len);

uint16_t endpoint_port(const struct endpoint *endpoint);	/* 0 for a UNIX socket */
/* The address alone: "192.0.2.1", "2001:db8::1", "unix".  v4-mapped as v4. */
const char *endpoint_host(const struct endpoint *endpoint, char out[ENDPOINT_ADDRESS_MAX]);
bool endpoint_is_loopback(const struct endpoint *endpoint);	/* 127.0.0.0/8, ::1 */

void endpoint_list_free(struct endpoint_list *list);

#endif
