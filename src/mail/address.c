/* address.c - the RFC 5321 mailbox, as it stands between < and >. */
#include "mail/address.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define LABEL_MAX 63 /* octets, RFC 1035 2.3.4; of a U-label, of its A-label: RFC 5890 */

/* What is read, and how far.  Nothing here looks beyond `end`. */
struct scan {
	const char *at, *end;
	bool utf8;
	bool bare;		/* a local part alone is enough */
};

static bool
is_alnum(char octet)
{
	return (octet >= 'a' && octet <= 'z') || (octet >= 'A' && octet <= 'Z') ||
	    (octet >= '0' && octet <= '9');
}

/* RFC 5322 3.2.3. */
static bool
is_atext(char octet)
{
	return is_alnum(octet) ||
	    (octet != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", octet) != NULL);
}

static bool
is_printable(char octet)
{
	return octet >= 0x20 && octet < 0x7f;
}

/* C1 controls, the line and paragraph separators, the byte order mark, and what shows text
 * in another order than it stands: three octets at most, all of them in the basic plane. */
static bool
is_control(const unsigned char *at, size_t len)
{
	unsigned character = len == 2 ? (at[0] & 0x1fu) << 6 | (at[1] & 0x3fu) :
	    len == 3 ? (at[0] & 0x0fu) << 12 | (at[1] & 0x3fu) << 6 | (at[2] & 0x3fu) : 0x10000;

	return character < 0xa0 || character == 0xfeff ||
	    (character >= 0x2028 && character <= 0x202e) ||
	    (character >= 0x2066 && character <= 0x2069);
}

/* Octets of the character beyond ASCII at this place that may stand in an address (RFC 6531
 * 3.3: UTF8-non-ascii); 0: there is none. */
static size_t
wide_character(const struct scan *scan)
{
	const unsigned char *at = (const unsigned char *)scan->at;
	size_t left = (size_t)(scan->end - scan->at), len;

	if (!scan->utf8 || left == 0 || at[0] < 0xc2)
		return 0;
	len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
	if (len > left || !text_utf8_valid(scan->at, len) || is_control(at, len))
		return 0;
	return len;
}

/* Octets of the character here, where `is_one` takes it or it is beyond ASCII and allowed. */
static size_t
character(const struct scan *scan, bool (*is_one)(char octet))
{
	if (scan->at < scan->end && is_one(*scan->at))
		return 1;
	return wide_character(scan);
}

static bool
scan_is(const struct scan *scan, char octet)
{
	return scan->at < scan->end && *scan->at == octet;
}

static bool
scan_skip(struct scan *scan, char octet)
{
	if (!scan_is(scan, octet))
		return false;
	scan->at++;
	return true;
}

/* The fault at this place: an octet beyond ASCII is named as such (RFC 6531 3.5). */
static enum address_fault
fault_here(const struct scan *scan)
{
	if (!scan->utf8 && scan->at < scan->end && (unsigned char)*scan->at >= 0x80)
		return ADDRESS_NOT_ASCII;
	return ADDRESS_SYNTAX;
}

/* Quoted-string; the pointer stands behind the opening quote. */
static enum address_fault
skip_quoted(struct scan *scan)
{
	const char *first = scan->at;

	while (scan->at < scan->end && *scan->at != '"') {
		size_t len;

		if (*scan->at == '\\')
			scan->at++;
		len = character(scan, is_printable);
		if (len == 0)
			return fault_here(scan);
		scan->at += len;
	}
	/* An empty quoted string names nobody (CVE-2020-10967). */
	if (scan->at == first || !scan_skip(scan, '"'))
		return ADDRESS_SYNTAX;
	return ADDRESS_OK;
}

static enum address_fault
skip_dot_string(struct scan *scan)
{
	size_t len;

	do {
		len = character(scan, is_atext);
		if (len == 0)
			return fault_here(scan);
		for (; len > 0; len = character(scan, is_atext))
			scan->at += len;
	} while (scan_skip(scan, '.'));
	return ADDRESS_OK;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]", RFC 5321 4.1.3; other tags are not known. */
static enum address_fault
skip_literal(struct scan *scan)
{
	static const char tag[] = "IPv6:";
	const size_t tag_len = sizeof(tag) - 1;
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;
	const char *first = scan->at, *close;
	size_t len;
	int family = AF_INET;

	close = memchr(first, ']', (size_t)(scan->end - first));
	if (close == NULL)
		return ADDRESS_SYNTAX;
	len = (size_t)(close - first);
	if (len > tag_len && strncasecmp(first, tag, tag_len) == 0) {
		family = AF_INET6;
		first += tag_len;
		len -= tag_len;
	}
	if (len >= sizeof(text) || memchr(first, '\0', len) != NULL)
		return ADDRESS_SYNTAX;
	memcpy(text, first, len);
	text[len] = '\0';
	if (inet_pton(family, text, &address) != 1)
		return ADDRESS_SYNTAX;
	scan->at = close + 1;
	return ADDRESS_OK;
}

/* RFC 5321 4.1.2; the underscore is no letter of it, but of many a container's name. */
static bool
is_name(char octet)
{
	return is_alnum(octet) || octet == '-' || octet == '_';
}

/* Of a U-label only the characters are looked at: address_domain_ascii() knows the rest. */
static enum address_fault
skip_label(struct scan *scan)
{
	const char *first = scan->at;
	bool wide = false;
	size_t len;

	for (len = character(scan, is_name); len > 0; len = character(scan, is_name)) {
		scan->at += len;
		wide = wide || len > 1;
	}
	if (scan->at == first)
		return fault_here(scan);
	if (*first == '-' || scan->at[-1] == '-')
		return ADDRESS_SYNTAX;
	return !wide && scan->at - first > LABEL_MAX ? ADDRESS_TOO_LONG : ADDRESS_OK;
}

static enum address_fault
skip_name(struct scan *scan)
{
	enum address_fault fault;

	do
		fault = skip_label(scan);
	while (fault == ADDRESS_OK && scan_skip(scan, '.'));
	return fault;
}

static enum address_fault
skip_domain(struct scan *scan)
{
	return scan_skip(scan, '[') ? skip_literal(scan) : skip_name(scan);
}

/* "@a,@b:", RFC 5321 4.1.2 A-d-l: read, checked, dropped. */
static enum address_fault
skip_route(struct scan *scan)
{
	enum address_fault fault;

	if (!scan_is(scan, '@'))
		return ADDRESS_OK;
	do {
		if (!scan_skip(scan, '@'))
			return ADDRESS_SYNTAX;
		fault = skip_domain(scan);
		if (fault != ADDRESS_OK)
			return fault;
	} while (scan_skip(scan, ','));
	return scan_skip(scan, ':') ? ADDRESS_OK : fault_here(scan);
}

static bool
keep(char *out, size_t size, const char *first, const char *end)
{
	size_t len = (size_t)(end - first);

	if (len >= size)
		return false;
	memcpy(out, first, len);
	out[len] = '\0';
	return true;
}

/* Names are compared in lower case; of a literal only the tag has a usual form. */
static void
settle_domain(char *domain)
{
	for (char *at = domain; *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	if (strncmp(domain, "[ipv6:", 6) == 0) {
		domain[1] = 'I';
		domain[2] = 'P';
	}
}

static enum address_fault
read_mailbox(struct address *out, struct scan *scan)
{
	const char *first = scan->at;
	enum address_fault fault;

	fault = scan_skip(scan, '"') ? skip_quoted(scan) : skip_dot_string(scan);
	if (fault != ADDRESS_OK)
		return fault;
	if (!keep(out->local, sizeof(out->local), first, scan->at))
		return ADDRESS_TOO_LONG;
	if (!scan_skip(scan, '@'))
		return scan->bare || strcasecmp(out->local, "postmaster") == 0 ? ADDRESS_OK :
		    fault_here(scan);
	first = scan->at;
	fault = skip_domain(scan);
	if (fault != ADDRESS_OK)
		return fault;
	if (!keep(out->domain, sizeof(out->domain), first, scan->at))
		return ADDRESS_TOO_LONG;
	settle_domain(out->domain);
	return ADDRESS_OK;
}

enum address_fault
address_parse_path(struct address *out, const char *text, size_t len, bool utf8, size_t *used)
{
	struct address address = { .local = "" };
	struct scan scan = { .at = text, .end = text + len, .utf8 = utf8 };
	enum address_fault fault = ADDRESS_OK;

	if (!scan_skip(&scan, '<'))
		return fault_here(&scan);
	if (!scan_is(&scan, '>')) {
		fault = skip_route(&scan);
		if (fault == ADDRESS_OK)
			fault = read_mailbox(&address, &scan);
	}
	if (fault != ADDRESS_OK)
		return fault;
	if (!scan_skip(&scan, '>'))
		return fault_here(&scan);
	*out = address;
	*used = (size_t)(scan.at - text);
	return ADDRESS_OK;
}

static enum address_fault
parse_whole(struct address *out, const char *text, size_t len, bool bare)
{
	struct address address = { .local = "" };
	struct scan scan = { .at = text, .end = text + len, .utf8 = true, .bare = bare };
	enum address_fault fault = ADDRESS_OK;

	if (len > 0)
		fault = read_mailbox(&address, &scan);
	if (fault != ADDRESS_OK)
		return fault;
	if (scan.at != scan.end)
		return fault_here(&scan);
	*out = address;
	return ADDRESS_OK;
}

enum address_fault
address_parse(struct address *out, const char *text, size_t len)
{
	return parse_whole(out, text, len, false);
}

enum address_fault
address_parse_name(struct address *out, const char *text, size_t len)
{
	return parse_whole(out, text, len, true);
}

bool
address_is_null(const struct address *address)
{
	return address->local[0] == '\0' && address->domain[0] == '\0';
}

static bool
is_ascii(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text >= 0x80)
			return false;
	return true;
}

bool
address_is_ascii(const struct address *address)
{
	return is_ascii(address->local) && is_ascii(address->domain);
}

bool
address_needs_utf8(const struct address *address)
{
	char domain[ADDRESS_DOMAIN_MAX + 1];

	return !is_ascii(address->local) || !address_domain_ascii(address, domain);
}

bool
address_domain_ascii(const struct address *address, char out[ADDRESS_DOMAIN_MAX + 1])
{
	struct scan scan = { .at = NULL };
	char *name = NULL;
	bool ok;

	if (is_ascii(address->domain)) {
		text_copy(out, ADDRESS_DOMAIN_MAX + 1, address->domain);
		return true;
	}
	/* RFC 5891 5, after the mapping of UTS #46: letters of any case, full-width dots. */
	ok = idn2_to_ascii_8z(address->domain, &name, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
	    IDN2_OK && strlen(name) <= ADDRESS_DOMAIN_MAX;
	/* The mapping makes brackets and slashes of their full-width forms. */
	if (ok) {
		scan = (struct scan){ .at = name, .end = name + strlen(name) };
		ok = skip_name(&scan) == ADDRESS_OK && scan.at == scan.end;
	}
	if (ok)
		text_copy(out, ADDRESS_DOMAIN_MAX + 1, name);
	idn2_free(name);
	return ok;
}

bool
address_equal(const struct address *a, const struct address *b)
{
	return strcmp(a->local, b->local) == 0 && strcmp(a->domain, b->domain) == 0;
}

const char *
address_text(const struct address *address, char out[ADDRESS_TEXT_MAX + 1])
{
	size_t local_len = strlen(address->local), domain_len = strlen(address->domain);

	memcpy(out, address->local, local_len);
	if (domain_len > 0) {
		out[local_len++] = '@';
		memcpy(out + local_len, address->domain, domain_len);
	}
	out[local_len + domain_len] = '\0';
	return out;
}
