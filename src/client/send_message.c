/* send_message.c - a mail made of options and files, as it is sent. */
#include "client/send_message.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "client/send_address.h"
#include "client/send_body.h"
#include "client/send_field.h"
#include "client/send_file.h"
#include "client/send_header.h"
#include "client/send_option.h"
#include "client/send_part.h"
#include "client/send_stream.h"
#include "mail/envelope.h"
#include "mail/header.h"
#include "queue/content.h"

#include <gmime/gmime.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sysexits.h>

/* What there is of a mail while it is made. */
struct making {
	const struct send_request *request;
	const char *directory;
	struct send_fault fault;
	struct send_addresses from, to, cc, bcc, reply_to;
	struct send_fields fields;
	char domain[ADDRESS_DOMAIN_MAX + 1];	/* of From, in A-labels */
	char *message_id;
	struct send_body body;
	struct send_message *message;
};

/* --- options --- */

static bool
read_from(struct making *self)
{
	const struct send_request *request = self->request;

	if (request->from == NULL)
		return send_fault_set(&self->fault, EX_USAGE, "--from is missing");
	if (!send_addresses_read(&self->from, "--from", request->from, &self->fault))
		return false;
	if (self->from.count > 1)
		return send_fault_set(&self->fault, EX_DATAERR, "--from has more than one address");
	return address_domain_ascii(&self->from.items[0].address, self->domain) ||
	    send_fault_set(&self->fault, EX_DATAERR, "--from: its domain is no name in the DNS");
}

static bool
read_options(struct making *self)
{
	const struct send_request *request = self->request;
	struct send_fault *fault = &self->fault;

	if (!read_from(self) ||
	    !send_addresses_read_all(&self->to, "--to", &request->to, fault) ||
	    !send_addresses_read_all(&self->cc, "--cc", &request->cc, fault) ||
	    !send_addresses_read_all(&self->bcc, "--bcc", &request->bcc, fault) ||
	    !send_addresses_read_all(&self->reply_to, "--reply-to", &request->reply_to, fault))
		return false;
	if (self->to.count + self->cc.count + self->bcc.count == 0)
		return send_fault_set(fault, EX_USAGE, "nobody is to get it: --to is missing");
	if (request->subject != NULL && !send_option_check("--subject", request->subject, fault))
		return false;
	return send_fields_read(&self->fields, &request->headers, fault);
}

/* --- the envelope --- */

static void
add_recipients(struct envelope *envelope, struct map *known,
    const struct send_addresses *addresses)
{
	char text[ADDRESS_TEXT_MAX + 1];

	for (size_t i = 0; i < addresses->count; i++) {
		const struct address *address = &addresses->items[i].address;

		if (map_get(known, address_text(address, text)) != NULL)
			continue;
		map_put(known, text, envelope);
		envelope_add(envelope, address);
	}
}

static void
make_envelope(struct making *self)
{
	struct envelope *envelope = envelope_new(&self->from.items[0].address);
	struct map *known = map_new();
	const bool in_header = self->from.needs_utf8 || self->to.needs_utf8 ||
	    self->cc.needs_utf8 || self->reply_to.needs_utf8 || self->fields.needs_utf8;

	add_recipients(envelope, known, &self->to);
	add_recipients(envelope, known, &self->cc);
	add_recipients(envelope, known, &self->bcc);
	map_free(known);
	envelope->smtputf8 = in_header || self->bcc.needs_utf8;
	envelope->body_8bit = in_header;	/* RFC 6531 3.6 */
	self->message->envelope = envelope;
}

static void
make_message_id(struct making *self)
{
	const char *given = send_fields_value(&self->fields, "Message-ID");
	uint64_t random;

	if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		abort();	/* the kernel has none: there is no such Linux */
	self->message_id = given != NULL ? mem_strdup(given) :
	    mem_printf("<%016" PRIx64 ".%" PRId64 "@%s>", random, clock_now(), self->domain);
	self->message->envelope->message_id = envelope_keep(self->message->envelope,
	    self->message_id, strlen(self->message_id));
}

/* --- the header --- */

static void
put_field(GMimeObject *object, const char *name, const char *value)
{
	struct send_header header;

	send_header_begin(&header, name);
	send_header_text(&header, value);
	send_part_set_header(object, name, &header);
}

static void
put_addresses(GMimeObject *object, const char *name, const struct send_addresses *addresses)
{
	struct send_header header;

	if (addresses->count == 0)
		return;
	send_header_begin(&header, name);
	send_addresses_write(addresses, &header);
	send_part_set_header(object, name, &header);
}

static void
put_word(GMimeObject *object, const char *name, const char *word)
{
	struct send_header header;

	send_header_begin(&header, name);
	send_header_word(&header, word, strlen(word));
	send_part_set_header(object, name, &header);
}

/* --header may repeat a field; GMime's own way to set one would replace the first. */
static void
put_fields(struct making *self, GMimeObject *object)
{
	GMimeHeaderList *list = g_mime_object_get_header_list(object);
	struct send_header header;

	for (size_t i = 0; i < self->fields.count; i++) {
		const struct send_field *field = &self->fields.items[i];
		GMimeHeader *last;

		if (strcasecmp(field->name, "Message-ID") == 0 ||
		    strcasecmp(field->name, "Date") == 0)
			continue;
		send_header_begin(&header, field->name);
		send_field_write(field, &header);
		g_mime_object_append_header(object, field->name, "-", NULL);
		last = g_mime_header_list_get_header_at(list,
		    g_mime_header_list_get_count(list) - 1);
		g_mime_header_set_raw_value(last, send_header_end(&header));
		send_header_free(&header);
	}
}

static GMimeMessage *
make_header(struct making *self)
{
	GMimeMessage *message = g_mime_message_new(FALSE);
	GMimeObject *object = GMIME_OBJECT(message);
	const char *given = send_fields_value(&self->fields, "Date"),
	    *subject = self->request->subject;
	char date[HEADER_DATE_SIZE];

	put_addresses(object, "From", &self->from);
	put_addresses(object, "To", &self->to);
	put_addresses(object, "Cc", &self->cc);
	if (self->to.count + self->cc.count == 0)
		put_word(object, "To", "undisclosed-recipients:;");
	put_addresses(object, "Reply-To", &self->reply_to);
	if (subject != NULL && subject[0] != '\0')
		put_field(object, "Subject", subject);
	put_field(object, "Date", given != NULL ? given : header_date(date, clock_now()));
	put_word(object, "Message-ID", self->message_id);
	put_fields(self, object);
	put_word(object, "MIME-Version", "1.0");
	return message;
}

/* --- the whole --- */

static bool
write_message(struct making *self)
{
	GMimeFormatOptions *format = g_mime_format_options_new();
	GMimeMessage *message = make_header(self);
	GMimeStream *out;
	ssize_t written;

	g_mime_message_set_mime_part(message, self->body.root);
	self->message->content = content_new(self->directory);
	out = send_stream_to_content(self->message->content, &self->fault);
	g_mime_format_options_set_newline_format(format, GMIME_NEWLINE_FORMAT_DOS);
	written = g_mime_object_write_to_stream(GMIME_OBJECT(message), format, out);
	if (written == -1)
		send_fault_set(&self->fault, EX_SOFTWARE, "the mail could not be written");
	g_object_unref(out);
	g_object_unref(message);
	g_mime_format_options_free(format);
	self->message->envelope->size = content_size(self->message->content);
	return !self->fault.is_set;
}

static bool
make(struct making *self)
{
	if (!read_options(self))
		return false;
	make_envelope(self);
	make_message_id(self);
	if (!send_body_make(&self->body, self->request, self->domain, &self->fault) ||
	    !write_message(self))
		return false;
	self->message->tree = send_body_tree(&self->body);
	return true;
}

struct send_message *
send_message_new(const struct send_request *request, const char *directory, int *exit_code,
    struct error *err)
{
	struct making self = { .request = request, .directory = directory };
	bool ok;

	g_mime_init();
	self.message = mem_zalloc(sizeof(*self.message));
	ok = make(&self);
	send_body_free(&self.body);
	send_addresses_free(&self.from);
	send_addresses_free(&self.to);
	send_addresses_free(&self.cc);
	send_addresses_free(&self.bcc);
	send_addresses_free(&self.reply_to);
	send_fields_free(&self.fields);
	free(self.message_id);
	if (ok)
		return self.message;
	send_message_free(self.message);
	*exit_code = self.fault.exit_code;
	error_set(err, ERROR_CONFIG, "%s", self.fault.text);
	return NULL;
}

void
send_message_free(struct send_message *message)
{
	if (message == NULL)
		return;
	envelope_free(message->envelope);
	content_unref(message->content);
	free(message->tree);
	free(message);
}

void
send_message_tree(const struct send_message *message, FILE *out)
{
	const struct envelope *envelope = message->envelope;
	char text[ADDRESS_TEXT_MAX + 1];

	fprintf(out, "from: %s\n", address_text(&envelope->reverse_path, text));
	for (size_t i = 0; i < envelope->recipient_count; i++)
		fprintf(out, "to: %s\n",
		    address_text(&envelope->recipients[i].forward_path, text));
	fprintf(out, "size: %" PRIu64 "%s\n%s", envelope->size,
	    envelope->smtputf8 ? ", SMTPUTF8" : "", message->tree);
}

void
send_list_add(struct send_list *list, const char *item)
{
	list->items = mem_grow(list->items, list->count + 1, sizeof(*list->items));
	list->items[list->count++] = item;
}

void
send_list_free(struct send_list *list)
{
	free(list->items);
	*list = (struct send_list){ 0 };
}
