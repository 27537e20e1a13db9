/* control_json.c - the shapes in which the control socket tells of messages. */
#include "daemon/control_verbs.h"

#include "base/clock.h"
#include "mail/status.h"
#include "queue/store_driver.h"

#include <stdio.h>
#include <string.h>

#define REPLY_MAX	(STATUS_TEXT_MAX + 32)

static json_t *
time_or_null(int64_t seconds)
{
	return seconds > 0 ? json_integer(seconds) : json_null();
}

static json_t *
recipient_json(const struct recipient *recipient)
{
	char address[ADDRESS_TEXT_MAX + 1], reply[REPLY_MAX];
	bool waits = recipient->state == RECIPIENT_DEFERRED;

	status_text(&recipient->last, reply, sizeof(reply));
	return json_pack("{s:s, s:s, s:I, s:o, s:s, s:s, s:o, s:s}",
	    "address", address_text(&recipient->forward_path, address),
	    "state", recipient_state_name(recipient->state),
	    "attempts", (json_int_t)recipient->attempts,
	    "next_attempt", waits ? json_integer(recipient->next_attempt) : json_null(),
	    "reply", reply,
	    "relay", recipient->relay,
	    "last_attempt", time_or_null(recipient->last_at),
	    "chosen_relay", recipient->chosen_relay);
}

static const char *
or_empty(const char *text)
{
	return text != NULL ? text : "";
}

/* All but the recipients. */
static json_t *
envelope_json(const struct envelope *envelope)
{
	char sender[ADDRESS_TEXT_MAX + 1];
	bool has_uid = envelope->uid != ENVELOPE_NO_UID;

	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:o}",
	    "id", envelope->queue_id,
	    "sender", address_text(&envelope->reverse_path, sender),
	    "size", (json_int_t)envelope->size,
	    "age_seconds", (json_int_t)(clock_now() - envelope->arrived),
	    "arrived", (json_int_t)envelope->arrived,
	    "expires", (json_int_t)envelope->expires,
	    "message_id", or_empty(envelope->message_id),
	    "envid", or_empty(envelope->envid),
	    "uid", has_uid ? json_integer((json_int_t)envelope->uid) : json_null());
}

json_t *
control_message_json(const struct envelope *envelope)
{
	json_t *message = envelope_json(envelope), *recipients = json_array();

	for (size_t i = 0; i < envelope->recipient_count; i++)
		json_array_append_new(recipients, recipient_json(&envelope->recipients[i]));
	json_object_set_new(message, "recipients", recipients);
	return message;
}

/* --- queue show --- */

static json_t *
attempt_json(const struct attempt *attempt)
{
	char reply[REPLY_MAX];

	return json_pack("{s:I, s:s, s:s, s:s, s:s, s:b}",
	    "at", (json_int_t)attempt->at,
	    "relay", attempt->relay,
	    "tls", attempt->tls,
	    "step", attempt->step,
	    "reply", status_text(&attempt->status, reply, sizeof(reply)),
	    "charged", attempt->charged);
}

/* Why it is where it is, in words; `latest` is its last attempt that is kept, or NULL. */
static void
why_it_waits(const struct recipient *recipient, const struct attempt *latest, char *out,
    size_t size)
{
	int relay = (int)strcspn(recipient->relay, "/");
	/* Of very many attempts the last are not here. */
	bool uncharged = latest != NULL ? !latest->charged :
	    recipient->attempts == 0 && recipient->last_at != 0;

	switch (recipient->state) {
	case RECIPIENT_ACTIVE:
		snprintf(out, size, "in the hands of the relay now");
		return;
	case RECIPIENT_HELD:
		snprintf(out, size, "held by the administrator, until queue release");
		return;
	case RECIPIENT_OWED:
		snprintf(out, size, "its fate is known, the report to the sender is due");
		return;
	case RECIPIENT_PARKED:
		snprintf(out, size, "the report could not be delivered; until queue retry or "
		    "queue remove");
		return;
	case RECIPIENT_DONE:
	case RECIPIENT_DEFERRED:
		break;
	}
	if (uncharged)
		snprintf(out, size, "relay %.*s takes no mail for now; this is not charged as an "
		    "attempt", relay, recipient->relay);
	else if (recipient->attempts > 0)
		snprintf(out, size, "attempt %u was put off by the peer; the time between "
		    "attempts grows up to retry_max", recipient->attempts);
	else
		snprintf(out, size, "not tried yet");
}

/* Where those of the recipient begin: they come by recipient, and a thousand of these with ten
 * thousand attempts are too many to look through for each. */
static size_t
first_attempt(const struct store_attempt *attempts, size_t count, int64_t recipient_id)
{
	size_t below = 0;

	while (below < count) {
		size_t middle = below + (count - below) / 2;

		if (attempts[middle].recipient_id < recipient_id)
			below = middle + 1;
		else
			count = middle;
	}
	return below;
}

static json_t *
shown_recipient(const struct recipient *recipient, const struct store_attempt *attempts,
    size_t count)
{
	json_t *object = recipient_json(recipient), *history = json_array();
	const struct attempt *latest = NULL;
	char why[160];

	for (size_t i = first_attempt(attempts, count, recipient->id);
	    i < count && attempts[i].recipient_id == recipient->id; i++) {
		latest = &attempts[i].attempt;
		json_array_append_new(history, attempt_json(latest));
	}
	why_it_waits(recipient, latest, why, sizeof(why));
	json_object_set_new(object, "why", json_string(why));
	json_object_set_new(object, "history", history);
	return object;
}

json_t *
control_shown_json(const struct envelope *envelope, const struct store_attempt *attempts,
    size_t count)
{
	json_t *message = envelope_json(envelope), *recipients = json_array();

	for (size_t i = 0; i < envelope->recipient_count; i++)
		json_array_append_new(recipients,
		    shown_recipient(&envelope->recipients[i], attempts, count));
	json_object_set_new(message, "recipients", recipients);
	return message;
}

/* --- trace --- */

json_t *
control_trace_json(const struct store_trace_row *row)
{
	char reply[REPLY_MAX];

	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:s, s:I, s:s, s:s, s:s, s:s}",
	    "id", row->queue_id,
	    "sender", row->sender,
	    "recipient", row->recipient,
	    "message_id", row->message_id,
	    "size", (json_int_t)row->size,
	    "arrived", (json_int_t)row->arrived,
	    "finished", time_or_null(row->finished),
	    "fate", row->fate,
	    "attempts", (json_int_t)row->attempts,
	    "state", row->finished > 0 ? "" : recipient_state_name(row->state),
	    "relay", row->last.relay,
	    "tls", row->last.tls,
	    "reply", status_text(&row->last.status, reply, sizeof(reply)));
}
