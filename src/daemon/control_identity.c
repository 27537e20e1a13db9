/* control_identity.c - the verb that shows what mail of this machine becomes. */
#include "daemon/control_verbs.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "conf/config.h"
#include "mail/identity.h"
#include "mail/rewrite.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define RECIPIENTS_SHOWN 100 /* of a request; more need no second look */

/* Mail data has any octets and JSON has characters: each octet is the one of its number. */
static bool
octets_of(const json_t *text, struct buf *out)
{
	const unsigned char *at = (const unsigned char *)json_string_value(text);
	size_t len = json_string_length(text);

	for (size_t i = 0; i < len; i++) {
		unsigned char octet = at[i];

		if (octet >= 0x80) {
			if (octet > 0xc3 || ++i == len)
				return false;
			octet = (unsigned char)(octet << 6 | (at[i] & 0x3f));
		}
		buf_append(out, &octet, 1);
	}
	return true;
}

static json_t *
json_of_octets(const char *octets, size_t len)
{
	struct buf text = { 0 };
	json_t *json;

	for (size_t i = 0; i < len; i++) {
		unsigned char octet = (unsigned char)octets[i];
		const char pair[2] = { (char)(0xc0 | octet >> 6), (char)(0x80 | (octet & 0x3f)) };

		if (octet >= 0x80)
			buf_append(&text, pair, 2);
		else
			buf_append(&text, &octets[i], 1);
	}
	json = json_stringn(buf_octets(&text), text.len);
	buf_free(&text);
	return json;
}

static json_t *
json_of_address(const struct address *address)
{
	char text[ADDRESS_TEXT_MAX + 1];

	return json_string(address_text(address, text));
}

static bool
read_address(const char *text, struct address *out)
{
	*out = (struct address){ .local = "" };
	if (text == NULL || text[0] == '\0' || strcmp(text, "<>") == 0)
		return true;
	return address_parse_name(out, text, strlen(text)) == ADDRESS_OK;
}

/* --- recipients --- */

static json_t *
targets_json(const struct identity *identity, const struct address *recipient)
{
	struct identity_targets targets;
	json_t *list = json_array();

	identity_expand(identity, recipient, &targets);
	for (size_t i = 0; i < targets.count; i++)
		json_array_append_new(list, json_of_address(&targets.items[i]));
	free(targets.items);
	return list;
}

/* NULL and the reason where one is no address. */
static json_t *
recipients_json(const struct identity *identity, const json_t *given, struct error *err)
{
	json_t *list = json_array(), *each;
	struct address recipient;
	size_t i;

	json_array_foreach(given, i, each) {
		const char *text = json_string_value(each);

		if (i >= RECIPIENTS_SHOWN || text == NULL || !read_address(text, &recipient) ||
		    address_is_null(&recipient)) {
			error_set(err, ERROR_CONFIG, "%s is not an address of a recipient, or more "
			    "than %d", text != NULL ? text : "what is given", RECIPIENTS_SHOWN);
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, json_pack("{s:s, s:o}", "before", text, "after",
		    targets_json(identity, &recipient)));
	}
	return list;
}

/* --- header --- */

static void
collect(void *arg, const char *octets, size_t len)
{
	buf_append(arg, octets, len);
}

static json_t *
header_json(const struct config *config, const struct address *reverse_path,
    const struct buf *header)
{
	const struct rewrite_params params = { .identity = config->identity.rules,
		.reverse_path = reverse_path, .hostname = config->hostname,
		.queue_id = "0", .now = clock_now() };
	struct buf out = { 0 };
	struct rewrite *rewrite = rewrite_new(&params, collect, &out);
	enum rewrite_fault fault;
	json_t *json;

	rewrite_write(rewrite, buf_octets(header), header->len);
	fault = rewrite_end(rewrite);
	rewrite_free(rewrite);
	json = fault == REWRITE_OK ? json_of_octets(buf_octets(&out), out.len) : NULL;
	buf_free(&out);
	return json;
}

void
control_rewrite(struct control_request *request)
{
	const struct config *config = request->context->config;
	const char *sender = control_text(request, "sender");
	struct address before, after;
	struct buf header = { 0 };
	json_t *recipients = NULL, *changed = NULL;
	struct error err;

	if (!read_address(sender, &before)) {
		control_refuse(request, EX_DATAERR, "the sender is not an address");
		return;
	}
	after = before;
	identity_sender(config->identity.rules, &after);
	recipients = recipients_json(config->identity.rules,
	    json_object_get(request->arguments, "recipients"), &err);
	if (recipients == NULL) {
		control_refuse(request, EX_DATAERR, err.text);
		return;
	}
	if (octets_of(json_object_get(request->arguments, "header"), &header))
		changed = header_json(config, &after, &header);
	if (changed == NULL) {
		json_decref(recipients);
		control_refuse(request, EX_DATAERR, "such a header section is refused: a From of "
		    "more than 64 KiB, or more than 1 MiB are added");
	} else {
		control_succeed(request, json_pack("{s:{s:o, s:o}, s:o, s:o}", "sender",
		    "before", json_of_address(&before), "after", json_of_address(&after),
		    "recipients", recipients, "header", changed));
	}
	buf_free(&header);
}
