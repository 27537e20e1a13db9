/* control_verbs.c - finds what a verb of the control socket asks for, and what all verbs share. */
#include "daemon/control_verbs.h"

#include "base/error.h"
#include "daemon/control.h"
#include "queue/queue.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

void
control_succeed(struct control_request *request, json_t *result)
{
	request->answer(request, json_pack("{s:b, s:o}", "ok", 1, "result", result));
}

void
control_refuse(struct control_request *request, int exit_code, const char *why)
{
	request->answer(request, json_pack("{s:b, s:s, s:i}", "ok", 0, "error", why, "exit",
	    exit_code));
}

void
control_refuse_for(struct control_request *request, const struct error *err)
{
	control_refuse(request, err->kind == ERROR_CONFIG ? EX_DATAERR : EX_TEMPFAIL, err->text);
}

const char *
control_text(const struct control_request *request, const char *name)
{
	return json_string_value(json_object_get(request->arguments, name));
}

json_int_t
control_number(const struct control_request *request, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(request->arguments, name));

	return value > 0 ? value : 0;
}

/* Users see how it goes with the mail, not with the administrator's services and relays. */
static json_t *
short_status(json_t *whole)
{
	static const char *const counts[] = { "messages", "active", "deferred", "held", "parked",
		"oldest_seconds" };
	const json_t *queue = json_object_get(whole, "queue");
	json_t *few = json_object();

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		json_object_set(few, counts[i], json_object_get(queue, counts[i]));
	return json_pack("{s:O, s:O, s:O, s:O, s:o}",
	    "version", json_object_get(whole, "version"),
	    "uptime", json_object_get(whole, "uptime"),
	    "healthy", json_object_get(whole, "healthy"),
	    "stopping", json_object_get(whole, "stopping"), "queue", few);
}

static void
serve_status(struct control_request *request)
{
	const struct control_context *context = request->context;
	json_t *whole = context->handlers->status(context->daemon);

	if (request->is_admin) {
		control_succeed(request, whole);
		return;
	}
	control_succeed(request, short_status(whole));
	json_decref(whole);
}

static void
serve_health(struct control_request *request)
{
	control_succeed(request, json_pack("{s:b}", "healthy",
	    queue_healthy(request->context->parts->queue)));
}

static void
serve_reload(struct control_request *request)
{
	const struct control_context *context = request->context;
	struct error err;

	if (context->handlers->reload(context->daemon, &err))
		control_succeed(request, context->handlers->status(context->daemon));
	else
		control_refuse(request, EX_CONFIG, err.text);
}

static const struct verb {
	const char *name;
	void (*serve)(struct control_request *request);
	bool for_users;			/* and not for admins alone */
} verbs[] = {
	{ "status", serve_status, true },
	{ "health", serve_health, true },
	{ "reload", serve_reload, false },
	{ "queue list", control_queue_list, true },
	{ "queue show", control_queue_show, false },
	{ "queue content", control_queue_content, false },
	{ "queue retry", control_queue_act, false },
	{ "queue hold", control_queue_act, false },
	{ "queue release", control_queue_act, false },
	{ "queue remove", control_queue_act, false },
	{ "queue bounce", control_queue_act, false },
	{ "queue reroute", control_queue_act, false },
	{ "trace", control_trace, false },
	{ "relays", control_relays, false },
	{ "relay pause", control_relay_pause, false },
	{ "relay resume", control_relay_resume, false },
	{ "route", control_route, false },
	{ "probe", control_probe, false },
	{ "rewrite", control_rewrite, false },
};

static void
serve(struct control_request *request, const struct verb *verb)
{
	char why[128];

	if (request->is_admin || verb->for_users) {
		verb->serve(request);
		return;
	}
	snprintf(why, sizeof(why), "%s: not permitted, only root and the user of heraldd may do "
	    "that", verb->name);
	control_refuse(request, EX_NOPERM, why);
}

void
control_serve(struct control_request *request)
{
	const char *name = control_text(request, "verb");

	for (size_t i = 0; name != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(name, verbs[i].name) == 0) {
			serve(request, &verbs[i]);
			return;
		}
	}
	control_refuse(request, EX_USAGE, name == NULL
	    ? "a request is one JSON object with a \"verb\"" : "unknown verb");
}
