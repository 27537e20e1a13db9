/* client_send.c - herald send: a mail made of options and files, and sent. */
#include "client/client.h"

#include "base/error.h"
#include "client/client_account.h"
#include "client/client_submit.h"
#include "client/send_message.h"
#include "client/submit_queue.h"
#include "mail/envelope.h"
#include "queue/content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BLOCK	(64 * 1024)		/* octets copied at a time */

static const char help[] =
    "usage: herald send --from ADDRESS --to ADDRESSES [OPTION...]\n"
    "\n"
    "  --from, --to, --cc, --bcc, --reply-to 'Name <user@example.org>'\n"
    "                      all but --from take lists and may be repeated\n"
    "  --subject TEXT\n"
    "  --text FILE         the text, in UTF-8; - is standard input\n"
    "  --html FILE         the HTML; pictures that it names by a path are embedded, and without\n"
    "                      --text a text part is made of it\n"
    "  --inline FILE[=CID] a picture for the HTML's cid:CID, or for its references to FILE\n"
    "  --attach FILE[;TYPE]\n"
    "  --header 'Name: value'\n"
    "  --server URL        where to: smtp://HOST, smtp+starttls://USER@HOST, smtps://USER@HOST,\n"
    "                      with :PORT where it is not 25, 587, 465; without it: the queue of\n"
    "                      this machine's heraldd\n"
    "  --password SOURCE   file:PATH, command:PATH ARGUMENT... or env:NAME; without it a\n"
    "                      terminal is asked\n"
    "  --ca-file FILE      authorities instead of the system's\n"
    "  --output FILE       writes the message there (- is standard output), sends nothing\n"
    "  --dry-run           the message to standard output, envelope and parts to standard\n"
    "                      error, sends nothing\n"
    "  --debug             shows the dialogue, without secrets\n"
    "\n"
    "Exit code 0: the queue or the server has the mail, for all recipients; 69: no such server,\n"
    "or TLS failed; 75: try again later; 77: refused, the password for one; else see herald(1).\n";

enum {
	OPTION_FROM = 256, OPTION_TO, OPTION_CC, OPTION_BCC, OPTION_REPLY_TO, OPTION_SUBJECT,
	OPTION_TEXT, OPTION_HTML, OPTION_INLINE, OPTION_ATTACH, OPTION_HEADER, OPTION_SERVER,
	OPTION_PASSWORD, OPTION_CA_FILE, OPTION_OUTPUT, OPTION_DRY_RUN, OPTION_DEBUG,
};

static const struct option long_options[] = {
	{ "from", required_argument, NULL, OPTION_FROM },
	{ "to", required_argument, NULL, OPTION_TO },
	{ "cc", required_argument, NULL, OPTION_CC },
	{ "bcc", required_argument, NULL, OPTION_BCC },
	{ "reply-to", required_argument, NULL, OPTION_REPLY_TO },
	{ "subject", required_argument, NULL, OPTION_SUBJECT },
	{ "text", required_argument, NULL, OPTION_TEXT },
	{ "html", required_argument, NULL, OPTION_HTML },
	{ "inline", required_argument, NULL, OPTION_INLINE },
	{ "attach", required_argument, NULL, OPTION_ATTACH },
	{ "header", required_argument, NULL, OPTION_HEADER },
	{ "server", required_argument, NULL, OPTION_SERVER },
	{ "password", required_argument, NULL, OPTION_PASSWORD },
	{ "ca-file", required_argument, NULL, OPTION_CA_FILE },
	{ "output", required_argument, NULL, OPTION_OUTPUT },
	{ "dry-run", no_argument, NULL, OPTION_DRY_RUN },
	{ "debug", no_argument, NULL, OPTION_DEBUG },
	CLIENT_COMMON_OPTIONS
};

struct send {
	struct send_request request;
	const char *server, *password, *ca_file, *output;
	struct client_account account;
	bool dry_run, debug;
};

/* --- the options --- */

static const char *
option_name(int option)
{
	for (const struct option *row = long_options; row->name != NULL; row++)
		if (row->val == option)
			return row->name;
	return "";
}

/* NULL: it is not one that may be repeated. */
static struct send_list *
list_of(struct send_request *request, int option)
{
	switch (option) {
	case OPTION_TO: return &request->to;
	case OPTION_CC: return &request->cc;
	case OPTION_BCC: return &request->bcc;
	case OPTION_REPLY_TO: return &request->reply_to;
	case OPTION_INLINE: return &request->inlines;
	case OPTION_ATTACH: return &request->attachments;
	case OPTION_HEADER: return &request->headers;
	default: return NULL;
	}
}

static const char **
text_of(struct send *send, int option)
{
	switch (option) {
	case OPTION_FROM: return &send->request.from;
	case OPTION_SUBJECT: return &send->request.subject;
	case OPTION_TEXT: return &send->request.text_file;
	case OPTION_HTML: return &send->request.html_file;
	case OPTION_SERVER: return &send->server;
	case OPTION_PASSWORD: return &send->password;
	case OPTION_CA_FILE: return &send->ca_file;
	case OPTION_OUTPUT: return &send->output;
	default: return NULL;
	}
}

/* -1 to go on, else the exit code. */
static int
take_option(struct send *send, int option)
{
	struct send_list *list = list_of(&send->request, option);
	const char **text = text_of(send, option);
	char name[32];

	if (option == OPTION_DRY_RUN)
		send->dry_run = true;
	else if (option == OPTION_DEBUG)
		send->debug = true;
	else if (list == NULL && text == NULL)
		return client_other_option(option, "send", help);
	if (list == NULL && text == NULL)
		return -1;
	snprintf(name, sizeof(name), "--%s", option_name(option));
	if (client_check_value(name, optarg) != 0)
		return EX_DATAERR;
	if (list != NULL) {
		send_list_add(list, optarg);
		return -1;
	}
	if (*text != NULL)
		return client_fail(EX_USAGE, "%s may be given once", name);
	*text = optarg;
	return -1;
}

/* 0 or the exit code. */
static int
check_server(struct send *send)
{
	struct error err;

	if (send->password != NULL && !client_password_check(send->password, &err))
		return client_fail(EX_USAGE, "%s", err.text);
	if (send->server == NULL) {
		if (send->password != NULL || send->ca_file != NULL)
			return client_fail(EX_USAGE, "--password and --ca-file need --server");
		return 0;
	}
	if (!client_account_parse(send->server, client_submit_schemes, &send->account, &err))
		return client_fail(EX_USAGE, "--server: %s", err.text);
	if (send->password != NULL && send->account.user[0] == '\0')
		return client_fail(EX_USAGE, "--password needs a user: %s://USER@HOST",
		    send->account.scheme->name);
	if (send->ca_file != NULL && send->account.scheme->tls == CLIENT_TLS_NONE)
		return client_fail(EX_USAGE, "--ca-file needs smtps:// or smtp+starttls://");
	return 0;
}

static int
check_all(struct send *send)
{
	const struct send_request *request = &send->request;

	if (request->from == NULL)
		return client_fail(EX_USAGE, "--from is needed");
	if (request->to.count + request->cc.count + request->bcc.count == 0)
		return client_fail(EX_USAGE, "a recipient is needed: --to, --cc or --bcc");
	if (send->dry_run && send->output != NULL)
		return client_fail(EX_USAGE, "--dry-run and --output exclude each other");
	return check_server(send);
}

/* --- what becomes of the message --- */

static int
copy_content(const struct content *content, FILE *out, const char *name)
{
	static char block[BLOCK];
	uint64_t offset = 0;
	struct error err;
	size_t got;

	do {
		if (!content_read(content, offset, block, sizeof(block), &got, &err))
			return client_fail(EX_IOERR, "%s", err.text);
		offset += got;
		if (got > 0 && fwrite(block, 1, got, out) != got)
			break;
	} while (got > 0);
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	return client_fail(EX_IOERR, "cannot write %s: %s", name, strerror(errno));
}

/* The blind recipients are not in it, but its text may be nobody else's business.  Half a mail
 * would pass for one: a file that was made for it goes again. */
static int
write_file(const struct content *content, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	const bool is_new = fd != -1;
	FILE *out;
	int exit_code;

	if (!is_new)
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	out = fd != -1 ? fdopen(fd, "w") : NULL;
	if (out == NULL)
		return client_fail(EX_CANTCREAT, "cannot write %s: %s", path, strerror(errno));
	exit_code = copy_content(content, out, path);
	if (fclose(out) != 0 && exit_code == 0)
		exit_code = client_fail(EX_IOERR, "cannot write %s: %s", path, strerror(errno));
	if (exit_code != 0 && is_new)
		unlink(path);
	return exit_code;
}

static int
dispatch(const struct send *send, const struct send_message *message)
{
	const struct client_submit submit = {
		.account = send->server != NULL ? &send->account : NULL,
		.password = send->password,
		.ca_file = send->ca_file,
		.debug = send->debug,
	};

	if (send->dry_run) {
		send_message_tree(message, stderr);
		return copy_content(message->content, stdout, "standard output");
	}
	if (send->output != NULL && strcmp(send->output, "-") == 0)
		return copy_content(message->content, stdout, "standard output");
	if (send->output != NULL)
		return write_file(message->content, send->output);
	return client_submit(&submit, message->envelope, message->content);
}

static int
compose_and_send(struct send *send)
{
	struct send_message *message;
	struct error err;
	int exit_code = EX_SOFTWARE;

	message = send_message_new(&send->request, submit_spool_directory(), &exit_code, &err);
	if (message == NULL)
		return client_fail(exit_code, "%s", err.text);
	exit_code = dispatch(send, message);
	send_message_free(message);
	return exit_code;
}

static int
parse(struct send *send, int argc, char **argv)
{
	int option, exit_code = -1;

	while (exit_code == -1 && (option = getopt_long(argc, argv, CLIENT_SHORT_OPTIONS,
	    long_options, NULL)) != -1)
		exit_code = take_option(send, option);
	if (exit_code == -1 && optind != argc)
		return client_fail(EX_USAGE, "what stands without an option is not understood; "
		    "try: herald send --help");
	return exit_code;
}

int
client_send(int argc, char **argv)
{
	static const int lists[] = {
		OPTION_TO, OPTION_CC, OPTION_BCC, OPTION_REPLY_TO, OPTION_INLINE, OPTION_ATTACH,
		OPTION_HEADER,
	};
	struct send send = { .server = NULL };
	int exit_code = parse(&send, argc, argv);

	if (exit_code == -1) {
		exit_code = check_all(&send);
		if (exit_code == 0)
			exit_code = compose_and_send(&send);
	}
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		send_list_free(list_of(&send.request, lists[i]));
	return exit_code;
}
