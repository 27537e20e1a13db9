/* fetch_json.c - what herald fetch says to programs: one object, written as it grows. */
#include "client/fetch_json.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define UTF8_CHARACTER_MAX	4	/* RFC 3629 */

struct fetch_json {
	FILE *out;
	json_t *message;		/* NULL: none is open */
	json_t *parts, *faults;		/* borrowed from `message` once that ends */
	struct buf text;
	size_t flags;			/* of jansson */
	bool truncated, began, followed;
	bool is_half_written;		/* the message, up to its text */
};

struct fetch_json *
fetch_json_new(FILE *out, bool terminal)
{
	struct fetch_json *json = mem_zalloc(sizeof(*json));

	json->out = out;
	json->flags = JSON_COMPACT | JSON_ENCODE_ANY | (terminal ? JSON_ENSURE_ASCII : 0);
	return json;
}

static void
drop_message(struct fetch_json *json)
{
	json_decref(json->message);
	json_decref(json->parts);
	json_decref(json->faults);
	json->message = json->parts = json->faults = NULL;
	buf_clear(&json->text);
	json->truncated = json->is_half_written = false;
}

void
fetch_json_free(struct fetch_json *json)
{
	if (json == NULL)
		return;
	drop_message(json);
	buf_free(&json->text);
	free(json);
}

static size_t
character_len(const char *octets, size_t len)
{
	for (size_t size = 1; size <= UTF8_CHARACTER_MAX && size <= len; size++)
		if (text_utf8_valid(octets, size))
			return size;
	return 0;
}

/* A string whatever the octets are. */
static json_t *
string_of(const char *octets, size_t len)
{
	struct buf clean = { 0 };
	json_t *string;
	size_t size;

	if (text_utf8_valid(octets, len))
		return json_stringn(octets, len);
	for (size_t at = 0; at < len; at += size) {
		size = character_len(octets + at, len - at);
		if (size > 0)
			buf_append(&clean, octets + at, size);
		else
			buf_append_text(&clean, "\xef\xbf\xbd");
		size = size > 0 ? size : 1;
	}
	string = json_stringn(buf_octets(&clean), clean.len);
	buf_free(&clean);
	return string;
}

static json_t *
string_or_null(const char *text)
{
	return text != NULL ? string_of(text, strlen(text)) : json_null();
}

static void
dump(struct fetch_json *json, json_t *value)
{
	json_dumpf(value, json->out, json->flags);
	json_decref(value);
}

/* What a server says of sizes may be more than the type has. */
static json_t *
number_of(uint64_t number)
{
	return json_integer(number < INT64_MAX ? (json_int_t)number : INT64_MAX);
}

void
fetch_json_mailbox(struct fetch_json *json, const char *account, const char *welcome,
    uint64_t count, uint64_t size)
{
	if (json == NULL)
		return;
	json->began = true;
	fputs("{\"account\":", json->out);
	dump(json, string_or_null(account));
	fputs(",\"welcome\":", json->out);
	dump(json, string_or_null(welcome));
	fputs(",\"count\":", json->out);
	dump(json, number_of(count));
	fputs(",\"size\":", json->out);
	dump(json, number_of(size));
	fputs(",\"messages\":[", json->out);
}

void
fetch_json_message(struct fetch_json *json, uint64_t number, uint64_t size, const char *uidl)
{
	if (json == NULL)
		return;
	drop_message(json);
	json->message = json_object();
	json->parts = json_array();
	json->faults = json_array();
	json_object_set_new(json->message, "number", number_of(number));
	json_object_set_new(json->message, "size", number_of(size));
	json_object_set_new(json->message, "uidl", string_or_null(uidl));
}

void
fetch_json_string(struct fetch_json *json, const char *key, const char *value)
{
	if (json != NULL && json->message != NULL)
		json_object_set_new(json->message, key, string_or_null(value));
}

void
fetch_json_text(struct fetch_json *json, const char *octets, size_t len)
{
	size_t room;

	if (json == NULL || json->message == NULL || json->truncated)
		return;
	room = FETCH_JSON_TEXT_MAX - json->text.len;
	if (len > room) {
		json->truncated = true;
		len = room;
	}
	buf_append(&json->text, octets, len);
}

void
fetch_json_part(struct fetch_json *json, const char *type, const char *name, const char *file,
    uint64_t size, const char *content_id)
{
	json_t *part;

	if (json == NULL || json->message == NULL)
		return;
	part = json_object();
	json_object_set_new(part, "type", string_or_null(type));
	json_object_set_new(part, "name", string_or_null(name));
	json_object_set_new(part, "file", string_or_null(file));
	json_object_set_new(part, "size", number_of(size));
	json_object_set_new(part, "content_id", string_or_null(content_id));
	json_array_append_new(json->parts, part);
}

void
fetch_json_fault(struct fetch_json *json, const char *text)
{
	if (json != NULL && json->message != NULL)
		json_array_append_new(json->faults, string_or_null(text));
}

bool
fetch_json_is_truncated(const struct fetch_json *json)
{
	return json != NULL && json->truncated;
}

/* What is known of the message so far goes out, and is not kept. */
static void
write_members(struct fetch_json *json)
{
	const char *key, *before = json->is_half_written ? "," : json->followed ? ",\n{" : "\n{";
	json_t *value;

	json_object_foreach(json->message, key, value) {
		fprintf(json->out, "%s\"%s\":", before, key);
		json_dumpf(value, json->out, json->flags);
		before = ",";
	}
	json_object_clear(json->message);
	json->is_half_written = json->followed = true;
}

void
fetch_json_text_end(struct fetch_json *json)
{
	size_t len;

	if (json == NULL || json->message == NULL)
		return;
	len = json->text.len;
	/* One octet less than was taken, so that a character which was cut goes. */
	if (json->truncated)
		len = text_utf8_cut(buf_octets(&json->text), len, len - 1);
	json_object_set_new(json->message, "text", string_of(buf_octets(&json->text), len));
	json_object_set_new(json->message, "text_truncated", json_boolean(json->truncated));
	write_members(json);
}

void
fetch_json_message_end(struct fetch_json *json, bool is_taken, bool deleted)
{
	if (json == NULL || json->message == NULL)
		return;
	if (is_taken) {
		json_object_set(json->message, "parts", json->parts);
		json_object_set_new(json->message, "deleted", json_boolean(deleted));
	}
	json_object_set(json->message, "faults", json->faults);
	write_members(json);
	fputc('}', json->out);
	drop_message(json);
}

void
fetch_json_end(struct fetch_json *json)
{
	if (json == NULL)
		return;
	if (json->began)
		fputs("\n]}\n", json->out);
	json->began = false;
}
