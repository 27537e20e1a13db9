/* control_verbs.h - what each verb of the control socket does. */
#ifndef HERALD_DAEMON_CONTROL_VERBS_H
#define HERALD_DAEMON_CONTROL_VERBS_H

#include <jansson.h>

struct client;
struct control_handlers;
struct queue;

struct control_context {
	struct queue *queue;
	const struct control_handlers *handlers;
	void *daemon;
};

/* One request on its way.  Ended by exactly one call of answer(), which consumes the
 * reply and frees the request. */
struct control_request {
	struct client *client;		/* NULL: it has gone, the answer is for nobody */
	json_t *arguments;		/* the whole request; NULL: it was not JSON */
	void (*answer)(struct control_request *request, json_t *reply);
	const struct control_context *context;
};

/* Answers at once or from the loop. */
void control_serve(const struct control_context *context, struct control_request *request);

#endif
