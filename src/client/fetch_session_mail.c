/* fetch_session_mail.c - a visit to a mailbox: one message after the other. */
#include "client/fetch_session_parts.h"

#include "base/text.h"
#include "client/client.h"
#include "client/fetch_json.h"
#include "client/fetch_message.h"
#include "client/fetch_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <sysexits.h>

#define AHEAD		4	/* RETR and TOP that are given before their turn, for pipelining */
#define TEXT_MAX	1000	/* octets of a server's words, printable */
#define HEADER_MAX	(16 * 1024 * 1024)	/* octets that TOP may bring */
#define SLACK		(1024 * 1024)	/* octets by which LIST may be wrong anyway */

/* --- which message is next --- */

static void
leave(struct fetch_session *session, unsigned number, uint64_t size, const char *why)
{
	struct fetch_json *json = session->params->json;

	client_fail(0, "message %u: %s", number, why);
	fetch_session_note(session, EX_DATAERR);
	if (session->message != NULL) {
		fetch_json_fault(json, why);
		fetch_message_drop(session->message);
		return;
	}
	fetch_json_message(json, number, size, session->mailbox.entries[number].uidl);
	fetch_json_fault(json, why);
	fetch_json_message_end(json, false, false);
}

static void
leave_as_too_large(struct fetch_session *session, unsigned number, uint64_t size)
{
	char why[100];

	snprintf(why, sizeof(why), "left on the server: %" PRIu64 " octets, --max-size is %" PRIu64,
	    size, session->params->max_size);
	leave(session, number, size, why);
}

static bool
is_too_large(const struct fetch_session *session, uint64_t size)
{
	return session->params->max_size > 0 && size > session->params->max_size;
}

void
fetch_session_give(struct fetch_session *session)
{
	struct fetch_mailbox *mailbox = &session->mailbox;

	while (session->ahead < AHEAD && session->next <= mailbox->highest &&
	    !session->is_stopping) {
		const unsigned number = session->next++;
		const struct fetch_entry *entry = &mailbox->entries[number];

		if (entry->choice == FETCH_LEAVE)
			continue;
		session->ahead++;
		if (session->params->is_list)
			pop3_client_top(session->client, number, 0);
		else if (entry->choice == FETCH_ONLY_DELETE)
			pop3_client_delete(session->client, number);
		else if (!is_too_large(session, entry->size))
			pop3_client_retrieve(session->client, number);
		else {
			session->ahead--;
			leave_as_too_large(session, number, entry->size);
		}
	}
	if (session->ahead > 0 || session->is_quitting)
		return;
	session->is_quitting = true;
	pop3_client_quit(session->client);
}

/* --- one message --- */

static void
begin_message(struct fetch_session *session, unsigned number)
{
	const struct fetch_params *params = session->params;
	const struct fetch_entry *entry = &session->mailbox.entries[number];
	const struct fetch_message_settings settings = {
		.printer = params->printer,
		.json = params->json,
		.save = params->is_list ? NULL : session->save,
		.attachments_only = params->attachments_only,
		.save_message = params->save_message || entry->is_whole_wanted,
		.deletes = params->deletes,
		.is_again = entry->is_whole_wanted,
		.is_progress_shown = !params->is_debug && !params->is_list,
	};

	session->is_left = false;
	session->number = number;
	session->message = fetch_message_new(&settings, number, entry->size, entry->uidl);
}

static void
end_message(struct fetch_session *session)
{
	fetch_message_free(session->message);
	session->message = NULL;
	session->number = 0;
}

/* The server goes on and on: only the end of the connection ends that. */
static bool
is_endless(const struct fetch_session *session, uint64_t received)
{
	const uint64_t max_size = session->params->max_size;

	if (session->params->is_list)
		return received > HEADER_MAX;
	return max_size > 0 && received / 2 > max_size + SLACK;
}

void
fetch_session_content(void *owner, unsigned number, const char *octets, size_t len)
{
	struct fetch_session *session = owner;
	uint64_t received;

	if (session->is_stopping)
		return;
	if (session->number != number)
		begin_message(session, number);
	received = fetch_message_received(session->message) + len;
	if (is_endless(session, received))
		fetch_link_stop(&session->link, "a message without an end");
	else
		fetch_message_feed(session->message, octets, len, session->is_left);
	if (!session->is_left && !session->params->is_list && is_too_large(session, received)) {
		session->is_left = true;
		leave_as_too_large(session, number, received);
	}
}

static void
finish_message(struct fetch_session *session, unsigned number)
{
	struct fetch_entry *entry = &session->mailbox.entries[number];
	int exit_code = 0;

	if (session->number != number)
		begin_message(session, number);	/* not one octet came */
	if (session->is_left) {
		end_message(session);
		return;
	}
	switch (fetch_message_end(
	    session->message, fetch_entry_key(entry, session->params->deletes), &exit_code)) {
	case FETCH_OUTCOME_DONE:
		end_message(session);
		if (session->params->deletes) {
			entry->is_owed = true;
			session->ahead++;
			pop3_client_delete(session->client, number);
		}
		break;
	case FETCH_OUTCOME_AGAIN:
		end_message(session);
		entry->is_whole_wanted = true;
		session->ahead++;
		pop3_client_retrieve(session->client, number);
		break;
	case FETCH_OUTCOME_FAILED:
		end_message(session);
		session->is_stopping = true;
		break;
	}
	if (exit_code != 0)
		fetch_session_note(session, exit_code);
}

static char *
printable(char out[TEXT_MAX + 1], const char *text, size_t len)
{
	return text_printable_utf8(out, TEXT_MAX + 1, text, len);
}

static void
refuse(struct fetch_session *session, enum pop3_command command, unsigned number,
    const char *text, size_t len)
{
	char words[TEXT_MAX + 1], why[TEXT_MAX + 100];

	snprintf(why, sizeof(why), "the server refuses %s: %s",
	    command == POP3_RETR	? "it"
		: command == POP3_TOP	? "its header"
					: "to delete it",
	    printable(words, text, len));
	if (command == POP3_DELE) {
		fetch_session_note(session, EX_TEMPFAIL);
		client_fail(0, "message %u: %s", number, why);
		return;
	}
	leave(session, number, session->mailbox.entries[number].size, why);
}

void
fetch_session_done(void *owner, enum pop3_command command, unsigned number, bool good,
    const char *text, size_t len)
{
	struct fetch_session *session = owner;
	struct fetch_entry *entry = &session->mailbox.entries[number];
	const char *key = fetch_entry_key(entry, session->params->deletes);

	session->ahead--;
	if (!good) {
		refuse(session, command, number, text, len);
	} else if (command == POP3_DELE) {
		session->deleted++;
		entry->is_owed = false;
		if (session->state != NULL && key != NULL)
			fetch_state_note_deleted(session->state, key);
	} else if (!session->is_stopping) {
		finish_message(session, number);
	}
	fetch_session_give(session);
}

void
fetch_session_break_off(struct fetch_session *session)
{
	if (session->message == NULL)
		return;
	if (!session->is_left) {
		fetch_message_fault(session->message, "it broke off, and is not saved");
		fetch_message_drop(session->message);
	}
	end_message(session);
}
