/* daemon.c - the parts of heraldd, how they are joined, and their life. */
#include "daemon/daemon.h"

#include "autoconfig.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/service.h"
#include "conf/config.h"
#include "daemon/control.h"
#include "daemon/reload.h"
#include "daemon/system.h"
#include "intake/smtp_listener.h"
#include "net/loop.h"
#include "net/resolver.h"
#include "net/socket.h"
#include "queue/queue.h"
#include "relay/bounce.h"
#include "relay/delivery.h"
#include "services/greeting.h"
#include "services/quotes.h"

#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define SERVICES_MAX	8
#define DRAIN_POLL_US	20000		/* between two looks at whether all is drained */

struct daemon {
	const struct daemon_options *options;
	const struct config *config;
	struct loop *loop;
	struct socket_pool *sockets;
	struct resolver *resolver;
	struct queue *queue;
	struct delivery *delivery;	/* owned as a service */
	struct service services[SERVICES_MAX];
	size_t service_count;
	struct event *signals[6];
	struct event *watchdog, *drain;
	int64_t started_us, stop_at_us;	/* monotonic; stop_at_us 0: not stopping */
};

static void
add_service(struct daemon *daemon, const struct service_ops *ops, void *self, const char *key)
{
	daemon->services[daemon->service_count++] = (struct service){ ops, self, key };
}

/* --- status and reload, for the control socket and the signals --- */

static json_t *
daemon_status(void *self)
{
	struct daemon *daemon = self;
	json_t *status = json_pack("{s:s, s:I, s:i, s:b, s:b, s:I}",
	    "version", PACKAGE_VERSION,
	    "uptime", (json_int_t)((clock_monotonic_us() - daemon->started_us) / 1000000),
	    "generation", (int)daemon->config->generation,
	    "healthy", queue_healthy(daemon->queue),
	    "stopping", daemon->stop_at_us != 0,
	    "log_dropped", (json_int_t)log_dropped());

	for (size_t i = 0; i < daemon->service_count; i++) {
		const struct service *service = &daemon->services[i];

		if (service->status_key != NULL && service->ops->status != NULL)
			json_object_set_new(status, service->status_key,
			    service->ops->status(service->self));
	}
	return status;
}

static void
log_status(struct daemon *daemon)
{
	json_t *status = daemon_status(daemon), *value;
	const char *key;

	json_object_foreach(status, key, value) {
		char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		log_write(LOG_LEVEL_INFO, "heraldd", "status: %s: %s", key,
		    text != NULL ? text : "");
		free(text);
	}
	json_decref(status);
}

static void
configure_log(const struct daemon *daemon, const struct config *config)
{
	struct log_settings settings = config->log;

	if (daemon->options->debug) {
		settings.target = LOG_TARGET_STDERR;
		settings.level = LOG_LEVEL_DEBUG;
	}
	log_configure(&settings);
}

/* Reads, compares, prepares and switches; on a fault the old configuration stays whole. */
static bool
switch_over(struct daemon *daemon, struct error *err)
{
	struct config *next = config_load(daemon->options->conffile, err);
	char changes[512];

	if (next == NULL)
		return false;
	next->generation = daemon->config->generation + 1;
	if (!config_reloadable(daemon->config, next, err) ||
	    !reload_apply(daemon->services, daemon->service_count, next, err)) {
		config_unref(next);
		return false;
	}
	config_changes(daemon->config, next, changes, sizeof(changes));
	config_unref(daemon->config);
	daemon->config = next;
	configure_log(daemon, next);
	resolver_refresh(daemon->resolver);
	log_write(LOG_LEVEL_NOTICE, "heraldd", "reload: generation %u in force: %s changed",
	    next->generation, changes[0] != '\0' ? changes : "nothing");
	return true;
}

static bool
daemon_reload(void *self, struct error *err)
{
	struct daemon *daemon = self;
	bool done;

	if (daemon->stop_at_us != 0)
		return error_set(err, ERROR_SYSTEM, "heraldd is stopping");
	system_notify_reloading();
	done = switch_over(daemon, err);
	if (!done)
		log_write(LOG_LEVEL_ERROR, "heraldd", "reload refused: %s; generation %u stays "
		    "in force", err->text, daemon->config->generation);
	system_notify_ready(daemon->config->generation);
	return done;
}

/* --- stop --- */

static void
on_drain(int fd, short what, void *arg)
{
	static const struct timeval again = { 0, DRAIN_POLL_US };
	struct daemon *daemon = arg;
	bool drained = true;

	(void)fd;
	(void)what;
	for (size_t i = 0; i < daemon->service_count; i++)
		if (!daemon->services[i].ops->drain(daemon->services[i].self))
			drained = false;
	if (drained || clock_monotonic_us() >= daemon->stop_at_us) {
		log_write(LOG_LEVEL_NOTICE, "heraldd", "stop: %s", drained ? "all done"
		    : "stop_timeout is over, what is not done stays queued");
		loop_stop(daemon->loop);
		return;
	}
	evtimer_add(daemon->drain, &again);
}

static void
on_stop(evutil_socket_t number, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)what;
	if (daemon->stop_at_us != 0) {
		log_write(LOG_LEVEL_NOTICE, "heraldd", "stop: at once, by a second signal");
		loop_stop(daemon->loop);
		return;
	}
	log_write(LOG_LEVEL_NOTICE, "heraldd", "stop: by signal %d, at most %u s for what is in "
	    "flight", (int)number, daemon->config->stop_timeout);
	daemon->stop_at_us = clock_monotonic_us() + (int64_t)daemon->config->stop_timeout * 1000000;
	on_drain(-1, 0, daemon);
	system_notify_stopping();
}

/* --- other signals and the watchdog --- */

static void
on_reload(evutil_socket_t number, short what, void *arg)
{
	struct error err;

	(void)number;
	(void)what;
	if (!daemon_reload(arg, &err))
		return;		/* daemon_reload() has logged it */
}

static void
on_flush(evutil_socket_t number, short what, void *arg)
{
	struct daemon *daemon = arg;

	(void)number;
	(void)what;
	log_write(LOG_LEVEL_INFO, "heraldd", "flush: every deferred message is due now");
	delivery_flush(daemon->delivery);
	queue_flush(daemon->queue);
}

static void
on_status(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	log_status(arg);
}

static void
on_watchdog(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	system_notify_watchdog();
}

static void
watch_signals(struct daemon *daemon)
{
	static const struct { int number; event_callback_fn serve; } rows[] = {
		{ SIGHUP, on_reload }, { SIGTERM, on_stop }, { SIGINT, on_stop },
		{ SIGUSR1, on_flush }, { SIGUSR2, on_status },
	};
	struct event_base *base = loop_base(daemon->loop);

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		daemon->signals[i] = evsignal_new(base, rows[i].number, rows[i].serve, daemon);
		evsignal_add(daemon->signals[i], NULL);
	}
	daemon->drain = evtimer_new(base, on_drain, daemon);
}

/* Two signs of life per interval: the loop that hangs gives none. */
static void
start_watchdog(struct daemon *daemon)
{
	uint64_t half = system_watchdog_interval() / 2;
	struct timeval every = { (time_t)(half / 1000000), (suseconds_t)(half % 1000000) };

	if (half == 0)
		return;
	daemon->watchdog = event_new(loop_base(daemon->loop), -1, EV_PERSIST, on_watchdog, NULL);
	event_add(daemon->watchdog, &every);
}

/* --- start --- */

static const struct control_handlers control_handlers = {
	.status = daemon_status,
	.reload = daemon_reload,
};

/* The one place where queue, relay and bounce learn of each other. */
static bool
build(struct daemon *daemon, struct error *err)
{
	struct bounce *bounce;
	struct control_parts parts;
	struct queue_handlers handlers = {
		.dispatch = delivery_dispatch,
		.report = bounce_report,
	};

	if ((daemon->loop = loop_new(err)) == NULL ||
	    (daemon->resolver = resolver_new(daemon->loop, err)) == NULL ||
	    (daemon->queue = queue_new(daemon->loop, daemon->config, err)) == NULL)
		return false;
	add_service(daemon, &queue_service, daemon->queue, "queue");
	bounce = bounce_new(daemon->loop, daemon->queue);
	add_service(daemon, &bounce_service, bounce, "reports");
	daemon->delivery = delivery_new(daemon->loop, daemon->queue, daemon->resolver);
	add_service(daemon, &delivery_service, daemon->delivery, "relays");
	add_service(daemon, &greeting_service, greeting_new(daemon->loop, daemon->sockets),
	    "greeting");
	add_service(daemon, &quotes_service, quotes_new(daemon->loop, daemon->sockets), "quotes");
	add_service(daemon, &intake_service,
	    intake_new(daemon->loop, daemon->queue, daemon->sockets), "submission");
	parts = (struct control_parts){ .loop = daemon->loop, .resolver = daemon->resolver,
	    .queue = daemon->queue, .delivery = daemon->delivery };
	add_service(daemon, &control_service, control_new(daemon->sockets, &parts,
	    &control_handlers, daemon), NULL);
	handlers.relay = daemon->delivery;
	handlers.bounce = bounce;
	queue_set_handlers(daemon->queue, &handlers);
	return reload_apply(daemon->services, daemon->service_count, daemon->config, err);
}

static bool
start(struct daemon *daemon, struct error *err)
{
	const char *user = daemon->options->user;
	struct config *config;

	system_harden();
	config = config_load(daemon->options->conffile, err);
	if (config == NULL)
		return false;
	config->generation = 1;
	daemon->config = config;
	if (user == NULL)
		user = daemon->config->user;
	configure_log(daemon, daemon->config);
	daemon->sockets = socket_pool_new();
	if (!system_directories(daemon->config, user, err) ||
	    !system_pidfile(daemon->options->pidfile, err) ||
	    !system_drop_privileges(user, err) ||
	    !build(daemon, err))
		return false;
	watch_signals(daemon);
	start_watchdog(daemon);
	queue_start(daemon->queue);
	log_write(LOG_LEVEL_NOTICE, "heraldd", "start: version %s, generation %u in force: %s",
	    PACKAGE_VERSION, daemon->config->generation, daemon->config->path);
	system_notify_ready(daemon->config->generation);
	return true;
}

static void
destroy(struct daemon *daemon)
{
	while (daemon->service_count > 0) {
		struct service *service = &daemon->services[--daemon->service_count];

		service->ops->destroy(service->self);
	}
	for (size_t i = 0; i < sizeof(daemon->signals) / sizeof(daemon->signals[0]); i++)
		if (daemon->signals[i] != NULL)
			event_free(daemon->signals[i]);
	/* Another signal must not cut this short: what is left takes no time. */
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	if (daemon->watchdog != NULL)
		event_free(daemon->watchdog);
	if (daemon->drain != NULL)
		event_free(daemon->drain);
	resolver_free(daemon->resolver);
	loop_free(daemon->loop);
	socket_pool_free(daemon->sockets);
	config_unref(daemon->config);
	system_pidfile_remove();
}

static int
exit_code(const struct error *err)
{
	switch (err->kind) {
	case ERROR_CONFIG:
	case ERROR_TLS:
		return EX_CONFIG;
	case ERROR_SYSTEM:
		return EX_OSERR;
	case ERROR_NETWORK:
		return EX_UNAVAILABLE;
	case ERROR_STORE:
		return EX_IOERR;
	}
	return EX_SOFTWARE;
}

int
daemon_run(const struct daemon_options *options)
{
	struct daemon daemon = { .options = options, .started_us = clock_monotonic_us() };
	struct error err;
	int code = EX_OK;

	if (!start(&daemon, &err) || !loop_run(daemon.loop, &err)) {
		code = exit_code(&err);
		fprintf(stderr, "heraldd: %s\n", err.text);
		if (daemon.config != NULL && daemon.config->log.target != LOG_TARGET_STDERR)
			log_write(LOG_LEVEL_CRITICAL, "heraldd", "%s", err.text);
	}
	destroy(&daemon);
	return code;
}
