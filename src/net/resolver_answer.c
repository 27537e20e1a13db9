/* resolver_answer.c - what a DNS message says: every octet of it is hostile. */
#include "net/resolver_answer.h"

#include <arpa/nameser.h>
#include <string.h>

#define HEADER_OCTETS	12		/* RFC 1035 4.1.1 */
#define RECORD_OCTETS	10		/* after the owner: type, class, TTL, RDLENGTH */
#define POINTERS_MAX	127		/* more than there can be labels in a name */
#define ALIASES_MAX	8		/* RULES N; a chain is 2 or 3 long in practice */

/* As on the wire, without compression, in lower case: equal names have equal octets. */
struct name { uint8_t octets[NS_MAXCDNAME]; size_t len; };

struct record {
	struct name owner;
	unsigned type, class;
	size_t at, len;			/* of the RDATA */
};

struct message {
	const uint8_t *octets;
	size_t len;
	unsigned type;			/* asked for */
	struct name name;		/* asked for, then what aliases lead to */
	size_t answers;			/* where that section begins */
	unsigned count;			/* of its records, as the header has it */
};

static unsigned
number_at(const struct message *message, size_t at)
{
	return (unsigned)message->octets[at] << 8 | message->octets[at + 1];
}

static bool
append_label(struct name *name, const uint8_t *label, size_t len)
{
	if (name->len + 1 + len > sizeof(name->octets))
		return false;
	name->octets[name->len++] = (uint8_t)len;
	for (size_t i = 0; i < len; i++)
		name->octets[name->len++] = label[i] >= 'A' && label[i] <= 'Z' ?
		    (uint8_t)(label[i] + ('a' - 'A')) : label[i];
	return true;
}

/* RFC 1035 4.1.4.  A pointer leads to before where its part of the name began, so that no loop
 * can be.  *at is moved past the name. */
static bool
read_name(const struct message *message, size_t *at, struct name *name)
{
	size_t here = *at, part = *at, label, pointers = 0;

	name->len = 0;
	for (;;) {
		if (here >= message->len)
			return false;
		label = message->octets[here];
		if (label >= 0xc0) {
			if (here + 2 > message->len || pointers == POINTERS_MAX)
				return false;
			if (pointers++ == 0)
				*at = here + 2;
			here = number_at(message, here) & 0x3fff;
			if (here >= part)
				return false;
			part = here;
			continue;
		}
		if (label > NS_MAXLABEL || here + 1 + label > message->len ||
		    !append_label(name, message->octets + here + 1, label))
			return false;
		here += 1 + label;
		if (label != 0)
			continue;
		if (pointers == 0)
			*at = here;
		return true;
	}
}

static bool
name_equal(const struct name *a, const struct name *b)
{
	return a->len == b->len && memcmp(a->octets, b->octets, a->len) == 0;
}

static bool
read_record(const struct message *message, size_t *at, struct record *record)
{
	if (!read_name(message, at, &record->owner) || *at + RECORD_OCTETS > message->len)
		return false;
	record->type = number_at(message, *at);
	record->class = number_at(message, *at + 2);
	record->len = number_at(message, *at + 8);
	record->at = *at + RECORD_OCTETS;
	*at = record->at + record->len;
	return *at <= message->len;
}

/* One whole question, answered whole: neither QR = 0 nor an opcode nor TC = 1. */
static bool
open_message(struct message *message, const uint8_t *octets, size_t len, unsigned type)
{
	size_t at = HEADER_OCTETS;

	*message = (struct message){ .octets = octets, .len = len, .type = type };
	if (len < HEADER_OCTETS || (octets[2] & 0xfa) != 0x80 || number_at(message, 4) != 1)
		return false;
	if (!read_name(message, &at, &message->name) || at + 4 > len ||
	    number_at(message, at) != type || number_at(message, at + 2) != ns_c_in)
		return false;
	message->count = number_at(message, 6);
	message->answers = at + 4;
	return true;
}

/* Calls for each record of that type behind the name; false when a record, or what `each` has to
 * say of it, is broken. */
static bool
each_record(const struct message *message, unsigned type,
    bool (*each)(void *arg, const struct message *message, const struct record *record), void *arg)
{
	size_t at = message->answers;
	struct record record;

	for (unsigned i = 0; i < message->count; i++) {
		if (!read_record(message, &at, &record))
			return false;
		if (record.type == type && record.class == ns_c_in &&
		    name_equal(&record.owner, &message->name) && !each(arg, message, &record))
			return false;
	}
	return true;
}

/* A name that is all of the RDATA from `skip` on. */
static bool
read_target(const struct message *message, const struct record *record, size_t skip,
    struct name *target)
{
	size_t at = record->at + skip;

	return record->len > skip && read_name(message, &at, target) &&
	    at == record->at + record->len;
}

struct alias { struct name target; bool found; };

static bool
take_alias(void *arg, const struct message *message, const struct record *record)
{
	struct alias *alias = arg;

	alias->found = true;
	return read_target(message, record, 0, &alias->target);
}

static bool
follow_aliases(struct message *message)
{
	struct alias alias;

	for (unsigned i = 0; i <= ALIASES_MAX; i++) {
		alias.found = false;
		if (!each_record(message, ns_t_cname, take_alias, &alias))
			return false;
		if (!alias.found)
			return true;
		message->name = alias.target;
	}
	return false;
}

struct resolver_answer
resolver_answer_failed(const char *text)
{
	return (struct resolver_answer){ .outcome = RESOLVER_FAILED, .text = text };
}

struct resolver_answer
resolver_answer_refused(int response_code, unsigned type)
{
	struct resolver_answer answer = resolver_answer_failed("the DNS lookup failed");

	if (response_code == ns_r_nxdomain) {
		answer.outcome = RESOLVER_NO_SUCH_NAME;
		answer.text = type == ns_t_mx ? "no such domain" : "no such host";
	}
	return answer;
}

/* The records of the message go to `each`, and what it means besides them is returned. */
static struct resolver_answer
read_answer(const uint8_t *octets, size_t len, unsigned type,
    bool (*each)(void *arg, const struct message *message, const struct record *record), void *arg)
{
	struct message message;

	if (!open_message(&message, octets, len, type))
		return resolver_answer_failed("the DNS answer cannot be read");
	if ((octets[3] & 0x0f) != ns_r_noerror)
		return resolver_answer_refused(octets[3] & 0x0f, type);
	if (!follow_aliases(&message) || !each_record(&message, type, each, arg))
		return resolver_answer_failed("the DNS answer cannot be read");
	return (struct resolver_answer){ .outcome = RESOLVER_FOUND, .text = "" };
}

/* --- addresses --- */

struct addresses { uint8_t (*octets)[16]; size_t count; };

static bool
take_address(void *arg, const struct message *message, const struct record *record)
{
	struct addresses *addresses = arg;

	if (record->len != (record->type == ns_t_a ? 4 : 16))
		return false;
	if (addresses->count < RESOLVER_ADDRESSES_MAX)
		memcpy(addresses->octets[addresses->count++], message->octets + record->at,
		    record->len);
	return true;
}

struct resolver_answer
resolver_answer_addresses(const uint8_t *octets, size_t len, unsigned type,
    uint8_t addresses[RESOLVER_ADDRESSES_MAX][16])
{
	struct addresses list = { .octets = addresses };
	struct resolver_answer answer = read_answer(octets, len, type, take_address, &list);

	if (answer.outcome != RESOLVER_FOUND)
		return answer;
	answer.count = list.count;
	if (list.count == 0) {
		answer.outcome = RESOLVER_NO_ADDRESS;
		answer.text = "the host has no address";
	}
	return answer;
}

/* --- mail exchangers --- */

struct exchangers {
	struct resolver_mx *records;
	uint64_t order[RESOLVER_MX_MAX];	/* of equal ones; drawn */
	size_t count;
	uint64_t state;				/* of the drawing */
	bool has_root, has_others;
};

/* SplitMix64, of G. Steele, D. Lea and C. Flood. */
uint64_t
resolver_mix(uint64_t *state)
{
	uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

	mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
	mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
	return mixed ^ mixed >> 31;
}

static bool
is_host_octet(uint8_t octet)
{
	return (octet >= 'a' && octet <= 'z') || (octet >= '0' && octet <= '9') || octet == '-' ||
	    octet == '_';
}

/* RFC 1123 2.1, and the underscore that is met in practice.  A last label of digits alone would
 * be taken for an address: "192.0.2.1" is no host name.  False: no host has it. */
static bool
write_host(const struct name *name, char host[RESOLVER_HOST_MAX])
{
	bool all_digits = false;
	size_t out = 0;

	for (size_t at = 0; name->octets[at] != 0; ) {
		size_t end = at + 1 + name->octets[at];

		if (at > 0)
			host[out++] = '.';
		all_digits = true;
		for (at++; at < end; at++) {
			if (!is_host_octet(name->octets[at]))
				return false;
			all_digits = all_digits && name->octets[at] <= '9' &&
			    name->octets[at] >= '0';
			host[out++] = (char)name->octets[at];
		}
	}
	host[out] = '\0';
	return out > 0 && !all_digits;
}

static bool
comes_before(uint16_t preference, uint64_t order, const struct exchangers *list, size_t at)
{
	return preference != list->records[at].preference ?
	    preference < list->records[at].preference : order < list->order[at];
}

static void
remove_exchanger(struct exchangers *list, size_t at)
{
	list->count--;
	memmove(list->records + at, list->records + at + 1,
	    (list->count - at) * sizeof(*list->records));
	memmove(list->order + at, list->order + at + 1, (list->count - at) * sizeof(*list->order));
}

static void
insert_exchanger(struct exchangers *list, const struct resolver_mx *record)
{
	uint64_t order = resolver_mix(&list->state);
	size_t at;

	for (at = 0; at < list->count; at++)
		if (strcmp(list->records[at].host, record->host) == 0) {
			if (list->records[at].preference <= record->preference)
				return;
			remove_exchanger(list, at);
			break;
		}
	for (at = list->count; at > 0; at--)
		if (!comes_before(record->preference, order, list, at - 1))
			break;
	if (at == RESOLVER_MX_MAX)
		return;
	if (list->count == RESOLVER_MX_MAX)
		list->count--;
	memmove(list->records + at + 1, list->records + at,
	    (list->count - at) * sizeof(*list->records));
	memmove(list->order + at + 1, list->order + at, (list->count - at) * sizeof(*list->order));
	list->records[at] = *record;
	list->order[at] = order;
	list->count++;
}

/* RFC 1035 3.3.9 */
static bool
take_exchanger(void *arg, const struct message *message, const struct record *record)
{
	struct exchangers *list = arg;
	struct resolver_mx exchanger = { 0 };
	struct name target;

	if (!read_target(message, record, 2, &target))
		return false;
	exchanger.preference = (uint16_t)number_at(message, record->at);
	if (target.octets[0] == 0) {
		list->has_root = true;
		return true;
	}
	list->has_others = true;
	if (write_host(&target, exchanger.host))
		insert_exchanger(list, &exchanger);
	return true;
}

struct resolver_answer
resolver_answer_mx(const uint8_t *octets, size_t len, uint64_t seed,
    struct resolver_mx records[RESOLVER_MX_MAX])
{
	struct exchangers list = { .records = records, .state = seed };
	struct resolver_answer answer = read_answer(octets, len, ns_t_mx, take_exchanger, &list);

	if (answer.outcome != RESOLVER_FOUND)
		return answer;
	if (list.count > 0) {
		answer.count = list.count;
	} else if (list.has_others) {
		/* RFC 5321 5.1: with MX records there is no way around them. */
		answer = resolver_answer_failed("the MX records name no host");
	} else if (list.has_root) {
		answer.outcome = RESOLVER_NULL_MX;
		answer.text = "the domain takes no mail";
	} else {
		answer.outcome = RESOLVER_NO_ADDRESS;
		answer.text = "the domain has no MX record";
	}
	return answer;
}
