/* client_fetch.c - herald fetch: POP3 mail printed, its attachments saved. */
#include "client/client.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"
#include "client/client_account.h"
#include "client/fetch_json.h"
#include "client/fetch_print.h"
#include "client/fetch_session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static const char help[] =
    "usage: herald fetch pop3s://USER@HOST[:PORT] [--password FROM] [option]...\n"
    "       herald fetch pop3://USER@HOST[:PORT] --starttls | --insecure [option]...\n"
    "\n"
    "Which messages, one of:\n"
    "  --all                all of them; so it is without any of these\n"
    "  --last               the one that came last\n"
    "  --number N           the Nth\n"
    "  --new                those that no run with --new or --delete has saved before\n"
    "What becomes of them:\n"
    "  --list               only a table of number, size, date, sender and subject\n"
    "  --save-dir DIR       where files are saved; the default is \".\"\n"
    "  --attachments-only   no text, and no pictures of the text\n"
    "  --save-message       the message itself, too, as message-N.eml\n"
    "  --max-size 50M       larger messages stay on the server; 0: no limit\n"
    "  --delete             off the server, once everything is saved\n"
    "  --json               for programs: one object on standard output\n"
    "The connection:\n"
    "  --password FROM      file:PATH, command:PROGRAM ARGUMENT..., env:NAME; else asked for\n"
    "  --ca-file FILE       trust the authorities of this file (PEM)\n"
    "  --starttls           TLS by STLS on the port of pop3://\n"
    "  --insecure           pop3:// in the clear, with the password\n"
    "  --debug              show the dialogue on standard error, without secrets\n"
    "\n"
    "Exit code 65: not all could be taken; 69: no server, no TLS; 73, 74: files; 75: try\n"
    "again later; 77: password refused.\n";

static const struct client_scheme schemes[] = {
	{ "pop3s", 995, CLIENT_TLS_IMPLICIT },
	{ "pop3", 110, CLIENT_TLS_NONE },
	{ NULL, 0, CLIENT_TLS_NONE },
};

#define MAX_SIZE_USUAL	(UINT64_C(50) * 1024 * 1024)	/* SPEC 6 */

enum long_only {
	OPTION_ALL = 256, OPTION_LAST, OPTION_NUMBER, OPTION_NEW, OPTION_LIST, OPTION_SAVE_DIR,
	OPTION_ATTACHMENTS_ONLY, OPTION_SAVE_MESSAGE, OPTION_MAX_SIZE, OPTION_DELETE, OPTION_JSON,
	OPTION_PASSWORD, OPTION_CA_FILE, OPTION_STARTTLS, OPTION_INSECURE, OPTION_DEBUG,
};

static const struct option long_options[] = {
	{ "all", no_argument, NULL, OPTION_ALL },
	{ "last", no_argument, NULL, OPTION_LAST },
	{ "number", required_argument, NULL, OPTION_NUMBER },
	{ "new", no_argument, NULL, OPTION_NEW },
	{ "list", no_argument, NULL, OPTION_LIST },
	{ "save-dir", required_argument, NULL, OPTION_SAVE_DIR },
	{ "attachments-only", no_argument, NULL, OPTION_ATTACHMENTS_ONLY },
	{ "save-message", no_argument, NULL, OPTION_SAVE_MESSAGE },
	{ "max-size", required_argument, NULL, OPTION_MAX_SIZE },
	{ "delete", no_argument, NULL, OPTION_DELETE },
	{ "json", no_argument, NULL, OPTION_JSON },
	{ "password", required_argument, NULL, OPTION_PASSWORD },
	{ "ca-file", required_argument, NULL, OPTION_CA_FILE },
	{ "starttls", no_argument, NULL, OPTION_STARTTLS },
	{ "insecure", no_argument, NULL, OPTION_INSECURE },
	{ "debug", no_argument, NULL, OPTION_DEBUG },
	CLIENT_COMMON_OPTIONS
};

struct options {
	struct fetch_params params;
	const char *password;		/* where it comes from */
	unsigned selections;		/* how many were asked for */
	bool starttls, insecure, json;
};

static int
take_number(struct options *options)
{
	uint64_t number;

	if (!text_parse_number(optarg, &number) || number == 0 || number > POP3_MESSAGES_MAX)
		return client_fail(EX_USAGE, "--number takes a number from 1 up");
	options->params.number = (unsigned)number;
	return -1;
}

static int
take_selection(struct options *options, enum fetch_selection selection)
{
	options->params.selection = selection;
	options->selections++;
	return selection == FETCH_NUMBER ? take_number(options) : -1;
}

static int
take_value(const char **value, const char *option)
{
	const int exit_code = client_check_value(option, optarg);

	if (exit_code != 0)
		return exit_code;
	if (*optarg == '\0')
		return client_fail(EX_USAGE, "%s: empty", option);
	*value = optarg;
	return -1;
}

static int
take_flag(bool *flag)
{
	*flag = true;
	return -1;
}

/* -1 to go on, else the exit code. */
static int
take_option(struct options *options, int option)
{
	struct fetch_params *params = &options->params;

	switch (option) {
	case OPTION_ALL:
		return take_selection(options, FETCH_ALL);
	case OPTION_LAST:
		return take_selection(options, FETCH_LAST);
	case OPTION_NUMBER:
		return take_selection(options, FETCH_NUMBER);
	case OPTION_NEW:
		return take_selection(options, FETCH_NEW);
	case OPTION_LIST:
		return take_flag(&params->is_list);
	case OPTION_SAVE_DIR:
		return take_value(&params->directory, "--save-dir");
	case OPTION_ATTACHMENTS_ONLY:
		return take_flag(&params->attachments_only);
	case OPTION_SAVE_MESSAGE:
		return take_flag(&params->save_message);
	case OPTION_MAX_SIZE:
		if (text_parse_size(optarg, &params->max_size))
			return -1;
		return client_fail(EX_USAGE, "--max-size takes a size like 50M, or 0");
	case OPTION_DELETE:
		return take_flag(&params->deletes);
	case OPTION_JSON:
		return take_flag(&options->json);
	case OPTION_PASSWORD:
		return take_value(&options->password, "--password");
	case OPTION_CA_FILE:
		return take_value(&params->ca_file, "--ca-file");
	case OPTION_STARTTLS:
		return take_flag(&options->starttls);
	case OPTION_INSECURE:
		return take_flag(&options->insecure);
	case OPTION_DEBUG:
		return take_flag(&params->is_debug);
	default:
		return client_other_option(option, "fetch", help);
	}
}

/* What does not go together; -1 if all does. */
static int
check_options(const struct options *options)
{
	const struct fetch_params *params = &options->params;

	if (options->selections > 1)
		return client_fail(
		    EX_USAGE, "take one of --all, --last, --number and --new");
	if (params->is_list && (params->deletes || params->save_message ||
	    params->attachments_only || params->directory != NULL))
		return client_fail(EX_USAGE, "--list saves and deletes nothing");
	if (options->starttls && options->insecure)
		return client_fail(EX_USAGE, "--starttls and --insecure contradict each other");
	return -1;
}

/* How the password is kept from others on the way; -1 if it is, or they may have it. */
static int
choose_tls(struct options *options, const struct client_account *account)
{
	if (account->user[0] == '\0')
		return client_fail(EX_USAGE, "%s://USER@%s: whose mailbox?", account->scheme->name,
		    account->host);
	if (account->scheme->tls == CLIENT_TLS_IMPLICIT) {
		options->params.tls = POP3_TLS_IMPLICIT;
		if (!options->starttls && !options->insecure)
			return -1;
		return client_fail(EX_USAGE,
		    "pop3s:// has TLS from the first octet: %s is for pop3://",
		    options->starttls ? "--starttls" : "--insecure");
	}
	options->params.tls = options->starttls ? POP3_TLS_STLS : POP3_TLS_NONE;
	if (options->starttls || options->insecure)
		return -1;
	return client_fail(EX_USAGE,
	    "pop3:// sends the password in the clear: take pop3s:// (TLS, port 995), or add "
	    "--starttls (TLS on port 110), or --insecure if that is what you want");
}

static int
run(struct options *options, const struct client_account *account, const char *password)
{
	struct fetch_params *params = &options->params;
	const struct pop3_client_params login = {
		.tls = params->tls, .username = account->user, .password = password
	};
	const bool terminal = isatty(STDOUT_FILENO) == 1;
	char *charset = fetch_print_charset(terminal);
	struct error err;
	int exit_code;

	params->account = account;
	params->password = password;
	if (options->json)
		params->json = fetch_json_new(stdout, terminal);
	else
		params->printer = fetch_printer_new(stdout, charset, terminal);
	if (pop3_client_check_login(&login, &err))
		exit_code = fetch_session_run(params);
	else
		exit_code = client_fail(EX_DATAERR, "%s", err.text);
	fetch_json_free(params->json);
	fetch_printer_free(params->printer);
	free(charset);
	return client_flush(exit_code);
}

int
client_fetch(int argc, char **argv)
{
	struct options options = {
		.params = { .max_size = MAX_SIZE_USUAL, .limits = FETCH_LIMITS_USUAL }
	};
	struct client_account account;
	struct buf password = { 0 };
	struct error err;
	char prompt[CLIENT_USER_MAX + ENDPOINT_HOST_MAX + 32];
	int option, exit_code;

	while ((option = getopt_long(argc, argv, CLIENT_SHORT_OPTIONS, long_options, NULL)) !=
	    -1) {
		exit_code = take_option(&options, option);
		if (exit_code != -1)
			return exit_code;
	}
	if (argc - optind != 1)
		return client_fail(EX_USAGE, "fetch takes one pop3s://USER@HOST, see --help");
	exit_code = check_options(&options);
	if (exit_code != -1)
		return exit_code;
	if (!client_account_parse(argv[optind], schemes, &account, &err))
		return client_fail(EX_USAGE, "%s", err.text);
	exit_code = choose_tls(&options, &account);
	if (exit_code != -1)
		return exit_code;
	if (options.params.directory == NULL)
		options.params.directory = ".";
	snprintf(prompt, sizeof(prompt), "Password of %s at %s: ", account.user, account.host);
	exit_code = client_password(options.password, prompt, &password, &err);
	if (exit_code == 0)
		exit_code = run(&options, &account, buf_text(&password));
	else
		client_fail(exit_code, "%s", err.text);
	buf_wipe(&password);
	return exit_code;
}
