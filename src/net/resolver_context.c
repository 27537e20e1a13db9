/* resolver_context.c - one libunbound on the loop, with the servers and hosts it has read. */
#include "net/resolver_context.h"

#include <arpa/nameser.h>
#include <assert.h>
#include <stdlib.h>

#include <event2/event.h>
#include <unbound-event.h>
#include <unbound.h>

#include "base/error.h"
#include "base/mem.h"
#include "net/loop.h"

struct resolver_context {
	struct loop *loop;
	struct ub_ctx *ctx;
	size_t questions;		/* under way */
	bool is_retired;
	struct loop_task end;		/* never within a callback of libunbound */
};

static void
destroy(void *owner)
{
	struct resolver_context *context = owner;

	ub_ctx_delete(context->ctx);
	free(context);
}

static bool
set_servers(struct ub_ctx *ctx, const char *server, struct error *err)
{
	int failure;

	if (server != NULL) {
		failure = ub_ctx_set_fwd(ctx, server);
		return failure == 0 || error_set(err, ERROR_SYSTEM,
		    "cannot use the DNS server %s: %s", server, ub_strerror(failure));
	}
	/* Without the file the server is the one on this host: resolv.conf(5). */
	if (ub_ctx_resolvconf(ctx, NULL) != 0 && ub_ctx_set_fwd(ctx, "127.0.0.1") != 0)
		return error_set(err, ERROR_SYSTEM, "cannot set up the resolver's servers");
	return true;
}

static bool
set_up(struct ub_ctx *ctx, const char *server, bool with_hosts, struct error *err)
{
	/* A server on this host (systemd-resolved) is as good as any. */
	static char option[] = "do-not-query-localhost:", no[] = "no";
	int failure = ub_ctx_set_option(ctx, option, no);

	if (failure != 0)
		return error_set(err, ERROR_SYSTEM, "cannot set up the resolver: %s",
		    ub_strerror(failure));
	/* What libunbound has to say comes as outcomes; its own lines would go to stderr. */
	ub_ctx_debugout(ctx, NULL);
	if (!set_servers(ctx, server, err))
		return false;
	/* Names of a file that is missing or broken come from the DNS. */
	if (with_hosts)
		(void)ub_ctx_hosts(ctx, NULL);
	return true;
}

struct resolver_context *
resolver_context_new(struct loop *loop, const char *server, bool with_hosts, struct error *err)
{
	struct ub_ctx *ctx = ub_ctx_create_event(loop_base(loop));
	struct resolver_context *context;

	if (ctx == NULL) {
		error_set(err, ERROR_SYSTEM, "cannot make the resolver");
		return NULL;
	}
	if (!set_up(ctx, server, with_hosts, err)) {
		ub_ctx_delete(ctx);
		return NULL;
	}
	context = mem_zalloc(sizeof(*context));
	context->loop = loop;
	context->ctx = ctx;
	context->end = (struct loop_task){ .run = destroy, .owner = context };
	return context;
}

static void
end_if_unused(struct resolver_context *context)
{
	if (context->is_retired && context->questions == 0)
		loop_defer(context->loop, &context->end);
}

void
resolver_context_retire(struct resolver_context *context)
{
	if (context == NULL)
		return;
	context->is_retired = true;
	end_if_unused(context);
}

static void
close_question(struct resolver_question *question)
{
	struct resolver_context *context = question->context;

	question->context = NULL;
	context->questions--;
	end_if_unused(context);
}

static void
on_answer(void *arg, int rcode, void *packet, int len, int sec, char *why_bogus, int limited)
{
	struct resolver_question *question = arg;

	(void)why_bogus;
	(void)limited;
	close_question(question);
	question->answer(question->owner, rcode, packet,
	    packet != NULL && len > 0 ? (size_t)len : 0, sec == 1);
}

bool
resolver_context_ask(struct resolver_context *context, const char *name, int type,
    struct resolver_question *question, const char **why)
{
	int failure;

	assert(!context->is_retired && question->context == NULL);
	question->context = context;
	context->questions++;
	failure = ub_resolve_event(context->ctx, name, type, ns_c_in, question, on_answer,
	    &question->id);
	if (failure == 0)
		return true;
	close_question(question);
	*why = ub_strerror(failure);
	return false;
}

void
resolver_context_cancel(struct resolver_question *question)
{
	if (question->context == NULL)
		return;
	ub_cancel(question->context->ctx, question->id);
	close_question(question);
}
