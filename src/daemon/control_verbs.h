/* control_verbs.h - what each verb of the control socket does. */
#ifndef HERALD_DAEMON_CONTROL_VERBS_H
#define HERALD_DAEMON_CONTROL_VERBS_H

#include <jansson.h>
#include <sys/queue.h>

#include "mail/envelope.h"

struct client;
struct config;
struct control_handlers;
struct control_parts;
struct error;
struct probing;

struct control_context {
	const struct control_parts *parts;
	const struct control_handlers *handlers;
	void *daemon;
	const struct config *config;	/* in force; a reference */
	LIST_HEAD(, control_request) requests;	/* under way, whether their clients stay or not */
	LIST_HEAD(, probing) probes;	/* under way */
	size_t probe_count;
	bool user_lists;		/* an ordinary user's list is under way */
};

/* One request on its way.  Ended by exactly one call of answer(), which consumes the
 * reply and frees the request. */
struct control_request {
	struct client *client;		/* NULL: it has gone, the answer is for nobody */
	unsigned uid;			/* of who asks */
	bool waits;			/* for the lists of other users */
	bool is_admin;			/* root, or the daemon's user: may ask for all */
	json_t *arguments;		/* the whole request; NULL: it was not JSON */
	void (*answer)(struct control_request *request, json_t *reply);
	struct control_context *context;	/* NULL: all of it has gone, the daemon stops */
	LIST_ENTRY(control_request) entry;
};

/* Answers at once or from the loop.  A user who is no admin gets `health`, a short `status`
 * and, with `queue list`, the mail that they gave themselves; all else is refused, 77. */
void control_serve(struct control_request *request);
/* Ends what only waits for the network; what the queue still has to answer stands alone. */
void control_cancel(struct control_context *context);

/* --- for the files of the verbs --- */

void control_succeed(struct control_request *request, json_t *result);	/* consumes it */
void control_refuse(struct control_request *request, int exit_code, const char *why);
/* A filter that makes no sense is the caller's fault; anything else passes. */
void control_refuse_for(struct control_request *request, const struct error *err);
/* Of the request; NULL where it is not there or no text. */
const char *control_text(const struct control_request *request, const char *name);
/* 0 where it is not there, no number, or negative. */
json_int_t control_number(const struct control_request *request, const char *name);

/* control_queue.c */
void control_queue_cancel(struct control_context *context);	/* lists that wait for others */
void control_queue_list(struct control_request *request);
void control_queue_show(struct control_request *request);
void control_queue_content(struct control_request *request);
void control_queue_act(struct control_request *request);	/* by the verb's second word */
void control_trace(struct control_request *request);

/* control_relay.c */
void control_relays(struct control_request *request);
void control_relay_pause(struct control_request *request);
void control_relay_resume(struct control_request *request);
void control_route(struct control_request *request);
void control_probe(struct control_request *request);

/* control_identity.c */
void control_rewrite(struct control_request *request);

/* control_json.c: the shapes of SPEC 2; new references. */
struct store_attempt;
struct store_trace_row;
json_t *control_message_json(const struct envelope *envelope);
/* With every attempt, and why each recipient waits. */
json_t *control_shown_json(const struct envelope *envelope, const struct store_attempt *attempts,
    size_t count);
json_t *control_trace_json(const struct store_trace_row *row);

#endif
