/* fetch_state_file.c - where the state of herald fetch is, that it is ours alone, its locks. */
#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "client/fetch_state_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sysexits.h>
#include <unistd.h>

/* Not in linux/magic.h of every system. */
#define MAGIC_CIFS   0xff534d42
#define MAGIC_SMB2   0xfe534d42
#define MAGIC_CEPH   0x00c36400
#define LOCK_SECONDS 30 /* for the moment in which another opens or closes the database */
#define LOCK_PAUSE   20 /* milliseconds between two looks */

/* --- the place --- */

static char *
home(void)
{
	const char *path = getenv("HOME");
	const struct passwd *user;

	if (path != NULL && path[0] == '/')
		return mem_strdup(path);
	user = getpwuid(geteuid());
	return user != NULL && user->pw_dir[0] == '/' ? mem_strdup(user->pw_dir) : NULL;
}

/* XDG Base Directory Specification 0.8: a relative path is as if it were not there. */
static char *
default_path(void)
{
	const char *state = getenv("XDG_STATE_HOME");
	char *base, *path;

	if (state != NULL && state[0] == '/')
		return mem_printf("%s/herald/fetch.db", state);
	base = home();
	if (base == NULL)
		return NULL;
	path = mem_printf("%s/.local/state/herald/fetch.db", base);
	free(base);
	return path;
}

static bool
sync_directory(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), failure;
	bool fine;

	/* A folder that we may enter only, like /home at times: the system has to do. */
	if (fd == -1)
		return errno == EACCES;
	fine = fsync(fd) == 0;
	failure = errno;
	close(fd);
	errno = failure;
	return fine;
}

static bool
make_directory(const char *path)
{
	char *copy;
	bool fine;

	if (mkdir(path, 0700) == -1)
		return errno == EEXIST;
	copy = mem_strdup(path);
	fine = sync_directory(dirname(copy));
	free(copy);
	return fine;
}

/* All of the path that is missing, for the user alone. */
static bool
make_directories(const char *path)
{
	char *copy = mem_strdup(path);
	bool fine = true;

	for (char *at = copy; fine && (at = strchr(at + 1, '/')) != NULL; *at = '/') {
		*at = '\0';
		fine = make_directory(copy);
	}
	fine = fine && make_directory(path);
	free(copy);
	return fine;
}

/* --- what stands there --- */

/* Locks and syncs of a network's file system promise too little. */
static bool
check_local(int fd, const char *path, struct error *err)
{
	static const unsigned remote[] = {
		NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, MAGIC_CIFS, MAGIC_SMB2, MAGIC_CEPH,
		AFS_SUPER_MAGIC, CODA_SUPER_MAGIC, V9FS_MAGIC,
	};
	struct statfs fs;

	if (fstatfs(fd, &fs) == -1)
		return error_set(err, ERROR_STORE, "%s: %s", path, strerror(errno));
	for (size_t i = 0; i < sizeof(remote) / sizeof(remote[0]); i++)
		if ((unsigned)fs.f_type == remote[i])
			return error_set(err, ERROR_STORE, "%s is on a network's file system: set "
			    "XDG_STATE_HOME to a local folder", path);
	return true;
}

static bool
check_owner(int fd, const struct stat *st, const char *path, struct error *err)
{
	mode_t mode = S_ISDIR(st->st_mode) ? 0700 : 0600;

	if (st->st_uid != geteuid())
		return error_set(err, ERROR_STORE, "%s belongs to user %u, not to user %u", path,
		    (unsigned)st->st_uid, (unsigned)geteuid());
	if ((st->st_mode & 077) != 0 && fchmod(fd, mode) == -1)
		return error_set(err, ERROR_STORE, "cannot close %s to others: %s", path,
		    strerror(errno));
	return true;
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
	return check_owner(fd, &st, path, err);
}

/* -1 with *err; -2: there is none, and none was to be made. */
static int
open_file(int dir, const char *name, const char *suffix, bool make, struct error *err)
{
	char *path = mem_printf("%s%s", name, suffix);
	int fd = openat(dir, path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
	    (make ? O_CREAT : 0), 0600);

	if (fd == -1 && errno == ENOENT && !make) {
		fd = -2;
	} else if (fd == -1 && errno == ELOOP) {
		error_set(err, ERROR_STORE, "%s is a symbolic link", path);
	} else if (fd == -1) {
		error_set(err, ERROR_STORE, "cannot open %s: %s", path, strerror(errno));
	} else if (!check_opened(fd, path, err)) {
		close(fd);
		fd = -1;
	}
	free(path);
	return fd;
}

/* No descriptor of the database stays open: closing one later would drop SQLite's locks. */
static bool
check_files(int dir, const char *name, int *lock, struct error *err)
{
	static const char *const suffixes[] = { "-wal", "-shm", "-journal", "" };
	int fd;

	*lock = open_file(dir, name, "-lock", true, err);
	if (*lock == -1)
		return false;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		fd = open_file(dir, name, suffixes[i], suffixes[i][0] == '\0', err);
		if (fd == -1)
			return false;
		if (fd >= 0)
			close(fd);
	}
	/* The name has to survive a power cut before any row can. */
	return fsync(dir) == 0 ||
	    error_set(err, ERROR_STORE, "cannot sync its directory: %s", strerror(errno));
}

static bool
check_place(const char *directory, const char *name, int *lock, struct error *err)
{
	int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	bool fine;

	if (dir == -1 || fstat(dir, &st) == -1)
		fine = error_set(err, ERROR_STORE, "%s", strerror(errno));
	else
		fine = check_owner(dir, &st, directory, err) && check_local(dir, directory, err) &&
		    check_files(dir, name, lock, err);
	if (dir != -1)
		close(dir);
	return fine;
}

char *
fetch_state_prepare(const char *path, int *lock, int *exit_code, struct error *err)
{
	char *whole = path != NULL ? mem_strdup(path) : default_path();
	char *copy = NULL, *copy2 = NULL, *real = NULL, *result = NULL, *directory = NULL;

	*lock = -1;
	*exit_code = EX_CANTCREAT;
	if (whole == NULL) {
		error_set(err, ERROR_CONFIG, "neither XDG_STATE_HOME nor HOME says where the state "
		    "of fetch is to be kept");
		return NULL;
	}
	copy = mem_strdup(whole);
	copy2 = mem_strdup(whole);
	directory = dirname(copy);
	/* Links on the way are the user's; what stands in the last folder is looked at. */
	if (!make_directories(directory) || (real = realpath(directory, NULL)) == NULL)
		error_set(err, ERROR_STORE, "cannot make %s: %s", directory, strerror(errno));
	else if (!check_place(real, basename(copy2), lock, err))
		error_prefix(err, "state of fetch in %s", real);
	else
		result = mem_printf("%s/%s", real, basename(copy2));
	if (result == NULL && *lock != -1)
		close(*lock);
	free(whole);
	free(copy);
	free(copy2);
	free(real);
	return result;
}

/* --- locks --- */

/* Of the open file, not of the process, and gone with it whatever ends it. */
static bool
lock_octet(int fd, int64_t octet, short type)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = (off_t)octet, .l_len = 1
	};

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

static bool
fail_locking(struct fetch_state *state, const char *what, struct error *err)
{
	bool is_taken = errno == EAGAIN || errno == EACCES;

	state->exit_code = is_taken ? EX_TEMPFAIL : EX_IOERR;
	return error_set(err, ERROR_STORE, "%s%s", what,
	    is_taken ? ": try again later" : ": its lock fails");
}

bool
fetch_state_lock_opening(struct fetch_state *state, struct error *err)
{
	int64_t deadline = clock_monotonic_us() + LOCK_SECONDS * INT64_C(1000000);

	while (!lock_octet(state->lock, 0, F_WRLCK)) {
		if ((errno != EAGAIN && errno != EACCES && errno != EINTR) ||
		    clock_monotonic_us() > deadline)
			return fail_locking(state, "the state of fetch is in use", err);
		(void)poll(NULL, 0, LOCK_PAUSE);
	}
	return true;
}

void
fetch_state_unlock_opening(struct fetch_state *state)
{
	(void)lock_octet(state->lock, 0, F_UNLCK);
}

/* One octet of the file for each account.  Two of 2^62 that fell together would but wait. */
bool
fetch_state_lock_account(struct fetch_state *state, struct error *err)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	uint64_t octet = 0;

	if (EVP_Digest(state->account, strlen(state->account), digest, NULL, EVP_sha256(),
	    NULL) != 1)
		abort();
	for (int i = 0; i < 8; i++)
		octet = octet << 8 | digest[i];
	octet = octet >> 2 | 1; /* never that of the opening */
	if (lock_octet(state->lock, (int64_t)octet, F_WRLCK))
		return true;
	return fail_locking(state, "another herald fetch is at work on this account", err);
}
