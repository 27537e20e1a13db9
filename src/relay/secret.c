/* secret.c - reads a password from where the conffile says it is. */
#include "relay/secret.h"

#include "base/buf.h"
#include "base/error.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the path of a secret comes to rest. */
struct place { char path[4096]; bool is_credential; };

static bool
find_place(const char *where, struct place *place, struct error *err)
{
	const char *name = where + strlen("credential:"), *directory;
	int len;

	if (text_has_prefix(where, "file:")) {
		place->is_credential = false;
		len = snprintf(place->path, sizeof(place->path), "%s", where + strlen("file:"));
	} else if (text_has_prefix(where, "credential:")) {
		directory = getenv("CREDENTIALS_DIRECTORY");
		if (directory == NULL || directory[0] == '\0')
			return error_set(err, ERROR_CONFIG, "%s: there are no credentials: "
			    "CREDENTIALS_DIRECTORY is not set", where);
		if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
			return error_set(err, ERROR_CONFIG, "%s: not the name of a credential",
			    where);
		place->is_credential = true;
		len = snprintf(place->path, sizeof(place->path), "%s/%s", directory, name);
	} else {
		return error_set(err, ERROR_CONFIG, "a secret is file:PATH or credential:NAME");
	}
	if (len < 0 || (size_t)len >= sizeof(place->path))
		return error_set(err, ERROR_CONFIG, "%s: the path is too long", where);
	return true;
}

static bool
in_our_groups(gid_t group)
{
	gid_t groups[256];
	int count = getgroups(256, groups);

	for (int i = 0; i < count; i++)
		if (groups[i] == group)
			return true;
	return group == getegid();
}

/* SPEC 3: readable by its owner, and where root owns it by root's or our group. */
static bool
may_be_trusted(int fd, const struct place *place, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return error_set(err, ERROR_SYSTEM, "%s: %s", place->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_CONFIG, "%s: not a regular file", place->path);
	/* The service manager guards its directory; its ACLs show as group bits. */
	if (place->is_credential)
		return true;
	if ((st.st_mode & S_IRWXO) != 0)
		return error_set(err, ERROR_CONFIG, "%s: everybody may use it (mode %04o), "
		    "make it 0640 or 0600", place->path, (unsigned)(st.st_mode & 07777));
	if ((st.st_mode & S_IRWXG) != 0 &&
	    (st.st_uid != 0 || (st.st_gid != 0 && !in_our_groups(st.st_gid))))
		return error_set(err, ERROR_CONFIG, "%s: its group may use it (mode %04o), make it "
		    "0600, or owned by root and the daemon's group", place->path,
		    (unsigned)(st.st_mode & 07777));
	return true;
}

static bool
read_all(int fd, const char *path, struct buf *out, struct error *err)
{
	/* All at once: a buf that grew would leave a copy of the secret behind. */
	char *room = buf_reserve(out, SECRET_MAX + 3);
	size_t len = 0;
	ssize_t got;

	while ((got = read(fd, room + len, SECRET_MAX + 2 - len)) > 0)
		len += (size_t)got;
	buf_commit(out, len);
	if (got == -1)
		return error_set(err, ERROR_SYSTEM, "%s: %s", path, strerror(errno));
	if (len > 0 && room[len - 1] == '\n')
		out->len--;
	if (out->len == 0)
		return error_set(err, ERROR_CONFIG, "%s: is empty", path);
	if (out->len > SECRET_MAX)
		return error_set(err, ERROR_CONFIG, "%s: longer than %d octets", path, SECRET_MAX);
	for (size_t i = 0; i < out->len; i++)
		if (room[i] == '\0' || room[i] == '\r' || room[i] == '\n')
			return error_set(err, ERROR_CONFIG,
			    "%s: has a NUL, CR or second line", path);
	room[out->len] = '\0';
	return true;
}

bool
secret_read(const char *where, struct buf *out, struct error *err)
{
	struct place place;
	bool ok;
	int fd;

	if (!find_place(where, &place, err))
		return false;
	fd = open(place.path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return error_set(err, ERROR_CONFIG, "%s: %s", place.path, strerror(errno));
	ok = may_be_trusted(fd, &place, err) && read_all(fd, place.path, out, err);
	close(fd);
	if (!ok)
		buf_wipe(out);
	return ok;
}
