/* ctl_print.c - what heraldctl shows to people: tables and short texts. */
#include "cmd/ctl_print.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Octets of the character, or of what is left of it. */
static size_t
character_len(const char *text, size_t len)
{
	unsigned char first = (unsigned char)text[0];
	size_t need = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	return need < len ? need : len;
}

static bool
is_harmless(const char *character, size_t len, bool lines)
{
	char shown[64];

	if (character[0] == '\\' || (lines && strchr("\r\n\t", character[0]) != NULL))
		return character[0] != '\0';
	/* What is not shown as it is takes four octets for each of its own. */
	return strlen(text_printable_utf8(shown, sizeof(shown), character, len)) == len;
}

size_t
ctl_mask(char *text, size_t len, bool lines)
{
	size_t out = 0, n;

	for (size_t i = 0; i < len; i += n) {
		n = character_len(text + i, len - i);
		if (is_harmless(text + i, n, lines)) {
			memmove(text + out, text + i, n);
			out += n;
		} else
			text[out++] = '?';
	}
	return out;
}

static void
mask_string(json_t *string)
{
	size_t len = json_string_length(string);
	char *text = mem_strndup(json_string_value(string), len);

	json_string_setn(string, text, ctl_mask(text, len, false));
	free(text);
}

void
ctl_mask_all(json_t *value)
{
	const char *key;
	json_t *one;
	size_t i;

	json_object_foreach(value, key, one)
		ctl_mask_all(one);
	json_array_foreach(value, i, one)
		ctl_mask_all(one);
	if (json_is_string(value))
		mask_string(value);
}

const char *
ctl_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

json_int_t
ctl_number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* "45s", "12m", "3h", "2d": one unit is enough to see what waits. */
const char *
ctl_age(json_int_t seconds, char out[24])
{
	static const struct { json_int_t unit; char letter; } rows[] = {
		{ 86400, 'd' }, { 3600, 'h' }, { 60, 'm' },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (seconds >= 2 * rows[i].unit) {
			snprintf(out, 24, "%" JSON_INTEGER_FORMAT "%c", seconds / rows[i].unit,
			    rows[i].letter);
			return out;
		}
	}
	snprintf(out, 24, "%" JSON_INTEGER_FORMAT "s", seconds > 0 ? seconds : 0);
	return out;
}

static const char *
size_text(json_int_t octets, char out[24])
{
	if (octets < 10000)
		snprintf(out, 24, "%" JSON_INTEGER_FORMAT, octets);
	else if (octets < 10000 * (json_int_t)1024)
		snprintf(out, 24, "%" JSON_INTEGER_FORMAT "K", octets / 1024);
	else
		snprintf(out, 24, "%" JSON_INTEGER_FORMAT "M", octets / (1024 * 1024));
	return out;
}

/* When the next attempt comes: "in 5m", "now", "-" when none is planned. */
static const char *
next_text(const json_t *recipient, char out[32])
{
	const json_t *next = json_object_get(recipient, "next_attempt");
	json_int_t left = json_integer_value(next) - clock_now();
	char age[24];

	if (!json_is_integer(next))
		return "-";
	if (left <= 0)
		return "now";
	snprintf(out, 32, "in %s", ctl_age(left, age));
	return out;
}

void
ctl_print_json(const json_t *value)
{
	size_t ascii = isatty(STDOUT_FILENO) == 1 ? JSON_ENSURE_ASCII : 0;

	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY | ascii);
	putchar('\n');
}

/* Nested objects as "relays.smarthost.delivered  12": every counter has one line. */
static void
print_flat(const char *prefix, const json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		char name[256];

		snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", key);
		if (json_is_object(value)) {
			print_flat(name, value);
		} else {
			char *text = json_dumps(value, JSON_ENCODE_ANY);

			printf("%-44s %s\n", name, json_is_string(value)
			    ? json_string_value(value) : text);
			free(text);
		}
	}
}

void
ctl_print_status(const json_t *status)
{
	const json_t *queue = json_object_get(status, "queue");
	char age[24], oldest[24];

	printf("herald %s, up %s, configuration generation %" JSON_INTEGER_FORMAT ", %s\n",
	    ctl_text(status, "version"), ctl_age(ctl_number(status, "uptime"), age),
	    ctl_number(status, "generation"),
	    json_is_true(json_object_get(status, "healthy")) ? "healthy" : "NOT HEALTHY");
	printf("queue: %" JSON_INTEGER_FORMAT " messages, oldest %s\n",
	    ctl_number(queue, "messages"), ctl_age(ctl_number(queue, "oldest_seconds"), oldest));
	print_flat("", status);
}

static void
print_row(const json_t *message, const json_t *recipient, size_t others)
{
	char age[24], size[24], next[32], more[32] = "";

	if (others > 0)
		snprintf(more, sizeof(more), " +%zu", others);
	printf("%-16s %5s %6s <%s> <%s>%s %s %" JSON_INTEGER_FORMAT " %s %s\n",
	    ctl_text(message, "id"), ctl_age(ctl_number(message, "age_seconds"), age),
	    size_text(ctl_number(message, "size"), size), ctl_text(message, "sender"),
	    ctl_text(recipient, "address"), more, ctl_text(recipient, "state"),
	    ctl_number(recipient, "attempts"), next_text(recipient, next),
	    ctl_text(recipient, "reply"));
}

void
ctl_print_list(const json_t *messages)
{
	size_t i, count = json_array_size(messages);

	if (count == 0) {
		puts("queue is empty");
		return;
	}
	printf("%-16s %5s %6s %s\n", "ID", "AGE", "SIZE",
	    "SENDER RECIPIENT STATE ATTEMPTS NEXT REPLY");
	for (i = 0; i < count; i++) {
		const json_t *message = json_array_get(messages, i);
		const json_t *recipients = json_object_get(message, "recipients");
		size_t recipient_count = json_array_size(recipients);

		print_row(message, json_array_get(recipients, 0),
		    recipient_count > 1 ? recipient_count - 1 : 0);
	}
}

const char *
ctl_time(json_int_t seconds, char out[40])
{
	time_t when = (time_t)seconds;
	struct tm local;

	localtime_r(&when, &local);
	strftime(out, 40, "%Y-%m-%d %H:%M:%S %z", &local);
	return out;
}

static void
print_time(const char *label, json_int_t seconds)
{
	char text[40];

	printf("%-12s %s\n", label, ctl_time(seconds, text));
}

static void
print_attempt(const json_t *attempt)
{
	const char *step = ctl_text(attempt, "step"), *tls = ctl_text(attempt, "tls");
	char when[40];

	printf("  %s  %s%s%s%s%s%s\n", ctl_time(ctl_number(attempt, "at"), when),
	    ctl_text(attempt, "relay"), tls[0] != '\0' ? ", " : "", tls,
	    step[0] != '\0' ? ", " : "", step,
	    json_is_true(json_object_get(attempt, "charged")) ? "" : ", not charged");
	printf("    %s\n", ctl_text(attempt, "reply"));
}

static void
print_recipient(const json_t *recipient)
{
	const json_t *history = json_object_get(recipient, "history");
	const char *chosen = ctl_text(recipient, "chosen_relay");
	char next[32];

	printf("%-12s <%s> %s, %" JSON_INTEGER_FORMAT " attempts, next %s\n", "recipient",
	    ctl_text(recipient, "address"), ctl_text(recipient, "state"),
	    ctl_number(recipient, "attempts"), next_text(recipient, next));
	printf("  why: %s\n", ctl_text(recipient, "why"));
	if (chosen[0] != '\0')
		printf("  rerouted to relay %s\n", chosen);
	for (size_t i = 0; i < json_array_size(history); i++)
		print_attempt(json_array_get(history, i));
	if (json_array_size(history) == 0 && ctl_text(recipient, "reply")[0] != '\0')
		printf("  relay %s: %s\n", ctl_text(recipient, "relay"),
		    ctl_text(recipient, "reply"));
}

void
ctl_print_message(const json_t *message)
{
	const json_t *recipients = json_object_get(message, "recipients");

	printf("%-12s %s\n", "id", ctl_text(message, "id"));
	printf("%-12s <%s>\n", "sender", ctl_text(message, "sender"));
	if (ctl_text(message, "message_id")[0] != '\0')
		printf("%-12s %s\n", "message-id", ctl_text(message, "message_id"));
	printf("%-12s %" JSON_INTEGER_FORMAT " octets\n", "size", ctl_number(message, "size"));
	print_time("arrived", ctl_number(message, "arrived"));
	print_time("expires", ctl_number(message, "expires"));
	for (size_t i = 0; i < json_array_size(recipients); i++)
		print_recipient(json_array_get(recipients, i));
}

void
ctl_print_trace(const json_t *rows)
{
	char when[40];

	if (json_array_size(rows) == 0)
		puts("nothing is known of it");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		json_int_t finished = ctl_number(row, "finished");
		const char *state = ctl_text(row, "state");

		printf("%s  %s  <%s> -> <%s> %s%s%s\n", ctl_text(row, "id"),
		    ctl_time(finished > 0 ? finished : ctl_number(row, "arrived"), when),
		    ctl_text(row, "sender"), ctl_text(row, "recipient"), ctl_text(row, "fate"),
		    state[0] != '\0' ? ", " : "", state);
		printf("    %s, %" JSON_INTEGER_FORMAT " attempts, %s: %s\n",
		    ctl_text(row, "message_id"), ctl_number(row, "attempts"),
		    ctl_text(row, "relay"), ctl_text(row, "reply"));
	}
}
