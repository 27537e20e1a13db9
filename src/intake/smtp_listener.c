/* smtp_listener.c - the submission blocks of the conffile as a service of the daemon. */
#include "intake/smtp_listener.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/config.h"
#include "intake/smtp_session.h"
#include "intake/smtp_terms.h"
#include "net/listener.h"
#include "net/socket.h"

#define UNIX_MODE 0666 /* every user of the machine may submit */

struct block {
	struct intake *intake;
	struct smtp_terms *terms;
	struct socket_list sockets;
	struct listener *listener;	/* NULL while it is only prepared, and once drained */
};

/* The blocks of one configuration: the running one, or one that is prepared. */
struct blocks {
	struct block *items;
	size_t count;
};

struct intake {
	struct loop *loop;
	struct socket_pool *pool;
	struct smtp_sessions *sessions;
	struct blocks *running;		/* NULL before the first commit */
};

static void
on_accepted(void *owner, int fd, const struct endpoint *peer, const struct endpoint *local)
{
	struct block *block = owner;

	(void)local;
	smtp_sessions_start(block->intake->sessions, block->terms, fd, peer);
}

/* Nor are the sockets held: whoever connects during a stop is refused, not left to wait,
 * but for those of systemd, which the next run will serve. */
static void
stop_listening(struct blocks *blocks)
{
	for (size_t i = 0; i < blocks->count; i++) {
		struct block *block = &blocks->items[i];

		if (block->listener == NULL)
			continue;
		listener_free(block->listener);
		block->listener = NULL;
		socket_release(block->intake->pool, &block->sockets);
	}
}

static void
free_blocks(struct intake *intake, struct blocks *blocks)
{
	if (blocks == NULL)
		return;
	stop_listening(blocks);
	for (size_t i = 0; i < blocks->count; i++) {
		socket_release(intake->pool, &blocks->items[i].sockets);
		smtp_terms_unref(blocks->items[i].terms);
	}
	free(blocks->items);
	free(blocks);
}

/* What it took stands in the block, for free_blocks(). */
static bool
prepare_block(struct block *block, struct intake *intake, const struct config *next, size_t index,
    struct error *err)
{
	const struct submission_config *section = &next->submissions[index];
	char *what;
	bool bound;

	block->intake = intake;
	block->terms = smtp_terms_new(next, section, err);
	if (block->terms == NULL)
		return false;
	what = mem_printf("submission %s", section->name);
	bound = socket_acquire(intake->pool, &section->listen, SOCK_STREAM, UNIX_MODE, what,
	    &block->sockets, err);
	free(what);
	return bound;
}

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	struct intake *intake = self;
	struct blocks *blocks = mem_zalloc(sizeof(*blocks));

	blocks->items = mem_array(next->submission_count, sizeof(blocks->items[0]));
	for (size_t i = 0; i < next->submission_count; i++) {
		blocks->count++;
		if (!prepare_block(&blocks->items[i], intake, next, i, err)) {
			free_blocks(intake, blocks);
			return NULL;
		}
	}
	return blocks;
}

/* What those hear for whom there is no descriptor or no memory (RFC 5321 3.8); who speaks TLS
 * from the start could not read it. */
static void
set_farewell(struct block *block)
{
	const struct smtp_terms *terms = block->terms;
	char *line = terms->section->tls == CONFIG_TLS_IMPLICIT ? mem_strdup("") :
	    mem_printf("421 4.3.2 %s too busy, try again later\r\n", terms->config->hostname);

	listener_set_farewell(block->listener, line);
	free(line);
}

static void
commit(void *self, void *prepared, const struct config *next)
{
	struct intake *intake = self;
	struct blocks *old = intake->running;

	(void)next;
	intake->running = prepared;
	/* What both configurations name is the same socket: the old ear off, then the new one
	 * on; clients that come between wait in the kernel. */
	if (old != NULL)
		stop_listening(old);
	for (size_t i = 0; i < intake->running->count; i++) {
		struct block *block = &intake->running->items[i];

		block->listener = listener_new(intake->loop, &block->sockets, "smtpd", on_accepted,
		    block);
		set_farewell(block);
	}
	free_blocks(intake, old);
}

static void
abandon(void *self, void *prepared)
{
	free_blocks(self, prepared);
}

static bool
drain(void *self)
{
	struct intake *intake = self;

	if (intake->running != NULL)
		stop_listening(intake->running);
	return smtp_sessions_drain(intake->sessions);
}

static struct json_t *
status(void *self)
{
	struct intake *intake = self;

	return smtp_sessions_status(intake->sessions);
}

static void
destroy(void *self)
{
	struct intake *intake = self;

	free_blocks(intake, intake->running);
	smtp_sessions_free(intake->sessions);
	free(intake);
}

const struct service_ops intake_service = {
	.name = "submission",
	.prepare = prepare,
	.commit = commit,
	.abandon = abandon,
	.drain = drain,
	.status = status,
	.destroy = destroy,
};

struct intake *
intake_new(struct loop *loop, struct queue *queue, struct socket_pool *pool)
{
	struct intake *intake = mem_zalloc(sizeof(*intake));

	intake->loop = loop;
	intake->pool = pool;
	intake->sessions = smtp_sessions_new(loop, queue);
	return intake;
}
