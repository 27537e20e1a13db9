/* ctl_user.c - the verb of heraldctl that makes a line of a users file. */
#include "cmd/ctl_command.h"

#include "base/error.h"
#include "conf/users.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

#define PASSWORD_MAX	511	/* octets: what crypt(3) takes (CRYPT_MAX_PASSPHRASE_SIZE) */

/* One line without its end; false when there is none, or it is too long. */
static bool
read_line(char line[PASSWORD_MAX + 2])
{
	size_t len = 0;
	ssize_t got;

	for (;;) {
		do
			got = read(STDIN_FILENO, line + len, 1);
		while (got == -1 && errno == EINTR);
		if (got != 1 || line[len] == '\n')
			break;
		if (++len > PASSWORD_MAX)
			return false;
	}
	line[len] = '\0';
	return got == 1 || len > 0;
}

/* From a terminal without echo.  What was typed ahead is not the password. */
static bool
ask(const char *prompt, char line[PASSWORD_MAX + 2])
{
	struct termios shown, hidden;
	bool is_terminal = tcgetattr(STDIN_FILENO, &shown) == 0;
	bool good;

	if (is_terminal) {
		hidden = shown;
		hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
		hidden.c_lflag |= ECHONL;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
		fputs(prompt, stderr);
	}
	good = read_line(line);
	if (is_terminal)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &shown);
	return good;
}

static bool
ask_twice(char password[PASSWORD_MAX + 2])
{
	char again[PASSWORD_MAX + 2];
	bool is_same;

	if (!ask("Password: ", password) || password[0] == '\0') {
		fprintf(stderr, "heraldctl: allowed is a password of 1 to %d octets in one line\n",
		    PASSWORD_MAX);
		return false;
	}
	if (!isatty(STDIN_FILENO))
		return true;
	is_same = ask("Again: ", again) && strcmp(password, again) == 0;
	explicit_bzero(again, sizeof(again));
	if (!is_same)
		fputs("heraldctl: these are two different passwords\n", stderr);
	return is_same;
}

static int
print_line(const char *name, const char *password)
{
	char *setting = crypt_gensalt_ra("$y$", 0, NULL, 0);
	struct crypt_data *data = calloc(1, sizeof(*data));
	const char *hash = NULL;
	struct error err;
	int exit_code = EX_OSERR;

	if (setting != NULL && data != NULL)
		hash = crypt_r(password, setting, data);
	if (hash == NULL || !users_hash_check(hash, &err)) {
		fputs("heraldctl: crypt(3) makes no yescrypt hash here\n", stderr);
	} else {
		printf("%s%s%s\n", name != NULL ? name : "", name != NULL ? ":" : "", hash);
		exit_code = EX_OK;
	}
	if (data != NULL)
		explicit_bzero(data, sizeof(*data));
	free(data);
	free(setting);
	return exit_code;
}

int
command_user_hash(struct command *command)
{
	const char *name = command->word_count > 0 ? command->words[0] : NULL;
	char password[PASSWORD_MAX + 2];
	struct error err;
	int exit_code = EX_DATAERR;

	if (command->word_count > 1) {
		fputs("heraldctl: user hash takes one name, and reads the password itself\n",
		    stderr);
		return EX_USAGE;
	}
	if (name != NULL && !users_name_check(name, &err)) {
		fprintf(stderr, "heraldctl: %s\n", err.text);
		return EX_USAGE;
	}
	if (ask_twice(password))
		exit_code = print_line(name, password);
	explicit_bzero(password, sizeof(password));
	return exit_code;
}
