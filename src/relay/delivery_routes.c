/* delivery_routes.c - each recipient to its relay: routes, and what they say to who asks. */
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/loop.h"
#include "relay/delivery_parts.h"
#include "relay/router.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where one recipient goes. */
struct target {
	size_t relay;			/* index; SIZE_MAX: none takes it */
	const char *domain;		/* "" where the relay has hosts */
	size_t index;			/* of the recipient, within the job */
};

/* --- routes --- */

static size_t
find_relay(struct delivery *delivery, const struct envelope *batch,
    const struct recipient *recipient)
{
	const struct relay_config *config;
	size_t chosen = SIZE_MAX;

	if (recipient->chosen_relay[0] != '\0' &&
	    delivery_has_relay(delivery, recipient->chosen_relay))
		chosen = delivery_find(delivery, recipient->chosen_relay);
	if (chosen != SIZE_MAX || delivery->config == NULL)
		return chosen;
	config = router_find(delivery->config, &batch->reverse_path, &recipient->forward_path,
	    NULL);
	return config != NULL ? delivery_find(delivery, config->name) : SIZE_MAX;
}

static struct target
find_target(struct delivery *delivery, const struct envelope *batch,
    const struct recipient *recipient, size_t index)
{
	struct target target = { find_relay(delivery, batch, recipient), "", index };

	if (target.relay == SIZE_MAX || relay_is_ours(delivery->relays[target.relay]))
		return target;
	/* A bare postmaster is the one of this host (RFC 5321 4.5.1). */
	target.domain = recipient->forward_path.domain[0] != '\0' ?
	    recipient->forward_path.domain : delivery->config->hostname;
	return target;
}

static bool
same_target(const struct target *a, const struct target *b)
{
	return a->relay == b->relay && strcmp(a->domain, b->domain) == 0;
}

static int
compare_targets(const void *a, const void *b)
{
	const struct target *x = a, *y = b;
	int domains;

	if (x->relay != y->relay)
		return x->relay < y->relay ? -1 : 1;
	domains = strcmp(x->domain, y->domain);
	if (domains != 0)
		return domains;
	return x->index < y->index ? -1 : x->index > y->index;
}

static bool
is_one_group(const struct target *targets, size_t count)
{
	for (size_t i = 1; i < count; i++)
		if (!same_target(&targets[0], &targets[i]))
			return false;
	return true;
}

/* Puts those of one transaction side by side.  The domains stand in the recipients, which
 * move: they are copied to `domains`. */
static void
sort_recipients(struct job *job, struct target *targets, char (*domains)[ADDRESS_DOMAIN_MAX + 1])
{
	struct recipient *recipients = &job->batch->recipients[job->first];
	struct recipient *sorted = mem_array(job->count, sizeof(*sorted));

	for (size_t i = 0; i < job->count; i++)
		targets[i].domain = text_copy(domains[i], sizeof(domains[i]), targets[i].domain);
	qsort(targets, job->count, sizeof(*targets), compare_targets);
	for (size_t i = 0; i < job->count; i++)
		sorted[i] = recipients[targets[i].index];
	memcpy(recipients, sorted, job->count * sizeof(*sorted));
	free(sorted);
}

static void
hand_over(struct delivery *delivery, struct job *job, const struct target *target)
{
	if (target->relay != SIZE_MAX && !delivery->draining) {
		relay_add(delivery->relays[target->relay], target->domain, job);
		return;
	}
	TAILQ_INSERT_TAIL(&delivery->homeless, job, entry);
	loop_defer(delivery->house.loop, &delivery->end_homeless);
}

/* One job for each run of recipients that go the same way. */
static void
split_up(struct delivery *delivery, struct job *job, const struct target *targets)
{
	const size_t first = job->first, count = job->count;
	size_t from = 0;

	for (size_t i = 1; i <= count; i++) {
		struct job *rest = NULL;

		if (i < count && i - from < JOB_RECIPIENTS_MAX &&
		    same_target(&targets[from], &targets[i]))
			continue;
		if (i < count)
			rest = job_split(job, first + i);
		hand_over(delivery, job, &targets[from]);
		job = rest;
		from = i;
	}
}

void
delivery_place(struct delivery *delivery, struct job *job)
{
	const size_t count = job->count;
	struct target *targets = mem_array(count, sizeof(*targets));
	char (*domains)[ADDRESS_DOMAIN_MAX + 1] = NULL;

	assert(job->left == count);
	for (size_t i = 0; i < count; i++)
		targets[i] = find_target(delivery, job->batch,
		    &job->batch->recipients[job->first + i], i);
	if (!is_one_group(targets, count)) {
		domains = mem_array(count, sizeof(*domains));
		sort_recipients(job, targets, domains);
	}
	split_up(delivery, job, targets);
	free(domains);
	free(targets);
}

/* --- shown --- */

static json_t *
hosts_json(const struct relay_config *relay)
{
	json_t *list = json_array();
	char text[ENDPOINT_HOST_MAX + 16];

	if (relay->mx) {
		snprintf(text, sizeof(text), "mx:%u", relay->mx_port);
		json_array_append_new(list, json_string(text));
	}
	for (size_t i = 0; i < relay->host_count; i++) {
		const struct config_host *host = &relay->hosts[i];
		bool literal = strchr(host->name, ':') != NULL;

		snprintf(text, sizeof(text), "%s%s%s:%u", literal ? "[" : "", host->name,
		    literal ? "]" : "", host->port);
		json_array_append_new(list, json_string(text));
	}
	return list;
}

static const char *
tls_name(enum config_tls tls)
{
	static const char *const names[] = { [CONFIG_TLS_NONE] = "none",
	    [CONFIG_TLS_OPPORTUNISTIC] = "opportunistic", [CONFIG_TLS_STARTTLS] = "starttls",
	    [CONFIG_TLS_IMPLICIT] = "implicit" };

	return names[tls];
}

json_t *
delivery_relays(const struct delivery *delivery)
{
	json_t *list = json_array();

	for (size_t i = 0; i < delivery->relay_count; i++) {
		const struct relay_config *config = relay_params(delivery->relays[i])->relay;
		json_t *object = json_pack("{s:s, s:o, s:s}", "name", config->name,
		    "hosts", hosts_json(config), "tls", tls_name(config->tls));

		json_object_update_new(object, relay_json(delivery->relays[i]));
		json_array_append_new(list, object);
	}
	return list;
}

static void
set_text(json_t *object, const char *key, const char *text)
{
	if (text != NULL && text[0] != '\0')
		json_object_set_new(object, key, json_string(text));
}

static void
describe_relay(json_t *object, const struct delivery *delivery, const struct relay_config *config)
{
	size_t i = delivery_find(delivery, config->name);
	int64_t wait = i != SIZE_MAX ? relay_wait(delivery->relays[i]) : 0;

	json_object_set_new(object, "hosts", hosts_json(config));
	json_object_set_new(object, "tls", json_string(tls_name(config->tls)));
	json_object_set_new(object, "verify", json_boolean(config->tls_verify &&
	    config->tls != CONFIG_TLS_NONE && config->tls != CONFIG_TLS_OPPORTUNISTIC));
	set_text(object, "fingerprint", config->tls_fingerprint);
	set_text(object, "certificate", config->certificate);
	set_text(object, "username", config->username);
	/* Where it is kept; what it says, and what a command is told, is in no answer. */
	if (config->username[0] != '\0')
		set_text(object, "password", text_has_prefix(config->password, "command:") ?
		    "command:***" : config->password);
	set_text(object, "source_address", config->source_address);
	set_text(object, "helo", config->helo);
	json_object_set_new(object, "paused", json_boolean(wait == INT64_MAX));
	json_object_set_new(object, "suspended_seconds",
	    json_integer(wait == INT64_MAX ? 0 : (wait + 999999) / 1000000));
}

json_t *
delivery_route(const struct delivery *delivery, const struct address *reverse_path,
    const struct address *forward_path)
{
	const struct route_config *rule = NULL;
	const struct relay_config *config = delivery->config == NULL ? NULL :
	    router_find(delivery->config, reverse_path, forward_path, &rule);
	json_t *object = json_object();
	char text[512] = "default_relay";

	json_object_set_new(object, "relay",
	    config != NULL ? json_string(config->name) : json_null());
	if (config == NULL)
		return object;
	if (rule != NULL)
		snprintf(text, sizeof(text), "%s:%u", rule->conffile, rule->line);
	json_object_set_new(object, "rule", json_string(text));
	if (config->mx)
		set_text(object, "domain", forward_path->domain);
	describe_relay(object, delivery, config);
	return object;
}
