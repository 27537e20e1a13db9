/* delivery.c - takes from the queue what is due, and has relays deliver it. */
#include "relay/delivery.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "conf/config.h"
#include "queue/queue.h"
#include "relay/budget.h"
#include "relay/delivery_parts.h"
#include "relay/router.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOMELESS_WAIT	3600	/* seconds; a reload that helps makes it due at once */

size_t
delivery_find(const struct delivery *delivery, const char *name)
{
	for (size_t i = 0; i < delivery->relay_count; i++)
		if (strcmp(relay_record(delivery->relays[i])->name, name) == 0)
			return i;
	return SIZE_MAX;
}

/* --- what outlives a configuration --- */

static void
read_kept(const struct delivery *delivery, struct relay_record *record)
{
	char name[64], *text;

	snprintf(name, sizeof(name), "paused:%.*s", RELAY_NAME_MAX, record->name);
	text = queue_kept(delivery->house.queue, name);
	record->paused = text != NULL;
	free(text);
}

/* Before the limits are set it says nothing, so it is read behind that. */
static void
read_rate(const struct delivery *delivery, struct relay_record *record)
{
	char name[64], *text;

	snprintf(name, sizeof(name), "rate:%.*s", RELAY_NAME_MAX, record->name);
	text = queue_kept(delivery->house.queue, name);
	/* What cannot be read was of another version: it is counted anew. */
	if (text != NULL && !rate_read(&record->rate, text))
		queue_keep(delivery->house.queue, name, "");
	free(text);
}

static struct relay_record *
find_record(const struct delivery *delivery, const char *name)
{
	for (size_t i = 0; i < delivery->record_count; i++)
		if (strcmp(delivery->records[i]->name, name) == 0)
			return delivery->records[i];
	return NULL;
}

static struct relay *
make_relay(struct delivery *delivery, struct relay_params *params)
{
	struct relay_record *record = find_record(delivery, params->relay->name);
	bool is_new = record == NULL;
	struct relay *relay;

	if (is_new) {
		record = mem_zalloc(sizeof(*record));
		record->name = mem_strdup(params->relay->name);
		delivery->records = mem_grow(delivery->records, delivery->record_count + 1,
		    sizeof(struct relay_record *));
		delivery->records[delivery->record_count++] = record;
		read_kept(delivery, record);
	}
	relay = relay_new(&delivery->house, params, record);
	if (is_new)
		read_rate(delivery, record);
	return relay;
}

static void
free_record(struct relay_record *record)
{
	free(record->name);
	free(record);
}

/* --- mail that was put off --- */

static void
on_retried(void *arg, uint64_t changed, const struct error *err)
{
	/* What could not be made due now comes by itself, later. */
	(void)arg;
	(void)changed;
	(void)err;
}

/* What waits for a time that the relay of that name, or "none", was the reason for. */
static void
retry(struct delivery *delivery, const char *relay)
{
	const struct queue_filter filter = { .state = "deferred", .relay = relay };

	queue_act(delivery->house.queue, QUEUE_RETRY, &filter, NULL, on_retried, NULL);
}

/* --- configuration --- */

struct prepared {
	struct relay_params *params;
	size_t count;
};

static void
abandon(void *self, void *prepared)
{
	struct prepared *next = prepared;

	(void)self;
	for (size_t i = 0; i < next->count; i++)
		relay_params_free(&next->params[i]);
	free(next->params);
	free(next);
}

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	struct prepared *prepared = mem_zalloc(sizeof(*prepared));

	prepared->params = mem_array(next->relay_count, sizeof(*prepared->params));
	for (size_t i = 0; i < next->relay_count; i++) {
		if (!relay_params_prepare(&prepared->params[i], next, &next->relays[i], err)) {
			abandon(self, prepared);
			return NULL;
		}
		prepared->count++;
	}
	return prepared;
}

/* Frees what has no session any more. */
static void
prune(struct delivery *delivery)
{
	for (size_t i = 0; i < delivery->retired_count;) {
		struct relay *relay = delivery->retired[i];

		if (!relay_is_empty(relay)) {
			i++;
			continue;
		}
		delivery->retired[i] = delivery->retired[--delivery->retired_count];
		relay_free(relay);
	}
}

static void
retire(struct delivery *delivery, struct relay *relay)
{
	relay_retire(relay);
	delivery->retired = mem_grow(delivery->retired, delivery->retired_count + 1,
	    sizeof(struct relay *));
	delivery->retired[delivery->retired_count++] = relay;
}

/* The one that goes on under the next configuration, taken out of the old ones; or NULL. */
static struct relay *
keep_relay(struct delivery *delivery, struct relay_params *params)
{
	size_t i = delivery_find(delivery, params->relay->name);
	struct relay *relay;

	if (i == SIZE_MAX || !relay_params_equal(relay_params(delivery->relays[i]), params))
		return NULL;
	relay = delivery->relays[i];
	delivery->relays[i] = delivery->relays[--delivery->relay_count];
	relay_refresh(relay, params);
	return relay;
}

/* What waits for a relay that is another one now, or gone, need not wait any longer. */
static void
switch_relays(struct delivery *delivery, struct prepared *next)
{
	struct relay **relays = mem_array(next->count, sizeof(struct relay *));

	for (size_t i = 0; i < next->count; i++)
		relays[i] = keep_relay(delivery, &next->params[i]);
	for (size_t i = 0; i < delivery->relay_count; i++) {
		retry(delivery, relay_params(delivery->relays[i])->relay->name);
		retire(delivery, delivery->relays[i]);
	}
	free(delivery->relays);
	delivery->relays = relays;
	for (size_t i = 0; i < next->count; i++)
		if (relays[i] == NULL)
			relays[i] = make_relay(delivery, &next->params[i]);
	delivery->relay_count = next->count;
}

/* All that waits in memory goes through the new routes. */
static void
commit(void *self, void *prepared, const struct config *next)
{
	struct delivery *delivery = self;
	struct job_list waiting = TAILQ_HEAD_INITIALIZER(waiting);
	struct prepared *relays = prepared;
	struct job *job;

	for (size_t i = 0; i < delivery->relay_count; i++)
		relay_take_waiting(delivery->relays[i], &waiting);
	switch_relays(delivery, relays);
	if (delivery->config != NULL && delivery->config->relay == NULL && next->relay != NULL)
		retry(delivery, "none");
	config_unref(delivery->config);
	delivery->config = config_ref(next);
	while ((job = TAILQ_FIRST(&waiting)) != NULL) {
		TAILQ_REMOVE(&waiting, job, entry);
		delivery_place(delivery, job);
	}
	free(relays->params);
	free(relays);
	prune(delivery);
	loop_defer(delivery->house.loop, &delivery->weigh);
}

/* --- whether any relay takes mail --- */

/* Mail goes there by a route, by default, or by hand. */
static bool
is_used(const struct delivery *delivery, const struct relay *relay)
{
	const struct config *config = delivery->config;
	const char *name = relay_params(relay)->relay->name;

	if (relay_record(relay)->chosen ||
	    (config->relay != NULL && strcmp(config->relay->name, name) == 0))
		return true;
	for (size_t i = 0; i < config->route_count; i++)
		if (strcmp(config->routes[i].relay, name) == 0)
			return true;
	return false;
}

/* Microseconds without any; INT64_MAX: until something is changed by hand.  What was rerouted
 * by an earlier run may wait for a relay that nothing else uses: a pause of all the others
 * does not hold it. */
static int64_t
shortest_wait(const struct delivery *delivery)
{
	int64_t shortest = INT64_MAX, spare = INT64_MAX;

	for (size_t i = 0; i < delivery->relay_count && shortest > 0; i++) {
		int64_t wait = relay_wait(delivery->relays[i]);
		int64_t *least = is_used(delivery, delivery->relays[i]) ? &shortest : &spare;

		if (wait < *least)
			*least = wait;
	}
	return shortest == INT64_MAX ? spare : shortest;
}

static void
weigh(void *owner)
{
	struct delivery *delivery = owner;
	int64_t wait = shortest_wait(delivery), until = 0;

	if (delivery->draining)
		return;
	if (wait == INT64_MAX)
		until = INT64_MAX;
	else if (wait > 0)
		until = clock_now() + (wait + 999999) / 1000000;
	if (until == delivery->held_until)
		return;
	delivery->held_until = until;
	queue_hold_back(delivery->house.queue, until);
}

static void
on_change(void *owner)
{
	struct delivery *delivery = owner;

	loop_defer(delivery->house.loop, &delivery->weigh);
}

/* --- mail --- */

static void
on_homeless(void *owner)
{
	struct delivery *delivery = owner;
	const struct status status = status_local("4.3.5", "no relay is configured");
	const struct job_attempt how = { .relay = "none", .conn_use = 1 };
	struct job *job;

	while ((job = TAILQ_FIRST(&delivery->homeless)) != NULL) {
		TAILQ_REMOVE(&delivery->homeless, job, entry);
		if (delivery->draining)
			job_return(job);
		else
			job_postpone(job, &status, &how, clock_now() + HOMELESS_WAIT,
			    &delivery->homeless_counts);
	}
}

struct delivery *
delivery_new(struct loop *loop, struct queue *queue, struct resolver *resolver)
{
	struct delivery *delivery = mem_zalloc(sizeof(*delivery));

	delivery->house = (struct relay_house){ .loop = loop, .queue = queue,
	    .resolver = resolver, .budget = budget_new(loop, 0), .on_change = on_change,
	    .owner = delivery };
	TAILQ_INIT(&delivery->homeless);
	delivery->end_homeless = (struct loop_task){ .run = on_homeless, .owner = delivery };
	delivery->weigh = (struct loop_task){ .run = weigh, .owner = delivery };
	return delivery;
}

void
delivery_dispatch(void *owner, struct envelope *batch, struct content *content)
{
	struct delivery *delivery = owner;

	prune(delivery);
	delivery_place(delivery, job_new(delivery->house.queue, batch, content, 0,
	    batch->recipient_count));
}

void
delivery_flush(struct delivery *delivery)
{
	for (size_t i = 0; i < delivery->relay_count; i++)
		relay_flush(delivery->relays[i]);
	on_change(delivery);
}

/* --- for the control socket --- */

bool
delivery_has_relay(struct delivery *delivery, const char *name)
{
	size_t i = delivery_find(delivery, name);

	if (i == SIZE_MAX)
		return false;
	/* Mail may have been held back for the others. */
	if (!relay_record(delivery->relays[i])->chosen)
		on_change(delivery);
	relay_record(delivery->relays[i])->chosen = true;
	return true;
}

const struct relay_params *
delivery_relay_params(const struct delivery *delivery, const char *name)
{
	size_t i = delivery_find(delivery, name);

	return i != SIZE_MAX ? relay_params(delivery->relays[i]) : NULL;
}

bool
delivery_pause(struct delivery *delivery, const char *name, bool pause)
{
	size_t i = delivery_find(delivery, name);

	if (i == SIZE_MAX)
		return false;
	relay_pause(delivery->relays[i], pause);
	on_change(delivery);
	if (!pause)
		retry(delivery, name);
	return true;
}

/* --- stop and status --- */

static bool
drain(void *self)
{
	struct delivery *delivery = self;
	bool done = true;

	delivery->draining = true;
	on_homeless(delivery);
	for (size_t i = 0; i < delivery->relay_count; i++)
		if (!relay_drain(delivery->relays[i]))
			done = false;
	for (size_t i = 0; i < delivery->retired_count; i++)
		if (!relay_drain(delivery->retired[i]))
			done = false;
	return done;
}

/* By name: {"smarthost": {"sessions": 1, ...}}. */
static json_t *
status(void *self)
{
	struct delivery *delivery = self;
	json_t *object = json_object();

	for (size_t i = 0; i < delivery->relay_count; i++)
		json_object_set_new(object, relay_record(delivery->relays[i])->name,
		    relay_json(delivery->relays[i]));
	return object;
}

static void
free_relays(struct relay **relays, size_t count)
{
	for (size_t i = 0; i < count; i++)
		relay_free(relays[i]);
	free(relays);
}

static void
destroy(void *self)
{
	struct delivery *delivery = self;
	struct job *job;

	if (delivery == NULL)
		return;
	free_relays(delivery->relays, delivery->relay_count);
	free_relays(delivery->retired, delivery->retired_count);
	while ((job = TAILQ_FIRST(&delivery->homeless)) != NULL) {
		TAILQ_REMOVE(&delivery->homeless, job, entry);
		job_free(job);
	}
	loop_cancel(delivery->house.loop, &delivery->end_homeless);
	loop_cancel(delivery->house.loop, &delivery->weigh);
	for (size_t i = 0; i < delivery->record_count; i++)
		free_record(delivery->records[i]);
	free(delivery->records);
	budget_free(delivery->house.budget);
	config_unref(delivery->config);
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
