/* client_account.c - whose account on which server, "pop3s://user@host:995", and its password. */
#include "client/client_account.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"
#include "relay/secret.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#define ENVIRONMENT	"env:"

/* --- the URL --- */

static const struct client_scheme *
find_scheme(const char *text, const struct client_scheme *schemes)
{
	for (; schemes->name != NULL; schemes++) {
		const size_t len = strlen(schemes->name);

		if (strncasecmp(text, schemes->name, len) == 0 &&
		    text_has_prefix(text + len, "://"))
			return schemes;
	}
	return NULL;
}

/* What is wrong is told without the text: a password may stand anywhere in it. */
static bool
no_scheme(const struct client_scheme *schemes, struct error *err)
{
	struct buf names = { 0 };

	for (const struct client_scheme *row = schemes; row->name != NULL; row++)
		buf_appendf(&names, "%s%s://", row == schemes ? "" :
		    row[1].name == NULL ? " or " : ", ", row->name);
	error_set(err, ERROR_CONFIG, "the server is to begin with %s", buf_text(&names));
	buf_free(&names);
	return false;
}

static int
hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit = (char)(digit | 0x20);
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* RFC 3986 2.1. */
static bool
decode_user(const char *text, size_t len, char out[CLIENT_USER_MAX + 1], struct error *err)
{
	size_t to = 0;

	for (size_t i = 0; i < len; i++) {
		unsigned char octet = (unsigned char)text[i];

		if (octet == '%') {
			int high = i + 2 < len ? hex_value(text[i + 1]) : -1;
			int low = i + 2 < len ? hex_value(text[i + 2]) : -1;

			if (high < 0 || low < 0)
				return error_set(err, ERROR_CONFIG, "in the user's name %% is "
				    "to be followed by two hexadecimal digits");
			octet = (unsigned char)(high << 4 | low);
			i += 2;
		}
		if (octet < 0x20 || octet == 0x7f)
			return error_set(err, ERROR_CONFIG, "the user's name has a control");
		if (to == CLIENT_USER_MAX)
			return error_set(err, ERROR_CONFIG, "the user's name is longer than %d "
			    "octets", CLIENT_USER_MAX);
		out[to++] = (char)octet;
	}
	out[to] = '\0';
	return true;
}

bool
client_account_parse(const char *text, const struct client_scheme *schemes,
    struct client_account *out, struct error *err)
{
	char place[ENDPOINT_HOST_MAX + 16];
	const char *rest, *at;
	struct error unsaid;
	size_t len;

	memset(out, 0, sizeof(*out));
	out->scheme = find_scheme(text, schemes);
	if (out->scheme == NULL)
		return no_scheme(schemes, err);
	rest = text + strlen(out->scheme->name) + strlen("://");
	/* A name of a user may well be an address of mail. */
	at = strrchr(rest, '@');
	if (at != NULL) {
		if (memchr(rest, ':', (size_t)(at - rest)) != NULL)
			return error_set(err, ERROR_CONFIG, "a password does not belong on the "
			    "command line, where others can see it: leave it out and use "
			    "--password file:PATH (a colon of the user's name is %%3A)");
		if (!decode_user(rest, (size_t)(at - rest), out->user, err))
			return false;
		rest = at + 1;
	}
	len = strcspn(rest, "/");
	if (len < sizeof(place) && (rest[len] == '\0' || strcmp(rest + len, "/") == 0)) {
		memcpy(place, rest, len);
		place[len] = '\0';
		if (endpoint_parse_host(place, out->scheme->port, out->host, &out->port, &unsaid))
			return true;
	}
	return error_set(err, ERROR_CONFIG, "a server is %s://[USER@]HOST[:PORT], an IPv6 address "
	    "in brackets", out->scheme->name);
}

/* --- the password --- */

static bool
judge(const char *where, const char *password, size_t len, struct error *err)
{
	if (len == 0)
		return error_set(err, ERROR_CONFIG, "%s: no password is there", where);
	if (len > SECRET_MAX)
		return error_set(err, ERROR_CONFIG, "%s: longer than %d octets", where, SECRET_MAX);
	if (strcspn(password, "\r\n") != len)
		return error_set(err, ERROR_CONFIG, "%s: has a NUL, CR or second line", where);
	return true;
}

/* All at once: a buf that grew would leave a copy of the secret behind. */
static void
copy(struct buf *out, const char *password, size_t len)
{
	char *room = buf_reserve(out, len + 1);

	memcpy(room, password, len);
	room[len] = '\0';
	buf_commit(out, len);
}

static int
from_environment(const char *source, struct buf *out, struct error *err)
{
	const char *password = getenv(source + strlen(ENVIRONMENT));

	if (password == NULL) {
		error_set(err, ERROR_CONFIG, "%s: is not set", source);
		return EX_NOINPUT;
	}
	if (!judge(source, password, strlen(password), err))
		return EX_DATAERR;
	copy(out, password, strlen(password));
	return 0;
}

#define CONTROL_C	'\003'

#define TURN		100	/* milliseconds between two looks for a signal */

/* -1, too, when one of the signals waits, which are blocked. */
static ssize_t
read_line(int fd, const sigset_t *signals, char *line, size_t size)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	sigset_t waiting;

	do {
		sigpending(&waiting);
		sigandset(&waiting, &waiting, signals);
		if (!sigisemptyset(&waiting))
			return -1;
	} while (poll(&poll_fd, 1, TURN) != 1);
	return read(fd, line, size);
}

/* A line without echo.  No key ends the program in between, which would leave the terminal mute:
 * Ctrl-C ends the line instead. */
static ssize_t
read_hidden(int fd, const sigset_t *signals, const char *prompt, char *line, size_t size)
{
	struct termios shown, hidden;
	ssize_t len;

	if (tcgetattr(fd, &shown) == -1)
		return -1;
	hidden = shown;
	hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	hidden.c_lflag |= ECHONL | ICANON;
	hidden.c_cc[VEOL] = CONTROL_C;
	/* What was typed ahead is not the password. */
	if (tcsetattr(fd, TCSAFLUSH, &hidden) == -1)
		return -1;
	len = write(fd, prompt, strlen(prompt));
	if (len != -1)
		len = read_line(fd, signals, line, size);
	tcsetattr(fd, TCSADRAIN, &shown);
	return len;
}

/* Signals end the program once the terminal shows again what is typed. */
static ssize_t
ask_hidden(int fd, const char *prompt, char *line, size_t size)
{
	sigset_t signals, before;
	ssize_t len;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGQUIT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, &before);
	len = read_hidden(fd, &signals, prompt, line, size);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return len;
}

static int
from_terminal(const char *prompt, struct buf *out, struct error *err)
{
	char line[SECRET_MAX + 2];
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	ssize_t len;
	int exit_code = EX_NOINPUT;

	if (fd == -1) {
		error_set(err, ERROR_CONFIG, "a password is needed, and there is no terminal to "
		    "ask at: give --password file:PATH, command:PATH or env:NAME");
		return EX_USAGE;
	}
	len = ask_hidden(fd, prompt, line, sizeof(line));
	if (len > 0 && line[len - 1] == '\n')
		len--;
	if (len <= 0 || memchr(line, CONTROL_C, (size_t)len) != NULL) {
		error_set(err, ERROR_CONFIG, "no password was given");
	} else if (memchr(line, '\0', (size_t)len) != NULL || len > SECRET_MAX) {
		error_set(err, ERROR_CONFIG, "no password has a NUL, or more than %d octets",
		    SECRET_MAX);
	} else {
		copy(out, line, (size_t)len);
		exit_code = 0;
	}
	explicit_bzero(line, sizeof(line));
	close(fd);
	return exit_code;
}

bool
client_password_check(const char *source, struct error *err)
{
	static const char *const places[] = { "file:", "command:", "credential:", ENVIRONMENT };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (text_has_prefix(source, places[i]))
			return true;
	return error_set(err, ERROR_CONFIG, "--password takes file:PATH, command:PATH "
	    "ARGUMENT... or env:NAME; a password itself does not belong on the command line");
}

int
client_password(const char *source, const char *prompt, struct buf *out, struct error *err)
{
	if (source == NULL)
		return from_terminal(prompt, out, err);
	if (!client_password_check(source, err))
		return EX_USAGE;
	if (text_has_prefix(source, ENVIRONMENT))
		return from_environment(source, out, err);
	return secret_read(source, out, err) ? 0 : EX_NOINPUT;
}
