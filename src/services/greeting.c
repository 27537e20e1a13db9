/* greeting.c - the TCP service: whoever connects gets a text, and the connection is closed. */
#include "services/greeting.h"

#include "base/mem.h"
#include "base/service.h"
#include "conf/config.h"
#include "services/greeter.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

TAILQ_HEAD(greeters, greeter);

struct greeting {
	struct loop *loop;
	struct socket_pool *pool;
	struct greeters greeters; /* in force */
	struct greeters retired;  /* of earlier settings, with clients to end */
	struct loop_task sweep;	  /* frees the retired without clients */
};

struct prepared {
	struct greeters greeters;
};

static void
free_all(struct greeters *greeters)
{
	struct greeter *greeter;

	while ((greeter = TAILQ_FIRST(greeters)) != NULL) {
		TAILQ_REMOVE(greeters, greeter, entry);
		greeter_free(greeter);
	}
}

static void
on_sweep(void *owner)
{
	struct greeting *greeting = owner;
	struct greeter *greeter, *next;

	for (greeter = TAILQ_FIRST(&greeting->retired); greeter != NULL; greeter = next) {
		next = TAILQ_NEXT(greeter, entry);
		if (greeter->active > 0)
			continue;
		TAILQ_REMOVE(&greeting->retired, greeter, entry);
		greeter_free(greeter);
	}
}

static void *
prepare(void *self, const struct config *next, struct error *err)
{
	struct greeting *greeting = self;
	struct prepared *prepared = mem_zalloc(sizeof(*prepared));

	TAILQ_INIT(&prepared->greeters);
	for (size_t i = 0; i < next->greeting_count; i++) {
		struct greeter *greeter = greeter_new(
		    greeting->loop, greeting->pool, next, &next->greetings[i], err);

		if (greeter == NULL) {
			free_all(&prepared->greeters);
			free(prepared);
			return NULL;
		}
		greeter->on_idle = &greeting->sweep;
		TAILQ_INSERT_TAIL(&prepared->greeters, greeter, entry);
	}
	return prepared;
}

static struct greeter_tally *
find_tally(const struct greeting *greeting, const char *name)
{
	const struct greeter *greeter;

	TAILQ_FOREACH(greeter, &greeting->greeters, entry)
		if (strcmp(greeter->section->name, name) == 0)
			return greeter->tally;
	return NULL;
}

static void
commit(void *self, void *consumed, const struct config *next)
{
	struct greeting *greeting = self;
	struct prepared *prepared = consumed;
	struct greeter *greeter;

	(void)next;
	TAILQ_FOREACH(greeter, &greeting->greeters, entry)
		greeter_close(greeter);
	TAILQ_FOREACH(greeter, &prepared->greeters, entry)
		greeter_open(greeter, find_tally(greeting, greeter->section->name));
	TAILQ_CONCAT(&greeting->retired, &greeting->greeters, entry);
	TAILQ_CONCAT(&greeting->greeters, &prepared->greeters, entry);
	free(prepared);
	loop_defer(greeting->loop, &greeting->sweep);
}

static void
abandon(void *self, void *consumed)
{
	struct prepared *prepared = consumed;

	(void)self;
	free_all(&prepared->greeters);
	free(prepared);
}

static bool
drain(void *self)
{
	struct greeting *greeting = self;
	struct greeter *greeter;
	unsigned active = 0;

	TAILQ_FOREACH(greeter, &greeting->greeters, entry) {
		greeter_close(greeter);
		greeter_hurry(greeter);
		active += greeter->active;
	}
	TAILQ_FOREACH(greeter, &greeting->retired, entry) {
		greeter_hurry(greeter);
		active += greeter->active;
	}
	return active == 0;
}

static json_t *
status(void *self)
{
	struct greeting *greeting = self;
	json_t *all = json_object();
	struct greeter *greeter;

	TAILQ_FOREACH(greeter, &greeting->greeters, entry) {
		json_t *object = json_object();

		for (unsigned i = 0; i < GREETER_COUNTS; i++)
			json_object_set_new(object, greeter_count_names[i],
			    json_integer((json_int_t)greeter->tally->counts[i]));
		json_object_set_new(object, "active", json_integer((json_int_t)greeter->active));
		json_object_set_new(all, greeter->section->name, object);
	}
	return all;
}

static void
destroy(void *self)
{
	struct greeting *greeting = self;

	free_all(&greeting->greeters);
	free_all(&greeting->retired);
	loop_cancel(greeting->loop, &greeting->sweep);
	free(greeting);
}

const struct service_ops greeting_service = { "greeting", prepare, commit, abandon, drain, status,
	destroy };

struct greeting *
greeting_new(struct loop *loop, struct socket_pool *pool)
{
	struct greeting *greeting = mem_zalloc(sizeof(*greeting));

	greeting->loop = loop;
	greeting->pool = pool;
	greeting->sweep = (struct loop_task){ .run = on_sweep, .owner = greeting };
	TAILQ_INIT(&greeting->greeters);
	TAILQ_INIT(&greeting->retired);
	return greeting;
}
