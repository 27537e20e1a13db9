/* control_verbs.c - what each verb of the control socket does. */
#include "daemon/control_verbs.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "daemon/control.h"
#include "mail/envelope.h"
#include "queue/content.h"
#include "queue/queue.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define CONTENT_SHOWN_MAX	(1024 * 1024)	/* octets of mail data that `queue show` gives */

static void
succeed(struct control_request *request, json_t *result)
{
	request->answer(request, json_pack("{s:b, s:o}", "ok", 1, "result", result));
}

static void
refuse(struct control_request *request, int exit_code, const char *why)
{
	request->answer(request, json_pack("{s:b, s:s, s:i}", "ok", 0, "error", why, "exit",
	    exit_code));
}

/* A filter that makes no sense is the caller's; anything else passes. */
static void
refuse_for(struct control_request *request, const struct error *err)
{
	refuse(request, err->kind == ERROR_CONFIG ? EX_DATAERR : EX_TEMPFAIL, err->text);
}

static const char *
text_argument(const struct control_request *request, const char *name)
{
	return json_string_value(json_object_get(request->arguments, name));
}

static json_int_t
number_argument(const struct control_request *request, const char *name)
{
	json_int_t value = json_integer_value(json_object_get(request->arguments, name));

	return value > 0 ? value : 0;
}

static struct queue_filter
filter_of(const struct control_request *request)
{
	struct queue_filter filter = {
		.queue_id = text_argument(request, "id"),
		.state = text_argument(request, "state"),
		.sender = text_argument(request, "sender"),
		.recipient = text_argument(request, "recipient"),
		.relay = text_argument(request, "relay"),
		.older = number_argument(request, "older"),
		.limit = (size_t)number_argument(request, "limit"),
	};

	return filter;
}

static json_t *
recipient_json(const struct recipient *recipient)
{
	char address[ADDRESS_TEXT_MAX + 1], reply[STATUS_TEXT_MAX + 32];
	bool waits = recipient->state == RECIPIENT_DEFERRED;

	status_text(&recipient->last, reply, sizeof(reply));
	return json_pack("{s:s, s:s, s:I, s:o, s:s, s:s}",
	    "address", address_text(&recipient->forward_path, address),
	    "state", recipient_state_name(recipient->state),
	    "attempts", (json_int_t)recipient->attempts,
	    "next_attempt", waits ? json_integer(recipient->next_attempt) : json_null(),
	    "reply", recipient->attempts > 0 ? reply : "",
	    "relay", recipient->relay);
}

static json_t *
message_json(const struct envelope *envelope)
{
	char sender[ADDRESS_TEXT_MAX + 1];
	json_t *recipients = json_array();

	for (size_t i = 0; i < envelope->recipient_count; i++)
		json_array_append_new(recipients, recipient_json(&envelope->recipients[i]));
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:o}",
	    "id", envelope->queue_id,
	    "sender", address_text(&envelope->reverse_path, sender),
	    "size", (json_int_t)envelope->size,
	    "age_seconds", (json_int_t)(clock_now() - envelope->arrived),
	    "arrived", (json_int_t)envelope->arrived,
	    "expires", (json_int_t)envelope->expires,
	    "recipients", recipients);
}

static void
on_listed(void *arg, struct envelope *const *messages, size_t count, const struct error *err)
{
	struct control_request *request = arg;
	json_t *list;

	if (err != NULL) {
		refuse_for(request, err);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, message_json(messages[i]));
	succeed(request, list);
}

static void
serve_status(struct control_request *request)
{
	const struct control_context *context = request->context;

	succeed(request, context->handlers->status(context->daemon));
}

static void
serve_reload(struct control_request *request)
{
	const struct control_context *context = request->context;
	struct error err;

	if (context->handlers->reload(context->daemon, &err))
		succeed(request, context->handlers->status(context->daemon));
	else
		refuse(request, EX_CONFIG, err.text);
}

static void
serve_queue_list(struct control_request *request)
{
	struct queue_filter filter = filter_of(request);

	queue_list(request->context->queue, &filter, on_listed, request);
}

/* The mail data, or its header block, as a text where it is UTF-8 and else with what is
 * not UTF-8 replaced: JSON has no octets. */
static json_t *
content_json(const struct content *content, bool header_only)
{
	size_t size = content_size(content) > CONTENT_SHOWN_MAX ? CONTENT_SHOWN_MAX
	    : (size_t)content_size(content), got = 0, used = 0;
	char *octets = mem_alloc(size + 1);
	struct error err;
	const char *end;
	json_t *text;

	while (used < size && content_read(content, used, octets + used, size - used, &got, &err) &&
	    got > 0)
		used += got;
	end = header_only ? memmem(octets, used, "\r\n\r\n", 4) : NULL;
	if (end != NULL)
		used = (size_t)(end - octets) + 2;
	text = json_stringn(octets, used);
	if (text == NULL) {
		for (size_t i = 0; i < used; i++)
			if ((unsigned char)octets[i] >= 0x80)
				octets[i] = '?';
		text = json_stringn_nocheck(octets, used);
	}
	free(octets);
	return text;
}

static void
on_loaded(void *arg, struct content *content, const struct error *err)
{
	struct control_request *request = arg;
	bool header_only = json_is_true(json_object_get(request->arguments, "headers"));

	if (content == NULL)
		refuse_for(request, err);
	else
		succeed(request, content_json(content, header_only));
}

static void
serve_queue_content(struct control_request *request)
{
	const char *queue_id = text_argument(request, "id");

	if (queue_id == NULL)
		refuse(request, EX_USAGE, "queue content needs an id");
	else
		queue_load(request->context->queue, queue_id, on_loaded, request);
}

static void
on_acted(void *arg, uint64_t changed, const struct error *err)
{
	struct control_request *request = arg;

	if (err != NULL)
		refuse_for(request, err);
	else
		succeed(request, json_integer((json_int_t)changed));
}

/* An empty text or a number that is none would narrow nothing: "--sender $UNSET" is not to
 * remove all mail. */
static bool
filters_narrow(const struct control_request *request)
{
	static const char *const texts[] = { "id", "state", "sender", "recipient", "relay" };
	const json_t *older = json_object_get(request->arguments, "older");

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (json_object_get(request->arguments, texts[i]) != NULL &&
		    json_string_length(json_object_get(request->arguments, texts[i])) == 0)
			return false;
	return older == NULL || json_integer_value(older) > 0;
}

/* All messages only when that was said: an empty filter by mistake acts on nothing. */
static void
act(struct control_request *request, enum queue_action action)
{
	struct queue_filter filter = filter_of(request);
	bool all = json_is_true(json_object_get(request->arguments, "all"));

	if (filter.queue_id == NULL && !all)
		refuse(request, EX_USAGE, "needs an id or --all");
	else if (!filters_narrow(request))
		refuse(request, EX_USAGE, "a filter is empty");
	else if (json_object_get(request->arguments, "limit") != NULL)
		refuse(request, EX_USAGE, "a limit is for queue list alone");
	else
		queue_act(request->context->queue, action, &filter, on_acted, request);
}

static void
serve_queue_retry(struct control_request *request)
{
	act(request, QUEUE_RETRY);
}

static void
serve_queue_remove(struct control_request *request)
{
	act(request, QUEUE_REMOVE);
}

static const struct verb {
	const char *name;
	void (*serve)(struct control_request *request);
} verbs[] = {
	{ "status", serve_status },
	{ "reload", serve_reload },
	{ "queue list", serve_queue_list },
	{ "queue content", serve_queue_content },
	{ "queue retry", serve_queue_retry },
	{ "queue remove", serve_queue_remove },
};

void
control_serve(const struct control_context *context, struct control_request *request)
{
	const char *name = text_argument(request, "verb");

	request->context = context;
	for (size_t i = 0; name != NULL && i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(name, verbs[i].name) == 0) {
			verbs[i].serve(request);
			return;
		}
	}
	refuse(request, EX_USAGE, name == NULL ? "a request is one JSON object with a \"verb\""
	    : "unknown verb");
}
