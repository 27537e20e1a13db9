/* resolver_context.h - one libunbound on the loop, with the servers and hosts it has read. */
#ifndef HERALD_NET_RESOLVER_CONTEXT_H
#define HERALD_NET_RESOLVER_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct error;
struct loop;
struct resolver_context;

/* `server`: "192.0.2.53" or "127.0.0.1@5300" alone is asked; NULL: those of resolv.conf(5).
 * with_hosts: names of hosts(5) have what that file says, and no record of another type. */
struct resolver_context *resolver_context_new(struct loop *loop, const char *server,
    bool with_hosts, struct error *err);
/* Takes no question any more; it goes at the end of a turn, when none is under way.  NULL is
 * allowed. */
void resolver_context_retire(struct resolver_context *context);

/* libunbound's own failure, or 0 and the packet; `bogus`: DNSSEC says that it lies. */
typedef void resolver_context_answer(void *owner, int failure, const void *octets, size_t len,
    bool bogus);

/* Embedded in its owner; under way while `context` is not NULL.  The answer may come before
 * resolver_context_ask() has returned. */
struct resolver_question {
	struct resolver_context *context;
	int id;
	resolver_context_answer *answer;
	void *owner;
};

/* False: not asked, and *why is static text. */
bool resolver_context_ask(struct resolver_context *context, const char *name, int type,
    struct resolver_question *question, const char **why) __attribute__((warn_unused_result));
void resolver_context_cancel(struct resolver_question *question);	/* if it is under way */

#endif
