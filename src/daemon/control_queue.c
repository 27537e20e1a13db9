/* control_queue.c - the verbs of the control socket that look at the queue and act on it. */
#include "daemon/control_verbs.h"

#include "base/error.h"
#include "base/mem.h"
#include "daemon/control.h"
#include "queue/content.h"
#include "queue/queue.h"
#include "queue/store_driver.h"
#include "relay/delivery.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define CONTENT_SHOWN_MAX	(1024 * 1024)	/* octets of mail data that `queue show` gives */
#define USER_LIST_MAX		500	/* messages that an ordinary user is told of */

/* False: what was said of the user makes no sense, and the request is refused.  A user who
 * is no admin sees their own mail, whatever they ask for. */
static bool
read_filter(struct control_request *request, struct queue_filter *filter)
{
	const json_t *uid = json_object_get(request->arguments, "uid");
	json_int_t number = json_integer_value(uid);

	*filter = (struct queue_filter){
		.queue_id = control_text(request, "id"),
		.state = control_text(request, "state"),
		.sender = control_text(request, "sender"),
		.recipient = control_text(request, "recipient"),
		.relay = control_text(request, "relay"),
		.by_uid = uid != NULL || !request->is_admin,
		.uid = request->is_admin ? (unsigned)number : request->uid,
		.older = control_number(request, "older"),
		.limit = (size_t)control_number(request, "limit"),
	};
	if (uid == NULL || (json_is_integer(uid) && number >= 0 && number < ENVELOPE_NO_UID))
		return true;
	control_refuse(request, EX_USAGE, "a uid is a number");
	return false;
}

/* --- list, show, content --- */

static void
answer_list(struct control_request *request, struct envelope *const *messages, size_t count,
    const struct error *err)
{
	json_t *list;

	if (err != NULL) {
		control_refuse_for(request, err);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, control_message_json(messages[i]));
	control_succeed(request, list);
}

static void
on_listed(void *arg, struct envelope *const *messages, size_t count, const struct error *err)
{
	answer_list(arg, messages, count, err);
}

/* In a large queue a list is much work for the store: those that ordinary users ask for are
 * made one after the other, the oldest first, so that many cannot hold up the mail. */
static void start_user_list(struct control_context *context, struct control_request *request);

static void
on_user_listed(void *arg, struct envelope *const *messages, size_t count, const struct error *err)
{
	struct control_request *request = arg, *next, *oldest = NULL;
	struct control_context *context = request->context;

	answer_list(request, messages, count, err);
	if (context == NULL)
		return;
	context->user_lists = false;
	LIST_FOREACH(next, &context->requests, entry)
		if (next->waits)
			oldest = next;
	if (oldest != NULL)
		start_user_list(context, oldest);
}

static void
start_user_list(struct control_context *context, struct control_request *request)
{
	struct queue_filter filter;

	request->waits = false;
	if (!read_filter(request, &filter))
		return;
	if (filter.limit == 0 || filter.limit > USER_LIST_MAX)
		filter.limit = USER_LIST_MAX;
	context->user_lists = true;
	queue_list(context->parts->queue, &filter, on_user_listed, request);
}

void
control_queue_cancel(struct control_context *context)
{
	struct control_request *request, *next;

	for (request = LIST_FIRST(&context->requests); request != NULL; request = next) {
		next = LIST_NEXT(request, entry);
		if (request->waits)
			control_refuse(request, EX_TEMPFAIL, "heraldd is stopping");
	}
}

void
control_queue_list(struct control_request *request)
{
	struct queue_filter filter;

	if (!request->is_admin && request->uid == ENVELOPE_NO_UID)
		control_refuse(request, EX_NOPERM, "queue list: your uid is not known");
	else if (!read_filter(request, &filter))
		return;
	else if (!request->is_admin && request->context->user_lists)
		request->waits = true;
	else if (!request->is_admin)
		start_user_list(request->context, request);
	else
		queue_list(request->context->parts->queue, &filter, on_listed, request);
}

static void
on_shown(void *arg, const struct envelope *envelope, const struct store_attempt *attempts,
    size_t count, const struct error *err)
{
	struct control_request *request = arg;

	if (err != NULL)
		control_refuse_for(request, err);
	else if (envelope == NULL)
		control_refuse(request, EX_NOINPUT, "no such message in the queue");
	else
		control_succeed(request, control_shown_json(envelope, attempts, count));
}

void
control_queue_show(struct control_request *request)
{
	const char *queue_id = control_text(request, "id");

	if (queue_id == NULL)
		control_refuse(request, EX_USAGE, "queue show needs an id");
	else
		queue_show(request->context->parts->queue, queue_id, on_shown, request);
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
		control_refuse_for(request, err);
	else
		control_succeed(request, content_json(content, header_only));
}

void
control_queue_content(struct control_request *request)
{
	const char *queue_id = control_text(request, "id");

	if (queue_id == NULL)
		control_refuse(request, EX_USAGE, "queue content needs an id");
	else
		queue_load(request->context->parts->queue, queue_id, on_loaded, request);
}

/* --- acts --- */

static const struct { const char *verb; enum queue_action action; } actions[] = {
	{ "queue retry", QUEUE_RETRY },
	{ "queue hold", QUEUE_HOLD },
	{ "queue release", QUEUE_RELEASE },
	{ "queue remove", QUEUE_REMOVE },
	{ "queue bounce", QUEUE_BOUNCE },
	{ "queue reroute", QUEUE_REROUTE },
};

static enum queue_action
action_of(const struct control_request *request)
{
	const char *verb = control_text(request, "verb");
	size_t i = 0;

	/* control_serve() has found it in its table, which has these all. */
	while (i + 1 < sizeof(actions) / sizeof(actions[0]) && strcmp(verb, actions[i].verb) != 0)
		i++;
	return actions[i].action;
}

static void
on_acted(void *arg, uint64_t changed, const struct error *err)
{
	struct control_request *request = arg;

	if (err != NULL) {
		control_refuse_for(request, err);
		return;
	}
	/* What is due now is to be tried now. */
	if (changed > 0 && request->context != NULL && action_of(request) == QUEUE_RETRY)
		delivery_flush(request->context->parts->delivery);
	control_succeed(request, json_integer((json_int_t)changed));
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
void
control_queue_act(struct control_request *request)
{
	const struct control_parts *parts = request->context->parts;
	struct queue_filter filter;
	bool all = json_is_true(json_object_get(request->arguments, "all"));
	enum queue_action action = action_of(request);
	const char *target = action == QUEUE_REROUTE ? control_text(request, "target") : NULL;

	if (!read_filter(request, &filter))
		return;
	if (filter.queue_id == NULL && !all)
		control_refuse(request, EX_USAGE, "needs an id or --all");
	else if (!filters_narrow(request))
		control_refuse(request, EX_USAGE, "a filter is empty");
	else if (json_object_get(request->arguments, "limit") != NULL)
		control_refuse(request, EX_USAGE, "a limit is for queue list alone");
	else if (action == QUEUE_REROUTE &&
	    (target == NULL || !delivery_has_relay(parts->delivery, target)))
		control_refuse(request, EX_DATAERR, "queue reroute needs the name of a relay of "
		    "the conffile");
	else
		queue_act(parts->queue, action, &filter, target, on_acted, request);
}

/* --- trace --- */

static void
on_traced(void *arg, const struct store_trace_row *rows, size_t count, const struct error *err)
{
	struct control_request *request = arg;
	json_t *list;

	if (err != NULL) {
		control_refuse_for(request, err);
		return;
	}
	list = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, control_trace_json(&rows[i]));
	control_succeed(request, list);
}

void
control_trace(struct control_request *request)
{
	const char *what = control_text(request, "what");

	if (what == NULL || what[0] == '\0')
		control_refuse(request, EX_USAGE, "trace needs an id, an address or a Message-ID");
	else
		queue_trace(request->context->parts->queue, what,
		    (size_t)control_number(request, "limit"), on_traced, request);
}
