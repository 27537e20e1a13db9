/* smtp_listener.c - the submission blocks of the conffile as a service of the daemon. */
#include "intake/smtp_listener.h"

#include <stdlib.h>

#include "base/mem.h"
#include "conf/config.h"
#include "intake/smtp_session.h"
#include "net/listener.h"
#include "net/socket.h"

#define UNIX_MODE 0666 /* every user of the machine may submit */

struct block {
	struct intake *intake;
	const struct config *config;	/* a reference: `section` is part of it */
	const struct submission_config *section;
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
	smtp_sessions_start(block->intake->sessions, block->config, block->section, fd, peer);
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
		config_unref(blocks->items[i].config);
	}
	free(blocks->items);
	free(blocks);
}

static bool
prepare_block(struct block *block, struct intake *intake, const struct config *next, size_t index,
    struct error *err)
{
	const struct submission_config *section = &next->submissions[index];
	char *what = mem_printf("submission %s", section->name);
	bool bound = socket_acquire(intake->pool, &section->listen, SOCK_STREAM, UNIX_MODE, what,
	    &block->sockets, err);

	free(what);
	if (!bound)
		return false;
	block->intake = intake;
	block->config = config_ref(next);
	block->section = section;
	return true;
}

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	struct intake *intake = self;
	struct blocks *blocks = mem_zalloc(sizeof(*blocks));

	blocks->items = mem_array(next->submission_count, sizeof(blocks->items[0]));
	for (size_t i = 0; i < next->submission_count; i++) {
		if (!prepare_block(&blocks->items[i], intake, next, i, err)) {
			free_blocks(intake, blocks);
			return NULL;
		}
		blocks->count++;
	}
	return blocks;
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
