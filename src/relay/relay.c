/* relay.c - one relay block at work: its secret, its limits, its destinations. */
#include "relay/relay.h"

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "conf/config.h"
#include "net/loop.h"
#include "queue/queue.h"
#include "relay/destination.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Domains that are known at once; of more, mail waits in the store.  Each takes 4 KiB. */
#define DESTINATIONS_MAX	2000
#define FULL_WAIT		10	/* seconds */
#define PRUNE_EVERY		256	/* new destinations between two looks for idle ones */

struct relay {
	const struct relay_house *house;
	struct relay_params params;
	struct relay_record *record;
	struct destination *hosts;	/* NULL with mx */
	struct map *domains;		/* struct destination; NULL without mx */
	size_t since_prune;
	struct job_list surplus;	/* of domains that do not fit in */
	struct loop_task give_back;
};

static void
give_back(void *owner)
{
	struct relay *relay = owner;
	struct job *job;

	while ((job = TAILQ_FIRST(&relay->surplus)) != NULL) {
		TAILQ_REMOVE(&relay->surplus, job, entry);
		job_postpone(job, NULL, NULL, clock_now() + FULL_WAIT, &relay->record->counts);
	}
}

struct relay *
relay_new(const struct relay_house *house, struct relay_params *params,
    struct relay_record *record)
{
	struct relay *relay = mem_zalloc(sizeof(*relay));
	const struct relay_config *config = params->relay;

	relay->house = house;
	relay->params = *params;
	memset(params, 0, sizeof(*params));
	relay->record = record;
	rate_set(&record->rate, config->rates, config->rate_count);
	TAILQ_INIT(&relay->surplus);
	relay->give_back = (struct loop_task){ .run = give_back, .owner = relay };
	if (config->mx)
		relay->domains = map_new();
	else
		relay->hosts = destination_new(relay, NULL);
	return relay;
}

/* --- destinations --- */

static void
each_destination(const struct relay *relay, void (*each)(void *arg, const char *key, void *value),
    void *arg)
{
	if (relay->hosts != NULL)
		each(arg, "", relay->hosts);
	else
		map_each(relay->domains, each, arg);
}

static void
free_destination(void *arg, const char *key, void *value)
{
	(void)arg;
	(void)key;
	destination_free(value);
}

void
relay_free(struct relay *relay)
{
	struct job *job;

	if (relay == NULL)
		return;
	each_destination(relay, free_destination, NULL);
	map_free(relay->domains);
	loop_cancel(relay->house->loop, &relay->give_back);
	while ((job = TAILQ_FIRST(&relay->surplus)) != NULL) {
		TAILQ_REMOVE(&relay->surplus, job, entry);
		job_free(job);
	}
	relay_params_free(&relay->params);
	free(relay);
}

static void
prune_one(void *arg, const char *key, void *value)
{
	struct relay *relay = arg;

	if (!destination_is_idle(value, map_count(relay->domains) >= DESTINATIONS_MAX))
		return;
	map_remove(relay->domains, key);
	destination_free(value);
}

/* Once in a while, and when there is no place left: then what is known of dead domains goes,
 * as far as places are wanted. */
static bool
make_room(struct relay *relay)
{
	if (++relay->since_prune >= PRUNE_EVERY || map_count(relay->domains) >= DESTINATIONS_MAX) {
		relay->since_prune = 0;
		map_each(relay->domains, prune_one, relay);
	}
	return map_count(relay->domains) < DESTINATIONS_MAX;
}

static struct destination *
find_destination(struct relay *relay, const char *domain)
{
	struct destination *destination;

	if (relay->hosts != NULL)
		return relay->hosts;
	destination = map_get(relay->domains, domain);
	if (destination != NULL || !make_room(relay))
		return destination;
	destination = destination_new(relay, domain);
	map_put(relay->domains, domain, destination);
	return destination;
}

void
relay_add(struct relay *relay, const char *domain, struct job *job)
{
	struct destination *destination = find_destination(relay, domain);

	if (destination != NULL) {
		destination_add(destination, job);
		return;
	}
	TAILQ_INSERT_TAIL(&relay->surplus, job, entry);
	loop_defer(relay->house->loop, &relay->give_back);
}

static void
take_waiting(void *arg, const char *key, void *value)
{
	(void)key;
	destination_take_waiting(value, arg);
}

void
relay_take_waiting(struct relay *relay, struct job_list *out)
{
	each_destination(relay, take_waiting, out);
	TAILQ_CONCAT(out, &relay->surplus, entry);
}

static void
retire_one(void *arg, const char *key, void *value)
{
	(void)arg;
	(void)key;
	destination_retire(value);
}

void
relay_retire(struct relay *relay)
{
	each_destination(relay, retire_one, NULL);
}

static void
drain_one(void *arg, const char *key, void *value)
{
	bool *done = arg;

	(void)key;
	if (!destination_drain(value))
		*done = false;
}

bool
relay_drain(struct relay *relay)
{
	bool done = true;

	give_back(relay);
	each_destination(relay, drain_one, &done);
	return done;
}

static void
see_sessions(void *arg, const char *key, void *value)
{
	bool *seen = arg;

	(void)key;
	*seen |= destination_has_sessions(value);
}

bool
relay_is_empty(const struct relay *relay)
{
	bool seen = false;

	each_destination(relay, see_sessions, &seen);
	return !seen;
}

static void
flush_one(void *arg, const char *key, void *value)
{
	(void)arg;
	(void)key;
	destination_flush(value);
}

void
relay_flush(struct relay *relay)
{
	each_destination(relay, flush_one, NULL);
}

static void
schedule_one(void *arg, const char *key, void *value)
{
	(void)arg;
	(void)key;
	destination_schedule(value);
}

void
relay_pause(struct relay *relay, bool pause)
{
	char name[64];

	relay->record->paused = pause;
	snprintf(name, sizeof(name), "paused:%.*s", RELAY_NAME_MAX, relay->record->name);
	queue_keep(relay->house->queue, name, pause ? "1" : "");
	if (!pause)
		relay_flush(relay);
	each_destination(relay, schedule_one, NULL);
}

/* --- what it is --- */

const struct relay_params *
relay_params(const struct relay *relay)
{
	return &relay->params;
}

const struct relay_house *
relay_house(const struct relay *relay)
{
	return relay->house;
}

struct relay_record *
relay_record(const struct relay *relay)
{
	return relay->record;
}

bool
relay_is_ours(const struct relay *relay)
{
	return relay->hosts != NULL;
}

int64_t
relay_wait(const struct relay *relay)
{
	int64_t rate = relay_rate_wait(relay), suspended = 0;

	if (relay->record->paused)
		return INT64_MAX;
	if (relay->hosts != NULL)
		suspended = (int64_t)destination_state(relay->hosts).suspended * 1000000;
	return rate > suspended ? rate : suspended;
}

/* --- rates --- */

static void
keep_rate(const struct relay *relay)
{
	char name[64], text[RATE_TEXT_MAX];

	snprintf(name, sizeof(name), "rate:%.*s", RELAY_NAME_MAX, relay->record->name);
	rate_write(&relay->record->rate, text);
	queue_keep(relay->house->queue, name, text);
}

bool
relay_take_token(struct relay *relay)
{
	struct rate *rate = &relay->record->rate;
	int64_t now = clock_now_us();

	if (rate->limit_count == 0)
		return true;
	if (rate_next(rate, now) != 0)
		return false;
	rate_count(rate, now);
	keep_rate(relay);
	if (rate_next(rate, now) != 0)
		relay->house->on_change(relay->house->owner);
	return true;
}

void
relay_return_token(struct relay *relay)
{
	if (relay->record->rate.limit_count == 0)
		return;
	rate_uncount(&relay->record->rate, clock_now_us());
	keep_rate(relay);
}

size_t
relay_rate_room(const struct relay *relay)
{
	return rate_room(&relay->record->rate, clock_now_us());
}

int64_t
relay_rate_wait(const struct relay *relay)
{
	int64_t now = clock_now_us(), next = rate_next(&relay->record->rate, now);

	return next > now ? next - now : 0;
}

int64_t
relay_rate_gap(const struct relay *relay)
{
	const struct rate *rate = &relay->record->rate;
	int64_t gap = 0;

	for (size_t i = 0; i < rate->limit_count; i++) {
		const struct rate_limit *limit = &rate->limits[i];
		int64_t one = (int64_t)(limit->seconds * 1000000 / (limit->count + 1));

		gap = one > gap ? one : gap;
	}
	return gap;
}

/* --- shown --- */

static void
append_json(void *arg, const char *key, void *value)
{
	(void)key;
	json_array_append_new(arg, destination_json(value));
}

static json_t *
sum_up(const json_t *destinations, const char *key, bool largest)
{
	json_int_t total = 0, value;
	const json_t *one;
	size_t i;

	json_array_foreach(destinations, i, one) {
		value = json_integer_value(json_object_get(one, key));
		total = !largest ? total + value : value > total ? value : total;
	}
	return json_integer(total);
}

static json_t *
rates_json(const struct relay *relay)
{
	const struct rate *rate = &relay->record->rate;
	json_t *list = json_array();

	for (size_t i = 0; i < rate->limit_count; i++)
		json_array_append_new(list, json_pack("{s:I, s:I, s:I}",
		    "count", (json_int_t)rate->limits[i].count,
		    "seconds", (json_int_t)rate->limits[i].seconds,
		    "used", (json_int_t)rate->limits[i].used));
	return list;
}

static void
set_number(json_t *object, const char *key, uint64_t number)
{
	json_object_set_new(object, key, json_integer((json_int_t)number));
}

static void
set_fault(json_t *object, const struct relay_record *record)
{
	bool faulty = record->last_fault.text[0] != '\0';

	json_object_set_new(object, "fault", faulty ?
	    json_string(record->last_fault.text) : json_null());
	json_object_set_new(object, "fault_at", faulty ?
	    json_integer(record->last_fault_at) : json_null());
}

json_t *
relay_json(const struct relay *relay)
{
	static const char *const sums[] = { "sessions", "busy", "idle", "waiting", "window" };
	const struct relay_record *record = relay->record;
	json_t *object = json_object(), *destinations = json_array();

	each_destination(relay, append_json, destinations);
	for (size_t i = 0; i < sizeof(sums) / sizeof(sums[0]); i++)
		json_object_set_new(object, sums[i], sum_up(destinations, sums[i], false));
	json_object_set_new(object, "suspended_seconds", relay->hosts != NULL ?
	    sum_up(destinations, "suspended_seconds", true) : json_integer(0));
	json_object_set_new(object, "paused", json_boolean(record->paused));
	set_number(object, "delivered", record->counts.delivered);
	set_number(object, "deferred", record->counts.deferred);
	set_number(object, "failed", record->counts.failed);
	set_fault(object, record);
	json_object_set_new(object, "rates", rates_json(relay));
	set_number(object, "rate_wait_seconds",
	    (uint64_t)(relay_rate_wait(relay) + 999999) / 1000000);
	if (relay->hosts != NULL)
		json_decref(destinations);
	else
		json_object_set_new(object, "destinations", destinations);
	return object;
}

/* --- reload --- */

void
relay_refresh(struct relay *relay, struct relay_params *params)
{
	struct tls_context *old = relay->params.tls;

	/* All else is equal, and sessions point into what we have. */
	relay->params.tls = params->tls;
	params->tls = old;
	relay_params_free(params);
}

bool
relay_renew_secret(struct relay *relay)
{
	return relay_params_renew(&relay->params);
}
