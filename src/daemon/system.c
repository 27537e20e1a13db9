/* system.c - the daemon's dealings with its system: user, directories, pid file, systemd. */
#include "daemon/system.h"

#include "autoconfig.h"
#include "base/clock.h"
#include "base/error.h"
#include "conf/config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#ifdef HAVE_LIBSYSTEMD
#include <systemd/sd-daemon.h>
#endif

#define PIDFILE_SIZE	32	/* octets: more than any pid and its newline need */

static int pidfile_fd = -1;	/* ours, and locked */
static char pidfile_path[4096];

/* Passwords are in memory: no core, no ptrace by others of our user.  The leak checker of
 * a sanitizer build is such a ptrace. */
static void
close_memory(void)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(HERALD_SANITIZERS)
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

void
system_harden(void)
{
	struct rlimit files, no_core = { 0, 0 };

	umask(077);
	setrlimit(RLIMIT_CORE, &no_core);
	close_memory();
	signal(SIGPIPE, SIG_IGN);
	/* Until they are watched, and after: what asks for no stop must not be one. */
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static bool
find_user(const char *name, struct passwd **user, struct error *err)
{
	*user = getpwnam(name);
	if (*user == NULL)
		return error_set(err, ERROR_CONFIG,
		    "user %s does not exist; make it or name another by user = or -u", name);
	return true;
}

/* What an administrator, or an earlier run, has made. */
static bool
check_directory(const char *path, const struct stat *st, uid_t uid, bool closed, struct error *err)
{
	unsigned mode = st->st_mode & 07777;

	if (st->st_uid != uid)
		return error_set(err, ERROR_SYSTEM, "directory %s belongs to uid %u, not to uid %u "
		    "that heraldd runs as", path, (unsigned)st->st_uid, (unsigned)uid);
	if (closed && (mode & 077) != 0)
		return error_set(err, ERROR_SYSTEM, "directory %s is open to others (mode %04o): "
		    "it holds mail, allowed is 0700", path, mode);
	/* Who may write there could put a socket of their own in the place of ours. */
	if ((mode & S_IWOTH) != 0)
		return error_set(err, ERROR_SYSTEM, "directory %s can be written by others "
		    "(mode %04o): allowed is 0755", path, mode);
	return true;
}

/* One directory, `mode` when we make it.  A path component that is a link is followed by
 * the system (/var/run), the last one is not (RULES F1). */
static bool
ready_directory(const char *path, mode_t mode, const struct passwd *owner, bool closed,
    struct error *err)
{
	uid_t uid = owner != NULL ? owner->pw_uid : geteuid();
	bool made = mkdir(path, mode) == 0, ready = false;
	struct stat st;
	int fd;

	if (!made && errno != EEXIST)
		return error_set(err, ERROR_SYSTEM, "cannot make directory %s: %s", path,
		    strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1 || fstat(fd, &st) == -1)
		error_set(err, ERROR_SYSTEM, "cannot use directory %s: %s", path, strerror(errno));
	else if (made && (fchmod(fd, mode) == -1 ||
	    (owner != NULL && fchown(fd, owner->pw_uid, owner->pw_gid) == -1)))
		error_set(err, ERROR_SYSTEM, "cannot give directory %s away: %s", path,
		    strerror(errno));
	else
		ready = made || check_directory(path, &st, uid, closed, err);
	if (fd != -1)
		close(fd);
	return ready;
}

bool
system_directories(const struct config *config, const char *user, struct error *err)
{
	struct passwd *owner = NULL;

	if (geteuid() == 0 && !find_user(user, &owner, err))
		return false;
	return ready_directory(config->state_directory, 0700, owner, true, err) &&
	    ready_directory(config->runtime_directory, 0755, owner, false, err);
}

/* Keeps exactly `capabilities` (a bit mask of the first 32) in both sets. */
static bool
set_capabilities(uint32_t capabilities)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct sets[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	sets[0].effective = sets[0].permitted = capabilities;
	return syscall(SYS_capset, &header, sets) == 0;
}

bool
system_drop_privileges(const char *user, struct error *err)
{
	uint32_t keep = 1u << CAP_NET_BIND_SERVICE;
	struct passwd *account;

	if (geteuid() != 0)
		return true;
	if (!find_user(user, &account, err))
		return false;
	if (account->pw_uid == 0)
		return error_set(err, ERROR_CONFIG,
		    "user %s is root: heraldd needs a user of its own", user);
	if (prctl(PR_SET_KEEPCAPS, 1) == -1 || initgroups(user, account->pw_gid) == -1 ||
	    setresgid(account->pw_gid, account->pw_gid, account->pw_gid) == -1 ||
	    setresuid(account->pw_uid, account->pw_uid, account->pw_uid) == -1)
		return error_set(err, ERROR_SYSTEM, "cannot become user %s: %s", user,
		    strerror(errno));
	/* A container may not let us keep it; low ports are then refused when bound. */
	if (!set_capabilities(keep) && !set_capabilities(0))
		return error_set(err, ERROR_SYSTEM, "cannot drop capabilities: %s",
		    strerror(errno));
	prctl(PR_SET_KEEPCAPS, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* Changing the user has reset it. */
	close_memory();
	return true;
}

/* What stands at the path is overwritten only if it is a pid file: a slip of -p must not cost
 * another file, nor may a link lead to one (RULES F1). */
static bool
is_pidfile(int fd)
{
	char octets[PIDFILE_SIZE];
	struct stat st;
	ssize_t len;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return false;
	len = pread(fd, octets, sizeof(octets), 0);
	if (len < 0 || (size_t)len == sizeof(octets))
		return false;
	for (ssize_t i = 0; i < len; i++)
		if ((octets[i] < '0' || octets[i] > '9') && octets[i] != '\n')
			return false;
	return true;
}

static bool
write_pid(int fd)
{
	char pid[PIDFILE_SIZE];
	int len = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

	return fchmod(fd, 0644) == 0 && ftruncate(fd, 0) == 0 &&
	    pwrite(fd, pid, (size_t)len, 0) == len;
}

bool
system_pidfile(const char *path, struct error *err)
{
	int fd;

	if (path == NULL)
		return true;
	fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644);
	if (fd == -1)
		return error_set(err, ERROR_SYSTEM, "cannot open pid file %s: %s", path,
		    strerror(errno));
	if (!is_pidfile(fd))
		error_set(err, ERROR_SYSTEM, "%s is there already and is no pid file", path);
	else if (flock(fd, LOCK_EX | LOCK_NB) == -1)
		error_set(err, ERROR_SYSTEM, "pid file %s is held by a running heraldd", path);
	else if (!write_pid(fd))
		error_set(err, ERROR_SYSTEM, "cannot write pid file %s: %s", path, strerror(errno));
	else
		pidfile_fd = fd;
	if (pidfile_fd == -1) {
		close(fd);
		return false;
	}
	snprintf(pidfile_path, sizeof(pidfile_path), "%s", path);
	return true;
}

void
system_pidfile_remove(void)
{
	if (pidfile_fd == -1)
		return;
	/* Without privileges the directory may refuse: then at least no pid is left in it. */
	if (unlink(pidfile_path) == -1 && ftruncate(pidfile_fd, 0) == -1)
		pidfile_path[0] = '\0';
	close(pidfile_fd);
	pidfile_fd = -1;
}

#ifdef HAVE_LIBSYSTEMD

void
system_notify_ready(unsigned generation)
{
	sd_notifyf(0, "READY=1\nSTATUS=configuration generation %u in force", generation);
}

void
system_notify_reloading(void)
{
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)clock_monotonic_us());
}

void
system_notify_stopping(void)
{
	sd_notify(0, "STOPPING=1\nSTATUS=stopping");
}

void
system_notify_status(const char *text)
{
	sd_notifyf(0, "STATUS=%s", text);
}

void
system_notify_watchdog(void)
{
	sd_notify(0, "WATCHDOG=1");
}

uint64_t
system_watchdog_interval(void)
{
	uint64_t interval;

	return sd_watchdog_enabled(0, &interval) > 0 ? interval : 0;
}

#else

void
system_notify_ready(unsigned generation)
{
	(void)generation;
}

void
system_notify_reloading(void)
{
}

void
system_notify_stopping(void)
{
}

void
system_notify_status(const char *text)
{
	(void)text;
}

void
system_notify_watchdog(void)
{
}

uint64_t
system_watchdog_interval(void)
{
	return 0;
}

#endif
