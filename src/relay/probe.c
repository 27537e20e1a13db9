/* probe.c - asks a relay, without sending mail, whether it would take some. */
#include "relay/probe.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/conn.h"
#include "net/loop.h"
#include "net/tls.h"
#include "proto/smtp_client.h"
#include "relay/route.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define DIALOGUE_MAX	400	/* lines kept: what a session without mail never needs */
#define LINE_SHOWN	256	/* octets of each */
#define HANDSHAKE	"TLS handshake"	/* as the engine calls that step, too */

struct probe {
	struct loop *loop;
	const struct config *config;	/* a reference */
	const struct relay_config *relay;
	struct tls_context *tls;	/* a reference, or NULL */
	struct buf secret;
	probe_done *done;
	void *arg;

	struct route *route;
	struct next_hop hop;
	char place[ROUTE_TEXT_MAX];	/* "" before the first */
	bool in_clear;			/* the handshake failed here, and the policy allows that */
	struct conn *conn;
	struct smtp_client *client;
	struct smtp_client_params params;
	bool is_ready, is_parting, is_finished;
	struct status end;		/* why the dialogue ended, on is_finished */

	const char *step;		/* under way; NULL: none */
	int64_t step_started_us;
	char said[LINE_SHOWN];		/* the last line of the peer */
	bool ok;
	char text[STATUS_TEXT_MAX];	/* the outcome in words */
	char tls_text[40], certificate[512];
	json_t *steps, *dialogue;
	struct event *timer, *deadline;
	struct loop_task task;		/* the end */
};

static void next_place(struct probe *probe);
static void watch(struct probe *probe);

/* --- what is told --- */

static void
begin_step(struct probe *probe, const char *step)
{
	static const struct timeval patience = { PROBE_STEP_SECONDS, 0 };

	probe->step = step;
	probe->step_started_us = clock_monotonic_us();
	event_add(probe->timer, &patience);
}

static void
end_step(struct probe *probe, bool ok, const char *text)
{
	int64_t took = clock_monotonic_us() - probe->step_started_us;

	if (probe->step == NULL)
		return;
	json_array_append_new(probe->steps, json_pack("{s:s, s:s, s:b, s:f, s:s}",
	    "step", probe->step, "place", probe->place, "ok", ok,
	    "milliseconds", (double)took / 1000, "text", text));
	probe->step = NULL;
}

static void
note_line(struct probe *probe, char direction, const char *octets, size_t len)
{
	char line[LINE_SHOWN + 2] = { direction, ' ' };

	if (json_array_size(probe->dialogue) >= DIALOGUE_MAX)
		return;
	text_printable(line + 2, sizeof(line) - 2, octets, len);
	json_array_append_new(probe->dialogue, json_string(line));
}

static void
note(struct probe *probe, char direction, const char *octets, size_t len)
{
	while (len > 0) {
		const char *end = memchr(octets, '\n', len);
		size_t line = end == NULL ? len : (size_t)(end + 1 - octets), shown = line;

		while (shown > 0 && (octets[shown - 1] == '\n' || octets[shown - 1] == '\r'))
			shown--;
		note_line(probe, direction, octets, shown);
		if (direction == '<')
			text_printable(probe->said, sizeof(probe->said), octets, shown);
		octets += line;
		len -= line;
	}
}

/* --- the end --- */

static void
leave_place(struct probe *probe)
{
	if (probe->conn != NULL)
		conn_close(probe->conn);
	probe->conn = NULL;
	smtp_client_free(probe->client);
	probe->client = NULL;
	probe->is_ready = probe->is_parting = probe->is_finished = false;
}

static void
finish(void *owner)
{
	struct probe *probe = owner;
	json_t *result = json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:o, s:o}",
	    "relay", probe->relay->name, "ok", probe->ok, "place", probe->place,
	    "tls", probe->tls_text, "certificate", probe->certificate, "text", probe->text,
	    "steps", probe->steps, "dialogue", probe->dialogue);

	leave_place(probe);
	route_free(probe->route);
	loop_cancel(probe->loop, &probe->task);
	event_free(probe->timer);
	event_free(probe->deadline);
	probe->done(probe->arg, result);
	tls_unref(probe->tls);
	buf_wipe(&probe->secret);
	config_unref(probe->config);
	free(probe);
}

static void
conclude(struct probe *probe, bool ok, const char *text)
{
	end_step(probe, ok, text);
	event_del(probe->timer);
	probe->ok = ok;
	if (text != probe->text)
		text_copy(probe->text, sizeof(probe->text), text);
	leave_place(probe);
	loop_defer(probe->loop, &probe->task);
}

static void
fail_place(struct probe *probe, const char *text)
{
	bool refused = probe->client != NULL && smtp_client_auth_refused(probe->client);

	text_copy(probe->text, sizeof(probe->text), text);
	end_step(probe, false, probe->text);
	leave_place(probe);
	/* The account is the same at every host: no hammering. */
	if (refused)
		conclude(probe, false, probe->text);
	else
		next_place(probe);
}

/* --- places --- */

static const struct conn_events conn_events;
static const struct smtp_client_events client_events;

static void
connect_to(struct probe *probe)
{
	const struct endpoint *to = &probe->hop.address;
	struct endpoint from;
	struct error err;
	bool bound = probe->relay->source_address[0] != '\0' &&
	    endpoint_from_literal(&from, probe->relay->source_address, 0);

	begin_step(probe, "connect");
	if (bound && from.address.any.sa_family != to->address.any.sa_family)
		error_set(&err, ERROR_NETWORK, "it is not of the family of source_address");
	else
		probe->conn = conn_connect_from(probe->loop, to, bound ? &from : NULL,
		    &conn_events, probe, &err);
	if (probe->conn == NULL)
		fail_place(probe, err.text);
}

static void
on_place(void *arg, const struct next_hop *hop, const struct status *failure)
{
	struct probe *probe = arg;

	if (hop == NULL) {
		if (failure != NULL)
			text_copy(probe->text, sizeof(probe->text), failure->text);
		else if (probe->text[0] == '\0')
			text_copy(probe->text, sizeof(probe->text), "the relay has no address");
		if (json_array_size(probe->steps) > 0 && failure == NULL)
			probe->step = NULL;	/* only the end of the list */
		conclude(probe, false, probe->text);
		return;
	}
	probe->hop = *hop;
	probe->in_clear = false;
	next_hop_text(hop, probe->place);
	end_step(probe, true, probe->place);
	connect_to(probe);
}

static void
next_place(struct probe *probe)
{
	begin_step(probe, "DNS");
	route_next(probe->route, on_place, probe);
}

static void
start_dialogue(struct probe *probe)
{
	static const enum smtp_client_tls tls[] = { [CONFIG_TLS_NONE] = SMTP_CLIENT_TLS_NONE,
	    [CONFIG_TLS_OPPORTUNISTIC] = SMTP_CLIENT_TLS_OPPORTUNISTIC,
	    [CONFIG_TLS_STARTTLS] = SMTP_CLIENT_TLS_STARTTLS,
	    [CONFIG_TLS_IMPLICIT] = SMTP_CLIENT_TLS_IMPLICIT };
	static const enum smtp_client_auth auth[] = {
	    [CONFIG_AUTH_AUTO] = SMTP_CLIENT_AUTH_AUTO,
	    [CONFIG_AUTH_PLAIN] = SMTP_CLIENT_AUTH_PLAIN,
	    [CONFIG_AUTH_LOGIN] = SMTP_CLIENT_AUTH_LOGIN,
	    [CONFIG_AUTH_CRAM_MD5] = SMTP_CLIENT_AUTH_CRAM_MD5,
	    [CONFIG_AUTH_SCRAM_SHA_256] = SMTP_CLIENT_AUTH_SCRAM_SHA_256 };

	probe->params = (struct smtp_client_params){
		.helo = probe->relay->helo,
		.tls = probe->in_clear ? SMTP_CLIENT_TLS_NONE : tls[probe->relay->tls],
		/* What was to be under TLS is not said without. */
		.username = probe->in_clear ? "" : probe->relay->username,
		.password = probe->secret.len > 0 ? buf_octets(&probe->secret) : "",
		.auth = auth[probe->relay->auth],
		.auth_in_clear = endpoint_is_loopback(&probe->hop.address),
	};
	probe->client = smtp_client_new(&probe->params, &client_events, probe);
	begin_step(probe, smtp_client_step(probe->client));
}

/* --- what the engine asks --- */

static void
on_send(void *owner, const char *octets, size_t len, bool secret)
{
	struct probe *probe = owner;

	if (secret)
		note_line(probe, '>', "(secret)", strlen("(secret)"));
	else
		note(probe, '>', octets, len);
	conn_write(probe->conn, octets, len);
}

static void
on_start_tls(void *owner)
{
	struct probe *probe = owner;
	struct error err;

	if (!conn_start_tls(probe->conn, probe->tls, probe->hop.host, false, &err)) {
		text_copy(probe->said, sizeof(probe->said), err.text);
		smtp_client_lost(probe->client, err.text);
	}
}

static void
on_send_data(void *owner, void *cookie, bool bdat)
{
	(void)owner;
	(void)cookie;
	(void)bdat;
	abort();	/* no mail is ever given to the engine */
}

static void
on_ready(void *owner)
{
	struct probe *probe = owner;

	probe->is_ready = true;
}

static void
on_recipient(void *owner, void *cookie, size_t index, const struct status *status)
{
	(void)index;
	(void)status;
	on_send_data(owner, cookie, false);
}

static void
on_finished(void *owner, const struct status *status)
{
	struct probe *probe = owner;

	probe->is_finished = true;
	probe->end = *status;
}

static const struct smtp_client_events client_events = {
	.send = on_send, .start_tls = on_start_tls, .send_data = on_send_data,
	.on_ready = on_ready, .on_recipient = on_recipient, .on_finished = on_finished,
};

/* After each call of the engine: a new step ends the one before. */
static void
watch(struct probe *probe)
{
	const char *step;

	if (probe->is_finished) {
		if (!probe->is_ready)
			fail_place(probe, probe->end.text);
		else
			conclude(probe, true, "takes mail");
		return;
	}
	step = smtp_client_step(probe->client);
	if (probe->step != NULL && strcmp(step, probe->step) != 0) {
		end_step(probe, true, probe->said);
		begin_step(probe, step);
	}
	if (probe->is_ready && !probe->is_parting) {
		probe->is_parting = true;
		probe->step = NULL;	/* "idle" is no step of a probe */
		begin_step(probe, "QUIT");
		smtp_client_quit(probe->client);
		watch(probe);
	}
}

/* --- what the connection says --- */

static void
on_open(void *owner)
{
	struct probe *probe = owner;
	struct error err;

	end_step(probe, true, probe->place);
	if (probe->relay->tls != CONFIG_TLS_IMPLICIT) {
		start_dialogue(probe);
		return;
	}
	begin_step(probe, HANDSHAKE);
	if (!conn_start_tls(probe->conn, probe->tls, probe->hop.host, false, &err))
		fail_place(probe, err.text);
}

static void
on_secured(void *owner)
{
	struct probe *probe = owner;

	text_copy(probe->tls_text, sizeof(probe->tls_text), conn_tls_text(probe->conn));
	conn_certificate_text(probe->conn, probe->certificate, sizeof(probe->certificate));
	text_copy(probe->said, sizeof(probe->said), probe->tls_text);
	if (probe->client == NULL) {
		end_step(probe, true, probe->tls_text);
		start_dialogue(probe);
	} else {
		smtp_client_secured(probe->client);
		watch(probe);
	}
}

/* What is heard stands before what is said to it. */
static void
note_heard(struct probe *probe, bool secret, const char *octets, size_t len)
{
	if (secret && len > 0)
		note(probe, '<', "(answer to AUTH)", strlen("(answer to AUTH)"));
	else
		note(probe, '<', octets, len);
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct probe *probe = owner;
	const char *newline = memrchr(octets, '\n', len);
	size_t lines = newline != NULL ? (size_t)(newline + 1 - octets) : 0, used;
	bool secret = probe->client != NULL && smtp_client_is_in_auth(probe->client);

	if (probe->client == NULL)
		return 0;	/* the greeting before on_open() has come: kept for later */
	note_heard(probe, secret, octets, lines);
	used = smtp_client_input(probe->client, octets, len);
	/* A line without an end is used only where the dialogue ends. */
	if (used > lines)
		note_heard(probe, secret, octets + lines, used - lines);
	watch(probe);
	return used;
}

/* False: the handshake is not under way, or it must succeed. */
static bool
go_on_in_clear(struct probe *probe, const char *why)
{
	if (probe->relay->tls != CONFIG_TLS_OPPORTUNISTIC || probe->step == NULL ||
	    strcmp(probe->step, HANDSHAKE) != 0)
		return false;
	end_step(probe, false, why);
	leave_place(probe);
	probe->in_clear = true;
	connect_to(probe);
	return true;
}

static void
on_closed(void *owner, enum conn_end why, const char *text)
{
	struct probe *probe = owner;

	/* The one that was not taken is what the administrator wants to see. */
	if (why == CONN_TLS)
		conn_certificate_text(probe->conn, probe->certificate, sizeof(probe->certificate));
	probe->conn = NULL;
	if (go_on_in_clear(probe, text))
		return;
	if (probe->client != NULL) {
		smtp_client_lost(probe->client, text);
		watch(probe);
	} else {
		fail_place(probe, text);
	}
}

static const struct conn_events conn_events = {
	.on_open = on_open, .on_input = on_input, .on_secured = on_secured,
	.on_closed = on_closed,
};

static void
on_step_timeout(int fd, short what, void *arg)
{
	struct probe *probe = arg;

	(void)fd;
	(void)what;
	if (go_on_in_clear(probe, "timed out"))
		return;
	if (probe->client != NULL) {
		smtp_client_lost(probe->client, "timed out");
		watch(probe);
	} else if (probe->conn != NULL) {
		fail_place(probe, "timed out");
	}
}

static void
on_deadline(int fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	probe_cancel(arg);
}

/* --- start --- */

struct probe *
probe_start(struct loop *loop, struct resolver *resolver, const struct probe_params *params,
    probe_done *done, void *arg)
{
	static const struct timeval all = { PROBE_SECONDS, 0 };
	struct probe *probe = mem_zalloc(sizeof(*probe));
	const struct route_params route = { .config = params->relay, .resolver = resolver,
	    .domain = params->domain, .hostname = params->config->hostname };

	probe->loop = loop;
	probe->config = config_ref(params->config);
	probe->relay = params->relay;
	probe->tls = params->tls != NULL ? tls_ref(params->tls) : NULL;
	buf_reserve(&probe->secret, strlen(params->password) + 1);
	buf_append_text(&probe->secret, params->password);
	buf_text(&probe->secret);
	probe->done = done;
	probe->arg = arg;
	probe->steps = json_array();
	probe->dialogue = json_array();
	probe->task = (struct loop_task){ .run = finish, .owner = probe };
	probe->timer = evtimer_new(loop_base(loop), on_step_timeout, probe);
	probe->deadline = evtimer_new(loop_base(loop), on_deadline, probe);
	if (probe->timer == NULL || probe->deadline == NULL)
		abort();
	event_add(probe->deadline, &all);
	probe->route = route_new(loop, &route);
	next_place(probe);
	return probe;
}

void
probe_cancel(struct probe *probe)
{
	end_step(probe, false, "not done in time");
	if (probe->text[0] == '\0')
		text_copy(probe->text, sizeof(probe->text), "not done in time");
	finish(probe);
}

const char *
probe_relay(const struct probe *probe)
{
	return probe->relay->name;
}
