/* private_file.c - opens a file that holds a secret, if it is kept from the others. */
#include "base/private_file.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool
judge_kind(const struct stat *st, const char *path, struct error *err)
{
	return S_ISREG(st->st_mode) ||
	    error_set(err, ERROR_CONFIG, "%s: not a regular file", path);
}

/* SPEC 3: for its owner alone, or where root owns it for root's or our group. */
static bool
judge_mode(const struct stat *st, const char *path, struct error *err)
{
	if ((st->st_mode & S_IRWXO) != 0)
		return error_set(err, ERROR_CONFIG, "%s: everybody may use it (mode %04o), "
		    "make it 0640 or 0600", path, (unsigned)(st->st_mode & 07777));
	if ((st->st_mode & S_IRWXG) != 0 &&
	    (st->st_uid != 0 || (st->st_gid != 0 && !in_our_groups(st->st_gid))))
		return error_set(err, ERROR_CONFIG, "%s: its group may use it (mode %04o), make it "
		    "0600, or owned by root and the daemon's group", path,
		    (unsigned)(st->st_mode & 07777));
	return true;
}

static int
open_judged(const char *path, bool guarded, struct error *err)
{
	/* Without waiting, as it might be a FIFO, and no terminal becomes ours. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	bool ok;

	if (fd == -1) {
		error_set(err, ERROR_CONFIG, "%s: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &st) == -1)
		ok = error_set(err, ERROR_SYSTEM, "%s: %s", path, strerror(errno));
	else
		ok = judge_kind(&st, path, err) && (guarded || judge_mode(&st, path, err));
	if (ok)
		return fd;
	close(fd);
	return -1;
}

int
private_file_open(const char *path, struct error *err)
{
	return open_judged(path, false, err);
}

int
private_file_open_guarded(const char *path, struct error *err)
{
	return open_judged(path, true, err);
}
