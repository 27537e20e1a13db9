/* proxy_header.c - what a proxy says of its client before the client speaks: PROXY 1 and 2. */
#include "proto/proxy_header.h"

#include <arpa/inet.h>
#include <string.h>

#define LINE_MAX_V1	107	/* octets with the CRLF, 2.1 */
#define HEAD_V2		16	/* octets before the addresses, 2.2 */
#define WORDS_V1	4	/* addresses and ports */

/* --- version 1: "PROXY TCP4 192.0.2.1 192.0.2.2 56324 25" --- */

struct word {
	char text[INET6_ADDRSTRLEN];
};

/* One blank and a word that can be an address or a number; NULL: there is none. */
static const char *
next_word(const char *at, const char *end, struct word *out)
{
	size_t len = 0;

	if (at == end || *at != ' ')
		return NULL;
	at++;
	while (at + len < end && at[len] != ' ')
		len++;
	if (len == 0 || len >= sizeof(out->text) || memchr(at, '\0', len) != NULL)
		return NULL;
	memcpy(out->text, at, len);
	out->text[len] = '\0';
	return at + len;
}

/* 2.1: decimal, without leading zeros. */
static bool
read_port(const char *text, uint16_t *out)
{
	unsigned long port = 0;
	size_t len = strlen(text);

	if (len == 0 || len > 5 || strspn(text, "0123456789") != len ||
	    (text[0] == '0' && len > 1))
		return false;
	for (; *text != '\0'; text++)
		port = port * 10 + (unsigned long)(*text - '0');
	*out = (uint16_t)port;
	return port <= UINT16_MAX;
}

static void
set_client(struct proxy_header *out, int family, const void *address, uint16_t port)
{
	const struct in6_addr *ip6 = address;

	/* Access lists mean the client, whichever way the proxy took it in. */
	if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(ip6)) {
		family = AF_INET;
		address = &ip6->s6_addr[12];
	}
	*out = (struct proxy_header){ .port = port, .is_ipv6 = family == AF_INET6 };
	inet_ntop(family, address, out->address, sizeof(out->address));
}

static enum proxy_result
read_tcp(const char *at, const char *end, int family, struct proxy_header *out)
{
	struct word words[WORDS_V1];
	struct in6_addr source, destination;
	uint16_t source_port, destination_port;

	for (size_t i = 0; i < WORDS_V1 && at != NULL; i++)
		at = next_word(at, end, &words[i]);
	if (at != end || inet_pton(family, words[0].text, &source) != 1 ||
	    inet_pton(family, words[1].text, &destination) != 1 ||
	    !read_port(words[2].text, &source_port) ||
	    !read_port(words[3].text, &destination_port))
		return PROXY_BAD;
	set_client(out, family, &source, source_port);
	return PROXY_FOUND;
}

static bool
skip_text(const char **at, const char *end, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(end - *at) < len || memcmp(*at, text, len) != 0)
		return false;
	*at += len;
	return true;
}

static enum proxy_result
parse_v1(const char *octets, size_t len, struct proxy_header *out, size_t *used)
{
	const char *lf = memchr(octets, '\n', len < LINE_MAX_V1 ? len : LINE_MAX_V1);
	const char *cr = memchr(octets, '\r', len < LINE_MAX_V1 ? len : LINE_MAX_V1);
	const char *at = octets + strlen("PROXY");

	/* A CR may be the last octet so far; all else is a line that has no end. */
	if (lf == NULL)
		return len >= LINE_MAX_V1 || (cr != NULL && cr + 1 != octets + len) ? PROXY_BAD :
		    PROXY_NEEDS_MORE;
	if (cr == NULL || cr + 1 != lf)
		return PROXY_BAD;
	*used = (size_t)(lf + 1 - octets);
	if (skip_text(&at, cr, " TCP4"))
		return read_tcp(at, cr, AF_INET, out);
	if (skip_text(&at, cr, " TCP6"))
		return read_tcp(at, cr, AF_INET6, out);
	/* 2.1: whatever follows is to be ignored. */
	if (skip_text(&at, cr, " UNKNOWN") && (at == cr || *at == ' '))
		return PROXY_UNNAMED;
	return PROXY_BAD;
}

/* --- version 2: binary --- */

static uint16_t
read_16(const char *octets)
{
	return (uint16_t)((unsigned char)octets[0] << 8 | (unsigned char)octets[1]);
}

/* Addresses and ports: `size` octets each of the former; TLVs may follow. */
static enum proxy_result
read_addresses(const char *octets, size_t len, int family, size_t size, struct proxy_header *out)
{
	struct in6_addr source = { .s6_addr = { 0 } };

	if (len < 2 * size + 4)
		return PROXY_BAD;
	memcpy(&source, octets, size);
	set_client(out, family, &source, read_16(octets + 2 * size));
	return PROXY_FOUND;
}

static enum proxy_result
judge_v2(const char *octets, size_t len, struct proxy_header *out)
{
	unsigned command = (unsigned char)octets[12], transport = (unsigned char)octets[13];

	if (command == 0x20)		/* LOCAL: all else is to be ignored, 2.2 */
		return PROXY_LOCAL;
	if (command != 0x21)
		return PROXY_BAD;
	switch (transport) {
	case 0x00:			/* UNSPEC */
	case 0x31:			/* a UNIX stream on the machine of the proxy */
		return PROXY_UNNAMED;
	case 0x11:
		return read_addresses(octets + HEAD_V2, len - HEAD_V2, AF_INET, 4, out);
	case 0x21:
		return read_addresses(octets + HEAD_V2, len - HEAD_V2, AF_INET6, 16, out);
	default:
		return PROXY_BAD;
	}
}

static enum proxy_result
parse_v2(const char *octets, size_t len, struct proxy_header *out, size_t *used)
{
	size_t whole;

	if (len < HEAD_V2)
		return PROXY_NEEDS_MORE;
	whole = HEAD_V2 + (size_t)read_16(octets + 14);
	if (whole > PROXY_HEADER_MAX)
		return PROXY_BAD;
	if (len < whole)
		return PROXY_NEEDS_MORE;
	*used = whole;
	return judge_v2(octets, whole, out);
}

/* --- either --- */

enum proxy_result
proxy_header_parse(const char *octets, size_t len, struct proxy_header *out, size_t *used)
{
	static const char v1[] = "PROXY ", v2[] = "\r\n\r\n\0\r\nQUIT\n";
	const size_t v1_len = sizeof(v1) - 1, v2_len = sizeof(v2) - 1;

	if (memcmp(octets, v1, len < v1_len ? len : v1_len) == 0)
		return len < v1_len ? PROXY_NEEDS_MORE : parse_v1(octets, len, out, used);
	if (memcmp(octets, v2, len < v2_len ? len : v2_len) == 0)
		return len < v2_len ? PROXY_NEEDS_MORE : parse_v2(octets, len, out, used);
	return PROXY_BAD;
}
