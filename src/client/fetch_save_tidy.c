/* fetch_save_tidy.c - removes the temporary files of dead runs from a directory. */
#include "base/clock.h"
#include "base/error.h"
#include "client/fetch_save_file.h"
#include "client/fetch_state.h"
#include "client/fetch_state_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define LOCK_SECONDS 30 /* for another that tidies */
#define LOCK_PAUSE   20 /* milliseconds between two looks */

/* Those of a run without a state are in no row.  Those of another database are its own. */
static bool
is_rubbish(int directory, const char *name, struct fetch_state *state, bool *out,
    struct error *err)
{
	bool is_in_row = false;
	struct stat st;

	*out = false;
	if (!fetch_save_file_is_temp(name, "") &&
	    (state == NULL || !fetch_save_file_is_temp(name, state->tag)))
		return true;
	if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid())
		return true;
	if (state != NULL && !fetch_state_has_temp(state, name, &is_in_row, err))
		return false;
	*out = !is_in_row;
	return true;
}

/* At best: what cannot be read or removed does no harm. */
static bool
remove_rubbish(int directory, struct fetch_state *state, struct error *err)
{
	int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *entries = fd != -1 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	bool fine = true, is_old;

	if (entries == NULL) {
		if (fd != -1)
			close(fd);
		return true;
	}
	while (fine && (entry = readdir(entries)) != NULL) {
		fine = is_rubbish(directory, entry->d_name, state, &is_old, err);
		if (fine && is_old)
			(void)unlinkat(directory, entry->d_name, 0);
	}
	closedir(entries);
	return fine;
}

/* Where the file system has no such locks nothing is removed, and nobody is kept out. */
static bool
lock_shared(int directory)
{
	int64_t deadline = clock_monotonic_us() + LOCK_SECONDS * INT64_C(1000000);

	while (flock(directory, LOCK_SH | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return true;
		if (clock_monotonic_us() > deadline)
			return false;
		(void)poll(NULL, 0, LOCK_PAUSE);
	}
	return true;
}

bool
fetch_save_tidy(int directory, const char *path, struct fetch_state *state, int *exit_code,
    struct error *err)
{
	if (flock(directory, LOCK_EX | LOCK_NB) == 0 && !remove_rubbish(directory, state, err)) {
		*exit_code = fetch_state_exit_code(state);
		return false;
	}
	if (lock_shared(directory))
		return true;
	*exit_code = EX_TEMPFAIL;
	return error_set(err, ERROR_SYSTEM, "%s is locked by another program: try again later",
	    path);
}
