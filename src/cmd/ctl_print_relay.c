/* ctl_print_relay.c - what heraldctl shows of relays: their state, routes and probes. */
#include "cmd/ctl_print.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

static void
print_hosts(const json_t *hosts)
{
	for (size_t i = 0; i < json_array_size(hosts); i++)
		printf("%s%s", i > 0 ? " " : "", json_string_value(json_array_get(hosts, i)));
}

static const char *
state_text(const json_t *relay, char out[64])
{
	json_int_t left = ctl_number(relay, "suspended_seconds");
	char age[24];

	if (json_is_true(json_object_get(relay, "paused")))
		return "paused";
	if (left <= 0)
		return "open";
	snprintf(out, 64, "suspended, tries in %s", ctl_age(left, age));
	return out;
}

static void
print_counters(const json_t *relay)
{
	static const char *const keys[] = { "sessions", "busy", "idle", "waiting", "delivered",
	    "deferred", "failed" };

	printf("   ");
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		printf(" %s %" JSON_INTEGER_FORMAT, keys[i], ctl_number(relay, keys[i]));
	putchar('\n');
}

void
ctl_print_relays(const json_t *relays)
{
	char state[64], when[40];

	if (json_array_size(relays) == 0)
		puts("no relay is configured");
	for (size_t i = 0; i < json_array_size(relays); i++) {
		const json_t *relay = json_array_get(relays, i);
		const char *fault = ctl_text(relay, "fault");

		printf("%s: %s, tls %s, ", ctl_text(relay, "name"), state_text(relay, state),
		    ctl_text(relay, "tls"));
		print_hosts(json_object_get(relay, "hosts"));
		putchar('\n');
		print_counters(relay);
		if (fault[0] != '\0')
			printf("    last fault %s: %s\n",
			    ctl_time(ctl_number(relay, "fault_at"), when), fault);
	}
}

void
ctl_print_route(const json_t *route)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)route, key, value) {
		printf("%-16s ", key);
		if (json_is_array(value))
			print_hosts(value);
		else if (json_is_string(value))
			printf("%s", json_string_value(value));
		else if (json_is_integer(value))
			printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
		else
			printf("%s", json_is_true(value) ? "yes" :
			    json_is_false(value) ? "no" : "-");
		putchar('\n');
	}
}

static void
print_step(const json_t *step)
{
	printf("%-4s %9.1f ms  %-14s %s\n", json_is_true(json_object_get(step, "ok")) ? "ok" :
	    "FAIL", json_number_value(json_object_get(step, "milliseconds")),
	    ctl_text(step, "step"), ctl_text(step, "text"));
}

void
ctl_print_probe(const json_t *result, bool dialogue)
{
	const json_t *steps = json_object_get(result, "steps");
	const json_t *lines = json_object_get(result, "dialogue");

	for (size_t i = 0; i < json_array_size(steps); i++)
		print_step(json_array_get(steps, i));
	if (ctl_text(result, "tls")[0] != '\0')
		printf("tls: %s\n", ctl_text(result, "tls"));
	if (ctl_text(result, "certificate")[0] != '\0')
		printf("certificate: %s\n", ctl_text(result, "certificate"));
	for (size_t i = 0; dialogue && i < json_array_size(lines); i++)
		printf("%s\n", json_string_value(json_array_get(lines, i)));
	printf("relay %s: %s\n", ctl_text(result, "relay"), ctl_text(result, "text"));
}
