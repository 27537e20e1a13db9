/* delivery.c - takes from the queue what is due, and has relays deliver it. */
#include "relay/delivery.h"

#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/loop.h"
#include "net/tls.h"
#include "relay/destination.h"
#include "relay/job.h"
#include "relay/secret.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct delivery {
	struct loop *loop;
	struct queue *queue;
	struct resolver *resolver;
	struct destination *current;	/* NULL: no relay is configured */
	struct destination **retired;	/* of earlier configurations, until their sessions end */
	size_t retired_count;
	struct destination_record **records;	/* of every relay since the start, by name */
	size_t record_count;
	bool draining;
	struct job_list homeless;	/* came while there is no relay, or at stop */
	struct loop_task end_homeless;
	struct job_counts homeless_counts;
};

/* --- configuration --- */

static bool
same_hosts(const struct relay_config *a, const struct relay_config *b)
{
	if (a->host_count != b->host_count)
		return false;
	for (size_t i = 0; i < a->host_count; i++)
		if (!text_equal(a->hosts[i].name, b->hosts[i].name) ||
		    a->hosts[i].port != b->hosts[i].port)
			return false;
	return true;
}

static bool
same_relay(const struct destination_params *old, const struct destination_params *next)
{
	const struct relay_config *a = old->relay, *b = next->relay;

	return strcmp(a->name, b->name) == 0 && same_hosts(a, b) && a->tls == b->tls &&
	    a->tls_verify == b->tls_verify && a->tls_min_version == b->tls_min_version &&
	    strcmp(a->tls_ca_file, b->tls_ca_file) == 0 && a->auth == b->auth &&
	    strcmp(a->username, b->username) == 0 && strcmp(a->helo, b->helo) == 0 &&
	    a->max_connections == b->max_connections &&
	    a->max_messages_per_connection == b->max_messages_per_connection &&
	    a->idle_timeout == b->idle_timeout && a->connect_timeout == b->connect_timeout &&
	    old->secret.len == next->secret.len &&
	    memcmp(buf_octets(&old->secret), buf_octets(&next->secret), old->secret.len) == 0;
}

static bool
prepare_relay(struct destination_params *params, struct error *err)
{
	const struct relay_config *relay = params->relay;
	const struct tls_client_params tls = { .verify = relay->tls_verify,
	    .ca_file = relay->tls_ca_file, .min_version = relay->tls_min_version };

	if (relay->tls != CONFIG_TLS_NONE) {
		params->tls = tls_client_new(&tls, err);
		if (params->tls == NULL)
			return false;
	}
	return relay->username[0] == '\0' || secret_read(relay->password, &params->secret, err);
}

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	struct destination_params *params = mem_zalloc(sizeof(*params));

	(void)self;
	params->config = config_ref(next);
	params->relay = next->relay;
	if (params->relay == NULL || prepare_relay(params, err))
		return params;
	error_prefix(err, "%s:%u: relay %s", next->path, params->relay->line, params->relay->name);
	destination_params_free(params);
	free(params);
	return NULL;
}

static struct destination_record *
find_record(struct delivery *delivery, const char *name)
{
	struct destination_record *record;

	for (size_t i = 0; i < delivery->record_count; i++)
		if (strcmp(delivery->records[i]->name, name) == 0)
			return delivery->records[i];
	record = mem_zalloc(sizeof(*record));
	record->name = mem_strdup(name);
	delivery->records = mem_grow(delivery->records, delivery->record_count + 1,
	    sizeof(struct destination_record *));
	delivery->records[delivery->record_count++] = record;
	return record;
}

static void
free_record(struct destination_record *record)
{
	free(record->name);
	free(record);
}

/* Frees what has no session any more. */
static void
prune(struct delivery *delivery)
{
	for (size_t i = 0; i < delivery->retired_count;) {
		struct destination *destination = delivery->retired[i];

		if (!destination_is_empty(destination)) {
			i++;
			continue;
		}
		delivery->retired[i] = delivery->retired[--delivery->retired_count];
		destination_free(destination);
	}
}

static void
retire(struct delivery *delivery, struct destination *destination, struct destination *heir)
{
	destination_retire(destination, heir);
	delivery->retired = mem_grow(delivery->retired, delivery->retired_count + 1,
	    sizeof(struct destination *));
	delivery->retired[delivery->retired_count++] = destination;
}

static void
commit(void *self, void *prepared, const struct config *next)
{
	struct delivery *delivery = self;
	struct destination_params *params = prepared;
	struct destination *old = delivery->current;

	(void)next;
	/* Without a relay there is no submission: what is left waits for the one that was. */
	if (params->relay == NULL) {
		destination_params_free(params);
	} else if (old != NULL && same_relay(destination_params(old), params)) {
		destination_refresh(old, params);
	} else {
		delivery->current = destination_new(delivery->loop, delivery->resolver, params,
		    find_record(delivery, params->relay->name));
		if (old != NULL)
			retire(delivery, old, delivery->current);
	}
	free(params);
	prune(delivery);
}

static void
abandon(void *self, void *prepared)
{
	(void)self;
	destination_params_free(prepared);
	free(prepared);
}

/* --- mail --- */

static void
on_homeless(void *owner)
{
	struct delivery *delivery = owner;
	const struct status status = status_local("4.3.5", "no relay is configured");
	const struct job_attempt attempt = { .relay = "none", .conn_use = 1 };
	struct job *job;

	while ((job = TAILQ_FIRST(&delivery->homeless)) != NULL) {
		TAILQ_REMOVE(&delivery->homeless, job, entry);
		if (delivery->draining)
			job_return(job);
		else
			job_fail(job, &status, &attempt, &delivery->homeless_counts);
	}
}

struct delivery *
delivery_new(struct loop *loop, struct queue *queue, struct resolver *resolver)
{
	struct delivery *delivery = mem_zalloc(sizeof(*delivery));

	delivery->loop = loop;
	delivery->queue = queue;
	delivery->resolver = resolver;
	TAILQ_INIT(&delivery->homeless);
	delivery->end_homeless = (struct loop_task){ .run = on_homeless, .owner = delivery };
	return delivery;
}

void
delivery_dispatch(void *owner, struct envelope *batch, struct content *content)
{
	struct delivery *delivery = owner;
	size_t total = batch->recipient_count, count;

	prune(delivery);
	for (size_t first = 0; first < total; first += count) {
		struct job *job;

		count = total - first < JOB_RECIPIENTS_MAX ? total - first : JOB_RECIPIENTS_MAX;
		job = job_new(delivery->queue, batch, content, first, count);
		if (delivery->current != NULL && !delivery->draining) {
			destination_add(delivery->current, job);
			continue;
		}
		TAILQ_INSERT_TAIL(&delivery->homeless, job, entry);
		loop_defer(delivery->loop, &delivery->end_homeless);
	}
}

/* --- stop and status --- */

static bool
drain(void *self)
{
	struct delivery *delivery = self;
	bool done = true;

	delivery->draining = true;
	if (delivery->current != NULL)
		done = destination_drain(delivery->current);
	for (size_t i = 0; i < delivery->retired_count; i++)
		if (!destination_drain(delivery->retired[i]))
			done = false;
	return done;
}

static json_t *
relay_status(const struct destination *destination, const struct destination_record *record)
{
	struct destination_state state = destination_state(destination);
	json_t *object = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}",
	    "sessions", (json_int_t)state.sessions, "busy", (json_int_t)state.busy,
	    "idle", (json_int_t)state.idle, "waiting", (json_int_t)state.waiting,
	    "suspended_seconds", (json_int_t)state.suspended,
	    "delivered", (json_int_t)record->counts.delivered,
	    "deferred", (json_int_t)record->counts.deferred,
	    "failed", (json_int_t)record->counts.failed);
	bool faulty = record->last_fault.text[0] != '\0';

	json_object_set_new(object, "last_fault", faulty ?
	    json_string(record->last_fault.text) : json_null());
	json_object_set_new(object, "last_fault_at", faulty ?
	    json_integer(record->last_fault_at) : json_null());
	return object;
}

/* By name: {"smarthost": {"sessions": 1, ...}}. */
static json_t *
status(void *self)
{
	struct delivery *delivery = self;
	json_t *object = json_object();
	const char *name;

	if (delivery->current != NULL) {
		name = destination_params(delivery->current)->relay->name;
		json_object_set_new(object, name,
		    relay_status(delivery->current, find_record(delivery, name)));
	}
	return object;
}

static void
destroy(void *self)
{
	struct delivery *delivery = self;
	struct job *job;

	if (delivery == NULL)
		return;
	destination_free(delivery->current);
	for (size_t i = 0; i < delivery->retired_count; i++)
		destination_free(delivery->retired[i]);
	while ((job = TAILQ_FIRST(&delivery->homeless)) != NULL) {
		TAILQ_REMOVE(&delivery->homeless, job, entry);
		job_free(job);
	}
	loop_cancel(delivery->loop, &delivery->end_homeless);
	for (size_t i = 0; i < delivery->record_count; i++)
		free_record(delivery->records[i]);
	free(delivery->records);
	free(delivery->retired);
	free(delivery);
}

const struct service_ops delivery_service = {
	.name = "delivery",
	.prepare = prepare,
	.commit = commit,
	.abandon = abandon,
	.drain = drain,
	.status = status,
	.destroy = destroy,
};
