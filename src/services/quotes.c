/* quotes.c - the UDP service: each datagram is answered with the next quote. */
#include "services/quotes.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/service.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/endpoint.h"
#include "net/loop.h"
#include "net/network.h"
#include "net/socket.h"
#include "services/batch.h"
#include "services/book.h"
#include "services/guard.h"
#include "services/rate_table.h"

#include <event2/event.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#define SUMMARY_SECONDS 60
#define TEXT_LOGGED	256 /* octets of a request in the log, RULES L */

/* What became of a datagram. */
enum outcome {
	ANSWERED,
	LIMITED,
	DENIED,
	REFUSED_PORT,
	REFUSED_ADDRESS,
	TOO_LONG,
	AMPLIFIES,
	ECHOED,
	NOT_SENT,
	OUTCOMES,
};

static const char *const outcome_names[OUTCOMES] = { "answered", "limited", "denied",
	"refused_port", "refused_address", "too_long", "amplifies", "echoed", "not_sent" };

struct block;

/* A socket of a block. */
struct place {
	struct block *block;
	const struct socket *socket;
	bool is_wildcard;
	struct event *readable;
};

struct block {
	struct quotes *service;
	const struct config *config; /* a reference: `section` is part of it */
	const struct quotes_config *section;
	struct socket_list sockets;
	struct place *places; /* sockets.count of them */
	struct book *book;
	struct rate_table *rates;  /* NULL: no rate */
	struct rate_table *echoes; /* for requests that are quotes of ours */
	size_t cursor;
	uint64_t random;
	uint64_t counts[OUTCOMES], summed_up[OUTCOMES];
	TAILQ_ENTRY(block) entry;
};

TAILQ_HEAD(blocks, block);

struct prepared {
	struct blocks blocks;
	struct batch *batch;
};

struct quotes {
	struct loop *loop;
	struct socket_pool *pool;
	struct blocks blocks;
	struct batch *batch; /* as large as the largest block needs */
	struct event *summary;
};

/* ---- a turn */

/* A herald or an echo service at the other end sends us quotes.  A person may too, so the
 * first few are answered; then the circle is cut, be it within rate_exempt. */
#define ECHO_BURST   10
#define ECHO_SECONDS 60

static enum outcome
judge(struct block *block, const struct datagram *datagram, int64_t now_us)
{
	const struct quotes_config *section = block->section;
	enum guard_verdict verdict = guard_source(datagram->source);

	if (verdict == GUARD_PORT)
		return REFUSED_PORT;
	if (verdict == GUARD_ADDRESS || !datagram->is_unicast)
		return REFUSED_ADDRESS;
	if (socket_pool_has_udp_port(block->service->pool, guard_port(datagram->source)))
		return REFUSED_PORT;
	if (!network_allows(&section->allow, &section->deny, datagram->source))
		return DENIED;
	if (datagram->is_cut || datagram->len > section->max_request)
		return TOO_LONG;
	if (datagram->len > 0 && book_has(block->book, datagram->octets, datagram->len) &&
	    !rate_table_take(block->echoes, datagram->source, now_us))
		return ECHOED;
	if (block->rates != NULL && !network_list_has(&section->rate_exempt, datagram->source) &&
	    !rate_table_take(block->rates, datagram->source, now_us))
		return LIMITED;
	return ANSWERED;
}

static size_t
next_random(struct block *block)
{
	block->random ^= block->random << 13;
	block->random ^= block->random >> 7;
	block->random ^= block->random << 17;
	return (size_t)(block->random >> 16);
}

static size_t
next_quote(struct block *block)
{
	size_t index;

	switch (block->section->order) {
	case CONFIG_ORDER_RANDOM:
		return next_random(block) % book_count(block->book);
	case CONFIG_ORDER_DAILY:
		return book_of_day(block->book, clock_now());
	case CONFIG_ORDER_SEQUENTIAL:
		break;
	}
	index = block->cursor;
	block->cursor = index + 1 < book_count(block->book) ? index + 1 : 0;
	return index;
}

static void
log_request(const struct block *block, const struct datagram *datagram, enum outcome outcome)
{
	char text[TEXT_LOGGED], host[ENDPOINT_ADDRESS_MAX];
	struct endpoint source;

	endpoint_from_sockaddr(&source, datagram->source,
	    datagram->source->sa_family == AF_INET ? sizeof(struct sockaddr_in)
						   : sizeof(struct sockaddr_in6));
	text_printable_utf8(text, sizeof(text), datagram->octets, datagram->len);
	log_write(LOG_LEVEL_INFO, "quotes", "%s: client=[%s]:%u octets=%zu outcome=%s text=\"%s\"",
	    block->section->name, endpoint_host(&source, host), endpoint_port(&source),
	    datagram->len, outcome_names[outcome], text);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct place *place = arg;
	struct block *block = place->block;
	struct batch *batch = block->service->batch;
	unsigned count = batch_receive(batch, fd, place->is_wildcard), answers = 0, sent;
	int64_t now_us = clock_monotonic_us();

	(void)what;
	for (unsigned i = 0; i < count; i++) {
		struct datagram datagram;
		enum outcome outcome;

		batch_get(batch, i, &datagram);
		outcome = judge(block, &datagram, now_us);
		if (outcome == ANSWERED) {
			size_t len, index = next_quote(block);
			const char *quote = book_quote(block->book, index, &len);
			unsigned most = block->section->max_amplification;

			if (most > 0 && len > datagram.len * most)
				outcome = AMPLIFIES;
			else
				batch_answer(batch, i, quote, len);
		}
		if (block->section->log_requests)
			log_request(block, &datagram, outcome);
		block->counts[outcome]++;
		answers += outcome == ANSWERED;
	}
	sent = batch_send(batch, fd);
	block->counts[ANSWERED] -= answers - sent;
	block->counts[NOT_SENT] += answers - sent;
}

/* ---- the summary */

/* The four that matter always, the others where they happened. */
static void
sum_up(struct block *block)
{
	char line[512];
	size_t len = 0;
	bool has_news = false;

	line[0] = '\0';
	for (unsigned i = 0; i < OUTCOMES; i++) {
		uint64_t count = block->counts[i] - block->summed_up[i];

		has_news = has_news || count > 0;
		block->summed_up[i] = block->counts[i];
		if ((count > 0 || i <= REFUSED_PORT) && len < sizeof(line))
			len += (size_t)snprintf(line + len, sizeof(line) - len, " %s=%llu",
			    outcome_names[i], (unsigned long long)count);
	}
	if (has_news)
		log_write(LOG_LEVEL_INFO, "quotes", "%s: %ds summary:%s", block->section->name,
		    SUMMARY_SECONDS, line);
}

static void
on_summary(evutil_socket_t fd, short what, void *arg)
{
	struct quotes *quotes = arg;
	struct block *block;

	(void)fd;
	(void)what;
	TAILQ_FOREACH(block, &quotes->blocks, entry)
		sum_up(block);
}

/* ---- blocks */

static void
block_free(struct block *block)
{
	for (size_t i = 0; block->places != NULL && i < block->sockets.count; i++)
		if (block->places[i].readable != NULL)
			event_free(block->places[i].readable);
	free(block->places);
	socket_release(block->service->pool, &block->sockets);
	rate_table_free(block->rates);
	rate_table_free(block->echoes);
	book_free(block->book);
	config_unref(block->config);
	free(block);
}

static void
blocks_free(struct blocks *blocks)
{
	struct block *block;

	while ((block = TAILQ_FIRST(blocks)) != NULL) {
		TAILQ_REMOVE(blocks, block, entry);
		block_free(block);
	}
}

/* A socket that listens at one address gets no broadcasts, and answers from that address. */
static bool
listens_everywhere(const struct socket *socket)
{
	struct sockaddr_storage address;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	socklen_t len = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(socket->fd, (struct sockaddr *)&address, &len) == -1)
		return true;
	if (address.ss_family == AF_INET) {
		memcpy(&in, &address, sizeof(in));
		return in.sin_addr.s_addr == htonl(INADDR_ANY) ||
		    ntohl(in.sin_addr.s_addr) >> 28 == 0xe;
	}
	memcpy(&in6, &address, sizeof(in6));
	return IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr) || IN6_IS_ADDR_MULTICAST(&in6.sin6_addr);
}

/* Where all datagrams come to one address, the kernel need not look up which one that was
 * for each of them. */
static void
stop_packet_info(const struct socket *socket)
{
	const int off = 0;

	if (socket->family == AF_INET)
		(void)setsockopt(socket->fd, IPPROTO_IP, IP_PKTINFO, &off, sizeof(off));
	else
		(void)setsockopt(socket->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &off, sizeof(off));
}

static void
add_places(struct block *block)
{
	block->places = mem_array(block->sockets.count + 1, sizeof(*block->places));
	for (size_t i = 0; i < block->sockets.count; i++) {
		struct place *place = &block->places[i];

		place->block = block;
		place->socket = block->sockets.items[i];
		place->is_wildcard = listens_everywhere(place->socket);
		if (!place->is_wildcard)
			stop_packet_info(place->socket);
		place->readable = event_new(loop_base(block->service->loop), place->socket->fd,
		    EV_READ | EV_PERSIST, on_readable, place);
		if (place->readable == NULL)
			abort();
	}
}

static struct book *
open_book(const struct quotes_config *section, struct error *err)
{
	if (section->file[0] == '\0')
		return book_new(section->quotes, section->quote_count, section->max_reply);
	return book_read(section->file,
	    section->format == CONFIG_FORMAT_FORTUNE ? BOOK_FORTUNE : BOOK_LINES,
	    section->max_reply, err);
}

static struct block *
block_new(struct quotes *quotes, const struct config *config, const struct quotes_config *section,
    struct error *err)
{
	struct block *block = mem_zalloc(sizeof(*block));
	char what[80];

	block->service = quotes;
	block->config = config_ref(config);
	block->section = section;
	if (getrandom(&block->random, sizeof(block->random), 0) != (ssize_t)sizeof(block->random))
		abort();
	block->random |= 1;
	block->book = open_book(section, err);
	if (block->book == NULL)
		goto fail;
	snprintf(what, sizeof(what), "quotes %s", section->name);
	if (!socket_acquire(
		quotes->pool, &section->listen, SOCK_DGRAM, 0, what, &block->sockets, err))
		goto fail;
	if (section->rate_count > 0)
		block->rates = rate_table_new(
		    section->rate_count, section->rate_seconds, section->burst);
	block->echoes = rate_table_new(1, ECHO_SECONDS, ECHO_BURST);
	add_places(block);
	return block;
fail:
	error_prefix(err, "%s:%u", section->conffile, section->line);
	block_free(block);
	return NULL;
}

/* What the running block knows goes on in the new one. */
static void
inherit(struct block *block, struct block *old)
{
	const struct quotes_config *a = old->section, *b = block->section;
	struct rate_table *rates = block->rates;

	memcpy(block->counts, old->counts, sizeof(block->counts));
	memcpy(block->summed_up, old->summed_up, sizeof(block->summed_up));
	if (book_equal(block->book, old->book))
		block->cursor = old->cursor;
	if (rates != NULL && old->rates != NULL && a->rate_count == b->rate_count &&
	    a->rate_seconds == b->rate_seconds && a->burst == b->burst) {
		block->rates = old->rates;
		old->rates = rates;
	}
}

/* ---- the service */

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	struct quotes *quotes = self;
	struct prepared *prepared = mem_zalloc(sizeof(*prepared));
	size_t max_request = 0;

	TAILQ_INIT(&prepared->blocks);
	for (size_t i = 0; i < next->quotes_count; i++) {
		struct block *block = block_new(quotes, next, &next->quotes[i], err);

		if (block == NULL) {
			blocks_free(&prepared->blocks);
			free(prepared);
			return NULL;
		}
		if (block->section->max_request > max_request)
			max_request = block->section->max_request;
		TAILQ_INSERT_TAIL(&prepared->blocks, block, entry);
	}
	prepared->batch = batch_new(max_request);
	return prepared;
}

static void
stop(struct quotes *quotes)
{
	struct block *block;

	TAILQ_FOREACH(block, &quotes->blocks, entry)
		for (size_t i = 0; i < block->sockets.count; i++)
			event_del(block->places[i].readable);
}

static void
commit(void *self, void *consumed, const struct config *next)
{
	struct quotes *quotes = self;
	struct prepared *prepared = consumed;
	struct block *block, *old;

	(void)next;
	stop(quotes);
	TAILQ_FOREACH(block, &prepared->blocks, entry) {
		TAILQ_FOREACH(old, &quotes->blocks, entry)
			if (strcmp(old->section->name, block->section->name) == 0)
				inherit(block, old);
		for (size_t i = 0; i < block->sockets.count; i++)
			event_add(block->places[i].readable, NULL);
	}
	blocks_free(&quotes->blocks);
	TAILQ_CONCAT(&quotes->blocks, &prepared->blocks, entry);
	batch_free(quotes->batch);
	quotes->batch = prepared->batch;
	free(prepared);
}

static void
abandon(void *self, void *consumed)
{
	struct prepared *prepared = consumed;

	(void)self;
	blocks_free(&prepared->blocks);
	batch_free(prepared->batch);
	free(prepared);
}

static bool
drain(void *self)
{
	stop(self);
	return true;
}

static json_t *
status(void *self)
{
	struct quotes *quotes = self;
	json_t *all = json_object();
	struct block *block;

	TAILQ_FOREACH(block, &quotes->blocks, entry) {
		json_t *object = json_object();

		for (unsigned i = 0; i < OUTCOMES; i++)
			json_object_set_new(
			    object, outcome_names[i], json_integer((json_int_t)block->counts[i]));
		json_object_set_new(all, block->section->name, object);
	}
	return all;
}

static void
destroy(void *self)
{
	struct quotes *quotes = self;

	blocks_free(&quotes->blocks);
	batch_free(quotes->batch);
	event_free(quotes->summary);
	free(quotes);
}

const struct service_ops quotes_service = { "quotes", prepare, commit, abandon, drain, status,
	destroy };

struct quotes *
quotes_new(struct loop *loop, struct socket_pool *pool)
{
	static const struct timeval period = { SUMMARY_SECONDS, 0 };
	struct quotes *quotes = mem_zalloc(sizeof(*quotes));

	quotes->loop = loop;
	quotes->pool = pool;
	TAILQ_INIT(&quotes->blocks);
	quotes->summary = event_new(loop_base(loop), -1, EV_PERSIST, on_summary, quotes);
	if (quotes->summary == NULL)
		abort();
	event_add(quotes->summary, &period);
	return quotes;
}
