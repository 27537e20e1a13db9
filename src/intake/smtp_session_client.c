/* smtp_session_client.c - whom a session is with, and whether there is room for him. */
#include "intake/smtp_session_parts.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/config.h"
#include "intake/proxied.h"
#include "mail/maillog.h"
#include "net/linger.h"
#include "net/network.h"
#include "net/socket.h"

/* Names are not looked up: a slow DNS must not hold up mail that is given to us. */
static void
describe_client(struct smtp_session *session)
{
	const struct endpoint *client = &session->client;

	session->access_client = access_client_of(client, session->client_uid);
	/* The loopback of a proxy elsewhere is not ours. */
	session->may_relay = !session->is_unnamed &&
	    access_may_relay(session->terms->section, client) &&
	    !(session->is_proxied && endpoint_is_loopback(client) &&
	    !endpoint_is_loopback(&session->peer));
	if (client->kind == ENDPOINT_UNIX) {
		session->client_name = "local";
		snprintf(session->client_text, sizeof(session->client_text), "local[unix]");
		return;
	}
	session->client_name = endpoint_is_loopback(client) ? "localhost" : "unknown";
	endpoint_host(client, session->client_address);
	snprintf(session->client_text, sizeof(session->client_text), "%s[%s]",
	    session->client_name, session->client_address);
}

/* One line a second at most: a flood of clients is not to become a flood of lines. */
static void
show_out(struct smtp_session *session, enum access_verdict verdict)
{
	struct smtp_sessions *sessions = session->sessions;
	struct status status = status_reply(421, "4.7.0", "%s too many connections%s",
	    session->terms->config->hostname, verdict == ACCESS_CLIENT_FULL ? " from you" : "");
	struct maillog_reject reject = {
		.verb = "CONNECT", .client = session->client_text, .status = &status
	};
	char line[600] = "";
	size_t len = 0;
	int fd = session->fd;

	sessions->refused[REFUSED_CONNECTIONS]++;
	if (clock_now() != sessions->logged_full) {
		sessions->logged_full = clock_now();
		maillog_reject(&reject);
	}
	/* Whoever expects TLS cannot read it. */
	if (session->terms->section->tls != CONFIG_TLS_IMPLICIT ||
	    session->peer.kind == ENDPOINT_UNIX) {
		status_text(&status, line, sizeof(line) - 2);
		len = strlen(line);
		memcpy(line + len, "\r\n", 2);
		len += 2;
	}
	session->fd = -1;
	linger_dismiss(sessions->loop, fd, line, len);
	smtp_session_free(session);
}

/* The client is known: it is counted, and talked to where there is room. */
static void
admit(struct smtp_session *session)
{
	const struct submission_config *section = session->terms->section;
	enum access_verdict verdict;

	describe_client(session);
	verdict = access_enter(session->sessions->access, section, &session->access_client);
	if (verdict != ACCESS_OK) {
		show_out(session, verdict);
		return;
	}
	session->is_counted = true;
	log_write(LOG_LEVEL_DEBUG, "smtpd", "connect from %s", session->client_text);
	smtp_session_talk(session);
}

static void
on_proxied(void *arg, enum proxy_result result, const struct proxy_header *header, const char *why)
{
	struct smtp_session *session = arg;
	struct smtp_sessions *sessions = session->sessions;

	proxied_free(session->proxied);
	session->proxied = NULL;
	session->is_unnamed = session->is_proxied = result == PROXY_UNNAMED;
	if (result == PROXY_FOUND)
		session->is_proxied = endpoint_from_literal(&session->client, header->address,
		    header->port);
	if (result == PROXY_BAD || (result == PROXY_FOUND && !session->is_proxied)) {
		log_write(LOG_LEVEL_WARNING, "smtpd", "dropped the proxy %s: %s",
		    session->client_text, why != NULL ? why : "no address in the PROXY header");
		smtp_session_drop(session);
		return;
	}
	access_leave(sessions->access, session->terms->section->name, &session->access_client);
	session->is_counted = false;
	admit(session);
}

void
smtp_session_meet(struct smtp_session *session)
{
	const struct submission_config *section = session->terms->section;
	enum access_verdict verdict;

	session->client = session->peer;
	session->client_uid = socket_peer_uid(session->fd);
	if (session->peer.kind != ENDPOINT_INET ||
	    !network_list_has(&section->proxies, &session->peer.address.any)) {
		admit(session);
		return;
	}
	/* Until its client is known it is none, but one of all. */
	describe_client(session);
	session->access_client.key[0] = '\0';
	verdict = access_enter(session->sessions->access, section, &session->access_client);
	if (verdict != ACCESS_OK) {
		show_out(session, verdict);
		return;
	}
	session->is_counted = true;
	session->proxied = proxied_new(session->sessions->loop, session->fd, on_proxied, session);
}
