/* smtp_server_hello.c - what the SMTP server offers: EHLO, HELO, HELP, and STARTTLS. */
#include "proto/smtp_verb.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

bool
smtp_server_may_starttls(const struct smtp_server *server)
{
	return server->settings.offers_starttls && !server->settings.is_secure;
}

bool
smtp_server_may_auth(const struct smtp_server *server)
{
	return server->settings.offers_auth != 0 && server->auth.username == NULL &&
	    (server->settings.is_secure || server->settings.auth_in_clear);
}

static bool
take_helo(const struct smtp_command *command)
{
	struct slice name = command->argument;

	if (name.len == 0 || name.len >= SMTP_HELO_SIZE || memchr(name.at, ' ', name.len) != NULL)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.at[i] <= 0x20 || name.at[i] >= 0x7f)
			return false;
	memcpy(command->server->helo, name.at, name.len);
	command->server->helo[name.len] = '\0';
	return true;
}

enum smtp_server_state
smtp_command_helo(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;

	if (!take_helo(command))
		return smtp_command_refuse(command, 501, "5.5.4", "a host name is needed");
	smtp_server_reset(server);
	server->extended = false;
	smtp_server_send(server, "250 ");
	smtp_server_send(server, server->settings.hostname);
	smtp_server_send(server, "\r\n");
	return SMTP_READY;
}

static void
send_auth(struct smtp_server *server)
{
	if (!smtp_server_may_auth(server))
		return;
	smtp_server_send(server, "250-AUTH");
	if ((server->settings.offers_auth & SMTP_AUTH_PLAIN) != 0)
		smtp_server_send(server, " PLAIN");
	if ((server->settings.offers_auth & SMTP_AUTH_LOGIN) != 0)
		smtp_server_send(server, " LOGIN");
	smtp_server_send(server, "\r\n");
}

enum smtp_server_state
smtp_command_ehlo(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	char size[64];

	if (!take_helo(command))
		return smtp_command_refuse(command, 501, "5.5.4", "a host name is needed");
	smtp_server_reset(server);
	server->extended = true;
	smtp_server_send(server, "250-");
	smtp_server_send(server, server->settings.hostname);
	snprintf(size, sizeof(size), "\r\n250-PIPELINING\r\n250-SIZE %llu\r\n",
	    (unsigned long long)server->settings.max_message_size);
	smtp_server_send(server, size);
	smtp_server_send(server, "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n");
	if (smtp_server_may_starttls(server))
		smtp_server_send(server, "250-STARTTLS\r\n");
	send_auth(server);
	smtp_server_send(server, "250 ENHANCEDSTATUSCODES\r\n");
	return SMTP_READY;
}

enum smtp_server_state
smtp_command_help(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;

	smtp_server_send(server,
	    "214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
	if (smtp_server_may_starttls(server))
		smtp_server_send(server, " STARTTLS");
	if (smtp_server_may_auth(server))
		smtp_server_send(server, " AUTH");
	smtp_server_send(server, "\r\n");
	return server->state;
}

/* --- STARTTLS, RFC 3207 --- */

enum smtp_server_state
smtp_command_starttls(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;

	if (server->settings.is_secure)
		return smtp_command_refuse(command, 503, "5.5.1", "TLS is active already");
	smtp_server_send(server, "220 2.0.0 Ready to start TLS\r\n");
	/* The owner may close from inside. */
	server->state = SMTP_AWAITS_TLS;
	server->events->on_starttls(server->owner, command->more_input);
	return server->state;
}

/* What was counted against the client stays: it is no knowledge of its making. */
void
smtp_server_secured(struct smtp_server *server)
{
	assert(server->state == SMTP_AWAITS_TLS);
	smtp_server_reset(server);
	smtp_auth_forget(server);
	server->settings.is_secure = true;
	server->extended = false;
	server->helo[0] = '\0';
	server->state = SMTP_GREETED;
}
