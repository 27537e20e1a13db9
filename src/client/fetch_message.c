/* fetch_message.c - one message on its way: cut into parts, printed, saved. */
#include "client/fetch_message.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "client/client_html_text.h"
#include "client/client_progress.h"
#include "client/fetch_json.h"
#include "client/fetch_mime.h"
#include "client/fetch_name.h"
#include "client/fetch_print.h"
#include "client/fetch_save.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define TEXT_COLUMNS	78	/* of HTML as text: RFC 5322 2.1.1 */

/* Octets of a name, to be told: files have no longer ones, and a message could be made of nothing
 * else. */
#define NAME_KEPT_MAX	512

/* A leaf that is saved. */
struct leaf {
	char *type, *name, *content_id;
	struct fetch_save_part *file;
};

struct fetch_message {
	struct fetch_message_settings settings;
	unsigned number;
	uint64_t size, received;
	struct fetch_mime *mime;
	struct client_html_text *html;		/* of the shown part that is open */
	struct fetch_save_part *open, *whole;	/* the leaf being written; the message as it is */
	struct leaf *leaves;
	size_t leaf_count;
	char *from, *date, *subject;		/* for the line of a list */
	char what[32];
	struct client_progress progress;
	bool is_shown;				/* the open part is */
	bool has_text;				/* one was shown before */
	bool has_faults, has_failed;
	struct error err;			/* of has_failed */
};

static bool
is_for_people(const struct fetch_message *message)
{
	return message->settings.printer != NULL && !message->settings.is_again;
}

/* A file cannot be written; the rest of the message is read and dropped. */
static void
fail_file(struct fetch_message *message)
{
	message->has_failed = true;
	message->open = NULL;
}

static void
note_fault(struct fetch_message *message, const char *text)
{
	client_progress_end(&message->progress);
	message->has_faults = true;
	fetch_json_fault(message->settings.json, text);
}

void
fetch_message_fault(struct fetch_message *message, const char *text)
{
	note_fault(message, text);
	client_fail(0, "message %u: %s", message->number, text);
}

/* --- what the message is made of --- */

static void
put_strings(struct fetch_json *json, const struct fetch_header *header)
{
	fetch_json_string(json, "from", header->from);
	fetch_json_string(json, "to", header->to);
	fetch_json_string(json, "cc", header->cc);
	fetch_json_string(json, "subject", header->subject);
	fetch_json_string(json, "date", header->date);
	fetch_json_string(json, "sender_local_part", header->sender_local_part);
	fetch_json_string(json, "recipient_local_part", header->recipient_local_part);
	fetch_json_string(json, "message_id", header->message_id);
}

static char *
copy(const char *text)
{
	return mem_strdup(text != NULL ? text : "");
}

static void
on_header(void *owner, const struct fetch_header *header)
{
	struct fetch_message *message = owner;
	struct fetch_printer *printer = message->settings.printer;

	put_strings(message->settings.json, header);
	if (message->settings.save == NULL && printer != NULL) {
		message->from = copy(header->from);
		message->date = copy(header->date);
		message->subject = copy(header->subject);
	}
	if (message->settings.save == NULL || !is_for_people(message))
		return;
	fetch_print_field(printer, "From", header->from);
	fetch_print_field(printer, "To", header->to);
	fetch_print_field(printer, "Cc", header->cc);
	fetch_print_field(printer, "Subject", header->subject);
	fetch_print_field(printer, "Date", header->date);
	fetch_print_field(printer, "Recipient's local part", header->recipient_local_part);
	fetch_print_field(printer, "Sender's local part", header->sender_local_part);
}

static void
on_text(void *owner, const char *octets, size_t len)
{
	struct fetch_message *message = owner;

	fetch_json_text(message->settings.json, octets, len);
	if (is_for_people(message))
		fetch_print_text(message->settings.printer, octets, len);
}

static void
begin_text(struct fetch_message *message, const struct fetch_part *part)
{
	client_progress_end(&message->progress);
	message->is_shown = true;
	if (message->has_text)
		fetch_json_text(message->settings.json, "\n", 1);
	message->has_text = true;
	if (is_for_people(message))
		fetch_print_line(message->settings.printer, "%s", "");
	if (part->is_html)
		message->html = client_html_text_new(TEXT_COLUMNS, on_text, message);
}

static bool
is_wanted(const struct fetch_message *message, const struct fetch_part *part)
{
	if (message->settings.save == NULL || message->has_failed)
		return false;
	if (!message->settings.attachments_only)
		return true;
	return !part->is_shown && (part->disposition == FETCH_DISPOSITION_ATTACHMENT ||
	    (part->name != NULL && part->disposition != FETCH_DISPOSITION_INLINE));
}

/* Text has taken the place of it. */
static void
show_progress_again(struct fetch_message *message)
{
	const int64_t began = message->progress.began;

	if (!message->settings.is_progress_shown || message->progress.is_on)
		return;
	client_progress_start(&message->progress, message->what, message->size);
	message->progress.began = began;
}

/* NULL stays NULL. */
static char *
start_of_name(const char *name)
{
	if (name == NULL)
		return NULL;
	return mem_strndup(name, text_utf8_cut(name, strlen(name), NAME_KEPT_MAX));
}

static bool
begin_leaf(struct fetch_message *message, const struct fetch_part *part)
{
	const size_t count = message->leaf_count;
	char name[FETCH_NAME_MAX + 1];
	struct leaf *leaf;

	fetch_name_safe(part->name, part->type, part->number, name);
	message->open = fetch_save_begin(message->settings.save, name, &message->err);
	if (message->open == NULL) {
		fail_file(message);
		return false;
	}
	if ((count & (count - 1)) == 0)
		message->leaves =
		    mem_grow(message->leaves, count == 0 ? 1 : count * 2, sizeof(*leaf));
	leaf = &message->leaves[message->leaf_count++];
	leaf->type = mem_strdup(part->type);
	leaf->name = start_of_name(part->name);
	leaf->content_id = start_of_name(part->content_id);
	leaf->file = message->open;
	return true;
}

static bool
on_part(void *owner, const struct fetch_part *part)
{
	struct fetch_message *message = owner;

	message->is_shown = false;
	if (!is_wanted(message, part))
		return false;
	if (part->is_shown) {
		begin_text(message, part);
		return true;
	}
	show_progress_again(message);
	return begin_leaf(message, part);
}

static void
on_content(void *owner, const char *octets, size_t len)
{
	struct fetch_message *message = owner;

	if (message->html != NULL)
		client_html_text_feed(message->html, octets, len);
	else if (message->is_shown)
		on_text(message, octets, len);
	else if (message->open != NULL &&
	    !fetch_save_write(message->open, octets, len, &message->err))
		fail_file(message);
}

static void
on_part_end(void *owner)
{
	struct fetch_message *message = owner;

	if (message->html != NULL)
		client_html_text_end(message->html);
	client_html_text_free(message->html);
	message->html = NULL;
	if (message->is_shown && is_for_people(message))
		fetch_print_text_end(message->settings.printer);
	message->is_shown = false;
	if (message->open != NULL && !fetch_save_end(message->open, &message->err))
		fail_file(message);
	message->open = NULL;
}

static void
on_fault(void *owner, const char *text)
{
	struct fetch_message *message = owner;

	/* TOP 0 cuts every multipart short. */
	if (message->settings.save == NULL)
		return;
	if (message->settings.is_again)
		note_fault(message, text);
	else
		fetch_message_fault(message, text);
}

/* --- from its first octet to its last --- */

struct fetch_message *
fetch_message_new(const struct fetch_message_settings *settings, unsigned number, uint64_t size,
    const char *uidl)
{
	static const struct fetch_mime_events events = {
		.on_header = on_header,
		.on_part = on_part,
		.on_content = on_content,
		.on_part_end = on_part_end,
		.on_fault = on_fault,
	};
	struct fetch_message *message = mem_zalloc(sizeof(*message));

	message->settings = *settings;
	message->number = number;
	message->size = size;
	message->mime = fetch_mime_new(NULL, &events, message);
	fetch_json_message(settings->json, number, size, uidl);
	if (settings->is_progress_shown) {
		snprintf(message->what, sizeof(message->what), "message %u", number);
		client_progress_start(&message->progress, message->what, size);
	}
	if (settings->save != NULL && is_for_people(message)) {
		fetch_print_line(settings->printer, "%s", "");
		fetch_print_line(
		    settings->printer, "Message %u, %" PRIu64 " octets", number, size);
	}
	if (settings->save_message && settings->save != NULL) {
		char name[FETCH_NAME_MAX + 1];

		snprintf(name, sizeof(name), "message-%u.eml", number);
		message->whole = fetch_save_begin(settings->save, name, &message->err);
		message->has_failed = message->whole == NULL;
	}
	return message;
}

void
fetch_message_drop(struct fetch_message *message)
{
	client_progress_end(&message->progress);
	if (message->is_shown && is_for_people(message))
		fetch_print_text_end(message->settings.printer);
	message->is_shown = false;
	if (message->settings.save != NULL)
		fetch_save_abandon(message->settings.save);
	fetch_json_message_end(message->settings.json, false, false);
}

void
fetch_message_free(struct fetch_message *message)
{
	if (message == NULL)
		return;
	client_progress_end(&message->progress);
	client_html_text_free(message->html);
	fetch_mime_free(message->mime);
	if (message->settings.save != NULL)
		fetch_save_abandon(message->settings.save);
	for (size_t i = 0; i < message->leaf_count; i++) {
		free(message->leaves[i].type);
		free(message->leaves[i].name);
		free(message->leaves[i].content_id);
	}
	free(message->leaves);
	free(message->from);
	free(message->date);
	free(message->subject);
	free(message);
}

uint64_t
fetch_message_received(const struct fetch_message *message)
{
	return message->received;
}

void
fetch_message_feed(struct fetch_message *message, const char *octets, size_t len,
    bool is_dropped)
{
	message->received += len;
	if (is_dropped)
		return;
	if (message->whole != NULL && !message->has_failed &&
	    !fetch_save_write(message->whole, octets, len, &message->err))
		fail_file(message);
	fetch_mime_feed(message->mime, octets, len);
	if (!message->is_shown)
		client_progress_to(&message->progress, message->received);
}

static void
tell_saved(const struct fetch_message *message, struct fetch_save_part *file, const char *type)
{
	fetch_print_line(message->settings.printer, "Saved: %s (%s, %" PRIu64 " octets)",
	    fetch_save_final_name(file), type, fetch_save_size(file));
}

static void
tell_files(const struct fetch_message *message)
{
	struct fetch_json *json = message->settings.json;

	if (message->settings.printer != NULL && message->leaf_count + (message->whole != NULL) > 0)
		fetch_print_line(message->settings.printer, "%s", "");
	for (size_t i = 0; i < message->leaf_count; i++) {
		const struct leaf *leaf = &message->leaves[i];

		fetch_json_part(json, leaf->type, leaf->name, fetch_save_final_name(leaf->file),
		    fetch_save_size(leaf->file), leaf->content_id);
		tell_saved(message, leaf->file, leaf->type);
	}
	fetch_json_string(json, "message_file",
	    message->whole != NULL ? fetch_save_final_name(message->whole) : NULL);
	if (message->whole != NULL)
		tell_saved(message, message->whole, "message/rfc822");
}

static void
end_list_line(const struct fetch_message *message)
{
	fetch_print_row(message->settings.printer, message->number, message->size,
	    (const char *[]){ message->date, message->from, message->subject });
	fetch_json_message_end(message->settings.json, false, false);
}

/* What was printed has arrived, everything is in files, and those have their names. */
static bool
commit(struct fetch_message *message, const char *key)
{
	const enum fetch_after after =
	    message->settings.deletes ? FETCH_AFTER_DELETE : FETCH_AFTER_KEEP;

	if (message->has_failed)
		return false;
	if (message->whole != NULL && !fetch_save_end(message->whole, &message->err))
		return false;
	return fetch_save_commit(
	    message->settings.save, key, message->size, after, &message->err);
}

enum fetch_outcome
fetch_message_end(struct fetch_message *message, const char *key, int *exit_code)
{
	const struct fetch_message_settings *settings = &message->settings;

	fetch_mime_end(message->mime);
	client_progress_end(&message->progress);
	if (settings->save == NULL) {
		end_list_line(message);
		return FETCH_OUTCOME_DONE;
	}
	if (message->has_faults)
		*exit_code = EX_DATAERR;
	if ((message->has_faults || fetch_json_is_truncated(settings->json)) &&
	    settings->deletes && !settings->save_message) {
		fetch_save_abandon(settings->save);
		return FETCH_OUTCOME_AGAIN;
	}
	fetch_json_text_end(settings->json);
	/* client_flush() says it at the end. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		*exit_code = EX_IOERR;
		fetch_message_drop(message);
		return FETCH_OUTCOME_FAILED;
	}
	if (!commit(message, key)) {
		*exit_code = fetch_save_exit_code(settings->save);
		fetch_message_fault(message, message->err.text);
		fetch_message_drop(message);
		return FETCH_OUTCOME_FAILED;
	}
	tell_files(message);
	fetch_json_message_end(settings->json, true, settings->deletes);
	fetch_save_abandon(settings->save);
	return FETCH_OUTCOME_DONE;
}
