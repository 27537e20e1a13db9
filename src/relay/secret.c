/* secret.c - reads a password from where the conffile says it is. */
#include "relay/secret.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/private_file.h"
#include "base/text.h"
#include "relay/secret_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#define COMMAND		"command:"
#define CREDENTIAL	"credential:"
#define FILE_		"file:"

/* One more than what is allowed, and its newline: to see what is too long. */
#define READ_MAX	(SECRET_MAX + 2)

/* What commands have said.  For the process as a whole, as "run once" is: relays share a
 * command, and a conffile that is tried must not run it again. */
struct known {
	SLIST_ENTRY(known) next;
	char *where;
	struct buf secret;
};
static SLIST_HEAD(, known) known_secrets = SLIST_HEAD_INITIALIZER(known_secrets);

static struct known *
known_find(const char *where)
{
	struct known *known;

	SLIST_FOREACH(known, &known_secrets, next)
		if (strcmp(known->where, where) == 0)
			break;
	return known;
}

static void
known_free(struct known *known)
{
	SLIST_REMOVE(&known_secrets, known, known, next);
	buf_wipe(&known->secret);
	free(known->where);
	free(known);
}

void
secret_forget(const char *where)
{
	struct known *known;

	if (where != NULL) {
		known = known_find(where);
		if (known != NULL)
			known_free(known);
		return;
	}
	while ((known = SLIST_FIRST(&known_secrets)) != NULL)
		known_free(known);
}

/* All at once: a buf that grew would leave a copy of the secret behind. */
static void
copy_secret(struct buf *out, const struct buf *secret)
{
	char *room = buf_reserve(out, secret->len + 1);

	memcpy(room, buf_octets(secret), secret->len);
	room[secret->len] = '\0';
	buf_commit(out, secret->len);
}

/* Takes off one final newline and ends it by a NUL, for which there is room. */
static bool
judge_octets(const char *place, struct buf *secret, struct error *err)
{
	char *octets = secret->octets;

	if (secret->len > 0 && octets[secret->len - 1] == '\n')
		secret->len--;
	if (secret->len == 0)
		return error_set(err, ERROR_CONFIG, "%s: is empty", place);
	if (secret->len > SECRET_MAX)
		return error_set(err, ERROR_CONFIG, "%s: longer than %d octets", place,
		    SECRET_MAX);
	for (size_t i = 0; i < secret->len; i++)
		if (octets[i] == '\0' || octets[i] == '\r' || octets[i] == '\n')
			return error_set(err, ERROR_CONFIG, "%s: has a NUL, CR or second line",
			    place);
	octets[secret->len] = '\0';
	return true;
}

static bool
read_all(int fd, const char *path, struct buf *out, struct error *err)
{
	char *room = buf_reserve(out, READ_MAX + 1);
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, room + len, READ_MAX - len)) > 0)
		len += (size_t)got;
	buf_commit(out, len);
	if (got == -1)
		return error_set(err, ERROR_SYSTEM, "%s: %s", path, strerror(errno));
	return judge_octets(path, out, err);
}

static bool
read_file(const char *path, bool guarded, struct buf *out, struct error *err)
{
	int fd = guarded ? private_file_open_guarded(path, err) : private_file_open(path, err);
	bool ok;

	if (fd == -1)
		return false;
	ok = read_all(fd, path, out, err);
	close(fd);
	return ok;
}

static bool
read_credential(const char *where, struct buf *out, struct error *err)
{
	const char *name = where + strlen(CREDENTIAL);
	const char *directory = getenv("CREDENTIALS_DIRECTORY");
	char path[4096];
	int len;

	if (directory == NULL || directory[0] == '\0')
		return error_set(err, ERROR_CONFIG, "%s: there are no credentials: "
		    "CREDENTIALS_DIRECTORY is not set", where);
	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		return error_set(err, ERROR_CONFIG, "%s: not the name of a credential", where);
	len = snprintf(path, sizeof(path), "%s/%s", directory, name);
	if (len < 0 || (size_t)len >= sizeof(path))
		return error_set(err, ERROR_CONFIG, "%s: the path is too long", where);
	/* The service manager guards its directory; its ACLs show as group bits. */
	return read_file(path, true, out, err);
}

static bool
read_command(const char *where, struct buf *out, struct error *err)
{
	struct known *known = known_find(where);

	if (known != NULL) {
		copy_secret(out, &known->secret);
		return true;
	}
	buf_reserve(out, READ_MAX + 1);
	if (!secret_command_run(where + strlen(COMMAND), SECRET_SECONDS, READ_MAX, out, err) ||
	    !judge_octets("the output of the command", out, err))
		return error_prefix(err, "command");
	known = mem_zalloc(sizeof(*known));
	known->where = mem_strdup(where);
	copy_secret(&known->secret, out);
	SLIST_INSERT_HEAD(&known_secrets, known, next);
	return true;
}

bool
secret_read(const char *where, struct buf *out, struct error *err)
{
	bool ok;

	if (text_has_prefix(where, FILE_))
		ok = read_file(where + strlen(FILE_), false, out, err);
	else if (text_has_prefix(where, CREDENTIAL))
		ok = read_credential(where, out, err);
	else if (text_has_prefix(where, COMMAND))
		ok = read_command(where, out, err);
	else
		ok = error_set(err, ERROR_CONFIG,
		    "a secret is file:PATH, credential:NAME or command:PATH");
	if (!ok)
		buf_wipe(out);
	return ok;
}
