/* session_setup.c - from nothing to a session that is ready: places, connections, TLS. */
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/config.h"
#include "net/conn.h"
#include "proto/smtp_client.h"
#include "relay/destination.h"
#include "relay/relay.h"
#include "relay/session_parts.h"

#include <event2/event.h>
#include <string.h>

/* Seconds for all of a set-up at one place.  RFC 5321 4.5.3.2 grants five minutes to the
 * greeting and to EHLO alone, for servers that look things up before they speak; but another
 * try costs nothing and no mail is on its way yet, while a relay that says nothing keeps all
 * its mail waiting, and the other places of it untried. */
#define SETUP_MAX	60

void
session_setup_failed(struct session *session)
{
	const struct destination_fault fault = {
		.status = &session->fault,
		.relay = session->relay,
		.tls = session->tls,
		.step = session->step,
		.setup_us = session->was_ready ? 0 : clock_monotonic_us() - session->started_us,
		.auth_refused = session->client != NULL &&
		    smtp_client_auth_refused(session->client),
		.was_ready = session->was_ready,
	};

	session_set_state(session, SESSION_ENDING);
	destination_failed(session->destination, session, &fault);
	session_end(session);
}

static void
drop_connection(struct session *session)
{
	if (session->conn != NULL)
		conn_close(session->conn);
	session->conn = NULL;
	smtp_client_free(session->client);
	session->client = NULL;
	session->finished = false;
	session->in_handshake = false;
}

void
session_place_failed(struct session *session, const struct status *status)
{
	session->fault = *status;
	drop_connection(session);
	route_memory_failed(destination_memory(session->destination), &session->hop);
	log_write(LOG_LEVEL_DEBUG, "smtp", "%s: %s", session->relay, session->fault.text);
	session_next_place(session);
}

static const struct conn_events conn_events;

static void
connect_failed(struct session *session, const char *why)
{
	const struct status status = status_local("4.4.1", "connect to %s: %s", session->relay,
	    why);

	session_place_failed(session, &status);
}

static void
connect_place(struct session *session)
{
	const struct endpoint *to = &session->hop.address;
	struct endpoint from;
	struct error err;
	bool bound = session->config->source_address[0] != '\0' &&
	    endpoint_from_literal(&from, session->config->source_address, 0);

	session->tls[0] = '\0';
	session->step = "";
	if (bound && from.address.any.sa_family != to->address.any.sa_family) {
		connect_failed(session, "it is not of the family of source_address");
		return;
	}
	session->conn = conn_connect_from(session->loop, to, bound ? &from : NULL, &conn_events,
	    session, &err);
	if (session->conn == NULL)
		connect_failed(session, err.text);
	else
		session_set_timer(session, session->config->connect_timeout);
}

static void
on_place(void *arg, const struct next_hop *hop, const struct status *failure)
{
	struct session *session = arg;
	unsigned setup = session->config->connect_timeout;

	if (hop == NULL) {
		if (failure != NULL)
			session->fault = *failure;
		else if (session->fault.text[0] == '\0')
			session->fault = status_local("4.4.4", "the relay has no address");
		session_setup_failed(session);
		return;
	}
	session->hop = *hop;
	next_hop_text(hop, session->relay);
	session->in_clear = session->config->tls == CONFIG_TLS_OPPORTUNISTIC &&
	    destination_is_clear(session->destination, hop);
	setup = setup > SETUP_MAX ? setup : SETUP_MAX;
	session->deadline_us = clock_monotonic_us() + (int64_t)setup * 1000000;
	connect_place(session);
}

void
session_next_place(struct session *session)
{
	event_del(&session->timer);
	route_next(session->route, on_place, session);
}

unsigned
session_setup_timeout(const struct session *session)
{
	int64_t left = (session->deadline_us - clock_monotonic_us() + 999999) / 1000000;
	unsigned step = session->in_handshake ? session->config->connect_timeout :
	    smtp_client_timeout(session->client);

	left = left < 1 ? 1 : left;
	return step > 0 && step < (unsigned)left ? step : (unsigned)left;
}

/* --- TLS --- */

/* The same place again, as if TLS had not been offered. */
static void
go_on_in_clear(struct session *session, const char *why)
{
	log_write(LOG_LEVEL_INFO, "smtp", "relay %s: %s: TLS handshake: %s; tls = "
	    "\"opportunistic\": mail goes in clear", session->config->name, session->relay, why);
	destination_set_clear(session->destination, &session->hop);
	drop_connection(session);
	session->in_clear = true;
	connect_place(session);
}

static bool
may_go_on_in_clear(const struct session *session)
{
	return session->in_handshake && session->config->tls == CONFIG_TLS_OPPORTUNISTIC;
}

static void
tls_failed(struct session *session, const char *why)
{
	const struct status status = status_local("4.7.5", "TLS handshake: %s", why);

	session_place_failed(session, &status);
}

static bool
start_handshake(struct session *session, struct error *err)
{
	const struct relay_params *params =
	    relay_params(destination_relay(session->destination));

	session->in_handshake = conn_start_tls(session->conn, params->tls, session->hop.host,
	    false, err);
	if (session->in_handshake)
		session_set_timer(session, session->config->connect_timeout);
	return session->in_handshake;
}

bool
session_start_tls(struct session *session)
{
	struct error err;

	if (start_handshake(session, &err))
		return true;
	smtp_client_lost(session->client, err.text);
	return false;
}

/* --- the dialogue begins --- */

static void
set_params(struct session *session)
{
	static const enum smtp_client_tls tls[] = { [CONFIG_TLS_NONE] = SMTP_CLIENT_TLS_NONE,
	    [CONFIG_TLS_OPPORTUNISTIC] = SMTP_CLIENT_TLS_OPPORTUNISTIC,
	    [CONFIG_TLS_STARTTLS] = SMTP_CLIENT_TLS_STARTTLS,
	    [CONFIG_TLS_IMPLICIT] = SMTP_CLIENT_TLS_IMPLICIT };
	static const enum smtp_client_auth auth[] = { [CONFIG_AUTH_AUTO] = SMTP_CLIENT_AUTH_AUTO,
	    [CONFIG_AUTH_PLAIN] = SMTP_CLIENT_AUTH_PLAIN,
	    [CONFIG_AUTH_LOGIN] = SMTP_CLIENT_AUTH_LOGIN,
	    [CONFIG_AUTH_CRAM_MD5] = SMTP_CLIENT_AUTH_CRAM_MD5,
	    [CONFIG_AUTH_SCRAM_SHA_256] = SMTP_CLIENT_AUTH_SCRAM_SHA_256 };
	const struct relay_config *config = session->config;

	session->params = (struct smtp_client_params){
		.helo = config->helo,
		.tls = session->in_clear ? SMTP_CLIENT_TLS_NONE : tls[config->tls],
		/* What was to be under TLS is not said without. */
		.username = session->in_clear ? "" : config->username,
		.password = session->secret.len > 0 ? buf_octets(&session->secret) : "",
		.auth = auth[config->auth],
		.auth_in_clear = endpoint_is_loopback(&session->hop.address),
	};
}

static void
start_dialogue(struct session *session)
{
	const struct buf *secret = &relay_params(destination_relay(session->destination))->secret;

	buf_wipe(&session->secret);
	if (secret->len > 0) {
		buf_append(&session->secret, buf_octets(secret), secret->len);
		(void)buf_text(&session->secret);
	}
	set_params(session);
	session->client = smtp_client_new(&session->params, &session_client_events, session);
	session->progress = smtp_client_progress(session->client) - 1;
	session_settle(session);
}

/* --- what the connection says --- */

static void
on_open(void *owner)
{
	struct session *session = owner;
	struct error err;

	if (session->config->tls != CONFIG_TLS_IMPLICIT)
		start_dialogue(session);
	else if (!start_handshake(session, &err))
		tls_failed(session, err.text);
}

static void
on_secured(void *owner)
{
	struct session *session = owner;

	session->in_handshake = false;
	text_copy(session->tls, sizeof(session->tls), conn_tls_text(session->conn));
	if (session->client == NULL) {
		start_dialogue(session);
		return;
	}
	smtp_client_secured(session->client);
	session_settle(session);
}

static size_t
on_input(void *owner, const char *octets, size_t len)
{
	struct session *session = owner;
	bool secret;
	size_t used;

	if (session->client == NULL)
		return 0;	/* the greeting before on_open() has come: kept for later */
	secret = smtp_client_is_in_auth(session->client);
	session->step = smtp_client_step(session->client);
	used = smtp_client_input(session->client, octets, len);
	if (secret)
		session_log(session, '<', "(answer to AUTH)", strlen("(answer to AUTH)"));
	else
		session_log(session, '<', octets, used);
	session_settle(session);
	return used;
}

static void
on_drained(void *owner)
{
	session_send_more(owner);
}

static void
on_closed(void *owner, enum conn_end why, const char *text)
{
	struct session *session = owner;

	(void)why;
	session->conn = NULL;
	if (may_go_on_in_clear(session)) {
		go_on_in_clear(session, text);
	} else if (session->client != NULL) {
		session->step = smtp_client_step(session->client);
		smtp_client_lost(session->client, text);
		session_settle(session);
	} else if (session->in_handshake) {
		tls_failed(session, text);
	} else {
		connect_failed(session, text);
	}
}

static const struct conn_events conn_events = {
	.on_open = on_open, .on_input = on_input, .on_drained = on_drained,
	.on_secured = on_secured, .on_closed = on_closed,
};

void
session_on_timer(int fd, short what, void *arg)
{
	struct session *session = arg;

	(void)fd;
	(void)what;
	if (may_go_on_in_clear(session)) {
		go_on_in_clear(session, "timed out");
	} else if (session->client == NULL && session->in_handshake) {
		tls_failed(session, "timed out");
	} else if (session->client == NULL) {
		connect_failed(session, "timed out");
	} else if (session->state == SESSION_IDLE) {
		session->retired = true;
		session_settle(session);
	} else {
		session->step = smtp_client_step(session->client);
		smtp_client_lost(session->client, "timed out");
		session_settle(session);
	}
}
