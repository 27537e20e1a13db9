/* resolver.c - from a host name to its addresses, by /etc/hosts and then the DNS. */
#include "net/resolver.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include <event2/event.h>
#include <ldns/ldns.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/loop.h"

#define ADDRESSES_MAX	10	/* RULES N: more hosts behind one name help no mail */
#define DEADLINE_S	30	/* what resolv.conf(5) comes to: 5 s, 2 attempts, 3 servers */
#define NAME_MAX_OCTETS	253	/* RFC 1035 2.3.4, without the length octets at the ends */

/* One question, A or AAAA. */
struct question {
	struct resolver_query *query;
	ldns_rr_type type;
	size_t address_size;
	int id;				/* for ub_cancel() */
	bool is_asked;
	enum resolver_outcome outcome;
	const char *text;		/* why not; static */
	uint8_t addresses[ADDRESSES_MAX][16];
	size_t count;
};

struct resolver_query {
	struct resolver *resolver;
	resolver_done *done;
	void *arg;
	uint16_t port;
	struct question v6, v4;
	bool is_answered;
	struct event *deadline;
	struct loop_task task;		/* answer() */
	LIST_ENTRY(resolver_query) entry;
};

struct resolver {
	struct loop *loop;
	struct ub_ctx *ctx;
	LIST_HEAD(, resolver_query) queries;
};

static bool
set_up(struct ub_ctx *ctx, struct error *err)
{
	/* A server on this host (systemd-resolved) is as good as any. */
	static char option[] = "do-not-query-localhost:", no[] = "no";
	int failure = ub_ctx_set_option(ctx, option, no);

	if (failure != 0)
		return error_set(err, ERROR_SYSTEM, "cannot set up the resolver: %s",
		    ub_strerror(failure));
	/* What libunbound has to say comes as outcomes; its own lines would go to stderr. */
	ub_ctx_debugout(ctx, NULL);
	/* Without the file the server is the one on this host: resolv.conf(5). */
	if (ub_ctx_resolvconf(ctx, NULL) != 0 && ub_ctx_set_fwd(ctx, "127.0.0.1") != 0)
		return error_set(err, ERROR_SYSTEM, "cannot set up the resolver's servers");
	/* Names of a file that is missing or broken come from the DNS. */
	(void)ub_ctx_hosts(ctx, NULL);
	return true;
}

struct resolver *
resolver_new(struct loop *loop, struct error *err)
{
	struct ub_ctx *ctx = ub_ctx_create_event(loop_base(loop));
	struct resolver *resolver;

	if (ctx == NULL) {
		error_set(err, ERROR_SYSTEM, "cannot make the resolver");
		return NULL;
	}
	if (!set_up(ctx, err)) {
		ub_ctx_delete(ctx);
		return NULL;
	}
	resolver = mem_zalloc(sizeof(*resolver));
	resolver->loop = loop;
	resolver->ctx = ctx;
	LIST_INIT(&resolver->queries);
	return resolver;
}

bool
resolver_use_server(struct resolver *resolver, const char *server, struct error *err)
{
	int failure = ub_ctx_set_fwd(resolver->ctx, NULL);

	if (failure == 0)
		failure = ub_ctx_set_fwd(resolver->ctx, server);
	return failure == 0 || error_set(err, ERROR_SYSTEM, "cannot use the DNS server %s: %s",
	    server, ub_strerror(failure));
}

/* In turn, v6 first: RFC 8305 4. */
static size_t
merge(const struct resolver_query *query, struct endpoint out[ADDRESSES_MAX])
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(query->port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(query->port) };
	size_t count = 0;

	for (size_t i = 0; i < ADDRESSES_MAX; i++) {
		if (i < query->v6.count && count < ADDRESSES_MAX) {
			memcpy(&in6.sin6_addr, query->v6.addresses[i], 16);
			endpoint_from_sockaddr(&out[count++], (const struct sockaddr *)&in6,
			    sizeof(in6));
		}
		if (i < query->v4.count && count < ADDRESSES_MAX) {
			memcpy(&in.sin_addr, query->v4.addresses[i], 4);
			endpoint_from_sockaddr(&out[count++], (const struct sockaddr *)&in,
			    sizeof(in));
		}
	}
	return count;
}

/* One family may fail as long as the other has an address to offer. */
static enum resolver_outcome
join(enum resolver_outcome a, enum resolver_outcome b)
{
	if (a == RESOLVER_FOUND || b == RESOLVER_FOUND)
		return RESOLVER_FOUND;
	if (a == RESOLVER_FAILED || b == RESOLVER_FAILED)
		return RESOLVER_FAILED;
	if (a == RESOLVER_NO_SUCH_NAME && b == RESOLVER_NO_SUCH_NAME)
		return RESOLVER_NO_SUCH_NAME;
	return RESOLVER_NO_ADDRESS;
}

static const char *
why(const struct resolver_query *query, enum resolver_outcome outcome)
{
	if (outcome == RESOLVER_FOUND)
		return "";
	return query->v6.outcome == outcome ? query->v6.text : query->v4.text;
}

static void
withdraw(struct question *question)
{
	if (question->is_asked)
		ub_cancel(question->query->resolver->ctx, question->id);
	question->is_asked = false;
}

static void
forget(struct resolver_query *query)
{
	withdraw(&query->v6);
	withdraw(&query->v4);
	LIST_REMOVE(query, entry);
	event_free(query->deadline);
	loop_cancel(query->resolver->loop, &query->task);
}

static void
answer(void *owner)
{
	struct resolver_query *query = owner;
	enum resolver_outcome outcome = join(query->v6.outcome, query->v4.outcome);
	struct endpoint addresses[ADDRESSES_MAX];
	size_t count = merge(query, addresses);

	forget(query);
	query->is_answered = true;
	query->done(query->arg, outcome, addresses, count, why(query, outcome));
	free(query);
}

/* The answer section holds the records that the name leads to, by whatever aliases. */
static void
take_records(struct question *question, const ldns_rr_list *records)
{
	for (size_t i = 0; i < ldns_rr_list_rr_count(records); i++) {
		const ldns_rr *record = ldns_rr_list_rr(records, i);
		const ldns_rdf *address;

		if (ldns_rr_get_type(record) != question->type ||
		    ldns_rr_get_class(record) != LDNS_RR_CLASS_IN ||
		    ldns_rr_rd_count(record) != 1 || question->count == ADDRESSES_MAX)
			continue;
		address = ldns_rr_rdf(record, 0);
		if (address == NULL || ldns_rdf_size(address) != question->address_size)
			continue;
		memcpy(question->addresses[question->count++], ldns_rdf_data(address),
		    question->address_size);
	}
}

static void
fail(struct question *question, enum resolver_outcome outcome, const char *text)
{
	question->outcome = outcome;
	question->text = text;
}

static bool
check_rcode(struct question *question, int rcode)
{
	if (rcode == LDNS_RCODE_NXDOMAIN)
		fail(question, RESOLVER_NO_SUCH_NAME, "no such host");
	else if (rcode != LDNS_RCODE_NOERROR)
		fail(question, RESOLVER_FAILED, "the DNS lookup failed");
	return rcode == LDNS_RCODE_NOERROR;
}

static void
judge(struct question *question, const void *octets, int len)
{
	ldns_pkt *packet = NULL;

	if (len <= 0 || ldns_wire2pkt(&packet, octets, (size_t)len) != LDNS_STATUS_OK) {
		fail(question, RESOLVER_FAILED, "the DNS answer cannot be read");
		return;
	}
	if (check_rcode(question, (int)ldns_pkt_get_rcode(packet))) {
		take_records(question, ldns_pkt_answer(packet));
		question->outcome = RESOLVER_FOUND;
		if (question->count == 0)
			fail(question, RESOLVER_NO_ADDRESS, "the host has no address");
	}
	ldns_pkt_free(packet);
}

/* May come within ub_resolve_event(): what the caller gets is put off. */
static void
on_answer(void *arg, int rcode, void *packet, int len, int sec, char *why_bogus, int limited)
{
	struct question *question = arg;
	struct resolver_query *query = question->query;

	(void)why_bogus;
	(void)limited;
	question->is_asked = false;
	/* The code given here is of libunbound's own failures; the servers' is in the packet. */
	if (sec == 1)
		fail(question, RESOLVER_FAILED, "the DNS answer is not authentic");
	else if (check_rcode(question, rcode))
		judge(question, packet, len);
	if (!query->v6.is_asked && !query->v4.is_asked)
		loop_defer(query->resolver->loop, &query->task);
}

static void
ask(struct question *question, const char *host)
{
	struct resolver_query *query = question->query;
	int failure;

	failure = ub_resolve_event(query->resolver->ctx, host, (int)question->type,
	    LDNS_RR_CLASS_IN, question, on_answer, &question->id);
	if (failure == 0)
		return;
	question->is_asked = false;
	fail(question, RESOLVER_FAILED, ub_strerror(failure));
	if (!query->v6.is_asked && !query->v4.is_asked)
		loop_defer(query->resolver->loop, &query->task);
}

static void
on_deadline(int fd, short what, void *arg)
{
	struct resolver_query *query = arg;

	(void)fd;
	(void)what;
	withdraw(&query->v6);
	withdraw(&query->v4);
	/* What has no answer by now is as it began: failed. */
	loop_defer(query->resolver->loop, &query->task);
}

/* True when the host is an address itself. */
static bool
take_literal(struct resolver_query *query, const char *host)
{
	struct endpoint literal;
	struct question *question;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	if (!endpoint_from_literal(&literal, host, query->port))
		return false;
	if (literal.address.any.sa_family == AF_INET) {
		question = &query->v4;
		memcpy(&in, &literal.address, sizeof(in));
		memcpy(question->addresses[0], &in.sin_addr, 4);
	} else {
		question = &query->v6;
		memcpy(&in6, &literal.address, sizeof(in6));
		memcpy(question->addresses[0], &in6.sin6_addr, 16);
	}
	question->count = 1;
	question->outcome = RESOLVER_FOUND;
	return true;
}

/* Both families at once; until each has its answer the other's is only noted. */
static void
start(struct resolver_query *query, const char *host)
{
	const struct timeval deadline = { DEADLINE_S, 0 };

	if (take_literal(query, host)) {
		loop_defer(query->resolver->loop, &query->task);
		return;
	}
	/* libunbound takes an empty name for the root. */
	if (*host == '\0' || strlen(host) > NAME_MAX_OCTETS) {
		fail(&query->v6, RESOLVER_NO_SUCH_NAME, "not a host name");
		fail(&query->v4, RESOLVER_NO_SUCH_NAME, "not a host name");
		loop_defer(query->resolver->loop, &query->task);
		return;
	}
	evtimer_add(query->deadline, &deadline);
	query->v6.is_asked = query->v4.is_asked = true;
	ask(&query->v6, host);
	ask(&query->v4, host);
}

struct resolver_query *
resolver_addresses(struct resolver *resolver, const char *host, uint16_t port,
    resolver_done *done, void *arg)
{
	struct resolver_query *query = mem_zalloc(sizeof(*query));

	query->resolver = resolver;
	query->done = done;
	query->arg = arg;
	query->port = port;
	query->v6 = (struct question){ .query = query, .type = LDNS_RR_TYPE_AAAA,
	    .address_size = 16 };
	query->v4 = (struct question){ .query = query, .type = LDNS_RR_TYPE_A,
	    .address_size = 4 };
	fail(&query->v6, RESOLVER_FAILED, "the DNS servers did not answer in time");
	fail(&query->v4, RESOLVER_FAILED, "the DNS servers did not answer in time");
	query->task = (struct loop_task){ .run = answer, .owner = query };
	query->deadline = evtimer_new(loop_base(resolver->loop), on_deadline, query);
	if (query->deadline == NULL)
		abort();
	LIST_INSERT_HEAD(&resolver->queries, query, entry);
	start(query, host);
	return query;
}

void
resolver_cancel(struct resolver_query *query)
{
	if (query == NULL || query->is_answered)
		return;
	forget(query);
	free(query);
}

void
resolver_free(struct resolver *resolver)
{
	struct resolver_query *query;

	if (resolver == NULL)
		return;
	while ((query = LIST_FIRST(&resolver->queries)) != NULL)
		resolver_cancel(query);
	ub_ctx_delete(resolver->ctx);
	free(resolver);
}
