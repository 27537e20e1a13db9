/* ctl_print.c - what heraldctl shows to people: tables and short texts. */
#include "cmd/ctl_print.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <time.h>

static const char *
text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text != NULL ? text : "";
}

static json_int_t
number_of(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

/* "45s", "12m", "3h", "2d": one unit is enough to see what waits. */
static const char *
age_text(json_int_t seconds, char out[24])
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
	snprintf(out, 32, "in %s", age_text(left, age));
	return out;
}

void
ctl_print_json(const json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
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
	    text_of(status, "version"), age_text(number_of(status, "uptime"), age),
	    number_of(status, "generation"),
	    json_is_true(json_object_get(status, "healthy")) ? "healthy" : "NOT HEALTHY");
	printf("queue: %" JSON_INTEGER_FORMAT " messages, oldest %s\n",
	    number_of(queue, "messages"), age_text(number_of(queue, "oldest_seconds"), oldest));
	print_flat("", status);
}

static void
print_row(const json_t *message, const json_t *recipient, size_t others)
{
	char age[24], size[24], next[32], more[32] = "";

	if (others > 0)
		snprintf(more, sizeof(more), " +%zu", others);
	printf("%-16s %5s %6s <%s> <%s>%s %s %" JSON_INTEGER_FORMAT " %s %s\n",
	    text_of(message, "id"), age_text(number_of(message, "age_seconds"), age),
	    size_text(number_of(message, "size"), size), text_of(message, "sender"),
	    text_of(recipient, "address"), more, text_of(recipient, "state"),
	    number_of(recipient, "attempts"), next_text(recipient, next),
	    text_of(recipient, "reply"));
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

static void
print_time(const char *label, json_int_t seconds)
{
	time_t when = (time_t)seconds;
	struct tm local;
	char text[64];

	localtime_r(&when, &local);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &local);
	printf("%-12s %s\n", label, text);
}

void
ctl_print_message(const json_t *message)
{
	const json_t *recipients = json_object_get(message, "recipients");
	char next[32];

	printf("%-12s %s\n", "id", text_of(message, "id"));
	printf("%-12s <%s>\n", "sender", text_of(message, "sender"));
	printf("%-12s %" JSON_INTEGER_FORMAT " octets\n", "size", number_of(message, "size"));
	print_time("arrived", number_of(message, "arrived"));
	print_time("expires", number_of(message, "expires"));
	for (size_t i = 0; i < json_array_size(recipients); i++) {
		const json_t *recipient = json_array_get(recipients, i);

		printf("%-12s <%s> %s, %" JSON_INTEGER_FORMAT " attempts, next %s\n", "recipient",
		    text_of(recipient, "address"), text_of(recipient, "state"),
		    number_of(recipient, "attempts"), next_text(recipient, next));
		if (number_of(recipient, "attempts") > 0)
			printf("%-12s relay %s: %s\n", "", text_of(recipient, "relay"),
			    text_of(recipient, "reply"));
	}
}
