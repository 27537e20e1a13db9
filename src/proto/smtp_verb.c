/* smtp_verb.c - the commands of the SMTP server, one row each. */
#include "proto/smtp_verb.h"


#include "proto/smtp_params.h"

#define OPEN	(1u << SMTP_HAS_SENDER | 1u << SMTP_HAS_RECIPIENTS)
#define ALWAYS	(1u << SMTP_GREETED | 1u << SMTP_READY | OPEN | 1u << SMTP_HAS_CHUNKS)

/* The path of MAIL or RCPT; false after the refusal. */
static bool
take_path(const struct smtp_command *command, const char *prefix, const char *bad_address,
    struct address *path, struct slice *parameters)
{
	bool bare_names = command->server->settings.bare_names;

	switch (smtp_path_parse(path, command->argument, prefix, bare_names, parameters)) {
	case SMTP_PATH_OK:
		return true;
	case SMTP_PATH_SYNTAX:
		smtp_command_refuse(command, 501, "5.5.4", "syntax error in the argument");
		break;
	case SMTP_PATH_ADDRESS:
		smtp_command_refuse(command, 501, bad_address, "bad address syntax");
		break;
	}
	return false;
}

/* RFC 6531 3.5.  False after the refusal. */
static bool
may_stand(const struct smtp_command *command, const struct address *path, bool smtputf8)
{
	if (smtputf8 || address_is_ascii(path))
		return true;
	smtp_command_refuse(command, 553, "5.6.7", "the address needs SMTPUTF8");
	return false;
}

/* What stands between the client and MAIL; false after the refusal. */
static bool
may_send(const struct smtp_command *command)
{
	const struct smtp_server *server = command->server;

	if (!server->settings.require_auth || server->auth.username != NULL)
		return true;
	/* RFC 3207 4, RFC 4954 6. */
	smtp_command_refuse(command, 530, "5.7.0", smtp_server_may_auth(server) ||
	    !smtp_server_may_starttls(server) ? "Authentication required" :
	    "Must issue a STARTTLS command first");
	return false;
}

/* All that can be said without the owner; false after the refusal. */
static bool
read_mail(const struct smtp_command *command, struct address *path,
    struct smtp_mail_params *params)
{
	struct smtp_server *server = command->server;
	struct slice rest;
	struct status status;

	if (!may_send(command) || !take_path(command, "FROM:", "5.1.7", path, &rest))
		return false;
	if (!smtp_mail_params_parse(rest, &server->settings, params, &status)) {
		smtp_server_refuse(server, command->name, &status, NULL);
		return false;
	}
	return may_stand(command, path, params->smtputf8);
}

static enum smtp_server_state
on_mail(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	struct smtp_mail_params params;
	struct address path;
	struct status status;

	server->transaction.not_now = (struct status){ .reply_code = 0 };
	server->transaction.chunks_refused = false;
	if (!read_mail(command, &path, &params))
		return server->state;
	status = server->events->on_mail(server->owner, &path, &params);
	if (status_class(&status) != STATUS_SUCCESS) {
		smtp_server_refuse(server, command->name, &status, NULL);
		if (status_class(&status) == STATUS_TRANSIENT)
			server->transaction.not_now = status;
		return SMTP_READY;
	}
	server->transaction.is_open = true;
	server->transaction.smtputf8 = params.smtputf8;
	smtp_server_send_status(server, &status);
	return SMTP_HAS_SENDER;
}

/* RFC 5321 4.5.3.1.10: those already taken are kept.  A client that pipelines sends all the
 * others before it hears of it: one of them is told to the owner. */
static enum smtp_server_state
refuse_surplus(const struct smtp_command *command, const struct address *path)
{
	struct smtp_server *server = command->server;
	struct status status = status_reply(452, "4.5.3", "too many recipients");

	if (server->transaction.has_surplus) {
		server->surplus++;
		smtp_server_send_status(server, &status);
	} else
		smtp_server_refuse(server, command->name, &status, path);
	server->transaction.has_surplus = true;
	return server->state;
}

static enum smtp_server_state
on_rcpt(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	struct smtp_rcpt_params params;
	char orcpt[ENVELOPE_ORCPT_MAX + 1];
	struct address path;
	struct slice rest;
	struct status status;

	if (!take_path(command, "TO:", "5.1.3", &path, &rest) ||
	    !may_stand(command, &path, server->transaction.smtputf8))
		return server->state;
	if (address_is_null(&path))
		return smtp_command_refuse(command, 501, "5.1.3", "a recipient is needed");
	if (!smtp_rcpt_params_parse(rest, &params, orcpt, &status)) {
		smtp_server_refuse(server, command->name, &status, &path);
		return server->state;
	}
	if (server->transaction.recipients >= server->settings.max_recipients)
		return refuse_surplus(command, &path);
	status = server->events->on_rcpt(server->owner, &path, &params);
	if (status_class(&status) != STATUS_SUCCESS) {
		smtp_server_refuse(server, command->name, &status, &path);
		return server->state;
	}
	server->transaction.recipients++;
	smtp_server_send_status(server, &status);
	return SMTP_HAS_RECIPIENTS;
}

static enum smtp_server_state
on_data(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	struct status status;

	if (server->state != SMTP_HAS_RECIPIENTS)
		return smtp_command_refuse(command, 554, "5.5.1", "no valid recipients");
	status = server->events->on_data(server->owner);
	if (status.reply_code != 354) {
		smtp_server_refuse(server, command->name, &status, NULL);
		return server->state;
	}
	server->transaction.decoder = (struct smtp_decoder){
		.normalize = server->settings.normalize
	};
	smtp_server_send(server, "354 End data with <CR><LF>.<CR><LF>\r\n");
	return SMTP_IN_DATA;
}

static enum smtp_server_state
on_rset(const struct smtp_command *command)
{
	smtp_server_reset(command->server);
	smtp_server_send(command->server, "250 2.0.0 Ok\r\n");
	return command->server->state == SMTP_GREETED ? SMTP_GREETED : SMTP_READY;
}

static enum smtp_server_state
on_noop(const struct smtp_command *command)
{
	smtp_server_send(command->server, "250 2.0.0 Ok\r\n");
	return command->server->state;
}

static enum smtp_server_state
on_vrfy(const struct smtp_command *command)
{
	if (command->argument.len == 0)
		return smtp_command_refuse(command, 501, "5.5.4", "an address is needed");
	/* RFC 5321 3.5.3: whether somebody is there is not told before mail is sent. */
	smtp_server_send(command->server, "252 2.0.0 Cannot verify, but will take a message\r\n");
	return command->server->state;
}

static enum smtp_server_state
on_quit(const struct smtp_command *command)
{
	struct smtp_server *server = command->server;
	struct status status = status_reply(221, "2.0.0", "%s closes", server->settings.hostname);

	smtp_server_end(server, &status);
	return SMTP_OVER;
}

static enum smtp_server_state
on_not_offered(const struct smtp_command *command)
{
	return smtp_command_refuse(command, 502, "5.5.1", "command not offered");
}

/* Somebody takes us for another server: nothing that follows is meant for us (RULES T12). */
enum smtp_server_state
smtp_verb_other_protocol(const struct smtp_command *command)
{
	struct status status = status_reply(421, "4.7.0", "%s speaks SMTP",
	    command->server->settings.hostname);
	const struct smtp_refusal refusal = { .verb = "COMMAND", .status = &status };

	command->server->events->on_refused(command->server->owner, &refusal);
	smtp_server_end(command->server, &status);
	return SMTP_OVER;
}

static bool
knows_starttls(const struct smtp_server *server)
{
	return server->settings.offers_starttls || server->settings.is_secure;
}

static bool
knows_auth(const struct smtp_server *server)
{
	return server->settings.offers_auth != 0;
}

static const struct smtp_verb verbs[] = {
	{ "EHLO", ALWAYS, smtp_command_ehlo, .takes_argument = true, .is_idle = true },
	{ "HELO", ALWAYS, smtp_command_helo, .takes_argument = true, .is_idle = true },
	{ "MAIL", 1u << SMTP_READY, on_mail, .takes_argument = true,
	    .line_max = SMTP_SERVER_LINE_MAX },
	{ "RCPT", OPEN, on_rcpt, .takes_argument = true, .line_max = SMTP_SERVER_LINE_MAX },
	{ "DATA", OPEN, on_data, .takes_argument = false },
	{ "BDAT", ALWAYS, smtp_command_bdat, .takes_argument = true },
	{ "RSET", ALWAYS, on_rset, .is_idle = true },
	{ "NOOP", ALWAYS, on_noop, .takes_argument = true, .is_idle = true },
	{ "VRFY", ALWAYS, on_vrfy, .takes_argument = true, .is_idle = true },
	{ "HELP", ALWAYS, smtp_command_help, .takes_argument = true, .is_idle = true },
	{ "QUIT", ALWAYS, on_quit, .takes_argument = false },
	{ "STARTTLS", 1u << SMTP_READY, smtp_command_starttls, .is_idle = true,
	    .is_offered = knows_starttls },
	{ "AUTH", 1u << SMTP_READY, smtp_command_auth, .takes_argument = true, .is_idle = true,
	    .line_max = SMTP_SERVER_AUTH_MAX, .is_offered = knows_auth },
	{ "EXPN", ALWAYS, on_not_offered, .takes_argument = true },
	{ "ETRN", ALWAYS, on_not_offered, .takes_argument = true },
	{ "TURN", ALWAYS, on_not_offered, .takes_argument = true },
	{ "SEND", ALWAYS, on_not_offered, .takes_argument = true },
	{ "SOML", ALWAYS, on_not_offered, .takes_argument = true },
	{ "SAML", ALWAYS, on_not_offered, .takes_argument = true },
	{ "GET", ALWAYS, smtp_verb_other_protocol, .takes_argument = true,
	    .line_max = SMTP_SERVER_LINE_MAX },
	{ "HEAD", ALWAYS, smtp_verb_other_protocol, .takes_argument = true,
	    .line_max = SMTP_SERVER_LINE_MAX },
	{ "POST", ALWAYS, smtp_verb_other_protocol, .takes_argument = true,
	    .line_max = SMTP_SERVER_LINE_MAX },
	{ "PUT", ALWAYS, smtp_verb_other_protocol, .takes_argument = true,
	    .line_max = SMTP_SERVER_LINE_MAX },
	{ "OPTIONS", ALWAYS, smtp_verb_other_protocol, .takes_argument = true,
	    .line_max = SMTP_SERVER_LINE_MAX },
	{ "CONNECT", ALWAYS, smtp_verb_other_protocol, .takes_argument = true,
	    .line_max = SMTP_SERVER_LINE_MAX },
};

const struct smtp_verb *
smtp_verb_find(struct slice name)
{
	static const struct smtp_verb ssh = {
		"SSH-", ALWAYS, smtp_verb_other_protocol, .takes_argument = true
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (slice_is(name, verbs[i].name))
			return &verbs[i];
	if (name.len > 4 && slice_is((struct slice){ name.at, 4 }, ssh.name))
		return &ssh;
	return NULL;
}

size_t
smtp_verb_line_max(const struct smtp_verb *verb)
{
	return verb != NULL && verb->line_max > 0 ? verb->line_max : SMTP_SERVER_COMMAND_MAX;
}

size_t
smtp_verb_line_limit(const char *octets, size_t len)
{
	struct slice name, argument;
	size_t line_max;

	smtp_command_split((struct slice){ octets, len }, &name, &argument);
	line_max = smtp_verb_line_max(smtp_verb_find(name));
	return line_max > SMTP_SERVER_LINE_MAX ? line_max : SMTP_SERVER_LINE_MAX;
}
