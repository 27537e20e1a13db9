/* store_sqlite_file.c - whether a path may hold the queue: local, regular, and ours alone. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "queue/store_sqlite.h"

/* Not in linux/magic.h of every system. */
#define MAGIC_CIFS	0xff534d42
#define MAGIC_SMB2	0xfe534d42
#define MAGIC_FUSE	0x65735546
#define MAGIC_CEPH	0x00c36400
#define MAGIC_GFS2	0x01161970
#define MAGIC_LUSTRE	0x0bd00bd0

static const struct { unsigned magic; const char *name; } remote[] = {
	{ NFS_SUPER_MAGIC, "NFS" }, { SMB_SUPER_MAGIC, "SMB" }, { MAGIC_CIFS, "CIFS" },
	{ MAGIC_SMB2, "SMB" }, { MAGIC_FUSE, "FUSE" }, { MAGIC_CEPH, "Ceph" },
	{ AFS_SUPER_MAGIC, "AFS" }, { CODA_SUPER_MAGIC, "Coda" }, { V9FS_MAGIC, "9P" },
	{ MAGIC_GFS2, "GFS2" }, { MAGIC_LUSTRE, "Lustre" },
};

/* Locks and syncs of a network's file system promise less than the queue does. */
static bool
check_local(int dir, const char *path, struct error *err)
{
	struct statfs fs;
	size_t i;

	if (fstatfs(dir, &fs) == -1)
		return error_set(err, ERROR_STORE, "%s: %s", path, strerror(errno));
	for (i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned)fs.f_type == remote[i].magic)
			return error_set(err, ERROR_STORE, "%s is on %s: the queue must be on a "
			    "local file system", path, remote[i].name);
	return true;
}

static bool
check_directory(int dir, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(dir, &st) == -1)
		return error_set(err, ERROR_STORE, "%s: %s", path, strerror(errno));
	if (st.st_uid != geteuid())
		return error_set(err, ERROR_STORE, "%s belongs to user %u, not to user %u that "
		    "runs heraldd", path, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 077) != 0 && fchmod(dir, 0700) == -1)
		return error_set(err, ERROR_STORE, "cannot close %s to others: %s", path,
		    strerror(errno));
	return check_local(dir, path, err);
}

static bool
check_opened(int fd, const char *path, struct error *err)
{
	struct stat st;

	if (fstat(fd, &st) == -1)
		return error_set(err, ERROR_STORE, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERROR_STORE, "%s is not a regular file", path);
	if (st.st_nlink > 1)
		return error_set(err, ERROR_STORE, "%s has another name (hard link)", path);
	if (st.st_uid != geteuid())
		return error_set(err, ERROR_STORE, "%s belongs to user %u, not to user %u that "
		    "runs heraldd", path, (unsigned)st.st_uid, (unsigned)geteuid());
	if ((st.st_mode & 077) != 0 && fchmod(fd, 0600) == -1)
		return error_set(err, ERROR_STORE, "cannot close %s to others: %s", path,
		    strerror(errno));
	return true;
}

/* No descriptor of the database stays open: closing one later would drop SQLite's locks. */
static bool
check_file(int dir, const char *name, const char *path, bool make, struct error *err)
{
	bool fine;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT) {
		if (!make)
			return true;
		fd = openat(dir, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	}
	if (fd == -1 && errno == ELOOP)
		return error_set(err, ERROR_STORE, "%s is a symbolic link", path);
	if (fd == -1)
		return error_set(err, ERROR_STORE, "cannot open %s: %s", path, strerror(errno));
	fine = check_opened(fd, path, err);
	close(fd);
	return fine;
}

static bool
check_files(int dir, const char *name, const char *path, struct error *err)
{
	static const char *const companions[] = { "-wal", "-shm", "-journal" };
	size_t i;

	for (i = 0; i < sizeof(companions) / sizeof(companions[0]); i++) {
		char *file = mem_printf("%s%s", name, companions[i]);
		char *full = mem_printf("%s%s", path, companions[i]);
		bool fine = check_file(dir, file, full, false, err);

		free(file);
		free(full);
		if (!fine)
			return false;
	}
	if (!check_file(dir, name, path, true, err))
		return false;
	/* The name itself has to survive a power cut before any row in it can. */
	if (fsync(dir) == -1)
		return error_set(err, ERROR_STORE, "cannot sync the directory of %s: %s", path,
		    strerror(errno));
	return true;
}

char *
sqlite_file_prepare(const char *path, struct error *err)
{
	char *copy = mem_strdup(path), *copy2 = mem_strdup(path), *real = NULL, *result = NULL;
	const char *directory = dirname(copy), *name = basename(copy2);
	int dir = -1;

	if (mkdir(directory, 0700) == -1 && errno != EEXIST) {
		error_set(err, ERROR_STORE, "cannot make %s: %s", directory, strerror(errno));
		goto done;
	}
	real = realpath(directory, NULL);
	if (real != NULL)
		dir = open(real, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir == -1) {
		error_set(err, ERROR_STORE, "cannot open %s: %s", directory, strerror(errno));
		goto done;
	}
	if (!check_directory(dir, directory, err) || !check_files(dir, name, path, err))
		goto done;
	result = mem_printf("%s/%s", real, name);
done:
	if (dir != -1)
		close(dir);
	free(real);
	free(copy);
	free(copy2);
	return result;
}

/* At best: where nothing can be written, the check is left out at the next start. */
void
sqlite_file_mark(const char *path, bool trouble)
{
	char *mark = mem_printf("%s-trouble", path);
	int fd;

	if (trouble) {
		fd = open(mark, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd != -1)
			close(fd);
	} else
		unlink(mark);
	free(mark);
}

bool
sqlite_file_marked(const char *path)
{
	char *mark = mem_printf("%s-trouble", path);
	struct stat st;
	bool marked = lstat(mark, &st) == 0;

	free(mark);
	return marked;
}
