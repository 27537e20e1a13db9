/* resolver.c - the DNS on the loop: addresses of hosts, mail exchangers of domains. */
#include "net/resolver.h"

#include <arpa/nameser.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/loop.h"
#include "net/resolver_answer.h"
#include "net/resolver_context.h"

#define DEADLINE_S	30	/* what resolv.conf(5) comes to: 5 s, 2 attempts, 3 servers */
#define REFRESH_US	5000000	/* two stat() in that time are not felt; who waits is not kept */
/* libunbound leaves servers that were dead alone for minutes: it knows others, we do not. */
#define FAILING_US	10000000
#define SERVERS_FILE	"/etc/resolv.conf"
#define HOSTS_FILE	"/etc/hosts"

/* One question, of one type. */
struct question {
	struct resolver_query *query;
	unsigned type;
	struct resolver_question asked;
	struct resolver_answer answer;
	uint8_t addresses[RESOLVER_ADDRESSES_MAX][16];
};

struct resolver_query {
	struct resolver *resolver;
	resolver_done *done;		/* one of the two */
	resolver_mx_done *mx_done;
	void *arg;
	uint16_t port;
	struct question v6, v4;		/* for addresses */
	struct question mx;
	struct resolver_mx *records;	/* RESOLVER_MX_MAX of them */
	bool is_starting;		/* not every question is asked yet */
	bool is_answered;
	struct event *deadline;
	struct loop_task task;		/* answer() */
	LIST_ENTRY(resolver_query) entry;
};

/* A file as it was: another one, or another text in it, has another stamp. */
struct stamp { dev_t device; ino_t inode; off_t size; struct timespec changed; };

struct resolver {
	struct loop *loop;
	/* A name that hosts(5) has is without MX records for libunbound: those are asked for
	 * where that file is not read.  `domains` is made with the first such question. */
	struct resolver_context *hosts, *domains;
	char *server;			/* NULL: those of resolv.conf(5) */
	struct stamp servers_stamp, hosts_stamp;
	int64_t checked_us;		/* clock_monotonic_us() */
	int64_t failing_us;		/* since then no server had an answer; 0: not so */
	uint64_t random;
	LIST_HEAD(, resolver_query) queries;
};

static struct stamp
read_stamp(const char *path)
{
	struct stamp stamp = { .size = -1 };
	struct stat file;

	if (stat(path, &file) == 0)
		stamp = (struct stamp){ .device = file.st_dev, .inode = file.st_ino,
		    .size = file.st_size, .changed = file.st_ctim };
	return stamp;
}

static bool
stamp_equal(const struct stamp *a, const struct stamp *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	    a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}

/* The contexts anew; on failure the old ones stay. */
static bool
renew(struct resolver *resolver, struct error *err)
{
	/* Before the files are read: what changes meanwhile shows the next time. */
	struct stamp servers_stamp = read_stamp(SERVERS_FILE), hosts_stamp = read_stamp(HOSTS_FILE);
	struct resolver_context *hosts = resolver_context_new(resolver->loop, resolver->server,
	    true, err);

	if (hosts == NULL)
		return false;
	resolver_context_retire(resolver->hosts);
	resolver_context_retire(resolver->domains);
	resolver->hosts = hosts;
	resolver->domains = NULL;
	resolver->failing_us = 0;
	resolver->servers_stamp = servers_stamp;
	resolver->hosts_stamp = hosts_stamp;
	return true;
}

struct resolver *
resolver_new(struct loop *loop, struct error *err)
{
	struct resolver *resolver = mem_zalloc(sizeof(*resolver));

	resolver->loop = loop;
	LIST_INIT(&resolver->queries);
	resolver->checked_us = clock_monotonic_us();
	/* Without it the exchangers of one preference come in an order that can be told. */
	if (getrandom(&resolver->random, sizeof(resolver->random), 0) == -1)
		resolver->random = (uint64_t)resolver->checked_us;
	if (renew(resolver, err))
		return resolver;
	free(resolver);
	return NULL;
}

bool
resolver_use_server(struct resolver *resolver, const char *server, struct error *err)
{
	free(resolver->server);
	resolver->server = mem_strdup(server);
	return renew(resolver, err);
}

void
resolver_refresh(struct resolver *resolver)
{
	struct stamp servers = read_stamp(SERVERS_FILE), hosts = read_stamp(HOSTS_FILE);
	struct error err;

	resolver->checked_us = clock_monotonic_us();
	if (stamp_equal(&servers, &resolver->servers_stamp) &&
	    stamp_equal(&hosts, &resolver->hosts_stamp))
		return;
	if (!renew(resolver, &err))
		log_write(LOG_LEVEL_WARNING, "heraldd", "%s; the former servers stay", err.text);
	else
		log_write(LOG_LEVEL_DEBUG, "heraldd", "%s and %s read again", SERVERS_FILE,
		    HOSTS_FILE);
}

void
resolver_set_seed(struct resolver *resolver, uint64_t seed)
{
	resolver->random = seed;
}

/* In turn, v6 first: RFC 8305 4. */
static size_t
merge(const struct resolver_query *query, struct endpoint out[RESOLVER_ADDRESSES_MAX])
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(query->port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(query->port) };
	size_t count = 0;

	for (size_t i = 0; i < RESOLVER_ADDRESSES_MAX; i++) {
		if (i < query->v6.answer.count && count < RESOLVER_ADDRESSES_MAX) {
			memcpy(&in6.sin6_addr, query->v6.addresses[i], 16);
			endpoint_from_sockaddr(&out[count++], (const struct sockaddr *)&in6,
			    sizeof(in6));
		}
		if (i < query->v4.answer.count && count < RESOLVER_ADDRESSES_MAX) {
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

static void
withdraw(struct resolver_query *query)
{
	resolver_context_cancel(&query->v6.asked);
	resolver_context_cancel(&query->v4.asked);
	resolver_context_cancel(&query->mx.asked);
}

static bool
is_under_way(const struct resolver_query *query)
{
	return query->v6.asked.context != NULL || query->v4.asked.context != NULL ||
	    query->mx.asked.context != NULL;
}

static void
free_query(struct resolver_query *query)
{
	free(query->records);
	free(query);
}

static void
forget(struct resolver_query *query)
{
	withdraw(query);
	LIST_REMOVE(query, entry);
	event_free(query->deadline);
	loop_cancel(query->resolver->loop, &query->task);
}

static void
answer_addresses(struct resolver_query *query)
{
	const struct resolver_answer *v6 = &query->v6.answer, *v4 = &query->v4.answer;
	enum resolver_outcome outcome = join(v6->outcome, v4->outcome);
	struct endpoint addresses[RESOLVER_ADDRESSES_MAX];
	size_t count = merge(query, addresses);

	query->done(query->arg, outcome, addresses, count,
	    v6->outcome == outcome ? v6->text : v4->text);
}

static void
answer(void *owner)
{
	struct resolver_query *query = owner;
	const struct resolver_answer *mx = &query->mx.answer;

	forget(query);
	query->is_answered = true;
	if (query->mx_done != NULL)
		query->mx_done(query->arg, mx->outcome, query->records, mx->count, mx->text);
	else
		answer_addresses(query);
	free_query(query);
}

static struct resolver_answer
judge(struct question *question, int failure, const void *octets, size_t len, bool bogus)
{
	struct resolver_query *query = question->query;

	if (bogus)
		return resolver_answer_failed("the DNS answer is not authentic");
	/* The code given here is of libunbound's own failures; the servers' is in the packet. */
	if (failure != 0)
		return resolver_answer_refused(failure, question->type);
	if (question->type == ns_t_mx)
		return resolver_answer_mx(octets, len, resolver_mix(&query->resolver->random),
		    query->records);
	return resolver_answer_addresses(octets, len, question->type, question->addresses);
}

static void
answer_if_known(struct resolver_query *query)
{
	if (!query->is_starting && !is_under_way(query))
		loop_defer(query->resolver->loop, &query->task);
}

static void
note(struct resolver *resolver, enum resolver_outcome outcome)
{
	if (outcome != RESOLVER_FAILED)
		resolver->failing_us = 0;
	else if (resolver->failing_us == 0)
		resolver->failing_us = clock_monotonic_us();
}

/* May come within resolver_context_ask(): what the caller gets is put off. */
static void
on_answer(void *owner, int failure, const void *octets, size_t len, bool bogus)
{
	struct question *question = owner;

	question->answer = judge(question, failure, octets, len, bogus);
	/* What comes at once is known here, and says nothing of servers. */
	if (!question->query->is_starting)
		note(question->query->resolver, question->answer.outcome);
	answer_if_known(question->query);
}

static void
on_deadline(int fd, short what, void *arg)
{
	struct resolver_query *query = arg;

	(void)fd;
	(void)what;
	withdraw(query);
	note(query->resolver, RESOLVER_FAILED);
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
	question->answer = (struct resolver_answer){ .outcome = RESOLVER_FOUND, .text = "",
	    .count = 1 };
	return true;
}

static void
ask(struct question *question, struct resolver_context *context, const char *name)
{
	const char *why;

	question->asked = (struct resolver_question){ .answer = on_answer, .owner = question };
	if (!resolver_context_ask(context, name, (int)question->type, &question->asked, &why))
		question->answer = resolver_answer_failed(why);
}

static struct question
prepare(struct resolver_query *query, unsigned type)
{
	return (struct question){ .query = query, .type = type,
	    .answer = resolver_answer_failed("the DNS servers did not answer in time") };
}

static void
refresh_if_due(struct resolver *resolver)
{
	int64_t now = clock_monotonic_us();
	struct error err;

	if (now - resolver->checked_us >= REFRESH_US)
		resolver_refresh(resolver);
	if (resolver->failing_us != 0 && now - resolver->failing_us >= FAILING_US)
		renew(resolver, &err);		/* on failure it goes on as it was */
}

static struct resolver_query *
new_query(struct resolver *resolver, void *arg)
{
	const struct timeval deadline = { DEADLINE_S, 0 };
	struct resolver_query *query = mem_zalloc(sizeof(*query));

	refresh_if_due(resolver);
	query->resolver = resolver;
	query->arg = arg;
	query->task = (struct loop_task){ .run = answer, .owner = query };
	query->deadline = evtimer_new(loop_base(resolver->loop), on_deadline, query);
	if (query->deadline == NULL)
		abort();
	evtimer_add(query->deadline, &deadline);
	LIST_INSERT_HEAD(&resolver->queries, query, entry);
	return query;
}

/* Both families at once; until each has its answer the other's is only noted. */
static void
ask_addresses(struct resolver_query *query, const char *host)
{
	struct resolver *resolver = query->resolver;

	/* libunbound takes an empty name for the root. */
	if (*host == '\0' || strlen(host) >= RESOLVER_HOST_MAX) {
		query->v6.answer = query->v4.answer = (struct resolver_answer){
		    .outcome = RESOLVER_NO_SUCH_NAME, .text = "not a host name" };
		return;
	}
	ask(&query->v6, resolver->hosts, host);
	ask(&query->v4, resolver->hosts, host);
}

struct resolver_query *
resolver_addresses(struct resolver *resolver, const char *host, uint16_t port,
    resolver_done *done, void *arg)
{
	struct resolver_query *query = new_query(resolver, arg);

	query->done = done;
	query->port = port;
	query->v6 = prepare(query, ns_t_aaaa);
	query->v4 = prepare(query, ns_t_a);
	query->is_starting = true;
	if (!take_literal(query, host))
		ask_addresses(query, host);
	query->is_starting = false;
	answer_if_known(query);
	return query;
}

static void
ask_exchangers(struct resolver_query *query, const char *domain)
{
	struct resolver *resolver = query->resolver;
	struct endpoint literal;
	struct error err;

	if (*domain == '\0' || strlen(domain) >= RESOLVER_HOST_MAX ||
	    endpoint_from_literal(&literal, domain, 0)) {
		query->mx.answer = (struct resolver_answer){
		    .outcome = RESOLVER_NO_SUCH_NAME, .text = "not a domain" };
		return;
	}
	if (resolver->domains == NULL)
		resolver->domains = resolver_context_new(resolver->loop, resolver->server, false,
		    &err);
	if (resolver->domains == NULL)
		query->mx.answer = resolver_answer_failed("the resolver cannot be made");
	else
		ask(&query->mx, resolver->domains, domain);
}

struct resolver_query *
resolver_mx(struct resolver *resolver, const char *domain, resolver_mx_done *done, void *arg)
{
	struct resolver_query *query = new_query(resolver, arg);

	query->mx_done = done;
	query->records = mem_array(RESOLVER_MX_MAX, sizeof(*query->records));
	query->mx = prepare(query, ns_t_mx);
	query->is_starting = true;
	ask_exchangers(query, domain);
	query->is_starting = false;
	answer_if_known(query);
	return query;
}

void
resolver_cancel(struct resolver_query *query)
{
	if (query == NULL || query->is_answered)
		return;
	forget(query);
	free_query(query);
}

void
resolver_free(struct resolver *resolver)
{
	struct resolver_query *query;

	if (resolver == NULL)
		return;
	while ((query = LIST_FIRST(&resolver->queries)) != NULL)
		resolver_cancel(query);
	resolver_context_retire(resolver->hosts);
	resolver_context_retire(resolver->domains);
	free(resolver->server);
	free(resolver);
}
