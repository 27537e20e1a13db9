/* smtp_server_auth.c - AUTH, RFC 4954: from the command to the owner's word on the password. */
#include "proto/smtp_verb.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"

#define REFUSED_MAX	3	/* passwords of one session, RULES A2 */

void
smtp_auth_cancel(struct smtp_server *server)
{
	if (server->auth.exchange == NULL)
		return;
	sasl_server_end(server->auth.exchange);
	free(server->auth.exchange);
	server->auth.exchange = NULL;
}

void
smtp_auth_forget(struct smtp_server *server)
{
	smtp_auth_cancel(server);
	free(server->auth.username);
	server->auth.username = NULL;
}

static enum smtp_server_state
refuse(struct smtp_server *server, uint16_t code, const char *enhanced, const char *text)
{
	const struct smtp_command command = { .server = server, .name = "AUTH" };

	smtp_auth_cancel(server);
	smtp_command_refuse(&command, code, enhanced, text);
	return SMTP_READY;
}

/* Counts as a password that was refused: both are attempts to be somebody. */
static enum smtp_server_state
refuse_identity(struct smtp_server *server)
{
	struct status status = status_reply(535, "5.7.8", "one cannot act for another here");

	smtp_auth_cancel(server);
	server->state = SMTP_AWAITS_AUTH;
	smtp_server_auth_answer(server, &status);
	return server->state;
}

/* The owner may answer, or close, from inside. */
static enum smtp_server_state
ask_owner(struct smtp_server *server)
{
	struct sasl_server *exchange = server->auth.exchange;

	server->auth.exchange = NULL;
	server->auth.method = sasl_name(exchange->mechanism);
	server->auth.username = mem_strdup(sasl_server_username(exchange));
	server->state = SMTP_AWAITS_AUTH;
	server->events->on_auth(server->owner, sasl_server_username(exchange),
	    sasl_server_password(exchange));
	sasl_server_end(exchange);
	free(exchange);
	return server->state;
}

static enum smtp_server_state
go_on(struct smtp_server *server, struct slice answer)
{
	switch (sasl_server_answer(server->auth.exchange, answer.at, answer.len)) {
	case SASL_SERVER_CHALLENGE:
		smtp_server_send(server, "334 ");
		smtp_server_send(server, sasl_server_challenge(server->auth.exchange));
		smtp_server_send(server, "\r\n");
		return SMTP_IN_AUTH;
	case SASL_SERVER_DONE:
		return ask_owner(server);
	case SASL_SERVER_OTHER_IDENTITY:
		return refuse_identity(server);
	case SASL_SERVER_FAULT:
		break;
	}
	return refuse(server, 501, "5.5.2", "bad authentication response");
}

enum smtp_server_state
smtp_auth_line(struct smtp_server *server, struct slice line)
{
	if (slice_is(line, "*"))
		return refuse(server, 501, "5.7.0", "authentication cancelled");
	return go_on(server, line);
}

/* --- the command --- */

static enum sasl_mechanism
mechanism_of(const struct smtp_server *server, struct slice name)
{
	unsigned offered = server->settings.offers_auth;

	if ((offered & SMTP_AUTH_PLAIN) != 0 && slice_is(name, "PLAIN"))
		return SASL_PLAIN;
	if ((offered & SMTP_AUTH_LOGIN) != 0 && slice_is(name, "LOGIN"))
		return SASL_LOGIN;
	return SASL_NONE;
}

enum smtp_server_state
smtp_command_auth(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	struct slice name, response;
	enum sasl_mechanism mechanism;

	if (server->auth.username != NULL)
		return smtp_command_refuse(command, 503, "5.5.1", "authenticated already");
	if (!smtp_server_may_auth(server))
		return smtp_command_refuse(command, 538, "5.7.11", "TLS is needed before AUTH");
	smtp_command_split(command->argument, &name, &response);
	if (name.len == 0)
		return smtp_command_refuse(command, 501, "5.5.4", "a mechanism is needed");
	mechanism = mechanism_of(server, name);
	if (mechanism == SASL_NONE)
		return smtp_command_refuse(command, 504, "5.5.4", "mechanism not offered");
	server->auth.exchange = mem_zalloc(sizeof(*server->auth.exchange));
	sasl_server_start(server->auth.exchange, mechanism);
	/* RFC 4954 4: none at all is no response.  "=" is one without octets, which neither
	 * mechanism has: as little as what is no base64. */
	if (response.len == 0)
		response.at = NULL;
	return go_on(server, response);
}

/* --- the owner's side --- */

void
smtp_server_auth_answer(struct smtp_server *server, const struct status *status)
{
	struct status end;

	assert(server->state == SMTP_AWAITS_AUTH);
	server->state = SMTP_READY;
	if (status_class(status) == STATUS_SUCCESS) {
		smtp_server_send_status(server, status);
		return;
	}
	free(server->auth.username);
	server->auth.username = NULL;
	smtp_server_refuse(server, "AUTH", status, NULL);
	if (status_class(status) == STATUS_PERMANENT && ++server->auth.refused >= REFUSED_MAX) {
		end = status_reply(421, "4.7.0", "%s too many failed authentications",
		    server->settings.hostname);
		smtp_server_end(server, &end);
	} else
		smtp_server_check_patience(server);
}

const char *
smtp_server_username(const struct smtp_server *server)
{
	if (server->auth.username == NULL || server->state == SMTP_AWAITS_AUTH)
		return "";
	return server->auth.username;
}

const char *
smtp_server_auth_method(const struct smtp_server *server)
{
	return smtp_server_username(server)[0] != '\0' ? server->auth.method : "";
}
