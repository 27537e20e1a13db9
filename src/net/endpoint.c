/* endpoint.c - a place to listen at or to connect to. */
#include "net/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"

#define SYSTEMD_PREFIX	"systemd:"
#define SYSTEMD_NAME_MAX	128	/* octets; herald's own units use a dozen */
#define UNIX_PREFIX	"unix:"

static const char letters_digits[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static bool
parse_port(const char *text, uint16_t *port)
{
	uint64_t number;

	if (!text_parse_number(text, &number) || number == 0 || number > UINT16_MAX)
		return false;
	*port = (uint16_t)number;
	return true;
}

const char *
endpoint_host(const struct endpoint *endpoint, char out[ENDPOINT_ADDRESS_MAX])
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	const void *address;
	int family = AF_INET;

	if (endpoint->kind != ENDPOINT_INET) {
		text_copy(out, ENDPOINT_ADDRESS_MAX,
		    endpoint->kind == ENDPOINT_UNIX ? "unix" : "systemd");
		return out;
	}
	if (endpoint->address.any.sa_family == AF_INET) {
		memcpy(&in, &endpoint->address, sizeof(in));
		address = &in.sin_addr;
	} else {
		memcpy(&in6, &endpoint->address, sizeof(in6));
		if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
			address = in6.sin6_addr.s6_addr + 12;
		} else {
			address = &in6.sin6_addr;
			family = AF_INET6;
		}
	}
	if (inet_ntop(family, address, out, ENDPOINT_ADDRESS_MAX) == NULL)
		text_copy(out, ENDPOINT_ADDRESS_MAX, "unknown");
	return out;
}

uint16_t
endpoint_port(const struct endpoint *endpoint)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (endpoint->kind != ENDPOINT_INET)
		return 0;
	if (endpoint->address.any.sa_family == AF_INET) {
		memcpy(&in, &endpoint->address, sizeof(in));
		return ntohs(in.sin_port);
	}
	memcpy(&in6, &endpoint->address, sizeof(in6));
	return ntohs(in6.sin6_port);
}

void
endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *address, socklen_t len)
{
	char host[ENDPOINT_ADDRESS_MAX];
	const size_t path_at = offsetof(struct sockaddr_un, sun_path);

	memset(out, 0, sizeof(*out));
	if (len > sizeof(out->address))
		len = sizeof(out->address);
	memcpy(&out->address, address, len);
	out->address_len = len;
	if (address->sa_family == AF_UNIX) {
		out->kind = ENDPOINT_UNIX;
		/* The path need not end in a NUL, and an unbound peer has none at all. */
		snprintf(out->text, sizeof(out->text), UNIX_PREFIX "%.*s",
		    len > path_at ? (int)(len - path_at) : 0, out->address.un.sun_path);
		return;
	}
	out->kind = ENDPOINT_INET;
	endpoint_host(out, host);
	if (strchr(host, ':') != NULL)
		snprintf(out->text, sizeof(out->text), "[%s]:%u", host, endpoint_port(out));
	else
		snprintf(out->text, sizeof(out->text), "%s:%u", host, endpoint_port(out));
}

bool
endpoint_is_loopback(const struct endpoint *endpoint)
{
	char host[ENDPOINT_ADDRESS_MAX];

	endpoint_host(endpoint, host);
	return text_has_prefix(host, "127.") || strcmp(host, "::1") == 0;
}

bool
endpoint_from_literal(struct endpoint *out, const char *host, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	if (inet_pton(AF_INET, host, &in.sin_addr) == 1)
		endpoint_from_sockaddr(out, (const struct sockaddr *)&in, sizeof(in));
	else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1)
		endpoint_from_sockaddr(out, (const struct sockaddr *)&in6, sizeof(in6));
	else
		return false;
	return true;
}

static bool
append(struct endpoint_list *list, const struct endpoint *endpoint, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		if (strcmp(list->items[i].text, endpoint->text) == 0)
			return error_set(err, ERROR_CONFIG, "%s is listed twice", endpoint->text);
	}
	list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = *endpoint;
	return true;
}

static bool
parse_unix(struct endpoint_list *out, const char *path, const char *directory, struct error *err)
{
	struct endpoint endpoint = { .kind = ENDPOINT_UNIX };
	struct sockaddr_un *un = &endpoint.address.un;
	int len;

	if (*path == '\0')
		return error_set(err, ERROR_CONFIG, "\"" UNIX_PREFIX "\" needs a path");
	if (*path == '/')
		len = snprintf(un->sun_path, sizeof(un->sun_path), "%s", path);
	else
		len = snprintf(un->sun_path, sizeof(un->sun_path), "%s/%s", directory, path);
	if (len < 0 || (size_t)len >= sizeof(un->sun_path))
		return error_set(err, ERROR_CONFIG, "the path of the socket \"%s\" is longer than"
		    " %zu octets", path, sizeof(un->sun_path) - 1);
	un->sun_family = AF_UNIX;
	endpoint.address_len = (socklen_t)sizeof(*un);
	snprintf(endpoint.text, sizeof(endpoint.text), UNIX_PREFIX "%s", un->sun_path);
	return append(out, &endpoint, err);
}

static bool
parse_systemd(struct endpoint_list *out, const char *name, struct error *err)
{
	struct endpoint endpoint = { .kind = ENDPOINT_SYSTEMD };
	size_t len = strspn(name, letters_digits);

	/* What FileDescriptorName= takes, less what would be hard to read in a log. */
	while (name[len] != '\0' && (strchr("._-@", name[len]) != NULL ||
	    strchr(letters_digits, name[len]) != NULL))
		len++;
	if (len == 0 || name[len] != '\0' || len > SYSTEMD_NAME_MAX)
		return error_set(err, ERROR_CONFIG, "\"" SYSTEMD_PREFIX "%s\": the name is up to %d"
		    " letters, digits and . _ - @", name, SYSTEMD_NAME_MAX);
	snprintf(endpoint.text, sizeof(endpoint.text), SYSTEMD_PREFIX "%s", name);
	return append(out, &endpoint, err);
}

/* Cuts "HOST:PORT" at the last colon; `host` gets no brackets. */
static bool
split_host(const char *text, char *host, size_t size, const char **port, bool *bracketed)
{
	const char *start = text, *end, *behind;

	*bracketed = *text == '[';
	if (*bracketed) {
		start++;
		end = strchr(start, ']');
		if (end == NULL)
			return false;
		behind = end + 1;
	} else {
		end = behind = text + strcspn(text, ":");
		/* Two colons are an IPv6 address without its brackets. */
		if (*end == ':' && strchr(end + 1, ':') != NULL)
			return false;
	}
	if (end == start || (size_t)(end - start) >= size || (*behind != ':' && *behind != '\0'))
		return false;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	*port = *behind == ':' ? behind + 1 : NULL;
	return true;
}

static bool
parse_inet(struct endpoint_list *out, const char *text, struct error *err)
{
	char host[ENDPOINT_ADDRESS_MAX];
	const char *port_text;
	struct endpoint endpoint;
	bool bracketed, is_any;
	uint16_t port;

	if (!split_host(text, host, sizeof(host), &port_text, &bracketed))
		goto fail;
	if (port_text == NULL || !parse_port(port_text, &port))
		return error_set(err, ERROR_CONFIG, "\"%s\" needs a port from 1 to 65535", text);
	is_any = !bracketed && strcmp(host, "*") == 0;
	if (!endpoint_from_literal(&endpoint, is_any ? "0.0.0.0" : host, port) ||
	    (endpoint.address.any.sa_family == AF_INET6) != bracketed)
		goto fail;
	if (!append(out, &endpoint, err))
		return false;
	return !is_any || (endpoint_from_literal(&endpoint, "::", port) &&
	    append(out, &endpoint, err));
fail:
	return error_set(err, ERROR_CONFIG, "\"%s\" is no place to listen at, as 127.0.0.1:3000,"
	    " [::1]:3000, *:3000, unix:PATH or systemd:NAME", text);
}

bool
endpoint_parse_listen(struct endpoint_list *out, const char *text, const char *directory,
    struct error *err)
{
	if (text_has_prefix(text, UNIX_PREFIX))
		return parse_unix(out, text + strlen(UNIX_PREFIX), directory, err);
	if (text_has_prefix(text, SYSTEMD_PREFIX))
		return parse_systemd(out, text + strlen(SYSTEMD_PREFIX), err);
	return parse_inet(out, text, err);
}

/* Letters, digits, hyphens in labels of 1 to 63 octets (RFC 1123 2.1); the underscore is
 * not allowed there but met in the field. */
static bool
is_host_name(const char *host)
{
	size_t label;

	/* All digits at the end: an address that inet_pton() did not take. */
	if (strlen(host) > 253 || strspn(host, "0123456789.") == strlen(host))
		return false;
	for (;; host += label + 1) {
		label = strcspn(host, ".");
		if (label == 0 || label > 63 || host[0] == '-' || host[label - 1] == '-')
			return false;
		for (size_t i = 0; i < label; i++) {
			if (strchr(letters_digits, host[i]) == NULL && host[i] != '-' &&
			    host[i] != '_')
				return false;
		}
		if (host[label] == '\0')
			return true;
	}
}

bool
endpoint_parse_host(const char *text, uint16_t default_port, char host[ENDPOINT_HOST_MAX + 1],
    uint16_t *port, struct error *err)
{
	struct endpoint literal;
	const char *port_text;
	bool bracketed, is_v6;

	if (!split_host(text, host, ENDPOINT_HOST_MAX + 1, &port_text, &bracketed))
		goto fail;
	is_v6 = false;
	if (endpoint_from_literal(&literal, host, 0))
		is_v6 = literal.address.any.sa_family == AF_INET6;
	else if (!is_host_name(host))
		goto fail;
	if (is_v6 != bracketed)
		goto fail;
	*port = default_port;
	if (port_text == NULL ? default_port == 0 : !parse_port(port_text, port))
		return error_set(err, ERROR_CONFIG, "\"%s\" needs a port from 1 to 65535", text);
	return true;
fail:
	return error_set(err, ERROR_CONFIG, "\"%s\" is no host, as smtp.example.net:465,"
	    " 192.0.2.1:25 or [2001:db8::1]:25", text);
}

void
endpoint_list_free(struct endpoint_list *list)
{
	free(list->items);
	*list = (struct endpoint_list){ .items = NULL };
}
