/* control_verbs.c - finds what a verb of the control socket asks for, and what all verbs share. */
#include "daemon/control_verbs.h"

#include "base/error.h"
#include "daemon/control.h"

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

static void
serve_status(struct control_request *request)
{
	const struct control_context *context = request->context;

	control_succeed(request, context->handlers->status(context->daemon));
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
} verbs[] = {
	{ "status", serve_status },
	{ "reload", serve_reload },
	{ "queue list", control_queue_list },
	{ "queue show", control_queue_show },
	{ "queue content", control_queue_content },
	{ "queue retry", control_queue_act },
	{ "queue hold", control_queue_act },
	{ "queue release", control_queue_act },
	{ "queue remove", control_queue_act },
	{ "queue bounce", control_queue_act },
	{ "queue reroute", control_queue_act },
	{ "trace", control_trace },
	{ "relays", control_relays },
	{ "relay pause", control_relay_pause },
	{ "relay resume", control_relay_resume },
	{ "route", control_route },
	{ "probe", control_probe },
};

void
control_serve(struct control_request *request)
{
	const char *name = control_text(request, "verb");

	for (size_t i = 0; name != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(name, verbs[i].name) == 0) {
			verbs[i].serve(request);
			return;
		}
	}
	control_refuse(request, EX_USAGE, name == NULL
	    ? "a request is one JSON object with a \"verb\"" : "unknown verb");
}
